"""The receiver of webhooks: signatures, what it takes, and what it answers."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from pushd.simulators import webhook_signatures
from pushd.simulators.answers import Answer
from pushd.simulators.webhook import FAULTS, WebhookSimulator
from pushd.simulators.webhook_signatures import Refused
from pushd.wire.secret import Secret
from tests.unit.simulators.bench import NOW, Response, Wire, result_of

URL = "https://hook.test"

# The example of Standard Webhooks.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1_614_265_330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
KEY = webhook_signatures.key(SECRET)
OTHER = "whsec_" + base64.b64encode(b"another secret of 32 bytes......").decode()


def check(**changes: Any) -> webhook_signatures.Signed:
    given: dict[str, Any] = {
        "id": ID,
        "timestamp": str(TIMESTAMP),
        "signature": SIGNATURE,
        "body": BODY,
        "keys": [KEY],
        "now": TIMESTAMP,
    }
    return webhook_signatures.check(**given | changes)


def test_the_example_of_standard_webhooks_holds() -> None:
    assert check() == webhook_signatures.Signed(ID, TIMESTAMP, (0,))


def test_rfc_4231_agrees_about_the_digest() -> None:
    digest = hmac.digest(b"Jefe", b"what do ya want for nothing?", "sha256")
    assert digest.hex() == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


@pytest.mark.parametrize(
    "changes",
    [
        {"now": TIMESTAMP + 300},
        {"now": TIMESTAMP - 300},
        {"signature": f"v1,{'A' * 43}= {SIGNATURE}"},
        {"signature": f"v1a,{'A' * 86}== {SIGNATURE}"},
        {"keys": [b"x" * 32, KEY]},
    ],
    ids=["5 minutes late", "5 minutes early", "two", "with another version's", "two secrets"],
)
def test_what_holds_otherwise(changes: dict[str, Any]) -> None:
    assert check(**changes).timestamp == TIMESTAMP


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"now": TIMESTAMP + 301}, "bad-timestamp"),
        ({"now": TIMESTAMP - 301}, "bad-timestamp"),
        ({"now": TIMESTAMP * 1000}, "bad-timestamp"),
        ({"timestamp": f"{TIMESTAMP}000"}, "bad-timestamp"),
        ({"timestamp": f"{TIMESTAMP}.0"}, "bad-timestamp"),
        ({"timestamp": "soon"}, "bad-timestamp"),
        ({"timestamp": f"0{TIMESTAMP}"}, "bad-signature"),
        ({"timestamp": ""}, "missing-header"),
        ({"id": ""}, "missing-header"),
        ({"id": "a.b"}, "bad-id"),
        ({"id": "msg_other"}, "bad-signature"),
        ({"signature": ""}, "missing-header"),
        ({"signature": "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, "bad-signature"),
        ({"signature": SIGNATURE.replace("v1", "v2")}, "bad-signature"),
        ({"signature": SIGNATURE.replace("g0", "g1")}, "bad-signature"),
        ({"signature": SIGNATURE[:-1]}, "bad-signature"),
        ({"signature": SIGNATURE + ";" + SIGNATURE}, "bad-signature"),
        ({"signature": "v1," + hmac.digest(KEY, BODY, "sha256").hex()}, "bad-signature"),
        ({"body": BODY + b"\n"}, "bad-signature"),
        ({"keys": []}, "bad-signature"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_does_not_hold_is_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(Refused) as refused:
        check(**changes)
    assert refused.value.name == fault


@given(st.text(), st.text(), st.text(), st.binary())
def test_no_garbage_is_signed(id: str, timestamp: str, signature: str, body: bytes) -> None:
    with pytest.raises(Refused):
        check(id=id, timestamp=timestamp, signature=signature, body=body)


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("", "24 to 64"),
        ("whsec_", "24 to 64"),
        ("whsec_c2hvcnQ=", "24 to 64"),
        ("whsec_no base64", ""),
        ("whsec_\u00e9", "ASCII"),
    ],
)
def test_what_is_no_secret(secret: str, words: str) -> None:
    with pytest.raises(ValueError, match=words or "."):
        webhook_signatures.key(secret)


class Bench:
    """The stand-in, without sockets."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.simulator = WebhookSimulator(self.clock, URL, **options)
        self.wire = Wire(self.simulator.site.resource)

    def headers(self, body: bytes, id: str, *secrets: str) -> dict[str, str]:
        timestamp = int(self.clock.seconds())
        content = f"{id}.{timestamp}.".encode() + body
        digests = [
            hmac.new(webhook_signatures.key(secret), content, hashlib.sha256).digest()
            for secret in secrets or self.simulator.secrets
        ]
        return {
            "Content-Type": "application/json",
            "webhook-id": id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(
                f"v1,{base64.b64encode(digest).decode()}" for digest in digests
            ),
        }

    def content(self, **changes: Any) -> bytes:
        usual = {"type": "push.message", "timestamp": "2026-11-18T11:06:40Z", "token": "phone"}
        said = usual | {"summary": {"message-count": 3}} | changes
        return json.dumps({k: v for k, v in said.items() if v is not None}).encode()

    def push(
        self, *secrets: str, body: bytes | None = None, id: str = "msg_1", **changes: Any
    ) -> Response:
        made = self.content(**changes) if body is None else body
        headers = self.headers(made, id, *secrets)
        return result_of(self.wire.ask("POST", f"{URL}/push", data=made, headers=headers))

    def control(self, room: str, order: Any) -> Any:
        body = json.dumps(order).encode()
        return result_of(self.wire.ask("POST", f"{URL}/control/{room}", data=body)).json

    @property
    def last(self) -> Any:
        return self.simulator.requests[-1]


