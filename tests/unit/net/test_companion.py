"""A process ends with another: by its descriptor, or by looking."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock

from pushd.net.companion import PERIOD, Companion, named
from tests.patience import PATIENCE


class Reactor(Clock):
    """A clock that also knows what is to be read."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)


class Harness:
    """A process that does nothing until it is killed."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        self.pid = self.process.pid

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)


@pytest.fixture
def harness() -> Iterator[Harness]:
    made = Harness()
    yield made
    made.kill()
    assert made.process.stdin is not None
    made.process.stdin.close()


def test_a_process_is_named_by_its_number_or_as_the_parent(harness: Harness) -> None:
    assert named("parent") == os.getppid()
    assert named(str(harness.pid)) == harness.pid


@pytest.mark.parametrize("text", ["", "0", "-1", "mother", "1.5", "²", "99999999999"])
def test_what_names_no_process_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the number of a process, or parent, is expected"):
        named(text)


def test_a_process_that_has_ended_is_refused(harness: Harness) -> None:
    harness.kill()
    with pytest.raises(ValueError, match=f"there is no process {harness.pid}"):
        named(str(harness.pid))


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="Linux has descriptors of processes")
def test_the_end_of_a_process_is_told_by_its_descriptor(harness: Harness) -> None:
    reactor, told = Reactor(), list[str]()
    companion = Companion(reactor, harness.pid, lambda: told.append("ended"))
    companion.watch()
    assert reactor.readers == [companion]
    descriptor = companion.fileno()
    os.fstat(descriptor)
    harness.kill()
    companion.doRead()
    assert told == ["ended"]
    assert reactor.readers == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    companion.stop()  # once more harms nothing


def test_a_process_that_ended_before_is_told_of_at_once(harness: Harness) -> None:
    reactor, told = Reactor(), list[str]()
    companion = Companion(reactor, harness.pid, lambda: told.append("ended"))
    harness.kill()
    companion.watch()
    assert told == ["ended"]
    assert reactor.getDelayedCalls() == []


def test_without_such_descriptors_it_looks_every_now_and_then(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    reactor, told = Reactor(), list[str]()
    companion = Companion(reactor, harness.pid, lambda: told.append("ended"))
    companion.watch()
    reactor.advance(10 * PERIOD)
    assert told == []
    harness.kill()
    reactor.advance(PERIOD)
    assert told == ["ended"]
    assert reactor.getDelayedCalls() == []


def test_without_them_a_parent_is_missed_though_its_number_lives_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    reactor, told = Reactor(), list[str]()
    parent = os.getppid()
    companion = Companion(reactor, parent, lambda: told.append("ended"))
    companion.watch()
    monkeypatch.setattr(os, "getppid", lambda: 1)
    reactor.advance(PERIOD)
    assert told == ["ended"]


def test_who_watches_no_more_is_told_nothing(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    reactor, told = Reactor(), list[str]()
    companion = Companion(reactor, harness.pid, lambda: told.append("ended"))
    companion.watch()
    companion.stop()
    harness.kill()
    reactor.advance(PERIOD)
    assert told == []
    assert reactor.getDelayedCalls() == []
