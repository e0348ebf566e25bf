"""Who guesses passwords has to wait: by address, and by account (RFC 6120 §6.4.5, §13.12).

Where logins have failed too often, all that come from there are put off, but for accounts
that have logged in from there before. An account that is tried from many places is slow to
log in to, and no more: nobody locks another out. All this is the same for accounts that do
not exist.
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

log = Logger()

FIRST_PAUSE = 10.0  # seconds that an address has to pause, doubled with each further failure
FIRST_DELAY = 0.5  # seconds by which a login is slowed, doubled with each further failure
MOST_DELAY = 5.0  # seconds: five attempts fit into the time that a stream has to log in
REMEMBERED = 10_000  # addresses, accounts, and homes; with one more, the oldest is forgotten


@dataclass(frozen=True, slots=True)
class Patience:
    """How many logins may fail at no cost. Failures are forgotten after `window` seconds.

    The longest pause of an address is a quarter of that.
    """

    per_address: int = 20
    per_account: int = 10
    window: float = 3600.0


class Failures:
    """Failures by key, of those keys that were heard of last."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()  # how often, and when

    def __len__(self) -> int:
        return len(self._failed)

    def count(self, key: str, window: float) -> int:
        """How many there were, until nothing failed for `window` seconds."""
        count, at = self._failed.get(key, (0, 0.0))
        return count if self._clock.seconds() - at < window else 0

    def since(self, key: str) -> float:
        """Seconds since the last one."""
        return self._clock.seconds() - self._failed[key][1]

    def add(self, key: str, window: float) -> None:
        count = self.count(key, window) + 1
        self._failed[key] = (count, self._clock.seconds())
        self._failed.move_to_end(key)
        if len(self._failed) > REMEMBERED:
            self._failed.popitem(last=False)

    def take_back(self, key: str) -> None:
        """The last one was none."""
        count, at = self._failed.get(key, (0, 0.0))
        if count > 1:
            self._failed[key] = (count - 1, at)
        elif count:
            del self._failed[key]


class Homes:
    """From where accounts have logged in, of late: pairs of an origin and an account."""

    def __init__(self) -> None:
        self._pairs: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._origins: Counter[str] = Counter()

    def __contains__(self, pair: tuple[str, str]) -> bool:
        return pair in self._pairs

    def has(self, origin: str) -> bool:
        """Whether anybody is at home there."""
        return origin in self._origins

    def add(self, origin: str, account: str) -> None:
        if (origin, account) not in self._pairs:
            self._origins[origin] += 1
        self._pairs[origin, account] = None
        self._pairs.move_to_end((origin, account))
        if len(self._pairs) > REMEMBERED:
            (oldest, _), _ = self._pairs.popitem(last=False)
            self._origins[oldest] -= 1
            if not self._origins[oldest]:
                del self._origins[oldest]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, which counts as a failure until it is told otherwise.

    The password is not to be looked at before `delay` seconds are over. An attempt that
    `is_put_off` is then refused whatever the password; where an attempt `is_vague`, a wrong
    password is no reason to give.
    """

    account: str
    origin: str
    place: str  # under which its failure counts besides the account
    delay: float
    is_put_off: bool
    is_vague: bool


class Guard:
    """Judges attempts to log in. `patience` may change at any time."""

    def __init__(self, clock: IReactorTime, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self.clock = clock
        self._places = Failures(clock)
        self._accounts = Failures(clock)
        self._homes = Homes()

    def turns_away(self, origin: str) -> bool:
        """Whether nobody who comes from there is heard for now, so that no work is needed.

        `origin` is what `net/origins` makes of an address; empty for one that is exempt.
        """
        return not self._homes.has(origin) and self._pauses(origin)

    def attempt(self, origin: str, account: str) -> Attempt:
        """Somebody gives a password, right or wrong, for an account (bare JID) or for none."""
        is_at_home = (origin, account) in self._homes
        place = f"{origin} {account}" if is_at_home else origin
        is_put_off = self._pauses(place)
        is_vague = is_put_off or self._pauses(origin)
        attempt = Attempt(account, origin, place, self._delay(account), is_put_off, is_vague)
        if not is_put_off:
            self._accounts.add(account, self.patience.window)
            if place:
                self._places.add(place, self.patience.window)
        return attempt

    def succeeded(self, attempt: Attempt) -> None:
        """The password was right: no failure, and from there the account is known."""
        self.take_back(attempt)
        if attempt.origin:
            self._homes.add(attempt.origin, attempt.account)

    def failed(self, attempt: Attempt) -> None:
        """It was wrong."""
        pause = 0.0 if attempt.is_put_off else self._pause(attempt.place)
        if pause:
            log.warn(
                "too many logins fail from {origin}: none for {pause} s",
                origin=attempt.origin,
                pause=pause,
            )

    def take_back(self, attempt: Attempt) -> None:
        """It was no failure, or nobody can tell."""
        if not attempt.is_put_off:
            self._accounts.take_back(attempt.account)
            self._places.take_back(attempt.place)

    def _pauses(self, place: str) -> bool:
        """Whether nobody is heard there for now."""
        pause = self._pause(place)
        return bool(pause) and self._places.since(place) < pause

    def _pause(self, place: str) -> float:
        over = self._places.count(place, self.patience.window) - self.patience.per_address
        return _doubled(FIRST_PAUSE, over, self.patience.window / 4)

    def _delay(self, account: str) -> float:
        over = self._accounts.count(account, self.patience.window) - self.patience.per_account
        return _doubled(FIRST_DELAY, over, MOST_DELAY)


def _doubled(first: float, times: int, most: float) -> float:
    """Nothing at all before there is something to double."""
    return 0.0 if times < 0 else float(min(first * 2 ** min(times, 30), most))
