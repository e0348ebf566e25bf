"""Waiting within limits, and the stanzas that wait to be read."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from pushd.client.errors import ClientError, TimedOut
from pushd.wire.element import Element

T = TypeVar("T")
Match = Callable[[Element], bool]


async def within(
    seconds: float,
    clock: IReactorTime,
    what: str,
    working: "Deferred[T] | Coroutine[Deferred[Any], Any, T]",
) -> T:
    """The result of `working`. Raises TimedOut, naming `what`, when it takes too long."""
    deferred = working if isinstance(working, Deferred) else Deferred.fromCoroutine(working)

    def late(result: object, timeout: float) -> T:
        raise TimedOut(f"no {what} within {seconds:g} s")

    return await deferred.addTimeout(seconds, clock, late)


class Inbox(list[Element]):
    """The stanzas received and not yet taken, oldest first."""

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__()
        self.closed: ClientError | None = None  # why nothing more comes
        self._clock = clock
        self._takers: list[tuple[Match, Deferred[Element]]] = []

    def put(self, stanza: Element) -> None:
        """One more came: for whoever waits for such a one, else for later."""
        for taker in self._takers:
            if taker[0](stanza):
                self._takers.remove(taker)
                taker[1].callback(stanza)
                return
        self.append(stanza)

    async def take(self, match: Match, seconds: float, what: str) -> Element:
        """The first that matches, at once or when it comes.

        Raises TimedOut, or what closed the inbox.
        """
        for place, stanza in enumerate(self):
            if match(stanza):
                del self[place]
                return stanza
        if self.closed is not None:
            raise self.closed
        taker = (match, Deferred[Element](lambda _: self._takers.remove(taker)))
        self._takers.append(taker)
        return await within(seconds, self._clock, what, taker[1])

    def close(self, error: ClientError) -> None:
        """Nothing will come any more; what came may still be taken."""
        self.closed = error
        takers, self._takers = self._takers, []
        for _, waiting in takers:
            waiting.errback(error)
