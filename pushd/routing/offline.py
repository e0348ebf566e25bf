"""Messages that wait in storage for an account: how many in memory, the messages on disk.

What is kept, and when it is handed out, is the business of modules.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from weakref import WeakValueDictionary

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime

from pushd.routing.events import AccountRemoved, Events
from pushd.routing.sessions import Session
from pushd.storage.sqlite import Database

BATCH = 100  # messages that are read, and handed to a session, at once
BATCH_BYTES = 1 << 20  # what they may have together, unless it is one
FULL = 500  # messages unacknowledged by a session that is handed no more for now
PAUSE = 0.5  # seconds after which such a session is looked at again

PICKING = "offline"  # the note on a session that fetches what waits by itself (XEP-0013)

INSERT = "INSERT INTO offline (id, account, stanza, at) VALUES (?, ?, ?, ?)"
DELETE = "DELETE FROM offline WHERE id = ?"
DELETE_UP_TO = "DELETE FROM offline WHERE account = ? AND id <= ?"
OLDEST_FIRST = "SELECT id, LENGTH(stanza) FROM offline WHERE account = ? ORDER BY at, id"

Listed = Sequence[tuple[int, int]]  # numbers of messages, and how many bytes each has


class OfflineMessages:
    """The store of all accounts. Numbers of messages grow in the order of storing."""

    def __init__(self, clock: IReactorTime, database: Database, events: Events) -> None:
        self.emptied: Callable[[str], None] = lambda account: None  # told when nothing is left
        self._clock = clock
        self._database = database
        self._counts: dict[str, int] = {}
        self._next = 1
        self._locks: WeakValueDictionary[str, DeferredLock] = WeakValueDictionary()
        events.listen(AccountRemoved, self._forget)

    async def load(self) -> None:
        """Count what the last run left; before anything is routed."""
        rows = await self._database.read(
            "SELECT account, COUNT(*), MAX(id) FROM offline GROUP BY account"
        )
        for account, count, last in rows:
            self._counts[account] = count
            self._next = max(self._next, last + 1)

    def count(self, account: str) -> int:
        return self._counts.get(account, 0)

    @property
    def total(self) -> int:
        """How many messages wait, of all accounts."""
        return sum(self._counts.values())

    def add(self, account: str, raw: bytes, at: float) -> None:
        """Store a message that came at `at`."""
        self._database.write(INSERT, (self._next, account, raw, at))
        self._next += 1
        self._counts[account] = self.count(account) + 1

    def alone(self, account: str) -> DeferredLock:
        """To be held from reading messages of the account until `drop`, so that each goes once."""
        return self._locks.setdefault(account, DeferredLock())

    async def listed(self, account: str) -> Listed:
        """What waits for the account, oldest first. Raises StorageError."""
        return [(number, size) for number, size in await self._read(OLDEST_FIRST, account)]

    async def read(self, account: str, numbers: Sequence[int]) -> dict[int, bytes]:
        """Those of these messages that there are, in this order. Raises StorageError."""
        dated = await self.read_dated(account, numbers)
        return {number: raw for number, (raw, _) in dated.items()}

    async def read_dated(
        self, account: str, numbers: Sequence[int]
    ) -> dict[int, tuple[bytes, float]]:
        """The same, each with the instant at which it came."""
        marks = ", ".join("?" * len(numbers))
        rows = await self._read(
            f"SELECT id, stanza, at FROM offline WHERE account = ? AND id IN ({marks})",  # noqa: S608 - marks only
            account,
            *numbers,
        )
        found: dict[int, tuple[bytes, float]] = {row[0]: (row[1], row[2]) for row in rows}
        return {number: found[number] for number in numbers if number in found}

    def drop(self, account: str, numbers: Iterable[int]) -> None:
        """Delete messages that there are."""
        for number in numbers:
            self._database.write(DELETE, (number,))
            self._count_down(account, 1)

    def purge(self, account: str, listed: Listed) -> None:
        """Delete all that was listed just now."""
        if listed:
            last = max(number for number, _ in listed)
            self._database.write(DELETE_UP_TO, (account, last))
            self._count_down(account, len(listed))

    async def until_read(self, receiver: Callable[[], Session | None]) -> None:
        """Wait while the receiver has more than enough to acknowledge, or to read."""
        while True:
            session = receiver()
            if session is None or session.stream is None:
                return
            unread, queue = session.stream.waiting, session.queue
            if unread < BATCH_BYTES and (queue is None or len(queue) < FULL):
                return
            await self.wait(PAUSE)

    async def wait(self, seconds: float) -> None:
        pause: Deferred[None] = Deferred()
        self._clock.callLater(seconds, pause.callback, None)
        await pause

    def _read(self, sql: str, *parameters: object) -> "Deferred[list[tuple[Any, ...]]]":
        return self._database.read(sql, parameters)

    def _count_down(self, account: str, gone: int) -> None:
        left = self.count(account) - gone
        if left > 0:
            self._counts[account] = left
        else:
            self._counts.pop(account, None)
            self.emptied(account)

    def _forget(self, event: AccountRemoved) -> None:
        if self._counts.pop(event.account, 0):
            self._database.write("DELETE FROM offline WHERE account = ?", (event.account,))


def batches(listed: Listed) -> Iterator[list[int]]:
    """The numbers of messages, in parts that are handed over at once."""
    batch: list[int] = []
    size = 0
    for number, length in listed:
        if batch and (len(batch) == BATCH or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(number)
        size += length
    if batch:
        yield batch
