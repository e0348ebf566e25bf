"""HTTP/2 out, whatever the server says: every request ends once, and nothing is left."""

from typing import Any

from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given
from hypothesis import strategies as st

from pushd.net.http2_origin import LONGEST_PAUSE
from pushd.net.http2_pulse import PING_TIMEOUT
from tests.unit.net.http2_house import House, Line, Outcome

STREAMS = st.integers(0, 12)
BLOCKS = st.one_of(
    st.just(b"\x88"),  # :status 200
    st.just(b"\x48\x03404\x00\x01a\x01b"),
    st.just(b"\x00\x0econtent-length\x012\x88"),
    st.binary(max_size=20),
)


@st.composite
def frames(draw: Any) -> bytes:
    """A frame that may be right or wrong where it comes."""
    stream = draw(STREAMS)
    flags = draw(st.sets(st.sampled_from(["END_STREAM", "END_HEADERS", "ACK"])))
    kind = draw(st.integers(0, 10))
    frame: Any
    if kind == 0:
        frame = HeadersFrame(stream or 1, draw(BLOCKS))
    elif kind == 1:
        frame = DataFrame(stream or 1, draw(st.binary(max_size=30)))
    elif kind == 2:
        frame = RstStreamFrame(stream or 1, error_code=draw(st.integers(0, 14)))
    elif kind == 3:
        values = st.one_of(st.integers(0, 5), st.integers(0, 2**32 - 1))
        frame = SettingsFrame(0)
        frame.settings = (
            {} if "ACK" in flags else draw(st.dictionaries(st.integers(1, 6), values, max_size=2))
        )
    elif kind == 4:
        increment = draw(st.one_of(st.integers(1, 100), st.just(2**31 - 1)))
        frame = WindowUpdateFrame(stream, window_increment=increment)
    elif kind == 5:
        frame = PingFrame(0, draw(st.binary(min_size=8, max_size=8)))
    elif kind == 6:
        frame = GoAwayFrame(0, draw(STREAMS), draw(st.integers(0, 14)))
    elif kind == 7:
        frame = ExtensionFrame(draw(st.integers(11, 255)), stream, 0, draw(st.binary(max_size=9)))
        return bytes(frame.serialize())
    elif kind == 8:
        frame = ContinuationFrame(stream or 1, draw(BLOCKS))
    elif kind == 9:
        frame = PriorityFrame(stream or 1, depends_on=draw(STREAMS), stream_weight=3)
    else:
        frame = PushPromiseFrame(stream or 1, 2, draw(BLOCKS))
    for flag in flags:
        if flag in {known.name for known in frame.defined_flags}:
            frame.flags.add(flag)
    return bytes(frame.serialize())


STEPS = st.one_of(
    st.tuples(st.just("said"), frames()),
    st.tuples(st.just("said"), frames()),
    st.tuples(st.just("said"), st.binary(max_size=30)),
    st.tuples(st.just("post"), st.integers(0, 70_000)),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("pass"), st.sampled_from([0.0, 1.0, 15.0, 70.0])),
    st.tuples(st.just("cut"), st.none()),
    st.tuples(st.just("fresh"), st.none()),
)


class Deaf(Line):
    """A line whose server says what it is told to, whatever it hears."""

    def carry(self) -> bool:
        if self.is_cut:
            return False
        wire: Any = self.wire
        heard = bool(wire.value())
        wire.clear()
        if wire.disconnecting:
            self.cut()
        return heard

    def say(self, data: bytes) -> None:
        if not self.is_cut and not self.wire.disconnecting:
            self.client.dataReceived(data)


class DeafHouse(House):
    def let_in(self, prepare: Any = None) -> Line:
        return super().let_in(self._deafen)

    def _deafen(self, line: Line) -> None:
        line.__class__ = Deaf

    @property
    def open_line(self) -> Deaf | None:
        while self.knocking:
            self.let_in()
        lines: Any = [line for line in self.lines if not line.is_cut]
        return lines[-1] if lines else None


@given(st.lists(st.tuples(STEPS, st.booleans()), max_size=30), st.booleans(), st.booleans())
def test_every_request_ends_once_and_nothing_is_left(
    steps: list[tuple[tuple[str, Any], bool]], has_begun: bool, is_checked: bool
) -> None:
    house = DeafHouse()
    house.agent._is_checked = is_checked
    outcomes: list[Outcome] = [house.post()]
    line = house.open_line
    assert line is not None
    if has_begun:
        line.say(SettingsFrame(0, settings={3: 5}).serialize())
    for (step, what), is_next_turn in steps:
        if is_next_turn:
            house.pump()
        line = house.open_line
        match step:
            case "said" if line is not None:
                line.say(what)
            case "post":
                outcomes.append(house.post(body=bytes(what), timeout=20.0))
            case "fresh":
                outcomes.append(house.post(timeout=20.0, fresh=True))
            case "cancel" if what < len(outcomes):
                outcomes[what].sending.cancel()
            case "pass":
                house.pass_time(what)
            case "cut" if line is not None:
                line.cut()
    for _ in range(10):
        house.pass_time(PING_TIMEOUT)
    assert [len(outcome._found) for outcome in outcomes] == [1] * len(outcomes)
    house.client.close()
    for _ in range(10):
        house.pass_time(LONGEST_PAUSE)
    assert house.clock.getDelayedCalls() == []
    assert all(line.is_cut for line in house.lines)
