"""The last decisions of push: whether a stanza woke a device, why or why not, and what came of it.

A ring for each account, in memory; it only listens. Bodies are never among what is told, and a
sender is only where the account lets pushes name senders.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from pushd.routing.events import (
    AccountRemoved,
    Events,
    PublishAnswered,
    PublishReceived,
    PushDecided,
    PushSettled,
)
from pushd.routing.pushing import digest

MOST_RECORDS = 100  # of an account
MOST_ACCOUNTS = 1_000  # those of which something was decided last
MOST = 20_000  # of all, some 400 bytes each


# What is decided of stanzas that wake nobody by their kind is one record with a count, lest
# the presence of contacts drives out what somebody may ask about; and so is what is decided of
# all but calls that comes for an account without a device.
WORTHWHILE = frozenset(("message", "call", "subscription", ""))
CALLS = frozenset(("call",))


@dataclass(frozen=True, slots=True)
class Record:
    """A decision, or what an answer to a publish or a provider's answer made of it."""

    at: float  # seconds since the epoch; of the last one, where there were several
    service: str  # "" where the account has nothing enabled, as with the node
    node: str  # its digest
    what: str
    why: str
    kind: str = ""  # of the stanza
    sender: str = ""  # a bare JID
    times: int = 1


_Happened = PushDecided | PublishAnswered | PublishReceived | PushSettled


@dataclass(slots=True)
class _Kept:
    event: _Happened
    at: float
    times: int = 1


class Decisions:
    """The rings of all accounts. `is_known` tells whether there is such an account here.

    What comes of the pushes of one that was removed is not told to who has its name next.
    """

    def __init__(
        self, clock: IReactorTime, events: Events, is_known: Callable[[str], bool]
    ) -> None:
        self._clock = clock
        self._is_known = is_known
        # By what makes them one where they are counted, else by a number.
        self._rings: OrderedDict[str, OrderedDict[object, _Kept]] = OrderedDict()
        self._next = 0
        self._count = 0  # of all records
        events.listen(PushDecided, self._decided)
        events.listen(PublishAnswered, self._came)
        events.listen(PublishReceived, self._received)
        events.listen(PushSettled, self._settled)
        events.listen(AccountRemoved, self._forget)

    def of(self, account: str) -> list[Record]:
        """The records of a bare JID, the oldest first."""
        return [_record(one) for one in self._rings.get(account, {}).values()]

    def _decided(self, event: PushDecided) -> None:
        if event.pushed or event.kind in (WORTHWHILE if event.service else CALLS):
            self._keep(event)
            return
        ring = self._ring(event.account)
        key = (event.service, event.node, event.reason, event.kind, event.sender)
        known = ring.get(key)
        if known is None:
            self._add(ring, key, event)
        else:
            known.at = self._clock.seconds()
            known.times += 1
            ring.move_to_end(key)

    def _keep(self, event: _Happened) -> None:
        self._next += 1
        self._add(self._ring(event.account), self._next, event)

    def _ring(self, account: str) -> OrderedDict[object, _Kept]:
        ring = self._rings.get(account)
        if ring is None:
            ring = self._rings[account] = OrderedDict()
            if len(self._rings) > MOST_ACCOUNTS:
                self._drop_oldest()
        else:
            self._rings.move_to_end(account)
        return ring

    def _add(self, ring: OrderedDict[object, _Kept], key: object, event: _Happened) -> None:
        ring[key] = _Kept(event, self._clock.seconds())
        if len(ring) > MOST_RECORDS:
            ring.popitem(last=False)
            return
        self._count += 1
        if self._count > MOST:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        """Forget the account of which nothing was decided for longest."""
        _, ring = self._rings.popitem(last=False)
        self._count -= len(ring)

    def _received(self, event: PublishReceived) -> None:
        """What was accepted is told of by the answer, and when it is settled."""
        if event.account and event.outcome != "accepted":
            self._came(event)

    def _settled(self, event: PushSettled) -> None:
        if event.account:  # whose it is, only those who registered have said
            self._came(event)

    def _came(self, event: PublishAnswered | PublishReceived | PushSettled) -> None:
        if self._is_known(event.account):
            self._keep(event)

    def _forget(self, event: AccountRemoved) -> None:
        self._count -= len(self._rings.pop(event.account, ()))


def _record(kept: _Kept) -> Record:
    at, event = kept.at, kept.event
    node = digest(event.node)
    match event:
        case PushDecided():
            what = "push" if event.pushed else "no push"
            said = (what, event.reason, event.kind, event.sender)
            return Record(at, event.service, node, *said, kept.times)
        case PublishAnswered():
            return Record(at, event.service, node, f"publish {event.outcome}", event.condition)
        case PublishReceived():
            return Record(at, event.service, node, f"publish {event.outcome}", event.reason)
        case PushSettled():
            return Record(at, event.service, node, f"provider: {event.outcome}", event.reason)
