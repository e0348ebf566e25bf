"""Whatever happens in whatever order: what was promised is kept, and nothing else appears."""

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pushd.storage.sqlite import Database, StatementRefused, StorageError
from tests.effort import examples

WRITE = "INSERT INTO queue (id, session, stanza, at) VALUES (?, 1, ?, 0)"
ALSO = "INSERT INTO queue (session, id, stanza, at) VALUES (2, ?, ?, 0)"  # no run with the other
REMOVE = "DELETE FROM queue WHERE id = ?"
ROWS = "SELECT id FROM queue ORDER BY id"

# What callers do, what moves, and what befalls them; more of what is more common.
STEPS = (
    ["nothing"]  # first, so that a failing story shrinks to the steps that matter
    + ["write"] * 6
    + ["also", "remove", "remove", "double", "nonsense", "touch", "touch"]
    + ["ask"] * 4
    + ["read"] * 3
    + ["take"] * 5
    + ["work"] * 4
    + ["arrive"] * 4
    + ["later", "settle", "no commit", "no commit", "no begin", "no undo", "no room", "heal"]
    + ["kill", "restart"]
)
FAULTS = {"no commit": "COMMIT", "no begin": "BEGIN IMMEDIATE", "no undo": "ROLLBACK TO statement"}


class Disk(sqlite3.Connection):
    """Fails the statement named `fault` as a disk would, or any change once `room` is used up."""

    fault = ""
    room: int | None = None

    def _use(self, sql: str, rows: int) -> None:
        room = Disk.room if sql in (WRITE, ALSO, REMOVE) else None
        if room is not None:
            Disk.room = max(0, room - rows)
        if sql == Disk.fault or (room is not None and room < rows):
            error = sqlite3.OperationalError("the disk says no")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
            raise error

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        self._use(sql, 1)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> sqlite3.Cursor:
        self._use(sql, len(parameters))
        return super().executemany(sql, parameters)


