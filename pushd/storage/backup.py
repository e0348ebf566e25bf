"""Copies of the database: taken while a server writes to it, and put back while none does.

A backup is one more reader of the file, in whatever process: the write-ahead log lets it
see one instant, and nobody waits for it.
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pushd.storage import schema
from pushd.storage.errors import StorageError
from pushd.storage.lock import Lock, prepare

BESIDE = ("-wal", "-shm")  # what the engine keeps beside a database
PATIENCE = 30.0  # seconds to wait for a lock on the file


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of the files. `missing` steps are applied at the next start."""

    kept: Path | None  # the database that was there before
    missing: int


def back_up(database: Path, target: Path) -> int:
    """Copy a database, in use or not, to a new file of mode 0600; gives its size in bytes.

    What is committed before the call is in it. Raises StorageError when there is no database,
    when `target` exists, and for what the system says; then there is no `target`.
    """
    if os.path.lexists(target):
        raise StorageError(f"{target} exists, and is not overwritten")
    with _temporary(target) as copy:
        try:
            with closing(_existing(database)) as source, closing(sqlite3.connect(copy)) as into:
                if not schema.is_ours(source):
                    raise StorageError(f"{database} is not a database of pushd")
                source.backup(into)  # in one step, hence of one instant
                into.execute("PRAGMA journal_mode = DELETE")  # a file that stands alone
        except sqlite3.Error as error:
            raise StorageError(f"cannot copy {database} to {target}: {error}") from None
        check(copy, target)
        _sync(copy)
        try:
            os.link(copy, target)  # unlike a rename, it replaces nothing
        except OSError as error:
            raise StorageError(f"cannot write {target}: {error.strerror}") from None
    _sync(target.parent)
    return target.stat().st_size


def restore(backup: BinaryIO, name: Path, database: Path, now: str) -> Restored:
    """Put a backup in the place of a database that nobody uses; the old one is kept beside it.

    `name` is what the backup is called in errors, `now` what the old one's name ends with.
    Raises InUse, SchemaTooNew, SchemaChanged, and StorageError for a file that is broken or
    of another program; then everything is as it was.
    """
    prepare(str(database), with_file=False)
    lock = Lock(str(database))
    lock.take()
    try:
        with _temporary(database) as copy:
            with copy.open("wb") as into:
                shutil.copyfileobj(backup, into)
            check(copy, name)
            missing = _missing_steps(copy, name)
            _sync(copy)
            kept = _set_aside(database, now)
            os.replace(copy, database)
            copy.touch()  # for the end of the block
        _sync(database.parent)
    except OSError as error:
        raise StorageError(f"cannot restore {database}: {error.strerror}") from None
    finally:
        lock.release()
    return Restored(kept, missing)


def check(path: Path, name: Path) -> None:
    """See that a file nobody writes to is a whole database. Raises StorageError."""
    try:
        with closing(_unchanging(path)) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
    except sqlite3.Error as error:
        found = [str(error)]
    if found != ["ok"]:
        raise StorageError(f"{name} is damaged: {'; '.join(found)}")


def _missing_steps(path: Path, name: Path) -> int:
    known = schema.steps()
    try:
        with closing(_unchanging(path)) as connection:
            if not schema.is_ours(connection):
                raise StorageError("it is not a database of pushd")
            return len(known) - schema.verify(connection, known)
    except StorageError as error:
        raise type(error)(f"cannot use {name}: {error}") from None


def _set_aside(database: Path, now: str) -> Path | None:
    """Move a database out of the way, with what belongs to it."""
    if not database.exists():
        return None
    kept = database.with_name(f"{database.name}.before-restore-{now}")
    if kept.exists():
        raise StorageError(f"{kept} exists, and is not overwritten")
    for end in (*BESIDE, ""):
        part = Path(f"{database}{end}")
        if part.exists():
            part.rename(f"{kept}{end}")
    return kept


@contextmanager
def _temporary(beside: Path) -> Iterator[Path]:
    """An empty file of mode 0600 in the same folder, until the end of the block."""
    try:
        descriptor, name = tempfile.mkstemp(dir=beside.parent, prefix=f".{beside.name}.")
    except OSError as error:
        raise StorageError(f"cannot write to {beside.parent}: {error.strerror}") from None
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        for end in ("", "-journal", *BESIDE):
            Path(f"{name}{end}").unlink(missing_ok=True)


def _existing(path: Path) -> sqlite3.Connection:
    try:
        path.stat()
    except OSError as error:
        raise StorageError(f"cannot open {path}: {error.strerror}") from None
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=PATIENCE)


def _unchanging(path: Path) -> sqlite3.Connection:
    """Without a look at what may stand beside the file, and without making anything there."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


def _sync(path: Path) -> None:
    """Have it survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
