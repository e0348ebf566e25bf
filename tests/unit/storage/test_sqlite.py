"""When something is durable, who is told, and what a failure leaves."""

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure

from pushd.storage.sqlite import (
    Database,
    InlineRunner,
    InUse,
    SchemaChanged,
    SchemaTooNew,
    StatementRefused,
    StorageError,
)

SETTING = "INSERT INTO settings (name, value) VALUES (?, ?)"
SETTINGS = "SELECT name FROM settings ORDER BY rowid"


class Disk(sqlite3.Connection):
    """A connection that notes its statements, and whose commits fail while `broken` is set."""

    broken: int | None = None  # an engine's error code
    said: list[str] = []

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        self.said.append(sql)
        if sql == "COMMIT" and Disk.broken is not None:
            error = sqlite3.OperationalError("the disk says no")
            error.sqlite_errorcode = Disk.broken
            error.sqlite_errorname = "SQLITE_SHIM"
            raise error
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> sqlite3.Cursor:
        self.said.append(f"many {sql}")
        return super().executemany(sql, parameters)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(clock: Clock) -> Iterator[Database]:
    Disk.broken = None
    database = Database(":memory:", clock, InlineRunner(), connection=Disk)
    database.open()
    Disk.said.clear()
    yield database
    Disk.broken = None
    database.close()
    clock.advance(0)


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


def outcomes(told: Deferred[Any]) -> list[Any]:
    """A list that gets the Deferred's result, or its exception, once it is there."""
    seen: list[Any] = []

    def failed(failure: Failure) -> None:
        seen.append(failure.value)

    told.addCallbacks(seen.append, failed)
    return seen


def put(database: Database, *names: str) -> None:
    for name in names:
        database.write(SETTING, (name, b""))


def names(database: Database, clock: Clock) -> list[str]:
    rows = outcomes(database.read(SETTINGS))
    clock.advance(0)
    return [row[0] for row in rows[0]]


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
