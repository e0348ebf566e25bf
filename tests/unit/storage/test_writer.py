"""What a failure of the machine or of a statement leaves."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from pushd.storage.sqlite import Database, InlineRunner, StatementRefused, StorageError
from tests.unit.storage.shim import SETTING, SETTINGS, Disk, names, outcomes, put

# -- failures of the machine -------------------------------------------------------------


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR_WRITE]
)
def test_a_group_that_cannot_be_committed_is_kept_and_retried_by_itself(
    database: Database, clock: Clock, code: int
) -> None:
    Disk.broken = code
    put(database, "a", "b")
    told = outcomes(database.committed())
    clock.advance(0)
    assert isinstance(told[0], StorageError)
    assert not isinstance(told[0], StatementRefused)
    assert "the disk says no" in str(told[0])
    assert database.failing
    clock.advance(1)
    again = outcomes(database.committed())
    clock.advance(0)
    assert isinstance(again[0], StorageError)
    Disk.broken = None
    Disk.said.clear()
    clock.advance(2)
    assert not database.failing
    assert Disk.said == ["BEGIN IMMEDIATE", f"many {SETTING}", "COMMIT"]
    assert names(database, clock) == ["a", "b"]
    clock.advance(10)
    assert clock.getDelayedCalls() == []


def test_the_next_write_retries_at_once_and_comes_after_what_was_kept(
    database: Database, clock: Clock
) -> None:
    Disk.broken = sqlite3.SQLITE_FULL
    put(database, "a")
    clock.advance(0)
    Disk.broken = None
    put(database, "b")
    told = outcomes(database.committed())
    clock.advance(0)
    assert told == [None]
    assert names(database, clock) == ["a", "b"]
    assert clock.getDelayedCalls() == []


def test_what_nobody_waits_for_is_not_worth_an_attempt_of_its_own(
    database: Database, clock: Clock
) -> None:
    Disk.broken = sqlite3.SQLITE_FULL
    put(database, "a")
    clock.advance(0)
    said = len(Disk.said)
    for _ in range(20):
        database.touch()
        put(database, "b")
        clock.advance(0.09)
    assert len(Disk.said) == said
    clock.advance(0.3)
    assert len(Disk.said) > said


def test_collectors_are_not_asked_while_commits_fail(database: Database, clock: Clock) -> None:
    heard: list[str] = []

    def collect() -> Any:
        heard.append("asked")
        return lambda: heard.append("told")

    database.collect(collect)
    Disk.broken = sqlite3.SQLITE_FULL
    put(database, "a")
    clock.advance(0)
    for _ in range(5):
        database.touch()
        failed = outcomes(database.committed())
        clock.advance(2)
        assert type(failed[0]) is StorageError
    assert heard == ["asked"]
    Disk.broken = None
    told = outcomes(database.committed())
    clock.advance(0)
    assert heard == ["asked", "told", "asked", "told"]
    assert told == [None]


def test_who_waits_when_commits_succeed_again_is_told_after_collectors(
    database: Database, clock: Clock
) -> None:
    """The promise includes what they had when it was asked for."""
    heard: list[str] = []
    database.collect(lambda: lambda: heard.append("collector"))
    Disk.broken = sqlite3.SQLITE_FULL
    put(database, "a")
    clock.advance(0)
    Disk.broken = None
    database.touch()
    database.committed().addCallback(lambda _: heard.append("who waits"))
    clock.advance(0)
    assert heard == ["collector", "collector", "who waits"]


def test_what_a_collector_returned_is_called_only_after_the_retry_succeeds(
    database: Database, clock: Clock
) -> None:
    heard: list[int] = []
    rounds = iter(range(10))

    def collect() -> Any:
        number = next(rounds)
        return lambda: heard.append(number)

    database.collect(collect)
    Disk.broken = sqlite3.SQLITE_FULL
    put(database, "a")
    clock.advance(0)
    assert heard == []
    Disk.broken = None
    clock.advance(2)
    assert heard == [0]


def test_reads_are_answered_while_commits_fail(database: Database, clock: Clock) -> None:
    Disk.broken = sqlite3.SQLITE_FULL
    put(database, "a")
    clock.advance(0)
    assert names(database, clock) == ["a"]
    put(database, "b")
    assert names(database, clock) == ["a", "b"]
    assert database.failing


def test_a_failing_disk_is_logged_once_and_so_is_its_recovery(
    database: Database, clock: Clock, logged: Sequence[LogEvent]
) -> None:
    Disk.broken = sqlite3.SQLITE_FULL
    put(database, "a")
    for _ in range(5):
        clock.advance(2)
    Disk.broken = None
    clock.advance(2)
    levels = [event["log_level"].name for event in logged]
    assert levels == ["error", "info"]


class Settled(Disk):
    """A connection that tests reach, to set a limit of the engine's own."""

    made: ClassVar[list[sqlite3.Connection]] = []

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.made[:] = [self]


