"""FCM HTTP v1: what is sent, and what each answer means."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pushd.net.certificates import DevelopmentCA
from pushd.providers.contract import (
    Accepted,
    BadCredential,
    BadField,
    BadOption,
    Busy,
    Device,
    Link,
    Notification,
    Outcome,
    Refused,
    Request,
    Response,
    Scope,
    Secret,
    Sending,
    Unregistered,
)
from pushd.providers.fcm import FCM, Options, collapse_key, data, read, size
from tests.unit.providers.bench import DAY, NOW, WHEREFORE, account, pem, rsa_key

FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
DEVICE = Device(Secret("device:token-1"))


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> FCM:
    return FCM(Options(account(tmp_path_factory.mktemp("fcm"))))


def sent(provider: FCM, note: Notification, sending: Sending = Sending()) -> Request:  # noqa: B008
    return provider.request(note, DEVICE, NOW, sending)


def message(provider: FCM, note: Notification, sending: Sending = Sending()) -> dict[str, Any]:  # noqa: B008
    content: dict[str, Any] = json.loads(sent(provider, note, sending).body)
    assert content.keys() == {"message"}
    found: dict[str, Any] = content["message"]
    return found


# What is sent.


@pytest.mark.line(136)
def test_a_notification_becomes_a_data_message(provider: FCM) -> None:
    note = replace(WHEREFORE, last_subscription_sender="nurse@example.net", expires_at=NOW + DAY)
    request = sent(provider, note, Sending(credential=Secret("ya29.x")))
    assert request.method == "POST"
    assert request.url == "https://fcm.googleapis.com/v1/projects/chat-7/messages:send"
    assert request.headers == {
        "authorization": "Bearer ya29.x",
        "content-type": "application/json",
    }
    assert json.loads(request.body) == {
        "message": {
            "token": "device:token-1",
            "data": {
                "node": "2100994384",
                "message-count": "3",
                "pending-subscription-count": "0",
                "last-message-sender": "romeo@example.net",
                "last-message-body": "Wherefore?",
                "last-subscription-sender": "nurse@example.net",
            },
            "android": {
                "priority": "HIGH",
                "ttl": "86400s",
                "collapse_key": collapse_key("2100994384"),
            },
        }
    }


def test_an_app_that_expects_something_else_is_told_that_alone(provider: FCM) -> None:
    note = Notification("n", 3, last_message_body=Secret("Wherefore?"))
    device = Device(Secret("device:token-1"), told={"account": "ec16", "channel": "92af"})
    request = provider.request(note, device, NOW, Sending(shrink=True))
    found = json.loads(request.body)["message"]
    assert found["data"] == {"account": "ec16", "channel": "92af"}
    assert found["android"]["priority"] == "HIGH"


@pytest.mark.parametrize(
    ("note", "priority"),
    [
        (Notification("n"), "NORMAL"),
        (Notification("n", message_count=0, pending_subscription_count=0), "NORMAL"),
        (Notification("n", urgent=True), "HIGH"),
        (Notification("n", message_count=1), "HIGH"),
        (Notification("n", pending_subscription_count=1), "HIGH"),
        (Notification("n", last_message_sender="romeo@example.net"), "HIGH"),
        (Notification("n", last_message_body=Secret("hi")), "HIGH"),
        (Notification("n", last_subscription_sender="nurse@example.net"), "HIGH"),
    ],
)
def test_what_is_urgent_or_can_be_shown_wakes_the_device(
    provider: FCM, note: Notification, priority: str
) -> None:
    assert message(provider, note)["android"]["priority"] == priority


@pytest.mark.line(138)
@pytest.mark.parametrize(
    ("expires_at", "ttl"),
    [
        (None, "86400s"),
        (NOW + 10 * DAY, "86400s"),
        (NOW + 90, "90s"),
        (NOW + 0.2, "0s"),
        (NOW - 5, "0s"),
    ],
)
def test_fcm_keeps_it_for_the_lifetime_but_not_beyond_its_end(
    provider: FCM, expires_at: float | None, ttl: str
) -> None:
    note = Notification("n", 1, expires_at=expires_at)
    assert message(provider, note)["android"]["ttl"] == ttl


def test_a_lifetime_beyond_what_fcm_takes_is_cut(tmp_path: Path) -> None:
    provider = FCM(Options(account(tmp_path), lifetime=100 * 86_400))
    assert message(provider, Notification("n"))["android"]["ttl"] == "2419200s"


def test_a_collapse_key_is_one_per_node_and_tells_nothing_of_it() -> None:
    keys = {collapse_key(f"node-{number}") for number in range(100)}
    assert len(keys) == 100
    assert all(len(key) <= 20 and "node" not in key for key in keys)


def long_note(body: int, sender: int = 5) -> Notification:
    return Notification(
        "node-1",
        message_count=2,
        last_message_sender="s" * sender,
        last_subscription_sender="t" * sender,
        last_message_body=Secret("ü" * body),
    )


ALL = {
    "node",
    "message-count",
    "last-message-sender",
    "last-subscription-sender",
    "last-message-body",
}


@pytest.mark.line(142)
@pytest.mark.parametrize(
    ("note", "keys"),
    [
        (long_note(1900), ALL),
        (long_note(2100), ALL - {"last-message-body"}),
        (long_note(2100, sender=2100), {"node", "message-count"}),
        (Notification("n" * 5000, 2), set()),
    ],
)
def test_what_is_too_big_loses_the_body_then_the_senders_then_everything(
    note: Notification, keys: set[str]
) -> None:
    made = data(note)
    assert made.keys() == keys
    assert size(made) <= 4096


def test_the_limit_is_in_bytes_of_keys_and_values() -> None:
    fixed = size(data(Notification("node-1", last_message_body=Secret(""))))
    assert "last-message-body" in data(
        Notification("node-1", last_message_body=Secret("x" * (4096 - fixed)))
    )
    assert "last-message-body" not in data(
        Notification("node-1", last_message_body=Secret("x" * (4097 - fixed)))
    )


def test_a_message_that_fcm_called_too_big_goes_with_the_counts_alone(provider: FCM) -> None:
    shrunk = message(provider, long_note(10), Sending(shrink=True))
    assert shrunk["data"] == {"node": "node-1", "message-count": "2"}


@pytest.mark.parametrize("body", ["\U0001f408", "a\x00b", '"}', "\ud800"])
def test_any_text_survives(provider: FCM, body: str) -> None:
    made = message(provider, Notification("n", last_message_body=Secret(body)))
    assert made["data"]["last-message-body"] == body


def test_a_stand_in_may_take_the_vendors_place(tmp_path: Path) -> None:
    ca = DevelopmentCA(tmp_path / "ca", NOW).path
    provider = FCM(
        Options(
            account(tmp_path, project_id="a/b?c"),
            base_url="https://127.0.0.1:8443/fcm/",
            token_uri="https://127.0.0.1:8443/token",
            ca_file=ca,
        )
    )
    request = sent(provider, Notification("n"))
    assert request.url == "https://127.0.0.1:8443/fcm/v1/projects/a%2Fb%3Fc/messages:send"
    assert request.link == Link(ca)
    asked = provider.credential("").request(NOW)
    assert isinstance(asked, Request)
    assert asked.url == "https://127.0.0.1:8443/token"
    assert asked.link == Link(ca)


def test_the_token_is_asked_for_where_the_file_says(provider: FCM) -> None:
    asked = provider.credential("").request(NOW)
    assert isinstance(asked, Request)
    assert asked.url == "https://oauth2.example.net/token"


# What each answer means.


def error(
    status: int, code: str = "", *details: dict[str, Any], text: str = "", **headers: str
) -> Response:
    """An error as FCM writes it; `code` is the general status."""
    content: dict[str, Any] = {"code": status, "message": text, "status": code}
    if details:
        content["details"] = list(details)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, named, json.dumps({"error": content}).encode())


def fcm_error(code: str) -> dict[str, Any]:
    return {"@type": FCM_ERROR, "errorCode": code}


def bad_request(description: str = "", *fields: str) -> dict[str, Any]:
    named = fields or ("message.data[0].value",)
    violations = [{"field": field, "description": description} for field in named]
    return {"@type": BAD_REQUEST, "fieldViolations": violations}


NO_TOKEN = "The registration token is not a valid FCM registration token"
REFUSED = Refused("")
ALARM = Refused("", alarm=True)
SHRINK = Refused("", shrink=True)
RENEW = Refused("", renew_credential=True)
BUSY = Busy()

ROWS = [
    # 400
    (
        error(400, "INVALID_ARGUMENT", fcm_error("INVALID_ARGUMENT"), text=NO_TOKEN),
        Unregistered(),
    ),
    (
        error(400, "INVALID_ARGUMENT", fcm_error("INVALID_ARGUMENT"), text="Invalid ttl"),
        REFUSED,
    ),
    (
        error(400, "INVALID_ARGUMENT", fcm_error("INVALID_ARGUMENT"), text="Message is too big"),
        SHRINK,
    ),
    (error(400, "INVALID_ARGUMENT", bad_request("Invalid value (TYPE_STRING)")), REFUSED),
    (error(400, "INVALID_ARGUMENT", bad_request("data exceeds 4096 bytes")), SHRINK),
    (error(400, "INVALID_ARGUMENT", bad_request(NO_TOKEN), text=NO_TOKEN), REFUSED),
    (
        error(
            400,
            "INVALID_ARGUMENT",
            fcm_error("INVALID_ARGUMENT"),
            bad_request("Invalid value"),
            text=NO_TOKEN,
        ),
        REFUSED,
    ),
    (error(400, "INVALID_ARGUMENT", text=NO_TOKEN), REFUSED),
    # Where it names fields: it is the token's fault if that is the one, and the only one.
    (
        error(
            400,
            "INVALID_ARGUMENT",
            fcm_error("INVALID_ARGUMENT"),
            bad_request("Invalid registration token", "message.token"),
            text="Request contains an invalid argument.",
        ),
        Unregistered(),
    ),
    (
        error(
            400,
            "INVALID_ARGUMENT",
            bad_request(NO_TOKEN, "message.token"),
            fcm_error("INVALID_ARGUMENT"),
            text=NO_TOKEN,
        ),
        Unregistered(),
    ),
    (
        error(
            400,
            "INVALID_ARGUMENT",
            fcm_error("INVALID_ARGUMENT"),
            bad_request(NO_TOKEN, "message.token", "message.android.ttl"),
        ),
        REFUSED,
    ),
    (error(400, "INVALID_ARGUMENT", bad_request(NO_TOKEN, "message.token")), REFUSED),
    (
        error(
            400,
            "INVALID_ARGUMENT",
            fcm_error("INVALID_ARGUMENT"),
            {"@type": BAD_REQUEST, "fieldViolations": [{"field": ["message.token"]}, {}]},
            text=NO_TOKEN,
        ),
        REFUSED,
    ),
    (error(400, "FAILED_PRECONDITION"), REFUSED),
    # 401
    (error(401, "UNAUTHENTICATED"), RENEW),
    (error(401, "UNAUTHENTICATED", fcm_error("UNSPECIFIED_ERROR")), RENEW),
    (error(401, "UNAUTHENTICATED", fcm_error("THIRD_PARTY_AUTH_ERROR")), ALARM),
    # 403
    (
        error(403, "PERMISSION_DENIED", fcm_error("SENDER_ID_MISMATCH")),
        Unregistered(guarded=True),
    ),
    (error(403, "PERMISSION_DENIED"), ALARM),
    (error(403, "PERMISSION_DENIED", fcm_error("UNSPECIFIED_ERROR")), ALARM),
    # 404
    (error(404, "NOT_FOUND", fcm_error("UNREGISTERED")), Unregistered()),
    (error(404, "NOT_FOUND"), ALARM),
    (error(404, "NOT_FOUND", fcm_error("UNSPECIFIED_ERROR")), ALARM),
    # 429, 500, 503
    (
        error(429, "RESOURCE_EXHAUSTED", fcm_error("QUOTA_EXCEEDED"), retry_after="17"),
        Busy(17, Scope.DEVICE),
    ),
    (
        error(429, "RESOURCE_EXHAUSTED", fcm_error("QUOTA_EXCEEDED")),
        Busy(60, Scope.DEVICE),
    ),
    (error(429, "RESOURCE_EXHAUSTED"), Busy(60, Scope.DEVICE)),
    (error(500, "INTERNAL", fcm_error("INTERNAL")), BUSY),
    (error(503, "UNAVAILABLE", fcm_error("UNAVAILABLE")), BUSY),
    (error(503, "UNAVAILABLE", fcm_error("UNAVAILABLE"), retry_after="9"), Busy(9)),
    (error(503, "", fcm_error("UNSPECIFIED_ERROR")), BUSY),
    # What the documents do not know.
    (error(500, "INTERNAL", fcm_error("NEW_ERROR")), BUSY),
    (error(404, "NOT_FOUND", fcm_error("NEW_ERROR")), ALARM),
    (error(410, "GONE", fcm_error("UNREGISTERED")), REFUSED),
    (error(400, "INVALID_ARGUMENT", fcm_error("UNREGISTERED")), REFUSED),
    (Response(502, body=b"<html>"), BUSY),
    (Response(404, body=b"<html>Error 404"), ALARM),
    (Response(401), RENEW),
    (Response(413), SHRINK),
    (Response(302, {"location": "https://elsewhere.example.net/"}), ALARM),
    (Response(200, body=b'{"name": "projects/chat-7/messages/1"}'), Accepted()),
    (Response(200, body=b"<html>Welcome"), ALARM),
    (Response(200, body=b'{"name": 7}'), ALARM),
    (Response(204), REFUSED),
]


def without_words(outcome: Outcome) -> Outcome:
    """An outcome with its free text left out."""
    match outcome:
        case Accepted():
            return Accepted()
        case Unregistered():
            return Unregistered(outcome.since, outcome.guarded)
        case Busy():
            return Busy(outcome.after, outcome.scope)
        case Refused(_, renew, alarm, shrink, remedy):
            return Refused("", renew, alarm, shrink, remedy)


@pytest.mark.line(140, 143)
@pytest.mark.parametrize(("response", "outcome"), ROWS)
def test_each_answer_has_its_outcome(provider: FCM, response: Response, outcome: Outcome) -> None:
    assert without_words(provider.outcome(response, NOW)) == outcome


def test_a_date_may_say_when_to_come_again(provider: FCM) -> None:
    date = "Wed, 18 Nov 2026 11:06:50 GMT"  # NOW is 11:06:40 of that day
    response = error(503, "UNAVAILABLE", retry_after=date)
    assert without_words(provider.outcome(response, NOW)) == Busy(10)


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"error": "text"},
        {"error": {"details": "text"}},
        {"error": {"details": [7, None, {"@type": 7, "errorCode": []}]}},
        {"error": {"details": [{"@type": FCM_ERROR, "errorCode": {"a": 1}}]}},
        {
            "error": {
                "details": [{"@type": BAD_REQUEST, "fieldViolations": [7, {"description": 7}]}]
            }
        },
        {"error": {"status": 404, "message": ["registration token"]}},
    ],
)
def test_an_error_of_a_strange_shape_deletes_nothing(provider: FCM, content: Any) -> None:
    for status in (400, 401, 403, 404):
        outcome = provider.outcome(Response(status, body=json.dumps(content).encode()), NOW)
        assert isinstance(outcome, Refused)


def test_an_accepted_message_keeps_its_name_for_the_log(provider: FCM) -> None:
    response = Response(200, body=b'{"name": "projects/chat-7/messages/0:1"}')
    assert provider.outcome(response, NOW) == Accepted("projects/chat-7/messages/0:1")


# What a device registers with.


@pytest.mark.parametrize("token", ["c" * 22, "dQw4w9WgXcQ:APA91b" + "x" * 130 + "_-", "a" * 4096])
def test_an_opaque_token_is_taken(provider: FCM, token: str) -> None:
    provider.check({"token": token, "device-name": "Home"})


@pytest.mark.parametrize("token", ["", "two words", "line\n", "naïve", "a" * 4097, "\x7f"])
def test_what_cannot_be_a_token_is_refused_without_repeating_it(provider: FCM, token: str) -> None:
    with pytest.raises(BadField, match=r"^token: ") as raised:
        provider.check({"token": token})
    assert raised.value.field == "token"
    assert not token or token not in str(raised.value)


# What the operator gives.


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"type": "authorized_user"}, "not the file of a service account"),
        ({"project_id": None}, "has no project_id"),
        ({"client_email": 7}, "has no client_email"),
        ({"private_key": ""}, "has no private_key"),
        ({"private_key_id": None}, "has no private_key_id"),
        ({"token_uri": None}, "has no token_uri"),
        ({"token_uri": "http://oauth2.example.net/token"}, "token_uri that is not an https"),
        ({"private_key": "MIIEvQ"}, "not an unencrypted PEM key"),
        ({"private_key": pem(ec.generate_private_key(ec.SECP256R1()))}, "not an RSA key"),
        ({"private_key": pem(rsa_key(1024))}, "fewer than 2048 bits"),
    ],
)
def test_a_service_account_that_is_none_is_refused_by_name(
    tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    path = account(tmp_path, **changes)
    with pytest.raises(BadCredential, match=complaint) as raised:
        FCM(Options(path))
    assert str(path) in str(raised.value)
    assert raised.value.option == "service_account"
    assert "MII" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "No such file"),
        (b"", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "has no project_id"),
    ],
)
def test_a_file_that_is_none_is_refused_by_name(
    tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    path = tmp_path / "account.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadCredential, match=complaint) as raised:
        FCM(Options(path))
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("base_url", "fcm.googleapis.com"),
        ("base_url", "http://fcm.example.net"),
        ("base_url", "https://"),
        ("base_url", "https://[::1"),
        ("base_url", "https://example.net:port"),
        ("token_uri", "ftp://example.net"),
        ("ca_file", Path("/nowhere/ca.pem")),
    ],
)
def test_an_option_that_is_of_no_use_is_named(tmp_path: Path, option: str, value: Any) -> None:
    with pytest.raises(BadOption, match=option) as raised:
        FCM(Options(account(tmp_path), **{option: value}))
    assert raised.value.option == option


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:1"])
def test_a_stand_in_on_this_machine_may_do_without_tls(tmp_path: Path, url: str) -> None:
    provider = FCM(Options(account(tmp_path), base_url=url))
    assert sent(provider, Notification("n")).url == f"{url}/v1/projects/chat-7/messages:send"


@pytest.mark.parametrize(
    ("details", "is_good"),
    [
        ([fcm_error("INVALID_ARGUMENT")], True),
        ([fcm_error("INVALID_ARGUMENT"), bad_request(NO_TOKEN, "message.token")], True),
        ([bad_request(NO_TOKEN, "message.token")], True),
        ([bad_request(NO_TOKEN, "message")], False),
    ],
)
def test_a_probe_is_well_whichever_way_its_token_is_called_none(
    provider: FCM, details: list[dict[str, Any]], is_good: bool
) -> None:
    answer = error(400, "INVALID_ARGUMENT", *details, text=NO_TOKEN)
    assert provider.probed(answer, NOW).is_good is is_good


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ("SERVICE_DISABLED", "the FCM API is not enabled in the project"),
        ("IAM_PERMISSION_DENIED", "the account lacks cloudmessaging.messages.create"),
        ("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "the access token is for other things"),
        ("BILLING_DISABLED", "the FCM API is disabled in the project, or"),
        (["SERVICE_DISABLED"], "the FCM API is disabled in the project, or"),
        (None, "the FCM API is disabled in the project, or"),
    ],
    ids=["disabled", "no permission", "scopes", "another", "nonsense", "nothing"],
)
def test_why_an_account_may_not_send_is_told_as_far_as_google_says(info: Any, words: str) -> None:
    """By google.rpc.ErrorInfo."""
    details = [] if info is None else [{"@type": ERROR_INFO, "reason": info}]
    outcome = read(error(403, "PERMISSION_DENIED", *details), NOW)
    assert isinstance(outcome, Refused)
    assert outcome.alarm
    assert words in outcome.reason
