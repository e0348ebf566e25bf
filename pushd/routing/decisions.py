"""The last decisions of push: whether a stanza woke a device, why or why not, and what came of it.

A ring for each account, in memory; it only listens. Bodies are never among what is told, and a
sender is only where the account lets pushes name senders.
"""

from collections import OrderedDict, deque
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
from pushd.wire.secret import Secret

MOST_RECORDS = 100  # of an account
MOST_ACCOUNTS = 1_000  # those of which something was decided last


@dataclass(frozen=True, slots=True)
class Record:
    """A decision, or what an answer to a publish or a provider's answer made of it."""

    at: float  # seconds since the epoch
    service: str  # "" where the account has nothing enabled, as with the node
    node: str  # its digest
    what: str
    why: str
    kind: str = ""  # of the stanza
    sender: str = ""  # a bare JID


_Happened = PushDecided | PublishAnswered | PublishReceived | PushSettled


class Decisions:
    """The rings of all accounts."""

    def __init__(self, clock: IReactorTime, events: Events) -> None:
        self._clock = clock
        self._rings: OrderedDict[str, deque[tuple[float, _Happened]]] = OrderedDict()
        events.listen(PushDecided, self._keep)
        events.listen(PublishAnswered, self._keep)
        events.listen(PublishReceived, self._received)
        events.listen(PushSettled, self._keep)
        events.listen(AccountRemoved, self._forget)

    def of(self, account: str) -> list[Record]:
        """The records of a bare JID, the oldest first."""
        return [_record(at, event) for at, event in self._rings.get(account, ())]

    def _keep(self, event: _Happened) -> None:
        ring = self._rings.get(event.account)
        if ring is None:
            ring = self._rings[event.account] = deque(maxlen=MOST_RECORDS)
            if len(self._rings) > MOST_ACCOUNTS:
                self._rings.popitem(last=False)
        else:
            self._rings.move_to_end(event.account)
        ring.append((self._clock.seconds(), event))

    def _received(self, event: PublishReceived) -> None:
        """What was accepted is told of by the answer, and when it is settled."""
        if event.account and event.outcome != "accepted":
            self._keep(event)

    def _forget(self, event: AccountRemoved) -> None:
        self._rings.pop(event.account, None)


def _record(at: float, event: _Happened) -> Record:
    node = Secret(event.node).digest if event.node else ""
    match event:
        case PushDecided():
            what = "push" if event.pushed else "no push"
            said = (what, event.reason, event.kind, event.sender)
            return Record(at, event.service, node, *said)
        case PublishAnswered():
            return Record(at, event.service, node, f"publish {event.outcome}", event.condition)
        case PublishReceived():
            return Record(at, event.service, node, f"publish {event.outcome}", event.reason)
        case PushSettled():
            return Record(at, event.service, node, f"provider: {event.outcome}", event.reason)
