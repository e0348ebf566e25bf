"""When something is durable, and who is told."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from pushd.storage.sqlite import Database, InlineRunner, StorageError
from tests.unit.storage.shim import SETTING, SETTINGS, Disk, names, outcomes, put

# -- groups -------------------------------------------------------------------------


def test_what_is_written_before_the_writer_is_idle_is_one_transaction(
    database: Database, clock: Clock
) -> None:
    put(database, "a", "b")
    first = outcomes(database.committed())
    put(database, "c")
    second = outcomes(database.committed())
    assert (first, second, Disk.said) == ([], [], [])
    clock.advance(0)
    assert (first, second) == ([None], [None])
    assert Disk.said == ["BEGIN IMMEDIATE", f"many {SETTING}", "COMMIT"]


def test_nothing_waits_for_a_clock(database: Database, clock: Clock) -> None:
    put(database, "a")
    told = outcomes(database.committed())
    clock.advance(0)
    assert told == [None]
    assert clock.seconds() == 0
    assert clock.getDelayedCalls() == []


def test_only_neighbours_with_equal_sql_share_a_call_so_order_is_kept(
    database: Database, clock: Clock
) -> None:
    remove = "DELETE FROM settings WHERE name = ?"
    put(database, "a")
    database.write(remove, ("a",))
    put(database, "a", "b")
    told = outcomes(database.committed())
    clock.advance(0)
    assert told == [None]
    assert Disk.said[1:-1] == [SETTING, remove, f"many {SETTING}"]
    assert names(database, clock) == ["a", "b"]


def test_when_nothing_waits_committed_fires_at_once(database: Database) -> None:
    assert outcomes(database.committed()) == [None]


def test_a_read_sees_exactly_what_was_written_before_it(database: Database, clock: Clock) -> None:
    put(database, "a")
    first = outcomes(database.read(SETTINGS))
    put(database, "b", "c")
    second = outcomes(database.read(SETTINGS))
    put(database, "d")
    clock.advance(0)
    assert first == [[("a",)]]
    assert second == [[("a",), ("b",), ("c",)]]
    assert Disk.said.count("COMMIT") == 1


def test_reading_alone_begins_no_transaction(database: Database, clock: Clock) -> None:
    assert names(database, clock) == []
    assert Disk.said == [SETTINGS]


def test_those_who_wait_are_told_in_the_order_of_their_calls(
    database: Database, clock: Clock
) -> None:
    heard: list[str] = []
    put(database, "a")
    database.committed().addCallback(lambda _: heard.append("first"))
    database.read(SETTINGS).addCallback(lambda _: heard.append("second"))
    database.committed().addCallback(lambda _: heard.append("third"))
    clock.advance(0)
    assert heard == ["first", "second", "third"]


def test_what_a_commit_causes_to_be_written_is_committed_next(
    database: Database, clock: Clock
) -> None:
    put(database, "a")
    told: list[None] = []

    def go_on(_: None) -> Deferred[None]:
        put(database, "b")
        return database.committed().addCallback(told.append)

    database.committed().addCallback(go_on)
    clock.advance(0)
    assert told == [None]
    assert Disk.said.count("COMMIT") == 2


# -- collectors -----------------------------------------------------------------------


def test_collectors_are_called_when_a_group_is_taken_and_told_before_the_others(
    database: Database, clock: Clock
) -> None:
    heard: list[str] = []

    def first() -> Any:
        heard.append("first collects")
        put(database, "collected")
        return lambda: heard.append("first is told")

    def second() -> Any:
        heard.append("second collects")
        return lambda: heard.append("second is told")

    database.collect(first)
    database.collect(second)
    database.collect(lambda: None)
    put(database, "a")
    database.committed().addCallback(lambda _: heard.append("writer is told"))
    assert heard == []
    clock.advance(0)
    assert heard == [
        "first collects",
        "second collects",
        "first is told",
        "second is told",
        "writer is told",
    ]
    assert names(database, clock)[:2] == ["a", "collected"]


def test_a_touch_alone_makes_collectors_commit(database: Database, clock: Clock) -> None:
    heard: list[str] = []

    def collect() -> Any:
        put(database, "collected")
        return lambda: heard.append("told")

    database.collect(collect)
    database.touch()
    told = outcomes(database.committed())
    clock.advance(0)
    assert (heard, told) == (["told"], [None])
    assert Disk.said == ["BEGIN IMMEDIATE", SETTING, "COMMIT"]


def test_a_collector_that_has_nothing_costs_no_transaction(
    database: Database, clock: Clock
) -> None:
    heard: list[str] = []
    database.collect(lambda: lambda: heard.append("told"))
    database.touch()
    clock.advance(0)
    assert (heard, Disk.said) == (["told"], [])


def test_a_collector_that_fails_is_logged_alone(
    database: Database, clock: Clock, logged: Sequence[LogEvent]
) -> None:
    heard: list[str] = []

    def breaks() -> None:
        raise ZeroDivisionError

    database.collect(breaks)
    database.collect(lambda: breaks)
    database.collect(lambda: lambda: heard.append("told"))
    put(database, "a")
    told = outcomes(database.committed())
    clock.advance(0)
    assert (heard, told) == (["told"], [None])
    failures = [event["log_failure"] for event in logged if "log_failure" in event]
    assert [failure.check(ZeroDivisionError) for failure in failures] == [ZeroDivisionError] * 2


# -- opening and closing ----------------------------------------------------------------------


def test_closing_commits_what_waits_and_what_collectors_have(tmp_path: Path, clock: Clock) -> None:
    database = Database(str(tmp_path / "db"), clock, InlineRunner())
    database.open()
    heard: list[str] = []

    def collect() -> Any:
        put(database, "collected")
        return lambda: heard.append("told")

    database.collect(collect)
    put(database, "a")
    closed = outcomes(database.close())
    again = outcomes(database.close())
    clock.advance(0)
    assert (closed, again, heard) == ([None], [None], ["told"])
    assert clock.getDelayedCalls() == []
    reopened = Database(str(tmp_path / "db"), clock, InlineRunner())
    reopened.open()
    assert names(reopened, clock) == ["a", "collected"]
    reopened.close()
    clock.advance(0)


def test_closing_while_commits_fail_tries_once_and_says_what_is_lost(
    tmp_path: Path, clock: Clock
) -> None:
    database = Database(str(tmp_path / "db"), clock, InlineRunner(), connection=Disk)
    database.open()
    Disk.broken = sqlite3.SQLITE_FULL
    put(database, "a", "b")
    closed = outcomes(database.close())
    clock.advance(0)
    assert "2 statements" in str(closed[0])
    assert clock.getDelayedCalls() == []
    database.open()
    assert names(database, clock) == []
    database.close()
    clock.advance(0)


def test_a_closed_database_refuses_everything(clock: Clock) -> None:
    database = Database(":memory:", clock, InlineRunner())
    assert outcomes(database.close()) == [None]
    with pytest.raises(StorageError, match="not open"):
        database.write(SETTING, ("a", b""))
    with pytest.raises(StorageError, match="not open"):
        database.touch()
    refused = outcomes(database.read(SETTINGS)) + outcomes(database.committed())
    assert [type(error) for error in refused] == [StorageError, StorageError]


def test_opening_twice_is_refused(database: Database) -> None:
    with pytest.raises(StorageError, match="open already"):
        database.open()


def test_the_log_is_synced_at_each_commit_only_when_asked(tmp_path: Path, clock: Clock) -> None:
    for synchronous, number in (("NORMAL", 1), ("FULL", 2)):
        path = str(tmp_path / synchronous)
        database = Database(path, clock, InlineRunner(), synchronous=synchronous)  # type: ignore[arg-type]
        database.open()
        told = outcomes(database.read("PRAGMA synchronous"))
        mode = outcomes(database.read("PRAGMA journal_mode"))
        database.close()
        clock.advance(0)
        assert (told, mode) == ([[(number,)]], [[("wal",)]])


class Later(InlineRunner):
    """Does its work only when it is told to."""

    def __init__(self) -> None:
        self.work: list[tuple[Any, Any]] = []

    def run(self, work: Any, done: Any) -> None:
        self.work.append((work, done))

    def finish(self) -> None:
        waiting, self.work = self.work, []
        for work, done in waiting:
            done(work())


def test_how_long_the_writer_has_been_at_it_is_known(clock: Clock) -> None:
    runner = Later()
    database = Database(":memory:", clock, runner)
    database.open()
    assert database.busy_since is None

    put(database, "one")
    clock.advance(0)
    clock.advance(0)
    taken_at = clock.seconds()
    clock.advance(30)
    assert database.busy_since == taken_at

    runner.finish()
    assert database.busy_since is None


def test_why_commits_fail_is_known_while_they_do(database: Database, clock: Clock) -> None:
    Disk.broken = sqlite3.SQLITE_FULL
    put(database, "one")
    clock.advance(0)
    clock.advance(0)
    assert database.fault == "the disk says no (SQLITE_SHIM)"

    Disk.broken = None
    clock.advance(10)

    assert database.fault == ""
    assert names(database, clock) == ["one"]
