"""The way of a push does not grow: what it calls, counted, not timed, as in `test_way`.

When a count here has to rise, the commit that raises it says what for.
"""

import pytest

from tests.pushway import SCENARIOS, WINDOW
from tests.way import calls

TURNS = 2
# Calls of functions, in Python and in C, for one push: from a message to its publish and that
# one's answer; from a publish to its answer; from there on to a provider, and what it says.
CALLS = {
    "detached": 370,
    "logged-out": 378,
    "outbox": 385,
    "fcm": 1530,
    "apns": 1575,
}


@pytest.mark.parametrize("name", CALLS)
def test_a_push_costs_so_many_calls(name: str) -> None:
    way = SCENARIOS[name]()

    counted = calls(way, TURNS)

    assert counted.total() / (TURNS * WINDOW) <= CALLS[name], counted.most_common(60)
