"""Failed logins: who has to wait, for how long, and who has not."""

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from pushd.c2s.guard import FIRST_PAUSE, MOST_DELAY, REMEMBERED, Attempt, Guard, Patience

HERE, THERE = "192.0.2.1", "198.51.100.1"
ROMEO, JULIET, NOBODY = "romeo@example.net", "juliet@example.net", "nobody@example.net"
WINDOW = 3600.0


class Gate:
    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.rightNow = 1_700_000_000.0
        self.guard = Guard(self.clock, Patience(per_address=3, per_account=5, window=WINDOW))

    def fail(self, times: int, origin: str = HERE, account: str = NOBODY) -> Attempt:
        for _ in range(times):
            attempt = self.guard.attempt(origin, account)
            self.guard.failed(attempt)
        return attempt

    def succeed(self, origin: str = HERE, account: str = ROMEO) -> Attempt:
        attempt = self.guard.attempt(origin, account)
        if not attempt.is_put_off:
            self.guard.succeeded(attempt)
        return attempt

    def paused(self) -> float:
        """How long nobody is heard, in whole seconds."""
        seconds = 0
        while self.guard.turns_away(HERE):
            self.clock.advance(1)
            seconds += 1
        return seconds


@pytest.fixture
def gate() -> Gate:
    return Gate()


# Addresses.


def test_an_address_pauses_longer_with_each_failure_but_not_without_end(gate: Gate) -> None:
    gate.fail(2)
    assert not gate.guard.turns_away(HERE)

    pauses = []
    for _ in range(9):
        gate.fail(1)
        pauses.append(gate.paused())

    assert pauses == [10, 20, 40, 80, 160, 320, 640, 900, 900]
    assert not gate.guard.turns_away(THERE)


def test_who_is_put_off_makes_the_pause_no_longer(gate: Gate) -> None:
    gate.fail(3)

    attempts = [gate.fail(1) for _ in range(50)]

    assert all(attempt.is_put_off for attempt in attempts)
    assert gate.paused() == FIRST_PAUSE


def test_attempts_at_the_same_time_count_as_those_after_each_other(gate: Gate) -> None:
    """They count when they begin: a burst of guesses gets no more answers than a row of them."""
    attempts = [gate.guard.attempt(HERE, f"{n}@example.net") for n in range(10)]

    assert [attempt.is_put_off for attempt in attempts] == [False] * 3 + [True] * 7


def test_a_right_password_is_no_failure_and_forgives_none(gate: Gate) -> None:
    """Whoever has an account could else guess at another's without an end."""
    gate.fail(2)
    for _ in range(10):
        assert not gate.succeed(account=JULIET).is_put_off

    gate.fail(1)

    assert gate.succeed(account=ROMEO).is_put_off


def test_what_nobody_could_tell_is_no_failure(gate: Gate) -> None:
    for _ in range(10):
        gate.guard.take_back(gate.guard.attempt(HERE, ROMEO))

    attempt = gate.guard.attempt(HERE, ROMEO)

    assert (attempt.is_put_off, attempt.delay) == (False, 0.0)


def test_failures_are_forgotten_after_a_while(gate: Gate) -> None:
    gate.fail(3)
    gate.clock.advance(WINDOW)

    gate.fail(2)

    assert not gate.guard.turns_away(HERE)


def test_an_address_that_is_exempt_never_pauses(gate: Gate) -> None:
    assert not gate.fail(100, origin="").is_put_off
    assert not gate.guard.turns_away("")


def test_the_operator_is_told_of_each_pause(gate: Gate) -> None:
    with capturedLogs() as lines:
        gate.fail(20)

    [line] = lines
    assert (line["origin"], line["pause"]) == (HERE, FIRST_PAUSE)


# Who is at home somewhere.


def test_who_has_logged_in_from_there_is_not_put_off_with_the_others(gate: Gate) -> None:
    gate.succeed(account=ROMEO)
    gate.fail(3)

    assert not gate.succeed(account=ROMEO).is_put_off
    assert gate.succeed(account=JULIET).is_put_off
    assert gate.succeed(THERE, ROMEO).is_put_off is False


def test_guesses_at_an_account_from_its_home_are_limited_alike(gate: Gate) -> None:
    gate.succeed(account=ROMEO)
    gate.fail(3, account=ROMEO)

    assert gate.succeed(account=ROMEO).is_put_off
    assert not gate.succeed(account=JULIET).is_put_off


def test_where_somebody_is_at_home_nobody_is_turned_away_unheard(gate: Gate) -> None:
    """Else the time that an answer takes would tell who is at home there."""
    gate.succeed(account=ROMEO)
    gate.fail(3)

    assert not gate.guard.turns_away(HERE)
    for account in (ROMEO, NOBODY):
        attempt = gate.guard.attempt(HERE, account)
        assert (attempt.is_vague, attempt.delay) == (True, 0.0)


# Accounts.


def test_an_account_is_slowed_from_wherever_it_is_tried(gate: Gate) -> None:
    delays = [gate.fail(1, f"192.0.2.{n}", ROMEO).delay for n in range(12)]

    assert delays == [0, 0, 0, 0, 0, 0.5, 1, 2, 4, MOST_DELAY, MOST_DELAY, MOST_DELAY]


def test_an_account_is_slowed_but_nobody_is_locked_out_of_it(gate: Gate) -> None:
    for number in range(200):
        gate.fail(1, f"192.0.2.{number}", ROMEO)

    attempt = gate.succeed(THERE, ROMEO)

    assert (attempt.delay, attempt.is_put_off) == (MOST_DELAY, False)


def test_a_missing_account_is_slowed_as_one_that_exists(gate: Gate) -> None:
    def delays(account: str) -> list[float]:
        return [gate.fail(1, f"192.0.2.{n}", account).delay for n in range(10)]

    assert gate.guard.attempt(THERE, ROMEO).delay == 0.0
    assert delays(NOBODY) == delays(JULIET)


# Memory.


def test_only_so_many_addresses_accounts_and_homes_are_remembered(gate: Gate) -> None:
    gate.succeed(HERE, ROMEO)
    for number in range(REMEMBERED + 5):
        gate.succeed(f"net{number}", f"{number}@example.net")
        gate.fail(1, f"net{number}", f"{number}@example.net")

    guard = gate.guard
    assert len(guard._places) == len(guard._accounts) == REMEMBERED
    assert len(guard._homes._pairs) == len(guard._homes._origins) == REMEMBERED
    assert not guard._homes.has(HERE)
