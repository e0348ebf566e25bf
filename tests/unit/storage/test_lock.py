"""One server to a file, and the modes of what is created."""

import os
import stat
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from pushd.storage.sqlite import Database, InlineRunner, InUse, StorageError
from tests.unit.storage.shim import names, put


def test_what_is_created_is_its_owners_alone(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "var" / "pushd.db"
    database = Database(str(path), clock, InlineRunner())
    database.open()
    put(database, "a")
    clock.advance(0)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert set(modes) == {"pushd.db", "pushd.db-wal", "pushd.db-shm", "pushd.db.lock"}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    database.close()
    clock.advance(0)


def test_a_file_in_use_is_refused_and_names_the_process(tmp_path: Path, clock: Clock) -> None:
    path = str(tmp_path / "db")
    (tmp_path / "db.lock").write_text("12345678901234\n")  # of a process that is gone
    first, second = (Database(path, clock, InlineRunner()) for _ in range(2))
    first.open()
    with pytest.raises(InUse, match=f"db is in use by process {os.getpid()}:"):
        second.open()
    put(first, "a")
    first.close()
    clock.advance(0)
    second.open()
    assert names(second, clock) == ["a"]
    second.close()
    clock.advance(0)


def test_a_path_that_cannot_be_opened_is_refused(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot open .*file/db"):
        Database(str(tmp_path / "file" / "db"), clock, InlineRunner()).open()
    with pytest.raises(StorageError, match=r"cannot open .*: Is a directory"):
        Database(str(tmp_path), clock, InlineRunner()).open()
