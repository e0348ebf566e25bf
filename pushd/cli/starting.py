"""From options to a running server: the configured one, or the one for development."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.logger import Logger

from pushd.admin.eventlog import EventLog
from pushd.admin.operations import Refused
from pushd.cli import ready as ready_files
from pushd.cli.logs import Observer
from pushd.cli.notify import ServiceManager
from pushd.cli.rereading import Rereading
from pushd.config.sections import Config
from pushd.service import Server

if TYPE_CHECKING:
    from pushd.cli.development import Development

log = Logger()

DOORS = {  # the names of `listen:`, their keys in the ready file, and what they are
    "client": ("c2s", "clients, STARTTLS"),
    "client_tls": ("c2s_tls", "clients, direct TLS"),
    "component": ("component", "components"),
    "server": ("s2s", "servers, STARTTLS"),
    "server_tls": ("s2s_tls", "servers, direct TLS"),
    "metrics": ("metrics", "metrics and health, HTTP"),
}


class Starting:
    """One server, its event log and its ready file."""

    def __init__(
        self, options: Mapping[str, Any], reactor: Any, observer: Observer | None = None
    ) -> None:
        self._options = options
        self._reactor = reactor
        self._observer = observer
        self._reread: Rereading | None = None
        self._events: EventLog | None = None
        self._development: Development | None = None
        self._ready_files: list[Path] = []
        self._is_stopping = False
        self._manager = ServiceManager(reactor)
        self.server: Server

    def open(self) -> None:
        """Take everything that may be refused; `words.explain` knows the errors of that.

        What was made for this run alone is gone again when it fails.
        """
        options = self._options
        if options["ready-file"]:
            ready_files.check(options["ready-file"])
        if options["events"]:
            self._events = EventLog(self._reactor, _appending(options["events"]))
        try:
            self.server = self._opened()
            if options["ready-file"]:  # which is none of another server that has the same data
                options["ready-file"].unlink(missing_ok=True)
        except BaseException:
            if self._development is not None:
                self._development.discard()
            if self._events is not None:
                self._events.close()
            raise
        if self._events is not None:
            self.server.events.listen_all(self._events.write)
            if options["trace"]:
                self.server.trace(self._events.trace)
        config = options["configuration"]
        if config is not None and config.path is not None:
            self._reread = Rereading(self.server, config.path, self._observer)
            self.server.reread = self._read_again

    def _opened(self) -> Server:
        options = self._options
        if not options["dev"]:
            config: Config = options["configuration"]
            server = Server(config, self._reactor)
            server.open()
            return server
        from pushd.cli.development import Development

        self._development = Development(
            self._reactor, options["listen"], options["data"], bool(options["free-ports"])
        )
        return self._development.open()

    async def serve(self) -> None:
        """Answer, and tell so. Raises what reading storage and writing files may raise."""
        self._manager.begin()
        await self.server.serve()
        if self._development is not None:
            await self._development.seed()
        if self._is_stopping:
            return
        ready = self.ready()
        if self._options["ready-file"]:
            self._write_ready(self._options["ready-file"], ready)
        if self._development is not None:
            self._tell_pushdctl(ready)
            self._development.greet(ready)
        else:
            self._tell_log()
        self._manager.ready(f"serving {', '.join(self.server.config.names)}")

    def hang_up(self) -> None:
        """SIGHUP: read the configuration again, and begin the event log's file anew."""
        if self._events is not None:
            try:
                self._events.go_on_in(_appending(self._options["events"]))
            except OSError as error:
                log.error("the event log goes on as it was: {reason}", reason=str(error))
        if self._reread is not None:
            with contextlib.suppress(Refused):  # the log has it
                self._read_again()

    def _read_again(self) -> dict[str, Any]:
        """See `Rereading`; systemd is told that it happens."""
        assert self._reread is not None
        with self._manager.reloading():
            return self._reread()

    async def stop(self) -> None:
        """Stop in order; also while `serve` is still at it."""
        self._is_stopping = True
        self._manager.stopping()
        for path in self._ready_files:
            path.unlink(missing_ok=True)
        try:
            await self.server.stop()
        finally:
            if self._development is not None:
                await self._development.stop()
            if self._events is not None:
                self._events.close()
            self._manager.end()

    def ready(self) -> dict[str, Any]:
        """What a harness needs to know, as it stands in the ready file."""
        server, events = self.server, self._options["events"]
        told: dict[str, Any] = {
            "pid": os.getpid(),
            "domain": server.config.names[0],
            "admin": str(server.config.admin_socket.absolute()),
            "events": str(events) if events else None,
        }
        for name, (key, _) in DOORS.items():
            for port in server.ports.get(name, ())[:1]:
                told[key] = _place(port.getHost())
        if self._development is not None:
            told.update(self._development.ready())
        return told

    def _tell_log(self) -> None:
        """A line for each listener."""
        for name, (_, what) in DOORS.items():
            for port in self.server.ports.get(name, ()):
                address = port.getHost()
                host = f"[{address.host}]" if ":" in address.host else address.host
                log.info(
                    "{what}: listening on {host}:{port}", what=what, host=host, port=address.port
                )
        log.info("pushdctl: listening on {path}", path=str(self.server.config.admin_socket))
        log.info("serving {domains}", domains=", ".join(self.server.config.names))

    def _tell_pushdctl(self, ready: Mapping[str, Any]) -> None:
        """Let it find us; it can be told where we are as well."""
        try:
            self._write_ready(ready_files.own(), ready)
        except OSError as error:
            log.warn("pushdctl will not find this server by itself: {reason}", reason=str(error))

    def _write_ready(self, path: Path, ready: Mapping[str, Any]) -> None:
        ready_files.write(path, ready)
        self._ready_files.append(path)


def _appending(path: Path) -> IO[str]:
    """The file, to be continued on a line of its own even where a kill cut the last one short."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.write(descriptor, b"\n")
    return open(descriptor, "a", encoding="utf-8")


def _place(address: IPv4Address | IPv6Address) -> dict[str, Any]:
    """An address and a port to connect to."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104
    return {"host": host, "port": address.port}
