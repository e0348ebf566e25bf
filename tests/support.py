"""What many tests need: the result of something asynchronous, and a connection in memory."""

import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import TestCase

from pushd.wire.element import Element
from pushd.wire.framer import Framer, Limits, StreamClosed, StreamOpened
from pushd.wire.stanza import Stanza


def result_of(working: Any) -> Any:
    """The value of a coroutine or a Deferred that is done.

    Raises its error; an AssertionError says that it still waits.
    """
    deferred = working if isinstance(working, Deferred) else Deferred.fromCoroutine(working)
    results: list[Any] = []
    failures: list[Any] = []
    deferred.addCallbacks(results.append, failures.append)
    if failures:
        failures[0].raiseException()
    assert results, "no result yet"
    return results[0]


AGES = 500_000.0  # seconds: no test takes as long, on any machine


def ages_pass(clock: Any) -> None:
    """What would wait for AGES has waited for so long, though the clock is a real one."""
    for call in clock.getDelayedCalls():
        if AGES / 2 < call.getTime() - clock.seconds() <= AGES:
            call.reset(0)


def closed_port(case: TestCase) -> int:
    """A port of the loopback address on which nobody listens, until the test ends."""
    held = socket.socket()
    case.addCleanup(held.close)
    held.bind(("127.0.0.1", 0))
    return int(held.getsockname()[1])


class Transport(StringTransport):
    """The other end of a protocol: what it wrote, and how it ended.

    `take` gives what was written since the last call. `ended` is "close", "abort" or "".
    `tls` is what `startTLS` was given.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ended = ""
        self.tls: Any = None

    def take(self) -> bytes:
        written: bytes = self.value()  # type: ignore[no-untyped-call]
        self.clear()  # type: ignore[no-untyped-call]
        return written

    def startTLS(self, context: Any) -> None:
        self.tls = context

    def loseConnection(self) -> None:
        self.ended = self.ended or "close"
        super().loseConnection()  # type: ignore[no-untyped-call]

    def abortConnection(self) -> None:
        self.ended = "abort"
        super().abortConnection()  # type: ignore[no-untyped-call]


class FarEnd:
    """The other side of a stream, which reads what we say."""

    header: StreamOpened | None = None  # of the stream that it reads
    is_closed = False

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Expect a new stream."""
        self._framer = Framer(Limits())

    def read(self, data: bytes) -> list[Element]:
        """The elements in what came."""
        found = []
        for event in self._framer.feed(data):
            if isinstance(event, Stanza):
                found.append(event.tree)
            elif isinstance(event, StreamOpened):
                self.header = event
            else:
                assert isinstance(event, StreamClosed), event
                self.is_closed = True
        return found
