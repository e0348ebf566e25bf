"""What a stranger may take until it has said who it is: so much time, and so many bytes."""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from pushd.net.xmlprotocol import XMLStream
from pushd.wire.errors import StreamError


class Probation:
    """From the connection until `over`. Whoever takes more is told by `offend`.

    `awaited` is what it should have come to by then, in words for the peer.
    """

    __slots__ = ("_timer",)

    def __init__(
        self,
        clock: IReactorTime,
        stream: XMLStream,
        offend: Callable[[StreamError], None],
        awaited: str,
        seconds: float,
        size: int,
    ) -> None:
        def too_late() -> None:
            offend(StreamError("connection-timeout", f"no {awaited} within the time allowed"))

        def too_much() -> None:
            offend(StreamError("policy-violation", f"too much came before the {awaited}"))

        self._timer = clock.callLater(seconds, too_late)
        stream.meter(size, too_much)

    def over(self) -> None:
        """The time no longer runs; what the stream meters next takes the place of the bytes."""
        if self._timer.active():
            self._timer.cancel()
