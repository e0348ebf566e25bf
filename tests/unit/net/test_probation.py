from twisted.internet.task import Clock

from pushd.net.probation import Probation
from pushd.net.turn import Turn
from pushd.net.xmlprotocol import XMLStream
from pushd.wire.errors import StreamError
from pushd.wire.framer import Limits, StreamOpened
from pushd.wire.stanza import Stanza
from tests.support import Transport


class Deaf:
    """A receiver to whom nothing matters."""

    def connected(self) -> None: ...

    def opened(self, header: StreamOpened) -> None: ...

    def received(self, stanza: Stanza) -> None: ...

    def closed(self) -> None: ...

    def offended(self, error: StreamError) -> None: ...

    def lost(self, reason: str) -> None: ...


class Case:
    def __init__(self) -> None:
        self.clock = Clock()
        self.stream = XMLStream(self.clock, Turn(self.clock), Limits())
        self.stream.receiver = Deaf()
        self.stream.makeConnection(Transport())  # type: ignore[no-untyped-call]
        self.errors: list[StreamError] = []
        self.probation = Probation(
            self.clock, self.stream, self.errors.append, "handshake", 30.0, 100
        )


def test_who_takes_too_long_is_told_what_was_awaited() -> None:
    case = Case()

    case.clock.advance(29)
    assert case.errors == []
    case.clock.advance(1)

    [error] = case.errors
    assert error.condition == "connection-timeout"
    assert error.text == "no handshake within the time allowed"
    case.probation.over()  # which is fine afterwards, too


def test_who_says_too_much_is_told() -> None:
    case = Case()

    case.stream.dataReceived(b" " * 100)
    assert case.errors == []
    case.stream.dataReceived(b" ")

    [error] = case.errors
    assert error.condition == "policy-violation"
    assert error.text == "too much came before the handshake"


def test_once_it_is_over_no_timer_is_left() -> None:
    case = Case()

    case.probation.over()
    case.probation.over()

    assert case.clock.getDelayedCalls() == []
    case.clock.advance(60)
    assert case.errors == []
