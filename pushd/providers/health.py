"""Is a backend well? Judgements that need no clock of their own: `now` is handed in.

A breaker stops what fails again and again, a guard stops what would delete too much, a
bucket stops what is too fast.
"""

from collections import deque

HOUR = 3600.0


class Breaker:
    """Opens after failures in a row of the backend's own kind, then lets one try at a time.

    Closed, it lets everything pass. Open, it lets nothing pass until `opens_at`; then one
    at a time, as a probe, whose failure doubles the pause and whose success closes it. After
    that the width grows by one with each success, so that a service that has just got up is
    not run over.
    """

    def __init__(self, failures: int = 5, pause: float = 30.0, longest: float = 900.0) -> None:
        self._limit = failures
        self._first = pause
        self._longest = longest
        self.reset()

    def reset(self) -> None:
        """Forget everything, as at the start."""
        self.is_open = False
        self.opens_at = 0.0  # when the next probe may go
        self._pause = self._first
        self._failures = 0
        self._lost_at = -1.0  # when a connection last took requests with it
        self._width: int | None = None  # None: as wide as the caller likes

    def set_back(self, seconds: float) -> None:
        """The clock is so much behind what it was."""
        self.opens_at -= seconds
        self._lost_at -= seconds

    def width(self, limit: int) -> int:
        """How many may be under way at a time, of at most `limit`."""
        if self.is_open:
            return 1
        return limit if self._width is None else min(limit, self._width)

    def succeeded(self, limit: int) -> bool:
        """The backend did its part. True when this closes the breaker."""
        self._failures = 0
        if self.is_open:
            self.reset()
            self._width = 2
            return True
        if self._width is not None:
            self._width = self._width + 1 if self._width < limit else None
        return False

    def failed(self, now: float, rest: float = 0.0, lost_since: float | None = None) -> bool:
        """The backend did not do its part. True when this opens the breaker.

        It is not to be asked for `rest` seconds once the breaker is open. A connection that
        ends, or is not made, takes many requests with it, which count once: `lost_since` is
        when one that was lost so had been sent.
        """
        if lost_since is not None and not self.is_open:
            if lost_since <= self._lost_at:
                return False
            self._lost_at = now
        if self.is_open:
            if now >= self.opens_at:  # else it is a late answer to what was sent before
                self._pause = min(2 * self._pause, self._longest)
                self.opens_at = now + max(self._pause, rest)
            return False
        self._failures += 1
        if self._failures < self._limit:
            return False
        return self.trip(now, rest)

    def trip(self, now: float, rest: float = 0.0) -> bool:
        """Nothing can succeed: open at once. True when it was closed."""
        if self.is_open:
            return self.failed(now, rest)
        self.is_open = True
        self.opens_at = now + max(self._pause, rest)
        return True


class DeletionGuard:
    """Tells uninstalled apps from a wrong key, project or environment.

    A few dead devices are daily life. More than ten within an hour, and more than there
    were accepted notifications, are more likely our mistake or the service's: then nothing
    is deleted. With other credentials one begins with another guard. Devices are told apart
    by a number, so that no token is kept here.
    """

    def __init__(self, devices: int = 10, period: float = HOUR, remembered: int = 20_000) -> None:
        self._limit = devices
        self._period = period
        self._remembered = remembered
        self._dead: dict[int, float] = {}  # device to when it was last called dead, in order
        self._accepted: deque[tuple[float, int]] = deque()  # (start of a minute, how many)
        self._accepted_count = 0
        self.is_proven = False  # was anything ever accepted, so that we are the right sender?

    def accepted(self, now: float) -> None:
        """The service took a notification."""
        self.is_proven = True
        minute = now - now % 60
        if self._accepted and self._accepted[-1][0] == minute:
            self._accepted[-1] = (minute, self._accepted[-1][1] + 1)
        else:
            self._accepted.append((minute, 1))
        self._accepted_count += 1
        self._forget(now)

    def may_delete(self, device: int, now: float) -> bool:
        """The service calls a device dead: is that to be believed?"""
        self._dead.pop(device, None)
        self._dead[device] = now
        self._forget(now)
        return len(self._dead) <= max(self._limit, self._accepted_count)

    def _forget(self, now: float) -> None:
        oldest = now - self._period
        while self._accepted and self._accepted[0][0] + 60 <= oldest:
            self._accepted_count -= self._accepted.popleft()[1]
        while self._dead:
            device = next(iter(self._dead))
            if self._dead[device] > oldest and len(self._dead) <= self._remembered:
                break
            del self._dead[device]


class Bucket:
    """At most `rate` a second on the long run, and `burst` at once after a pause."""

    def __init__(self, rate: float | None, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = max(1, burst)
        self._full_at = now  # when all of the burst is there again

    def ready_at(self, now: float) -> float:
        """When one may be taken; not after `now` where that is at once."""
        if self._rate is None:
            return now
        return self._full_at - (self._burst - 1) / self._rate

    def set_back(self, seconds: float) -> None:
        """As for a breaker."""
        self._full_at -= seconds

    def take(self, now: float) -> None:
        """One goes."""
        if self._rate is not None:
            self._full_at = max(self._full_at, now) + 1 / self._rate
