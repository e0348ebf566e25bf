"""Connections to the stand-in for APNs: limits of streams, and everything that may go wrong."""

import json
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import FlowControlError, TooManyStreamsError
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.testing import StringTransportWithDisconnection

from pushd.simulators.answers import Answer as Scripted
from pushd.simulators.answers import Ending
from pushd.simulators.http2 import PREFACE, is_preface
from tests.unit.simulators.apns_bench import ALERT, NOW, TOKEN, Bench, Line

OTHER = "11" * 32


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def line(bench: Bench) -> Line:
    """A connection that may open many streams, having used stream 1."""
    line = bench.line()
    assert line.push().status == 200
    return line


def raw(line: Line, number: int, method: str = "GET", path: str = "/control") -> bytes:
    """A request as bytes, by a client that keeps no count of its streams."""
    careless = H2Connection(H2Configuration(client_side=True))
    careless.initiate_connection()
    careless.data_to_send()
    headers = [(":method", method), (":scheme", "https"), (":path", path), (":authority", "x")]
    careless.send_headers(number, headers, end_stream=True)
    return careless.data_to_send()


# --- How many streams ----------------------------------------------------------------------


def test_one_stream_is_allowed_until_a_provider_token_holds(bench: Bench) -> None:
    line = bench.line()
    assert line.limits == [1]
    assert line.push(authorization=None).status == 403
    assert line.limits == [1]
    assert line.push().status == 200
    assert line.limits == [1, 1000]


def test_too_many_streams_end_the_connection(bench: Bench) -> None:
    line = bench.line()
    bench.simulator.script(None, Scripted(ending=Ending.STALL))
    line.ask()
    bench.simulator.connections.limit(1)
    line.exchange()
    with pytest.raises(TooManyStreamsError):  # a client that looks is kept from it
        line.ask()
    line.protocol.dataReceived(raw(line, 5))
    assert not line.is_open
    (visit,) = bench.simulator.connections.all()
    assert visit.remarks[-1].startswith("TooManyStreamsError")


def test_the_limit_is_lowered_while_requests_are_under_way(bench: Bench, line: Line) -> None:
    bench.simulator.script(None, Scripted(delay=1, times=5))
    waiting = [line.ask()[1] for _ in range(5)]
    assert bench.simulator.connections.limit(2) == 1
    line.exchange()
    assert line.limits == [1, 1000, 2]
    with pytest.raises(TooManyStreamsError):
        line.ask()
    bench.clock.advance(1)
    line.exchange()
    assert [answer.status for answer in waiting] == [200] * 5
    assert line.push().status == 200


def test_later_connections_get_the_lowered_limit_too(bench: Bench, line: Line) -> None:
    bench.simulator.connections.limit(3)
    later = bench.line()
    later.push()
    assert later.limits == [1, 3]


# --- Answers in another order --------------------------------------------------------------


def test_answers_come_out_of_order(bench: Bench, line: Line) -> None:
    bench.simulator.script(TOKEN, Scripted(delay=2), Scripted(delay=1), Scripted())
    numbers = [line.ask()[0] for _ in range(3)]
    bench.clock.advance(1)
    line.exchange()
    bench.clock.advance(1)
    line.exchange()
    assert line.order[-3:] == numbers[::-1]


def test_an_answer_that_never_comes_holds_up_no_other(bench: Bench, line: Line) -> None:
    bench.simulator.script(TOKEN, Scripted(ending=Ending.STALL))
    _, first = line.ask()
    assert line.push().status == 200
    bench.clock.advance(3600)
    line.exchange()
    assert first.status is None
    assert bench.simulator.requests[1].status is None


# --- GOAWAY --------------------------------------------------------------------------------


