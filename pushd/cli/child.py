"""A server for development as a child of this process: started, waited for, ended."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall, deferLater
from twisted.python.failure import Failure

START = 60.0  # seconds that it may take until it answers
STOP = 30.0  # seconds until it is killed
ASK = 0.2  # seconds between two requests to stop: one that falls between fork and exec is lost
LOOK = 0.01  # seconds between two looks for its ready file


class DidNotStart(Exception):
    """The server ended, or did not answer in time; with what it said."""


class ChildServer:
    """`python -m pushd --dev` on free ports, in a temporary folder of its own."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._folder = Path(tempfile.mkdtemp(prefix="pushd-demo-"))
        self._process: _Process | None = None

    async def start(self) -> Mapping[str, Any]:
        """Gives the content of its ready file. Raises DidNotStart."""
        ready = self._folder / "ready.json"
        arguments = ["--dev", "--free-ports", f"--with-process={os.getpid()}"]
        arguments += [f"--data={self._folder}", f"--ready-file={ready}"]
        process = self._process = _Process()
        self._reactor.spawnProcess(
            process,
            sys.executable,
            [sys.executable, "-m", "pushd", *arguments],
            env=_environment(),
            path=str(self._folder),
        )
        until = self._reactor.seconds() + START
        while not ready.exists():
            if process.is_over:
                raise DidNotStart(f"the server did not start:\n{process.said()}")
            if self._reactor.seconds() > until:
                raise DidNotStart(f"the server does not answer after {START:g} s")
            await deferLater(self._reactor, LOOK)
        found: Mapping[str, Any] = json.loads(ready.read_bytes())
        return found

    async def stop(self) -> None:
        """End it in order, or by force when it lingers, and remove its folder."""
        process = self._process
        if process is not None and not process.is_over:
            over = process.ended()
            asking = LoopingCall(process.signal, "TERM")
            asking.clock = self._reactor
            asking.start(ASK)
            late = self._reactor.callLater(STOP, process.signal, "KILL")
            await over
            asking.stop()
            if late.active():
                late.cancel()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Process(ProcessProtocol):
    """What the child says is kept, for the case that it does not start."""

    def __init__(self) -> None:
        self.is_over = False
        self._words = b""
        self._waiting: list[Deferred[None]] = []

    def said(self) -> str:
        return self._words.decode("utf-8", "replace").strip()

    def signal(self, name: str) -> None:
        if not self.is_over and self.transport is not None:
            self.transport.signalProcess(name)

    def ended(self) -> "Deferred[None]":
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def errReceived(self, data: bytes) -> None:
        self._words = (self._words + data)[-10_000:]

    def processEnded(self, reason: Failure) -> None:
        self.is_over = True
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)


def _environment() -> dict[str, str]:
    """Ours, with this very pushd to be found from any folder."""
    root = str(Path(__file__).absolute().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
