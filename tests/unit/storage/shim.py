"""A connection that can be made to fail, and short words for what tests of storage do."""

import sqlite3
from collections.abc import Iterator
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pushd.storage.sqlite import Database, InlineRunner

SETTING = "INSERT INTO settings (name, value) VALUES (?, ?)"
SETTINGS = "SELECT name FROM settings ORDER BY rowid"


class Disk(sqlite3.Connection):
    """A connection that notes its statements; `at` fails as `broken`, if that is set."""

    broken: int | None = None  # an engine's error code
    at = "COMMIT"
    said: ClassVar[list[str]] = []

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        self.said.append(sql)
        if sql == Disk.at and Disk.broken is not None:
            error = sqlite3.OperationalError("the disk says no")
            error.sqlite_errorcode = Disk.broken
            error.sqlite_errorname = "SQLITE_SHIM"
            raise error
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> sqlite3.Cursor:
        self.said.append(f"many {sql}")
        return super().executemany(sql, parameters)


def opened(clock: Clock, **options: Any) -> Iterator[Database]:
    """A database in memory, closed in the end; `Disk.said` holds what it said since it is open."""
    database = Database(":memory:", clock, InlineRunner(), connection=Disk, **options)
    database.open()
    Disk.said.clear()
    yield database
    Disk.broken = None
    database.close()
    clock.advance(0)
    clock.advance(0)


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
