"""How many connections may be open, and how many of those that have not said who they are.

Each costs memory, a descriptor and, before the login, a timer (RFC 6120 §13.12); strangers
can open as many as they like.
"""

from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.logger import Logger

from pushd.net.origins import Origins

log = Logger()

SILENCE = 60.0  # seconds between two lines in the log about refusals


@dataclass(frozen=True, slots=True)
class Quota:
    """How many there may be, in all and from one address."""

    total: int
    per_address: int


class Admission:
    """Counts connections and the strangers among them, in all and by their origin.

    An origin that is exempt is only counted in all: whoever comes from there through a
    proxy comes from one address.
    """

    def __init__(
        self,
        clock: IReactorTime,
        strangers: Quota,
        connections: Quota,
        origins: Origins | None = None,
    ) -> None:
        self._clock = clock
        self._origins = origins or Origins()
        self.strangers = Tally(strangers)
        self.connections = Tally(connections)
        self._silent_until = 0.0
        self._waiting: list[Deferred[None]] = []

    def limit(self, strangers: Quota, connections: Quota, origins: Origins) -> None:
        """From now on these hold; whoever is there stays."""
        self.strangers.quota = strangers
        self.connections.quota = connections
        self._origins = origins

    def admit(self, address: IAddress | None) -> "Guest | None":
        """Let one in, until it leaves; None when there are too many."""
        host = str(getattr(address, "host", ""))
        origin = self._origins.of(host)
        if not self.connections.has_room(origin):
            self._tell(host, f"{len(self.connections)} are open")
            return None
        if not self.strangers.has_room(origin):
            self._tell(host, f"{len(self.strangers)} are not logged in")
            return None
        self.connections.add(origin)
        self.strangers.add(origin)
        return Guest(self, origin)

    def emptied(self) -> "Deferred[None]":
        """Fires as soon as no connection is open."""
        told: Deferred[None] = Deferred()
        self._waiting.append(told)
        self._tell_if_empty()
        return told

    def left(self, origin: str) -> None:
        """A connection is gone."""
        self.connections.remove(origin)
        if self._waiting:
            self._tell_if_empty()

    def _tell_if_empty(self) -> None:
        if not len(self.connections):
            waiting, self._waiting = self._waiting, []
            for told in waiting:
                if not told.called:
                    told.callback(None)

    def _tell(self, host: str, reason: str) -> None:
        now = self._clock.seconds()
        if now >= self._silent_until:
            self._silent_until = now + SILENCE
            log.warn(
                "refusing connections, such as one from {host}: {reason}", host=host, reason=reason
            )


class Tally:
    """A count, in all and by origin, and its quota, which may change at any time."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self._count = 0
        self._origins: dict[str, int] = {}

    def __len__(self) -> int:
        return self._count

    def has_room(self, origin: str) -> bool:
        """Whether one more fits in; "" is an origin that is not counted by itself."""
        if self._count >= self.quota.total:
            return False
        return not origin or self._origins.get(origin, 0) < self.quota.per_address

    def add(self, origin: str) -> None:
        """One more, from there."""
        self._count += 1
        self._origins[origin] = self._origins.get(origin, 0) + 1

    def remove(self, origin: str) -> None:
        """One less, of those that were added."""
        self._count -= 1
        self._origins[origin] -= 1
        if not self._origins[origin]:
            del self._origins[origin]


class Guest:
    """A connection that was let in: a stranger until `settle`, there until `leave`.

    Both may be said more than once.
    """

    __slots__ = ("_admission", "_is_stranger", "origin")

    def __init__(self, admission: Admission, origin: str) -> None:
        self._admission: Admission | None = admission
        self._is_stranger = True
        self.origin = origin  # empty for one without limits for its address

    def settle(self) -> None:
        """It has said who it is."""
        if self._is_stranger and self._admission is not None:
            self._is_stranger = False
            self._admission.strangers.remove(self.origin)

    def leave(self) -> None:
        """The connection is gone."""
        self.settle()
        if self._admission is not None:
            self._admission.left(self.origin)
            self._admission = None
