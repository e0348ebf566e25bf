"""The way of a message does not grow: what it calls and keeps, counted, not timed.

When a count here has to rise, the commit that raises it says what for.
"""

import pytest

from tests.errands import ERRANDS
from tests.way import SCENARIOS, allocated, calls

TURNS = {"w1": 60, "w50": 4, "w1-nosm": 60, "w50-nosm": 4, "s2s-in": 4, "s2s-out": 4}
# Calls of functions, in Python and in C, for one message from its bytes to its receiver's, or to
# those that the other server reads.
CALLS = {"w1": 133, "w50": 60, "w1-nosm": 79, "w50-nosm": 53, "s2s-in": 67, "s2s-out": 74}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_message_costs_so_many_calls(name: str) -> None:
    way = SCENARIOS[name]()
    messages = TURNS[name] * 2 * way.window

    counted = calls(way, TURNS[name])

    assert counted.total() / messages <= CALLS[name], counted.most_common(40)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_message_that_is_dealt_with_leaves_nothing(name: str) -> None:
    way = SCENARIOS[name]()
    allocated(way, 20)

    assert allocated(way, 2_000 // way.window) < 0.1


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_on_the_way_waits(name: str) -> None:
    """No Deferred, no coroutine, no log line, no new address, no tree (but for commits)."""
    way = SCENARIOS[name]()
    counted = calls(way, TURNS[name])
    messages = TURNS[name] * 2 * way.window

    costly = ("Deferred.__init__", "Logger.emit", "wire/element.py:parse", "jid.py:_parse")
    assert sum(n for what, n in counted.items() if what.endswith(costly)) < 0.05 * messages


# The same for one message to a detached session, for presence to one of 20 contacts, for a login
# with its end, and for a resumption with the 30 messages that wait for it.
ERRAND_CALLS = {"detached": 88, "presence": 128, "login": 1_990, "resumption": 3_310}


@pytest.mark.parametrize("name", ERRANDS)
def test_an_errand_costs_so_many_calls(name: str) -> None:
    errand = ERRANDS[name]()
    turns = 1 + 20 // errand.each

    counted = calls(errand, turns)

    assert counted.total() / (turns * errand.each) <= ERRAND_CALLS[name], counted.most_common(40)
