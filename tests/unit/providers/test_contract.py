"""What every provider promises; run over all that are found."""

import dataclasses
import json
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from pushd.config.load import read as read_config
from pushd.config.problems import ConfigErrors
from pushd.providers import catalogue
from pushd.providers.contract import (
    Accepted,
    BadField,
    Busy,
    Credential,
    Encrypted,
    Notification,
    Provider,
    Proxy,
    Refused,
    Request,
    Response,
    Secret,
    Token,
    Unregistered,
)
from pushd.providers.dispatch import Dispatcher
from tests.unit.providers.bench import NOW, FakeTransport, Fixed
from tests.unit.providers.samples import (
    BARE,
    BODIES,
    BODY,
    FULL,
    SAMPLES,
    TYPES,
    device,
    made,
    sending,
)


@pytest.fixture(params=TYPES)
def provider(request: pytest.FixtureRequest, tmp_path: Path) -> Provider:
    return made(request.param, tmp_path)


def test_every_provider_has_a_sample_here() -> None:
    assert sorted(SAMPLES) == TYPES


@pytest.mark.parametrize("name", TYPES)
def test_all_that_a_provider_asks_goes_through_its_proxy(name: str, tmp_path: Path) -> None:
    proxy = Proxy("proxy.example.net", 3128)
    provider = made(name, tmp_path, proxy=proxy)
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
    provider.check({**SAMPLES[provider.type].fields, "device-id": "x", "device-name": "Home"})


def test_each_field_that_is_missing_or_empty_is_named(provider: Provider) -> None:
    assert provider.register_fields
    assert not provider.register_fields & provider.optional_fields
    for name in provider.register_fields:
        rest = {key: value for key, value in SAMPLES[provider.type].fields.items() if key != name}
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


def test_what_is_kept_of_a_device_has_a_token_and_is_taken_again(provider: Provider) -> None:
    given = SAMPLES[provider.type].fields
    stored = provider.stored(given)
    assert stored["token"]
    completed = provider.completed(stored, {})
    assert completed.keys() >= stored.keys()
    assert provider.completed(provider.stored(given), completed) == completed


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


@pytest.mark.mistake(16)
def test_any_answer_has_an_outcome_and_none_that_is_unknown_deletes(provider: Provider) -> None:
    known = SAMPLES[provider.type].deleting
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
    for text in (*SAMPLES[provider.type].fields.values(), BODY):
        assert text not in f"{probe.url} {probe.body.decode()}"


def test_any_answer_to_a_probe_has_a_finding_that_repeats_nothing(provider: Provider) -> None:
    names = ("message", "reason", "error", "error_description", "status")
    bodies = (*BODIES, *(json.dumps({name: BODY}).encode() for name in names))
    for status in range(100, 600):
        for body in bodies:
            finding = provider.probed(Response(status, {}, body), NOW)
            assert finding.text
            assert BODY not in repr(finding)
            assert not finding.is_good or status < 300 or status in (400, 401, 403, 404, 410)


def test_what_is_examined_repeats_no_secret(provider: Provider) -> None:
    for finding in provider.examined(NOW):
        assert finding.is_good
        for secret in ("BEGIN", "a client secret"):
            assert secret not in finding.text


# What is sent.


def told(provider: Provider, note: Notification, **changes: Any) -> set[str]:
    """What of a notification's summary a device is told."""
    sample = SAMPLES[provider.type]
    request = provider.request(note, device(provider), NOW, sending(**changes))
    assert sample.size(request) <= sample.limit
    return set(sample.told(request)) - {"node"}


COUNTS = {"message-count", "pending-subscription-count"}
SENDERS = {"last-message-sender", "last-subscription-sender"}


def test_what_a_device_is_told_are_the_registered_names_and_whole_numbers(
    provider: Provider,
) -> None:
    request = provider.request(FULL, device(provider), NOW, sending())
    content = dict(SAMPLES[provider.type].told(request))
    assert content.pop("node") == "node-1"
    assert content == FULL.summary()


