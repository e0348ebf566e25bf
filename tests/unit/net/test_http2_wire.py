"""What a client of HTTP/2 says and hears; h2 and hyperframe are the other side."""

import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from pushd.net.http2_frames import FrameError, Goaway
from pushd.net.http2_wire import GIVE_BACK, LONGEST_BLOCK, WINDOW, Wire

REQUEST = [(b":method", b"POST"), (b":path", b"/"), (b":scheme", b"https"), (b":authority", b"a.b")]
PROTOCOL_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, COMPRESSION_ERROR = 1, 3, 6, 9


class Listener:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def has_settings(self) -> None:
        self.heard.append("settings")

    def has_head(self, stream: int, headers: Iterable[Any]) -> None:
        self.heard.append((stream, [tuple(one) for one in headers]))

    def has_data(self, stream: int, data: bytes) -> None:
        self.heard.append((stream, data))

    def has_end(self, stream: int) -> None:
        self.heard.append((stream, "end"))

    def was_reset(self, stream: int, code: int) -> None:
        self.heard.append((stream, "reset", code))

    def has_window(self, stream: int, size: int) -> None:
        self.heard.append((stream, "window", size))

    def has_pong(self) -> None:
        self.heard.append("pong")

    def has_goaway(self, told: Goaway) -> None:
        self.heard.append(told)


class Scene:
    """A client that has opened stream 1, and h2 as the server, which has told its settings."""

    def __init__(self) -> None:
        self.listener = Listener()
        self.wire = Wire(self.listener)
        self.server = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self.wire.begin()
        self.hear(SettingsFrame(0))
        assert self.wire.open(REQUEST, False) == 1
        self.said()
        self.listener.heard.clear()

    def hear(self, *frames: Frame | bytes) -> list[Any]:
        """What the client hears of frames that the server has sent."""
        self.listener.heard.clear()
        for one in frames:
            data = one.serialize() if isinstance(one, Frame) else one
            for part in self.wire.split(data):
                self.wire.hear(part)
        return self.listener.heard

    def said(self) -> list[Any]:
        """What the client has said since the last call, as h2 understands it."""
        return list(self.server.receive_data(self.wire.to_write()))


def flagged(one: Frame, *flags: str) -> Frame:
    one.flags |= set(flags)
    return one


def head(data: bytes, *flags: str) -> Frame:
    return flagged(HeadersFrame(1, data), *flags)


# What is said.


def test_a_head_that_is_longer_than_a_frame_goes_on_in_others() -> None:
    scene = Scene()
    long = [(b"x-%d" % number, b"y" * 9_000) for number in range(5)]

    assert scene.wire.open(REQUEST + long, True) == 3

    [asked, *_] = [one for one in scene.said() if isinstance(one, RequestReceived)]
    assert asked.headers is not None
    assert list(asked.headers)[4:] == long


def test_what_is_sent_is_taken_off_the_window_of_all_streams() -> None:
    scene = Scene()
    scene.wire.send(1, b"x" * 100, True)
    [came, *_] = [one for one in scene.said() if isinstance(one, DataReceived)]
    assert came.data == b"x" * 100
    assert scene.wire.window == WINDOW - 100

    assert scene.hear(WindowUpdateFrame(0, window_increment=100)) == [(0, "window", 100)]
    assert scene.wire.window == WINDOW


def test_there_is_a_last_stream() -> None:
    scene = Scene()
    scene.wire.next_stream = 2**31 - 1
    assert scene.wire.open(REQUEST, True) == 2**31 - 1
    assert scene.wire.open(REQUEST, True) == 0


# What is heard.


def test_settings_hold_and_are_confirmed() -> None:
    scene = Scene()
    told: dict[int, int] = {1: 0, 3: 7, 4: 9, 5: 20_000, 6: 1, 99: 5}
    assert scene.hear(SettingsFrame(0, settings=told)) == ["settings"]
    wire = scene.wire
    assert (wire.streams, wire.stream_window, wire.frame_size) == (7, 9, 20_000)
    assert wire.to_write() == flagged(SettingsFrame(0), "ACK").serialize()


