"""XEP-0198: what was sent and is not acknowledged, and what was received and is safe.

Counters on the wire wrap at 2**32 (§4); inside they do not.
"""

from collections import deque
from collections.abc import Callable, Iterator

MODULUS = 1 << 32


class Copies:
    """What the copies of one message share: whether any receiver acknowledged its own.

    `held` counts the queues that got one and did not let go of it unacknowledged. `rows` are
    the numbers of those that were stored; `tell` is called with them at the first
    acknowledgement.
    """

    __slots__ = ("_tell", "acknowledged", "held", "rows")

    def __init__(self, tell: Callable[[list[int]], None] | None = None) -> None:
        self.acknowledged = False
        self.held = 0
        self.rows: list[int] = []
        self._tell = tell

    def acknowledge(self) -> None:
        """One of the receivers has it."""
        if not self.acknowledged:
            self.acknowledged = True
            if self.rows and self._tell is not None:
                self._tell(self.rows)

    def let_go(self) -> bool:
        """A queue ends with its copy; tells whether the message is now nobody's."""
        self.held -= 1
        return not self.acknowledged and not self.held


Entry = tuple[bytes, float, Copies | None]


class HandledCountTooHigh(Exception):
    """The peer acknowledges more than it was sent (§4): `h` and `sent`, as on the wire."""

    def __init__(self, h: int, sent: int) -> None:
        super().__init__(f"h={h}, sent={sent}")
        self.h = h
        self.sent = sent


class AckQueue:
    """The stanzas sent to a peer that it has not acknowledged, oldest first.

    An entry is the bytes, the instant (seconds since the epoch) at which they were
    queued, and what it shares with its copies. `acked` counts what is acknowledged,
    without wrapping.
    """

    __slots__ = ("acked", "entries", "lenient", "size")

    def __init__(self, acked: int = 0, lenient: bool = False) -> None:
        self.acked = acked
        self.entries: deque[Entry] = deque()
        self.size = 0  # bytes in the entries
        self.lenient = lenient  # after a crash the peer may know more than we stored

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    @property
    def sent(self) -> int:
        """How many stanzas were sent in all, without wrapping."""
        return self.acked + len(self.entries)

    def append(self, data: bytes, at: float, copies: Copies | None = None) -> None:
        self.entries.append((data, at, copies))
        if copies is not None:
            copies.held += 1
        self.size += len(data)

    def acknowledge(self, h: int) -> int:
        """Drop what `h` covers; give how many entries that were.

        Raises HandledCountTooHigh, and drops nothing, when `h` is beyond what was sent.
        A queue recovered from storage accepts once a count above its own: the peer was
        sent more than the last commit before the crash knew of.
        """
        covered = (h - self.acked) % MODULUS
        entries = self.entries
        if covered > len(entries):
            if not self.lenient or covered >= MODULUS // 2:
                raise HandledCountTooHigh(h, self.sent % MODULUS)
            dropped = len(entries)
        else:
            dropped = covered
        for _ in range(dropped):
            data, _at, copies = entries.popleft()
            self.size -= len(data)
            if copies is not None:
                copies.acknowledge()
        self.lenient = False
        self.acked += covered
        return dropped


class Handled:
    """The stanzas received from a peer: how many came, and how many are safe.

    A number is safe once its stanza is committed or needs no commit. Requests whose
    answer is still to come hold the count back, since a crash would lose the answer.
    """

    __slots__ = ("_open", "received", "safe")

    def __init__(self, safe: int = 0) -> None:
        self.received = safe
        self.safe = safe
        self._open: deque[int] = deque()

    @property
    def h(self) -> int:
        """The count to report (§4)."""
        return self.safe % MODULUS

    @property
    def is_behind(self) -> bool:
        return self.safe != self.received

    def count(self) -> int:
        """One more stanza came: its number."""
        self.received += 1
        return self.received

    def hold(self, number: int) -> None:
        """Stanza `number` is not safe until it is released, whatever is committed."""
        self._open.append(number)

    def release(self, number: int) -> None:
        if number in self._open:
            self._open.remove(number)

    def waive(self) -> None:
        """Hold nothing back any more.

        A resumption tells the peer all that came, lest it sends requests again that are being
        answered; and no later count may be lower.
        """
        self._open.clear()

    def committable(self) -> int:
        """What will be safe once all that is now waiting is committed."""
        return min(self._open) - 1 if self._open else self.received

    def commit(self, number: int) -> bool:
        """All up to `number` is safe; tells whether that is news."""
        if number <= self.safe:
            return False
        self.safe = number
        return True
