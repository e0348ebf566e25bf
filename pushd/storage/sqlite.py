"""SQLite with one writer and group commit: when something is durable, and who is told.

Writing is a plain call that queues a statement. As soon as somebody waits for it and the
writer is idle, all that is queued becomes one transaction; then those who asked are told.
So a commit, which costs the same whatever it holds, is shared by everything that came
while the one before was under way. What nobody waits for may linger a little, for company.
"""

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import TypeAlias

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from pushd.storage.errors import (
    InUse,
    SchemaChanged,
    SchemaTooNew,
    StatementRefused,
    StorageError,
)
from pushd.storage.groups import AfterCommit, Commit, Group, Question
from pushd.storage.lock import Lock, prepare
from pushd.storage.opening import Synchronous, connect
from pushd.storage.runner import InlineRunner, Runner, ThreadRunner
from pushd.storage.writer import Outcome, Read, Row, Writer

__all__ = [
    "Database",
    "InUse",
    "InlineRunner",
    "Row",
    "Runner",
    "SchemaChanged",
    "SchemaTooNew",
    "StatementRefused",
    "StorageError",
    "ThreadRunner",
]

Collector: TypeAlias = Callable[[], AfterCommit | None]

RETRY = 2.0  # seconds between attempts while commits fail and nobody writes

log = Logger()


@dataclass(slots=True)
class Commits:
    """What the writer has done since the database was opened; reads alone do not count."""

    succeeded: int = 0
    failed: int = 0
    statements: int = 0  # in those that succeeded
    seconds: float = 0.0  # that all of them took, from the taking of a group on

    def count(self, failure: str, statements: int, seconds: float) -> None:
        """One more."""
        self.seconds += seconds
        if failure:
            self.failed += 1
        else:
            self.succeeded += 1
            self.statements += statements


