"""HTTP/2 out: exchanges, limits, refusals and ends, against servers on h2 and a clock."""

import gc
import weakref
from itertools import pairwise
from typing import Any

import pytest
from h2.events import ConnectionTerminated
from hpack import NeverIndexedHeaderTuple
from hyperframe.frame import (
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
from twisted.internet.defer import CancelledError
from twisted.internet.error import (
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
)

from pushd.net import http2_pulse
from pushd.net.http import BODY_LIMIT, FAREWELL, Fault, HTTPError
from pushd.net.http2_connection import STREAMS, Declined
from pushd.net.http2_exchange import RESENDS
from pushd.net.http2_library import HEADER_LIMIT
from pushd.net.http2_origin import (
    CONNECTIONS,
    CROWDED_FOR,
    FRESH_FOR,
    LONGEST_PAUSE,
    MANY,
    STEADY,
)
from pushd.net.http2_pulse import DOUBTFUL_AFTER, FLOOD_TIME, PING_AFTER, PING_TIMEOUT
from tests.unit.net.http2_house import HEADERS, URL, House, Line, Outcome


def answered(house: House, line: Line, *streams: int) -> None:
    for stream in streams or list(line.server.asked):
        line.server.answer(stream)
    house.pump()


def opened(house: House) -> Line:
    """A line whose server has answered once."""
    house.post()
    line = house.let_in()
    answered(house, line, 1)
    return line


# One exchange.


def test_a_request_arrives_as_it_was_given() -> None:
    house = House()
    house.post("/3/device/00ff?x=%2f", b"a body")
    line = house.let_in()
    asked = line.server.asked[1]
    assert asked.headers == [
        (":method", "POST"),
        (":path", "/3/device/00ff?x=%2f"),
        (":scheme", "http"),
        (":authority", "push.example.net"),
        *HEADERS.items(),
        ("content-length", "6"),
    ]
    assert (asked.body, asked.is_whole) == (b"a body", True)


def test_an_answer_comes_back_whole() -> None:
    house = House()
    outcome = house.post()
    line = house.let_in()
    line.server.answer(1, 410, b'{"reason":"Unregistered"}', apns_id="a-b", x_many="1")
    house.pump()
    assert outcome.answer.status == 410
    assert outcome.answer.body == b'{"reason":"Unregistered"}'
    assert ("apns-id", "a-b") in outcome.answer.headers


def test_answers_come_in_any_order() -> None:
    house = House()
    outcomes = [house.post(f"/{n}") for n in range(3)]
    line = house.let_in()
    for stream in (5, 1, 3):
        line.server.answer(stream, 200, line.server.asked[stream].path.encode())
    house.pump()
    assert [outcome.answer.body for outcome in outcomes] == [b"/0", b"/1", b"/2"]


def test_a_body_in_many_frames_is_joined() -> None:
    house = House()
    outcome = house.post()
    line = house.let_in()
    line.server.h2.send_headers(1, [(":status", "400")])
    for part in (b'{"rea', b"", b'son":"x"}'):
        line.server.h2.send_data(1, part)
        house.pump()
    assert outcome.is_open
    line.server.h2.end_stream(1)
    house.pump()
    assert outcome.answer.body == b'{"reason":"x"}'


def test_a_preliminary_answer_and_trailers_are_passed_over() -> None:
    house = House()
    outcome = house.post()
    line = house.let_in()
    line.server.h2.send_headers(1, [(":status", "103"), ("link", "x")])
    line.server.h2.send_headers(1, [(":status", "200"), ("a", "b")])
    line.server.h2.send_data(1, b"ok")
    line.server.h2.send_headers(1, [("grpc-status", "0")], end_stream=True)
    house.pump()
    assert outcome.answer == (200, [("a", "b")], b"ok")


def test_a_body_of_the_limit_is_read_whole_and_a_longer_one_is_cut() -> None:
    house = House()
    whole, cut = house.post(), house.post()
    line = house.let_in()
    line.server.answer(1, 200, b"x" * BODY_LIMIT)
    line.server.answer(3, 200, b"y" * (BODY_LIMIT + 1))
    house.pump()
    assert whole.answer.body == b"x" * BODY_LIMIT
    assert cut.answer.body == b"y" * BODY_LIMIT
    after = house.post()
    house.pump()
    answered(house, line, 5)
    assert after.answer.status == 200


def test_an_endless_body_ends_its_stream_alone() -> None:
    house = House()
    endless, other = house.post(), house.post()
    line = house.let_in()
    line.server.h2.send_headers(1, [(":status", "200")])
    for _ in range(3):
        line.server.h2.send_data(1, b"x" * 8000)
        house.pump()
    assert line.server.asked[1].reset == 8  # CANCEL
    assert len(endless.answer.body) == BODY_LIMIT
    answered(house, line, 3)
    assert other.answer.status == 200


def test_more_bodies_than_a_window_holds_come_through() -> None:
    """Each DATA frame that comes is acknowledged, or the connection would stall at 65,535."""
    house = House()
    opened(house)
    line = house.lines[0]
    for number in range(40):
        outcome = house.post()
        house.pump()
        line.server.answer(3 + 2 * number, 400, b"x" * 4000)
        house.pump()
        assert outcome.answer.status == 400


def test_a_head_that_is_too_long_breaks_the_connection() -> None:
    house = House()
    outcome = house.post()
    line = house.let_in()
    line.server.h2.send_headers(1, [(":status", "200"), ("x", "y" * HEADER_LIMIT)], end_stream=True)
    house.pump()
    assert outcome.fault is Fault.BROKEN
    assert line.is_cut


@pytest.mark.parametrize(
    "headers", [[("x", "y")], [(":status", "20")], [(":status", "²00")], [(":status", "-10")]]
)
def test_an_answer_without_a_status_ends_its_stream_alone(headers: list[Any]) -> None:
    house = House()
    house.agent._is_checked = False
    odd, other = house.post(), house.post()
    line = house.let_in()
    line.server.h2.config.validate_outbound_headers = False
    line.server.h2.send_headers(1, headers)
    line.server.answer(3)
    house.pump()
    assert odd.fault is Fault.BROKEN
    assert other.answer.status == 200


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\0b"])
def test_what_could_be_two_headers_is_not_sent(value: str) -> None:
    house = House()
    asking = house.client.send("POST", URL + "/", {"x-token": value}, b"", 1.0)
    assert "header" in str(Outcome(asking).failure)
    assert house.clock.getDelayedCalls() == []


def test_what_no_path_may_hold_is_escaped() -> None:
    house = House()
    house.post("/a\r\nb: c\0")
    assert house.let_in().server.asked[1].path == "/a%0D%0Ab:%20c%00"


@pytest.mark.parametrize(
    "url", ["ftp://a/b", "https://", "//a/b", "https://u@h/x", "https://h:x/y"]
)
def test_what_is_no_web_address_is_not_sent_to(url: str) -> None:
    asking = House().client.send("POST", url, {}, b"", 1.0)
    assert isinstance(Outcome(asking).failure, HTTPError)


def test_path_and_authorization_are_never_indexed() -> None:
    house = House()
    seen: list[Any] = []

    def listen(line: Line) -> None:
        decoder: Any = line.server.h2.decoder
        decode = decoder.decode

        def spy(data: bytes, raw: bool = False) -> Any:
            headers = list(decode(data, raw))
            seen.extend(headers)
            return headers

        decoder.decode = spy

    for _ in range(3):
        house.post()
    house.let_in(listen)
    kinds = {bytes(header[0]): type(header) for header in seen}
    marked = {name for name, kind in kinds.items() if kind is NeverIndexedHeaderTuple}
    assert marked == {b":path", b"authorization"}
    assert len(seen) == 3 * len(kinds)


# Streams.


def test_nothing_is_asked_before_the_server_has_told_its_settings() -> None:
    house = House(MAX_CONCURRENT_STREAMS=1)
    outcomes = [house.post() for _ in range(3)]
    said: list[bytes] = []

    def silent(line: Line) -> None:
        said.append(line.server.h2.data_to_send())

    line = house.let_in(silent)
    assert line.server.asked == {}
    line.server.raw = said[0]
    house.pump()
    assert list(line.server.asked) == [1]
    assert all(outcome.is_open for outcome in outcomes)


def test_no_more_are_under_way_than_the_server_allows() -> None:
    house = House(MAX_CONCURRENT_STREAMS=2)
    outcomes = [house.post() for _ in range(5)]
    line = house.let_in()
    for seen in ([1, 3], [1, 3, 5, 7], [1, 3, 5, 7, 9]):
        assert list(line.server.asked) == seen
        answered(house, line, *seen[-2:] if len(seen) < 5 else seen[-1:])
    assert [outcome.answer.status for outcome in outcomes] == [200] * 5
    assert len(house.lines) == 1


def test_a_limit_that_rises_is_used_at_once() -> None:
    house = House(MAX_CONCURRENT_STREAMS=1)
    for _ in range(10):
        house.post()
    line = house.let_in()
    assert len(line.server.asked) == 1
    line.server.settings(MAX_CONCURRENT_STREAMS=1000)
    line.server.answer(1)
    house.pump()
    assert len(line.server.asked) == 10


def test_a_limit_that_falls_is_kept_by_what_follows() -> None:
    house = House(MAX_CONCURRENT_STREAMS=10)
    for _ in range(8):
        house.post()
    line = house.let_in()
    assert len(line.server.asked) == 8
    line.server.settings(MAX_CONCURRENT_STREAMS=2)
    house.pump()
    for _ in range(4):
        house.post()
    answered(house, line, 1, 3, 5, 7, 9, 11)
    assert len(line.server.asked) == 8
    answered(house, line, 13)
    assert len(line.server.asked) == 9


def test_a_server_that_allows_none_for_a_while_is_waited_for() -> None:
    house = House()
    line = opened(house)
    line.server.settings(MAX_CONCURRENT_STREAMS=0)
    house.pump()
    outcome = house.post()
    house.pump()
    assert list(line.server.asked) == [1]
    line.server.settings(MAX_CONCURRENT_STREAMS=1)
    house.pump()
    answered(house, line, 3)
    assert outcome.answer.status == 200


def test_a_server_without_a_limit_has_one_of_ours() -> None:
    house = House()
    house.settings = {}
    for _ in range(STREAMS + 5):
        house.post(body=b"")
    line = house.let_in()
    assert len(line.server.asked) == STREAMS


def test_a_stream_that_is_refused_is_sent_again() -> None:
    house = House()
    outcome = house.post("/a")
    line = house.let_in()
    line.server.h2.reset_stream(1, 7)
    house.pump()
    assert outcome.is_open
    assert line.server.asked[3].path == "/a"
    answered(house, line, 3)
    assert outcome.answer.status == 200


def test_a_server_that_refuses_each_time_is_believed_in_the_end() -> None:
    house = House()
    outcome = house.post()
    line = house.let_in()
    for number in range(RESENDS + 1):
        line.server.h2.reset_stream(1 + 2 * number, 7)
        house.pump()
    assert outcome.fault is Fault.BROKEN
    assert len(line.server.asked) == RESENDS + 1


def test_a_stream_that_is_reset_otherwise_is_a_fault_of_it_alone() -> None:
    house = House()
    broken, other = house.post(), house.post()
    line = house.let_in()
    line.server.h2.reset_stream(1, 2)
    line.server.answer(3)
    house.pump()
    assert broken.fault is Fault.BROKEN
    assert "INTERNAL_ERROR" in str(broken.failure)
    assert other.answer.status == 200


def test_a_server_that_wants_http11_for_a_request_says_so() -> None:
    house = House()
    outcome = house.post()
    house.let_in().server.h2.reset_stream(1, 13)
    house.pump()
    assert isinstance(outcome.failure, Declined)


def test_the_last_stream_of_all_has_a_successor_on_another_connection() -> None:
    house = House()
    opened(house)
    house.lines[0].client._h2.highest_outbound_stream_id = 2**31 - 3
    house.lines[0].server.h2.highest_inbound_stream_id = 2**31 - 3
    last, next_one = house.post("/last"), house.post("/next")
    house.pump()
    assert house.lines[0].server.asked[2**31 - 1].path == "/last"
    line = house.let_in()
    assert line.server.asked[1].path == "/next"
    answered(house, line, 1)
    answered(house, house.lines[0], 2**31 - 1)
    assert (last.answer.status, next_one.answer.status) == (200, 200)
    assert house.lines[0].is_cut


# Windows.


def test_a_body_waits_for_the_window_before_its_head_has_left() -> None:
    house = House(MAX_CONCURRENT_STREAMS=1000)
    outcomes = [house.post(f"/{n}", b"x" * 4000) for n in range(20)]
    line = house.let_in()
    assert len(line.server.asked) == 16  # 65,535 / 4,000
    assert all(asked.is_whole for asked in line.server.asked.values())
    for asked in list(line.server.asked.values())[:10]:
        line.server.read(asked)
    house.pump()
    assert len(line.server.asked) == 20
    answered(house, line)
    assert [outcome.answer.status for outcome in outcomes] == [200] * 20


def test_a_body_that_is_larger_than_a_stream_may_have_follows_in_parts() -> None:
    house = House(INITIAL_WINDOW_SIZE=100)
    outcome = house.post(body=b"x" * 250)
    line = house.let_in()
    asked = line.server.asked[1]
    assert (len(asked.body), asked.is_whole) == (100, False)
    line.server.h2.increment_flow_control_window(120, 1)
    house.pump()
    assert (len(asked.body), asked.is_whole) == (220, False)
    line.server.settings(INITIAL_WINDOW_SIZE=1000)
    house.pump()
    assert (len(asked.body), asked.is_whole) == (250, True)
    answered(house, line, 1)
    assert outcome.answer.status == 200


def test_a_body_that_is_larger_than_a_frame_may_be_is_cut_into_several() -> None:
    house = House()
    house.post(body=bytes(40_000))
    line = house.let_in()
    assert line.server.asked[1].body == bytes(40_000)


def test_a_server_that_has_heard_enough_need_not_hear_the_rest() -> None:
    house = House(INITIAL_WINDOW_SIZE=10)
    outcome = house.post(body=b"x" * 100)
    line = house.let_in()
    answered(house, line, 1)
    assert outcome.answer.status == 200
    assert line.server.asked[1].reset == 0
    assert line.client._bodies == {}


def test_a_server_that_gives_no_window_back_lets_requests_time_out() -> None:
    house = House(MAX_CONCURRENT_STREAMS=1000)
    outcomes = [house.post(body=b"x" * 4000, timeout=5.0) for _ in range(20)]
    line = house.let_in()
    answered(house, line)
    house.pass_time(5.0)
    assert [outcome.fault for outcome in outcomes[16:]] == [Fault.TIMEOUT] * 4


def test_requests_for_a_slow_network_wait_on_our_side() -> None:
    house = House()
    line = opened(house)
    line.client.pauseProducing()
    outcome = house.post()
    house.pump()
    assert list(line.server.asked) == [1]
    line.client.resumeProducing()
    house.pump()
    answered(house, line, 3)
    assert outcome.answer.status == 200


def test_what_is_said_in_one_turn_is_one_write() -> None:
    house = House()
    line = opened(house)
    writes: list[bytes] = []
    write = line.wire.write
    line.wire.write = lambda data: (writes.append(data), write(data))[1]  # type: ignore
    for _ in range(20):
        house.post()
    house.pump()
    assert len(writes) == 1


# The end of a connection.


def test_a_goaway_lets_lower_streams_end_and_sends_higher_ones_elsewhere() -> None:
    house = House()
    outcomes = [house.post(f"/{n}") for n in range(4)]
    first = house.let_in()
    first.server.goaway(3, debug=b'{"reason":"Shutdown"}')
    house.pump()
    second = house.let_in()
    assert [asked.path for asked in second.server.asked.values()] == ["/2", "/3"]
    assert not first.is_cut
    first.server.answer(1)
    first.server.answer(3)
    house.pump()
    assert first.is_cut
    answered(house, second)
    assert [outcome.answer.status for outcome in outcomes] == [200] * 4


def test_who_meets_many_goaways_is_sent_until_one_takes_him() -> None:
    house = House()
    outcome = house.post(timeout=1000.0)
    for _ in range(3 * RESENDS):
        line = house.let_in()
        line.server.goaway(0)
        house.pump()
        house.pass_time(LONGEST_PAUSE)
        assert outcome.is_open
    answered(house, house.let_in(), 1)
    assert outcome.answer.status == 200


def test_after_a_goaway_nothing_more_is_asked_there() -> None:
    house = House()
    under_way = house.post()
    first = house.let_in()
    first.server.goaway(2**31 - 1)
    house.pump()
    later = house.post()
    second = house.let_in()
    assert list(second.server.asked) == [1]
    answered(house, first, 1)
    answered(house, second, 1)
    assert (under_way.answer.status, later.answer.status) == (200, 200)


def test_a_second_goaway_may_take_more_back() -> None:
    house = House()
    house.post("/a")
    house.post("/b")
    first = house.let_in()
    first.server.goaway(2**31 - 1)
    house.pump()
    first.server.goaway(1)
    house.pump()
    assert [asked.path for asked in house.let_in().server.asked.values()] == ["/b"]


def test_why_a_server_went_is_told_to_those_it_left_behind() -> None:
    house = House()
    outcome = house.post()
    line = house.let_in()
    line.server.goaway(1, 0, b'{"reason":"BadCertificate"}')
    house.pump()
    line.cut()
    assert outcome.fault is Fault.BROKEN
    assert "BadCertificate" in str(outcome.failure)


@pytest.mark.parametrize(
    ("debug", "told"),
    [
        (b"", "ENHANCE_YOUR_CALM"),
        (b"not json", "ENHANCE_YOUR_CALM"),
        (b'{"reason": 7}', "ENHANCE_YOUR_CALM"),
        (b'["reason"]', "ENHANCE_YOUR_CALM"),
        (b'{"reason": "token 00ff"}', "ENHANCE_YOUR_CALM"),
        (b"[" * 1000, "ENHANCE_YOUR_CALM"),
    ],
)
def test_debug_data_is_repeated_only_where_it_is_a_word(debug: bytes, told: str) -> None:
    house = House()
    outcome = house.post()
    line = house.let_in()
    line.server.goaway(1, 11, debug)
    house.pump()
    line.cut()
    assert str(outcome.failure).endswith(f"(GOAWAY {told})")


def test_what_never_left_a_connection_that_is_lost_is_sent_again() -> None:
    house = House()
    line = opened(house)
    sent = house.post("/sent")
    house.pump()
    unsent = house.post("/unsent")
    line.cut()
    assert sent.fault is Fault.BROKEN
    second = house.let_in()
    assert [asked.path for asked in second.server.asked.values()] == ["/unsent"]
    answered(house, second)
    assert unsent.answer.status == 200


def test_what_breaks_http2_ends_the_connection() -> None:
    house = House()
    outcome = house.post()
    line = house.let_in()
    line.server.raw = b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(40)
    house.pump()
    assert outcome.fault is Fault.BROKEN
    assert line.wire.was_aborted


def head(block: bytes) -> bytes:
    frame = HeadersFrame(1, block)
    frame.flags.add("END_HEADERS")
    return bytes(frame.serialize())


FLOOD = 200  # frames, in these tests


@pytest.mark.parametrize(
    ("first", "frame"),
    [
        (b"", PingFrame(0, b"12345678").serialize()),
        (b"", SettingsFrame(0).serialize()),
        (b"", WindowUpdateFrame(0, window_increment=1).serialize()),
        (b"", RstStreamFrame(3).serialize()),
        (b"", PriorityFrame(1).serialize()),
        (b"", GoAwayFrame(0, last_stream_id=1).serialize()),
        (b"", ExtensionFrame(77, 0, 0, b"").serialize()),
        (b"", head(b"\x08\x03103")),
        (head(b"\x88"), DataFrame(1, b"").serialize()),
    ],
    ids=[
        "ping",
        "settings",
        "window",
        "reset",
        "priority",
        "goaway",
        "unknown",
        "103",
        "empty-data",
    ],
)
def test_who_floods_is_left(first: bytes, frame: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2_pulse, "FLOOD", FLOOD)
    house = House()
    outcome = house.post()
    line = house.let_in()
    line.client.dataReceived(first + frame * (FLOOD - 10))
    assert outcome.is_open
    assert not line.wire.was_aborted

    line.client.dataReceived(frame * 20)
    assert line.wire.was_aborted
    line.cut()
    house.clock.advance(0)
    assert "frame after frame" in str(outcome.failure)
    assert house.clock.getDelayedCalls() == []


def test_frames_that_come_slowly_are_no_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2_pulse, "FLOOD", FLOOD)
    house = House()
    outcome = house.post(timeout=1e6)
    line = house.let_in()
    for _ in range(4):
        line.client.dataReceived(PingFrame(0, b"12345678").serialize() * (FLOOD // 2))
        house.clock.advance(FLOOD_TIME)
    answered(house, line, 1)
    assert outcome.answer.status == 200


def test_a_server_that_pushes_is_hung_up_on() -> None:
    house = House()
    outcome = house.post()
    line = house.let_in()
    frame = PushPromiseFrame(1, 2, b"\x82\x84\x86\x41\x01a")
    frame.flags.add("END_HEADERS")
    line.client.dataReceived(frame.serialize())
    house.pump()
    assert line.wire.was_aborted
    assert outcome.fault is Fault.BROKEN


def test_who_cancels_while_a_connection_breaks_is_done_with_it() -> None:
    house = House()
    outcome = house.post()
    line = house.let_in()
    house.pass_time(1.0)
    outcome_too = house.post()
    house.pump()
    line.client.dataReceived(bytes(20) + b"\xff" * 20)
    outcome_too.sending.cancel()
    assert isinstance(outcome_too.failure, CancelledError)
    house.pump()
    assert outcome.fault is Fault.BROKEN
    assert house.clock.getDelayedCalls() == []


# Timeouts and cancelling.


def test_silence_ends_at_the_timeout_and_the_stream_with_it() -> None:
    house = House()
    outcome, other = house.post(timeout=5.0), house.post(timeout=30.0)
    line = house.let_in()
    house.pass_time(5.0)
    assert outcome.fault is Fault.TIMEOUT
    assert line.server.asked[1].reset == 8  # CANCEL
    answered(house, line, 3)
    assert other.answer.status == 200


def test_an_answer_that_comes_too_late_disturbs_nobody() -> None:
    house = House()
    house.post(timeout=5.0)
    line = house.let_in()
    line.server.answer(1, 200, b"late")
    said = line.server.to_send()
    house.pass_time(5.0)
    line.client.dataReceived(said)
    house.pump()
    after = house.post()
    house.pump()
    answered(house, line, 3)
    assert after.answer.status == 200


def test_a_cancelled_exchange_ends_its_stream_and_makes_room() -> None:
    house = House(MAX_CONCURRENT_STREAMS=1)
    first, second = house.post("/1"), house.post("/2")
    line = house.let_in()
    first.sending.cancel()
    house.pump()
    assert isinstance(first.failure, CancelledError)
    assert line.server.asked[1].reset == 8
    assert line.server.asked[3].path == "/2"
    answered(house, line, 3)
    assert second.answer.status == 200


def test_who_waits_can_be_cancelled_and_is_never_sent() -> None:
    house = House()
    first, second = house.post("/1"), house.post("/2")
    first.sending.cancel()
    assert isinstance(first.failure, CancelledError)
    line = house.let_in()
    assert [asked.path for asked in line.server.asked.values()] == ["/2"]
    answered(house, line)
    assert second.answer.status == 200


def test_who_waits_for_a_connection_waits_no_longer_than_his_time() -> None:
    house = House()
    outcome = house.post(timeout=3.0)
    house.pass_time(3.0)
    assert outcome.fault is Fault.TIMEOUT
    assert "no connection" in str(outcome.failure)


def test_nothing_is_kept_of_what_is_over() -> None:
    house = House()
    line = opened(house)
    gone = []
    for number in range(5):
        outcome = house.post(timeout=1.0)
        house.pump()
        gone.append(weakref.ref(outcome.sending))
        if number < 3:
            answered(house, line, 3 + 2 * number)
        elif number == 3:
            outcome.sending.cancel()
        else:
            house.pass_time(1.0)
        outcome._found.clear()
        del outcome
    house.pump()
    gc.collect()
    assert [one() for one in gone] == [None] * 5
    assert line.client.load == 0


def test_streams_that_are_over_do_not_pile_up_in_h2() -> None:
    house = House()
    line = opened(house)
    for number in range(1000):
        house.post()
        house.pump()
        answered(house, line, 3 + 2 * number)
    assert len(line.client._h2.streams) < 200
    assert len(line.client._h2._closed_streams) <= 1000


# Is anyone there?


def test_a_connection_that_was_long_silent_is_asked_before_it_is_used() -> None:
    house = House()
    line = opened(house)
    house.pass_time(DOUBTFUL_AFTER)
    line.server.answers_pings = False
    outcome = house.post()
    house.pump()
    assert len(line.server.pings) == 1
    assert list(line.server.asked) == [1]
    house.pass_time(PING_TIMEOUT)
    assert line.wire.was_aborted
    second = house.let_in()
    answered(house, second, 1)
    assert outcome.answer.status == 200


def test_a_connection_that_answers_the_ping_is_used() -> None:
    house = House()
    line = opened(house)
    house.pass_time(DOUBTFUL_AFTER)
    outcome = house.post()
    house.pump()
    answered(house, line, 3)
    assert outcome.answer.status == 200
    assert (len(line.server.pings), house.knocking) == (1, [])


def test_a_connection_that_is_in_use_is_not_asked() -> None:
    house = House()
    line = opened(house)
    for number in range(5):
        house.pass_time(DOUBTFUL_AFTER / 2)
        house.post()
        house.pump()
        answered(house, line, 3 + 2 * number)
    assert line.server.pings == []


def test_an_idle_connection_is_asked_once_an_hour_and_stays_open() -> None:
    house = House()
    line = opened(house)
    for _ in range(5):
        house.pass_time(3600.0)
    assert len(line.server.pings) == 5
    assert not line.is_cut


def test_an_idle_connection_that_is_dead_is_found_out() -> None:
    house = House()
    line = opened(house)
    line.server.answers_pings = False
    house.pass_time(PING_AFTER)
    house.pass_time(PING_TIMEOUT)
    assert line.wire.was_aborted
    assert house.knocking == []


def test_a_timeout_in_utter_silence_makes_it_ask() -> None:
    house = House()
    line = opened(house)
    line.server.answers_pings = False
    house.post(timeout=5.0)
    others = house.post(timeout=30.0)
    house.pass_time(5.0)
    house.pass_time(PING_TIMEOUT)
    assert others.fault is Fault.BROKEN
    assert line.is_cut


def test_a_clock_that_is_set_back_hides_no_dead_connection() -> None:
    house = House()
    house.pass_time(86_400.0)
    line = opened(house)
    house.clock.rightNow -= 86_400
    line.server.answers_pings = False
    outcome = house.post(timeout=60.0)
    house.pump()
    assert line.server.pings
    house.pass_time(PING_TIMEOUT)
    assert line.wire.was_aborted
    answered(house, house.let_in(), 1)
    assert outcome.answer.status == 200


def test_a_server_that_never_begins_is_given_up() -> None:
    house = House()
    outcome = house.post()

    def mute(line: Line) -> None:
        line.server.h2.clear_outbound_data_buffer()

    line = house.let_in(mute)
    house.pass_time(10.0)
    assert line.is_cut
    assert outcome.fault is Fault.UNREACHABLE


def test_an_idle_limit_ends_a_connection_properly() -> None:
    house = House(idle_limit=240.0)
    line = opened(house)
    house.pass_time(100.0)
    house.post()
    house.pump()
    answered(house, line, 3)
    house.pass_time(140.0)
    assert not line.is_cut
    house.pass_time(240.0)
    assert line.is_cut
    assert isinstance(line.server.farewell, ConnectionTerminated)
    assert line.server.farewell.error_code == 0


# Connecting.


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (DNSLookupError("x"), Fault.UNREACHABLE),
        (ConnectionRefusedError(), Fault.UNREACHABLE),
        (TimeoutError(), Fault.UNREACHABLE),
        (HTTPError(Fault.PROXY, "the proxy"), Fault.PROXY),
        (ValueError("x"), Fault.BROKEN),
    ],
)
def test_who_waits_is_told_when_there_is_no_connection(error: Exception, fault: Fault) -> None:
    house = House()
    outcomes = [house.post() for _ in range(3)]
    house.turn_away(error)
    assert [outcome.fault for outcome in outcomes] == [fault] * 3


