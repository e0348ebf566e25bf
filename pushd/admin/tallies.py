"""What happened since the start, counted from events; nothing on the way of a message counts.

Labels come from small closed sets: a reason that anybody could have worded becomes a class.
"""

from collections import Counter, deque

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pushd.admin.pushtallies import PushTallies
from pushd.routing.events import (
    Events,
    PeerConnected,
    PeerUnreachable,
    SessionBound,
    SessionDetached,
    SessionEnded,
    Undelivered,
)

PERIOD = 1.0  # seconds between two looks at the reactor
REMEMBERED = 60  # looks, of which the longest lag is told

# What the hall and the doors say when they detach a session, and the classes of that. What is
# not here comes from the system: the connection broke.
REASONS = {
    "Connection was closed cleanly.": "closed",
    "system-shutdown": "shutdown",
    "the server stopped": "shutdown",
    "its client acknowledges nothing": "overflow",
    "lost while it was resumed": "lost",
    "storage fails": "storage",
    "reset": "password",
    "it does not answer": "silent",
}
# The stream errors of RFC 6120 §4.9.3 that a client earns.
OFFENCES = frozenset(
    (
        "bad-format",
        "bad-namespace-prefix",
        "invalid-from",
        "invalid-namespace",
        "invalid-xml",
        "not-authorized",
        "not-well-formed",
        "policy-violation",
        "restricted-xml",
        "undefined-condition",
        "unsupported-encoding",
        "unsupported-feature",
        "unsupported-stanza-type",
    )
)


class PeerTallies:
    """Of streams between servers."""

    def __init__(self, events: Events) -> None:
        self.connected: Counter[tuple[str, str]] = Counter()  # by direction and method
        self.failed: Counter[str] = Counter()  # by step
        events.listen(PeerConnected, self._connected)
        events.listen(PeerUnreachable, self._failed)

    def _connected(self, event: PeerConnected) -> None:
        self.connected["out" if event.outgoing else "in", event.method] += 1

    def _failed(self, event: PeerUnreachable) -> None:
        self.failed[event.step] += 1


class Tallies:
    """Counts by name; each key is the tuple of its labels."""

    def __init__(self, events: Events) -> None:
        self.bound = 0
        self.ended = 0
        self.detached: Counter[str] = Counter()  # by class of reason
        self.undelivered: Counter[str] = Counter()  # by cause
        self.push = PushTallies(events)
        self.peers = PeerTallies(events)
        events.listen(SessionBound, self._bound)
        events.listen(SessionEnded, self._ended)
        events.listen(SessionDetached, self._detached)
        events.listen(Undelivered, self._undelivered)

    def _bound(self, event: SessionBound) -> None:
        self.bound += 1

    def _ended(self, event: SessionEnded) -> None:
        self.ended += 1

    def _detached(self, event: SessionDetached) -> None:
        self.detached[class_of(event.reason)] += 1

    def _undelivered(self, event: Undelivered) -> None:
        self.undelivered[event.cause._value_] += 1  # not by way of a descriptor


def class_of(reason: str) -> str:
    """What kind of reason this is for a session to be detached."""
    return REASONS.get(reason) or ("offence" if reason in OFFENCES else "lost")


class Lag:
    """How late the reactor comes to what was to be done at an instant."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._due = 0.0
        self._call: IDelayedCall | None = None
        self._latest: deque[float] = deque(maxlen=REMEMBERED)
        self.looks = 0
        self.seconds = 0.0  # in all

    @property
    def longest(self) -> float:
        """Of the last minute, in seconds; a stall that lasts counts when it is over."""
        return max(self._latest, default=0.0)

    def start(self) -> None:
        self._due = self._clock.seconds() + PERIOD
        self._call = self._clock.callLater(PERIOD, self._look)

    def stop(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def _look(self) -> None:
        late = max(0.0, self._clock.seconds() - self._due)
        self.looks += 1
        self.seconds += late
        self._latest.append(late)
        self.start()