def test_goaway_has_debug_data_and_then_the_answers_of_lower_streams(
    bench: Bench, line: Line
) -> None:
    bench.simulator.script(
        TOKEN,
        Scripted(delay=2),
        Scripted(delay=1),
        Scripted(error="Shutdown", ending=Ending.GOAWAY),
    )
    line.unread = []
    slow, _ = line.ask()
    fast, _ = line.ask()
    refused, _ = line.ask()
    assert line.is_open
    for _ in range(2):
        bench.clock.advance(1)
        line.exchange()
    assert not line.is_open
    # The client's h2 would end its state at GOAWAY, and refuse what comes after: read by hand.
    seen = frames(b"".join(line.unread))
    goaway = [body for kind, _, body in seen if kind == 7]
    assert len(goaway) == 1
    assert int.from_bytes(goaway[0][:4], "big") == fast
    assert int.from_bytes(goaway[0][4:8], "big") == 0
    assert json.loads(goaway[0][8:]) == {"reason": "Shutdown"}
    order = ["goaway" if kind == 7 else number for kind, number, _ in seen if kind in (1, 7)]
    assert order == ["goaway", fast, slow]
    assert refused not in order
    assert [one.status for one in bench.simulator.requests] == [200, 200, 200, None]


def frames(data: bytes) -> list[tuple[int, int, bytes]]:
    """Type, stream and payload of each frame (RFC 9113 §4.1)."""
    found = []
    while data:
        size, number = int.from_bytes(data[:3], "big"), int.from_bytes(data[5:9], "big")
        found.append((data[3], number, data[9 : 9 + size]))
        data = data[9 + size :]
    return found


def test_goaway_may_answer_the_request_that_it_follows(bench: Bench, line: Line) -> None:
    bench.simulator.script(TOKEN, Scripted(ending=Ending.LAST, code=2))
    line.unread = []
    number, _ = line.ask()
    seen = frames(b"".join(line.unread))
    (goaway,) = [body for kind, _, body in seen if kind == 7]
    assert goaway == number.to_bytes(4, "big") + (2).to_bytes(4, "big")
    assert [number for kind, number, _ in seen if kind == 1] == [number]
    assert not line.is_open


def test_goaway_at_any_time_ends_idle_connections(bench: Bench, line: Line) -> None:
    untouched = bench.line()
    assert bench.simulator.connections.go_away("Shutdown") == 1
    line.exchange()
    assert line.goaways == [(1, 0, b'{"reason": "Shutdown"}')]
    assert not line.is_open
    assert untouched.is_open


def test_what_comes_after_goaway_is_not_processed(bench: Bench, line: Line) -> None:
    bench.simulator.script(TOKEN, Scripted(delay=1))
    line.unread = []
    line.ask()
    bench.simulator.connections.go_away()
    line.ask()
    bench.clock.advance(1)
    assert len(bench.simulator.requests) == 2
    assert not line.is_open
    (visit,) = bench.simulator.connections.all()
    assert visit.remarks == []


# --- Other ends ----------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "said"), [(None, 2), (7, 7), (8, 8)])
def test_one_request_is_reset_and_the_others_go_on(
    bench: Bench, line: Line, code: int | None, said: int
) -> None:
    bench.simulator.script(TOKEN, Scripted(delay=1), Scripted(ending=Ending.RESET, code=code))
    _, slow = line.ask()
    _, reset = line.ask()
    assert (reset.reset, reset.status) == (said, None)
    bench.clock.advance(1)
    line.exchange()
    assert slow.status == 200
    assert bench.simulator.requests[-1].status is None


def test_the_connection_is_cut_without_goaway(bench: Bench, line: Line) -> None:
    bench.simulator.script(TOKEN, Scripted(delay=5), Scripted(ending=Ending.CUT))
    _, slow = line.ask()
    _, cut = line.ask()
    assert (line.is_open, line.transport.disconnected_at) == (False, "aborted")
    assert line.goaways == []
    assert (slow.status, cut.status) == (None, None)
    bench.clock.advance(5)  # the answer that was to come has nowhere to go
    assert not bench.clock.getDelayedCalls()


def test_all_connections_can_be_cut(bench: Bench, line: Line) -> None:
    assert bench.simulator.connections.cut() == 1
    assert not line.is_open
    assert bench.line().push().status == 200
    first, second = bench.simulator.connections.all()
    assert first.closed_at is not None
    assert second.closed_at is None