def test_attempts_that_fail_are_made_with_growing_pauses() -> None:
    house = House()
    tried_at: list[float] = []
    for _ in range(600):
        house.post(timeout=100.0)
        while house.knocking:
            tried_at.append(house.clock.seconds())
            house.turn_away(ConnectionRefusedError())
        house.pass_time(1.0)
    pauses = [later - earlier for earlier, later in pairwise(tried_at)]
    assert pauses[0] <= 1.0
    assert max(pauses) <= LONGEST_PAUSE + 1.0
    assert min(pauses[-3:]) >= LONGEST_PAUSE / 2
    assert len(tried_at) < 30


def test_a_clock_that_is_set_back_makes_no_pause_longer() -> None:
    house = House()
    for _ in range(3):
        house.post()
        if house.knocking:
            house.turn_away(ConnectionRefusedError())
    house.clock.rightNow -= 86_400
    outcome = house.post()
    answered(house, house.let_in())
    assert outcome.answer.status == 200


def test_a_request_whose_time_ends_before_the_next_attempt_is_told_at_once() -> None:
    house = House()
    for _ in range(12):
        house.pass_time(LONGEST_PAUSE)
        house.post(timeout=300.0)
        house.turn_away(ConnectionRefusedError())
    assert house.post(timeout=1.0).fault is Fault.UNREACHABLE
    assert house.post(timeout=300.0).is_open


