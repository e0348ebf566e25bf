"""Stand-ins: whatever is sent to them, they take it or refuse it, and nothing else happens."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.simulators.apns_reasons import REASONS
from pushd.simulators.assertions import AssertionRefused, check
from pushd.simulators.fcm_message import MAX_PAYLOAD, Invalid, Unreadable, read, target_of
from pushd.simulators.fcm_message import check as check_message
from tests.unit.simulators.apns_bench import TOKEN, Bench
from tests.unit.simulators.every import EVERY, Connection, Peer

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["message", "token", "topic", "data", "android", "ttl", "from"])
            | st.text(),
            inner,
        )
    ),
)


@given(st.text())
def test_a_text_that_nobody_signed_is_an_invalid_grant(assertion: str) -> None:
    with pytest.raises(AssertionRefused) as refused:
        check(assertion, {}, "https://fcm.test/token", 0.0)
    assert refused.value.error == "invalid_grant"


@given(JSON)
def test_any_json_is_taken_for_a_message_or_refused(value: Any) -> None:
    with contextlib.suppress(Unreadable, Invalid):
        check_message(value)
    token, _ = target_of(value)
    assert isinstance(token, str)


@given(st.binary())
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(Unreadable):
        read(body)


VALUES = st.builds(str.__mul__, st.sampled_from(["x", "ä", "€", "🙂"]), st.integers(0, 1500))


@given(st.dictionaries(st.from_regex(r"[a-e]{1,9}", fullmatch=True), VALUES))
def test_a_payload_is_refused_exactly_beyond_its_size(data: dict[str, str]) -> None:
    size = sum(len(key.encode()) + len(value.encode()) for key, value in data.items())
    request = {"message": {"token": "phone", "data": data}}
    if size <= MAX_PAYLOAD:
        assert check_message(request).token == "phone"
    else:
        with pytest.raises(Invalid, match="too large"):
            check_message(request)


# APNs. Header values are what HTTP/2 carries; h2 itself refuses the rest.

HEADERS = (
    *("authorization", "apns-id", "apns-topic", "apns-push-type", "apns-priority"),
    *("apns-expiration", "apns-collapse-id", "content-encoding", "user-agent"),
)
VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=80)
HEADER_VALUES = VISIBLE | st.sampled_from(
    (
        *("0", "1", "5", "10", "9" * 12, "alert", "background", "voip", "liveactivity"),
        *("net.example.app", "net.example.app.voip", f"bearer {'.'.join('abc')}", "gzip", "bearer"),
    )
)
APS = st.dictionaries(
    st.sampled_from(("alert", "badge", "sound", "content-available", "mutable-content", "x")), JSON
)
BODIES = st.binary(max_size=300) | st.builds(
    lambda aps, rest: json.dumps({"aps": aps, **rest}).encode(errors="replace"),
    APS | JSON,
    st.dictionaries(st.text(max_size=5), JSON, max_size=3),
)
PATHS = st.sampled_from(
    ("/3/device/", f"/3/device/{TOKEN}", f"/3/device/{TOKEN.upper()}", "/3", "/")
) | VISIBLE.map(lambda text: f"/3/device/{text}")


@given(
    st.sampled_from(("POST", "GET", "PUT", "DELETE")),
    PATHS,
    st.dictionaries(st.sampled_from(HEADERS), HEADER_VALUES),
    st.booleans(),
    BODIES,
)
def test_any_request_to_apns_has_an_answer_of_apple_s(
    method: str, path: str, headers: dict[str, str], is_signed: bool, body: bytes
) -> None:
    bench = Bench()
    line = bench.line()
    if is_signed:
        headers = {"apns-topic": "net.example.app", **headers, "authorization": bench.bearer()}
    pseudo = [(":method", method), (":scheme", "https"), (":path", path), (":authority", "a")]
    _, answer = line.request([*pseudo, *headers.items()], body)
    (got,) = bench.simulator.requests
    assert got.status == answer.status
    if answer.status == 200:
        assert (answer.body, got.error) == (b"", "")
    else:
        assert answer.status == REASONS[answer.reason]
        assert got.error == answer.reason
    json.dumps(got.as_json())
    assert line.is_open


# The others, over HTTP/1.1: a good request with a header, the body or the method exchanged.

NAMES = (
    *("authorization", "content-type", "content-encoding", "ttl", "topic", "urgency", "crypto-key"),
    *("x-wns-type", "x-wns-ttl", "x-wns-tag", "x-wns-cache-policy", "x-wns-priority", "expect"),
    *("webhook-id", "webhook-timestamp", "webhook-signature", "retry-after", "user-agent"),
)
SMALL = ("ubuntu", "wns", "wns tokens", "mozilla", "google", "apple", "ntfy", "webhook")
PEERS: dict[str, Peer] = {}


@given(
    st.sampled_from(SMALL),
    st.dictionaries(st.sampled_from(NAMES), HEADER_VALUES, max_size=3),
    st.none() | BODIES,
    st.sampled_from(("POST", "POST", "GET", "PUT")),
)
def test_any_request_to_a_small_one_is_taken_or_refused(
    name: str, headers: dict[str, str], body: bytes | None, method: str
) -> None:
    if name not in PEERS:
        PEERS[name] = EVERY[name]()
    peer = PEERS[name]
    peer.simulator.forget()
    sent = peer.send("phone")
    sent.headers |= headers
    sent.method = method
    if body is not None:
        sent.body = body
    connection = Connection(peer, "1.1")
    asked = connection.ask(sent)
    connection.leave()
    assert asked.status is not None
    assert asked.is_whole
    assert asked.status < 500
    for got in peer.simulator.endpoints[peer.endpoint].record.since():
        assert got.status == asked.status
        # WNS tells with 200 of what it has dropped.
        assert bool(got.error) == (asked.status >= 400 or got.error == "dropped")
        json.dumps(got.as_json())
