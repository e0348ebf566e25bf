"""Webhook: what is posted, how it is signed, and what each answer means."""

import json
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pushd.config.load import read as read_config
from pushd.config.problems import ConfigErrors
from pushd.config.sections import Config
from pushd.providers.contract import (
    Accepted,
    BadField,
    BadOption,
    Busy,
    Call,
    Device,
    Encrypted,
    Notification,
    Outcome,
    Proxy,
    Refused,
    Request,
    Response,
    Scope,
    Secret,
    Sending,
    Unregistered,
)
from pushd.providers.webhook import BODY_LIMIT, Options, Webhook, key, message_id, read, signature
from tests.unit.providers.bench import DAY, NOW, WHEREFORE

# Standard Webhooks, the example of the specification.
VECTOR = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
OTHER = Secret(f"whsec_{b64encode(b'x' * 32).decode()}")
URL = "https://hooks.example.net/push"
DEVICE = Device(Secret("token-1"), "messenger")
ID = "6c3f7a0e-0000-4000-8000-00000000000a"


def webhook(**options: Any) -> Webhook:
    return Webhook(Options(**{"url": URL, "secret": VECTOR, **options}))


def sent(
    note: Notification,
    device: Device = DEVICE,
    sending: Sending = Sending(ID),  # noqa: B008  frozen
    now: float = NOW,
    **options: Any,
) -> Request:
    return webhook(**options).request(note, device, now, sending)


def content(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.body)
    return found


