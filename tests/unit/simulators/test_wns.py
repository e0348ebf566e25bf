"""The stand-in for WNS: who may post, what it takes, and what it says of channels."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from twisted.internet.task import Clock

from pushd.providers.contract import (
    Device,
    Notification,
    Refused,
    Request,
    Response,
    Secret,
    Sending,
    Token,
)
from pushd.providers.wns import WNS, Options, read
from pushd.simulators.answers import Answer
from pushd.simulators.wns import FAULTS, WNSSimulator
from tests.unit.simulators.bench import NOW, Wire, result_of

URL = "https://wns.test"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Bench:
    """The stand-in, without sockets."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.simulator = WNSSimulator(self.clock, URL, **options)
        self.channel = self.simulator.channel("phone")
        self._wire = Wire(self.simulator.site.resource)

    def ask(
        self, url: str, body: bytes, headers: Mapping[str, str], method: str = "POST"
    ) -> Response:
        answer = result_of(self._wire.ask(method, url, data=body, headers=dict(headers)))
        return Response(answer.status, answer.headers, answer.body)

    def log_in(self, path: str = "/token", **changes: str) -> Response:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.simulator.client_id,
            "client_secret": self.simulator.client_secret,
            "scope": "notify.windows.com",
        } | changes
        return self.ask(URL + path, urlencode(form).encode(), FORM)

    def entra(self, **changes: str) -> Response:
        """By the other service."""
        app = self.simulator.application_id
        given = {"client_id": app, "scope": "https://wns.windows.com/.default"} | changes
        return self.log_in(f"/{self.simulator.tenant}/oauth2/v2.0/token", **given)

    def token(self) -> str:
        return str(self.log_in().json()["access_token"])

    def notify(
        self,
        body: bytes = b"{}",
        method: str = "POST",
        channel: str = "",
        **changes: str | None,
    ) -> Response:
        headers = {
            "Authorization": f"Bearer {self.token()}",
            "Content-Type": "application/octet-stream",
            "X-WNS-Type": "wns/raw",
        } | {name.replace("_", "-"): value for name, value in changes.items()}
        given = {name: value for name, value in headers.items() if value is not None}
        return self.ask(channel or self.channel, body, given, method)


def test_a_notification_is_taken_and_put_on_record() -> None:
    bench = Bench()
    answer = bench.notify(b'{"message-count":1}', X_WNS_TTL="60", X_WNS_Priority="1")
    assert (answer.status, answer.header("x-wns-status")) == (200, "received")
    [received] = bench.simulator.requests
    assert (received.token, received.message) == (bench.channel, {"message-count": 1})
    assert (received.kind, received.ttl, received.priority) == ("wns/raw", 60, "1")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Authorization": None}, 401),
        ({"Authorization": "Bearer made-up"}, 401),
        ({"X_WNS_Type": None}, 400),
        ({"X_WNS_Type": "wns/other"}, 400),
        ({"X_WNS_Type": "wns/toast"}, 400),
        ({"X_WNS_Cache_Policy": "maybe"}, 400),
        ({"X_WNS_TTL": "soon"}, 400),
        ({"X_WNS_TTL": "0"}, 400),
        ({"X_WNS_Priority": "9"}, 400),
        ({"X_WNS_TTL": "9" * 5000}, 400),
        ({"X_WNS_SuppressPopup": "true"}, 400),
        ({"X_WNS_Group": "chat"}, 400),
        ({"X_WNS_RequestForStatus": "yes"}, 400),
        ({"X_WNS_Tag": "chat"}, 400),
        ({"Expect": "100-continue"}, 400),
        ({"body": b""}, 400),
        ({"body": b"x" * 5001}, 413),
        ({"method": "PUT"}, 405),
    ],
)
def test_what_the_service_would_refuse_is_refused(changes: dict[str, Any], status: int) -> None:
    assert Bench().notify(**changes).status == status


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"client_id": "ms-app://other"}, "invalid_client"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"grant_type": "password"}, "invalid_request"),
    ],
)
def test_a_login_that_is_wrong_is_refused(changes: dict[str, str], error: str) -> None:
    answer = Bench().log_in(**changes)
    assert (answer.status, answer.json()) == (400, {"error": error})


