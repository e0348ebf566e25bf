"""From options to a running server: the configured one, or the one for development."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.logger import Logger

from pushd.admin.eventlog import EventLog
from pushd.cli.development import Development
from pushd.config.sections import Config
from pushd.service import Server

log = Logger()


class Starting:
    """One server, its event log and its ready file."""

    def __init__(self, options: Mapping[str, Any], reactor: Any) -> None:
        self._options = options
        self._reactor = reactor
        self._events: EventLog | None = None
        self._development: Development | None = None
        self._ready_files: list[Path] = []
        self.server: Server

    def open(self) -> None:
        """Take everything that may be refused. Raises StorageError, OSError, CannotListenError."""
        options = self._options
        if options["dev"]:
            self._development = Development(
                self._reactor,
                address=options["listen"],
                folder=Path(options["data"]) if options["data"] else None,
                free_ports=bool(options["free-ports"]),
            )
            self.server = self._development.open()
        else:
            config: Config = options["configuration"]
            self.server = Server(config, self._reactor)
            self.server.open()
        if options["events"]:
            self._events = EventLog(self._reactor, _appending(Path(options["events"])))
            self.server.events.listen_all(self._events.write)
            if options["trace"]:
                self.server.trace(self._events.trace)

    async def serve(self) -> None:
        await self.server.serve()
        if self._development is not None:
            await self._development.seed()
        ready = self.ready()
        if self._options["ready-file"]:
            self._write_ready(Path(self._options["ready-file"]), ready)
        if self._development is not None:
            self._write_ready(default_ready_file(), ready)
            self._development.greet(ready)

    async def stop(self) -> None:
        await self.server.stop()
        if self._development is not None:
            await self._development.stop()
        if self._events is not None:
            self._events.close()
        for path in self._ready_files:
            path.unlink(missing_ok=True)

    def ready(self) -> dict[str, Any]:
        """What a harness needs to know, as it stands in the ready file."""
        server = self.server
        told: dict[str, Any] = {
            "pid": os.getpid(),
            "domain": next(iter(server.config.domains)),
            "admin": str(server.config.admin_socket),
            "events": self._options["events"],
        }
        for name, key in (("client", "c2s"), ("client_tls", "c2s_tls"), ("component", "component")):
            ports = server.ports.get(name)
            if ports:
                told[key] = _place(ports[0].getHost())
        if self._development is not None:
            told.update(self._development.ready())
        return told

    def _write_ready(self, path: Path, ready: Mapping[str, Any]) -> None:
        """Put the file under its name at once, for nobody else to read."""
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(ready) + "\n")
        os.replace(temporary, path)
        self._ready_files.append(path)


def default_ready_file() -> Path:
    """Where a development server tells `pushdctl` that it runs."""
    return Path(tempfile.gettempdir()) / f"pushd-dev-{os.getuid()}.json"


def _appending(path: Path) -> IO[str]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return open(descriptor, "a", encoding="utf-8")


def _place(address: IPv4Address | IPv6Address) -> dict[str, Any]:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104
    return {"host": host, "port": address.port}
