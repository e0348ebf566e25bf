"""XEP-0352: what a client that says it is inactive need not hear at once is held for it.

Held are the availability of others, of which only the newest of each sender is kept, and
messages that hold nothing but chat states. Anything else goes out at once, and what is held
goes out before it: in the order in which it came, with the time when it came (XEP-0203).
`<active/>` has all of it sent, and so has a bound on what is held. Nothing is ever reordered.

What is held stands in the session's queue (XEP-0198) as what was not sent yet: it is committed
like the rest, so that what its senders are told (`h`) holds, its client cannot acknowledge it,
and it waits on when the stream is lost. A resumed stream is active (§5). Without XEP-0198 it is
held in memory, and goes nowhere when the session ends: it is of those who are there.

PEP events are not held, as only their receiver knows which of them matter.
"""

from collections.abc import Callable

from pushd.modules.base import Module
from pushd.routing.delivery import Delivery, stamped
from pushd.routing.sessions import Session
from pushd.wire.acks import AckQueue, Copies
from pushd.wire.carbons import opened
from pushd.wire.element import child, children, element
from pushd.wire.fleeting import are_fleeting
from pushd.wire.namespaces import NS_CHAT_STATES, NS_CSI, NS_MUC_USER
from pushd.wire.stanza import RECEIVED_CARBON, SENT_CARBON, Stanza

STANZAS = 256  # what is held for one client at most
BYTES = 256 * 1024

CHAT_STATE = f"{NS_CHAT_STATES} "
MUC_USER = f"{NS_MUC_USER} x"
CARBONS = frozenset((RECEIVED_CARBON, SENT_CARBON))


class ClientState(Module):
    xep = 352

    async def start(self) -> None:
        self.host.stream_features.append(element(NS_CSI, "csi"))
        self.host.delivery.inactive = self._inactive

    def _inactive(self, session: Session) -> None:
        session.held = Held(session, self.host.delivery, self.host.clock.seconds)


class Held:
    """The newest entries of a queue, which an inactive client is not sent yet."""

    __slots__ = ("_delivery", "_own", "_seconds", "_senders", "_session", "_size")

    def __init__(self, session: Session, delivery: Delivery, seconds: Callable[[], float]) -> None:
        self._session = session
        self._delivery = delivery
        self._seconds = seconds
        self._own = AckQueue()  # in place of the session's, where it has none
        self._senders: list[str] = []  # for each entry: whose presence it is, or ""
        self._size = 0

    def takes(self, stanza: Stanza, copies: Copies | None) -> bool:
        """Whether the stanza is held. Otherwise all that was held has just been sent."""
        session = self._session
        is_presence = stanza.name == "presence"
        if is_presence:
            can_wait = is_availability(stanza, session.full)
        else:
            can_wait = is_chat_state(stanza, session.account)
        if not can_wait:
            self.flush()
            return False
        sender = stanza.attributes["from"] if is_presence else ""
        if sender and sender in self._senders:
            self._forget(self._senders.index(sender))
        now = self._seconds()
        data = stamped(stanza.raw, stanza, session.jid.domain, now)
        if session.queue is None and copies is not None:
            copies.acknowledge()
            copies = None
        queue = self._queue
        queue.append(data, now, copies)
        queue.unsent += 1
        self._senders.append(sender)
        self._size += len(data)
        self._delivery.touch(session)
        if len(self._senders) > STANZAS or self._size > BYTES:
            self.flush()
        return True

    def flush(self) -> None:
        """Send what is held."""
        session, queue = self._session, self._queue
        held, stream = len(self._senders), session.stream
        if not held or stream is None:
            return
        for data, _, _ in queue.entries[len(queue.entries) - held :]:
            stream.send(data)
        queue.unsent = 0
        self._senders.clear()
        self._size = 0
        if session.queue is None:
            queue.entries.clear()
            queue.size = 0
        elif not session.asked:
            self._delivery.ask_again(session)

    def leave(self) -> None:
        """The session has lost its stream: newer presence replaces what waits, as for others."""
        queue = self._session.queue
        if queue is not None:
            first = queue.sent - len(self._senders)
            for number, sender in enumerate(self._senders, first):
                if sender:
                    self._session.presences[sender] = number
            queue.unsent = 0

    @property
    def _queue(self) -> AckQueue:
        queue = self._session.queue
        return self._own if queue is None else queue

    def _forget(self, number: int) -> None:
        """Take out what a newer one replaces."""
        session, queue = self._session, self._queue
        place = len(queue.entries) - len(self._senders) + number
        self._size -= len(queue.entries[place][0])
        queue.remove(place)
        queue.unsent -= 1
        del self._senders[number]
        if place < len(session.rows):
            session.forgotten.append(session.rows[place])
            del session.rows[place]


def is_availability(presence: Stanza, receiver: str) -> bool:
    """Whether it tells of somebody else's availability, and nothing that is waited for.

    Presence of a room that has a status code or a `<destroy/>` is: by that a client learns that
    it is in the room, or out (XEP-0045 §7.2, §8.2, §10.9).
    """
    sender = presence.attributes.get("from", "")
    if not sender or sender == receiver or presence.type not in ("", "unavailable"):
        return False
    if MUC_USER not in presence.children:
        return True
    room = child(presence.tree, NS_MUC_USER, "x")
    return room is not None and all(one.name == "item" for one in children(room))


def is_chat_state(stanza: Stanza, account: str) -> bool:
    """Whether it is a message with chat states alone (XEP-0085), or a carbon of one."""
    if stanza.name != "message" or stanza.type == "error":
        return False
    if not CARBONS.isdisjoint(stanza.children):
        stanza = opened(stanza, account)
    names = stanza.children
    return are_fleeting(names) and any(name.startswith(CHAT_STATE) for name in names)