def test_a_token_ends() -> None:
    bench = Bench(expires_in="60")
    token = bench.token()
    bench.clock.advance(60)
    assert bench.notify(Authorization=f"Bearer {token}").status == 401
    bench.simulator.revoke()
    assert bench.notify().status == 200


@pytest.mark.parametrize(
    ("what", "status"), [("expired", 410), ("forbidden", 403), ("not-found", 404)]
)
def test_a_channel_may_be_no_more(what: str, status: int) -> None:
    bench = Bench()
    bench.simulator.set_state(bench.channel, what)
    assert bench.notify().status == status


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_can_be_scripted(name: str) -> None:
    bench = Bench()
    bench.simulator.script(bench.channel, Answer(error=name))
    answer = bench.notify()
    assert answer.status == FAULTS[name][0]
    assert answer.header("x-wns-status") == FAULTS[name][1]
    assert bench.notify().header("x-wns-status") == "received"


@pytest.mark.parametrize(
    "note",
    [
        Notification("n"),
        Notification("n", 1, 2, "romeo@example.net", Secret("hi"), "nurse@example.net", True),
        Notification("n", 1, last_message_body=Secret("ü" * 10_000)),
        Notification("n" * 10_000, 1, expires_at=NOW - 5),
    ],
    ids=["bare", "full", "long", "no room at all"],
)
@pytest.mark.parametrize("silent", ["true", "false"])
def test_what_the_provider_sends_is_taken(note: Notification, silent: str) -> None:
    bench = Bench()
    secret = Secret(bench.simulator.client_secret)
    sid = bench.simulator.client_id
    provider = WNS(Options(secret, sid, base_url=URL, token_uri=f"{URL}/token"))
    asked = provider.credential("").request(NOW)
    assert isinstance(asked, Request)
    answer = bench.ask(asked.url, asked.body, asked.headers)
    token = provider.credential("").accept(answer, NOW)
    assert isinstance(token, Token)
    provider.check({"token": bench.channel, "silent-push": silent})
    device = Device(Secret(bench.channel), fields={"silent-push": silent})
    request = provider.request(note, device, NOW, Sending(credential=token.value))
    answer = bench.ask(request.url, request.body, request.headers)
    assert type(read(answer, NOW)).__name__ == "Accepted"
    [received] = bench.simulator.requests
    is_toast = silent == "false" and bool(note.occasion)
    assert received.kind == ("wns/toast" if is_toast else "wns/raw")
    assert received.remarks == ()
    if not is_toast:
        assert received.message == json.loads(request.body)


ENTRA = {"application_id": "6f0cbd54-0000-4000-8000-000000000001", "tenant": "chat.example"}


@pytest.mark.parametrize("kind", ["uwp", "sdk"], ids=["login.live.com", "Entra"])
def test_either_login_gives_a_token_that_is_taken(kind: str) -> None:
    bench = Bench(**ENTRA)
    simulator = bench.simulator
    secret = Secret(simulator.client_secret)
    if kind == "uwp":
        options = Options(secret, simulator.client_id, token_uri=simulator.live_uri)
    else:
        options = Options(secret, token_uri=simulator.entra_uri, **ENTRA)  # type: ignore[arg-type]
    provider = WNS(replace(options, base_url=URL))
    asked = provider.credential("").request(NOW)
    assert isinstance(asked, Request)
    token = provider.credential("").accept(bench.ask(asked.url, asked.body, asked.headers), NOW)
    assert isinstance(token, Token)
    assert token.expires_at == NOW + 86_400
    to = Device(Secret(simulator.channel("phone", kind)))
    request = provider.request(Notification("n", 1), to, NOW, Sending(credential=token.value))
    assert bench.ask(request.url, request.body, request.headers).status == 200


@pytest.mark.parametrize("error", ["invalid_client", "invalid_request", "invalid_scope"])
def test_a_login_that_fails_is_an_alarm(error: str) -> None:
    bench = Bench()
    bench.simulator.logins.script.add(None, [Answer(error=error)])
    provider = WNS(
        Options(
            Secret(bench.simulator.client_secret),
            bench.simulator.client_id,
            token_uri=f"{URL}/token",
        )
    )
    asked = provider.credential("").request(NOW)
    assert isinstance(asked, Request)
    got = provider.credential("").accept(bench.ask(asked.url, asked.body, asked.headers), NOW)
    assert isinstance(got, Refused)
    assert got.alarm
    assert error in got.reason