def test_a_server_that_ends_each_connection_at_once_is_not_hammered() -> None:
    house = House()
    tried_at: list[float] = []
    for _ in range(120):
        house.post(timeout=100.0)
        if house.knocking:
            tried_at.append(house.clock.seconds())
            line = house.let_in()
            answered(house, line)
            line.cut()
        house.pass_time(0.5)
    assert len(tried_at) < 24
    assert tried_at[1] - tried_at[0] <= 0.5


def test_a_server_that_ends_each_connection_after_many_answers_is_connected_to_at_once() -> None:
    house = House()
    for _ in range(5):
        line = opened(house)
        for number in range(1, MANY):
            house.post()
            house.pump()
            answered(house, line, 1 + 2 * number)
        line.server.goaway(2 * MANY - 1)
        house.pump()
        assert line.is_cut
    house.post()
    assert len(house.knocking) == 1


def test_the_end_of_a_connection_that_lived_is_followed_by_the_next_at_once() -> None:
    house = House()
    for _ in range(5):
        line = opened(house)
        house.pass_time(STEADY)
        line.cut()
    house.post()
    assert len(house.knocking) == 1


def test_a_name_is_looked_up_for_each_connection() -> None:
    house = House()
    opened(house).cut()
    opened(house)
    assert len(house.asked_for) == 2


