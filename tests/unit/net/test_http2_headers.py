"""Our HPACK: what it writes, another reads."""

from typing import Any

from hpack import Decoder, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st

from pushd.net.http2_headers import SEEN_ONCE, TABLE_SIZE, HeaderEncoder

PATH = (b":path", b"/sample/path")
TOPIC = (b"apns-topic", b"com.example.chat")


def decoder() -> Decoder:
    found = Decoder()
    found.max_header_list_size = 1 << 30
    return found


def test_a_header_that_is_new_is_written_without_indexing_as_rfc_7541_c_2_2() -> None:
    assert HeaderEncoder().encode([PATH]).hex() == "040c2f73616d706c652f70617468"


def test_a_secret_is_written_as_never_indexed_as_rfc_7541_c_2_3() -> None:
    secret = NeverIndexedHeaderTuple(b"password", b"secret")
    assert HeaderEncoder().encode([secret]).hex() == "100870617373776f726406736563726574"


def test_a_secret_is_never_indexed_however_often_it_is_said() -> None:
    secret = NeverIndexedHeaderTuple(b"authorization", b"bearer x")
    encoder = HeaderEncoder()
    assert len({encoder.encode([secret]) for _ in range(5)}) == 1


def test_what_is_in_the_static_table_is_a_byte() -> None:
    assert HeaderEncoder().encode([(b":method", b"POST"), (b":scheme", b"https")]) == b"\x83\x87"


def test_what_is_said_a_third_time_is_a_byte() -> None:
    encoder = HeaderEncoder()
    lengths = [len(encoder.encode([TOPIC])) for _ in range(3)]
    assert lengths == [29, 29, 1]


def test_what_differs_each_time_drives_nothing_out() -> None:
    encoder, reader = HeaderEncoder(), decoder()
    for _ in range(2):
        reader.decode(encoder.encode([TOPIC]))
    for number in range(10 * SEEN_ONCE):
        block = encoder.encode([(b"apns-id", b"%036d" % number), TOPIC])
        reader.decode(block)
    assert encoder.encode([TOPIC]) == b"\xbe"


def test_a_peer_without_a_table_gets_no_entries() -> None:
    encoder, reader = HeaderEncoder(), decoder()
    reader.max_allowed_table_size = 0
    encoder.header_table_size = 0
    for _ in range(4):
        block = encoder.encode([TOPIC])
        assert list(reader.decode(block, raw=True)) == [TOPIC]
    assert reader.header_table_size == 0


NAMES = st.sampled_from([b"apns-topic", b"apns-id", b":path", b"x-long", b"accept", b"via"])
VALUES = st.one_of(st.binary(max_size=6), st.binary(max_size=1500), st.just(b"x" * 200))
HEADERS = st.builds(
    lambda name, value, is_secret: (
        NeverIndexedHeaderTuple(name, value) if is_secret else (name, value)
    ),
    NAMES,
    VALUES,
    st.booleans(),
)
STEPS = st.lists(st.one_of(st.lists(HEADERS, max_size=6), st.integers(0, 6000)), max_size=40)


@given(STEPS)
def test_another_reads_what_was_written_whatever_its_table(steps: list[Any]) -> None:
    encoder, reader = HeaderEncoder(), decoder()
    for step in steps:
        if isinstance(step, int):
            # A peer that shrinks its table has to hear that we did, before the next block.
            encoder.header_table_size = step
            reader.max_allowed_table_size = max(step, min(step, TABLE_SIZE))
            continue
        assert list(reader.decode(encoder.encode(step), raw=True)) == step
