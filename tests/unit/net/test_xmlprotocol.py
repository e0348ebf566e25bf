"""A stream over a connection in memory: reads, writes, restarts, pressure, and its end."""

import gc
import socket
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import alsoProvides

from pushd.net.pace import STEP, UNSETTLED, Budgets, Rate
from pushd.net.turn import Turn
from pushd.net.xmlprotocol import CLOSING_TIME, XMLStream
from pushd.wire.errors import StreamError
from pushd.wire.framer import Limits, StreamOpened
from pushd.wire.stanza import Stanza
from tests.support import Transport

HEADER = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
END = b"</stream:stream>"


class Ears:
    """A receiver that notes what it is told, and does what the test says about a stanza."""

    def __init__(self, stream: XMLStream) -> None:
        self.stream = stream
        self.heard: list[str] = []
        self.acts: dict[str, Callable[[], None]] = {}  # by the name of a stanza

    def connected(self) -> None:
        self.heard.append("connected")

    def opened(self, header: StreamOpened) -> None:
        self.heard.append("opened")

    def received(self, stanza: Stanza) -> None:
        self.heard.append(stanza.name)
        self.acts.get(stanza.name, lambda: None)()

    def closed(self) -> None:
        self.heard.append("closed")

    def offended(self, error: StreamError) -> None:
        self.heard.append(error.condition)
        self.stream.close(END)

    def lost(self, reason: str) -> None:
        self.heard.append("lost")