def test_another_connection_is_opened_only_when_streams_run_out_for_a_while() -> None:
    house = House(MAX_CONCURRENT_STREAMS=2)
    line = opened(house)
    for _ in range(4):
        house.post()
    house.pump()
    house.pass_time(CROWDED_FOR / 2)
    assert house.knocking == []
    house.pass_time(CROWDED_FOR / 2)
    second = house.let_in()
    assert (len(line.server.asked), len(second.server.asked)) == (3, 2)


def test_a_crowd_that_moves_leaves_no_timer() -> None:
    house = House(MAX_CONCURRENT_STREAMS=2)
    line = opened(house)
    for _ in range(4):
        house.post()
    house.pump()
    line.cut()
    answered(house, house.let_in())
    house.client.close()
    house.pump()
    assert house.clock.getDelayedCalls() == []


def test_there_are_never_more_connections_than_allowed() -> None:
    house = House(MAX_CONCURRENT_STREAMS=2)
    opened(house)
    for _ in range(40):
        house.post()
    for _ in range(20):
        house.pass_time(CROWDED_FOR)
        if house.knocking:
            line = house.let_in()
            answered(house, line, 1)
    assert len(house.lines) == CONNECTIONS


def test_a_server_that_allows_one_stream_until_it_knows_us_gets_one_connection() -> None:
    house = House(MAX_CONCURRENT_STREAMS=1)
    opened(house)
    for _ in range(10):
        house.post()
    for _ in range(10):
        house.pass_time(CROWDED_FOR)
    assert (len(house.lines), house.knocking) == (1, [])