def test_an_answer_can_be_truncated(bench: Bench, line: Line) -> None:
    bench.simulator.script(TOKEN, Scripted(error="BadTopic", ending=Ending.TRUNCATED))
    _, answer = line.ask()
    assert (answer.status, answer.is_whole, line.is_open) == (400, False, False)
    assert 0 < len(answer.body) < int(answer.headers["content-length"])


def test_an_endless_answer_goes_as_far_as_the_window(bench: Bench, line: Line) -> None:
    bench.simulator.script(TOKEN, Scripted(ending=Ending.ENDLESS))
    line.h2.acknowledge_received_data = lambda *given: None  # type: ignore[method-assign]
    _, answer = line.ask()
    for _ in range(50):
        bench.clock.advance(0)
        line.exchange()
    assert len(answer.body) == 65_535
    line.h2.reset_stream(3)
    line.exchange()
    bench.clock.advance(0)
    assert not bench.clock.getDelayedCalls()


def test_without_window_updates_bodies_find_no_room(bench: Bench, line: Line) -> None:
    bench.simulator.connections.withhold_windows(True)
    big = {"aps": {"alert": "x" * 4000}}
    sent = [line.push(big).status for _ in range(16)]  # of 4,021 bytes, in a window of 65,535
    assert sent == [200] * 16
    with pytest.raises(FlowControlError):
        line.push(big)
    line.h2.reset_stream(line.h2.highest_outbound_stream_id)
    bench.simulator.connections.withhold_windows(False)
    line.exchange()
    assert line.push(big).status == 200


def test_a_connection_to_come_is_short_of_windows_too(bench: Bench) -> None:
    bench.simulator.connections.withhold_windows(True)
    line = bench.line()
    line.push({"aps": {"alert": "x" * 4000}})
    assert line.h2.outbound_flow_control_window < 65_535 - 4_000


def test_a_connection_stalls_and_goes_on(bench: Bench, line: Line) -> None:
    bench.simulator.script(None, Scripted(delay=1))
    _, answer = line.ask()
    assert bench.simulator.connections.stall(True) == 1
    assert line.transport.producerState == "paused"
    bench.clock.advance(1)
    line.exchange()
    assert answer.status is None
    bench.simulator.connections.stall(False)
    assert line.transport.producerState == "producing"
    line.exchange()
    assert answer.status == 200


def test_a_request_that_its_client_resets_is_forgotten(bench: Bench, line: Line) -> None:
    bench.simulator.script(None, Scripted(delay=1))
    number, _ = line.ask()
    line.h2.reset_stream(number, 8)
    line.exchange()
    bench.clock.advance(1)
    line.exchange()
    assert line.push().status == 200
    assert line.is_open


def test_a_client_that_leaves_in_order_is_let_go(bench: Bench, line: Line) -> None:
    line.h2.close_connection()
    line.exchange()
    assert not line.is_open
    assert bench.simulator.connections.all()[0].ended == "the client ended it with GOAWAY, code 0"


def test_the_stand_in_ends_with_all_its_connections(bench: Bench, line: Line) -> None:
    bench.simulator.script(None, Scripted(delay=1))
    line.ask()
    bench.simulator.close()
    assert not line.is_open
    assert not bench.clock.getDelayedCalls()


# --- Bytes that are none -------------------------------------------------------------------


def test_a_body_beyond_measure_is_too_large_and_not_kept(bench: Bench, line: Line) -> None:
    number = line.h2.get_next_available_stream_id()
    answer = line.answers[number] = type(line.answers[1])()
    headers = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", f"/3/device/{TOKEN}"),
        (":authority", "x"),
        ("authorization", bench.bearer()),
        ("apns-topic", "net.example.messenger"),
        ("apns-push-type", "alert"),
    ]
    line.h2.send_headers(number, headers)
    for _ in range(80):
        line.h2.send_data(number, b" " * 16_384)
        line.exchange()
    line.h2.end_stream(number)
    line.exchange()
    assert (answer.status, answer.reason) == (413, "PayloadTooLarge")


