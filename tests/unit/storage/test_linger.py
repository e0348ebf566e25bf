"""What nobody waits for lingers a little, and shares a commit."""

import sqlite3
from collections.abc import Callable, Iterator

import pytest
from twisted.internet.task import Clock

from pushd.storage.sqlite import Database
from tests.unit.storage.shim import Disk, opened, outcomes

INSERT = "INSERT INTO settings (name, value) VALUES (?, '')"
SETTINGS = "SELECT name FROM settings"


@pytest.fixture
def lingering(clock: Clock) -> Iterator[Database]:
    yield from opened(clock, linger=0.01)


def commits() -> int:
    return Disk.said.count("COMMIT")


def turn(clock: Clock) -> None:
    """A turn of the reactor, and the one for which a group waits."""
    clock.advance(0)
    clock.advance(0)


def test_what_nobody_waits_for_shares_a_commit(lingering: Database, clock: Clock) -> None:
    for name in "abc":
        lingering.write(INSERT, (name,))
        turn(clock)
    assert commits() == 0

    clock.advance(0.01)
    turn(clock)

    assert commits() == 1


WAITERS: dict[str, Callable[[Database], object]] = {
    "committed": lambda database: database.committed(),
    "read": lambda database: database.read(SETTINGS),
    "close": lambda database: database.close(),
}


@pytest.mark.parametrize("wait", WAITERS.values(), ids=WAITERS.keys())
def test_nothing_lingers_for_which_somebody_waits(
    lingering: Database, clock: Clock, wait: Callable[[Database], object]
) -> None:
    lingering.write(INSERT, ("a",))
    wait(lingering)
    turn(clock)

    assert commits() == 1
    assert not clock.getDelayedCalls()


def test_what_a_commit_causes_lingers_too(lingering: Database, clock: Clock) -> None:
    causes = iter("bc")

    def collect() -> Callable[[], None] | None:
        name = next(causes, None)
        return (lambda: lingering.write(INSERT, (name,))) if name else None

    lingering.collect(collect)
    lingering.write(INSERT, ("a",))
    counts = []
    for _ in range(4):
        clock.advance(0.01)
        turn(clock)
        counts.append(commits())

    assert counts == [1, 2, 3, 3]


def test_after_a_failure_it_is_tried_again_by_itself(lingering: Database, clock: Clock) -> None:
    Disk.broken = sqlite3.SQLITE_FULL
    lingering.write(INSERT, ("a",))
    clock.advance(0.01)
    turn(clock)
    assert lingering.failing

    Disk.broken = None
    lingering.write(INSERT, ("b",))
    clock.advance(0.01)
    turn(clock)
    assert lingering.failing
    clock.advance(2)
    turn(clock)

    assert not lingering.failing
    assert commits() >= 1


@pytest.mark.parametrize(("hurry", "turns"), [(True, 1), (False, 2)])
def test_who_is_in_a_hurry_waits_for_the_end_of_the_turn_alone(
    lingering: Database, clock: Clock, hurry: bool, turns: int
) -> None:
    lingering.write(INSERT, ("a",))
    told = outcomes(lingering.committed(hurry=hurry))
    for _ in range(turns):
        assert told == []
        [call] = clock.getDelayedCalls()
        act, given = call.func, call.args  # type: ignore[attr-defined]
        call.cancel()
        act(*given)
    assert told == [None]