def test_a_connection_that_relieved_another_ends_when_it_is_not_needed() -> None:
    house = House(MAX_CONCURRENT_STREAMS=2)
    line = opened(house)
    for _ in range(4):
        house.post()
    house.pump()
    house.pass_time(CROWDED_FOR)
    second = house.let_in()
    answered(house, line, 3, 5)
    answered(house, second)
    house.pass_time(300.0)
    assert (line.is_cut, second.is_cut) == (False, True)


def test_a_fresh_request_takes_the_old_connection_out_of_use() -> None:
    house = House()
    old = opened(house)
    house.pass_time(FRESH_FOR)
    under_way = house.post("/old")
    house.pump()
    fresh = house.post("/fresh", fresh=True)
    house.pump()
    new = house.let_in()
    later = house.post("/later")
    house.pump()
    assert [asked.path for asked in new.server.asked.values()] == ["/fresh", "/later"]
    answered(house, old, 3)
    assert old.is_cut
    answered(house, new)
    assert [one.answer.status for one in (under_way, fresh, later)] == [200] * 3


def test_many_fresh_requests_share_the_new_connection() -> None:
    house = House()
    opened(house)
    house.pass_time(FRESH_FOR)
    for _ in range(5):
        house.post(fresh=True)
    new = house.let_in()
    for _ in range(5):
        house.post(fresh=True)
    house.pump()
    assert (len(new.server.asked), house.knocking) == (10, [])


