import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from pushd.cli.notify import ServiceManager


class Manager:
    """A service manager that listens, and what it heard."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(address)

    def heard(self) -> list[str]:
        words = []
        while True:
            try:
                words.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return words

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """What is bound, and how NOTIFY_SOCKET writes it."""
    if request.param == "path":
        return str(tmp_path / "notify"), str(tmp_path / "notify")
    name = f"pushd-test-{os.getpid()}-{tmp_path.name}"
    return f"\0{name}", f"@{name}"


@pytest.fixture
def manager(place: tuple[str, str]) -> Iterator[Manager]:
    listening = Manager(place[0])
    yield listening
    listening.close()


def told_at(place: tuple[str, str], **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": place[1], **more}


def test_it_says_ready_reloading_and_stopping(place: tuple[str, str], manager: Manager) -> None:
    one = ServiceManager(Clock(), told_at(place), lambda: 12.5)

    one.ready("serving\nexample.net")
    with one.reloading():
        assert manager.heard() == [
            "READY=1\nSTATUS=serving example.net",
            "RELOADING=1\nMONOTONIC_USEC=12500000",
        ]
    assert manager.heard() == ["READY=1"]
    one.stopping()
    one.stopping()
    assert manager.heard() == ["STOPPING=1\nSTATUS=stopping"]


def test_a_reload_that_fails_is_over_all_the_same(place: tuple[str, str], manager: Manager) -> None:
    one = ServiceManager(Clock(), told_at(place))
    one.ready("serving")

    with pytest.raises(ValueError, match="a mistake"), one.reloading():
        raise ValueError("a mistake")

    assert manager.heard()[-1] == "READY=1"


@pytest.mark.parametrize("stage", ["starting", "stopping"])
def test_a_reload_at_another_stage_says_nothing_of_being_ready(
    stage: str, place: tuple[str, str], manager: Manager
) -> None:
    one = ServiceManager(Clock(), told_at(place))
    if stage == "stopping":
        one.ready("serving")
        one.stopping()
        manager.heard()

    with one.reloading():
        pass

    assert manager.heard() == []


def test_the_watchdog_hears_twice_in_its_time(place: tuple[str, str], manager: Manager) -> None:
    clock = Clock()
    one = ServiceManager(
        clock, told_at(place, WATCHDOG_USEC="30000000", WATCHDOG_PID=str(os.getpid()))
    )

    one.begin()
    assert manager.heard() == ["WATCHDOG=1"]
    clock.advance(14)
    assert manager.heard() == []
    clock.advance(1)
    assert manager.heard() == ["WATCHDOG=1"]
    one.end()
    clock.pump([15, 15])
    assert manager.heard() == []


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
    ],
    ids=["none", "of-another-process", "zero", "no-number"],
)
def test_without_a_watchdog_of_its_own_it_says_nothing(
    more: dict[str, str], place: tuple[str, str], manager: Manager
) -> None:
    clock = Clock()
    one = ServiceManager(clock, told_at(place, **more))

    one.begin()
    clock.advance(60)

    assert manager.heard() == []
    assert not clock.getDelayedCalls()


@pytest.mark.parametrize(
    "environment",
    [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}, {"NOTIFY_SOCKET": "/nowhere/it"}],
    ids=["none", "empty", "of-another-kind", "nobody-there"],
)
def test_who_is_not_there_is_not_missed(environment: dict[str, str]) -> None:
    one = ServiceManager(Clock(), environment)

    one.begin()
    one.ready("serving")
    with one.reloading():
        pass
    one.stopping()
    one.end()