def test_a_notification_is_taken_and_put_on_record() -> None:
    bench = Bench()
    assert bench.push(id="msg_7").status == 204
    assert (bench.last.token, bench.last.kind, bench.last.id) == ("phone", "push.message", "msg_7")
    assert bench.last.message["summary"] == {"message-count": 3}
    assert bench.last.authorized_by == Secret(bench.simulator.secrets[0]).digest
    assert (bench.last.timestamp, bench.last.signatures, bench.last.attempt) == (int(NOW), 1, 1)


def test_secrets_are_exchanged() -> None:
    bench = Bench(secrets=[SECRET])
    assert bench.push(OTHER).status == 401
    assert bench.last.authorized_by == ""
    assert bench.push(OTHER, SECRET).status == 204
    assert bench.last.signed_by == (Secret(SECRET).digest,)
    assert bench.control("secrets", {"secrets": [OTHER, SECRET]}) == {"secrets": [OTHER, SECRET]}
    assert bench.push(OTHER, SECRET).status == 204
    assert len(bench.last.signed_by) == bench.last.signatures == 2
    bench.control("secrets", {"secrets": [OTHER]})
    assert bench.push(SECRET).status == 401
    assert bench.push(OTHER).status == 204
    wrong: list[Any] = [
        {},
        {"secrets": []},
        {"secrets": ["x"]},
        {"secrets": [5]},
        {"secret": OTHER},
    ]
    for order in wrong:
        assert "error" in bench.control("secrets", order)


def test_a_body_sent_again_has_the_same_id_and_no_other_has() -> None:
    bench = Bench()
    bench.push(id="msg_1")
    bench.clock.advance(1000)
    assert bench.push(id="msg_1").status == 204
    assert bench.last.attempt == 2
    assert bench.push(id="msg_1", summary={}).json["error"] == "bad-id"
    assert bench.push(id="msg_2", summary={}).status == 204
    assert bench.last.attempt == 1


@pytest.mark.parametrize(
    ("changes", "status", "fault"),
    [
        ({"token": None}, 400, "bad-content"),
        ({"token": ""}, 400, "bad-content"),
        ({"token": 5}, 400, "bad-content"),
        ({"type": None}, 400, "bad-content"),
        ({"type": "a message"}, 400, "bad-content"),
        ({"timestamp": None}, 400, "bad-content"),
        ({"timestamp": 1_795_000_000}, 400, "bad-content"),
        ({"timestamp": "2026-11-18 11:06:40"}, 400, "bad-content"),
        ({"timestamp": "2026-13-18T11:06:40Z"}, 400, "bad-content"),
        ({"summary": "x" * 20_000}, 413, "too-large"),
        ({"body": b"[]"}, 400, "bad-json"),
        ({"body": b"{"}, 400, "bad-json"),
        ({"body": b""}, 400, "bad-json"),
        ({"body": b"[" * 10_000}, 400, "bad-json"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_makes_no_sense_is_refused(changes: Any, status: int, fault: str) -> None:
    bench = Bench()
    answer = bench.push(**changes)
    assert (answer.status, answer.json["error"], bench.last.error) == (status, fault, fault)


def test_it_is_a_post_of_json_to_one_path() -> None:
    bench = Bench()
    body = bench.content()
    headers = bench.headers(body, "msg_1")
    for method, path, changes, status in (
        ("PUT", "/push", {}, 405),
        ("POST", "/other", {}, 404),
        ("POST", "/push", {"Content-Type": "text/plain"}, 415),
        ("POST", "/push", {"webhook-id": ["msg_1", "msg_1"]}, 400),
    ):
        given = headers | changes
        asked = bench.wire.ask(method, URL + path, data=body, headers=given)
        assert result_of(asked).status == status


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_can_be_scripted(name: str) -> None:
    bench = Bench()
    bench.simulator.script("phone", Answer(error=name))
    answer = bench.push()
    assert (answer.status, answer.json["error"]) == (FAULTS[name].status, name)
    assert ("location" in answer.headers) == (answer.status in (301, 307))
    assert answer.json.get("unregistered", False) == (name == "unregistered")
    assert bench.push().status == 204


@pytest.mark.parametrize(("state", "status"), [("gone", 410), ("unregistered", 404)])
def test_a_token_may_be_no_more(state: str, status: int) -> None:
    bench = Bench()
    bench.control("states", {"token": "phone", "is": state})
    assert bench.push().status == status
    assert bench.push(token="tablet", id="msg_2").status == 204
    bench.control("states", {"token": "phone", "is": ""})
    assert bench.push().status == 204
    assert "error" in bench.control("states", {"token": "phone", "is": "odd"})
