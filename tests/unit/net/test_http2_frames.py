"""Frames cut out of bytes, and made."""

import pytest
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, PingFrame
from hypothesis import given
from hypothesis import strategies as st

from pushd.net.http2_frames import (
    DEBUG_LIMIT,
    LARGEST,
    Frame,
    FrameError,
    Goaway,
    Splitter,
    frame,
    goaway,
    unpadded,
)

FRAMES = st.one_of(
    st.builds(
        lambda stream, data: DataFrame(stream, data=data).serialize(),
        st.integers(1, 99),
        st.binary(max_size=300),
    ),
    st.builds(
        lambda stream, data: HeadersFrame(stream, data=data).serialize(),
        st.integers(1, 99),
        st.binary(max_size=60),
    ),
    st.builds(lambda data: PingFrame(0, opaque_data=data).serialize(), st.binary(max_size=8)),
    st.builds(
        lambda last, code, debug: GoAwayFrame(
            0, last_stream_id=last, error_code=code, additional_data=debug
        ).serialize(),
        st.integers(0, 2**31 - 1),
        st.integers(0, 2**32 - 1),
        st.binary(max_size=40),
    ),
)


def fed(splitter: Splitter, pieces: list[bytes]) -> list[Frame]:
    return [one for piece in pieces for one in splitter.feed(piece)]


@given(st.lists(FRAMES, max_size=12), st.data())
def test_any_split_gives_the_same_frames(frames: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=20)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    assert fed(Splitter(), pieces) == fed(Splitter(), [whole])


@given(st.lists(FRAMES, max_size=12))
def test_what_was_cut_is_made_again(frames: list[bytes]) -> None:
    assert [frame(*one) for one in Splitter().feed(b"".join(frames))] == frames


def test_a_frame_is_cut_when_it_is_whole() -> None:
    data = DataFrame(1, data=b"x" * 100).serialize()
    splitter = Splitter()
    assert splitter.feed(data[:50]) == []
    assert splitter.feed(data[50:] + data[:8]) == [(0, 0, 1, b"x" * 100)]
    assert splitter.feed(data[8:]) == [(0, 0, 1, b"x" * 100)]


def test_the_reserved_bit_of_a_stream_is_ignored() -> None:
    assert Splitter().feed(bytes.fromhex("000000 00 01 80000003")) == [(0, 1, 3, b"")]


def test_a_goaway_is_read_as_rfc_9113_lays_it_out() -> None:
    assert goaway(0, bytes.fromhex("80000005 00000002") + b"hi") == Goaway(5, 2, b"hi")


def test_debug_data_is_kept_up_to_a_limit() -> None:
    payload = GoAwayFrame(0, last_stream_id=1, additional_data=b"x" * 5000).serialize()[9:]
    assert goaway(0, payload) == Goaway(1, 0, b"x" * DEBUG_LIMIT)


@pytest.mark.parametrize(
    ("stream", "payload"),
    [(0, bytes(4)), (1, bytes(8))],
    ids=["a GOAWAY too short", "a GOAWAY on a stream"],
)
def test_a_goaway_that_is_none_is_refused(stream: int, payload: bytes) -> None:
    with pytest.raises(FrameError):
        goaway(stream, payload)


def test_padding_is_taken_off() -> None:
    assert unpadded(0, b"\x02hi") == b"\x02hi"
    assert unpadded(8, b"\x02hi\0\0") == b"hi"
    assert unpadded(8, b"\x02\0\0") == b""


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x03\0\0"])
def test_more_padding_than_there_is_room_for_is_refused(payload: bytes) -> None:
    with pytest.raises(FrameError):
        unpadded(8, payload)


def test_a_frame_that_is_too_long_is_refused() -> None:
    with pytest.raises(FrameError):
        Splitter().feed((LARGEST + 1).to_bytes(3, "big") + bytes.fromhex("00 00 00000001"))


def test_an_overlong_frame_is_refused_before_it_has_come() -> None:
    splitter = Splitter()
    with pytest.raises(FrameError):
        splitter.feed((2**24 - 1).to_bytes(3, "big") + bytes(6))