@given(st.binary(min_size=1, max_size=200))
def test_no_bytes_break_it(garbage: bytes) -> None:
    bench = Bench()
    for begin in (b"", PREFACE):
        protocol = bench.doors["production"].buildProtocol(None)
        transport = StringTransportWithDisconnection()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        protocol.dataReceived(begin + garbage)
    assert bench.line().push().status == 200


@given(st.integers(min_value=0, max_value=len(PREFACE)))
def test_a_preface_is_known_however_it_is_split(cut: int) -> None:
    assert is_preface(PREFACE)
    assert is_preface(PREFACE[:cut]) in (None, True)
    assert is_preface(b"GET / HTTP/1.1\r\n"[: max(cut, 1)]) is False


# --- The other HTTP, and the control over either -------------------------------------------


def spoken(bench: Bench, request: bytes) -> bytes:
    protocol = bench.doors["production"].buildProtocol(None)
    transport = StringTransportWithDisconnection()
    transport.protocol = protocol
    protocol.makeConnection(transport)
    for byte in request:
        protocol.dataReceived(bytes((byte,)))
    return bytes(transport.value())


def test_apple_s_paths_want_http2(bench: Bench) -> None:
    said = spoken(bench, b"POST /3/device/00 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 505 ")
    assert bench.simulator.requests == []


def test_control_answers_over_http_1_1(bench: Bench) -> None:
    bench.line().push()
    said = spoken(bench, b"GET /control/requests HTTP/1.1\r\nHost: a\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 200 ")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["last"] == 1


class Control:
    """/control over HTTP/2."""

    def __init__(self, bench: Bench) -> None:
        self._line = bench.line()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int | None, Any]:
        headers = [(":method", method), (":scheme", "https"), (":path", f"/control{path}")]
        data = b"" if body is None else json.dumps(body).encode()
        _, answer = self._line.request([*headers, (":authority", "x")], data)
        return answer.status, answer.json


def test_control_is_no_connection_of_a_provider_s(bench: Bench, line: Line) -> None:
    control = Control(bench)
    status, told = control.ask("GET", "/connections")
    assert status == 200
    assert [one["requests"] for one in told["connections"]] == [1]
    assert control.ask("POST", "/connections", {"do": "cut"}) == (200, {"connections": 1})
    assert not line.is_open
    assert control.ask("GET", "")[0] == 200


def test_devices_are_told_and_forgotten(bench: Bench, line: Line) -> None:
    control = Control(bench)
    dead = {"token": TOKEN.upper(), "dead_since": 1000.5, "environment": "production"}
    status, told = control.ask("POST", "/devices", dead)
    assert status == 200
    assert told["devices"][0] == {
        "token": TOKEN,
        "environment": "production",
        "topics": [],
        "dead_since": 1000.5,
        "dead_reason": "Unregistered",
    }
    assert line.push().json == {"reason": "Unregistered", "timestamp": 1_000_500}
    control.ask("POST", "/devices", {"token": TOKEN, "dead": True})
    assert line.push().json == {"reason": "Unregistered", "timestamp": int(NOW * 1000)}
    assert control.ask("DELETE", "/devices")[1]["devices"] == []
    assert line.push().status == 200
    assert control.ask("POST", "/devices", {"only_known": True})[1]["only_known"] is True
    assert line.push().reason == "BadDeviceToken"


@pytest.mark.parametrize(
    ("order", "reached"),
    [
        ({"do": "goaway", "reason": "Shutdown"}, "goaway"),
        ({"do": "goaway", "last": 0}, "goaway"),
        ({"do": "cut"}, "cut"),
        ({"do": "streams", "count": 1}, "streams"),
        ({"do": "windows", "on": False}, "windows"),
        ({"do": "stall"}, "stall"),
    ],
)
def test_orders_reach_the_connections_there_are(
    bench: Bench, line: Line, order: dict[str, Any], reached: str
) -> None:
    assert Control(bench).ask("POST", "/connections", order) == (200, {"connections": 1})
    if reached == "stall":
        assert line.transport.producerState == "paused"
        return
    line.exchange()
    if reached in ("goaway", "cut"):
        assert not line.is_open
    if reached == "streams":
        assert line.limits[-1] == 1