def test_what_is_too_long_loses_the_body_then_the_senders_then_everything(
    provider: Provider,
) -> None:
    long = "x" * 25_000
    body = dataclasses.replace(FULL, last_message_body=Secret(long))
    senders = dataclasses.replace(FULL, last_message_sender=long)
    subscriber = dataclasses.replace(FULL, last_subscription_sender=long)
    assert told(provider, FULL) == {*COUNTS, *SENDERS, "last-message-body"}
    assert told(provider, body) == COUNTS | SENDERS
    assert told(provider, senders) == told(provider, subscriber) == COUNTS
    assert told(provider, FULL, shrink=True) == COUNTS
    assert told(provider, dataclasses.replace(FULL, node=long)) == set()
    assert told(provider, BARE) == set()


def test_a_text_is_told_as_long_as_there_is_room_and_not_a_byte_longer(
    provider: Provider,
) -> None:
    sample = SAMPLES[provider.type]
    most = sample.usual or sample.limit
    sizes = []
    for length in range(max(0, most - 1500), most, 5):
        note = dataclasses.replace(FULL, last_message_body=Secret("x" * length))
        request = provider.request(note, device(provider), NOW, sending())
        if "last-message-body" in sample.told(request):
            sizes.append(sample.size(request))
    assert most - 5 < max(sizes) <= most


def test_what_is_encrypted_is_passed_on_and_goes_when_it_is_too_long(provider: Provider) -> None:
    sealed = dataclasses.replace(BARE, encrypted=Encrypted(Secret("c2VhbGVk"), "aXY="))
    assert told(provider, sealed) == {"encrypted", "iv"}
    long = dataclasses.replace(
        BARE, message_count=1, encrypted=Encrypted(Secret("c" * 25_000), "aXY=")
    )
    assert told(provider, long) == {"message-count"}


def test_two_attempts_at_one_content_ask_for_the_same(provider: Provider) -> None:
    sample, to = SAMPLES[provider.type], device(provider)
    same = sending(since=NOW)
    first, later = (provider.request(FULL, to, now, same) for now in (NOW, NOW + 600))
    assert (first.url, first.link, first.field) == (later.url, later.link, later.field)
    assert sample.told(first) == sample.told(later)


# When, and how fast.


@pytest.mark.parametrize("name", TYPES)
def test_times_and_limits_are_such_that_nobody_is_pestered_and_nobody_forgotten(name: str) -> None:
    found = catalogue.find(name)
    assert found is not None
    assert 10 <= found.timeout <= 60
    assert 5 <= found.floor <= 60
    assert found.floor <= found.rest <= 3600
    assert 1 <= found.limits.concurrency <= 1000
    assert found.limits.rate is None or found.limits.rate > 0


def test_a_lane_is_no_secret_and_the_same_for_one_device(provider: Provider) -> None:
    lane = provider.lane(device(provider))
    assert lane == provider.lane(device(provider))
    for text in SAMPLES[provider.type].fields.values():
        assert text not in lane


def test_the_same_options_read_again_lead_to_the_same_connections(
    provider: Provider, tmp_path: Path
) -> None:
    assert made(provider.type, tmp_path).links == provider.links != frozenset()


# What a device and an operator may say.


WRONG = [
    pytest.param(name, fields, field, id=f"{name} {field} {number}")
    for name in TYPES
    for number, (fields, field) in enumerate(SAMPLES[name].wrong)
]


@pytest.mark.parametrize(("name", "fields", "field"), WRONG)
def test_a_field_that_cannot_be_right_is_named_and_not_repeated(
    name: str, fields: dict[str, str], field: str, tmp_path: Path
) -> None:
    with pytest.raises(BadField, match=field) as raised:
        made(name, tmp_path).check({**SAMPLES[name].fields, **fields})
    assert raised.value.field == field
    assert fields[field] not in str(raised.value)


def test_each_field_has_a_sample_of_what_is_wrong(provider: Provider) -> None:
    named = {field for _, field in SAMPLES[provider.type].wrong}
    assert provider.register_fields <= named
    assert named <= provider.register_fields | provider.optional_fields


def written(value: Any) -> Any:
    """An option as it is written in a configuration."""
    if isinstance(value, Secret):
        return value.reveal()
    return str(value) if isinstance(value, Path) else value


