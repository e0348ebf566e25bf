"""What happens on the thread that owns the connection: one transaction to a group.

Everything in a group is done in the order in which it was asked for. A failure of the
machine (a full disk, a read-only file) undoes the whole group, which its owner keeps; a
statement that is wrong in itself is taken out, and the rest is committed.
"""

import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

from pushd.storage.errors import StatementRefused, StorageError

Row: TypeAlias = tuple[Any, ...]


Write: TypeAlias = tuple[str, tuple[object, ...]]  # a statement, and its parameters


@dataclass(slots=True)
class Read:
    position: int  # how many writes of the group come before it
    sql: str
    parameters: tuple[object, ...]


@dataclass(slots=True)
class Outcome:
    failure: str = ""  # why nothing was committed, or "" when the group is durable
    refused: dict[int, str] = field(default_factory=dict)  # position of a write left out: why
    results: list[list[Row] | StorageError] = field(default_factory=list)  # one to a read


# Only the writer begins and ends transactions, and a read changes nothing.
_CHANGES = re.compile(
    r"\s*(INSERT(?!\s+OR\s+ROLLBACK)|REPLACE|UPDATE(?!\s+OR\s+ROLLBACK)|DELETE|WITH"
    r"|CREATE|DROP|ALTER)\b",
    re.IGNORECASE,
)
_SQL: Callable[[Write], str] = itemgetter(0)
_QUESTIONS = re.compile(r"\s*(SELECT|WITH|VALUES|PRAGMA|EXPLAIN)\b", re.IGNORECASE)

# Failures of the machine: the same statement may succeed later.
_ENVIRONMENT = frozenset(
    {
        sqlite3.SQLITE_INTERNAL,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_ABORT,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_NOTADB,
    }
)


class _Refused(Exception):
    """Some statement of the group is wrong in itself."""


def is_environment(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, MemoryError) or (code is not None and code & 0xFF in _ENVIRONMENT)


def describe(error: Exception) -> str:
    """Why, without any value of a statement: only the engine's own words are quoted."""
    if isinstance(error, sqlite3.Error | sqlite3.Warning):
        name = getattr(error, "sqlite_errorname", None)
        return f"{error} ({name})" if name else str(error)
    return f"a parameter cannot be stored ({type(error).__name__})"


class Writer:
    """Does groups over a connection in autocommit mode, which is its alone from now on."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def attempt(self, writes: Sequence[Write], reads: Sequence[Read]) -> Outcome:
        """Do all of it in one transaction, or answer why not; never raises."""
        outcome = Outcome()
        try:
            if not writes:
                outcome.results = [self._read(read) for read in reads]
                return outcome
            try:
                self._transaction(writes, reads, outcome, self._in_runs)
            except _Refused:
                outcome = Outcome()
                self._transaction(writes, reads, outcome, self._one_by_one)
        except Exception as error:  # noqa: BLE001  whatever it is, the group is kept
            outcome.failure = describe(error)
        missing = len(reads) - len(outcome.results)
        outcome.results += [StorageError(outcome.failure) for _ in range(missing)]
        return outcome

    def close(self) -> None:
        # If it fails: what was committed is in the log beside the file, for the next open.
        with suppress(sqlite3.Error):
            self._connection.close()

    def _transaction(
        self,
        writes: Sequence[Write],
        reads: Sequence[Read],
        outcome: Outcome,
        change: Callable[[Sequence[Write], int, Outcome], None],
    ) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            done = 0
            for read in reads:
                change(writes[done : read.position], done, outcome)
                done = read.position
                outcome.results.append(self._read(read))
            change(writes[done:], done, outcome)
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                with suppress(sqlite3.Error):  # if it fails, the next BEGIN does and says so
                    self._connection.execute("ROLLBACK")

    def _in_runs(self, writes: Sequence[Write], _first: int, _outcome: Outcome) -> None:
        """Neighbours with equal SQL become one call, which is most of what a row costs."""
        try:
            for sql, run in groupby(writes, _SQL):
                self._change(sql, [parameters for _, parameters in run])
        except Exception as error:
            if is_environment(error):
                raise
            raise _Refused from None

    def _one_by_one(self, writes: Sequence[Write], first: int, outcome: Outcome) -> None:
        """Find the statements that are wrong, leave them out, do the others."""
        execute = self._connection.execute
        for position, (sql, parameters) in enumerate(writes, first):
            execute("SAVEPOINT statement")
            try:
                self._change(sql, [parameters])
            except Exception as error:
                if is_environment(error) or not self._connection.in_transaction:
                    raise
                execute("ROLLBACK TO statement")
                outcome.refused[position] = describe(error)
            execute("RELEASE statement")

    def _change(self, sql: str, rows: list[tuple[object, ...]]) -> None:
        if not _CHANGES.match(sql):
            raise sqlite3.ProgrammingError("not a statement that changes rows or tables")
        if len(rows) == 1:
            self._connection.execute(sql, rows[0])
        else:
            self._connection.executemany(sql, rows)

    def _read(self, read: Read) -> list[Row] | StorageError:
        try:
            if not _QUESTIONS.match(read.sql):
                raise sqlite3.ProgrammingError("not a question")
            return self._connection.execute(read.sql, read.parameters).fetchall()
        except Exception as error:
            if is_environment(error) and self._connection.in_transaction:
                raise  # the engine may have undone what came before it
            if is_environment(error):
                return StorageError(describe(error))
            return StatementRefused(f"{describe(error)}: {read.sql}")
