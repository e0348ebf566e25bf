"""Frames cut out of bytes, and GOAWAY kept apart."""

import pytest
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, PingFrame
from hypothesis import given
from hypothesis import strategies as st

from pushd.net.http2_frames import DEBUG_LIMIT, LARGEST, FrameError, Goaway, Splitter

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


def fed(splitter: Splitter, pieces: list[bytes]) -> list[bytes | Goaway]:
    """What came out, with neighbouring runs of frames joined."""
    found: list[bytes | Goaway] = []
    for part in [part for piece in pieces for part in splitter.feed(piece)]:
        if found and isinstance(part, bytes) and isinstance(found[-1], bytes):
            found[-1] += part
        else:
            found.append(part)
    return found


@given(st.lists(FRAMES, max_size=12), st.data())
def test_any_split_gives_the_same_frames(frames: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=20)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    assert fed(Splitter(), pieces) == fed(Splitter(), [whole])


@given(st.lists(FRAMES, max_size=12))
def test_nothing_is_lost_but_goaways_which_are_told(frames: list[bytes]) -> None:
    found = fed(Splitter(), [b"".join(frames)])

    others = [frame for frame in frames if frame[3] != 7]
    assert b"".join(part for part in found if isinstance(part, bytes)) == b"".join(others)
    assert sum(isinstance(part, Goaway) for part in found) == len(frames) - len(others)


def test_each_part_is_made_of_whole_frames() -> None:
    frame = DataFrame(1, data=b"x" * 100).serialize()
    splitter = Splitter()
    assert splitter.feed(frame[:50]) == []
    assert splitter.feed(frame[50:] + frame[:8]) == [frame]
    assert splitter.feed(frame[8:]) == [frame]


def test_a_goaway_is_read_as_rfc_9113_lays_it_out() -> None:
    frame = bytes.fromhex("00000a 07 00 00000000 80000005 00000002") + b"hi"
    assert Splitter().feed(frame) == [Goaway(5, 2, b"hi")]


def test_debug_data_is_kept_up_to_a_limit() -> None:
    frame = GoAwayFrame(0, last_stream_id=1, additional_data=b"x" * 5000).serialize()
    assert Splitter().feed(frame) == [Goaway(1, 0, b"x" * DEBUG_LIMIT)]


@pytest.mark.parametrize(
    "frame",
    [
        (LARGEST + 1).to_bytes(3, "big") + bytes.fromhex("00 00 00000001"),
        bytes.fromhex("000004 07 00 00000000 00000001"),
        bytes.fromhex("000008 07 00 00000001 00000001 00000000"),
    ],
    ids=["too long", "a GOAWAY too short", "a GOAWAY on a stream"],
)
def test_what_breaks_the_framing_is_refused(frame: bytes) -> None:
    with pytest.raises(FrameError):
        Splitter().feed(frame)


def test_an_overlong_frame_is_refused_before_it_has_come() -> None:
    splitter = Splitter()
    with pytest.raises(FrameError):
        splitter.feed((2**24 - 1).to_bytes(3, "big") + bytes(6))
