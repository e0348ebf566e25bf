"""What tests of storage are handed."""

from collections.abc import Iterator, Sequence

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs

from pushd.storage.sqlite import Database, InlineRunner
from tests.unit.storage.shim import Disk


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
    """An open one in memory; `Disk.said` holds what it told the engine since it is open."""
    database = Database(":memory:", clock, InlineRunner(), connection=Disk)
    database.open()
    Disk.said.clear()
    yield database
    Disk.broken = None
    database.close()
    clock.advance(0)


@pytest.fixture
def logged() -> Iterator[Sequence[LogEvent]]:
    with capturedLogs() as events:
        yield events
