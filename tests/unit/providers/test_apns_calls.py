"""APNs: calls, which go to a second token where a device has one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pushd.providers.apns import APNs
from pushd.providers.contract import BadField, Call, Device, Notification, Request, Secret, Sending
from tests.unit.providers.apple import certificate
from tests.unit.providers.bench import NOW
from tests.unit.providers.test_apns import HEX, README, options

CALLED, CALLED_BASE64 = "cd" * 32, "zc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc0="
CALL = Notification(
    "node-1",
    1,
    last_message_sender="romeo@example.net",
    urgent=True,
    expires_at=NOW + 86_400,
    call=Call("sid-1", ("audio", "video")),
)
PHONE = Device(Secret(HEX), fields={"voip-token": CALLED})


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> APNs:
    return APNs(options(tmp_path_factory.mktemp("apns")))


def sent(provider: APNs, note: Notification = CALL, to: Device = PHONE, **sending: Any) -> Request:
    return provider.request(note, to, NOW, Sending("", Secret("e30.e30.x"), **sending))


def is_call(request: Request) -> bool:
    assert (request.field == "voip-token") == (request.headers["apns-push-type"] == "voip")
    return bool(request.field)


@pytest.mark.mistake(14)
def test_a_call_goes_to_the_token_for_calls(provider: APNs) -> None:
    request = sent(provider)
    assert request.field == "voip-token"
    assert request.url == f"https://api.push.apple.com/3/device/{CALLED}"
    headers = {
        name: request.headers[name] for name in request.headers if name != "apns-collapse-id"
    }
    assert headers == {
        "apns-topic": "com.example.app.voip",
        "apns-push-type": "voip",
        "apns-priority": "10",
        "apns-expiration": str(int(NOW) + 30),
        "authorization": "bearer e30.e30.x",
    }
    assert json.loads(request.body) == {
        "aps": {},
        "node": "node-1",
        "message-count": 1,
        "last-message-sender": "romeo@example.net",
        "call-sid": "sid-1",
        "call-media": "audio,video",
    }


def test_what_is_no_call_goes_to_the_usual_token(provider: APNs) -> None:
    for note in (replace(CALL, call=None), Notification("node-1")):
        request = sent(provider, note)
        assert not is_call(request)
        assert request.url.endswith(HEX)


def test_a_phone_without_a_token_for_calls_gets_an_alert(provider: APNs) -> None:
    for fields in ({}, {"voip-token": ""}):
        request = sent(provider, to=Device(Secret(HEX), fields=fields))
        assert not is_call(request)
        assert request.headers["apns-push-type"] == "alert"


def test_a_call_whose_token_came_to_nothing_is_an_alert(provider: APNs) -> None:
    request = sent(provider, without=frozenset({"voip-token"}))
    assert not is_call(request)
    assert request.url.endswith(HEX)
    assert request.headers["apns-topic"] == "com.example.app"
    assert int(request.headers["apns-expiration"]) == int(NOW) + 86_400
    assert json.loads(request.body)["aps"]["alert"] == {"loc-key": "Incoming call"}


def test_a_silent_phone_rings_all_the_same(provider: APNs) -> None:
    fields = {"voip-token": CALLED, "silent-push": "1"}
    assert is_call(sent(provider, to=Device(Secret(HEX), fields=fields)))


def test_a_call_is_sent_where_its_device_is(provider: APNs) -> None:
    fields = {"voip-token": CALLED, "environment": "sandbox"}
    request = sent(provider, to=Device(Secret(HEX), fields=fields))
    assert request.url == f"https://api.sandbox.push.apple.com/3/device/{CALLED}"
    assert (
        request.link == sent(provider, Notification("n"), Device(Secret(HEX), fields=fields)).link
    )


def test_a_call_may_be_longer_than_an_alert(provider: APNs) -> None:
    note = replace(CALL, last_message_body=Secret("x" * 4900))
    assert 4096 < len(sent(provider, note).body) <= 5120
    assert len(sent(provider, note, without=frozenset({"voip-token"})).body) <= 4096
    note = replace(CALL, last_message_body=Secret("x" * 5120))
    assert "last-message-body" not in json.loads(sent(provider, note).body)
    assert "last-message-sender" not in json.loads(sent(provider, shrink=True).body)


@pytest.mark.mistake(12)
@pytest.mark.parametrize(
    ("lifetime", "expires_at", "expiration"),
    [(60.0, NOW + 100, NOW + 60), (60.0, NOW + 5, NOW + 5), (0.0, NOW + 100, 0)],
)
def test_a_call_has_a_lifetime_of_its_own(
    lifetime: float, expires_at: float, expiration: float, tmp_path: Path
) -> None:
    provider = APNs(options(tmp_path, call_lifetime=lifetime))
    request = sent(provider, replace(CALL, expires_at=expires_at))
    assert int(request.headers["apns-expiration"]) == int(expiration)


@pytest.mark.parametrize(
    ("topics", "rings"),
    [
        (("com.example.app", "com.example.app.voip"), True),
        (("com.example.app", "com.example.app.complication"), False),
        (("com.example.app",), False),
        ((), False),  # one from before Apple put lists into them
    ],
)
def test_a_certificate_says_whether_it_is_for_calls(
    topics: tuple[str, ...], rings: bool, tmp_path: Path
) -> None:
    file = certificate(tmp_path, *topics)
    provider = APNs(options(tmp_path, key_file=None, team_id=None, topic=None, certfile=file))
    assert is_call(sent(provider)) is rings
    said = [one.text for one in provider.examined(NOW) if "voip" in one.text]
    assert bool(said) is not rings


# What a device says.


@pytest.mark.parametrize("text", [CALLED, CALLED.upper(), CALLED_BASE64])
def test_a_token_for_calls_is_kept_in_one_form(text: str, provider: APNs) -> None:
    fields = {"token": README, "voip-token": text}
    provider.check(fields)
    assert provider.stored(fields) == {"token": HEX, "voip-token": CALLED}


@pytest.mark.parametrize("text", ["abcd", "no base64!", "x" * 2000])
def test_what_is_no_token_for_calls_is_refused_by_name(text: str, provider: APNs) -> None:
    with pytest.raises(BadField) as raised:
        provider.check({"token": README, "voip-token": text})
    assert raised.value.field == "voip-token"


def test_an_empty_token_for_calls_is_none(provider: APNs) -> None:
    provider.check({"token": README, "voip-token": ""})
