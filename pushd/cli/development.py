"""`--dev`: a server for trying out, with everything that a real one needs made on the spot.

One domain, `localhost`, on a loopback address; a certificate of an authority of its own;
two accounts; a push service whose provider is a simulator in this very process. A named
folder is kept, so that a restart finds its accounts, sessions and ports again.
"""

import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from twisted.internet.error import CannotListenError

from pushd.admin.operations import Operations
from pushd.config.backends import Backend
from pushd.config.sections import Component, Config
from pushd.net.certificates import DevelopmentCA
from pushd.net.tls import CertificateFiles, CertificateStore
from pushd.providers import catalogue
from pushd.service import Server
from pushd.simulators.fcm import FCMSimulator
from pushd.simulators.fcm_tokens import ServiceAccount
from pushd.wire.secret import Secret

DOMAIN = "localhost"
PUSH_HOST = "push.localhost"
COMPONENT = "component.localhost"
USUAL_PORTS = {"client": 5222, "client_tls": 5223, "component": 5347, "fcm": 5228}
ACCOUNTS = ("romeo", "juliet")


class Development:
    """The server for development, and what stands around it."""

    def __init__(self, reactor: Any, address: str, folder: Path | None, free_ports: bool) -> None:
        self._reactor = reactor
        self._address = _checked(address)
        self._is_temporary = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="pushd-dev-"))
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._remembered = self.folder / "development.json"
        self._known: dict[str, Any] = self._recall()
        self._free_ports = free_ports
        self._simulator: FCMSimulator
        self._simulator_port: Any
        self._server: Server

    def open(self) -> Server:
        """Make what is missing and open the ports; another is taken where one is busy."""
        now = self._reactor.seconds()
        authority = DevelopmentCA(self.folder / "certificates", now)
        names = [DOMAIN, PUSH_HOST, COMPONENT, "127.0.0.1", "::1"]
        if self._address not in names:
            names.append(self._address)
        issued = authority.issue(names, "server")
        self._ca = authority.path
        files = CertificateFiles(issued.certificate, issued.key)
        self._open_simulator(files)
        kind = catalogue.find("fcm")
        assert kind is not None
        options: Any = catalogue.options(kind)
        backend = Backend(
            type="fcm",
            register_host=DOMAIN,
            pubsub_host=PUSH_HOST,
            base_url=self._simulator.base_url,
            ca_file=self._ca,
            options=options(service_account=self._account_file),
        )
        for attempt in (False, True):
            config = self._config(files, backend, free=attempt)
            self._server = Server(config, self._reactor)
            try:
                self._server.open()
                break
            except CannotListenError:
                if attempt:
                    raise
        self._remember()
        return self._server

    async def seed(self) -> None:
        """Make the two accounts, unless they are there."""
        server = self._server
        operations = Operations(server.host.domains, server.host.accounts, server.in_thread)
        for account in self._known["accounts"]:
            if not server.host.accounts.exists(account["jid"]):
                await operations.user_add(account["jid"], Secret(account["password"]))

    async def stop(self) -> None:
        self._simulator.close()
        await self._simulator_port.stopListening()
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
                "fcm": {
                    "url": self._simulator.base_url,
                    "control": f"{self._simulator.base_url}/control",
                    "service_account": str(self._account_file),
                }
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
            lines.append(f"  {ready[key]['host']}:{ready[key]['port']}  {text}")
        lines.append(f"  {self._simulator.base_url}  FCM simulator; what it got: /control/requests")
        lines.extend(
            f"  account {account['jid']}, password {account['password']}"
            for account in ready["accounts"]
        )
        lines.append(f"  certificate authority {ready['ca']}")
        lines.append("  try: pushdctl demo")
        # Twisted has put its log in the place of sys.stdout.
        out = sys.__stdout__ or sys.stdout
        out.write("\n".join(lines) + "\n")
        out.flush()

    def _config(self, files: CertificateFiles, backend: Backend, free: bool) -> Config:
        return Config.for_development(
            self.folder,
            DOMAIN,
            address=self._address,
            client=0 if free else self._port("client"),
            client_tls=0 if free else self._port("client_tls"),
            component=0 if free else self._port("component"),
            certificate=files.certificate,
            key=files.key,
            components={COMPONENT: Component(Secret(self._known["component_secret"]))},
            backends=(backend,),
        )

    def _port(self, name: str) -> int:
        """The port that this folder had before, or the usual one, or any."""
        known = self._known.get("ports", {}).get(name)
        if known:
            return int(known)
        return 0 if self._free_ports else USUAL_PORTS[name]

    def _open_simulator(self, files: CertificateFiles) -> None:
        self._account_file = self.folder / "fcm-service-account.json"
        account = None
        if self._account_file.exists():
            account = ServiceAccount.taken_up(json.loads(self._account_file.read_bytes()))
        self._simulator = FCMSimulator(self._reactor, account=account)
        tls = CertificateStore({DOMAIN: files}, alpn=b"http/1.1").options
        for port in (self._port("fcm"), 0):
            try:
                self._simulator_port = self._reactor.listenSSL(
                    port, self._simulator.site, tls, interface=self._address
                )
                break
            except CannotListenError:
                if port == 0:
                    raise
        host = f"[{self._address}]" if ":" in self._address else self._address
        self._simulator.base_url = f"https://{host}:{self._simulator_port.getHost().port}"
        _write(self._account_file, self._simulator.service_account())

    def _recall(self) -> dict[str, Any]:
        """What an earlier run in this folder left, or fresh passwords and no ports."""
        try:
            known = json.loads(self._remembered.read_text())
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
        } | {"fcm": self._simulator_port.getHost().port}
        _write(self._remembered, self._known)


def _write(path: Path, value: Mapping[str, Any]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps(value, indent=2) + "\n")


def _checked(address: str) -> str:
    try:
        ip_address(address)
    except ValueError:
        raise ValueError(f"--listen {address}: an IP address is expected") from None
    return address
