"""WNS: what is sent and where to, and what each answer means."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

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
    Token,
    Unregistered,
)
from pushd.providers.wns import WNS, Options, channel, read
from tests.unit.providers.bench import DAY, NOW, WHEREFORE, too_long

CHANNEL = "https://db3.notify.windows.com/?token=AgYAAADCM0ruyKKQnGeNzq%2fs8w%2b%3d"
SID = "ms-app://s-1-15-2-1-2-3"
SECRET = Secret("the client secret")
PROVIDER = WNS(Options(SECRET, SID))


def device(token: str = CHANNEL, **fields: str) -> Device:
    return Device(Secret(token), fields={k.replace("_", "-"): v for k, v in fields.items()})


def sent(
    note: Notification,
    to: Device | None = None,
    sending: Sending = Sending(credential=Secret("EgAc")),  # noqa: B008  frozen
) -> Request:
    return PROVIDER.request(note, to or device(), NOW, sending)


@pytest.mark.line(136, 138)
def test_a_notification_goes_to_its_channel_raw() -> None:
    request = sent(WHEREFORE)
    assert (request.method, request.url) == ("POST", CHANNEL)  # its escapes byte for byte
    assert request.headers == {
        "authorization": "Bearer EgAc",
        "content-type": "application/octet-stream",
        "x-wns-type": "wns/raw",
        "x-wns-cache-policy": "cache",
        "x-wns-priority": "1",
        "x-wns-ttl": "86400",
    }
    assert json.loads(request.body) == {
        "node": "2100994384",
        "message-count": 3,
        "pending-subscription-count": 0,
        "last-message-sender": "romeo@example.net",
        "last-message-body": "Wherefore?",
    }


@pytest.mark.parametrize(
    ("silent", "note", "kind", "text"),
    [
        (None, Notification("n", 1), "wns/raw", None),
        ("true", Notification("n", 1), "wns/raw", None),
        ("1", Notification("n", urgent=True), "wns/raw", None),
        ("false", Notification("n", 1), "wns/toast", "New message"),
        ("0", Notification("n", 0, 1), "wns/toast", "New contact request"),
        ("false", Notification("n", urgent=True), "wns/toast", "Incoming call"),
        ("false", Notification("n"), "wns/raw", None),
    ],
)
def test_who_is_not_to_be_pushed_silently_gets_toasts(
    silent: str | None, note: Notification, kind: str, text: str | None
) -> None:
    request = sent(note, device(**({} if silent is None else {"silent_push": silent})))
    assert request.headers["x-wns-type"] == kind
    # Of toasts one is kept anyway, and the header is not for them.
    assert ("x-wns-cache-policy" in request.headers) is (kind == "wns/raw")
    if text is not None:
        assert request.headers["content-type"] == "text/xml"
        assert request.body.decode() == (
            '<toast><visual><binding template="ToastGeneric">'
            f"<text>{text}</text></binding></visual></toast>"
        )


def test_a_text_of_the_operators_is_escaped() -> None:
    provider = WNS(Options(SECRET, SID, alert="<&>"))
    to = device(silent_push="false")
    body = provider.request(Notification("n", 1), to, NOW, Sending()).body
    assert b"<text>&lt;&amp;&gt;</text>" in body


@pytest.mark.parametrize(
    ("expires_at", "ttl"), [(None, "86400"), (NOW + 90, "90"), (NOW + 9 * DAY, "86400"), (1, "1")]
)
def test_it_is_kept_for_a_day_but_not_beyond_its_end(expires_at: float | None, ttl: str) -> None:
    assert sent(Notification("n", 1, expires_at=expires_at)).headers["x-wns-ttl"] == ttl


@pytest.mark.line(142)
@too_long
def test_what_is_too_long_loses_the_body_then_the_sender(
    note: Notification, kept: set[str]
) -> None:
    request = sent(note)
    assert len(request.body) <= 5000
    assert json.loads(request.body).keys() - {"node"} == kept


# Channels.


@pytest.mark.line(145)
@pytest.mark.parametrize(
    "token",
    [
        CHANNEL,
        CHANNEL.replace("db3.", ""),
        CHANNEL.replace("db3", "EU-West.Wns2"),
        CHANNEL.replace(".com/", ".com:443/"),
        quote(CHANNEL, safe=""),
    ],
)
def test_a_channel_at_microsofts_is_taken(token: str) -> None:
    PROVIDER.check({"token": token})
    kept = PROVIDER.stored({"token": token})["token"]
    assert kept == channel(token)
    assert sent(Notification("n", 1), device(kept)).url == kept
    if "%3A%2F%2F" in token:
        assert kept == CHANNEL  # escaped once, by the client


@pytest.mark.line(145)
@pytest.mark.parametrize(
    "token",
    [
        "https://notify.windows.com.evil.example/?token=x",
        "https://evilnotify.windows.com/?token=x",
        "https://windows.com/?token=x",
        "https://evil.example/notify.windows.com",
        "https://evil.example/?db3.notify.windows.com",
        "https://evil.example\\.notify.windows.com/x",
        "https://db3.notify.windows.com@evil.example/x",
        "https://user@db3.notify.windows.com/x",
        "https://db3.notify.windows.com:8443/x",
        "https://db3.notify.windows.com:x/",
        "https://db3.notify.windows.com",
        "http://db3.notify.windows.com/x",
        "//db3.notify.windows.com/x",
        "https://db3.notify.windows.com/x#y",
        "https://db3.notify.windows.com/x y",
        "https://db3.notify.windows.com/x\r\nhost: evil.example",
        "https%3A%2F%2Fevil.example%2F",
        "https%253A%252F%252Fdb3.notify.windows.com%252F",
        "https://db3.notify.windows.com/" + "x" * 1024,
        "https://[::1/",
        "x",
    ],
)
def test_a_channel_anywhere_else_is_refused(token: str) -> None:
    with pytest.raises(BadField) as raised:
        PROVIDER.check({"token": token})
    assert raised.value.field == "token"
    with pytest.raises(
        BadField, match="no address of a channel"
    ):  # whatever was stored, nothing is sent
        sent(Notification("n", 1), device(token))


def test_a_stand_in_that_the_operator_named_has_channels_too() -> None:
    provider = WNS(Options(SECRET, SID, base_url="https://127.0.0.1:7443"))
    provider.check({"token": "https://127.0.0.1:7443/channel/?token=x"})
    for base_url, token in (
        ("https://127.0.0.1:7443", "https://127.0.0.1:7443.evil.example/x"),
        ("https://127.0.0.1:744", "https://127.0.0.1:7443/x"),
        ("https://wns.example", "https://wns.example.evil.example/x"),
        ("https://wns.example", "https://wns.example@evil.example/x"),
    ):
        with pytest.raises(BadField):
            WNS(Options(SECRET, SID, base_url=base_url)).check({"token": token})


def test_what_it_may_not_say_is_named() -> None:
    with pytest.raises(BadField) as raised:
        PROVIDER.check({"token": CHANNEL, "silent-push": "maybe"})
    assert raised.value.field == "silent-push"


# Answers.

TABLE: list[tuple[int, dict[str, str], Outcome]] = [
    (200, {"X-WNS-Status": "received", "X-WNS-Msg-ID": "5CE03D81"}, Accepted("5CE03D81")),
    (200, {"X-WNS-NotificationStatus": "Received"}, Accepted()),
    (200, {"X-WNS-NotificationStatus": "dropped"}, Refused("200 dropped")),
    (200, {}, Accepted()),
    (200, {"X-WNS-Status": "dropped"}, Refused("200 dropped")),
    (
        200,
        {"X-WNS-Status": "channelthrottled"},
        Busy(None, Scope.DEVICE, "200 channelthrottled"),
    ),
    (200, {"X-WNS-Status": "x"}, Refused("HTTP 200 with a status that WNS does not have")),
    (400, {}, Refused("HTTP 400")),
    (401, {}, Refused("HTTP 401: the access token is not taken", renew_credential=True)),
    (
        403,
        {},
        Refused(
            "HTTP 403: the credential is not that of the channel's app", alarm=True, guarded=True
        ),
    ),
    (404, {}, Unregistered(reason="HTTP 404: no such channel")),
    (405, {}, Refused("HTTP 405")),
    (406, {"Retry-After": "30"}, Busy(30, Scope.BACKEND, "HTTP 406: throttled")),
    (
        406,
        {"Retry-After": "900", "X-WNS-Status": "appthrottled"},
        Busy(900, Scope.BACKEND, "HTTP 406: throttled"),
    ),
    (
        406,
        {"X-WNS-Status": "channelThrottled"},
        Busy(None, Scope.DEVICE, "HTTP 406: throttled"),
    ),
    # As it is said to answer of late.
    (
        429,
        {"Retry-After": "900", "X-WNS-Status": "appthrottled"},
        Busy(900, Scope.BACKEND, "HTTP 429: throttled"),
    ),
    (429, {}, Busy(None, Scope.DEVICE, "HTTP 429")),
    (410, {}, Unregistered(reason="HTTP 410: the channel has expired")),
    (
        410,
        {"X-WNS-Error-Description": "The domain of the cloud service has been blocked"},
        Refused("HTTP 410: this server's domain is blocked", alarm=True),
    ),
    (413, {}, Refused("HTTP 413", shrink=True)),
    (500, {"Retry-After": "9"}, Busy(9, Scope.BACKEND, "HTTP 500")),
    (503, {}, Busy(None, Scope.BACKEND, "HTTP 503")),
]


@pytest.mark.line(140, 143)
@pytest.mark.parametrize(
    ("status", "headers", "outcome"),
    TABLE,
    ids=[f"{row[0]} {' '.join(row[1].values())}" for row in TABLE],
)
def test_each_answer_has_its_outcome(
    status: int, headers: dict[str, str], outcome: Outcome
) -> None:
    assert read(Response(status, headers), NOW) == outcome


# Who we are.


@pytest.mark.parametrize(
    ("given", "url", "client", "scope"),
    [
        (
            {"package_sid": SID},
            "https://login.live.com/accesstoken.srf",
            SID,
            "notify.windows.com",
        ),
        (
            {"application_id": "app-1", "tenant": "tenant-1"},
            "https://login.microsoftonline.com/tenant-1/oauth2/v2.0/token",
            "app-1",
            "https://wns.windows.com/.default",
        ),
        (
            {"package_sid": SID, "token_uri": "https://login.test/token"},
            "https://login.test/token",
            SID,
            "notify.windows.com",
        ),
    ],
)
def test_an_access_token_is_asked_for_where_the_app_is_known(
    given: dict[str, str], url: str, client: str, scope: str
) -> None:
    provider = WNS(Options(SECRET, **given))  # type: ignore[arg-type]
    request = provider.credential("").request(NOW)
    assert isinstance(request, Request)
    assert request.url == url
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": [client],
        "client_secret": ["the client secret"],
        "scope": [scope],
    }


@pytest.mark.parametrize("expires_in", [86_399, "86399"])
def test_a_token_lives_as_long_as_it_is_said_in_either_spelling(expires_in: Any) -> None:
    content = {"access_token": "EgAc", "token_type": "bearer", "expires_in": expires_in}
    got = PROVIDER.credential("").accept(Response(200, body=json.dumps(content).encode()), NOW)
    assert got == Token(Secret("EgAc"), NOW, NOW + 86_399)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({}, "package_sid"),
        ({"package_sid": SID, "application_id": "a", "tenant": "b"}, "package_sid"),
        ({"application_id": "a"}, "tenant"),
        ({"package_sid": SID, "tenant": "b"}, "tenant"),
    ],
)
def test_options_that_do_not_fit_together_are_named(given: dict[str, str], option: str) -> None:
    with pytest.raises(BadOption) as raised:
        Options(SECRET, **given)  # type: ignore[arg-type]
    assert raised.value.option == option
    assert "secret" not in str(raised.value)


def test_an_option_that_is_of_no_use_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="ca_file"):
        WNS(Options(SECRET, SID, ca_file=tmp_path / "nowhere.pem"))
