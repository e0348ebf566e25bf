"""One server to a database: the lock beside the file, and the modes of what is created."""

import fcntl
import os
import time
from collections.abc import Callable

from pushd.storage.errors import InUse, StorageError

DATABASE = "pushd.db"  # in a data folder
FILE_MODE = 0o600
FOLDER_MODE = 0o700
PATIENCE = 2.0  # seconds for the system to let go of what a process held that is gone
PERIOD = 0.05  # seconds


class Lock:
    """An exclusive lock on `<path>.lock`, held until `release()` or the end of the process.

    The file stays when the lock is released: removing it would let two processes each hold
    a lock on a file of that name.
    """

    def __init__(self, path: str, sleep: Callable[[float], object] = time.sleep) -> None:
        self._descriptor = -1
        self._sleep = sleep
        self._path = f"{path}.lock"
        self._of = path

    def take(self) -> None:
        """Raises InUse, which names the process that holds the lock as far as that is known.

        Waits a little for the lock of one that was killed a moment ago.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            raise StorageError(f"cannot open {self._path}: {error.strerror}") from None
        try:
            for _ in range(int(PATIENCE / PERIOD)):
                if _locked(descriptor):
                    break
                holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
                if not _is_gone(holder):
                    raise self._in_use(holder)
                self._sleep(PERIOD)
            else:
                raise self._in_use("")
        except InUse:
            os.close(descriptor)
            raise
        except OSError as error:
            os.close(descriptor)
            raise StorageError(f"cannot lock {self._path}: {error.strerror}") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        self._descriptor = descriptor

    def _in_use(self, holder: str) -> InUse:
        by = f"process {holder}" if holder.isdigit() else "another process"
        return InUse(f"{self._of} is in use by {by}: only one may serve from it")

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _locked(descriptor: int) -> bool:
    # flock, not lockf: it belongs to this descriptor, so a second Database in this
    # very process is refused as well, and no other close() in it drops the lock.
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_gone(holder: str) -> bool:
    """Whether there is no such process any more."""
    if not holder.isdigit():
        return False
    try:
        os.kill(int(holder), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def prepare(path: str, *, with_file: bool = True) -> None:
    """Create the folder (0700) and the empty file (0600) where they are missing.

    The engine gives its own files beside it the mode of the database.
    """
    folder = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(folder, mode=FOLDER_MODE, exist_ok=True)
        if with_file:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
    except OSError as error:
        raise StorageError(f"cannot open {path}: {error.strerror}") from None
