"""A lane: the queue in front of one service, and who may go next.

Pushes take turns. A turn is given when fewer are under way than allowed, nobody paused
the lane, the service did not ask to wait, the breaker lets one pass and the rate is kept.
Urgent ones go first; when a breaker is probed, those go first that have failed least, lest
one device's trouble keep a healthy service shut.
"""

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pushd.providers.contract import Limits
from pushd.providers.health import Breaker, Bucket, DeletionGuard


class _Waiter:
    """One who waits for a turn until a deadline."""

    __slots__ = ("expiry", "failures", "granted", "urgent")

    def __init__(self, urgent: bool, failures: int) -> None:
        self.urgent = urgent
        self.failures = failures
        self.granted: Deferred[bool]
        self.expiry: IDelayedCall | None = None

    def tell(self, granted: bool) -> None:
        if self.expiry is not None and self.expiry.active():
            self.expiry.cancel()
        self.granted.callback(granted)


class Lane:
    """See the module's text. `is_paused` asks whether the whole backend is paused."""

    def __init__(self, clock: IReactorTime, limits: Limits, is_paused: Callable[[], bool]) -> None:
        now = self._looked_at = clock.seconds()
        self.breaker = Breaker()
        self.guard = DeletionGuard()
        self.active = 0  # turns that are taken
        self._held_until = now
        self._clock = clock
        self._limits = limits
        self._is_paused = is_paused
        self._bucket = Bucket(limits.rate, limits.burst, now)
        self._urgent: OrderedDict[_Waiter, None] = OrderedDict()
        self._others: OrderedDict[_Waiter, None] = OrderedDict()
        self._timer: IDelayedCall | None = None
        self._is_granting = False

    @property
    def waiting(self) -> int:
        return len(self._urgent) + len(self._others)

    @property
    def opens_at(self) -> float:
        """When the service may next be spoken to, as far as it is to blame."""
        return max(self._held_until, self.breaker.opens_at)

    def enter(self) -> bool:
        """Take a turn if that is possible at once, with nobody else waiting."""
        now = self._clock.seconds()
        ready_at = self._ready_at(now)
        if self.waiting or ready_at is None or ready_at > now:
            return False
        self._take(now)
        return True

    def wait(self, urgent: bool, failures: int, until: float) -> Deferred[bool]:
        """Fires with True when a turn is given, with False at the time `until`.

        `failures` of this push so far. Cancelling it leaves the queue.
        """
        waiter = _Waiter(urgent, failures)
        waiter.granted = Deferred(lambda _: self._forget(waiter))
        (self._urgent if urgent else self._others)[waiter] = None
        delay = max(0.0, until - self._clock.seconds())
        waiter.expiry = self._clock.callLater(delay, self._expire, waiter)
        self.grant()
        return waiter.granted

    def leave(self) -> None:
        """Give a turn back."""
        self.active -= 1
        self.grant()

    def hold(self, until: float) -> None:
        """The service asked for quiet."""
        self._held_until = max(self._held_until, until)

    def reopen(self) -> None:
        """The operator says that all is well."""
        self._held_until = self._clock.seconds()
        self.breaker.reset()
        self.grant()

    def grant(self) -> None:
        """Give the turns that can be given, and look again when the next one can be."""
        if self._is_granting:  # a turn that ends while it begins: the loop below sees it
            return
        self._is_granting = True
        try:
            while self.waiting:
                now = self._clock.seconds()
                ready_at = self._ready_at(now)
                if ready_at is None:
                    break
                if ready_at > now:
                    self._look_again(ready_at)
                    break
                waiter = self._next()
                self._take(now)
                waiter.tell(True)
        finally:
            self._is_granting = False
        if not self.waiting:
            self.close()

    def close(self) -> None:
        """Stop the timer. Those who wait have timers of their own, and are to be cancelled."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _ready_at(self, now: float) -> float | None:
        """When the next turn can be given; None if something else must happen before."""
        if now < self._looked_at:
            self._set_back(self._looked_at - now)
        self._looked_at = now
        if self._is_paused() or self.active >= self.breaker.width(self._limits.concurrency):
            return None
        return max(self.opens_at, self._bucket.ready_at(now))

    def _set_back(self, seconds: float) -> None:
        """The machine's clock was ahead, and is set right: what is left of a pause stays."""
        self._held_until -= seconds
        self.breaker.set_back(seconds)
        self._bucket.set_back(seconds)

    def _take(self, now: float) -> None:
        self.active += 1
        self._bucket.take(now)

    def _next(self) -> _Waiter:
        """Whose turn it is; takes them out of the queue."""
        if self.breaker.is_open:
            waiter = min((*self._urgent, *self._others), key=lambda waiter: waiter.failures)
            self._forget(waiter)
            return waiter
        return (self._urgent or self._others).popitem(last=False)[0]

    def _forget(self, waiter: _Waiter) -> None:
        if waiter.expiry is not None and waiter.expiry.active():
            waiter.expiry.cancel()
        (self._urgent if waiter.urgent else self._others).pop(waiter, None)
        if not self.waiting:
            self.close()

    def _expire(self, waiter: _Waiter) -> None:
        self._forget(waiter)
        waiter.tell(False)

    def _look_again(self, at: float) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._clock.callLater(at - self._clock.seconds(), self.grant)
