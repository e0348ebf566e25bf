"""What tests of storage are handed."""

from collections.abc import Iterator, Sequence

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs

from pushd.storage.sqlite import Database
from tests.unit.storage.shim import Disk, opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def sound_disk() -> Iterator[None]:
    Disk.broken, Disk.at = None, "COMMIT"
    Disk.said.clear()
    yield
    Disk.broken = None


@pytest.fixture
def database(clock: Clock) -> Iterator[Database]:
    yield from opened(clock)


@pytest.fixture
def logged() -> Iterator[Sequence[LogEvent]]:
    with capturedLogs() as events:
        yield events
