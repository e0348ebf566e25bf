"""The server that a demonstration starts, and how it is ended."""

import json
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pushd.cli.child import ASK, LOOK, STOP, ChildServer
from tests.support import result_of


class Machine(Clock):
    """Time, and one process that hears so many signals not."""

    def __init__(self, deaf: int) -> None:
        super().__init__()
        self.signals: list[str] = []
        self._deaf = deaf
        self._process: Any = None

    def spawnProcess(self, process: Any, *given: Any, path: str, **more: Any) -> None:
        self._process = process
        process.transport = self
        (Path(path) / "ready.json").write_text(json.dumps({"pid": 7}))

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)
        if name == "KILL" or len(self.signals) > self._deaf:
            self._process.processEnded(Failure(ProcessDone(0)))


def stopped(machine: Machine) -> None:
    """Start one, and stop it for as long as that may take."""
    server = ChildServer(machine)
    starting = Deferred.fromCoroutine(server.start())
    machine.advance(LOOK)
    assert result_of(starting) == {"pid": 7}
    stopping = Deferred.fromCoroutine(server.stop())
    machine.pump([ASK] * int(STOP / ASK + 1))
    assert result_of(stopping) is None
    assert machine.getDelayedCalls() == []


@pytest.mark.parametrize("deaf", [0, 1, 5])
def test_it_is_asked_to_stop_until_it_hears(deaf: int) -> None:
    machine = Machine(deaf)
    stopped(machine)
    assert machine.signals == ["TERM"] * (deaf + 1)


def test_one_that_never_hears_is_killed() -> None:
    machine = Machine(deaf=10_000)
    stopped(machine)
    assert machine.signals[-1] == "KILL"
    assert set(machine.signals[:-1]) == {"TERM"}
