"""XEP-0198 between servers: what a peer has acknowledged, and what we acknowledge to it.

Nothing is resumed. What a stream that broke has not had acknowledged goes over the next one,
so that nothing is lost, though the peer may get something twice (XEP-0198 §4). Of a peer that
does not count we know what its machine has confirmed, and have to be content with that.
"""

from collections import deque

from pushd.net.xmlprotocol import XMLStream
from pushd.routing.delivery import ASK, answer
from pushd.s2s.kept import Kept
from pushd.s2s.pairs import Waiting, spoken
from pushd.storage.sqlite import Database
from pushd.wire.acks import MODULUS
from pushd.wire.element import element
from pushd.wire.errors import StreamError
from pushd.wire.namespaces import NS_SM

ENABLE = f"<enable xmlns='{NS_SM}'/>".encode()
ENABLED = f"<enabled xmlns='{NS_SM}'/>".encode()
UNREAD = 256 * 1024  # bytes that wait for a peer that does not read what it has asked for
OFTEN = 100  # stanzas after which to look what has arrived


class Sent:
    """What was sent and is not known to have arrived, in order.

    A peer that counts (`count`) acknowledges it. Of another one we know no more than what its
    machine has confirmed to ours.
    """

    def __init__(self, stream: XMLStream, kept: Kept) -> None:
        self._stream = stream
        self._kept = kept
        self._unsure: deque[tuple[Waiting, int]] = deque()  # with the bytes sent up to its end
        self._bytes = 0
        self._entries: deque[Waiting] = deque()  # since the peer counts
        self.counts = False  # the peer does
        self._acked = 0
        self._is_asked = False
        self.size = 0  # bytes of them
        self.asked_at: float | None = None  # since when the peer owes an acknowledgement

    def count(self) -> None:
        """The peer counts from now on."""
        self.counts = True

    def discount(self) -> None:
        """It does not after all."""
        self.counts = False
        self.asked_at = None
        self.size = 0
        entries, self._entries = self._entries, deque()
        for one in entries:
            self._guess(one, 0)

    def say(self, one: Waiting, now: float) -> None:
        """Send that; ask for a count, if none is awaited."""
        data = spoken(one.stanza)
        self._stream.send(data)
        if not self.counts:
            self._guess(one, len(data))
            return
        self._entries.append(one)
        self.size += one.size
        if not self._is_asked:
            self._ask(now)

    @property
    def is_unread(self) -> bool:
        """Whether too much waits for the peer besides stanzas: answers that it does not read."""
        return self._stream.waiting > self.size + UNREAD

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
            one = self._entries.popleft()
            self.size -= one.size
            self._kept.drop(one)
        self._acked = h
        self._is_asked = False
        self.asked_at = None
        if self._entries and covered:
            self._ask(now)

    def look(self) -> bool:
        """Drop what the peer's machine has confirmed; tells whether nothing is unsure.

        On the connection a stanza takes no fewer bytes than it has. So where those behind it are
        as many as are unconfirmed, or more, it has arrived.
        """
        if not self._unsure:
            return True
        unconfirmed = self._stream.unconfirmed
        while self._unsure and self._bytes - self._unsure[0][1] >= unconfirmed:
            one, _ = self._unsure.popleft()
            self.size -= one.size
            self._kept.drop(one)
        return not self._unsure

    def rest(self) -> list[Waiting]:
        """What is not known to have arrived: the stream is gone."""
        self.look()
        left = [one for one, _ in self._unsure]
        left += self._entries
        self._unsure.clear()
        self._entries.clear()
        self.size = 0
        return left

    def _guess(self, one: Waiting, size: int) -> None:
        self._bytes += size
        self.size += one.size
        self._unsure.append((one, self._bytes))
        if len(self._unsure) == 1:
            self._kept.watch(self)
        elif not len(self._unsure) % OFTEN:
            self.look()

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
