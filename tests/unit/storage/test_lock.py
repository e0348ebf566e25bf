"""One server to a file, and the modes of what is created."""

import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from pushd.storage.lock import Lock
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


class Ghost:
    """A lock whose holder is gone, or another; the system lets go of it after some naps."""

    def __init__(self, path: Path, holder: str, naps: int) -> None:
        self.naps = naps
        file = Path(f"{path}.lock")
        file.write_text(f"{holder}\n", encoding="ascii")
        self._descriptor = os.open(file, os.O_RDWR)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def sleep(self, seconds: float) -> None:
        self.naps -= 1
        if self.naps == 0:
            self.close()

    def close(self) -> None:
        os.close(self._descriptor)


def gone() -> str:
    """The number of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return str(ended.pid)


def test_the_lock_of_one_that_was_just_killed_is_waited_for(tmp_path: Path) -> None:
    ghost = Ghost(tmp_path / "db", gone(), 3)
    lock = Lock(str(tmp_path / "db"), ghost.sleep)
    lock.take()
    assert ghost.naps == 0
    assert (tmp_path / "db.lock").read_text() == f"{os.getpid()}\n"
    lock.release()


@pytest.mark.parametrize("holder", ["gone", "us", "nobody", "9" * 19])
def test_it_is_not_waited_for_long(tmp_path: Path, holder: str) -> None:
    number = {"gone": gone(), "us": str(os.getpid()), "nobody": ""}.get(holder, holder)
    ghost = Ghost(tmp_path / "db", number, 1_000)
    by = "another process" if holder in ("gone", "nobody") else f"process {number}"
    with pytest.raises(InUse, match=f"in use by {by}:"):
        Lock(str(tmp_path / "db"), ghost.sleep).take()
    assert 1_000 - ghost.naps == (40 if holder == "gone" else 0)
    ghost.close()
