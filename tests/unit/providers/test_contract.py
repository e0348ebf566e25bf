"""What every provider promises; run over all that are found."""

import dataclasses
import json
import subprocess
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import pytest

from pushd.providers import catalogue
from pushd.providers.contract import (
    Accepted,
    BadField,
    BadOption,
    Busy,
    Credential,
    Device,
    Finding,
    Limits,
    Notification,
    Outcome,
    Provider,
    Proxy,
    Refused,
    Request,
    Response,
    Scope,
    Secret,
    Sending,
    Token,
    Unregistered,
    by_status,
    found,
)
from tests.unit.providers.apple import signing_key
from tests.unit.providers.bench import DAY, NOW, Obedient, account

TYPES = sorted(catalogue.types())

# What each provider needs to start, and what a device registers with there.
OPTIONS: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "apns": lambda folder: {
        "key_file": signing_key(folder),
        "team_id": "TEAM123456",
        "topic": "com.example.app",
    },
    "fcm": lambda folder: {"service_account": account(folder)},
    "ubuntu": lambda folder: {},
    "unifiedpush": lambda folder: {"sub": "mailto:admin@example.net", "padding": False},
    "webhook": lambda folder: {
        "url": "https://hooks.example.net/push",
        "secret": Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    },
    "webpush": lambda folder: {"sub": "mailto:admin@example.net", "padding": False},
    "wns": lambda folder: {
        "auth_key": Secret("a client secret"),
        "package_sid": "ms-app://s-1-15-2-1-2-3",
    },
}
SUBSCRIPTION = {
    "endpoint": "https://push.example.org/wpush/v2/gAAAAABl",
    "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIA"
    "iw4",
    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
}
FIELDS: Mapping[str, Mapping[str, str]] = {
    "apns": {"token": "r3qpHKmzZHjYKYbG7yI4fhY+DWKqFZE5ZJEM8P+lDDo="},
    "fcm": {"token": "dQw4w9WgXcQ:APA91bX"},
    "ubuntu": {"token": "dG9rZW4tMQ==", "application-id": "chat.example_chat"},
    "unifiedpush": SUBSCRIPTION,
    "webhook": {"token": "token-of-the-device"},
    "webpush": SUBSCRIPTION,
    "wns": {"token": "https://db3.notify.windows.com/?token=AwYAAA%3d%3d"},
}
# The statuses that say, without a word in the body, that a device is gone.
DELETING: Mapping[str, frozenset[int]] = {
    "unifiedpush": frozenset({404, 410}),
    "webhook": frozenset({410}),
    "webpush": frozenset({404, 410}),
    "wns": frozenset({404, 410}),
}

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


@pytest.fixture(params=TYPES)
def provider(request: pytest.FixtureRequest, tmp_path: Path) -> Provider:
    found = catalogue.find(request.param)
    assert found is not None
    provider = found(catalogue.options(found)(**OPTIONS[request.param](tmp_path)))
    provider.keep(bytes(32))
    return provider


def device(provider: Provider) -> Device:
    fields = provider.stored(FIELDS[provider.type])
    return Device(Secret(fields["token"]), "app", fields, NOW - 100)


def sending(**changes: Any) -> Sending:
    return Sending(
        id="6c3f7a0e-0000-4000-8000-000000000001", credential=Secret("bearer-1"), **changes
    )


def test_every_provider_has_a_sample_here() -> None:
    assert TYPES == sorted(OPTIONS) == sorted(FIELDS)


@pytest.mark.parametrize("name", TYPES)
def test_all_that_a_provider_asks_goes_through_its_proxy(name: str, tmp_path: Path) -> None:
    found = catalogue.find(name)
    assert found is not None
    proxy = Proxy("proxy.example.net", 3128)
    options = catalogue.options(found)(**OPTIONS[name](tmp_path), proxy=proxy)
    provider = found(options)
    asked = [provider.request(FULL, device(provider), NOW, sending())]
    probe = provider.probe(NOW, sending())
    if probe is not None:
        asked.append(probe)
    credential = provider.credential(provider.lane(device(provider)))
    token = credential.request(NOW) if credential is not None else None
    if isinstance(token, Request):
        asked.append(token)
    assert {request.link.proxy for request in asked} == {proxy}


