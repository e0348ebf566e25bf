"""Backends of the types webpush and unifiedpush: what the operator may write."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pushd.config.load import read
from pushd.config.problems import ConfigErrors
from pushd.config.sections import Config
from pushd.providers.webpush import Options
from tests.unit.config.support import HEAD, HOSTS, problems_in
from tests.unit.providers.bench import NOW, pem

SUB = "sub: 'mailto:admin@example.net'"


def config_of(text: str, folder: Path, type: str = "webpush") -> Config:
    providers: dict[str, Any] = {"webpush": Options, "unifiedpush": Options}
    backend = f"app_server: {{backends: [{{type: {type}, {HOSTS}, {text}}}]}}"
    return read(HEAD + backend, folder / "pushd.yml", providers, {}, now=NOW)


def options_of(text: str, folder: Path, type: str = "webpush") -> Any:
    return config_of(text, folder, type).app_server.backends[0].options


def problems_of(text: str, folder: Path) -> list[str]:
    return [
        str(problem).partition("backends[0]")[2].replace(f"{folder}/", "")
        for problem in problems_in(options_of, text, folder)
    ]


@pytest.mark.parametrize("type", ["webpush", "unifiedpush"])
def test_a_contact_is_all_that_is_needed(tmp_path: Path, type: str) -> None:
    options = options_of(SUB, tmp_path, type)
    assert options == Options("mailto:admin@example.net")
    assert (options.allow_private, options.padding, options.vapid_key) == (False, True, None)


def test_hosts_keys_and_switches(tmp_path: Path) -> None:
    file = tmp_path / "vapid.pem"
    file.write_text(pem(ec.generate_private_key(ec.SECP256R1())))
    file.chmod(0o600)
    options = options_of(
        f"{SUB}, vapid_key: vapid.pem, allow_hosts: [ntfy.example.net], deny_hosts: [10.0.0.1],"
        " allow_private: yes, padding: no, lifetime: 1h",
        tmp_path,
    )
    assert options == Options(
        "mailto:admin@example.net",
        file,
        ("ntfy.example.net",),
        ("10.0.0.1",),
        allow_private=True,
        padding=False,
        lifetime=3600.0,
    )


@pytest.mark.parametrize(
    "sub",
    [
        "mailto:admin@example.net",
        "mailto:push+web@sub.example.co.uk",
        "https://example.net",
        "https://example.net/contact/push",
    ],
)
def test_a_contact_is_an_address_that_can_be_written_to_or_read(tmp_path: Path, sub: str) -> None:
    assert options_of(f"sub: '{sub}'", tmp_path).sub == sub


@pytest.mark.parametrize(
    "sub",
    [
        "admin@example.net",
        "mailto:admin",
        "mailto:admin@localhost",
        "mailto:admin@127.0.0.1",
        "mailto: admin@example.net",
        "mailto:a@b.example,c@d.example",
        "http://example.net",
        "https://localhost",
        "https://example.net/a b",
        "xmpp:admin@example.net",
    ],
)
def test_what_apple_and_others_refuse_as_a_contact_is_refused_at_once(
    tmp_path: Path, sub: str
) -> None:
    assert problems_of(f"sub: '{sub}'", tmp_path) == [
        f".sub: found '{sub}'; expected an address such as mailto:admin@example.net or"
        " https://example.net/contact"
    ]


def test_without_a_contact_there_is_no_start(tmp_path: Path) -> None:
    assert problems_of("padding: yes", tmp_path) == [
        ".sub: found nothing; expected an address such as mailto:admin@example.net or"
        " https://example.net/contact"
    ]


def test_a_file_without_a_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "vapid.pem").write_text("no key")
    (problem,) = problems_of(f"{SUB}, vapid_key: vapid.pem", tmp_path)
    assert problem.startswith(".vapid_key: found 'vapid.pem', which holds no private key")
    assert "openssl ecparam -name prime256v1" in problem


def test_a_key_that_everybody_may_read_is_warned_of(tmp_path: Path) -> None:
    file = tmp_path / "vapid.pem"
    file.write_text(pem(ec.generate_private_key(ec.SECP256R1())))
    file.chmod(0o644)
    config = config_of(f"{SUB}, vapid_key: vapid.pem", tmp_path)
    assert [str(one.text) for one in config.warnings if one.key.startswith("app_server")] == [
        "every user of this machine may read the key"
    ]


def test_mozilla_is_web_push_today(tmp_path: Path) -> None:
    config = config_of(SUB, tmp_path, "mozilla")
    assert [backend.type for backend in config.app_server.backends] == ["webpush"]
    assert [str(one.text) for one in config.warnings if one.key.startswith("app_server")] == [
        "'mozilla' is read as 'webpush': SimplePush ended with Firefox OS, Web Push took its place"
    ]


def test_a_backend_as_the_reference_has_it(tmp_path: Path) -> None:
    """It asks for nothing but hosts."""
    text = (
        "mod_push:\n  backends:\n    -\n      type: mozilla\n"
        "      register_host: 'example.net'\n      pubsub_host: 'push.example.net'\n"
    )
    config = read(HEAD + text, tmp_path / "pushd.yml", {"webpush": Options}, {}, now=NOW)
    (backend,) = config.app_server.backends
    assert (backend.type, backend.options) == ("webpush", Options("https://example.net"))
    assert [str(one.text) for one in config.warnings if one.key.startswith("mod_push")] == [
        "push services are told to turn to https://example.net: name a contact",
        "'mozilla' is read as 'webpush': SimplePush ended with Firefox OS, Web Push took its place",
    ]


def test_a_contact_is_made_up_from_no_host_that_nobody_else_could_reach(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        config_of("padding: yes", tmp_path, "mozilla")
    (problem,) = caught.value.problems
    assert "sub: found 'https://localhost'" in str(problem)


def test_a_wrong_host_is_named(tmp_path: Path) -> None:
    (problem,) = problems_of(f"{SUB}, deny_hosts: ['*.example.net']", tmp_path)
    assert problem.startswith(".deny_hosts[0]: found '*.example.net'; expected a host")