# Closing.


def test_the_connection_that_was_unused_for_longest_makes_room() -> None:
    house = House()
    lines = {}
    for name in ("first", "used", "busy", "last"):
        house.pass_time(1.0)
        house.client.send("POST", f"http://{name}.example/", {}, b"", 30.0)
        lines[name] = house.let_in()
        answered(house, lines[name])
    house.pass_time(1.0)
    for name in ("used", "busy"):
        house.client.send("POST", f"http://{name}.example/", {}, b"", 30.0)
        house.pump()
    answered(house, lines["used"], 3)

    assert house.agent.make_room()
    assert [name for name in lines if lines[name].wire.was_aborted] == ["first"]
    assert [house.agent.make_room() for _ in range(3)] == [True, True, False]
    assert [name for name in lines if not lines[name].wire.was_aborted] == ["busy"]


def test_an_empty_house_has_no_room_to_make() -> None:
    house = House()
    house.post()
    assert not house.agent.make_room()


def test_closing_ends_idle_connections_and_says_when_they_have_ended() -> None:
    house = House()
    line = opened(house)
    closed: list[Any] = []
    house.client.close().addCallback(closed.append)
    assert closed == []
    house.pump()
    assert line.is_cut
    assert len(closed) == 1
    assert house.clock.getDelayedCalls() == []


