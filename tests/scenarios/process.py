"""Child processes of a test: what they print, how they end, and that none outlives the test."""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from twisted.internet import reactor as the_reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.process import Process
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests import nursery
from tests.patience import PATIENCE

reactor: Any = the_reactor
T = TypeVar("T")

ROOT = Path(__file__).parents[2]
KEPT = 1 << 20  # bytes of output
PERIOD = 0.02  # seconds between two looks at something that tells nobody when it changes


def folder(case: TestCase) -> Path:
    """An empty folder, until the test ends."""
    made = TemporaryDirectory(prefix="pushd-test-")
    case.addCleanup(made.cleanup)
    return Path(made.name)


async def eventually(look: Callable[[], T | None], seconds: float, what: str) -> T:
    """What `look` gives as soon as it is not None; an AssertionError after so many seconds."""
    until = reactor.seconds() + seconds
    while (found := look()) is None:
        assert reactor.seconds() < until, f"no {what} within {seconds:g} s"
        await deferLater(reactor, PERIOD, lambda: None)
    return found


class Child(ProcessProtocol):
    """One run of a program. `hear` gets each line of its standard output."""

    def __init__(self, hear: Callable[[str], None] | None = None) -> None:
        self.output = b""  # the end of both, standard output and standard error
        self.code: int | None = None  # the exit code, a negative signal, or None: it runs
        self._hear = hear
        self._line = b""
        self._waiting: list[Deferred[int]] = []

    @classmethod
    def run(
        cls,
        case: TestCase,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        hear: Callable[[str], None] | None = None,
    ) -> "Child":
        """Run Python with these arguments, at the project's root, until the test ends."""
        child = cls(hear)
        command = [sys.executable, *arguments]
        full = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
        if nursery.bears(command):
            make: Callable[..., _Born] = _Born
            make(reactor, sys.executable, command, full, str(ROOT), child)
        else:
            reactor.spawnProcess(child, sys.executable, command, env=full, path=str(ROOT))
        case.addCleanup(child.reap)
        return child

    @property
    def text(self) -> str:
        """What it printed."""
        return self.output.decode("utf-8", "replace")

    def signal(self, number: int) -> None:
        if self.code is None:
            os.kill(self.pid, number)

    def ended(self, seconds: float = PATIENCE) -> "Deferred[int]":
        """Fires with the exit code; fails with TimeoutError when that takes too long."""
        waiting: Deferred[int] = Deferred()
        if self.code is not None:
            waiting.callback(self.code)
        else:
            self._waiting.append(waiting)
        return waiting.addTimeout(seconds, reactor)

    def reap(self) -> "Deferred[int]":
        """Kill it, if it still runs, and wait for its end."""
        self.signal(signal.SIGKILL)
        return self.ended()

    # What Twisted calls.

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.pid: int = self.transport.pid

    def outReceived(self, data: bytes) -> None:
        self._keep(data)
        if self._hear is not None:
            *lines, self._line = (self._line + data).split(b"\n")
            for line in lines:
                self._hear(line.decode("utf-8", "replace"))

    def errReceived(self, data: bytes) -> None:
        self._keep(data)

    def processEnded(self, reason: Failure) -> None:
        value = reason.value
        if isinstance(value, ProcessTerminated) and value.signal is not None:
            self.code = -value.signal
        else:
            self.code = getattr(value, "exitCode", None) or 0
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.called:
                one.callback(self.code)

    def _keep(self, data: bytes) -> None:
        self.output = (self.output + data)[-KEPT:]


class _Born(Process):
    """A process of the reactor that is forked by the nursery."""

    def _fork(
        self,
        path: str,
        uid: int | None,
        gid: int | None,
        executable: str,
        args: Sequence[str],
        environment: Mapping[str, str],
        **kwargs: Any,
    ) -> None:
        inner = kwargs["fdmap"]
        self.pid = nursery.fork(args, environment, path, [inner[one] for one in range(3)])