@pytest.fixture
def filed(tmp_path: Path, clock: Clock) -> Iterator[Database]:
    database = Database(str(tmp_path / "db"), clock, InlineRunner(), connection=Settled)
    database.open()
    yield database
    database.close()
    clock.advance(0)


def test_a_full_file_keeps_the_group_until_there_is_room(filed: Database, clock: Clock) -> None:
    engine = Settled.made[0]
    pages = engine.execute("PRAGMA page_count").fetchone()[0]
    engine.execute(f"PRAGMA max_page_count = {pages}")
    filed.write(SETTING, ("small", b""))
    filed.write(SETTING, ("large", bytes(100_000)))
    told = outcomes(filed.committed())
    clock.advance(0)
    assert "full" in str(told[0])
    assert filed.failing
    engine.execute("PRAGMA max_page_count = 100000")
    clock.advance(2)
    assert not filed.failing
    assert names(filed, clock) == ["small", "large"]


def test_a_file_that_became_read_only_keeps_the_group(filed: Database, clock: Clock) -> None:
    Settled.made[0].execute("PRAGMA query_only = 1")
    put(filed, "a")
    unread = outcomes(filed.read(SETTINGS))
    told = outcomes(filed.committed())
    clock.advance(0)
    assert [type(answer) for answer in unread + told] == [StorageError, StorageError]
    Settled.made[0].execute("PRAGMA query_only = 0")
    assert names(filed, clock) == ["a"]


def test_a_file_that_another_program_holds_keeps_the_group(filed: Database, clock: Clock) -> None:
    Settled.made[0].execute("PRAGMA busy_timeout = 0")
    with sqlite3.connect(filed.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        put(filed, "a")
        told = outcomes(filed.committed())
        clock.advance(0)
        assert "locked" in str(told[0])
        other.execute("ROLLBACK")
    other.close()
    assert names(filed, clock) == ["a"]


def test_a_read_that_the_disk_fails_makes_its_group_wait(database: Database, clock: Clock) -> None:
    Disk.broken, Disk.at = sqlite3.SQLITE_IOERR_READ, SETTINGS
    put(database, "a")
    seen = outcomes(database.read(SETTINGS))
    told = outcomes(database.committed())
    clock.advance(0)
    assert [type(answer) for answer in seen + told] == [StorageError, StorageError]
    clock.advance(2)  # the read is not tried again, so it cannot hold up the writes
    assert not database.failing
    alone = outcomes(database.read(SETTINGS))
    clock.advance(0)
    assert type(alone[0]) is StorageError
    assert not database.failing


# -- statements that are wrong in themselves ------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        (SETTING, ("a", b"")),  # a key that is there already
        (SETTING, ("x", None)),  # NOT NULL
        (SETTING, ("x",)),  # too few parameters
        (SETTING, ("\udc80", b"")),  # no Unicode
        (SETTING, ("x", 1 << 64)),  # no integer of SQLite's
        (SETTING, ("x", object())),
        ("INSERT INTO nowhere VALUES (?)", ("x",)),
        ("INSRT INTO settings VALUES (?, ?)", ("x", b"")),
        ("COMMIT", ()),
        ("INSERT OR ROLLBACK INTO settings VALUES (?, ?)", ("a", b"")),
        ("INSERT OR FAIL INTO settings VALUES ('x', x''), ('a', x'')", ()),
        ("SELECT 1", ()),
    ],
)
def test_a_bad_statement_is_dropped_and_the_others_are_committed(
    database: Database,
    clock: Clock,
    logged: Sequence[LogEvent],
    sql: str,
    parameters: tuple[object, ...],
) -> None:
    put(database, "a", "b")
    before = outcomes(database.committed())
    database.write(sql, parameters)
    seen = outcomes(database.read(SETTINGS))
    put(database, "c", "d")
    after = outcomes(database.committed())
    clock.advance(0)
    assert before == [None]
    assert isinstance(after[0], StatementRefused)
    assert seen == [[("a",), ("b",)]]
    assert names(database, clock) == ["a", "b", "c", "d"]
    assert not database.failing
    assert [event["sql"] for event in logged] == [sql]
    assert outcomes(database.committed()) == [None]


