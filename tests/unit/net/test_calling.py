"""A connection that is made again whenever it ends."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from zope.interface import implementer

from pushd.net.calling import LONGEST_PAUSE, LONGEST_WHILE_DOWN, Calling


@implementer(IStreamClientEndpoint)
class Line:
    """An endpoint whose attempts wait until the test decides them."""

    def __init__(self) -> None:
        self.attempts: list[Deferred[Any]] = []
        self.cancelled = 0

    def connect(self, protocolFactory: object) -> "Deferred[Any]":  # noqa: N803
        def cancel(attempt: "Deferred[Any]") -> None:
            self.cancelled += 1

        self.attempts.append(Deferred(cancel))
        return self.attempts[-1]


class Caller:
    def __init__(self) -> None:
        self.clock = Clock()
        self.line = Line()
        self.reasons: list[str] = []
        self.calling = Calling(self.clock, self.line, object, self.reasons.append)  # type: ignore[arg-type]
        self.calling.start()

    def refuse(self) -> float:
        """Refuse an attempt; gives the seconds until the next one."""
        self.line.attempts[-1].errback(ConnectionRefusedError("nobody there"))
        return self.pause()

    def pause(self) -> float:
        [timer] = self.clock.getDelayedCalls()
        pause: float = timer.getTime() - self.clock.seconds()
        self.clock.advance(pause)
        return pause


def test_who_is_not_there_is_looked_for_every_five_seconds() -> None:
    """A server that is started anew answers its users, and refuses what they publish."""
    caller = Caller()

    pauses = [caller.refuse() for _ in range(10)]

    for pause, least in zip(pauses, [1, 2, 4, *[5] * 7], strict=True):
        assert least <= round(pause, 6) <= min(least + 1, LONGEST_WHILE_DOWN)
    assert len(caller.reasons) == 10
    assert "nobody there" in caller.reasons[0]


def test_who_was_taken_comes_back_soon() -> None:
    caller = Caller()
    for _ in range(5):
        caller.refuse()

    caller.line.attempts[-1].callback(object())
    caller.calling.agreed()
    caller.calling.ended()

    assert caller.pause() <= 2


def test_who_was_refused_after_connecting_waits_longer_and_longer() -> None:
    caller = Caller()
    pauses = []
    for _ in range(8):
        caller.line.attempts[-1].callback(object())
        caller.calling.ended()
        pauses.append(caller.pause())

    for pause, least in zip(pauses, [1, 2, 4, 8, 16, 32, 60, 60], strict=True):
        assert least <= pause <= least + 1
    assert max(pauses) <= LONGEST_PAUSE + 1


def test_one_attempt_is_made_at_a_time() -> None:
    caller = Caller()
    caller.clock.advance(3600)

    assert len(caller.line.attempts) == 1


def test_nothing_is_tried_after_the_end() -> None:
    caller = Caller()

    caller.calling.stop()

    assert caller.line.cancelled == 1
    assert caller.clock.getDelayedCalls() == []
    assert caller.reasons == []


def test_a_pause_ends_with_it() -> None:
    caller = Caller()
    caller.line.attempts[-1].errback(ConnectionRefusedError())

    caller.calling.stop()

    assert caller.clock.getDelayedCalls() == []


def test_a_connection_that_ends_after_the_end_is_not_made_again() -> None:
    caller = Caller()
    caller.line.attempts[-1].callback(object())

    caller.calling.stop()
    caller.calling.ended()

    assert caller.clock.getDelayedCalls() == []