def problems(name: str, options: dict[str, Any], folder: Path) -> list[tuple[str, str]]:
    """The key and the words of each mistake in a backend with these options."""
    hosts = {"register_host": "localhost", "pubsub_host": "push.localhost"}
    backend = {"type": name, **hosts, **{key: written(value) for key, value in options.items()}}
    whole = {
        "domains": ["localhost"],
        "data": ".",
        "listen": {"client": [], "client_tls": []},
        "app_server": {"backends": [backend]},
    }
    try:
        read_config(json.dumps(whole), folder / "pushd.yml", catalogue.all_options(), {}, now=NOW)
    except ConfigErrors as errors:
        return [(one.key, str(one)) for one in errors.problems]
    return []


@pytest.mark.parametrize("name", TYPES)
def test_the_options_of_the_sample_can_be_written_in_a_configuration(
    name: str, tmp_path: Path
) -> None:
    assert problems(name, SAMPLES[name].options(tmp_path), tmp_path) == []


UNUSABLE = [
    pytest.param(name, options, key, id=f"{name} {key} {number}")
    for name in TYPES
    for number, (options, key) in enumerate(SAMPLES[name].unusable)
]


@pytest.mark.parametrize(("name", "options", "key"), UNUSABLE)
def test_an_option_that_cannot_be_is_named_and_no_secret_is_repeated(
    name: str, options: Any, key: str, tmp_path: Path
) -> None:
    given = {**SAMPLES[name].options(tmp_path), **options(tmp_path)}
    found = problems(name, given, tmp_path)
    place = "app_server.backends[0]"
    assert [one for one, _ in found] == [f"{place}.{key}" if key else place]
    for proof in (*SAMPLES[name].proofs, "garbage of the operator's"):
        assert proof not in found[0][1]


@pytest.mark.parametrize("name", TYPES)
def test_an_option_that_there_is_not_is_named(name: str, tmp_path: Path) -> None:
    found = problems(name, {**SAMPLES[name].options(tmp_path), "colour": "red"}, tmp_path)
    assert [one for one, _ in found] == ["app_server.backends[0].colour"]


# Secrets.


@pytest.mark.parametrize("name", TYPES)
def test_no_secret_of_the_operators_is_in_what_is_shown(name: str, tmp_path: Path) -> None:
    provider = made(name, tmp_path)
    found = catalogue.find(name)
    assert found is not None
    options = catalogue.options(found)(**SAMPLES[name].options(tmp_path))
    credential = provider.credential(provider.lane(device(provider)))
    asked = credential.request(NOW) if credential is not None else None
    shown = repr([options, credential, asked, *provider.links, vars(provider)])
    for proof in SAMPLES[name].proofs:
        assert proof not in shown


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What goes to the log, with all its fields."""
    lines: list[str] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        lines.append(repr(event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 410, 413, 429, 500])
def test_neither_log_nor_reports_have_a_secret_whatever_a_service_echoes(
    status: int, provider: Provider, logged: list[str]
) -> None:
    to, clock = device(provider), Clock()
    reports: list[object] = []
    clock.advance(NOW)
    secrets = [BODY, to.token.reveal(), *SAMPLES[provider.type].proofs]
    said = json.dumps({"error": secrets, "message": BODY, "reason": to.token.reveal()}).encode()

    def answer(request: Request) -> Response:
        if request.url.endswith(("/token", "accesstoken.srf")):  # the credential, which is granted
            return Response(200, body=b'{"access_token": "bearer-1", "expires_in": 3600}')
        return Response(status, {"x-wns-error-description": BODY}, said)

    dispatcher = Dispatcher(clock, FakeTransport(answer), reports.append, Fixed())
    dispatcher.add("main", provider)
    pushed = Deferred.fromCoroutine(
        dispatcher.push("main", lambda: FULL, lambda: to, lambda *lost: reports.append(lost[1:]))
    )
    results: list[Any] = []
    pushed.addBoth(results.append)
    clock.pump([60.0] * 5)
    pushed.cancel()
    dispatcher.close()
    assert reports
    shown = repr([reports, results, logged])
    for secret in (*secrets, "bearer-1"):
        assert secret not in shown
