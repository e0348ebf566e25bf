"""Mistakes that others have made: a sender that made one would be caught by its stand-in.

Each starts from what a good sender sends, which is taken, and makes one mistake.
"""

import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pushd.simulators.answers import Answer as Scripted
from tests.unit.simulators import apns_bench, bench, webpush_bench
from tests.unit.simulators.apns_bench import ALERT, NOW, SILENT, TOKEN, TOPIC, Answer
from tests.unit.simulators.every import EVERY, Connection, Peer, Sent

WEEKS = 28 * 86_400
PUSHED = [name for name in EVERY if not EVERY[name]().one_token]


def error_of(peer: Peer, sent: Sent) -> str:
    """What the stand-in has on record for a request."""
    connection = Connection(peer)
    connection.ask(sent)
    connection.leave()
    return str(peer.simulator.endpoints[peer.endpoint].record.since()[-1].error)


def apple(payload: Any = ALERT, environment: str = "production", **headers: Any) -> Answer:
    """What comes of a push that is right but for these."""
    made = apns_bench.Bench()
    assert made.line().push(ALERT).status == 200
    return made.line(environment).push(payload, **headers)


# 4: sixteen zeros in the place of the tag.


@pytest.mark.mistake(4)
@pytest.mark.parametrize(
    "tag", [bytes(16), b"", b"\0" * 12], ids=["zeros", "none", "twelve bytes of zeros"]
)
def test_a_message_without_its_tag_is_not_taken(tag: bytes) -> None:
    made = webpush_bench.Bench()
    phone = made.subscribe()
    body = webpush_bench.encrypt(b'{"message-count":1}', phone)
    assert made.push(phone, body=body).status == 201
    assert made.push(phone, body=body[:-16] + tag).status == 400
    assert made.last.message is None


# 12 and 15: a date that lies in 1970, or was computed once.


@pytest.mark.mistake(12)
def test_an_expiry_in_1970_is_refused_by_apns() -> None:
    assert apple(apns_expiration=str(int(NOW) + WEEKS)).status == 200
    assert apple(apns_expiration=str(WEEKS)).reason == "BadExpirationDate"


@pytest.mark.mistake(12)
def test_an_expiry_in_1970_is_refused_by_ubuntu_push() -> None:
    peer = EVERY["ubuntu"]()
    sent = peer.send("phone")
    assert error_of(peer, sent) == ""
    content = json.loads(sent.body) | {"expire_on": "1970-01-29T00:00:00.000Z"}
    sent.body = json.dumps(content).encode()
    assert error_of(peer, sent) == "past-expiry"


@pytest.mark.mistake(12)
@pytest.mark.parametrize("token", [TOKEN[:62], TOKEN[:32], "", TOKEN + "0", "z" * 64])
def test_what_is_no_token_is_no_matter_of_rate(token: str) -> None:
    assert apple(token=token).reason == ("BadDeviceToken" if token else "MissingDeviceToken")


@pytest.mark.mistake(15)
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("fcm tokens", "invalid_grant"),
        ("apns", "ExpiredProviderToken"),
        ("mozilla", "unauthorized"),
        ("apple", "unauthorized"),
        ("webhook", "bad-timestamp"),
    ],
)
def test_what_was_signed_once_is_stale_some_day(name: str, error: str) -> None:
    peer = EVERY[name]()
    sent = peer.send("phone")
    assert error_of(peer, sent) == ""
    peer.clock.advance(13 * 3600)
    assert error_of(peer, sent) == error


@pytest.mark.mistake(15)
def test_an_access_token_is_fetched_anew() -> None:
    for name, error in (("fcm", "UNAUTHENTICATED"), ("wns", "unauthorized")):
        peer = EVERY[name]()
        sent = peer.send("phone")
        assert error_of(peer, sent) == ""
        peer.clock.advance(86_401)
        assert error_of(peer, sent) == error


@pytest.mark.mistake(15)
def test_an_end_that_was_computed_once_is_past_some_day() -> None:
    made = apns_bench.Bench()
    end = str(int(NOW) + 86_400)
    assert made.line().push(apns_expiration=end).status == 200
    made.clock.advance(2 * 86_400)
    bearer = f"bearer {made.token()}"
    answer = made.line().push(apns_expiration=end, authorization=bearer)
    assert answer.reason == "BadExpirationDate"


# 14: what belongs together.


@pytest.mark.mistake(14)
@pytest.mark.parametrize(
    ("payload", "headers", "reason"),
    [
        (SILENT, {"apns_push_type": "alert"}, "InvalidPushType"),
        (SILENT, {"apns_push_type": "background", "apns_priority": "10"}, "BadPriority"),
        (SILENT, {"apns_push_type": None}, "BadPriority"),
        (ALERT, {"apns_push_type": "background", "apns_priority": "5"}, "InvalidPushType"),
        (ALERT, {"apns_push_type": "voip"}, "TopicDisallowed"),
        (ALERT, {"apns_topic": f"{TOPIC}.voip"}, "TopicDisallowed"),
        (ALERT, {"apns_priority": "high"}, "BadPriority"),
    ],
    ids=[
        "a background payload with an alert's headers",
        "a background push at once",
        "a background payload without a type",
        "an alert in the background",
        "a call without its topic",
        "an alert for the topic of calls",
        "a priority of another network's",
    ],
)
def test_type_priority_topic_and_payload_belong_together(
    payload: Any, headers: dict[str, Any], reason: str
) -> None:
    assert apple(payload, **headers).reason == reason