def test_the_example_of_the_specification_is_signed_as_it_says() -> None:
    made = signature(
        key(VECTOR), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_is_read_with_its_prefix_and_without() -> None:
    assert key(Secret(VECTOR.reveal().removeprefix("whsec_"))) == key(VECTOR)


def test_a_notification_is_a_json_object() -> None:
    request = sent(WHEREFORE)
    assert (request.method, request.url) == ("POST", URL)
    assert content(request) == {
        "type": "push.message",
        "timestamp": "2026-11-18T11:06:40Z",
        "token": "token-1",
        "node": "2100994384",
        "app": "messenger",
        "summary": {
            "message-count": 3,
            "pending-subscription-count": 0,
            "last-message-sender": "romeo@example.net",
            "last-message-body": "Wherefore?",
        },
        "urgent": False,
        "expires-at": "2026-11-19T11:06:40Z",
    }


@pytest.mark.parametrize(
    ("told", "type"),
    [
        ({"message_count": 1}, "push.message"),
        ({"message_count": 1, "urgent": True}, "push.message"),
        ({"message_count": 1, "urgent": True, "call": Call()}, "push.call"),
        ({"pending_subscription_count": 1}, "push.contact"),
        ({"message_count": 0}, "push.update"),
        ({}, "push.update"),
    ],
)
def test_the_type_says_what_it_is_about(told: dict[str, Any], type: str) -> None:
    assert content(sent(Notification("n", **told)))["type"] == type


def test_the_headers_are_those_of_standard_webhooks() -> None:
    request = sent(Notification("n", 1), now=NOW + 0.9)
    name = "msg_6c3f7a0e00004000800000000000000a"
    assert request.headers == {
        "content-type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": "1795000000",
        "webhook-signature": signature(key(VECTOR), name, 1795000000, request.body),
    }


def test_another_attempt_has_the_same_id_and_body_and_a_time_and_signature_of_its_own() -> None:
    sending = Sending(ID, since=NOW)
    first = sent(Notification("n", 1), sending=sending)
    later = sent(Notification("n", 1), sending=sending, now=NOW + 600)
    assert first.headers["webhook-id"] == later.headers["webhook-id"]
    assert first.body == later.body
    assert later.headers["webhook-timestamp"] == "1795000600"
    assert first.headers["webhook-signature"] != later.headers["webhook-signature"]


def test_each_secret_makes_a_signature() -> None:
    request = sent(Notification("n", 1), secret=(OTHER, VECTOR))
    assert request.headers["webhook-signature"].split(" ") == [
        signature(key(one), message_id(ID), int(NOW), request.body) for one in (OTHER, VECTOR)
    ]


def test_what_else_a_device_registered_with_is_repeated() -> None:
    fields = {"application-id": "org.example", "silent-push": "1"}
    told = content(sent(Notification("n", 1), Device(Secret("t"), "a", fields)))
    assert (told["application-id"], told["silent"]) == ("org.example", True)


def test_a_call_and_what_is_encrypted_stand_in_the_summary() -> None:
    note = Notification(
        "n",
        1,
        urgent=True,
        encrypted=Encrypted(Secret("data"), "iv", "voip"),
        call=Call("sid", ("audio", "video"), "romeo@example.net/orchard"),
    )
    told = content(sent(note))
    assert told["urgent"] is True
    assert told["summary"] == {
        "message-count": 1,
        "call-sid": "sid",
        "call-media": "audio,video",
        "call-sender": "romeo@example.net/orchard",
        "encrypted": "data",
        "iv": "iv",
        "encrypted-type": "voip",
    }


@pytest.mark.parametrize(
    ("expires_at", "shown"),
    [
        (NOW + 60, "2026-11-18T11:07:40Z"),
        (NOW + 7 * DAY, "2026-11-19T11:06:40Z"),
        (NOW - 60, "2026-11-18T11:06:40Z"),
    ],
)
def test_it_expires_when_the_notification_does_within_the_lifetime(
    expires_at: float, shown: str
) -> None:
    assert content(sent(Notification("n", 1, expires_at=expires_at)))["expires-at"] == shown


def test_what_is_too_long_loses_the_body_then_the_senders_then_the_counts() -> None:
    long = "x" * BODY_LIMIT
    note = Notification("n", 3, last_message_sender="romeo", last_message_body=Secret(long))
    assert content(sent(note))["summary"] == {"message-count": 3, "last-message-sender": "romeo"}
    note = Notification("n", 3, last_message_sender=long, last_message_body=Secret("hi"))
    assert content(sent(note))["summary"] == {"message-count": 3}
    note = Notification("n", 10**3000, pending_subscription_count=10**4000)
    assert content(sent(note))["summary"]
    note = Notification("n", 10**4000, 10**4000 * 10, last_message_body=Secret("x" * 12_000))
    assert "last-message-body" not in content(sent(note))["summary"]


def test_what_was_too_big_goes_as_another_content() -> None:
    full, short = (
        sent(Notification("n", 1, last_message_sender="romeo"), sending=Sending(ID, shrink=shrink))
        for shrink in (False, True)
    )
    assert full.headers["webhook-id"] != short.headers["webhook-id"]
    assert content(short)["summary"] == {"message-count": 1}


@pytest.mark.parametrize(
    ("url", "base_url", "posted"),
    [
        (URL, None, URL),
        ("https://a.example/x/?k=v", None, "https://a.example/x/?k=v"),
        ("https://a.example/x/?k=v", "https://127.0.0.1:1", "https://127.0.0.1:1/x/?k=v"),
        ("http://127.0.0.1:8080/x", None, "http://127.0.0.1:8080/x"),
    ],
)
def test_it_goes_to_the_operators_address(url: str, base_url: str | None, posted: str) -> None:
    assert sent(Notification("n"), url=url, base_url=base_url).url == posted


def test_what_stays_on_this_machine_goes_through_no_proxy() -> None:
    proxy = Proxy("proxy.example.net", 3128)
    for url, way in ((URL, proxy), ("http://127.0.0.1:8080/push", None), ("http://[::1]/x", None)):
        assert sent(Notification("n"), url=url, proxy=proxy).link.proxy == way


# Who registers.


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "token"),
        ({"token": ""}, "token"),
        ({"token": "a\nb"}, "token"),
        ({"token": "x" * 1025}, "token"),
        ({"token": "x", "application-id": "x" * 256}, "application-id"),
        ({"token": "x", "application-id": "\x00"}, "application-id"),
        ({"token": "x", "silent-push": "perhaps"}, "silent-push"),
    ],
)
def test_what_cannot_be_right_is_refused_by_name(fields: Mapping[str, str], name: str) -> None:
    with pytest.raises(BadField, match=name) as raised:
        webhook().check(fields)
    assert raised.value.field == name