def test_closing_lets_exchanges_go_on() -> None:
    house = House()
    outcome = house.post()
    line = house.let_in()
    closed: list[Any] = []
    house.client.close().addCallback(closed.append)
    assert len(closed) == 1
    answered(house, line, 1)
    assert outcome.answer.status == 200
    assert line.is_cut
    assert house.clock.getDelayedCalls() == []


def test_closing_lets_those_who_wait_for_a_connection_have_it() -> None:
    house = House()
    outcome = house.post()
    house.client.close()
    line = house.let_in()
    answered(house, line, 1)
    assert outcome.answer.status == 200
    assert line.is_cut
    assert house.clock.getDelayedCalls() == []


def test_closing_gives_an_attempt_up_that_nobody_waits_for() -> None:
    house = House()
    house.post().sending.cancel()
    house.client.close()
    house.pump()
    assert house.clock.getDelayedCalls() == []


def test_a_peer_that_does_not_let_go_is_left() -> None:
    house = House()
    line = opened(house)
    line.is_cut = True  # nothing is carried any more
    house.client.close()
    house.clock.advance(FAREWELL)
    assert line.wire.was_aborted


def test_a_lost_connection_leaves_no_timer() -> None:
    house = House()
    line = opened(house)
    house.post()
    house.pump()
    line.cut(ConnectionLost())
    assert house.clock.getDelayedCalls() == []
