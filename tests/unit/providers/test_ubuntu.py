"""Ubuntu Push: what is sent, and what each answer means."""

import json
from pathlib import Path
from typing import Any

import pytest

from pushd.providers.contract import (
    Accepted,
    BadField,
    BadOption,
    Busy,
    Device,
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
from pushd.providers.ubuntu import Options, Ubuntu, read, replace_tag
from tests.unit.providers.bench import DAY, NOW, WHEREFORE, too_long

DEVICE = Device(Secret("dG9rZW4="), fields={"application-id": "chat.example_chat"})
PROVIDER = Ubuntu(Options())


def sent(note: Notification, sending: Sending = Sending()) -> Request:  # noqa: B008  frozen
    return PROVIDER.request(note, DEVICE, NOW, sending)


def content(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.body)
    return found


@pytest.mark.line(136, 138)
def test_a_notification_is_a_message_for_the_app_and_a_card_for_its_user() -> None:
    request = sent(WHEREFORE)
    assert request.url == "https://push.ubports.com/notify"
    assert request.headers == {"content-type": "application/json"}
    tag = replace_tag("2100994384")
    assert content(request) == {
        "appid": "chat.example_chat",
        "token": "dG9rZW4=",
        "expire_on": "2026-11-19T11:06:40.000Z",  # a day later
        "clear_pending": False,
        "replace_tag": tag,
        "data": {
            "message": {
                "node": "2100994384",
                "message-count": 3,
                "pending-subscription-count": 0,
                "last-message-sender": "romeo@example.net",
                "last-message-body": "Wherefore?",
            },
            "notification": {
                "tag": tag,
                "card": {
                    "summary": "New message",
                    "popup": True,
                    "persist": True,
                    "actions": ["appid://chat.example/chat/current-user-version"],
                },
                "sound": True,
                "vibrate": True,
                "emblem-counter": {"count": 3, "visible": True},
            },
        },
    }


@pytest.mark.parametrize(
    ("note", "text"),
    [
        (Notification("n"), None),
        (Notification("n", 0, 0), None),
        (Notification("n", urgent=True), "Incoming call"),
        (Notification("n", 1), "New message"),
        (Notification("n", 0, 1), "New contact request"),
    ],
)
def test_what_there_is_to_show_has_a_card(note: Notification, text: str | None) -> None:
    data = content(sent(note))["data"]
    assert data.get("notification", {}).get("card", {}).get("summary") == text


@pytest.mark.parametrize("app", ["chat", "_chat", "chat_", "chat.example/x_chat", "a_b?c", "ä_b"])
def test_of_an_app_that_cannot_be_nothing_is_opened(app: str) -> None:
    to = Device(Secret("t"), fields={"application-id": app})
    request = PROVIDER.request(Notification("n", 1), to, NOW, Sending())
    assert "actions" not in content(request)["data"]["notification"]["card"]


@pytest.mark.parametrize(
    ("expires_at", "end"),
    [
        (None, "2026-11-19T11:06:40.000Z"),
        (NOW + 90.5, "2026-11-18T11:08:10.500Z"),
        (NOW + 9 * DAY, "2026-11-19T11:06:40.000Z"),
        (NOW - 5, "2026-11-18T11:06:41.000Z"),
    ],
)
def test_it_is_kept_for_a_day_but_not_beyond_its_end(expires_at: float | None, end: str) -> None:
    assert content(sent(Notification("n", 1, expires_at=expires_at)))["expire_on"] == end


@pytest.mark.line(142)
@too_long
def test_what_is_too_long_loses_the_body_then_the_sender(
    note: Notification, kept: set[str]
) -> None:
    data = content(sent(note))["data"]
    assert data["message"].keys() - {"node"} == kept


def test_a_tag_is_one_per_registration() -> None:
    tags = {replace_tag(str(number)) for number in range(50)}
    assert len(tags) == 50
    assert not any("2100994384" in tag for tag in (*tags, replace_tag("2100994384")))


def test_the_whole_is_within_its_limit_though_a_token_is_twice_as_long_as_it_looks() -> None:
    to = Device(Secret("\\" * 1024), fields={"application-id": "a_b"})
    note = Notification("n", 3, last_message_body=Secret("x" * 1700))
    request = PROVIDER.request(note, to, NOW, Sending())
    assert len(request.body) <= 4096
    assert content(request)["data"]["message"] == {"node": "n", "message-count": 3}


def test_what_waits_too_long_makes_room_when_it_is_asked_for() -> None:
    assert content(sent(Notification("n", 1), Sending(remedies=frozenset({"clear_pending"}))))[
        "clear_pending"
    ]


def answer(status: int, error: str, message: str = "") -> Response:
    return Response(status, body=json.dumps({"error": error, "message": message}).encode())


TABLE = [
    (200, "", Refused("HTTP 200 without an ok: not the address of Ubuntu Push?", alarm=True)),
    (400, "invalid-request", Refused("400 invalid-request")),
    (400, "unknown-token", Unregistered(reason="400 unknown-token")),
    (400, "unknown-channel", Refused("400 unknown-channel")),
    (400, "io-error", Busy(None, Scope.BACKEND, "400 io-error")),
    (401, "unauthorized", Unregistered(guarded=True, reason="401 unauthorized")),
    (405, "invalid-request", Refused("405 invalid-request")),
    (411, "invalid-request", Refused("411 invalid-request")),
    (413, "too-many-pending", Refused("413 too-many-pending", remedy="clear_pending")),
    (413, "invalid-request", Refused("413 invalid-request", shrink=True)),
    (415, "invalid-request", Refused("415 invalid-request")),
    (429, "", Busy(None, Scope.DEVICE, "HTTP 429")),
    (500, "internal", Busy(None, Scope.BACKEND, "500 internal")),
    (503, "unavailable", Busy(None, Scope.BACKEND, "503 unavailable")),
    (401, "", Refused("401")),
    (404, "unknown-token", Refused("404 unknown-token")),
    (410, "", Refused("410")),
]


@pytest.mark.line(140, 143)
@pytest.mark.parametrize(
    ("status", "error", "outcome"), TABLE, ids=[f"{row[0]} {row[1]}" for row in TABLE]
)
def test_each_answer_has_its_outcome(status: int, error: str, outcome: Outcome) -> None:
    assert read(answer(status, error), NOW) == outcome


def test_what_is_accepted_says_so() -> None:
    assert read(Response(200, body=b'{"ok": true}'), NOW) == Accepted()


def test_data_that_is_too_large_goes_again_with_the_counts_alone() -> None:
    outcome = read(answer(400, "invalid-request", "Data too large"), NOW)
    assert outcome == Refused("400 invalid-request", shrink=True)


@pytest.mark.line(100)
@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"token": "x"}, "application-id"),
        ({"token": "x", "application-id": ""}, "application-id"),
        ({"token": "x", "application-id": "a b"}, "application-id"),
        ({"token": "x", "application-id": "a" * 256}, "application-id"),
        ({"application-id": "a_b"}, "token"),
        ({"token": "x\n", "application-id": "a_b"}, "token"),
        ({"token": "x" * 1025, "application-id": "a_b"}, "token"),
    ],
)
def test_what_a_device_must_say_is_named(fields: dict[str, str], name: str) -> None:
    with pytest.raises(BadField) as raised:
        PROVIDER.check(fields)
    assert raised.value.field == name


def test_an_option_that_is_of_no_use_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="ca_file"):
        Ubuntu(Options(ca_file=tmp_path / "nowhere.pem"))
