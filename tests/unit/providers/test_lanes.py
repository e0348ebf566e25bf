"""Whose turn it is."""

from collections.abc import Callable

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from pushd.providers.contract import Limits
from pushd.providers.lanes import Lane


class Queue:
    """A lane, and what became of those who waited in it."""

    def __init__(self, limits: Limits = Limits(concurrency=1)) -> None:  # noqa: B008  frozen
        self.clock = Clock()
        self.is_paused = False
        self.lane = Lane(self.clock, limits, lambda: self.is_paused)
        self.heard: list[tuple[str, bool]] = []

    def wait(
        self, name: str, urgent: bool = False, failures: int = 0, until: float = 1000.0
    ) -> Callable[[], None]:
        """Returns what leaves the queue again."""
        waiting = self.lane.wait(urgent, failures, until)
        waiting.addCallback(lambda granted: self.heard.append((name, granted)))
        waiting.addErrback(lambda failure: failure.trap(CancelledError) and None)
        return waiting.cancel

    @property
    def granted(self) -> list[str]:
        return [name for name, granted in self.heard if granted]


def trip(queue: Queue) -> None:
    queue.lane.breaker.trip(queue.clock.seconds())


def test_turns_are_given_up_to_the_limit_and_then_in_the_order_of_arrival() -> None:
    queue = Queue(Limits(concurrency=2))
    assert queue.lane.enter()
    assert queue.lane.enter()
    assert not queue.lane.enter()
    queue.wait("first")
    queue.wait("second")
    queue.lane.leave()
    assert queue.granted == ["first"]
    queue.lane.leave()
    assert queue.granted == ["first", "second"]
    assert queue.lane.active == 2


def test_the_urgent_go_first() -> None:
    queue = Queue()
    queue.lane.enter()
    for name in ("a", "b"):
        queue.wait(name)
    queue.wait("call", urgent=True)
    for _ in range(3):
        queue.lane.leave()
    assert queue.granted == ["call", "a", "b"]


def test_waiting_ends_at_its_time() -> None:
    queue = Queue()
    queue.lane.enter()
    queue.wait("brief", until=5)
    queue.wait("patient")
    queue.clock.advance(5)
    assert queue.heard == [("brief", False)]
    queue.lane.leave()
    assert queue.granted == ["patient"]
    assert queue.clock.getDelayedCalls() == []


def test_who_leaves_the_queue_is_passed_over() -> None:
    queue = Queue()
    queue.lane.enter()
    leave = queue.wait("first")
    queue.wait("second")
    leave()
    queue.lane.leave()
    assert queue.granted == ["second"]
    assert queue.lane.waiting == 0


def test_a_hold_keeps_everyone_until_its_end_and_is_never_shortened() -> None:
    queue = Queue()
    queue.lane.hold(20)
    queue.lane.hold(10)
    queue.wait("patient")
    queue.clock.advance(19.9)
    assert queue.granted == []
    queue.clock.advance(0.2)
    assert queue.granted == ["patient"]


def test_an_open_breaker_lets_one_pass_when_its_pause_is_over() -> None:
    queue = Queue(Limits(concurrency=5))
    trip(queue)
    for name in ("a", "b"):
        queue.wait(name)
    queue.clock.advance(29)
    assert queue.granted == []
    queue.clock.advance(1)
    assert queue.granted == ["a"]
    queue.lane.breaker.succeeded(5)
    queue.lane.leave()
    assert queue.granted == ["a", "b"]


def test_who_comes_later_does_not_overtake_those_who_wait() -> None:
    queue = Queue(Limits(concurrency=5))
    trip(queue)
    for name in ("a", "b"):
        queue.wait(name)
    queue.clock.advance(30)
    queue.lane.breaker.succeeded(5)  # there is room for "b", who is told with the next turn
    assert not queue.lane.enter()


def test_the_probe_of_a_breaker_is_whoever_failed_least() -> None:
    queue = Queue()
    trip(queue)
    queue.wait("troubled call", urgent=True, failures=3)
    queue.wait("troubled", failures=2)
    queue.wait("fresh")
    queue.clock.advance(30)
    assert queue.granted == ["fresh"]


def test_a_failed_probe_makes_the_others_wait_longer() -> None:
    queue = Queue()
    trip(queue)
    for name in ("a", "b"):
        queue.wait(name)
    queue.clock.advance(30)
    queue.lane.breaker.failed(30)
    queue.lane.leave()
    queue.clock.advance(59)
    assert queue.granted == ["a"]
    queue.clock.advance(1)
    assert queue.granted == ["a", "b"]


def test_a_pause_gives_no_turn_but_ends_waiting_in_time() -> None:
    queue = Queue()
    queue.is_paused = True
    assert not queue.lane.enter()
    queue.wait("brief", until=5)
    queue.wait("patient")
    queue.clock.advance(100)
    assert queue.heard == [("brief", False)]
    queue.is_paused = False
    queue.lane.grant()
    assert queue.granted == ["patient"]


def test_reopening_forgets_hold_and_breaker() -> None:
    queue = Queue()
    trip(queue)
    queue.lane.hold(500)
    queue.wait("patient")
    queue.lane.reopen()
    assert queue.granted == ["patient"]
    assert queue.clock.getDelayedCalls() == []


def test_a_rate_spaces_the_turns() -> None:
    queue = Queue(Limits(concurrency=100, rate=2, burst=2))
    for number in range(6):
        queue.wait(str(number))
    seen = [len(queue.granted)]
    for _ in range(4):
        queue.clock.advance(0.5)
        seen.append(len(queue.granted))
    assert seen == [2, 3, 4, 5, 6]


def test_turns_that_end_as_soon_as_they_begin_do_not_pile_up() -> None:
    queue = Queue()
    queue.lane.enter()
    count = 5000
    for _ in range(count):
        queue.lane.wait(False, 0, 1000).addCallback(lambda _: queue.lane.leave())
    queue.lane.leave()
    assert (queue.lane.active, queue.lane.waiting) == (0, 0)
    assert queue.clock.getDelayedCalls() == []
