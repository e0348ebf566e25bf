"""Backends and modules: options that providers and modules declare."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pushd.config.backends import Backend
from pushd.config.load import read
from pushd.config.sections import Config
from pushd.net.certificates import DevelopmentCA
from tests.unit.config.support import HEAD, HOSTS, problems_in


@dataclass(frozen=True, slots=True)
class FCM:
    service_account: str


@dataclass(frozen=True, slots=True)
class Webhook:
    url: str
    base_url: str = "https://a.example"
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Ping:
    interval: float = 60.0


@dataclass(frozen=True, slots=True)
class Strict:
    needed: str


PROVIDERS = {"fcm": FCM, "webhook": Webhook}
MODULES: Mapping[str, type | None] = {
    "ping": Ping,
    "push": Ping,
    "roster": None,
    "strict": Strict,
}


def config_of(text: str, folder: Path) -> Config:
    return read(HEAD + text, folder / "pushd.yml", PROVIDERS, MODULES, now=0.0)


def backends_of(text: str, folder: Path) -> tuple[Backend, ...]:
    return config_of(f"app_server: {{backends: [{text}]}}", folder).app_server.backends


def problems_of(text: str, folder: Path) -> list[str]:
    found = problems_in(config_of, text, folder)
    return [f"{p.key}: found {p.found}; expected {p.remedy}" for p in found]


def cautions_of(text: str, folder: Path) -> list[str]:
    cautions = config_of(text, folder).warnings
    return [f"{c.key}: {c.text}" for c in cautions if not c.key.startswith("domains")]


def test_a_backend_has_its_own_options_and_its_providers(tmp_path: Path) -> None:
    (backend,) = backends_of(f"{{type: fcm, {HOSTS}, service_account: a.json}}", tmp_path)
    assert backend == Backend("fcm", "localhost", "push.localhost", "any", options=FCM("a.json"))


def test_what_backend_and_provider_both_declare_is_told_to_both(tmp_path: Path) -> None:
    authority = DevelopmentCA(tmp_path, 0.0).path
    text = f"{{type: webhook, {HOSTS}, url: x, ca_file: ca.pem, base_url: 'https://b.example/'}}"
    (backend,) = backends_of(text, tmp_path)
    assert (backend.ca_file, backend.base_url) == (authority, "https://b.example")
    assert backend.options == Webhook("x", "https://b.example", authority)
    (backend,) = backends_of(f"{{type: webhook, {HOSTS}, url: x}}", tmp_path)
    assert backend.options == Webhook("x")


def test_what_both_declare_is_complained_of_once(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    text = f"app_server: {{backends: [{{type: webhook, {HOSTS}, url: x, ca_file: ca.pem}}]}}"
    assert problems_of(text, tmp_path) == [
        f"app_server.backends[0].ca_file: found '{tmp_path}/ca.pem',"
        " which holds no certificate (PEM); expected a file of certificates (PEM)"
    ]


@pytest.mark.line(149)
@pytest.mark.parametrize(
    "text",
    ["", "app_server: {backends: []}", "app_server: {backends: ~}", "mod_push: {backends: []}"],
)
def test_no_backends_at_all_is_valid(text: str, tmp_path: Path) -> None:
    assert config_of(text, tmp_path).app_server.backends == ()


@pytest.mark.line(148)
def test_what_is_wrong_is_told_for_each_backend(tmp_path: Path) -> None:
    text = f"app_server: {{backends: [{{type: fcm}}, {{type: webhook, {HOSTS}, urk: x}}, 5]}}"
    assert problems_of(text, tmp_path) == [
        "app_server.backends[0].pubsub_host: found nothing;"
        " expected a domain name such as example.net",
        "app_server.backends[0].register_host: found nothing;"
        " expected a domain name such as example.net",
        "app_server.backends[0].service_account: found nothing; expected a text that is not empty",
        "app_server.backends[1].url: found nothing; expected a text that is not empty",
        "app_server.backends[1].urk: found an unknown key;"
        " expected a known one: did you mean 'url'?",
        "app_server.backends[2]: found a single value;"
        " expected a mapping with type, register_host and pubsub_host",
    ]


def test_gcm_is_fcm_and_says_so(tmp_path: Path) -> None:
    text = f"{{type: gcm, {HOSTS}, service_account: a.json}}"
    (backend,) = backends_of(text, tmp_path)
    assert backend.type == "fcm"
    assert cautions_of(f"app_server: {{backends: [{text}]}}", tmp_path) == [
        "app_server.backends[0].type: 'gcm' is read as 'fcm': GCM ended in 2019,"
        " FCM HTTP v1 took its place"
    ]


@pytest.mark.parametrize("kind", ["gcm", "fcm"])
def test_an_auth_key_is_refused_once_with_its_remedy_and_without_its_value(
    kind: str, tmp_path: Path
) -> None:
    text = f"app_server: {{backends: [{{type: {kind}, {HOSTS}, auth_key: HgeGfbhwplu7F}}]}}"
    (problem,) = problems_of(text, tmp_path)
    assert problem == (
        "app_server.backends[0].auth_key: found an API key of GCM or of the legacy FCM API,"
        " both shut down by Google; expected service_account: the path of the service account"
        " file (JSON) for FCM HTTP v1, from the Firebase console under Project settings,"
        " Service accounts"
    )


def test_an_auth_key_beside_a_service_account_can_be_removed(tmp_path: Path) -> None:
    text = f"{{type: fcm, {HOSTS}, auth_key: HgeGfbhwplu7F, service_account: a.json}}"
    assert cautions_of(f"app_server: {{backends: [{text}]}}", tmp_path) == [
        "app_server.backends[0].auth_key: no longer used: it can be removed"
    ]


def test_a_backend_whose_provider_is_to_come_is_skipped_with_a_warning(tmp_path: Path) -> None:
    text = f"{{type: apns, {HOSTS}, certfile: a.pem}}, {{type: webhook, {HOSTS}, url: x}}"
    assert [backend.type for backend in backends_of(text, tmp_path)] == ["webhook"]
    assert cautions_of(f"app_server: {{backends: [{text}]}}", tmp_path) == [
        "app_server.backends[0].type: the provider 'apns' is not part of this release:"
        " this backend is skipped"
    ]


def test_a_backend_that_is_skipped_has_its_hosts_checked_all_the_same(tmp_path: Path) -> None:
    text = "app_server: {backends: [{type: apns, register_host: a..b, pubsub_host: b}]}"
    assert problems_of(text, tmp_path) == [
        "app_server.backends[0].register_host: found 'a..b';"
        " expected a domain name such as example.net"
    ]


def test_a_type_that_nobody_knows_is_a_mistake(tmp_path: Path) -> None:
    text = f"app_server: {{backends: [{{type: webhok, {HOSTS}, x: y}}, {{type: qqq, {HOSTS}}}]}}"
    assert problems_of(text, tmp_path) == [
        "app_server.backends[0].type: found 'webhok';"
        " expected a known one: did you mean 'webhook'?",
        "app_server.backends[1].type: found 'qqq'; expected one of apns, fcm, ubuntu,"
        " unifiedpush, webhook, webpush, wns",
    ]


@pytest.mark.parametrize("text", ["", "{}", "5"])
def test_backends_are_a_list(text: str, tmp_path: Path) -> None:
    if text:
        (problem,) = problems_of(f"app_server: {{backends: {text}}}", tmp_path)
        assert problem.endswith("a list of backends, each with type, register_host and pubsub_host")
    else:
        assert config_of("app_server:\n  backends:\n", tmp_path).app_server.backends == ()


def test_modules_have_their_options(tmp_path: Path) -> None:
    modules = config_of("modules: {ping: {interval: 5}, roster: }", tmp_path).modules
    assert modules["ping"] == Ping(5.0)
    assert set(modules) == {"ping", "roster"}


def test_a_list_of_modules_has_their_defaults(tmp_path: Path) -> None:
    assert config_of("modules: [ping, roster]", tmp_path).modules["ping"] == Ping()


def test_a_module_is_switched_off_and_on_by_a_word(tmp_path: Path) -> None:
    assert config_of("modules: {ping: no, roster: yes}", tmp_path).modules == {
        "ping": False,
        "roster": None,
    }


def test_a_module_with_a_section_of_its_own_has_no_options_among_the_modules(
    tmp_path: Path,
) -> None:
    assert config_of("modules: [push]", tmp_path).modules == {}
    assert config_of("modules: {push: no}", tmp_path).modules == {"push": False}
    assert problems_of("modules: {push: {interval: 5}}", tmp_path) == [
        "modules.push: found options; expected these in the section `push`"
    ]


def test_what_is_wrong_with_modules_is_told(tmp_path: Path) -> None:
    text = "modules: {pong: {}, ping: {intervall: 5}, roster: {a: b}, strict: }"
    assert problems_of(text, tmp_path) == [
        "modules.pong: found the unknown module 'pong'; expected a known one: did you mean 'ping'?",
        "modules.ping.intervall: found an unknown key;"
        " expected a known one: did you mean 'interval'?",
        "modules.roster.a: found an unknown key; expected none here",
        "modules.strict.needed: found nothing; expected a text that is not empty",
    ]
    assert problems_of("modules: 5", tmp_path) == [
        "modules: found a single value;"
        " expected a mapping from modules to their options, or a list of modules"
    ]
