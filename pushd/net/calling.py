"""A connection that is ours to make, and to make again whenever it ends."""

import os
import random
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from pushd.net.xmlprotocol import XMLStream

FIRST_PAUSE = 1.0  # seconds, and up to one more, so that not all come back at once
LONGEST_PAUSE = 60.0
LONGEST_WHILE_DOWN = 5.0  # where nobody is there yet, who is wanted as soon as he is


def place(reactor: Any, host: str, port: int) -> IStreamClientEndpoint:
    """Where a name or an address and a port lead, by IPv4 or IPv6."""
    return HostnameEndpoint(reactor, host, port)


def _pause(failures: int) -> float:
    doubled: float = FIRST_PAUSE * 2 ** min(failures, 10)
    return min(doubled, LONGEST_PAUSE) + random.random()  # noqa: S311


def words_of(error: BaseException | None) -> str:
    """Why there is no connection, in the system's words where there are some."""
    number = getattr(error, "osError", None) or getattr(error, "errno", None)
    if isinstance(number, int):
        return os.strerror(number)
    return str(error).rstrip(".") or type(error).__name__


class Calling:
    """Keeps one connection, with pauses that grow from a second to a minute; to five seconds where
    it does not even come to a connection.

    `build` makes the stream of a new connection, whose receiver says `ended` when it is gone.
    `failed` is told, in words, why there is none. (Twisted's `ClientService` takes the loss of a
    connection that was not agreed on yet for a mistake of its own.)
    """

    def __init__(
        self,
        clock: IReactorTime,
        endpoint: IStreamClientEndpoint,
        build: Callable[[], XMLStream],
        failed: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._endpoint = endpoint
        self._factory = Factory.forProtocol(build)
        self._factory.noisy = False
        self._failed = failed
        self._timer: IDelayedCall | None = None
        self._attempt: Deferred[Any] | None = None
        self._failures = 0
        self._is_open = False

    def start(self) -> None:
        """Connect, and never cease to."""
        self._is_open = True
        self._call()

    def stop(self) -> None:
        """Connect no more; a connection that stands is its receiver's to close."""
        self._is_open = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._attempt is not None:
            self._attempt.cancel()

    def agreed(self) -> None:
        """The other side has taken us: the next pause is a short one again."""
        self._failures = 0

    def ended(self) -> None:
        """The connection is gone."""
        self._again(LONGEST_PAUSE + 1.0)

    def _again(self, most: float) -> None:
        if self._is_open:
            pause = min(_pause(self._failures), most)
            self._timer = self._clock.callLater(pause, self._call)
            self._failures += 1

    def _call(self) -> None:
        self._attempt = self._endpoint.connect(self._factory)
        self._attempt.addCallbacks(self._connected, self._refused)

    def _connected(self, stream: object) -> None:
        self._attempt = None

    def _refused(self, failure: Failure) -> None:
        self._attempt = None
        if not failure.check(CancelledError):
            self._failed(words_of(failure.value))
        self._again(LONGEST_WHILE_DOWN)