def test_a_token_is_any_text() -> None:
    webhook().check({"token": "Julia's phone/4: \U0001f4f1", "silent-push": "true"})


# Options.

HEAD = "domains: [localhost]\ndata: .\nlisten: {client: [], client_tls: []}\n"
HOSTS = "type: webhook, register_host: localhost, pubsub_host: push.localhost"


def configured(text: str, folder: Path) -> Config:
    whole = f"{HEAD}app_server: {{backends: [{{{HOSTS}, {text}}}]}}"
    return read_config(whole, folder / "pushd.yml", {"webhook": Options}, now=NOW)


def secret_of(text: str, folder: Path) -> tuple[Secret, ...]:
    (backend,) = configured(text, folder).app_server.backends
    secrets: tuple[Secret, ...] = backend.options.secrets
    return secrets


def test_a_secret_is_given_alone_or_in_a_list_or_in_files(tmp_path: Path) -> None:
    (tmp_path / "new").write_text(f"{OTHER.reveal()}\n")
    url, old = f"url: '{URL}?a=b'", VECTOR.reveal()
    assert secret_of(f"{url}, secret: {old}", tmp_path) == (VECTOR,)
    assert secret_of(f"{url}, secret: {{file: new}}", tmp_path) == (OTHER,)
    assert secret_of(f"{url}, secret: [{{file: new}}, {old}]", tmp_path) == (OTHER, VECTOR)


@pytest.mark.parametrize(
    ("text", "key_name", "found"),
    [
        (f"url: '{URL}'", "secret", "nothing"),
        (f"url: '{URL}', secret: whsec_a*b", "secret", "a text that is no base64"),
        # Which would be one, without what does not belong there.
        (f"url: '{URL}', secret: '{VECTOR.reveal()} *'", "secret", "a text that is no base64"),
        (f"url: '{URL}', secret: whsec_c2hvcnQ=", "secret", "a secret of 5 bytes"),
        (f"url: '{URL}', secret: [c2hvcnQ=]", "secret[0]", "a secret of 5 bytes"),
        (f"url: '{URL}', secret: []", "secret", "options that do not fit together"),
        (f"secret: {VECTOR.reveal()}", "url", "nothing"),
        (f"url: 'http://a.example/x?key=1', secret: {VECTOR.reveal()}", "url", "something else"),
        (f"url: 'https://a@b.example/', secret: {VECTOR.reveal()}", "url", "something else"),
        (f"url: 'https://b.example/#a', secret: {VECTOR.reveal()}", "url", "something else"),
    ],
)
def test_options_of_no_use_are_named_and_not_repeated(
    text: str, key_name: str, found: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigErrors) as raised:
        configured(text, tmp_path)
    (problem,) = raised.value.problems
    assert problem.key == f"app_server.backends[0].{key_name}"
    assert problem.found == found
    assert "c2hvcnQ" not in str(problem)


@pytest.mark.parametrize("secret", [(), Secret("a*b"), (VECTOR, Secret("c2hvcnQ="))])
def test_a_secret_that_signs_nothing_is_a_bad_option(secret: Any) -> None:
    with pytest.raises(BadOption) as raised:
        Options(URL, secret)
    assert raised.value.option == "secret"


def test_the_address_may_be_a_secret_and_is_in_no_repr() -> None:
    assert "hooks.example.net" not in repr(Options(URL, VECTOR))


# Answers.