class Halting:
    """A runner whose thread works, and whose results arrive, when the test says so."""

    def __init__(self) -> None:
        self.work: Callable[[], None] | None = None
        self.arrival: Callable[[], None] | None = None

    def start(self) -> None:
        pass

    def run(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        assert self.work is None
        assert self.arrival is None

        def job() -> None:
            result = work()
            self.arrival = lambda: done(result)

        self.work = job

    def stop(self) -> None:
        pass

    def do(self) -> bool:
        job, self.work = self.work, None
        if job is not None:
            job()
        return job is not None

    def arrive(self) -> bool:
        arrival, self.arrival = self.arrival, None
        if arrival is not None:
            arrival()
        return arrival is not None


class World:
    """The model is the list of sound changes in order; what is durable is a prefix of it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="storage-"))
        self.files = 0
        self.number = 0
        self.changes: list[int] = []  # n: row n was written, -n: it was removed again
        self.promised = 0  # how many of the changes are promised
        self.told: list[str] = []  # answers that broke a promise
        self.pending = 0  # Deferreds that have not fired
        self.collected = False
        Disk.fault, Disk.room = "", None
        self._open(self.folder / "db0")

    def _open(self, path: Path) -> None:
        self.path = path
        self.clock = Clock()
        self.runner = Halting()
        database = Database(str(path), self.clock, self.runner, connection=Disk)
        database.open()
        database.collect(lambda: self._collect() if database is self.database else None)
        self.database = database

    @staticmethod
    def _settle(clock: Clock, runner: Halting) -> None:
        """Let all that can happen now happen."""
        clock.advance(0)
        while runner.do() or runner.arrive():
            clock.advance(0)

    def _write(self, sql: str) -> None:
        self.number += 1
        self.database.write(sql, (self.number, b"<message/>"))
        self.changes.append(self.number)

    def _promise(self, changes: int) -> None:
        self.promised = max(self.promised, changes)

    def _collect(self) -> Any:
        if not self.collected:
            return None
        self.collected = False
        self._write(WRITE)
        changes, asked = len(self.changes), self.database
        return lambda: self._promise(changes) if asked is self.database else None

    @staticmethod
    def _rows(changes: list[int]) -> list[int]:
        rows: list[int] = []
        for change in changes:
            if change > 0:
                rows.append(change)
            else:
                rows.remove(-change)
        return rows

    def step(self, name: str, number: int) -> None:
        """Do one thing; `number` picks a row, or how many."""
        rows = self._rows(self.changes)
        row = rows[number % len(rows)] if rows else None
        match name:
            case "write":
                self._write(WRITE)
            case "also":
                self._write(ALSO)
            case "remove" if row:
                self.database.write(REMOVE, (row,))
                self.changes.append(-row)
            case "double" if row:
                self.database.write(WRITE, (row, b"<presence/>"))
            case "nonsense":
                self.database.write("INSERT INTO nowhere VALUES (1)")
            case "touch":
                self.collected = True
                self.database.touch()
            case "ask":
                self._ask()
            case "read":
                self._read()
            case "take":
                self.clock.advance(0)
            case "later":
                self.clock.advance(1)
            case "work":
                self.runner.do()
            case "arrive":
                self.runner.arrive()
            case "settle":
                self._settle(self.clock, self.runner)
                assert self.pending == 0
            case "no room":
                Disk.room = number % 5
            case "heal":
                self._heal()
            case "kill":
                self.kill()
            case "restart":
                self._restart()
            case fault if fault in FAULTS:
                Disk.fault = FAULTS[fault]

    def _ask(self) -> None:
        changes = len(self.changes)
        asked = self.database
        self.pending += 1

        def durable(_: None) -> None:
            if asked is self.database:
                self.pending -= 1
                self._promise(changes)

        def failed(failure: Failure) -> None:
            if asked is self.database:
                self.pending -= 1
                self._expect(failure, StorageError)

        asked.committed().addCallbacks(durable, failed)

    def _read(self) -> None:
        expected = self._rows(self.changes)
        asked = self.database
        self.pending += 1

        def answered(rows: list[tuple[Any, ...]]) -> None:
            if asked is self.database:
                self.pending -= 1
                if sorted(expected) != [row[0] for row in rows]:
                    self.told.append(f"read {rows} instead of {expected}")

        def failed(failure: Failure) -> None:
            if asked is self.database:
                self.pending -= 1
                self._expect(failure, StorageError, but=StatementRefused)

        asked.read(ROWS).addCallbacks(answered, failed)

    def _expect(
        self, failure: Failure, kind: type[Exception], but: type[Exception] | None = None
    ) -> None:
        if failure.check(kind) is None or (but is not None and failure.check(but)):
            self.told.append(repr(failure))

    def _heal(self) -> None:
        """Once the disk is sound, all is committed without anybody asking for it."""
        Disk.fault, Disk.room = "", None
        self._settle(self.clock, self.runner)
        self.clock.advance(2)
        self._settle(self.clock, self.runner)
        assert not self.database.failing
        assert self.pending == 0
        self._promise(len(self.changes))

    def kill(self) -> None:
        """What it leaves is what it had handed to the system: a copy of the files."""
        self.files += 1
        copy = self.folder / f"db{self.files}"
        for suffix in ("", "-wal"):
            shutil.copy(f"{self.path}{suffix}", f"{copy}{suffix}")
        self.pending = 0
        Disk.fault, Disk.room = "", None
        dead, its_clock, its_runner = self.database, self.clock, self.runner
        self._open(copy)
        dead.close()  # it cannot reach the copy; this only gives back what it had open
        self._settle(its_clock, its_runner)
        self._found()

    def _restart(self) -> None:
        closed: list[Any] = []
        self.database.close().addBoth(closed.append)
        self._settle(self.clock, self.runner)
        assert len(closed) == 1
        assert self.pending == 0
        if closed[0] is None:
            self.promised = len(self.changes)
        Disk.fault, Disk.room = "", None
        self._open(self.path)
        self._found()

    def _found(self) -> None:
        """The rows are those of a prefix of the changes that holds all promised ones."""
        rows: list[Any] = []
        self.database.read(ROWS).addCallback(rows.append)
        self.collected = False
        self._settle(self.clock, self.runner)
        found = [row[0] for row in rows[0]]
        for length in range(self.promised, len(self.changes) + 1):
            if sorted(self._rows(self.changes[:length])) == found:
                break
        else:
            raise AssertionError(f"{found} with {self.promised} promised of {self.changes}")
        self.changes = found
        self.promised = len(found)

    def end(self) -> None:
        self.kill()
        self.database.close()
        self._settle(self.clock, self.runner)
        shutil.rmtree(self.folder)


STORY = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 99)), min_size=50, max_size=100)


@given(steps=STORY)
@settings(max_examples=examples(150))
def test_what_was_promised_is_kept_and_nothing_else_appears(steps: list[tuple[str, int]]) -> None:
    world = World()
    try:
        for name, number in steps:
            world.step(name, number)
            assert world.told == []
    finally:
        world.end()
    assert world.told == []
