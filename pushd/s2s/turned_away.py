"""Who was turned away at our door, and why: for the operator, whose users wait for them.

Anybody may say that he is any domain, so that little is kept, and little logged.
"""

from collections import OrderedDict
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pushd.s2s.lines import HOUR, Lines
from pushd.s2s.pairs import Pair

log = Logger()

MOST = 100  # that are known, the last ones
LINES = 100  # in the log, in each hour


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
        self._lines = Lines(clock, LINES, _tell_of_more)

    def note(self, pair: Pair, reason: str) -> None:
        """A stream from `pair[1]` to our `pair[0]` is not taken."""
        now = self._clock.seconds()
        one = self.known.get(pair)
        if one is None or one.reason != reason:
            one = self.known[pair] = Away(reason)
        self.known.move_to_end(pair)
        one.times += 1
        one.at = now
        if now - one.told_at >= HOUR:  # one and the same is not said again before
            one.told_at = now
            if self._lines.allow():
                log.info(
                    "{remote} is turned away by {local}: {reason}",
                    remote=pair[1],
                    local=pair[0],
                    reason=reason,
                )
        if len(self.known) > MOST:
            self.known.popitem(last=False)


def _tell_of_more() -> None:
    log.warn("many servers are turned away: `pushdctl s2s list` has the last ones")
