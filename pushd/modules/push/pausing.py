"""Pauses: for which accounts nothing is published, and until when. They outlive a restart."""

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pushd.storage.sqlite import Database
from pushd.storage.table import Table


@dataclass(frozen=True, slots=True)
class _Pause:
    account: str
    until: float | None  # seconds since the epoch; None until somebody ends it


PAUSES = Table(_Pause, name="push_pauses")


class Pauses:
    """`over` is called with an account whose pause has ended by itself."""

    def __init__(
        self, clock: IReactorTime, database: Database, over: Callable[[str], None]
    ) -> None:
        self._clock = clock
        self._rows = PAUSES.bind(database)
        self._over = over
        self._known: dict[str, float | None] = {}
        self._timers: dict[str, IDelayedCall] = {}

    async def load(self) -> None:
        """Go on with the pauses of the last run, but for those that are over."""
        for row in await self._rows.select():
            if row.until is None or row.until > self._clock.seconds():
                self._begin(row.account, row.until)
            else:
                self._rows.delete(row.account)

    def __contains__(self, account: str) -> bool:
        return account in self._known

    def until(self, account: str) -> float | None:
        """When the pause of an account ends; infinity where nobody knows, None without one."""
        if account not in self._known:
            return None
        until = self._known[account]
        return float("inf") if until is None else until

    def begin(self, account: str, until: float | None) -> None:
        """Pause an account, or have its pause end at another time."""
        self._forget(account)
        self._begin(account, until)
        self._rows.put(_Pause(account, until))

    def end(self, account: str) -> bool:
        """End a pause; tells whether there was one."""
        if account not in self._known:
            return False
        self._forget(account)
        self._rows.delete(account)
        return True

    def _begin(self, account: str, until: float | None) -> None:
        self._known[account] = until
        if until is not None:
            delay = max(0.0, until - self._clock.seconds())
            self._timers[account] = self._clock.callLater(delay, self._ring, account)

    def _forget(self, account: str) -> None:
        self._known.pop(account, None)
        timer = self._timers.pop(account, None)
        if timer is not None:
            timer.cancel()

    def _ring(self, account: str) -> None:
        del self._timers[account]
        self.end(account)
        self._over(account)