def test_a_ping_is_answered_by_the_same() -> None:
    scene = Scene()
    assert scene.hear(PingFrame(0, b"12345678")) == []
    assert scene.wire.to_write() == flagged(PingFrame(0, b"12345678"), "ACK").serialize()
    assert scene.hear(flagged(PingFrame(0, b"87654321"), "ACK")) == ["pong"]
    assert scene.wire.to_write() == b""


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_a_head_may_come_in_parts(parts: int) -> None:
    block = b"\x48\x03404\x00\x01a\x01b"
    cuts = [len(block) * part // parts for part in range(parts + 1)]
    first, *others = [block[a:b] for a, b in itertools.pairwise(cuts)]
    frames = [head(first, "END_STREAM"), *(ContinuationFrame(1, part) for part in others)]
    flagged(frames[-1], "END_HEADERS")

    found = Scene().hear(*frames)

    assert found == [(1, [(b":status", b"404"), (b"a", b"b")]), (1, "end")]


def test_padding_and_priority_are_left_out() -> None:
    padded = HeadersFrame(1, b"\x88", pad_length=3, depends_on=0, stream_weight=5)
    flagged(padded, "PADDED", "PRIORITY", "END_HEADERS")
    data = flagged(DataFrame(1, b"hi", pad_length=9), "PADDED", "END_STREAM")
    assert Scene().hear(padded, data) == [
        (1, [(b":status", b"200")]),
        (1, b"hi"),
        (1, "end"),
    ]


def test_the_window_is_given_back_when_half_of_it_is_used() -> None:
    scene = Scene()
    size = 10_000
    for number in range(1, 1 + WINDOW // size):
        scene.hear(DataFrame(1, b"x" * size))
        came = number * size
        told = scene.wire.to_write()
        if came - size < GIVE_BACK <= came:
            assert told == WindowUpdateFrame(0, window_increment=came).serialize()
        else:
            assert told == b""


def test_padding_does_not_close_the_window_of_a_stream() -> None:
    scene = Scene()
    scene.hear(flagged(DataFrame(1, b"hi", pad_length=9), "PADDED"))
    assert scene.wire.to_write() == WindowUpdateFrame(1, window_increment=10).serialize()


def test_what_nobody_knows_is_ignored() -> None:
    assert Scene().hear(bytes.fromhex("000003 77 ff 00000005") + b"abc", PriorityFrame(9)) == []


def test_what_else_there_is_is_told() -> None:
    goaway = GoAwayFrame(0, last_stream_id=1, error_code=2, additional_data=b"x")
    assert Scene().hear(RstStreamFrame(1, 7), goaway, WindowUpdateFrame(1, 5)) == [
        (1, "reset", 7),
        Goaway(1, 2, b"x"),
        (1, "window", 5),
    ]


BROKEN = {
    "data on no stream": (bytes.fromhex("000000 00 00 00000000"), PROTOCOL_ERROR),
    "data on a stream that is not open": (DataFrame(3, b""), PROTOCOL_ERROR),
    "a stream of the server's": (HeadersFrame(2, b"\x88"), PROTOCOL_ERROR),
    "a push": (PushPromiseFrame(1, 2, b"\x82"), PROTOCOL_ERROR),
    "too much padding": (bytes.fromhex("000001 00 08 00000001 01"), PROTOCOL_ERROR),
    "half a priority": (bytes.fromhex("000002 01 24 00000001 0000"), FRAME_SIZE_ERROR),
    "half a priority frame": (bytes.fromhex("000002 02 00 00000001 0000"), FRAME_SIZE_ERROR),
    "half a reset": (bytes.fromhex("000002 03 00 00000001 0000"), FRAME_SIZE_ERROR),
    "half a setting": (bytes.fromhex("000002 04 00 00000000 0000"), FRAME_SIZE_ERROR),
    "a confirmation that says something": (
        bytes.fromhex("000006 04 01 00000000 000300000001"),
        FRAME_SIZE_ERROR,
    ),
    "settings of a stream": (bytes.fromhex("000000 04 00 00000001"), PROTOCOL_ERROR),
    "a server that wants pushes": (SettingsFrame(0, settings={2: 1}), PROTOCOL_ERROR),
    "too large a first window": (SettingsFrame(0, settings={4: 2**31}), FLOW_CONTROL_ERROR),
    "too small a frame": (SettingsFrame(0, settings={5: 16_383}), PROTOCOL_ERROR),
    "too large a frame": (SettingsFrame(0, settings={5: 2**24}), PROTOCOL_ERROR),
    "half a ping": (bytes.fromhex("000002 06 00 00000000 0000"), FRAME_SIZE_ERROR),
    "half a goaway": (bytes.fromhex("000002 07 00 00000000 0000"), PROTOCOL_ERROR),
    "half a window": (bytes.fromhex("000002 08 00 00000000 0000"), FRAME_SIZE_ERROR),
    "a window of nothing": (bytes.fromhex("000004 08 00 00000000 00000000"), PROTOCOL_ERROR),
    "a window that grows too large": (
        WindowUpdateFrame(0, window_increment=2**31 - 1),
        FLOW_CONTROL_ERROR,
    ),
    "a window of a stream that is not open": (WindowUpdateFrame(3, 5), PROTOCOL_ERROR),
    "a continuation of nothing": (ContinuationFrame(1, b"\x88"), PROTOCOL_ERROR),
    "a head that cannot be read": (head(b"\xff\xff", "END_HEADERS"), COMPRESSION_ERROR),
    "a head that refers to nothing": (head(b"\xbf", "END_HEADERS"), COMPRESSION_ERROR),
    "a frame that is too long": (bytes.fromhex("004001 00 00 00000001"), FRAME_SIZE_ERROR),
}


@pytest.mark.parametrize(("frame", "code"), BROKEN.values(), ids=BROKEN)
def test_what_breaks_the_protocol_ends_it(frame: Frame | bytes, code: int) -> None:
    with pytest.raises(FrameError) as refused:
        Scene().hear(frame)
    assert refused.value.code == code


INTERRUPTED = {
    "by a ping": [head(b"\x88"), PingFrame(0, b"12345678")],
    "on another stream": [head(b"\x88"), flagged(ContinuationFrame(3, b""), "END_HEADERS")],
    "by nothing": [head(b"\x88"), ContinuationFrame(1, b"")],
    "for ever": [head(b"\x88"), *[ContinuationFrame(1, bytes(16_384))] * (LONGEST_BLOCK // 16_384)],
}


@pytest.mark.parametrize("frames", INTERRUPTED.values(), ids=INTERRUPTED)
def test_a_head_is_continued_at_once_or_not_at_all(frames: list[Frame]) -> None:
    with pytest.raises(FrameError):
        Scene().hear(*frames)


def test_settings_come_first() -> None:
    with pytest.raises(FrameError):
        Wire(Listener()).hear((6, 0, 0, bytes(8)))
