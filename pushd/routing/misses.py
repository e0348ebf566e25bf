"""Who writes to accounts that do not exist (RFC 6120 §13.11, RFC 6121 §8.5.1).

A message to an account waits for it in silence, and one to no account is refused, which
helps whoever mistypes an address, and whoever guesses them. So a sender is told a few times
only; then its messages to no account vanish as quietly as others wait.
"""

from collections import OrderedDict

from twisted.internet.interfaces import IReactorTime

TOLD = 20  # misses of a sender that it is told of
WINDOW = 3600.0  # seconds after the last one until they are forgotten
REMEMBERED = 10_000  # senders; with one more, the one that missed the longest ago is forgotten


class Misses:
    """Counts misses by sender."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._missed: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._missed)

    def is_told(self, sender: str) -> bool:
        """Count one more miss of a sender (bare JID): whether it hears of it."""
        now = self._clock.seconds()
        count, at = self._missed.pop(sender, (0, now))
        if now - at >= WINDOW:
            count = 0
        self._missed[sender] = (count + 1, now)
        if len(self._missed) > REMEMBERED:
            self._missed.popitem(last=False)
        return count < TOLD