@pytest.mark.parametrize(
    ("room", "order", "words"),
    [
        ("connections", {"do": "dance"}, "do must be one of goaway, cut, streams, windows, stall"),
        ("connections", {}, "do must be one of goaway"),
        ("connections", {"do": "cut", "on": True}, "cut takes nothing, but no 'on'"),
        ("connections", {"do": "stall", "on": 1}, "on must be true or false"),
        ("connections", {"do": "goaway", "reason": 1}, "reason must be text"),
        ("connections", {"do": "goaway", "last": -1}, "last and count must be whole numbers"),
        ("connections", {"do": "streams", "count": 2**31}, "last and count must be whole"),
        ("connections", {"do": ["cut"]}, "do must be one of"),
        ("devices", {"token": "ab"}, "token must be at least 64 hexadecimal digits"),
        ("devices", {"environment": "sandbox"}, "token must be at least 64"),
        ("devices", {"token": TOKEN, "environment": "moon"}, "environment must be one of"),
        ("devices", {"token": TOKEN, "topics": "a"}, "topics must be a list of texts"),
        ("devices", {"token": TOKEN, "dead_since": "now"}, "dead_since must be seconds"),
        ("devices", {"token": TOKEN, "dead_reason": "Bad"}, "dead_reason must be"),
        ("devices", {"token": TOKEN, "dead": "yes"}, "dead must be true or false"),
        ("devices", {"token": TOKEN, "colour": "red"}, "a device has no 'colour'"),
        ("devices", {"only_known": 1}, "only_known must be true or false"),
        ("keys", {"team": "A"}, "this takes team_id, environments, topics, but no 'team'"),
        ("keys", {"team_id": ""}, "team_id must be text"),
        ("keys", {"environments": ["moon"]}, "environments must be some of production, sandbox"),
        ("certificates", {}, "topics must name the app's bundle id at least"),
        ("certificates", {"topics": [1]}, "topics must be a list of texts"),
    ],
)
def test_a_mistake_changes_nothing_and_is_named(
    bench: Bench, line: Line, room: str, order: dict[str, Any], words: str
) -> None:
    status, told = Control(bench).ask("POST", f"/{room}", order)
    assert status == 400
    assert words in told["error"]
    assert line.is_open
    assert bench.simulator.devices.all() == []


def test_keys_and_certificates_are_made_on_demand(bench: Bench, line: Line) -> None:
    control = Control(bench)
    _, file = control.ask("POST", "/keys", {"team_id": "OTHERTEAM1", "environments": ["sandbox"]})
    assert file["team_id"] == "OTHERTEAM1"
    assert bench.simulator.verifier.keys[file["key_id"]].environments == {"sandbox"}
    assert "BEGIN PRIVATE KEY" in file["private_key"]
    _, issued = control.ask("POST", "/certificates", {"topics": ["net.example.messenger"]})
    assert issued["certificate"].startswith("-----BEGIN CERTIFICATE-----")
    assert issued["key"].startswith("-----BEGIN PRIVATE KEY-----")


def test_a_push_that_waits_behind_a_script_shows_in_control(bench: Bench, line: Line) -> None:
    control = Control(bench)
    answers = [{"ending": "reset", "code": 7}, {"error": "Shutdown", "ending": "goaway"}]
    status, told = control.ask("POST", "/script", {"token": OTHER, "answers": answers})
    assert (status, told) == (200, {"scripted": 2})
    _, reset = line.ask(ALERT, OTHER)
    assert reset.reset == 7
    _, due = control.ask("GET", "/script")
    assert due["messages"][0]["answers"][0]["ending"] == "goaway"
