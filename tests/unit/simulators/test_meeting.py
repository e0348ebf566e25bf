"""Two readings of one protocol meet: what a provider makes of any notification, its stand-in takes.

Those of Ubuntu Push and WNS do so in their own tests.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.providers.contract import (
    Accepted,
    Device,
    Notification,
    Request,
    Response,
    Secret,
    Sending,
    Token,
)
from pushd.providers.fcm import FCM
from pushd.providers.fcm import Options as FCMOptions
from pushd.providers.unifiedpush import UnifiedPush
from pushd.providers.webhook import Options as WebhookOptions
from pushd.providers.webhook import Webhook
from pushd.providers.webpush import Options, WebPush
from pushd.providers.webpush_encryption import HEADER_BYTES, SIZES, TAG_BYTES
from tests.unit.simulators import bench as fcm_bench
from tests.unit.simulators import test_webhook, webpush_bench
from tests.unit.simulators.bench import NOW, result_of

TEXT = st.none() | st.text(max_size=5000)
COUNT = st.none() | st.integers(0, 10**9)
NOTES = st.builds(
    Notification,
    node=st.text(min_size=1, max_size=50),
    message_count=COUNT,
    pending_subscription_count=COUNT,
    last_message_sender=TEXT,
    last_message_body=TEXT.map(lambda text: None if text is None else Secret(text)),
    last_subscription_sender=TEXT,
    urgent=st.booleans(),
    expires_at=st.none() | st.floats(NOW - 1e6, NOW + 1e7),
)


def posted(bench: Any, provider: Any, fields: dict[str, str], note: Any, shrink: bool) -> Any:
    """Push a notification to a device of these fields; gives what came of it."""
    provider.check(fields)
    stored = dict(provider.stored(fields))
    token = Secret(stored.pop("token", fields.get("endpoint", "")))
    device = Device(token, fields=stored)
    credential = provider.credential(provider.lane(device))
    held = credential.request(NOW) if credential is not None else None
    secret = held.value if isinstance(held, Token) else None
    id = "6b4f3bd1-6d3f-4f4a-9f55-2f6c9f8f3c11"
    sending = Sending(id=id, credential=secret, shrink=shrink, since=NOW)
    request = provider.request(note, device, NOW, sending)
    asked = bench.wire.ask(
        request.method, request.url, data=request.body, headers=dict(request.headers)
    )
    return result_of(asked)


@pytest.mark.parametrize(
    ("kind", "service"),
    [
        (WebPush, "mozilla"),
        (WebPush, "google"),
        (WebPush, "apple"),
        (WebPush, "microsoft"),
        (UnifiedPush, "ntfy"),
    ],
    ids=["mozilla", "google", "apple", "microsoft", "ntfy"],
)
@given(NOTES, st.booleans())
def test_any_notification_is_one_that_a_push_service_takes(
    kind: type[WebPush], service: str, note: Notification, shrink: bool
) -> None:
    bench = webpush_bench.Bench()
    provider = kind(Options("mailto:operator@example.net", base_url=webpush_bench.URL))
    provider.keep(b"s" * 32)
    made = bench.simulator.subscribe(service, "phone", provider.shown()["vapid"])
    fields = {name: made[name] for name in ("endpoint", "p256dh", "auth")}
    answer = posted(bench, provider, fields, note, shrink)
    assert answer.status in (200, 201), answer.body
    got = bench.last
    assert got.error == ""
    assert got.authorized_by == provider.shown()["vapid"]
    assert isinstance(got.message, dict)
    assert got.message.get("node") in (note.node, None)
    assert got.size - HEADER_BYTES - TAG_BYTES in SIZES  # one may fill its size, without padding
    assert got.size <= 2744  # what Firefox on Android gets
    assert len(got.topic) == 32


@given(NOTES, st.booleans())
def test_any_notification_is_one_that_a_receiver_takes(note: Notification, shrink: bool) -> None:
    bench = test_webhook.Bench()
    secrets = tuple(Secret(secret) for secret in bench.simulator.secrets)
    provider = Webhook(WebhookOptions(bench.simulator.url, secrets))
    answer = posted(bench, provider, {"token": "phone"}, note, shrink)
    assert answer.status == 204, answer.body
    assert bench.last.message["token"] == "phone"
    assert bench.last.signatures == 1
    response = Response(answer.status, answer.headers, answer.body)
    assert isinstance(provider.outcome(response, NOW), Accepted)


@pytest.fixture(scope="module")
def fcm(tmp_path_factory: pytest.TempPathFactory) -> FCM:
    file = tmp_path_factory.mktemp("fcm") / "account.json"
    file.write_text(json.dumps(fcm_bench.Bench().simulator.service_account()))
    return FCM(FCMOptions(file, base_url=fcm_bench.URL))


@given(NOTES, st.booleans())
def test_any_notification_is_one_that_fcm_takes(fcm: FCM, note: Notification, shrink: bool) -> None:
    bench = fcm_bench.Bench()
    asked = fcm.credential("").request(NOW)
    assert isinstance(asked, Request)
    got = fcm.credential("").accept(ask(bench, asked), NOW)
    assert isinstance(got, Token)
    sending = Sending(credential=got.value, shrink=shrink)
    response = ask(bench, fcm.request(note, Device(Secret("phone")), NOW, sending))
    assert isinstance(fcm.outcome(response, NOW), Accepted), response.body
    [received] = bench.simulator.requests
    assert (received.token, received.error) == ("phone", "")
    assert received.message["data"].get("node") in (note.node, None)


def ask(bench: fcm_bench.Bench, request: Request) -> Response:
    path = request.url.removeprefix(fcm_bench.URL)
    said = bench.request(request.method, path, data=request.body, headers=dict(request.headers))
    return Response(said.status, said.headers, said.body)
