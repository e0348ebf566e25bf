"""XEP-0198 between servers: what a peer has acknowledged, and what we acknowledge to it.

Nothing is resumed. What a stream that broke has not had acknowledged goes over the next one,
so that nothing is lost, though the peer may get something twice (XEP-0198 §4).
"""

from collections import deque

from pushd.net.xmlprotocol import XMLStream
from pushd.routing.delivery import ASK, answer
from pushd.s2s.pairs import Waiting
from pushd.storage.sqlite import Database
from pushd.wire.acks import MODULUS
from pushd.wire.element import element
from pushd.wire.errors import StreamError
from pushd.wire.namespaces import NS_SM

ENABLE = f"<enable xmlns='{NS_SM}'/>".encode()
ENABLED = f"<enabled xmlns='{NS_SM}'/>".encode()


class Sent:
    """What was sent and not acknowledged, in order, since the peer counts."""

    def __init__(self, stream: XMLStream) -> None:
        self._stream = stream
        self._entries: deque[Waiting] = deque()
        self._acked = 0
        self._is_asked = False
        self.size = 0  # bytes that are not acknowledged
        self.asked_at: float | None = None  # since when the peer owes an acknowledgement

    def sent(self, one: Waiting, now: float) -> None:
        """That was sent; ask for a count, if none is awaited."""
        self._entries.append(one)
        self.size += one.size
        if not self._is_asked:
            self._ask(now)

    def acknowledged(self, h: int | None, now: float) -> None:
        """The peer has that many. Raises StreamError for a count that cannot be."""
        if h is None:
            raise StreamError("bad-format", "h is a count below 2**32")
        covered = (h - self._acked) % MODULUS
        if covered > len(self._entries):
            sent = (self._acked + len(self._entries)) % MODULUS
            names = {"h": str(h), "send-count": str(sent)}
            extra = element(NS_SM, "handled-count-too-high", **names)
            raise StreamError("undefined-condition", "more than was sent", extra)
        for _ in range(covered):
            self.size -= self._entries.popleft().size
        self._acked = h
        self._is_asked = False
        self.asked_at = None
        if self._entries and covered:
            self._ask(now)

    def rest(self) -> list[Waiting]:
        """What was not acknowledged: the stream is gone."""
        left, self._entries = list(self._entries), deque()
        self.size = 0
        return left

    def _ask(self, now: float) -> None:
        self._is_asked = True
        self.asked_at = now
        self._stream.send(ASK)


class Received:
    """How many stanzas came since the peer asked us to count, and how many are safe.

    Those are on disk, or wherever the hall has put them. Who asks is told at once, and once more
    when what it had sent by then is safe.
    """

    def __init__(self, stream: XMLStream, database: Database) -> None:
        self._stream = stream
        self._database = database
        self._safe = 0
        self._is_waiting = False
        self._is_asked_again = False
        self.received = 0

    def say(self) -> None:
        """The peer asks."""
        number = self.received
        if self._is_waiting:
            self._is_asked_again = True
        elif number != self._safe:
            self._is_waiting = True
            self._database.committed().addCallbacks(
                self._committed, self._failed, callbackArgs=(number,)
            )
            if not self._is_waiting:
                return
        self._stream.send(answer(self._safe % MODULUS))

    def _committed(self, ignored: None, number: int) -> None:
        self._is_waiting = False
        self._safe = number
        self._stream.send(answer(number % MODULUS))
        if self._is_asked_again and self.received != number:
            self._is_asked_again = False
            self.say()

    def _failed(self, failure: object) -> None:
        """Storage fails; the count stands still until it is back, and the peer asks."""
        self._is_waiting = False
