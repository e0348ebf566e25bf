import pytest
from twisted.internet.task import Clock

from pushd.modules.push.waking import LEAD, LastCalls
from pushd.routing.sessions import Session
from pushd.wire.jid import parse


def detached(hold: float, at: float = 0.0) -> Session:
    session = Session(parse("juliet@example.net/phone"), None)
    session.detached_at, session.hold = at, hold
    return session


def scene() -> tuple[Clock, list[Session], LastCalls]:
    clock = Clock()
    called: list[Session] = []
    return clock, called, LastCalls(clock, called.append)


@pytest.mark.parametrize(("hold", "when"), [(1000.0, 1000.0 - LEAD), (100.0, 50.0)])
def test_the_call_comes_shortly_before_the_end(hold: float, when: float) -> None:
    clock, called, calls = scene()
    session = detached(hold)

    calls.expect(session)
    clock.advance(when - 1)
    assert called == []

    clock.advance(1)
    assert called == [session]
    calls.cancel(session)


def test_an_end_that_is_near_is_called_at_once() -> None:
    clock, called, calls = scene()
    session = detached(1000.0, at=-990.0)

    calls.expect(session)
    clock.advance(0)

    assert called == [session]


def test_who_is_back_is_not_called() -> None:
    clock, called, calls = scene()
    session = detached(1000.0)

    calls.expect(session)
    calls.expect(session)
    calls.cancel(session)
    calls.cancel(session)
    clock.advance(2000)

    assert called == []
    assert clock.getDelayedCalls() == []
