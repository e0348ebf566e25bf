"""A turn of the reactor: what its reads cause is written together, at its end."""

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime


class Writing(Protocol):
    """What may have something to write."""

    def flush(self) -> None:
        """Write it."""


class Turn:
    """One turn of the reactor, and all that its reads cause: written when it is over.

    So a stream that several others have something for gets one write.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: list[Writing] = []
        self._closing: list[Callable[[], None]] = []
        self._scheduled = False

    def before_writing(self, say: Callable[[], None]) -> None:
        """Have `say` called at the end of each turn, before anything is written."""
        self._closing.append(say)

    def add(self, stream: Writing) -> None:
        """This stream has something to write."""
        self._waiting.append(stream)
        if not self._scheduled:
            self.soon()

    def soon(self) -> None:
        """This turn has an end, even if nobody has anything to write yet."""
        if not self._scheduled:
            self._scheduled = True
            self._clock.callLater(0, self.flush)

    def flush(self) -> None:
        """The turn ends: each stream that has something to say writes once."""
        for say in self._closing:
            say()
        waiting, self._waiting = self._waiting, []
        self._scheduled = False
        for stream in waiting:
            stream.flush()
