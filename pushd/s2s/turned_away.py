"""Who was turned away at our door, and why: for the operator, whose users wait for them.

Anybody may say that he is any domain, so that little is kept, and little logged.
"""

from collections import OrderedDict
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pushd.s2s.pairs import Pair

log = Logger()

MOST = 100  # that are known, the last ones
LINES = 100  # in the log, in each hour
HOUR = 3600.0  # seconds for which one and the same is not logged again


@dataclass(slots=True)
class Away:
    """Why one was turned away of late, and how often."""

    reason: str
    times: int = 0
    at: float = 0.0  # seconds since the epoch, the last time
    told_at: float = float("-inf")  # in the log


class TurnedAway:
    """By the domains of the stream, ours and theirs; the last ones."""

    def __init__(self, clock: IReactorTime) -> None:
        self.known: OrderedDict[Pair, Away] = OrderedDict()
        self._clock = clock
        self._lines = 0
        self._since = 0.0

    def note(self, pair: Pair, reason: str) -> None:
        """A stream from `pair[1]` to our `pair[0]` is not taken."""
        now = self._clock.seconds()
        one = self.known.get(pair)
        if one is None or one.reason != reason:
            one = self.known[pair] = Away(reason)
        self.known.move_to_end(pair)
        one.times += 1
        one.at = now
        if now - one.told_at >= HOUR:
            one.told_at = now
            self._tell(pair, reason, now)
        if len(self.known) > MOST:
            self.known.popitem(last=False)

    def _tell(self, pair: Pair, reason: str, now: float) -> None:
        if now - self._since >= HOUR:
            self._lines, self._since = 0, now
        self._lines += 1
        if self._lines <= LINES:
            log.info(
                "{remote} is turned away by {local}: {reason}",
                remote=pair[1],
                local=pair[0],
                reason=reason,
            )
        elif self._lines == LINES + 1:
            log.warn("many servers are turned away: `pushdctl s2s list` has the last ones")
