"""Backends of type apns: what the operator may write, and what is said of it."""

from pathlib import Path
from typing import Any

import pytest

from pushd.config.load import read
from pushd.config.problems import ConfigErrors
from pushd.config.sections import Config
from pushd.providers.apns import Options
from tests.unit.config.support import HEAD, HOSTS, problems_in
from tests.unit.providers.apple import certificate, signing_key
from tests.unit.providers.bench import DAY, NOW, pem, rsa_key

TYPE = f"type: apns, {HOSTS}"
KEY = "key_file: AuthKey_ABC123DEFG.p8"
WHOLE = f"{KEY}, team_id: TEAM123456, topic: com.example.app"


def config_of(text: str, folder: Path) -> Config:
    providers: dict[str, type] = {"apns": Options}
    return read(HEAD + text, folder / "pushd.yml", providers, {}, now=NOW)


def options_of(text: str, folder: Path) -> Any:
    backends = f"app_server: {{backends: [{{{TYPE}, {text}}}]}}"
    return config_of(backends, folder).app_server.backends[0].options


def problems_of(text: str, folder: Path) -> list[str]:
    return [
        str(problem).partition("backends[0]")[2].replace(f"{folder}/", "")
        for problem in problems_in(options_of, text, folder)
    ]


def cautions_of(text: str, folder: Path) -> list[str]:
    config = config_of(f"app_server: {{backends: [{{{TYPE}, {text}}}]}}", folder)
    return [str(c.text) for c in config.warnings if c.key.startswith("app_server")]


def test_a_backend_with_a_signing_key(tmp_path: Path) -> None:
    file = signing_key(tmp_path)
    options = options_of(f"{WHOLE}, environment: sandbox, port: 2197, sound: ~", tmp_path)
    assert (options.key_file, options.team_id, options.topic, options.environment) == (
        file,
        "TEAM123456",
        "com.example.app",
        "sandbox",
    )
    assert (options.port, options.sound, options.lifetime) == (2197, None, 86_400)


def test_a_backend_as_the_reference_has_it(tmp_path: Path) -> None:
    file = certificate(tmp_path, ends_at=NOW + 300 * DAY)
    text = (
        "mod_push:\n  backends:\n    -\n      type: apns\n      register_host: localhost\n"
        "      pubsub_host: push.localhost\n      certfile: apns.pem\n"
    )
    config = config_of(text, tmp_path)
    (backend,) = config.app_server.backends
    assert (backend.type, backend.app_name, backend.options.certfile) == ("apns", "any", file)


@pytest.mark.line(148)
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "environment: sandbox",
            "expected either key_file (with key_id, team_id and topic), or certfile",
        ),
        (
            f"{WHOLE}, environment: Sandbox",
            ".environment: found 'Sandbox'; expected production or sandbox",
        ),
        (f"{WHOLE}, port: 5223", "expected port: 443 or 2197"),
        (f"{KEY}, team_id: TEAM123456", "expected topic, too, beside key_file"),
        (
            f"{KEY}, team_id: team, topic: com.example.app",
            ".team_id: found 'team'; expected ten capital letters and digits",
        ),
        (
            f"{KEY}, team_id: TEAM123456, topic: 'a b'",
            ".topic: found 'a b'; expected a bundle id such as com.example.app",
        ),
        ("key_file: nowhere.p8", ".key_file: found 'nowhere.p8', which cannot be opened"),
        (
            "key_file: rsa.p8",
            ".key_file: found 'rsa.p8', whose key is not one on the curve P-256;"
            " expected the signing key (.p8) from Apple's developer site",
        ),
        (
            "certfile: other.pem",
            ".certfile: found 'other.pem', which holds no certificate (PEM);"
            " expected a file (PEM) with the certificate from Apple and its private key;"
            " `openssl pkcs12 -in FILE.p12 -nodes -out FILE.pem` makes one of a .p12 file",
        ),
        (
            "certfile: bare.pem",
            "expected the certificate's key, not bare.pem, which holds no private key",
        ),
        (
            "certfile: bare.pem, keyfile: other.pem",
            "expected the certificate's key, not other.pem, whose key does not belong",
        ),
        ("certfile: apns.pem, topic: b.c", "expected as topic one of the certificate's: a.b"),
        (
            "certfile: old.pem",
            ".certfile: found a certificate that expired on 2026-11-17; expected one that is",
        ),
    ],
)
def test_what_cannot_work_is_named_with_the_remedy(text: str, problem: str, tmp_path: Path) -> None:
    signing_key(tmp_path)
    signing_key(tmp_path, "other.pem", number=1)
    (tmp_path / "rsa.p8").write_text(pem(rsa_key()))
    certificate(tmp_path, "a.b")
    certificate(tmp_path, name="bare.pem", with_key=False)
    certificate(tmp_path, name="old.pem", ends_at=NOW - DAY)
    (found,) = problems_of(text, tmp_path)
    assert problem in found


@pytest.mark.parametrize(("days", "is_soon"), [(1, True), (29, True), (31, False)])
def test_a_certificate_that_ends_soon_is_warned_of(
    days: int, is_soon: bool, tmp_path: Path
) -> None:
    certificate(tmp_path, ends_at=NOW + days * DAY).chmod(0o600)
    warnings = cautions_of("certfile: apns.pem", tmp_path)
    assert [
        text.startswith("the certificate for the provider expires on") for text in warnings
    ] == [True] * is_soon


@pytest.mark.parametrize(
    ("text", "warns"),
    [
        (WHOLE, ["every user of this machine may read the key"]),
        ("certfile: apns.pem", ["every user of this machine may read the key"]),
        ("certfile: bare.pem, keyfile: secret.pem", []),
    ],
)
def test_a_key_that_everybody_may_read_is_warned_of(
    text: str, warns: list[str], tmp_path: Path
) -> None:
    signing_key(tmp_path).chmod(0o644)
    certificate(tmp_path).chmod(0o644)
    certificate(tmp_path, name="bare.pem", with_key=False).chmod(0o644)
    signing_key(tmp_path, "secret.pem").chmod(0o600)
    assert cautions_of(text, tmp_path) == warns
    for file in tmp_path.iterdir():
        file.chmod(0o600)
    assert cautions_of(text, tmp_path) == []


def test_nothing_of_a_key_is_repeated(tmp_path: Path) -> None:
    (tmp_path / "rsa.p8").write_text(text := pem(rsa_key()))
    (problem,) = problems_of("key_file: rsa.p8", tmp_path)
    assert not [line for line in text.splitlines()[1:-1] if line in problem]


def test_several_apps_are_told_apart_by_their_names(tmp_path: Path) -> None:
    signing_key(tmp_path)
    one, other = (f"{{{TYPE}, {WHOLE}{name}}}" for name in ("", ", app_name: other"))
    backends = config_of(
        f"app_server: {{backends: [{one}, {other}]}}", tmp_path
    ).app_server.backends
    assert [backend.app_name for backend in backends] == ["any", "other"]
    with pytest.raises(ConfigErrors, match="2 backends of type apns for the app 'any'"):
        config_of(f"app_server: {{backends: [{one}, {one}]}}", tmp_path)
