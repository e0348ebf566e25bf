"""XEP-0198: what was sent and is not acknowledged, and what was received and is safe.

Counters on the wire wrap at 2**32 (§4); inside they do not.
"""

from collections.abc import Callable, Iterator

MODULUS = 1 << 32


class Copies:
    """What the copies of one message share: whether any receiver acknowledged its own.

    `held` counts the queues that got one and did not let go of it unacknowledged. `rows` are
    the numbers of those that were stored; `tell` is called with them at the first
    acknowledgement. `told` names the receivers that have ended and whose devices were told.
    """

    __slots__ = ("_tell", "acknowledged", "held", "rows", "told")

    def __init__(self, tell: Callable[[list[int]], None] | None = None) -> None:
        self.acknowledged = False
        self.held = 0
        self.rows: list[int] = []
        self.told: tuple[str, ...] = ()
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
    without wrapping. `uncertain` is None but for a queue that was recovered from storage:
    so many of its entries may have been sent before the crash, and others of which storage
    knows nothing. `unsent` of the newest entries are held back, so that nobody can
    acknowledge them yet.
    """

    __slots__ = ("acked", "entries", "size", "uncertain", "unsent")

    def __init__(self, acked: int = 0) -> None:
        self.acked = acked
        self.entries: list[Entry] = []  # a deque takes 700 bytes, and there are many sessions
        self.size = 0  # bytes in the entries
        self.uncertain: int | None = None
        self.unsent = 0

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    @property
    def sent(self) -> int:
        """How many stanzas were sent in all, without wrapping, or are to be next."""
        return self.acked + len(self.entries)

    def append(self, data: bytes, at: float, copies: Copies | None = None) -> None:
        self.entries.append((data, at, copies))
        if copies is not None:
            copies.held += 1
        self.size += len(data)

    def date(self, at: float) -> None:
        """The newest entry came at that instant, and elsewhere."""
        data, _at, copies = self.entries[-1]
        self.entries[-1] = (data, at, copies)

    def replace(self, place: int, data: bytes, at: float) -> None:
        """Put this in the place of an entry (0 is the oldest) that was not sent yet."""
        self.size += len(data) - len(self.entries[place][0])
        self.entries[place] = (data, at, None)

    def remove(self, place: int) -> None:
        """Take out an entry (0 is the oldest) that was not sent yet, and is no copy."""
        self.size -= len(self.entries[place][0])
        del self.entries[place]

    def acknowledge(self, h: int) -> int:
        """Drop what `h` covers; give how many entries that were.

        Raises HandledCountTooHigh, and drops nothing, when `h` is beyond what was sent.
        A recovered queue accepts once a count beyond its own. What it was given since the
        crash is not covered, whatever the count: it was not sent yet.
        """
        covered = (h - self.acked) % MODULUS
        entries, uncertain = self.entries, self.uncertain
        dropped = covered
        if uncertain is not None and covered < MODULUS // 2:
            dropped = min(covered, uncertain)
        elif covered > len(entries) - self.unsent:
            raise HandledCountTooHigh(h, (self.sent - self.unsent) % MODULUS)
        gone = entries[:dropped]
        del entries[:dropped]
        for data, _at, copies in gone:
            self.size -= len(data)
            if copies is not None:
                copies.acknowledge()
        self.uncertain = None
        self.acked += covered
        return dropped


class Handled:
    """The stanzas received from a peer: how many came, and how many are safe.

    A number is safe once its stanza is committed or needs no commit. Requests whose
    answer is still to come hold the count back, since a crash would lose the answer.
    """

    __slots__ = ("_open", "_waiting", "received", "safe")

    def __init__(self, safe: int = 0) -> None:
        self.received = safe
        self.safe = safe
        self._open: list[int] = []
        self._waiting: list[Callable[[], object]] = []

    @property
    def h(self) -> int:
        """The count to report (§4)."""
        return self.safe % MODULUS

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
            if not self._open:
                self._tell()

    def when_answered(self, tell: Callable[[], object]) -> None:
        """Call `tell` as soon as nothing is held back: at once, if nothing is."""
        self._waiting.append(tell)
        if not self._open:
            self._tell()

    def waive(self) -> None:
        """Hold nothing back any more: what is still open will be answered, unless we crash."""
        self._open.clear()
        self._tell()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for tell in waiting:
            tell()

    def committable(self) -> int:
        """What will be safe once all that is now waiting is committed."""
        return min(self._open) - 1 if self._open else self.received

    def commit(self, number: int) -> bool:
        """All up to `number` is safe; tells whether that is news."""
        if number <= self.safe:
            return False
        self.safe = number
        return True