def test_all_links_of_a_provider_are_told(provider: Provider) -> None:
    asked = [provider.request(FULL, device(provider), NOW, sending())]
    probe = provider.probe(NOW, sending())
    credential = provider.credential(provider.lane(device(provider)))
    fetched = credential.request(NOW) if credential is not None else None
    asked += [one for one in (probe, fetched) if isinstance(one, Request)]
    assert {request.link for request in asked} <= provider.links


def test_names_are_unique_and_lead_to_the_provider(provider: Provider) -> None:
    others = [catalogue.find(name) for name in TYPES if name != provider.type]
    for name in (provider.type, *provider.aliases):
        assert catalogue.find(name) is type(provider)
        assert all(other is None or name not in other.aliases for other in others)


@pytest.mark.parametrize("name", TYPES)
def test_options_are_plain_values_in_a_frozen_dataclass(name: str) -> None:
    found = catalogue.find(name)
    assert found is not None
    options = catalogue.options(found)
    assert dataclasses.is_dataclass(options)
    assert options.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert hasattr(options, "__slots__")
    for hint in get_type_hints(options).values():
        parts = get_args(hint) if get_origin(hint) in (types.UnionType, Union) else (hint,)
        plain = {str, int, float, bool, Path, Proxy, Secret, type(None)}
        assert set(parts) <= {*plain, tuple[Secret, ...], tuple[str, ...]}


