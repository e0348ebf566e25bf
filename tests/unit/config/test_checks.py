"""What is in certificates, keys and service account files."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from pushd.config import checks
from pushd.net.certificates import DevelopmentCA

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def pem(key: Any, encryption: KeySerializationEncryption | None = None) -> bytes:
    data: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    return data


@pytest.fixture(scope="module")
def rsa_key() -> bytes:
    return pem(rsa.generate_private_key(65_537, 2048))


@pytest.fixture
def authority(tmp_path: Path) -> DevelopmentCA:
    return DevelopmentCA(tmp_path / "ca", NOW.timestamp())


def test_a_certificate_is_held_against_the_domain_and_the_day(authority: DevelopmentCA) -> None:
    names = ["example.net", "*.example.org", "münchen.example", "127.0.0.1", "::1"]
    certificate = checks.load_certificate(authority.issue(names).certificate.read_bytes())
    assert certificate is not None
    for domain in (
        "example.net",
        "chat.example.org",
        "münchen.example",
        "127.0.0.1",
        "[::1]",
    ):
        assert checks.certificate_fault(certificate, domain, NOW) is None
    for domain in ("example.org", "a.b.example.org", "chat.example.net", "127.0.0.2"):
        assert checks.certificate_fault(certificate, domain, NOW) == (
            "which is for example.net, *.example.org, xn--mnchen-3ya.example, 127.0.0.1, [::1]"
        )
    late, early = NOW + timedelta(days=400), NOW - timedelta(days=400)
    assert checks.certificate_fault(certificate, "example.net", late) == (
        f"which expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    )
    assert checks.certificate_fault(certificate, "example.net", early) == (
        f"which is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}"
    )
    assert not checks.expires_soon(certificate, NOW)
    assert checks.expires_soon(certificate, certificate.not_valid_after_utc - timedelta(days=29))


def test_a_certificate_without_alternative_names_is_for_no_domain(
    authority: DevelopmentCA,
) -> None:
    certificate = checks.load_certificate(authority.path.read_bytes())
    assert certificate is not None
    assert checks.certificate_fault(certificate, "example.net", NOW) == "which is for no domain"


@pytest.mark.parametrize("data", [b"", b"sesame", b"-----BEGIN CERTIFICATE-----\nc2VzYW1l\n"])
def test_what_is_no_certificate_is_none(data: bytes) -> None:
    assert checks.load_certificate(data) is None


def test_a_key_belongs_to_its_certificate(authority: DevelopmentCA, rsa_key: bytes) -> None:
    issued = authority.issue(["example.net"])
    certificate = checks.load_certificate(issued.certificate.read_bytes())
    assert certificate is not None
    own = issued.key.read_bytes()
    assert checks.key_fault(certificate, own) is None
    assert checks.key_fault(certificate, issued.certificate.read_bytes() + own) is None
    for stranger in (rsa_key, pem(ec.generate_private_key(ec.SECP256R1()))):
        assert checks.key_fault(certificate, stranger) == (
            "whose key does not belong to the certificate"
        )


def test_a_key_with_a_passphrase_is_no_key_to_a_server(authority: DevelopmentCA) -> None:
    issued = authority.issue(["example.net"])
    certificate = checks.load_certificate(issued.certificate.read_bytes())
    assert certificate is not None
    key = checks.load_key(issued.key.read_bytes())
    locked = pem(key, BestAvailableEncryption(b"sesame"))
    for data in (
        locked,
        b"",
        b"-----BEGIN PRIVATE KEY-----\nc2VzYW1l\n-----END PRIVATE KEY-----\n",
    ):
        assert checks.key_fault(certificate, data) == (
            "which holds no private key (PEM, without a passphrase)"
        )


def account_of(key: bytes) -> dict[str, Any]:
    return {
        "type": "service_account",
        "project_id": "a-project",
        "private_key_id": "1",
        "private_key": key.decode(),
        "client_email": "push@a-project.example",
        "token_uri": "https://oauth2.example/token",
    }


def test_a_service_account_has_its_fields_and_a_key(tmp_path: Path, rsa_key: bytes) -> None:
    file = tmp_path / "account.json"
    file.write_text(json.dumps(account_of(rsa_key)))
    assert checks.service_account_fault(file) is None


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"type": "authorized_user"}, "which is not of the type service_account"),
        ({"project_id": ""}, "which has no project_id"),
        ({"client_email": None}, "which has no client_email"),
        ({"token_uri": 5}, "which has no token_uri"),
        (
            {"private_key": "sesame"},
            "whose private_key is not an RSA key (PEM) of 2048 bits or more",
        ),
        (
            {"private_key": pem(rsa.generate_private_key(65_537, 1024)).decode()},
            "whose private_key is not an RSA key (PEM) of 2048 bits or more",
        ),
        (
            {"private_key": pem(ec.generate_private_key(ec.SECP256R1())).decode()},
            "whose private_key is not an RSA key (PEM) of 2048 bits or more",
        ),
    ],
)
def test_what_a_service_account_lacks_is_told(
    change: dict[str, Any], fault: str, tmp_path: Path, rsa_key: bytes
) -> None:
    file = tmp_path / "account.json"
    file.write_text(json.dumps(account_of(rsa_key) | change))
    assert checks.service_account_fault(file) == fault


@pytest.mark.parametrize("text", ["", "sesame", "[" * 100_000, "\x00"])
def test_what_is_no_json_is_told_without_its_content(text: str, tmp_path: Path) -> None:
    file = tmp_path / "account.json"
    file.write_text(text)
    assert checks.service_account_fault(file) == "which is not JSON"


def test_a_list_is_no_service_account(tmp_path: Path) -> None:
    file = tmp_path / "account.json"
    file.write_text("[]")
    assert checks.service_account_fault(file) == "which is not of the type service_account"


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "account.json"
    file.write_text(" " * 2_000_000)
    assert checks.service_account_fault(file) == "which cannot be read"
    assert checks.authorities_fault(file) == "which cannot be read"


def test_authorities_are_certificates(tmp_path: Path, authority: DevelopmentCA) -> None:
    assert checks.authorities_fault(authority.path) is None
    file = tmp_path / "empty.pem"
    file.touch()
    assert checks.authorities_fault(file) == "which holds no certificate (PEM)"
