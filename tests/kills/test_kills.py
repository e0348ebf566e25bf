"""Some kills with every run of the tests; `python -m tests.kills` does as many as one likes."""

from tests.kills.running import run

KILLS = 60
SEED = 20_261_126


def test_whatever_a_kill_interrupts_nothing_acknowledged_is_lost() -> None:
    tally = run(KILLS, SEED)

    assert tally.kills >= KILLS
    assert tally["arrivals"] >= tally["messages"] > 0
