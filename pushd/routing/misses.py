"""Who writes to accounts that do not exist (RFC 6120 §13.11, RFC 6121 §8.5.1).

A message to an account waits for it in silence, and one to no account is refused, which
helps whoever mistypes an address, and whoever guesses them. So a sender is told a few times
only; then its messages to no account vanish as quietly as others wait. Another server makes up
as many senders as it likes, and is told some times more.
"""

from collections import OrderedDict
from collections.abc import Collection

from twisted.internet.interfaces import IReactorTime

from pushd.wire.jid import neighbourhood

TOLD = 20  # misses of a sender that it is told of
TOLD_THERE = 200  # misses of all senders of another server and of those beside it
WINDOW = 3600.0  # seconds after the last one until they are forgotten
REMEMBERED = 10_000  # senders; with one more, the one that missed the longest ago is forgotten


class Misses:
    """Counts misses by sender, and by domain those of senders of other domains than these."""

    def __init__(self, clock: IReactorTime, domains: Collection[str] = ()) -> None:
        self._clock = clock
        self._domains = domains
        self._missed: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._missed)

    def is_told(self, sender: str) -> bool:
        """Count one more miss of a sender (bare JID): whether it hears of it."""
        domain = sender.rpartition("@")[2]
        is_told = self._is_below(TOLD, sender)
        if domain not in self._domains:
            is_told = self._is_below(TOLD_THERE, f"@{neighbourhood(domain)}") and is_told
        while len(self._missed) > REMEMBERED:
            self._missed.popitem(last=False)
        return is_told

    def _is_below(self, most: int, who: str) -> bool:
        """Count one more of `who`: whether there were fewer lately."""
        now = self._clock.seconds()
        count, at = self._missed.pop(who, (0, now))
        if now - at >= WINDOW:
            count = 0
        self._missed[who] = (count + 1, now)
        return count < most