@pytest.mark.parametrize("name", TYPES)
def test_a_providers_file_imports_nothing_heavy(name: str) -> None:
    program = (
        "import sys; from pushd.providers import catalogue; catalogue.find(sys.argv[1]);"
        "print(*sys.modules.keys() & set(sys.argv[2:]))"
    )
    heavy = ["treq", "jwt", "h2", "cryptography", "OpenSSL", "twisted.web.client"]
    done = subprocess.run(
        [sys.executable, "-c", program, name, *heavy], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_a_device_that_registers_properly_is_taken(provider: Provider) -> None:
    provider.check({**FIELDS[provider.type], "device-id": "x", "device-name": "Home"})


def test_each_field_that_is_missing_or_empty_is_named(provider: Provider) -> None:
    assert provider.register_fields
    assert not provider.register_fields & provider.optional_fields
    for name in provider.register_fields:
        rest = {key: value for key, value in FIELDS[provider.type].items() if key != name}
        for fields in (rest, {**rest, name: ""}):
            with pytest.raises(ValueError, match=name) as raised:
                provider.check(fields)
            assert isinstance(raised.value, BadField)
            assert raised.value.field == name


def test_a_request_is_made_for_any_notification(provider: Provider) -> None:
    notes = [
        FULL,
        BARE,
        dataclasses.replace(FULL, last_message_body=Secret("ü" * 100_000)),
        dataclasses.replace(FULL, last_message_sender="s" * 100_000),
        dataclasses.replace(FULL, last_message_body=Secret("\ud800\x00\U0001f408")),
        dataclasses.replace(FULL, message_count=2**70),
        dataclasses.replace(FULL, expires_at=NOW - 1),
        dataclasses.replace(FULL, expires_at=NOW + 1e9),
    ]
    for note in notes:
        request = provider.request(note, device(provider), NOW, sending())
        assert request.url.startswith("https://")
        assert isinstance(request.body, bytes)
        assert all(isinstance(text, str) for pair in request.headers.items() for text in pair)
        assert not any(c in value for value in request.headers.values() for c in "\r\n")


def test_a_shrunk_request_is_smaller_and_without_text(provider: Provider) -> None:
    full = provider.request(FULL, device(provider), NOW, sending())
    shrunk = provider.request(FULL, device(provider), NOW, sending(shrink=True))
    assert len(shrunk.body) < len(full.body)
    assert BODY.encode() not in shrunk.body


def test_no_repr_gives_a_secret_away(provider: Provider) -> None:
    to = device(provider)
    shown = repr([FULL, to, sending(), provider.request(FULL, to, NOW, sending()), provider])
    for secret in (BODY, to.token.reveal(), "bearer-1"):
        assert secret not in shown


def test_any_answer_has_an_outcome_and_none_that_is_unknown_deletes(provider: Provider) -> None:
    known = DELETING.get(provider.type, frozenset())
    for status in range(100, 600):
        for body in BODIES:
            outcome = provider.outcome(Response(status, {"retry-after": "x"}, body), NOW)
            assert isinstance(outcome, Accepted | Unregistered | Busy | Refused)
            assert status in known or not isinstance(outcome, Unregistered)
            if status >= 500:
                assert isinstance(outcome, Busy)
            if status >= 300:
                assert not isinstance(outcome, Accepted)


def test_no_outcome_repeats_what_a_service_echoes(provider: Provider) -> None:
    for status in range(200, 600):
        for name in ("message", "reason", "error", "error_description", "status"):
            for content in (
                {name: BODY},
                {"error": {name: BODY, "details": [{"errorCode": BODY}]}},
            ):
                response = Response(status, body=json.dumps(content).encode())
                assert BODY not in repr(provider.outcome(response, NOW))


def test_a_service_that_says_when_is_believed(provider: Provider) -> None:
    outcome = provider.outcome(Response(503, {"Retry-After": "123"}), NOW)
    assert isinstance(outcome, Busy)
    assert outcome.after == 123


def test_a_credential_says_what_to_ask_for(provider: Provider) -> None:
    credential = provider.credential(provider.lane(device(provider)))
    if credential is None:
        return
    assert isinstance(credential, Credential)
    asked = credential.request(NOW)
    assert isinstance(asked, Request | Token)
    for status in range(100, 600):
        for body in BODIES:
            got = credential.accept(Response(status, {}, body), NOW)
            assert isinstance(got, Busy | Refused)
            assert isinstance(got, Busy) or got.alarm


def test_a_probe_asks_in_the_way_of_a_push_but_for_no_device(provider: Provider) -> None:
    probe, push = (
        provider.probe(NOW, sending()),
        provider.request(FULL, device(provider), NOW, sending()),
    )
    if probe is None:
        return
    assert (probe.method, probe.link) == (push.method, push.link)
    assert urlsplit(probe.url).netloc == urlsplit(push.url).netloc
    assert probe.headers.get("authorization") == push.headers.get("authorization")
    for text in (*FIELDS[provider.type].values(), BODY):
        assert text not in f"{probe.url} {probe.body.decode()}"


def test_any_answer_to_a_probe_has_a_finding_that_repeats_nothing(provider: Provider) -> None:
    for status in range(100, 600):
        for name in ("message", "reason", "error", "error_description", "status"):
            for body in (*BODIES, json.dumps({name: BODY}).encode()):
                finding = provider.probed(Response(status, {}, body), NOW)
                assert finding.text
                assert BODY not in repr(finding)
                assert not finding.is_good or status < 300 or status in (400, 401, 403, 404, 410)


def test_what_is_examined_repeats_no_secret(provider: Provider) -> None:
    for finding in provider.examined(NOW):
        assert finding.is_good
        for secret in ("BEGIN", "a client secret"):
            assert secret not in finding.text


@pytest.mark.parametrize(
    ("outcome", "finding"),
    [
        (Accepted("1"), Finding("the question was taken")),
        (
            Unregistered(reason="404 UNREGISTERED"),
            Finding("the service knows us, and not the made-up device (404 UNREGISTERED)"),
        ),
        (
            Busy(9, Scope.BACKEND, "HTTP 503"),
            Finding("HTTP 503", False, "wait: the service is reached, but it is busy"),
        ),
        (Refused("403: no key", alarm=True), Finding("403: no key", False)),
    ],
)
def test_an_outcome_says_whether_a_probe_went_well(outcome: Outcome, finding: Finding) -> None:
    assert found(outcome) == finding


# The values.


def test_a_summary_has_the_registered_names_and_whole_numbers() -> None:
    assert FULL.summary() == {
        "message-count": 3,
        "pending-subscription-count": 1,
        "last-message-sender": "romeo@example.net",
        "last-subscription-sender": "nurse@example.net",
        "last-message-body": BODY,
    }


def test_a_summary_leaves_out_what_is_not_told() -> None:
    assert BARE.summary() == {}
    assert Notification("n", message_count=0).summary() == {"message-count": 0}


def test_a_summary_can_go_without_bodies_and_senders() -> None:
    assert "last-message-body" not in FULL.summary(bodies=False)
    assert FULL.summary(bodies=False, senders=False) == {
        "message-count": 3,
        "pending-subscription-count": 1,
    }


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("Wed, 18 Nov 2026 11:06:50 GMT", 10.0),
        ("Wednesday, 18-Nov-26 11:06:50 GMT", 10.0),
        ("Wed Nov 18 11:06:50 2026", 10.0),
        ("Wed, 18 Nov 2026 11:06:30 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("99999999999", None),
        ("Wed, 99 Nov 2026 11:06:50 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert Response(503, {"RETRY-after": value}).retry_after(NOW) == seconds


def test_no_retry_after_is_none() -> None:
    assert Response(503).retry_after(NOW) is None


@pytest.mark.parametrize("body", [*BODIES, b'{"a": ' + b"9" * 5000 + b"}"])
def test_a_body_that_is_no_json_object_reads_as_an_empty_one(body: bytes) -> None:
    if body.startswith(b'{"'):
        body = body[:-1]
    assert Response(200, body=body).json() == {}


def test_a_body_is_cut_at_the_limit() -> None:
    assert len(Response(200, body=b"x" * 100_000).body) == 16_384


def test_header_names_have_no_case() -> None:
    response = Response(200, {"APNS-Id": "1"})
    assert response.header("apns-ID") == "1"
    assert response.header("other") == ""


def test_a_request_writes_json_and_forms() -> None:
    assert Request("https://a.example/", json={"a": [1]}).body == b'{"a":[1]}'
    form = Request("https://a.example/", form={"a": "b c", "d": "ü"})
    assert form.body == b"a=b+c&d=%C3%BC"
    assert form.headers == {"content-type": "application/x-www-form-urlencoded"}
    named = Request("https://a.example/", json={}, headers={"content-type": "text/x"})
    assert named.headers == {"content-type": "text/x"}


def test_the_repr_of_a_request_names_the_host_alone() -> None:
    request = Request("https://push.example.net/3/device/abc?x=1", headers={"a": "b"})
    assert repr(request) == "<Request POST push.example.net>"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (204, Refused("HTTP 204")),
        (301, Refused("HTTP 301, a redirect, which is not followed", alarm=True)),
        (408, Busy(9, Scope.DEVICE, "HTTP 408")),
        (413, Refused("HTTP 413", shrink=True)),
        (418, Refused("HTTP 418")),
        (429, Busy(9, Scope.DEVICE, "HTTP 429")),
        (500, Busy(9, Scope.BACKEND, "HTTP 500")),
        (599, Busy(9, Scope.BACKEND, "HTTP 599")),
    ],
)
def test_a_status_that_nobody_documents_has_a_careful_outcome(status: int, outcome: Any) -> None:
    assert by_status(Response(status, {"retry-after": "9"}), NOW) == outcome


def test_a_token_is_to_be_renewed_at_four_fifths_of_its_life() -> None:
    assert Token(Secret("x"), NOW, NOW + 3600).renew_at == NOW + 2880


def test_what_is_wrong_with_an_option_is_a_value_error_that_names_it() -> None:
    error = BadOption("base_url is not an https address", "base_url")
    assert isinstance(error, ValueError)
    assert error.option == "base_url"


def test_a_provider_may_leave_most_to_the_defaults() -> None:
    provider = Obedient()
    assert Provider.lane(provider, Device(Secret("x"))) == ""
    assert Provider.credential(provider, "") is None
    assert Provider.limits == Limits(50, None, 1)
