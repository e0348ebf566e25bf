"""The steps that make the tables: numbered files, applied once and in order.

`migrations/NNNN_name.sql` holds the SQL of one step. Which steps a file has seen is
written in its table `migrations`, with a checksum, so that a step which was edited after
it had been applied is noticed, and so is a file that a newer pushd has written.
"""

import hashlib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from pushd.storage.errors import SchemaChanged, SchemaTooNew, StorageError

_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_LEDGER = """CREATE TABLE migrations (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at REAL NOT NULL
)"""


@dataclass(frozen=True, slots=True)
class Step:
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def statements(self) -> Iterator[str]:
        """The statements one by one, since SQLite runs a script only outside a transaction."""
        statement = ""
        for line in self.sql.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                yield statement
                statement = ""
        if re.sub(r"--.*", "", statement).strip():
            yield statement


@cache
def steps() -> tuple[Step, ...]:
    """The steps of this release in order; their numbers are 1, 2, 3 and so on."""
    found = []
    for file in resources.files("pushd.storage").joinpath("migrations").iterdir():
        if match := _NAME.fullmatch(file.name):
            sql = file.read_text("utf-8")  # line ends become LF: they do not change the checksum
            found.append(Step(int(match[1]), match[2], sql))
    found.sort(key=lambda step: step.number)
    if not found or [step.number for step in found] != list(range(1, len(found) + 1)):
        raise StorageError("the installation is incomplete: migrations are missing")
    return tuple(found)


def is_ours(connection: sqlite3.Connection) -> bool:
    """Whether this is a database that some release of pushd has written."""
    named = "SELECT 1 FROM sqlite_master WHERE name = 'migrations'"
    return connection.execute(named).fetchone() is not None


def verify(connection: sqlite3.Connection, known: Sequence[Step]) -> int:
    """How many of the known steps this file has seen.

    Raises SchemaTooNew, SchemaChanged, and StorageError for a file of another program.
    """
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    if "migrations" not in tables:
        if tables:
            raise StorageError("it is a database of another program")
        return 0
    ledger = "SELECT number, name, checksum FROM migrations ORDER BY number"
    applied = connection.execute(ledger).fetchall()
    if applied and applied[-1][0] > len(known):
        raise SchemaTooNew(
            f"its schema is number {applied[-1][0]} ({applied[-1][1]}), "
            f"this release knows {len(known)}: start the newer release that wrote it"
        )
    for position, (number, name, checksum) in enumerate(applied, 1):
        if number != position or checksum != known[position - 1].checksum:
            raise SchemaChanged(
                f"its tables were made by another migration {number:04}_{name} than the one "
                "of this release: start the release that wrote it"
            )
    return len(applied)


def migrate(connection: sqlite3.Connection, known: Sequence[Step], now: float) -> list[Step]:
    """Apply what is missing, each step in a transaction of its own; answers what was applied.

    Raises what `verify` raises, and StorageError for a step that fails.
    """
    seen = verify(connection, known)
    for step in known[seen:]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            if step.number == 1:
                connection.execute(_LEDGER)
            for statement in step.statements():
                connection.execute(statement)
            entry = (step.number, step.name, step.checksum, now)
            connection.execute("INSERT INTO migrations VALUES (?, ?, ?, ?)", entry)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise StorageError(f"migration {step.number:04}_{step.name}: {error}") from None
    return list(known[seen:])
