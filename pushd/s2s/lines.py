"""How many lines strangers and users may have us write into the log."""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

HOUR = 3600.0


class Lines:
    """So many in an hour; where there would be more, `tell` says so once."""

    def __init__(self, clock: IReactorTime, most: int, tell: Callable[[], None]) -> None:
        self._clock = clock
        self._most = most
        self._tell = tell
        self._count = 0
        self._since = 0.0

    def allow(self) -> bool:
        """Whether one more may be written."""
        now = self._clock.seconds()
        if now - self._since >= HOUR:
            self._count, self._since = 0, now
        self._count += 1
        if self._count == self._most + 1:
            self._tell()
        return self._count <= self._most