class Writes:
    """A transport that tells one write from the next."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.write = write


class SecureTransport(Transport):
    """A transport under TLS, whose handshake is still to come."""

    def __init__(self) -> None:
        super().__init__()
        alsoProvides(self, ISSLTransport)

    def setTcpNoDelay(self, enabled: bool) -> None: ...

    def setTcpKeepAlive(self, enabled: bool) -> None: ...


class Line:
    """A stream with both of its ends."""

    def __init__(self, turn: Turn | None = None, *, secure: bool = False, **given: Any) -> None:
        self.clock = Clock()
        self.turn = turn or Turn(self.clock)
        self.stream = XMLStream(self.clock, self.turn, given.pop("limits", Limits()), **given)
        self.ears = self.stream.receiver = Ears(self.stream)
        self.transport = SecureTransport() if secure else Transport()
        self.stream.makeConnection(self.transport)  # type: ignore[no-untyped-call]

    def say(self, data: bytes) -> None:
        self.stream.dataReceived(data)

    def heard(self) -> list[str]:
        """What the receiver was told since the last time."""
        heard, self.ears.heard = self.ears.heard, []
        return heard

    def lose(self, reason: Any = ConnectionLost) -> None:
        self.stream.connectionLost(Failure(reason()))

    @property
    def is_read(self) -> bool:
        return bool(self.transport.producerState == "producing")


@pytest.fixture
def line() -> Line:
    line = Line()
    line.say(HEADER)
    line.heard()
    return line


# What is heard.


def test_the_receiver_hears_all_in_order_and_the_loss_last() -> None:
    line = Line()

    line.say(HEADER + b"<iq/><presence/>" + END)
    line.lose()

    assert line.heard() == ["connected", "opened", "iq", "presence", "closed", "lost"]


def test_a_broken_stanza_is_an_offence_and_nothing_is_heard_after_it(line: Line) -> None:
    line.say(b"<iq/></nonsense><iq/>")
    line.say(b"<iq/>")

    assert line.heard() == ["iq", "not-well-formed"]


def test_an_error_of_the_receiver_is_its_offence(line: Line) -> None:
    def refuse() -> None:
        raise StreamError("invalid-from")

    line.ears.acts = {"message": refuse}
    line.say(b"<message/><iq/>")

    assert line.heard() == ["message", "invalid-from"]


def test_a_receiver_that_breaks_ends_its_own_stream_only(line: Line) -> None:
    other = Line(line.turn)
    line.ears.acts = {"message": lambda: line.acts["no such thing"]()}  # type: ignore[attr-defined]

    line.say(b"<message/>")
    other.say(HEADER)

    assert line.heard() == ["message", "internal-server-error"]
    assert other.heard() == ["connected", "opened"]


# What is said.


def test_one_turn_makes_one_write_to_each_stream() -> None:
    line = Line()
    other = Line(line.turn)
    writes: list[bytes] = []
    other.stream.transport = Writes(writes.append)
    line.ears.acts = {"message": lambda: other.stream.send(b"<a/>")}

    line.say(HEADER + b"<message/><message/>")
    line.say(b"<message/>")
    assert writes == []
    line.clock.advance(0)

    assert writes == [b"<a/><a/><a/>"]


def test_what_is_said_goes_out_at_the_end_of_the_turn(line: Line) -> None:
    line.stream.send(b"<a/>")
    line.stream.send(b"<b/>")
    assert line.transport.take() == b""

    line.clock.advance(0)

    assert line.transport.take() == b"<a/><b/>"


def test_last_words_of_a_turn_are_written_with_it(line: Line) -> None:
    line.turn.before_writing(lambda: line.stream.send(b"<r/>"))
    line.ears.acts = {"message": lambda: line.stream.send(b"<a/>")}

    line.say(b"<message/>")
    line.clock.advance(0)

    assert line.transport.take() == b"<a/><r/>"
    assert line.clock.getDelayedCalls() == []


def test_what_is_said_after_the_end_is_dropped(line: Line) -> None:
    line.stream.close(END)
    line.transport.take()

    line.stream.send(b"<a/>")
    line.clock.advance(0)

    assert line.transport.take() == b""


def test_both_directions_are_traced(line: Line) -> None:
    traced: list[tuple[str, bytes]] = []
    line.stream.trace = lambda direction, peer, data: traced.append((direction, data))
    line.ears.acts = {"iq": lambda: line.stream.send(b"<a/>")}

    line.say(b"<iq/>")

    assert traced == [("received", b"<iq/>"), ("sent", b"<a/>")]


# Restarts and TLS.


def test_bytes_behind_a_restart_belong_to_the_new_stream(line: Line) -> None:
    line.ears.acts = {"auth": line.stream.restart}

    line.say(b"<auth/>" + HEADER + b"<iq/>")

    assert line.heard() == ["auth", "opened", "iq"]


def test_a_restart_may_come_while_the_answer_was_worked_out(line: Line) -> None:
    line.ears.acts = {"auth": line.stream.hold}
    line.say(b"<auth/>" + HEADER[:20])
    line.say(HEADER[20:] + b"<iq/>")
    assert line.heard() == ["auth"]

    line.stream.restart()
    line.stream.release()

    assert line.heard() == ["opened", "iq"]


def test_a_restart_brings_the_limits_that_hold_from_then_on() -> None:
    line = Line(limits=Limits(100))
    line.ears.acts = {"auth": lambda: line.stream.restart(Limits(1_000))}
    big = b"<iq>" + b"x" * 500 + b"</iq>"

    line.say(HEADER + b"<auth/>" + HEADER + big)

    assert line.heard()[-1] == "iq"


def test_limits_may_change_on_an_open_stream() -> None:
    line = Line(limits=Limits(100))
    line.say(HEADER)
    line.stream.limit(Limits(1_000))

    line.say(b"<iq>" + b"x" * 500 + b"</iq>")
    line.say(b"<iq>" + b"x" * 1_000 + b"</iq>")

    assert line.heard() == ["connected", "opened", "iq", "policy-violation"]


def test_tls_begins_behind_the_word_to_proceed(line: Line) -> None:
    line.ears.acts = {"starttls": lambda: line.stream.start_tls("context", b"<proceed/>")}

    line.say(b"<starttls/>\n")

    assert line.transport.take() == b"<proceed/>"
    assert line.transport.tls == "context"


@pytest.mark.parametrize("behind", [b"<iq/>", HEADER, b"\x16\x03\x01", b"  x"])
def test_bytes_in_the_clear_behind_starttls_never_act(line: Line, behind: bytes) -> None:
    line.ears.acts = {"starttls": lambda: line.stream.start_tls("context", b"<proceed/>")}

    line.say(b"<starttls/>" + behind)

    assert line.heard() == ["starttls", "policy-violation"]
    assert b"proceed" not in line.transport.take()
    assert line.transport.tls is None


def test_a_handshake_that_never_ends_is_cut_without_a_word() -> None:
    line = Line(secure=True)

    line.stream.close(END)

    assert line.transport.ended == "abort"
    assert line.transport.take() == b""


def test_after_the_handshake_a_stream_is_closed_in_words() -> None:
    line = Line(secure=True)
    line.stream.handshakeCompleted()

    line.stream.close(END)

    assert (line.transport.ended, line.transport.take()) == ("close", END)


# Holding still.


def test_while_a_stream_is_held_nothing_is_read_or_handled(line: Line) -> None:
    line.ears.acts = {"auth": line.stream.hold}
    line.say(b"<auth/><iq/>")
    line.say(b"<presence/>")
    assert (line.heard(), line.is_read) == (["auth"], False)

    line.stream.release()

    assert (line.heard(), line.is_read) == (["iq", "presence"], True)


def test_who_held_a_stream_twice_releases_it_twice(line: Line) -> None:
    line.stream.hold()
    line.stream.hold()
    line.say(b"<iq/>")

    line.stream.release()
    assert (line.heard(), line.is_read) == ([], False)

    line.stream.release()
    assert (line.heard(), line.is_read) == (["iq"], True)


def test_a_stream_may_be_released_within_its_own_read(line: Line) -> None:
    def hold_and_release() -> None:
        line.stream.hold()
        line.stream.release()

    line.ears.acts = {"iq": hold_and_release}
    line.say(b"<iq/><presence/>")

    assert line.heard() == ["iq", "presence"]


# Pressure.


def test_so_many_bytes_and_a_call(line: Line) -> None:
    calls: list[None] = []
    line.stream.meter(10, lambda: calls.append(None))

    line.say(b"<iq/><iq/>")
    assert calls == []
    line.say(b" ")

    assert calls == [None]


def test_who_sends_faster_than_storage_is_read_only_as_fast(line: Line) -> None:
    commits: list[Deferred[None]] = []

    def committed() -> "Deferred[None]":
        commits.append(Deferred())
        return commits[-1]

    line.stream.pace(20, committed)
    line.say(b"<iq/>" * 5)
    assert (len(commits), line.is_read) == (1, False)
    line.say(b"<iq/>")
    assert line.heard() == ["iq"] * 5

    commits[0].callback(None)
    assert (line.heard(), line.is_read) == (["iq"], True)

    line.say(b"<iq/>" * 5)
    assert (len(commits), line.is_read) == (2, False)


def test_what_cannot_be_settled_is_read_on_with_after_a_while(line: Line) -> None:
    """Live traffic is to go on while storage fails."""
    commits: list[Deferred[None]] = []

    def committed() -> "Deferred[None]":
        commits.append(Deferred())
        return commits[-1]

    line.stream.pace(1, committed)
    line.say(b"<iq/>")
    commits[0].errback(OSError("full"))
    assert not line.is_read

    line.clock.advance(UNSETTLED)

    assert line.is_read
    line.say(b"<iq/>")
    assert (len(commits), line.is_read) == (2, False)
    commits[1].callback(None)
    assert line.is_read
    assert line.clock.getDelayedCalls() == []


def settled() -> "Deferred[None]":
    return succeed(None)


def limited(rate: Rate, lines: int = 1) -> list[Line]:
    """Open streams of one account that has this rate; they share a clock."""
    made: list[Line] = []
    budgets = Budgets(rate)
    for _ in range(lines):
        line = Line()
        line.stream._clock = line.clock = made[0].clock if made else line.clock
        line.clock.rightNow = 1_700_000_000.0
        line.say(HEADER)
        line.stream.pace(512 * 1024, settled, budgets.of("juliet@example.net", "192.0.2.1"))
        made.append(line)
    return made


def time_to_read(line: Line) -> float:
    began = line.clock.seconds()
    while not line.is_read:
        [call] = line.clock.getDelayedCalls()
        line.clock.advance(call.getTime() - line.clock.seconds())
    return line.clock.seconds() - began


def test_who_sends_more_bytes_than_its_account_may_is_read_more_slowly() -> None:
    [line] = limited(Rate(bytes=STEP))

    pauses = []
    for _ in range(13):
        line.say(b" " * (STEP + 1))
        pauses.append(round(time_to_read(line)))
    line.clock.advance(60)  # what is not used is there for ten seconds' worth, and no more
    for _ in range(12):
        line.say(b" " * (STEP + 1))
        pauses.append(round(time_to_read(line)))

    assert pauses == [0] * 10 + [1] * 3 + [0] * 10 + [1] * 2


def test_who_sends_more_stanzas_than_its_account_may_is_read_more_slowly() -> None:
    [line] = limited(Rate(stanzas=1_000))
    line.say(b" " * STEP)

    line.say(b"<presence/>" * 11_000)

    assert line.heard().count("presence") == 11_000
    assert round(time_to_read(line)) == 1


def test_all_streams_of_an_account_have_one_budget() -> None:
    one, other = limited(Rate(bytes=STEP), lines=2)

    for _ in range(10):
        one.say(b" " * (STEP + 1))
        time_to_read(one)
    other.say(b" " * (STEP + 1))

    assert round(time_to_read(other)) == 1


def test_what_is_asked_for_counts_as_if_it_had_been_sent() -> None:
    [line] = limited(Rate(bytes=STEP))

    line.stream.charge(13 * STEP)
    line.say(b" ")

    assert round(time_to_read(line)) == 3


def test_who_asks_for_much_at_once_lets_the_others_have_their_turn(line: Line) -> None:
    """A thousand small requests fit into one read, and their answers may be long."""
    line.stream.pace(STEP, settled)
    line.ears.acts["iq"] = lambda: line.stream.charge(STEP // 2)

    line.say(b"<iq/>" * 8)
    heard = [len(line.heard())]
    while calls := line.clock.getDelayedCalls():
        [call] = calls
        assert call.getTime() == line.clock.seconds()
        work: Any = call.func  # type: ignore[attr-defined]
        call.cancel()  # and not by the clock, which would run what this asks for in one go
        work()
        heard.append(len(line.heard()))

    assert (sum(heard), max(heard)) == (8, 3)
    assert line.is_read


def test_nothing_is_lost_by_who_is_read_slowly() -> None:
    [line] = limited(Rate(bytes=1_000))
    line.heard()
    line.say(b"<iq/>" * 4_000)
    assert not line.is_read
    line.say(b"<presence/>")

    time_to_read(line)

    assert line.heard() == ["iq"] * 4_000 + ["presence"]


def test_a_stream_that_is_lost_while_it_waits_for_its_budget_leaves_nothing_behind() -> None:
    [line] = limited(Rate(bytes=1_000))
    line.say(b" " * 20_000)
    assert line.clock.getDelayedCalls() != []

    line.lose()

    assert line.clock.getDelayedCalls() == []
    is_freed_at_once(line)


def test_a_peer_that_does_not_read_is_written_to_when_it_reads_again(line: Line) -> None:
    line.stream.pauseProducing()
    line.stream.send(b"<a/>")
    line.stream.send(b"<b/>")
    line.clock.advance(0)
    assert line.transport.take() == b""

    line.stream.resumeProducing()

    assert line.transport.take() == b"<a/><b/>"


def test_a_peer_that_never_reads_is_cut_at_its_backlog() -> None:
    line = Line(backlog=1_000)
    line.stream.pauseProducing()
    for _ in range(10):
        line.stream.send(b"x" * 100)
    assert line.transport.ended == ""

    line.stream.send(b"x")

    assert line.transport.ended == "abort"


# The end.


def test_a_closed_stream_says_its_last_words_even_to_one_that_does_not_read(line: Line) -> None:
    line.stream.pauseProducing()
    line.stream.send(b"<a/>")

    line.stream.close(END)

    assert (line.transport.take(), line.transport.ended) == (b"<a/>" + END, "close")


def test_a_peer_that_does_not_close_its_side_is_cut_in_the_end(line: Line) -> None:
    line.stream.close(END)

    line.clock.advance(CLOSING_TIME - 0.1)
    assert line.transport.ended == "close"
    line.clock.advance(0.1)

    assert line.transport.ended == "abort"


def test_a_held_stream_that_is_closed_notices_its_end(line: Line) -> None:
    line.stream.hold()

    line.stream.close(END)

    assert line.is_read


@pytest.mark.parametrize("reason", [ConnectionDone, ConnectionLost])
@pytest.mark.parametrize(
    "stage",
    ["fresh", "open", "within", "held", "paced", "stalled", "closing", "aborted", "waiting"],
)
def test_a_lost_connection_leaves_nothing_behind(stage: str, reason: Any) -> None:
    line = Line(secure=True)
    stream = line.stream
    if stage != "fresh":
        stream.handshakeCompleted()
        line.say(HEADER + b"<iq/>")
    if stage == "within":
        line.say(b"<message><body")
    elif stage == "held":
        stream.hold()
        line.say(b"<iq/>")
    elif stage == "paced":
        stream.pace(1, lambda: failing())
        line.say(b"<iq/>")
    elif stage == "stalled":
        stream.pauseProducing()
        stream.send(b"<a/>")
    elif stage == "closing":
        stream.close(END)
    elif stage == "aborted":
        stream.abort()
    elif stage == "waiting":
        stream.send(b"<a/>")
    line.clock.advance(0)

    line.lose(reason)
    assert line.heard()[-1] == "lost"
    line.clock.advance(0)
    assert line.clock.getDelayedCalls() == []
    stream.send(b"<late/>")
    stream.close(END)
    stream.abort()
    if stage == "held":
        stream.release()
    line.clock.advance(CLOSING_TIME)
    assert (line.heard(), line.clock.getDelayedCalls()) == ([], [])
    del stream
    is_freed_at_once(line)


def failing() -> "Deferred[None]":
    failed: Deferred[None] = Deferred()
    failed.errback(OSError("full"))
    return failed


def is_freed_at_once(line: Line) -> None:
    """Nothing refers to the stream or its receiver in a circle."""
    stream, ears, framer = (
        weakref.ref(one) for one in (line.stream, line.ears, line.stream._framer)
    )
    line.transport.producer = None  # as a socket does when it is lost
    gc.disable()
    try:
        del line.stream, line.ears
        assert (stream(), ears(), framer()) == (None, None, None)
    finally:
        gc.enable()


def test_unconfirmed_data_ends_a_connection_after_a_while(line: Line) -> None:
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        pytest.skip("TCP has no such option here")
    with socket.socket() as real:
        line.stream.transport = SimpleNamespace(transport=SimpleNamespace(socket=real))  # with TLS
        line.stream.give_up_after(60.0)
        assert real.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


def test_what_is_said_while_corked_is_written_in_order_once_it_is_not(line: Line) -> None:
    line.stream.cork()
    line.stream.cork()
    line.stream.send(b"<a/>")
    line.clock.advance(0)
    line.stream.uncork()
    line.stream.send(b"<b/>")
    line.clock.advance(0)
    assert line.transport.take() == b""

    line.stream.uncork()
    line.clock.advance(0)
    assert line.transport.take() == b"<a/><b/>"


def test_the_last_words_are_written_although_it_is_corked(line: Line) -> None:
    line.stream.cork()
    line.stream.send(b"<a/>")
    line.stream.close(b"</stream:stream>")
    assert line.transport.take() == b"<a/></stream:stream>"
    line.stream.uncork()
