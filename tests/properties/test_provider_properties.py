"""Whatever a device says and a service answers: every provider keeps to its contract."""

import json
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.providers.apns_credentials import topics_in
from pushd.providers.contract import (
    Accepted,
    BadField,
    Busy,
    Call,
    Device,
    Encrypted,
    Notification,
    Provider,
    Refused,
    Response,
    Secret,
    Sending,
    Unregistered,
)
from pushd.providers.wns import WNS
from tests.unit.providers.bench import NOW
from tests.unit.providers.samples import SAMPLES, TYPES, device, made

NOTE = Notification("node-1", 3, 1, "romeo@example.net", Secret("hi"), "nurse@example.net")
WORDS = st.sampled_from(
    (
        "Unregistered",
        "ExpiredToken",
        "BadDeviceToken",
        "TooManyRequests",
        "Shutdown",
        "PayloadTooLarge",
        "UNREGISTERED",
        "SENDER_ID_MISMATCH",
        "INVALID_ARGUMENT",
        "QUOTA_EXCEEDED",
        "unknown-token",
        "unregistered",
        "unauthorized",
        "too-many-pending",
        "internal",
        "ok",
        "true",
        "error",
        "reason",
        "timestamp",
        "message",
        "details",
        "errorCode",
        "@type",
        "type.googleapis.com/google.firebase.fcm.v1.FcmError",
        "received",
        "dropped",
        "expired",
    )
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text() | WORDS, inner, max_size=5)
    ),
    max_leaves=12,
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ("Retry-After", "apns-id", "X-WNS-Status", "X-WNS-Error-Description", "X-WNS-Msg-ID")
    ),
    st.text(max_size=30) | WORDS,
)


def kept(kind: str) -> Provider:
    with TemporaryDirectory() as folder:
        return made(kind, Path(folder))


PROVIDERS = {kind: kept(kind) for kind in TYPES}


@pytest.mark.parametrize("kind", TYPES)
@given(
    status=st.integers(100, 599),
    headers=HEADERS,
    body=st.binary(max_size=200) | JSON,
)
def test_any_answer_has_an_outcome(
    kind: str, status: int, headers: dict[str, str], body: object
) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    outcome = PROVIDERS[kind].outcome(Response(status, headers, raw), NOW)
    assert isinstance(outcome, Accepted | Unregistered | Busy | Refused)
    assert isinstance(outcome, Accepted) <= (status < 300)
    known = SAMPLES[kind].deleting
    assert not isinstance(outcome, Unregistered) or status in known or body
    if isinstance(outcome, Unregistered):
        assert 400 <= status < 500 or kind == "webhook"  # whose body may say so
    if isinstance(outcome, Busy):
        assert outcome.after is None or outcome.after >= 0
    if status >= 500:
        assert isinstance(outcome, Busy)


@pytest.mark.parametrize("kind", TYPES)
@given(data=st.data())
def test_what_may_register_can_be_pushed(kind: str, data: st.DataObject) -> None:
    provider = PROVIDERS[kind]
    texts = st.text(max_size=80) | st.sampled_from(
        [*SAMPLES[kind].fields.values(), "true", "sandbox"]
    )
    names = sorted(provider.register_fields | provider.optional_fields)
    usual = SAMPLES[kind].fields
    fields = {name: data.draw(st.just(usual.get(name, "")) | texts) for name in names}
    try:
        provider.check(fields)
    except BadField:
        return
    kept = provider.stored(fields)
    if "token" in provider.register_fields:  # else it is made of others, which are not stored
        provider.check(kept)
        assert provider.stored(kept) == kept
    rest = {name: value for name, value in kept.items() if name != "token"}
    request = provider.request(
        NOTE, Device(Secret(kept["token"]), fields=rest), NOW, Sending(credential=Secret("x"))
    )
    assert request.url.isascii()
    assert not set(request.url) & set(" \r\n\\")
    provider.lane(Device(Secret(kept["token"]), fields=rest))


TEXT = st.text(max_size=300) | st.integers(1, 12_000).map(lambda length: "ü" * length)
NOTES = st.builds(
    Notification,
    node=st.text(min_size=1, max_size=60),
    message_count=st.none() | st.integers(0, 10**10),
    pending_subscription_count=st.none() | st.integers(0, 10**10),
    last_message_sender=st.none() | TEXT,
    last_message_body=st.none() | TEXT.map(Secret),
    last_subscription_sender=st.none() | TEXT,
    urgent=st.booleans(),
    expires_at=st.none() | st.floats(NOW - 1e6, NOW + 1e8),
    encrypted=st.none() | st.builds(Encrypted, TEXT.map(Secret), st.text(max_size=24)),
    account=st.none() | st.just("juliet@example.net"),
    call=st.none() | st.builds(Call, st.text(max_size=80), st.just(("audio",)), st.none() | TEXT),
)


@pytest.mark.parametrize("kind", TYPES)
@given(note=NOTES, shrink=st.booleans())
def test_any_notification_fits(kind: str, note: Notification, shrink: bool) -> None:
    provider, sample = PROVIDERS[kind], SAMPLES[kind]
    asked = Sending("6c3f7a0e-0000-4000-8000-000000000001", Secret("x"), shrink, since=NOW)
    request = provider.request(note, device(provider), NOW, asked)
    assert sample.size(request) <= sample.limit
    content, counts = sample.told(request), note.summary(bodies=False, senders=False)
    if shrink:
        texts = note.summary().keys() - counts.keys() | {"encrypted"}
        assert not content.keys() & texts
    kept = {name: int(value) for name, value in content.items() if name in counts}
    assert kept in (counts, {})
    assert not any(c in value for value in request.headers.values() for c in "\r\n\0")


PIECES = st.sampled_from(
    (
        "https://",
        "http://",
        "https:",
        "//",
        "/",
        "\\",
        "?",
        "#",
        "@",
        ":",
        ".",
        ";",
        "%",
        "%2f",
        "%40",
        "[",
        "]",
        "443",
        "notify.windows.com",
        ".notify.windows.com",
        "db3",
        "evil.example",
        "NOTIFY.windows.com",
        "a",
        "\t",
        "ö",
    )
)


@given(st.lists(PIECES, max_size=9))
def test_no_spelling_of_a_channel_leads_elsewhere(pieces: list[str]) -> None:
    provider = PROVIDERS["wns"]
    assert isinstance(provider, WNS)
    token = "".join(pieces).strip()
    with suppress(BadField):
        provider.check({"token": token})
        device = Device(Secret(token))
        url = provider.request(NOTE, device, NOW, Sending(credential=Secret("x"))).url
        parts = urlsplit(url)
        assert parts.scheme == "https"
        assert parts.hostname is not None
        assert f".{parts.hostname}".endswith(".notify.windows.com")
        # As the way out reads it: up to the first slash behind the scheme.
        assert url[: url.find("/", 8)] == f"{parts.scheme}://{parts.netloc}"


@given(st.binary(max_size=200))
def test_any_bytes_are_read_as_topics_without_harm(der: bytes) -> None:
    assert all(isinstance(topic, str) for topic in topics_in(der))


def test_no_status_deletes_without_a_word_but_what_is_documented_so() -> None:
    assert {status for one in SAMPLES.values() for status in one.deleting} <= {404, 410}
    assert SAMPLES["webhook"].deleting == {410}
