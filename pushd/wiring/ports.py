"""What listens, and how many connections each door takes."""

import os
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from pushd import measures
from pushd.config.kinds import Endpoint
from pushd.config.sections import Config
from pushd.net.admission import Admission
from pushd.net.descriptors import RESERVE, make_room
from pushd.net.origins import Origins
from pushd.net.prompt import PromptPort
from pushd.net.tls import DirectTLS, Front

log = Logger()

BACKLOG = 512  # connections that may wait to be accepted


class Ports:
    """The ports by the names of `listen:`, and the counts of connections by the kind of door.

    Ports are bound at once, so that a port that is taken is known before anything else happens;
    they accept connections from `start` on.
    """

    def __init__(self, reactor: Any, config: Config) -> None:
        self.by_name: dict[str, list[Any]] = {}
        self.admissions: dict[str, Admission] = {}
        self._reactor = reactor
        self._config = config
        self._room = 0  # connections that the system has descriptors for
        self._origins = Origins(config.limits.exempt_networks)

    def make_room(self) -> None:
        """So many files may be open; say so where that bounds the connections."""
        wanted = self._config.limits.connections
        self._room = make_room(wanted)
        if self._room < wanted and self._config.is_open:
            log.warn(
                "no more than {room} connections instead of {wanted} (limits.connections): the "
                "system allows {files} open files; raise that by LimitNOFILE= or ulimit -n, or "
                "lower the option",
                room=self._room,
                wanted=wanted,
                files=self._room + RESERVE,
            )

    def admission(self, door: str) -> Admission:
        """The count of a door of its own: clients keep no component out, nor the other way."""
        admission = self.admissions[door] = Admission(
            self._reactor, *measures.quotas(self._config, self._room), self._origins
        )
        return admission

    def limit(self, config: Config) -> None:
        """From now on the limits of this configuration hold; whoever is there stays."""
        self._config = config
        self.make_room()
        self._origins = Origins(config.limits.exempt_networks)
        for admission in self.admissions.values():
            admission.limit(*measures.quotas(config, self._room), self._origins)

    def bind(
        self, name: str, endpoints: tuple[Endpoint, ...], factory: Factory, tls: Front | None = None
    ) -> None:
        """Bind, but accept nothing yet. Raises CannotListenError."""
        served = factory if tls is None else DirectTLS(tls, factory)
        for endpoint in endpoints:
            port = PromptPort(endpoint.port, served, BACKLOG, endpoint.host or "::", self._reactor)
            port.startListening()
            port.stopReading()  # type: ignore[no-untyped-call]
            self.add(name, port)

    def add(self, name: str, port: Any) -> None:
        """Take a port that somebody else has bound."""
        self.by_name.setdefault(name, []).append(port)

    def start(self) -> None:
        """Accept connections."""
        for ports in self.by_name.values():
            for port in ports:
                port.startReading()

    def places(self) -> dict[str, list[str]]:
        """Where the server listens at this moment, by the names of `listen:`."""
        return {
            name: [_place(port.getHost()) for port in ports if port.connected]
            for name, ports in self.by_name.items()
        }

    def close(self) -> None:
        """All but the one that tells that the server stops."""
        for name, ports in self.by_name.items():
            for port in ports if name != "metrics" else ():
                port.stopListening()

    def close_metrics(self) -> None:
        """The one that is left."""
        for port in self.by_name.get("metrics", ()):
            port.stopListening()


def _place(address: Any) -> str:
    """Where a port listens, as text."""
    if isinstance(address, UNIXAddress):
        return os.fsdecode(address.name or b"")
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"
