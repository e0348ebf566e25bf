"""Last calls: a device is woken once more before its session is held no longer."""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pushd.routing.sessions import Session

LEAD = 120.0  # seconds for a woken device to come back; half of a hold that is shorter


class LastCalls:
    """One timer a detached session; `call` is called with the session when it is time."""

    def __init__(self, clock: IReactorTime, call: Callable[[Session], None]) -> None:
        self._clock = clock
        self._call = call
        self._timers: dict[Session, IDelayedCall] = {}

    def expect(self, session: Session) -> None:
        """The session is detached: call before its hold ends, unless it is back by then."""
        self.cancel(session)
        assert session.detached_at is not None
        at = session.detached_at + session.hold - min(LEAD, session.hold / 2)
        delay = max(0.0, at - self._clock.seconds())
        self._timers[session] = self._clock.callLater(delay, self._ring, session)

    def cancel(self, session: Session) -> None:
        timer = self._timers.pop(session, None)
        if timer is not None:
            timer.cancel()

    def _ring(self, session: Session) -> None:
        del self._timers[session]
        self._call(session)
