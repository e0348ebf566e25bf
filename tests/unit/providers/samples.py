"""What the contract's tests need of each provider: a new one adds an entry, and nothing else."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pushd.providers import catalogue
from pushd.providers.contract import (
    Device,
    Notification,
    Provider,
    Request,
    Secret,
    Sending,
)
from tests.unit.providers.apple import certificate, signing_key
from tests.unit.providers.bench import DAY, NOW, account
from tests.unit.providers.browser import Browser

TYPES = sorted(catalogue.types())
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = "the text of a message"
FULL = Notification(
    "node-1", 3, 1, "romeo@example.net", Secret(BODY), "nurse@example.net", True, NOW + DAY
)
BARE = Notification("node-1")
BODIES = [
    b"",
    b"{}",
    b"null",
    b"[1]",
    b'{"error": null}',
    b'{"error": {"details": [null]}}',
    b'{"reason": "NeverHeardOf"}',
    b"\xff\xfe",
    b"[" * 20_000,
    b"<html>",
]
GUID = "6f0cbd54-0000-4000-8000-000000000001"


@dataclass(frozen=True)
class Sample:
    """One provider. Folders are for files that options name."""

    options: Callable[[Path], dict[str, Any]]  # what it needs to start
    fields: Mapping[str, str]  # what a device registers with
    told: Callable[[Request], Mapping[str, Any]]  # the summary in a request, as its device sees it
    limit: int  # bytes, by the service's documents, of what `size` counts
    size: Callable[[Request], int] = lambda request: len(request.body)
    usual: int = 0  # bytes of the same, where texts are cut before the limit
    wrong: Sequence[tuple[Mapping[str, str], str]] = ()  # other fields, and which is at fault
    # Options that cannot be, as they are written, and which is at fault.
    unusable: Sequence[tuple[Callable[[Path], Mapping[str, Any]], str]] = ()
    # The statuses that say, without a word in the body, that a device is gone.
    deleting: frozenset[int] = frozenset()
    proofs: Sequence[str] = ()  # what of the operator's options is secret


def _json(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.body)
    return found


def _read_by_fcm(request: Request) -> dict[str, Any]:
    data: dict[str, str] = _json(request)["message"]["data"]
    return {name: int(text) if name.endswith("-count") else text for name, text in data.items()}


def _counted_by_fcm(request: Request) -> int:
    data = _json(request)["message"]["data"]
    return sum(len(text.encode("utf-8", "surrogatepass")) for pair in data.items() for text in pair)


def _counted_by_ubuntu(request: Request) -> int:
    return len(request.body.partition(b'"data":')[2]) - 1  # it stands at the end


def _garbage(folder: Path) -> Path:
    file = folder / "garbage"
    file.write_text("garbage of the operator's")
    return file


BROWSER = Browser(11)
SUBSCRIPTION = BROWSER.fields("https://push.example.org/wpush/v2/gAAAAABl")
SID = "ms-app://s-1-15-2-1-2-3"


def _web_push() -> Sample:
    return Sample(
        lambda folder: {"sub": "mailto:admin@example.net", "padding": False},
        SUBSCRIPTION,
        lambda request: dict(json.loads(BROWSER.read(request.body))),
        4096,
        usual=2742,  # what comes through Mozilla's way by FCM
        wrong=(
            ({"endpoint": "http://push.example.org/x"}, "endpoint"),
            ({"endpoint": "https://user@push.example.org/x"}, "endpoint"),
            ({"endpoint": "https://127.0.0.1/x"}, "endpoint"),
            ({"p256dh": "AAAA"}, "p256dh"),
            ({"auth": "AAAA"}, "auth"),
        ),
        unusable=(
            (lambda folder: {"sub": "admin"}, "sub"),
            (lambda folder: {"vapid_key": str(_garbage(folder))}, "vapid_key"),
        ),
        deleting=frozenset({404, 410}),
    )


SAMPLES: Mapping[str, Sample] = {
    "apns": Sample(
        lambda folder: {
            "key_file": signing_key(folder),
            "team_id": "TEAM123456",
            "topic": "com.example.app",
        },
        {"token": "r3qpHKmzZHjYKYbG7yI4fhY+DWKqFZE5ZJEM8P+lDDo="},
        lambda request: {k: v for k, v in _json(request).items() if k != "aps"},
        4096,
        wrong=(
            ({"token": "abcd"}, "token"),
            ({"voip-token": "abcd"}, "voip-token"),
            ({"environment": "moon"}, "environment"),
            ({"silent-push": "maybe"}, "silent-push"),
        ),
        unusable=(
            (lambda folder: {"key_file": str(_garbage(folder))}, "key_file"),
            (lambda folder: {"key_file": str(folder / "nowhere")}, "key_file"),
            (lambda folder: {"team_id": "team"}, "team_id"),
            (lambda folder: {"topic": "not a topic"}, "topic"),
            (lambda folder: {"port": 80}, "port"),
            (lambda folder: {"environment": "moon"}, "environment"),
            (
                lambda folder: {"certfile": str(certificate(folder, "com.example.app"))},
                "key_file",  # beside a certificate
            ),
        ),
        proofs=("BEGIN PRIVATE KEY",),
    ),
    "fcm": Sample(
        lambda folder: {"service_account": account(folder)},
        {"token": "dQw4w9WgXcQ:APA91bX"},
        _read_by_fcm,
        4096,
        _counted_by_fcm,
        wrong=(({"token": "a b"}, "token"), ({"token": "x" * 5000}, "token")),
        unusable=(
            (lambda folder: {"service_account": str(_garbage(folder))}, "service_account"),
            (lambda folder: {"service_account": str(folder / "nowhere")}, "service_account"),
        ),
        proofs=("BEGIN PRIVATE KEY",),
    ),
    "ubuntu": Sample(
        lambda folder: {},
        {"token": "dG9rZW4tMQ==", "application-id": "chat.example_chat"},
        lambda request: dict(_json(request)["data"]["message"]),
        2048,
        _counted_by_ubuntu,
        wrong=(
            ({"token": "a b"}, "token"),
            ({"application-id": "a b"}, "application-id"),
        ),
        unusable=((lambda folder: {"lifetime": "soon"}, "lifetime"),),
    ),
    "unifiedpush": _web_push(),
    "webhook": Sample(
        lambda folder: {
            "url": "https://hooks.example.net/push",
            "secret": Secret(WEBHOOK_SECRET),
        },
        {"token": "token-of-the-device"},
        lambda request: {
            **{name: text for name, text in _json(request).items() if name == "node"},
            **_json(request)["summary"],
        },
        20_000,
        wrong=(
            ({"token": "x" * 1025}, "token"),
            ({"token": "a\nb"}, "token"),
            ({"application-id": "x" * 256}, "application-id"),
            ({"silent-push": "maybe"}, "silent-push"),
        ),
        unusable=(
            (lambda folder: {"url": "http://hooks.example.net/"}, "url"),
            (lambda folder: {"url": "/push"}, "url"),
            (lambda folder: {"secret": "garbage of the operator's"}, "secret"),
            (lambda folder: {"secret": [WEBHOOK_SECRET, "whsec_c2hvcnQ="]}, "secret[1]"),
            (lambda folder: {"secret": []}, "secret"),
        ),
        deleting=frozenset({410}),
        proofs=(WEBHOOK_SECRET, WEBHOOK_SECRET.removeprefix("whsec_")),
    ),
    "webpush": _web_push(),
    "wns": Sample(
        lambda folder: {"auth_key": Secret("a client secret"), "package_sid": SID},
        {"token": "https://db3.notify.windows.com/?token=AwYAAA%3d%3d"},
        _json,
        5000,
        wrong=(
            ({"token": "https://db3.notify.windows.com.evil.example/"}, "token"),
            ({"token": "http://db3.notify.windows.com/x"}, "token"),
            ({"silent-push": "maybe"}, "silent-push"),
        ),
        unusable=(
            (lambda folder: {"auth_key": ""}, "auth_key"),
            (lambda folder: {"package_sid": "s-1-15-2"}, "package_sid"),
            (lambda folder: {"application_id": GUID}, "package_sid"),  # beside an application's
            (lambda folder: {"tenant": "a tenant"}, "tenant"),
        ),
        deleting=frozenset({404, 410}),
        proofs=("a client secret",),
    ),
}


def made(kind: str, folder: Path, **changes: Any) -> Provider:
    """A provider of this type, which has what the server makes up for it."""
    found = catalogue.find(kind)
    assert found is not None
    provider = found(catalogue.options(found)(**SAMPLES[kind].options(folder), **changes))
    provider.keep(bytes(32))
    return provider


def device(provider: Provider, **changes: str) -> Device:
    """One that has registered with the sample's fields."""
    fields = provider.stored({**SAMPLES[provider.type].fields, **changes})
    return Device(Secret(fields["token"]), "app", fields, NOW - 100)


def sending(**changes: Any) -> Sending:
    return Sending(
        id="6c3f7a0e-0000-4000-8000-000000000001", credential=Secret("bearer-1"), **changes
    )
