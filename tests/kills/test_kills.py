"""Some kills with every run of the tests; `python -m tests.kills` does as many as one likes."""

from tests.effort import examples
from tests.kills.running import run, run_push

KILLS = examples(45)
PUSH_KILLS = examples(35)
SEED = 20_261_126


def test_whatever_a_kill_interrupts_nothing_acknowledged_is_lost() -> None:
    tally = run(KILLS, SEED)

    assert tally.kills >= KILLS
    assert tally["arrivals"] >= tally["messages"] > 0


def test_whatever_a_kill_interrupts_no_accepted_push_and_no_living_registration_is_lost() -> None:
    tally = run_push(PUSH_KILLS, SEED)

    assert tally.kills >= PUSH_KILLS
    assert tally["accepted publishes"] > 0
    assert tally["devices that were away, with news"] > 0
    assert tally["living registrations in the end"] > 0