# 16: units, environments, keys.


def _apns_expiration(milliseconds: int) -> str:
    return apple(apns_expiration=str(milliseconds)).reason


def _apns_token(milliseconds: int) -> str:
    made = apns_bench.Bench()
    bearer = f"bearer {made.token(iat=milliseconds)}"
    return made.line().push(authorization=bearer).reason


def _vapid(milliseconds: int) -> str:
    made = webpush_bench.Bench()
    made.push(made.subscribe(), Authorization=made.authorization(exp=milliseconds))
    return made.last.error


def _assertion(milliseconds: int) -> str:
    made = bench.Bench()
    refused = made.ask_token(made.assertion(iat=milliseconds, exp=milliseconds + 3_600_000))
    return str(refused.json["error"])


@pytest.mark.mistake(16)
@pytest.mark.parametrize(
    ("send", "error"),
    [
        (_apns_expiration, "BadExpirationDate"),
        (_apns_token, "InvalidProviderToken"),
        (_vapid, "unauthorized"),
        (_assertion, "invalid_grant"),
    ],
)
def test_milliseconds_are_not_taken_for_seconds(send: Callable[[int], str], error: str) -> None:
    assert send(int(NOW) * 1000) == error


@pytest.mark.mistake(16)
def test_apple_s_own_time_is_in_milliseconds() -> None:
    made = apns_bench.Bench()
    made.simulator.script(TOKEN, Scripted(error="Unregistered"))
    assert made.line().push().json["timestamp"] == int(NOW) * 1000


@pytest.mark.mistake(16)
def test_a_sandbox_that_is_wired_in_is_seen() -> None:
    made = apns_bench.Bench()
    made.simulator.rooms()["devices"]["POST"]({"token": TOKEN, "environment": "production"})
    assert made.line("sandbox").push().reason == "BadDeviceToken"
    assert made.line("production").push().status == 200
    assert [push.environment for push in made.simulator.requests] == ["sandbox", "production"]


@pytest.mark.mistake(16)
def test_a_wrong_key_is_told_from_a_dead_token() -> None:
    """Status and name differ, so that who deletes on either deletes wrongly."""
    for name in PUSHED:
        peer = EVERY[name]()
        sent = peer.send("phone")
        sent.headers["authorization"] = "Bearer no.such.key"
        sent.headers["webhook-signature"] = "v1,AAAA"
        if name in ("ubuntu", "mozilla", "google", "ntfy"):
            sent.headers.pop("authorization")
        error = error_of(peer, sent)
        if name != "ubuntu":  # where nobody signs in
            assert error not in ("", peer.error), name


# 17: tried again at once.


@pytest.mark.mistake(17)
@pytest.mark.parametrize("name", PUSHED)
def test_who_does_not_wait_is_seen(name: str) -> None:
    peer = EVERY[name]()
    token = peer.token("phone")
    peer.simulator.script(
        token, Scripted(status=503, retry_after=60), Scripted(status=429, retry_after_date=30)
    )
    early = []
    for wait in (0, 0, 10, 20, 0):
        peer.clock.advance(wait)
        error_of(peer, peer.send("phone"))
        early.append(peer.simulator.requests[-1].early)
    # At once after the first; then 20 s too early; and from there on nobody asked to wait.
    assert early[:2] == [0.0, 60.0]
    assert early[2] == pytest.approx(20.0, abs=1.0)
    assert early[3:] == [0.0, 0.0]
    error_of(peer, peer.send("tablet"))
    assert peer.simulator.requests[-1].early == 0.0


# 18: a new key at each start.


@pytest.mark.mistake(18)
@pytest.mark.parametrize("service", ["mozilla", "google", "apple", "ntfy"])
def test_a_key_that_is_new_at_each_start_is_not_the_subscription_s(service: str) -> None:
    made = webpush_bench.Bench()
    phone = made.subscribe(service)
    assert made.push(phone).status in (200, 201)
    made.key = ec.generate_private_key(ec.SECP256R1())
    made.push(phone)
    assert made.last.error == "key-mismatch"


# And what has no number: two records, which RFC 8188 knows and a user agent does not.


def test_what_an_encoder_cuts_into_records_is_refused() -> None:
    made = webpush_bench.Bench()
    phone = made.subscribe()
    body = bytearray(webpush_bench.encrypt(b"x" * 100, phone))
    body[16:20] = struct.pack(">I", 60)
    assert made.push(phone, body=bytes(body)).status == 400
