"""A connection to the file, as the writer needs it: with a write-ahead log and all migrations."""

import sqlite3
from typing import Literal, TypeAlias

from twisted.logger import Logger

from pushd.storage import schema
from pushd.storage.errors import StorageError

BUSY = 5.0  # seconds to wait for a lock that another program holds, such as a backup

Synchronous: TypeAlias = Literal["NORMAL", "FULL"]

log = Logger()


def connect(
    path: str, factory: type[sqlite3.Connection], synchronous: Synchronous, now: float
) -> sqlite3.Connection:
    """Make the file when it is missing, and bring its tables up to date; `now` is for the record.

    `path` may be ":memory:". Raises SchemaTooNew, SchemaChanged, or StorageError with what the
    system says.
    """
    connection = None
    try:
        connection = sqlite3.connect(
            path,
            timeout=BUSY,
            isolation_level=None,  # transactions begin and end where we say
            check_same_thread=False,  # opened here, then used by the writer alone
            factory=factory,
        )
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if path != ":memory:" and mode != "wal":
            raise StorageError("its file system cannot hold a write-ahead log")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        made = schema.migrate(connection, schema.steps(), now)
        if made and made[0].number == 1:
            log.info("made a new database: {path}", path=path)
        elif made:
            names = ", ".join(f"{step.number:04}_{step.name}" for step in made)
            log.info("migrated {path}: {names}", path=path, names=names)
    except (sqlite3.Error, StorageError) as error:
        if connection is not None:
            connection.close()
        kind = type(error) if isinstance(error, StorageError) else StorageError
        raise kind(f"cannot use {path}: {error}") from None
    return connection
