"""Whether the other end of a connection is still there, and whether the connection is of use."""

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pushd.net.http import Fault, HTTPError

DOUBTFUL_AFTER = 60.0  # seconds of silence after which a connection is asked before it is used
PING_AFTER = 3600.0  # seconds of silence after which it is asked anyway
PING_TIMEOUT = 10.0  # seconds for the answer
FLOOD = 10_000  # frames within a minute during which no exchange ends
FLOOD_TIME = 60.0  # seconds


class Patient(Protocol):
    """Whose pulse is felt."""

    @property
    def load(self) -> int:
        """How many exchanges it has."""

    def ping(self) -> None:
        """Send one."""

    def leave(self) -> None:
        """It is of no use any more."""

    def give_up(self, error: HTTPError) -> None:
        """It is dead, or had better be."""


class Pulse:
    """Timers of one connection: at most one that looks at it, and one for what must come next."""

    def __init__(self, clock: IReactorTime, patient: Patient, idle_limit: float | None) -> None:
        self.is_doubtful = False  # it is asked before it is used
        self.heard_at = 0.0
        self.used_at = 0.0
        self._frames = 0  # that came since, or for the last minute at least
        self._frames_from = 0.0  # when the first of these may have come
        self._clock = clock
        self._patient = patient
        self._idle_limit = idle_limit
        self._look: IDelayedCall | None = None
        self._awaited: IDelayedCall | None = None

    def start(self) -> None:
        """It can be used from now on."""
        self.relax()
        self.used()
        self._look_later()

    def stop(self) -> None:
        """It has ended."""
        self.relax()
        if self._look is not None and self._look.active():
            self._look.cancel()

    def heard(self, frames: int) -> None:
        """Something came, so many frames. Who says much that ends nothing is not listened to."""
        self.heard_at = now = self._clock.seconds()
        self._frames += frames
        if self._frames > FLOOD:
            if now - self._frames_from < FLOOD_TIME:
                text = "the server sends frame after frame, and no answer"
                self._patient.give_up(HTTPError(Fault.BROKEN, text))
            self._frames, self._frames_from = 0, now

    def used(self) -> None:
        """An exchange has ended, or the connection has begun."""
        self.used_at = self._frames_from = self._clock.seconds()
        self._frames = 0

    def answered(self) -> None:
        """The answer to a ping has come."""
        self.relax()
        self.is_doubtful = False

    def is_sure(self) -> bool:
        """Has it said something lately? If not, it is asked, and doubtful until it answers."""
        if 0 <= self._clock.seconds() - self.heard_at < DOUBTFUL_AFTER:
            return True
        self.is_doubtful = True
        self.ask()
        return False

    def has_heard_since(self, instant: float) -> bool:
        """Has it said something after that, as far as the clock is to be believed?"""
        return instant < self.heard_at <= self._clock.seconds()

    def ask(self) -> None:
        """Unless it must do something already."""
        if self._awaited is None:
            text = f"the connection is dead: no answer to a ping within {PING_TIMEOUT:g} s"
            self.expect(HTTPError(Fault.BROKEN, text), PING_TIMEOUT)
            self._patient.ping()

    def expect(self, error: HTTPError, seconds: float) -> None:
        """Something must come in so many seconds, or it is given up with this error."""
        self.wait(seconds, lambda: self._patient.give_up(error))

    def wait(self, seconds: float, act: Callable[[], object]) -> None:
        """Do that in so many seconds, unless `relax` is called before."""
        self._awaited = self._clock.callLater(seconds, act)

    def relax(self) -> None:
        """What was awaited has come."""
        if self._awaited is not None and self._awaited.active():
            self._awaited.cancel()
        self._awaited = None

    def _look_later(self) -> None:
        period = min(PING_AFTER, self._idle_limit or PING_AFTER)
        self._look = self._clock.callLater(period, self._look_at_it)

    def _look_at_it(self) -> None:
        now = self._clock.seconds()
        limit = self._idle_limit
        if limit is not None and not self._patient.load and now - self.used_at >= limit:
            self._patient.leave()
            return
        if now - self.heard_at >= PING_AFTER:
            self.ask()
        self._look_later()
