"""`--dev`: a server for trying out, with everything that a real one needs made on the spot.

One domain, `localhost`, on a loopback address; a certificate of an authority of its own;
two accounts; a push service whose providers are simulators in this very process. A named
folder is kept, so that a restart finds its accounts, sessions and ports again.
"""

import json
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from pushd.admin.users import Users
from pushd.cli import standins
from pushd.config.files import fits_socket
from pushd.config.sections import Component, Config, watched_at
from pushd.net.certificates import DevelopmentCA, write_whole
from pushd.net.tls import CertificateFiles
from pushd.service import Server
from pushd.storage.lock import DATABASE, Lock
from pushd.wire.secret import Secret

log = Logger()

DOMAIN = "localhost"
PUSH_HOST = "push.localhost"
COMPONENT = "component.localhost"
USUAL_PORTS = {
    "client": 5222,
    "client_tls": 5223,
    "component": 5347,
    "metrics": 5270,
    "fcm": 5228,
    "apns": 2197,
    "apns_sandbox": 2198,
    "ubuntu": 5229,
    "wns": 5230,
    "webpush": 5231,
    "webhook": 5232,
}
ACCOUNTS = ("romeo", "juliet")
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - then reached at loopback


class Development:
    """The server for development, and what stands around it.

    `folder` is where it keeps everything; without one, in a temporary folder that is
    removed in the end. Raises OSError when the folder cannot be made.
    """

    def __init__(self, reactor: Any, address: str, folder: Path | None, free_ports: bool) -> None:
        self._reactor = reactor
        self._address = address
        self._reached_at = EVERYWHERE.get(address, address)
        self._is_temporary = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="pushd-dev-"))
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._remembered = self.folder / "development.json"
        self._free_ports = free_ports
        self._known: dict[str, Any]
        self._stand_ins: list[standins.StandIn]
        self._server: Server

    def open(self) -> Server:
        """Make what is missing and open the ports; another is taken where one is busy.

        Raises StorageError for a folder that another server uses, OSError, CertificateError
        and CannotListenError.
        """
        self._check_folder()
        self._known = self._recall()
        authority = DevelopmentCA(self.folder / "certificates", self._reactor.seconds())
        issued = authority.issue(self._names(), "server")
        self._ca = authority.path
        files = CertificateFiles(issued.certificate, issued.key)
        ports = self._free() if self._free_ports else self._usual()
        self._stand_ins = [
            standins.StandIn(name, self._reactor, self.folder) for name in standins.LINES
        ]
        for one in self._stand_ins:
            one.open(files, self._address, _url_host(self._reached_at), ports)
        try:
            self._server = self._opened(files, ports)
        except CannotListenError:
            # Somebody was faster than we.
            self._server = self._opened(files, self._free())
        self._remember()
        return self._server

    async def seed(self) -> None:
        """Make the two accounts, unless they are there."""
        server = self._server
        host = server.host
        users = Users(host.domains, host.accounts, host.database, server.in_thread)
        for account in self._known["accounts"]:
            if not host.accounts.exists(account["jid"]):
                await users.add(account["jid"], Secret(account["password"]))

    async def stop(self) -> None:
        for one in self._stand_ins:
            await one.stop()
        self.discard()

    def discard(self) -> None:
        """Remove what was for this run alone."""
        if self._is_temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def ready(self) -> dict[str, Any]:
        """The part of the ready file that only a development server has."""
        return {
            "accounts": self._known["accounts"],
            "ca": str(self._ca),
            "push": {"register_host": DOMAIN, "pubsub_host": PUSH_HOST},
            "component_secret": self._known["component_secret"],
            "component_domain": COMPONENT,
            "simulators": {
                name: {**told, **self._server.shown(name)}
                for one in self._stand_ins
                for name, told in one.ready().items()
            },
            "data": str(self.folder),
        }

    def greet(self, ready: Mapping[str, Any]) -> None:
        """Say on standard output what listens where."""
        lines = [f"pushd serves {DOMAIN}, for development only"]
        for key, text in (
            ("c2s", "clients, STARTTLS"),
            ("c2s_tls", "clients, direct TLS"),
            ("component", f"component {COMPONENT}, secret {ready['component_secret']}"),
        ):
            lines.append(f"  {_url_host(ready[key]['host'])}:{ready[key]['port']}  {text}")
        watched = f"http://{_url_host(ready['metrics']['host'])}:{ready['metrics']['port']}"
        lines.append(f"  {watched}  /metrics, /healthz, /readyz")
        lines.extend(f"  {line}" for one in self._stand_ins for line in one.lines())
        lines.extend(
            f"  account {account['jid']}, password {account['password']}"
            for account in ready["accounts"]
        )
        lines.append(f"  certificate authority {ready['ca']}")
        lines.append("  try: pushdctl demo")
        # Twisted has put its log in the place of sys.stdout.
        out = sys.__stdout__
        if out is not None:
            try:
                out.write("\n".join(lines) + "\n")
                out.flush()
            except OSError as error:
                log.debug("nobody reads the greeting: {reason}", reason=str(error))

    def _check_folder(self) -> None:
        """Nobody else serves from here: what is made below would be taken from under them."""
        lock = Lock(str(self.folder / DATABASE))
        lock.take()
        lock.release()
        if not fits_socket(self.folder / "pushd.sock"):
            raise OSError(f"{self.folder}: the path is too long for the socket in it (100 bytes)")

    def _names(self) -> list[str]:
        """What clients may call the server."""
        names = [DOMAIN, PUSH_HOST, COMPONENT, "127.0.0.1", "::1"]
        return names if self._reached_at in names else [*names, self._reached_at]

    def _opened(self, files: CertificateFiles, ports: Mapping[str, int]) -> Server:
        config = Config.for_development(
            self.folder,
            DOMAIN,
            address=self._address,
            client=ports["client"],
            client_tls=ports["client_tls"],
            component=ports["component"],
            metrics=ports["metrics"],
            certificate=files.certificate,
            key=files.key,
            components={COMPONENT: Component(Secret(self._known["component_secret"]))},
            backends=tuple(
                backend
                for one in self._stand_ins
                for backend in one.backends(DOMAIN, PUSH_HOST, self._ca)
            ),
        )
        server = Server(config, self._reactor)
        server.open()
        return server

    def _free(self) -> dict[str, int]:
        """Any ports, except where this folder had others before that are free."""
        known = self._known.get("ports", {})
        return {name: self._if_free(name, int(known.get(name, 0))) for name in USUAL_PORTS}

    def _usual(self) -> dict[str, int]:
        """The ports that this folder had before or else the usual ones, as far as they are free."""
        known = self._known.get("ports", {})
        return {
            name: self._if_free(name, int(known.get(name, usual)))
            for name, usual in USUAL_PORTS.items()
        }

    def _if_free(self, name: str, port: int) -> int:
        """The port, or 0 if it is busy."""
        address = watched_at(self._address) if name == "metrics" else self._address
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((address, port))
            except OSError:
                return 0
        return port

    def _recall(self) -> dict[str, Any]:
        """What an earlier run in this folder left, or fresh passwords and no ports."""
        try:
            known = json.loads(self._remembered.read_text(encoding="utf-8"))
            if isinstance(known, dict) and "accounts" in known:
                return known
        except (OSError, ValueError):
            pass
        return {
            "accounts": [
                {"jid": f"{name}@{DOMAIN}", "password": secrets.token_urlsafe(9)}
                for name in ACCOUNTS
            ],
            "component_secret": secrets.token_urlsafe(9),
        }

    def _remember(self) -> None:
        self._known["ports"] = {
            name: self._server.ports[name][0].getHost().port
            for name in USUAL_PORTS
            if name in self._server.ports
        }
        for one in self._stand_ins:
            self._known["ports"] |= one.numbers()
        _write(self._remembered, self._known)


def _write(path: Path, value: Mapping[str, Any]) -> None:
    write_whole(path, json.dumps(value, indent=2).encode() + b"\n", 0o600)


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