GONE = b'{"unregistered": true}'


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, b"", Accepted()),
        (201, b"{}", Accepted()),
        (202, b"anything", Accepted()),
        (204, b"", Accepted()),
        (299, b"", Accepted()),
        (200, b'{"unregistered": "true"}', Accepted()),
        (200, b'{"unregistered": 1}', Accepted()),
        (200, b'[{"unregistered": true}]', Accepted()),
        (200, GONE, Unregistered(reason="HTTP 200: the receiver calls it unregistered")),
        (400, GONE, Unregistered(reason="HTTP 400: the receiver calls it unregistered")),
        (404, GONE, Unregistered(reason="HTTP 404: the receiver calls it unregistered")),
        (410, GONE, Unregistered(reason="HTTP 410: the receiver calls it unregistered")),
        (422, GONE, Unregistered(reason="HTTP 422: the receiver calls it unregistered")),
        (410, b"", Unregistered(guarded=True, reason="HTTP 410")),
        (400, b"", Refused("HTTP 400")),
        (422, b"", Refused("HTTP 422")),
        (413, b"", Refused("HTTP 413", shrink=True)),
        (413, GONE, Refused("HTTP 413", shrink=True)),
        (418, GONE, Refused("HTTP 418")),
        (408, b"", Busy(None, Scope.DEVICE, "HTTP 408")),
        (429, GONE, Busy(None, Scope.BACKEND, "HTTP 429")),
        (500, GONE, Busy(None, Scope.BACKEND, "HTTP 500")),
        (503, b"", Busy(None, Scope.BACKEND, "HTTP 503")),
    ],
)
def test_each_answer_has_its_outcome(status: int, body: bytes, outcome: Outcome) -> None:
    assert read(Response(status, body=body), NOW) == outcome


@pytest.mark.mistake(16)
@pytest.mark.parametrize("status", [401, 403])
def test_a_signature_that_is_not_taken_is_an_alarm_and_removes_nothing(status: int) -> None:
    outcome = read(Response(status, body=GONE), NOW)
    assert isinstance(outcome, Refused)
    assert (outcome.alarm, outcome.guarded) == (True, False)


@pytest.mark.parametrize("status", [404, 405])
def test_a_wrong_address_is_an_alarm_unless_others_are_served(status: int) -> None:
    outcome = read(Response(status), NOW)
    assert isinstance(outcome, Refused)
    assert (outcome.alarm, outcome.guarded) == (True, True)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_an_alarm(status: int) -> None:
    outcome = read(Response(status, {"location": "https://elsewhere.example/"}), NOW)
    assert isinstance(outcome, Refused)
    assert outcome.alarm


@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_that_says_when_is_believed(status: int) -> None:
    outcome = read(Response(status, {"retry-after": "77"}), NOW)
    assert isinstance(outcome, Busy)
    assert outcome.after == 77


# What an operator asks without waking anybody.


def test_a_probe_is_signed_like_a_notification_and_is_for_no_device() -> None:
    request = webhook().probe(NOW, Sending(ID))
    name = message_id(ID)
    assert request.headers["webhook-id"] == name
    assert request.headers["webhook-signature"] == signature(
        key(VECTOR), name, int(NOW), request.body
    )
    assert content(request) == {
        "type": "push.probe",
        "timestamp": "2026-11-18T11:06:40Z",
        "token": "probe",
    }


@pytest.mark.parametrize(
    ("status", "body", "is_good", "remedy"),
    [
        (204, b"", True, ""),
        (404, b'{"unregistered": true}', True, ""),
        (410, b'{"unregistered": true}', True, ""),
        (400, b"", False, "push.probe"),
        (422, b"", False, "push.probe"),
        (401, b"", False, "the secret"),
        (403, b"", False, "the secret"),
        (404, b"", False, "is url"),
        (405, b"", False, "is url"),
        (410, b"", False, "is url"),
        (500, b"", False, "busy"),
    ],
)
def test_what_an_answer_to_a_probe_means(
    status: int, body: bytes, is_good: bool, remedy: str
) -> None:
    finding = webhook().probed(Response(status, {}, body), NOW)
    assert finding.is_good == is_good
    assert remedy in finding.remedy
