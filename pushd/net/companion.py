"""The end of another process, noticed: a server that a test started ends with the test.

A harness that is killed cannot stop what it started. So the server watches the harness: on
Linux by a descriptor that becomes readable when the process ends, even if nobody has asked
for its exit code yet; elsewhere by looking every now and then.
"""

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

PARENT = "parent"
PERIOD = 0.5  # seconds between two looks, where looking is all there is


def named(text: str) -> int:
    """The process that is meant: a number, or the one that started this one.

    Raises ValueError for what is neither, and for a process that is not there.
    """
    if text == PARENT:
        return os.getppid()
    if not (text.isascii() and text.isdigit() and 0 < int(text[:10]) < 2**31):
        raise ValueError(f"{text!r}: the number of a process, or {PARENT}, is expected")
    if not _is_there(int(text)):
        raise ValueError(f"there is no process {int(text)}")
    return int(text)


@implementer(IReadDescriptor)
class Companion:
    """Calls `ended` once, when the process ends; within `PERIOD` where it has to look."""

    def __init__(self, reactor: Any, process: int, ended: Callable[[], object]) -> None:
        self.process = process
        self._reactor = reactor
        self._ended = ended
        self._is_parent = os.getppid() == process
        self._descriptor = -1
        self._look_again: IDelayedCall | None = None

    def watch(self) -> None:
        """Begin. A process that has ended by now is told of at once."""
        try:
            self._descriptor = os.pidfd_open(self.process)
        except ProcessLookupError:
            self._over()
        except (AttributeError, OSError):  # not Linux, or one before 5.3
            self._look()
        else:
            self._reactor.addReader(self)

    def stop(self) -> None:
        """Watch no more."""
        if self._look_again is not None and self._look_again.active():
            self._look_again.cancel()
        self._look_again = None
        if self._descriptor >= 0:
            self._reactor.removeReader(self)
            os.close(self._descriptor)
            self._descriptor = -1

    # What the reactor calls.

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> None:
        self._over()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends."""

    def logPrefix(self) -> str:
        return "companion"

    def _look(self) -> None:
        # A parent that has ended is replaced at once, though its number may live on for a while.
        is_orphan = self._is_parent and os.getppid() != self.process
        if is_orphan or not _is_there(self.process):
            self._over()
        else:
            self._look_again = self._reactor.callLater(PERIOD, self._look)

    def _over(self) -> None:
        self.stop()
        self._ended()


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
