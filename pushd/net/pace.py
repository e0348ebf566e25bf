"""How fast streams are read: no faster than storage commits, and than an account may send.

Whoever sends faster waits, and neither loses a stanza nor the stream. Nothing is counted
per stanza: the account is settled each time a stream has read so many bytes.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from pushd.net.xmlprotocol import XMLStream

BURST = 10.0  # seconds' worth of its rate that an account may send at once
STEP = 65_536  # bytes after which an account with a rate is settled, at the latest
UNSETTLED = 1.0  # seconds until more is read when what was read cannot be settled
REMEMBERED = 10_000  # accounts whose budgets outlive their streams


@dataclass(frozen=True, slots=True)
class Rate:
    """What the streams of an account may send a second, all together; 0 is without a limit."""

    bytes: int = 0
    stanzas: int = 0


class Budget:
    """The token buckets of one account."""

    __slots__ = ("_budgets", "_bytes_paid_at", "_stanzas_paid_at")

    def __init__(self, budgets: "Budgets") -> None:
        self._budgets = budgets
        self._bytes_paid_at = 0.0
        self._stanzas_paid_at = 0.0

    @property
    def step(self) -> int:
        """How many bytes may be read between two settlements."""
        return min(STEP, self._budgets.rate.bytes or STEP)

    def spend(self, size: int, stanzas: int, now: float) -> float:
        """So much was read; gives the seconds until that was within the rate."""
        rate = self._budgets.rate
        self._bytes_paid_at = _paid_at(self._bytes_paid_at, size, rate.bytes, now)
        self._stanzas_paid_at = _paid_at(self._stanzas_paid_at, stanzas, rate.stanzas, now)
        return max(0.0, max(self._bytes_paid_at, self._stanzas_paid_at) - now)


class Budgets:
    """The budgets of the accounts that were heard of last. `rate` may change at any time."""

    def __init__(self, rate: Rate | None = None) -> None:
        self.rate = rate or Rate()
        self._budgets: OrderedDict[str, Budget] = OrderedDict()

    def __len__(self) -> int:
        return len(self._budgets)

    def of(self, account: str, origin: str) -> Budget | None:
        """The budget of an account (bare JID); None for one without limits.

        `origin` is what `net/origins` makes of an address.
        """
        if not origin or self.rate == Rate():
            return None
        budget = self._budgets.setdefault(account, Budget(self))
        self._budgets.move_to_end(account)
        if len(self._budgets) > REMEMBERED:
            self._budgets.popitem(last=False)
        return budget


class Pace:
    """Has a stream read on, each time so many bytes were read, when that is right."""

    __slots__ = ("_budget", "_clock", "_settled", "_size", "_stream", "_timer")

    def __init__(
        self,
        clock: IReactorTime,
        stream: "XMLStream",
        size: int,
        settled: "Callable[[], Deferred[None]]",
        budget: Budget | None,
    ) -> None:
        self._clock = clock
        self._stream = stream
        self._size = size if budget is None else min(size, budget.step)
        self._settled = settled
        self._budget = budget
        self._timer: IDelayedCall | None = None
        stream.meter(self._size, self._pause)

    def stop(self) -> None:
        """The stream is at its end."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _pause(self) -> None:
        stream, wait = self._stream, 0.0
        if self._budget is not None:
            read = self._size - int(stream.allowance)
            wait = self._budget.spend(read, stream.parsed, self._clock.seconds())
        stream.parsed = 0
        stream.meter(self._size, self._pause)
        stream.hold()
        self._settle_after(wait)

    def _settle_after(self, seconds: float) -> None:
        if seconds:
            self._timer = self._clock.callLater(seconds, self._settle)
        else:
            self._settle()

    def _settle(self) -> None:
        self._timer = None
        self._settled().addCallbacks(lambda ignored: self._go_on(), self._read_on_later)

    def _go_on(self) -> None:
        """At once, or in the next turn of the reactor: in this one a lot was asked for."""
        if self._stream.is_handling:
            self._timer = self._clock.callLater(0, self._read_on)
        else:
            self._stream.release()

    def _read_on_later(self, failure: "Failure") -> None:
        """It cannot be settled now, but live traffic is to go on, if not as fast."""
        if not self._stream.has_ended:
            self._timer = self._clock.callLater(UNSETTLED, self._read_on)

    def _read_on(self) -> None:
        self._timer = None
        self._stream.release()


def _paid_at(paid_at: float, spent: int, rate: int, now: float) -> float:
    return max(paid_at, now - BURST) + spent / rate if rate else 0.0