class Database:
    """A file of tables. All methods are for the reactor's thread.

    `path` may be ":memory:". What nobody waits for is committed within `linger` seconds. With
    `synchronous="NORMAL"` a commit survives the death of the process, with "FULL" also a power
    cut. `connection` is the class of the connection.
    """

    def __init__(
        self,
        path: str,
        clock: IReactorTime,
        run: Runner,
        *,
        linger: float = 0.0,
        synchronous: Synchronous = "NORMAL",
        connection: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> None:
        self.path = path
        self._clock = clock
        self._run = run
        self._linger = linger
        self._synchronous = synchronous
        self._factory = connection
        self._writer: Writer
        self._lock = Lock(path) if path != ":memory:" else None
        self._collectors: list[Collector] = []
        self._watchers: list[Callable[[], object]] = []
        self._next = Group()  # what the next transaction will hold
        self._taken: Group | None = None  # what the writer has in hand
        self.busy_since: float | None = None  # when it took that; seconds since the epoch
        self.fault = ""  # why commits fail, while they do
        self.commits = Commits()
        self._armed = False  # the next group will be taken without further ado
        self._lingering: IDelayedCall | None = None  # until the next group is, or is tried again
        self._touched = False
        # Whether the last attempt to commit failed: what needs storage is best refused now.
        self.failing = False
        self._open = False
        self._last = False  # the attempt under way is the one that close() makes
        self._closers: list[Deferred[None]] = []

    @property
    def waiting(self) -> int:
        """How many statements no transaction has taken yet."""
        return len(self._next.writes)

    def open(self) -> None:
        """Lock the file, make it when it is missing, bring its tables up to date.

        Returns when all is ready; this starts the writer's thread, so it comes after any fork.
        Raises InUse, SchemaTooNew, SchemaChanged, or StorageError with what the system says.
        """
        if self._open:
            raise StorageError(f"{self.path} is open already")
        if self._lock is not None:
            prepare(self.path)
            self._lock.take()
        try:
            self._writer = Writer(
                connect(self.path, self._factory, self._synchronous, self._clock.seconds())
            )
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise
        self._open = True
        self._run.start()

    def close(self) -> Deferred[None]:
        """Commit what waits, stop the writer, let go of the file.

        One attempt is made: the Deferred errbacks with StorageError when it fails, and what
        could not be committed (and thus was never promised) is lost. Closing twice is fine.
        """
        if not self._open and not self._closers:
            return succeed(None)
        told: Deferred[None] = Deferred()
        self._closers.append(told)
        if self._open:
            self._touched = True
            if not self._armed:
                self._arm()
        return told

    def write(self, sql: str, parameters: tuple[object, ...] = ()) -> None:
        """Queue one statement that changes rows; order is kept.

        A statement that turns out wrong (a constraint, a value that cannot be stored) is
        logged without its parameters and dropped; only `committed()` tells the caller.
        Raises StorageError when the database is not open.
        """
        if not self._open:
            raise self._not_open()
        self._next.writes.append((sql, parameters))
        if self._lingering is None and not self._armed:
            self._let_linger()

    def add(self, sql: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Queue one statement for each of these rows, as a collector does who has many."""
        self._next.writes.extend(zip(repeat(sql), rows, strict=False))

    def touch(self) -> None:
        """Have a group taken soon although nothing is written: a collector has something."""
        if not self._open:
            raise self._not_open()
        self._touched = True
        if self._lingering is None and not self._armed:
            self._let_linger()

    def committed(self, *, hurry: bool = False) -> Deferred[None]:
        """Fires when all that was written before this call is durable; at once if it is.

        In a `hurry` it is for who waits for a row that nothing will save any more.

        Errbacks with StorageError when the next attempt fails (the writes are kept and tried
        again), with StatementRefused when a statement before it in its group was dropped.
        """
        if not self._open:
            return fail(self._not_open())
        following, taken = self._next, self._taken
        told: Deferred[None] = Deferred()
        if following.writes or following.waiting or self._touched:
            following.waiting.append(Commit(len(following.writes), told))
            if not self._armed:
                self._arm(hurry)
        elif taken is not None:
            taken.waiting.append(Commit(len(taken.writes), told))
        else:
            told.callback(None)
        return told

    def read(self, sql: str, parameters: tuple[object, ...] = ()) -> Deferred[list[Row]]:
        """The rows that `sql` selects, seeing exactly what was written before this call.

        What is seen need not be durable yet. Errbacks with StorageError.
        """
        if not self._open:
            return fail(self._not_open())
        told: Deferred[list[Row]] = Deferred()
        question = Question(Read(len(self._next.writes), sql, parameters), told)
        self._next.waiting.append(question)
        if not self._armed:
            self._arm()
        return told

    def collect(self, collector: Collector) -> None:
        """Have `collector` called whenever a group is about to be taken.

        It may write. What it returns is called when the group is durable, before those who
        wait for `committed()` are told: collectors in the order of their registration. After
        a failure it is kept with the group, and collectors are not asked again before commits
        succeed: what they have to write meanwhile may need no writing by then. It is never
        called when the group lost a statement that was wrong in itself.
        """
        self._collectors.append(collector)

    def while_failing(self, watcher: Callable[[], object]) -> None:
        """Have `watcher` called after each attempt to commit that fails."""
        self._watchers.append(watcher)

    def _not_open(self) -> StorageError:
        return StorageError(f"{self.path} is not open")

    # -- the way of a group -----------------------------------------------------------

    def _let_linger(self) -> None:
        """Take the next group in a while, or as soon as somebody waits for it."""
        if self._linger:
            self._lingering = self._clock.callLater(self._linger, self._arm)
        else:
            self._arm()

    def _arm(self, hurry: bool = False) -> None:
        if self._lingering is not None and self._lingering.active():
            self._lingering.cancel()
        self._lingering = None
        self._armed = True
        if hurry:  # once what came in this turn of the reactor has been read
            self._clock.callLater(0, self._take)
        else:
            # After the next turn, too: what is acknowledged by then need not be written, and
            # what comes by then is in the same transaction.
            self._clock.callLater(0, self._clock.callLater, 0, self._take)

    @property
    def _wanted(self) -> bool:
        return self._touched or bool(self._next.writes or self._next.waiting)

    def _take(self) -> None:
        self._last = bool(self._closers)
        if self._last or not self.failing:
            self._collect()
        else:
            self._next.is_whole = False
        group, self._next = self._next, Group()
        self._taken = group
        self.busy_since = self._clock.seconds()
        reads = group.reads()
        if group.writes or reads:
            self._run.run(partial(self._writer.attempt, group.writes, reads), self._done)
        else:  # all that came before is durable already
            self._done(Outcome())

    def _collect(self) -> None:
        self._touched = False
        for collector in self._collectors:
            try:
                after = collector()
            except Exception:  # noqa: BLE001  one that fails is logged alone
                log.failure("a collector failed")
            else:
                if after is not None:
                    self._next.afters.append((len(self._next.writes), after))

    def _done(self, outcome: Outcome) -> None:
        """The writer is idle again: tell who waits, and go on with what came meanwhile."""
        group = self._taken
        assert group is not None
        if group.writes and self.busy_since is not None:
            took = self._clock.seconds() - self.busy_since
            self.commits.count(outcome.failure, len(group.writes), took)
        self._taken = self.busy_since = None
        self._armed = False
        if outcome.failure:
            self._keep(group, outcome)
        else:
            self._tell(group, outcome)
        if self._armed:
            return
        if self._closers and (self._last if outcome.failure else not self._wanted):
            self._shut(outcome.failure)
        elif self._closers or self._next.waiting:
            self._arm()
        elif self._wanted and self._lingering is None:
            self._let_linger()

    def _tell(self, group: Group, outcome: Outcome) -> None:
        """The group is durable, except for statements that were dropped."""
        if self.failing and group.writes:
            self.failing = False
            self.fault = ""
            log.info("commits to {path} succeed again", path=self.path)
        for position, reason in outcome.refused.items():
            sql, _ = group.writes[position]
            log.error("dropped a statement: {reason}: {sql}", reason=reason, sql=sql)
        sound = min(outcome.refused, default=len(group.writes))  # the writes before this one hold
        for position, after in group.afters:
            if position <= sound:
                try:
                    after()
                except Exception:  # noqa: BLE001  one that fails is logged alone
                    log.failure("what follows a commit failed")
        results = iter(outcome.results)
        for one in group.waiting:
            if isinstance(one, Question):
                one.answer(next(results))
            elif one.position > sound:
                dropped, _ = group.writes[sound]
                one.told.errback(StatementRefused(f"{outcome.refused[sound]}: {dropped}"))
            elif group.is_whole or not self._touched:
                one.told.callback(None)
            else:  # what collectors have is in the next group
                self._next.waiting.append(Commit(0, one.told))

    def _keep(self, group: Group, outcome: Outcome) -> None:
        """Nothing of the group is durable: its writes go first in the next attempt."""
        self.fault = outcome.failure
        if not self.failing:
            self.failing = True
            log.error("cannot commit to {path}: {why}", path=self.path, why=outcome.failure)
        # Whoever waits is worth another attempt at once; what is merely written is not.
        self._lingering = self._clock.callLater(RETRY, self._arm)
        group.put_before(self._next)
        results = iter(outcome.results)
        for one in group.waiting:
            if isinstance(one, Question):
                one.answer(next(results))
            else:
                one.told.errback(StorageError(f"cannot commit to {self.path}: {outcome.failure}"))
        for watcher in self._watchers:
            watcher()

    def _shut(self, failure: str) -> None:
        lost, self._next = self._next, Group()
        self._open = self.failing = False
        if self._lingering is not None and self._lingering.active():
            self._lingering.cancel()
        self._lingering = None
        for one in lost.waiting:
            one.told.errback(self._not_open())
        error = None
        if failure:
            error = f"{len(lost.writes)} statements to {self.path} are lost: {failure}"
            log.error("{error}", error=error)
        self._run.run(self._writer.close, lambda _: self._shut_down(error))

    def _shut_down(self, error: str | None) -> None:
        self._run.stop()
        if self._lock is not None:
            self._lock.release()
        closers, self._closers = self._closers, []
        for told in closers:
            if error is None:
                told.callback(None)
            else:
                told.errback(StorageError(error))
