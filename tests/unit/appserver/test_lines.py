"""Whose push is next."""

import pytest
from twisted.internet.task import Clock

from pushd.appserver import lines
from pushd.appserver.lines import Delays, Lines

A, B = ("fcm", ""), ("fcm", "slow")


class Begun:
    """Lines of the width three, and who was begun."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lines, "WIDTH", 3)
        self.nodes: list[str] = []
        self.lines = Lines(lambda node, key: self.nodes.append(node))

    def join(self, *nodes: str, key: lines.Key = A, urgent: bool = False) -> None:
        for node in nodes:
            self.lines.join(key, node, urgent)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Begun:
    return Begun(monkeypatch)


def test_so_many_go_at_once_and_the_others_as_these_end(begun: Begun) -> None:
    begun.join("1", "2", "3", "4", "5")
    assert begun.nodes == ["1", "2", "3"]
    assert len(begun.lines) == 2

    begun.lines.end(A)
    assert begun.nodes == ["1", "2", "3", "4"]
    assert "5" in begun.lines
    assert "4" not in begun.lines


def test_what_is_urgent_waits_for_no_others(begun: Begun) -> None:
    begun.join("1", "2", "3", "4")
    begun.join("5", "6", "7", "8", urgent=True)
    assert begun.nodes == ["1", "2", "3", "5", "6", "7"]

    begun.lines.end(A)
    assert begun.nodes[-1] == "8"
    for _ in range(4):
        begun.lines.end(A)
    assert begun.nodes[-1] == "4"


def test_who_becomes_urgent_goes_before_the_others(begun: Begun) -> None:
    begun.join("1", "2", "3", "4", "5")
    begun.join("5", urgent=True)

    assert begun.nodes == ["1", "2", "3", "5"]
    begun.join("4")
    assert len(begun.lines) == 1


def test_a_slow_line_delays_no_other(begun: Begun) -> None:
    begun.join("1", "2", "3", "4", key=B)
    begun.join("5")

    assert begun.nodes == ["1", "2", "3", "5"]


def test_who_goes_over_to_another_line_has_left_the_first(begun: Begun) -> None:
    begun.join("1", "2", "3", "4", key=B)
    begun.join("4")
    assert begun.nodes[-1] == "4"

    begun.lines.end(B)
    assert begun.nodes == ["1", "2", "3", "4"]


def test_who_leaves_is_not_begun(begun: Begun) -> None:
    begun.join("1", "2", "3", "4", "5")
    begun.lines.leave("4")
    begun.lines.leave("nobody")

    begun.lines.end(A)
    assert begun.nodes[-1] == "5"


def test_what_ends_at_once_makes_no_pile_of_calls() -> None:
    begun = 0

    def begin(node: str, key: lines.Key) -> None:
        nonlocal begun
        begun += 1
        if begun < 10_000:
            made.join(key, str(begun), False)
        made.end(key)

    made = Lines(begin)
    made.join(A, "0", False)

    assert begun == 10_000
    assert (len(made), made._lines) == (0, {})


def test_a_line_that_is_empty_is_forgotten(begun: Begun) -> None:
    begun.join("1", "2", "3", "4")
    begun.lines.leave("4")
    for _ in range(3):
        begun.lines.end(A)

    assert begun.lines._lines == {}


# Delays.


def test_each_is_called_at_its_time_with_one_timer_for_all() -> None:
    clock, called = Clock(), list[str]()
    delays = Delays(clock, called.append)
    for node, at in (("b", 2.0), ("a", 1.0), ("c", 3.0)):
        delays.put(node, at)
    assert len(clock.getDelayedCalls()) == 1

    clock.advance(1)
    assert called == ["a"]
    clock.advance(2)
    assert called == ["a", "b", "c"]
    assert (len(delays), clock.getDelayedCalls()) == (0, [])


def test_only_the_last_time_that_was_said_counts() -> None:
    clock, called = Clock(), list[str]()
    delays = Delays(clock, called.append)
    delays.put("a", 1.0)
    delays.put("a", 3.0)
    delays.put("b", 1.0)
    delays.drop("b")

    clock.advance(2)
    assert called == []
    assert "a" in delays
    clock.advance(1)
    assert called == ["a"]


def test_an_end_that_comes_nearer_is_kept_too() -> None:
    clock, called = Clock(), list[str]()
    delays = Delays(clock, called.append)
    delays.put("a", 9.0)
    delays.put("a", 1.0)
    clock.advance(1)

    assert called == ["a"]
    clock.advance(10)
    assert called == ["a"]


def test_who_is_called_may_be_delayed_anew() -> None:
    clock, called = Clock(), list[float]()

    def ready(node: str) -> None:
        called.append(clock.seconds())
        if len(called) < 3:
            delays.put(node, clock.seconds() + 1)

    delays = Delays(clock, ready)
    delays.put("a", 1.0)
    for _ in range(5):
        clock.advance(1)

    assert called == [1.0, 2.0, 3.0]


def test_who_is_closed_calls_nobody() -> None:
    clock, called = Clock(), list[str]()
    delays = Delays(clock, called.append)
    delays.put("a", 1.0)
    delays.close()

    assert clock.getDelayedCalls() == []