TOAST = (
    b"<toast><visual><binding template='ToastGeneric'><text>Hi</text></binding></visual></toast>"
)


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("wns/toast", TOAST, "received"),
        ("wns/badge", b"<badge value='3'/>", "received"),
        ("wns/toast", b"<badge value='3'/>", "dropped"),
        ("wns/toast", TOAST[:-1], "dropped"),
        ("wns/toast", b"<toast>a & b</toast>", "dropped"),
        ("wns/toast", b"<!DOCTYPE toast [<!ENTITY a 'b'>]><toast>&a;</toast>", "dropped"),
        ("wns/toast", b"{}", "dropped"),
        ("wns/badge", b"\xff", "dropped"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_xml_is_dropped(kind: str, body: bytes, status: str) -> None:
    answer = Bench().notify(body, X_WNS_Type=kind, Content_Type="text/xml")
    assert (answer.status, answer.header("x-wns-status")) == (200, status)


def test_a_tile_may_have_a_tag_which_is_short() -> None:
    bench = Bench()
    tile: dict[str, str] = {"X_WNS_Type": "wns/tile", "Content_Type": "text/xml"}
    assert bench.notify(b"<tile/>", **tile, X_WNS_Tag="a" * 16).status == 200
    assert bench.notify(b"<tile/>", **tile, X_WNS_Tag="a" * 17).status == 400
    assert bench.notify(b"<tile/>", **tile, X_WNS_Tag="a-b").status == 400


def test_two_services_give_out_tokens_each_for_its_apps() -> None:
    bench = Bench()
    live = bench.log_in("/accesstoken.srf").json()
    entra = bench.entra().json()
    assert (live["expires_in"], entra["expires_in"]) == (86_400, "86400")
    sdk = bench.simulator.channel("phone", "sdk")
    for channel, token, status in (
        (bench.channel, live, 200),
        (sdk, entra, 200),
        (bench.channel, entra, 403),
        (sdk, live, 403),
    ):
        header = f"Bearer {token['access_token']}"
        assert bench.notify(channel=channel, Authorization=header).status == status
    named = [received.authorized_by for received in bench.simulator.requests]
    assert named[:2] == [bench.simulator.client_id, bench.simulator.application_id]


def test_each_service_knows_its_own_scope_and_apps() -> None:
    bench = Bench()
    for answer, error in (
        (bench.log_in("/accesstoken.srf", scope="https://wns.windows.com/.default"), "scope"),
        (bench.entra(scope="notify.windows.com"), "scope"),
        (bench.entra(client_id=bench.simulator.client_id), "client"),
        (bench.log_in(client_id=bench.simulator.application_id), "client"),
        (bench.entra(client_secret=""), "client"),
    ):
        assert answer.json() == {"error": f"invalid_{error}"}


def test_a_post_says_whether_the_device_is_there_only_when_it_is_asked() -> None:
    bench = Bench()
    assert not bench.notify().header("x-wns-deviceconnectionstatus")
    asked = bench.notify(X_WNS_RequestForStatus="true")
    assert asked.header("x-wns-deviceconnectionstatus") == "connected"
    assert bench.notify().header("ms-cv")


def test_what_nobody_will_have_meant_is_remarked() -> None:
    bench = Bench()
    bench.notify(X_WNS_Cache_Policy="cache", X_WNS_Priority="2")
    bench.notify()
    bench.notify(
        b"<toast/>", X_WNS_Type="wns/toast", Content_Type="text/xml", X_WNS_Cache_Policy="cache"
    )
    few, many, toast = (received.remarks for received in bench.simulator.requests)
    assert few == ()
    assert [remark.partition(":")[0] for remark in many] == ["x-wns-cache-policy", "x-wns-priority"]
    assert [remark.partition(":")[0] for remark in toast] == ["x-wns-cache-policy"]


def test_an_escape_in_an_address_is_what_it_was() -> None:
    bench = Bench()
    channel = bench.simulator.channel("phone%2f1%2B")
    bench.simulator.set_state(channel, "expired")
    assert bench.notify(channel=channel).status == 410
    other = channel.replace("%2f", "%2F")
    assert bench.notify(channel=other).status == 200
    assert bench.simulator.requests[-1].token == other