def test_reads_around_a_bad_statement_keep_their_places(database: Database, clock: Clock) -> None:
    put(database, "a")
    first = outcomes(database.read(SETTINGS))
    put(database, "b")
    before = outcomes(database.committed())
    put(database, "a")
    second = outcomes(database.read(SETTINGS))
    after = outcomes(database.committed())
    clock.advance(0)
    assert (first, second) == ([[("a",)]], [[("a",), ("b",)]])
    assert before == [None]
    assert isinstance(after[0], StatementRefused)


def test_a_bad_statement_does_not_make_the_disks_failure_that_of_the_others(
    filed: Database, clock: Clock
) -> None:
    Settled.made[0].execute("PRAGMA query_only = 1")
    filed.write("INSERT INTO nowhere VALUES (1)")
    put(filed, "a")
    clock.advance(0)
    assert filed.failing
    Settled.made[0].execute("PRAGMA query_only = 0")
    assert names(filed, clock) == ["a"]


def test_neither_log_nor_error_tells_the_parameters_of_a_bad_statement(
    database: Database, clock: Clock, logged: Sequence[LogEvent]
) -> None:
    database.write(SETTING, ("swordfish", None))
    database.write(SETTING, ("swordfish", b"swordfish", "swordfish"))
    database.write(SETTING, ("swordfish\udc80", b""))
    told = outcomes(database.committed())
    read = outcomes(database.read("SELECT ?", ("swordfish\udc80",)))
    clock.advance(0)
    assert isinstance(told[0], StatementRefused)
    assert isinstance(read[0], StatementRefused)
    assert len(logged) == 3
    assert "swordfish" not in f"{logged!r} {told!r} {read!r}"
    assert told[0].__cause__ is None
    assert told[0].__context__ is None


def test_no_collector_is_told_of_a_group_that_lost_a_statement(
    database: Database, clock: Clock
) -> None:
    heard: list[str] = []
    database.collect(lambda: lambda: heard.append("told"))
    put(database, "a", "a")
    clock.advance(0)
    assert heard == []
    put(database, "b")
    clock.advance(0)
    assert heard == ["told"]


def test_a_bad_statement_is_found_although_the_disk_fails_meanwhile(
    database: Database, clock: Clock, logged: Sequence[LogEvent]
) -> None:
    Disk.broken = sqlite3.SQLITE_FULL
    put(database, "a", "a", "b")
    told = outcomes(database.committed())
    clock.advance(0)
    assert type(told[0]) is StorageError
    Disk.broken = None
    clock.advance(2)
    assert names(database, clock) == ["a", "b"]
    assert [event["log_level"].name for event in logged] == ["error", "info", "error"]


@pytest.mark.parametrize("sql", ["SELECT nothing", "DELETE FROM settings RETURNING name", "BEGIN"])
def test_a_bad_read_is_refused_alone(database: Database, clock: Clock, sql: str) -> None:
    put(database, "a")
    refused = outcomes(database.read(sql))
    put(database, "b")
    told = outcomes(database.committed())
    clock.advance(0)
    assert isinstance(refused[0], StatementRefused)
    assert told == [None]
    assert names(database, clock) == ["a", "b"]
