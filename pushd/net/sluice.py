"""How much is handled in a turn of the reactor for streams that nobody here vouches for.

Each read of a socket is handled whole; where a hundred streams are flooded at once, that is a
second or more for which nobody else is served.
"""

from collections import deque
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from pushd.net.turn import Turn

SIZE = 65_536  # bytes, of all streams together
LITTLE = 2_048  # bytes for which nobody waits: who says little is not to wait for who floods


class Held(Protocol):
    """A stream, as far as this goes."""

    def hold(self) -> None:
        """Handle nothing more until `release`."""

    def release(self) -> None:
        """Handle what has come meanwhile, and go on."""

    @property
    def unhandled(self) -> int:
        """Bytes that have come and are not handled."""


class Sluice:
    """Lets in `size` bytes a turn, and whatever one stream has above that; the others wait.

    Who says little in a turn never does.
    """

    def __init__(self, clock: IReactorTime, turn: Turn, size: int = SIZE) -> None:
        self._clock = clock
        self._turn = turn
        self._size = size
        self._left = size
        self._waiting: deque[Held] = deque()
        self._come: dict[Held, int] = {}  # bytes of each in this turn
        turn.before_writing(self._over)

    def lets_in(self, stream: Held) -> bool:
        """Whether a stream that is not held has its turn; else it is held until it has."""
        size = self._come.get(stream, 0) + stream.unhandled
        if size <= LITTLE or (self._left > 0 and not self._waiting):
            self._come[stream] = size
            self._left -= stream.unhandled
            self._turn.soon()
            return True
        stream.hold()
        self._waiting.append(stream)
        return False

    def _over(self) -> None:
        """A turn is over."""
        self._left = self._size
        self._come.clear()
        if self._waiting:
            self._clock.callLater(0, self._release)

    def _release(self) -> None:
        while self._waiting:
            stream = self._waiting.popleft()
            self._left -= stream.unhandled
            self._turn.soon()
            stream.release()
            if self._left <= 0:
                break
