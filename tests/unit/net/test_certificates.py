"""An authority for development, and the certificates it issues."""

import os
import ssl
import stat
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from pushd.net.certificates import CertificateError, DevelopmentCA

NOW = 1_795_000_000.0
DAY = 86_400
TODAY = datetime.now(UTC).timestamp()  # OpenSSL checks certificates by its own clock


def loaded(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def alternatives(path: Path) -> x509.SubjectAlternativeName:
    return loaded(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def handshake(ca: Path, certificate: Path, key: Path, name: str) -> None:
    """A whole TLS handshake in memory, as strict as OpenSSL can be made."""
    client_context = ssl.create_default_context(cafile=str(ca))
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(certificate, key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=name)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    unfinished = {client, server}
    for _ in range(10):
        for side in list(unfinished):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            unfinished.discard(side)
    assert not unfinished


@pytest.mark.parametrize("name", ["example.net", "a.example.org", "127.0.0.1", "::1"])
def test_a_client_that_trusts_the_authority_accepts_what_it_issues(
    tmp_path: Path, name: str
) -> None:
    authority = DevelopmentCA(tmp_path, TODAY)
    issued = authority.issue(["example.net", "*.example.org", "127.0.0.1", "::1"])
    handshake(authority.path, issued.certificate, issued.key, name)


def test_a_client_refuses_a_name_that_is_not_in_the_certificate(tmp_path: Path) -> None:
    authority = DevelopmentCA(tmp_path, TODAY)
    issued = authority.issue(["example.net"])
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(authority.path, issued.certificate, issued.key, "example.org")


def test_a_client_refuses_what_another_authority_issued(tmp_path: Path) -> None:
    issued = DevelopmentCA(tmp_path / "one", TODAY).issue(["example.net"])
    other = DevelopmentCA(tmp_path / "two", TODAY)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(other.path, issued.certificate, issued.key, "example.net")


def test_a_certificate_names_domains_and_addresses_by_their_kind(tmp_path: Path) -> None:
    issued = DevelopmentCA(tmp_path, NOW).issue(["bücher.example", "push.example.net", "::1"])
    names = alternatives(issued.certificate)
    assert names.get_values_for_type(x509.DNSName) == ["xn--bcher-kva.example", "push.example.net"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("::1")]


def test_a_certificate_is_for_servers_and_signs_no_others(tmp_path: Path) -> None:
    extensions = loaded(DevelopmentCA(tmp_path, NOW).issue(["example.net"]).certificate).extensions
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_certificate_is_valid_for_a_year_from_a_day_before(tmp_path: Path) -> None:
    certificate = loaded(DevelopmentCA(tmp_path, NOW).issue(["example.net"]).certificate)
    assert certificate.not_valid_before_utc.timestamp() == NOW - DAY
    assert certificate.not_valid_after_utc.timestamp() == NOW + 365 * DAY


def test_a_certificate_does_not_outlive_its_authority(tmp_path: Path) -> None:
    DevelopmentCA(tmp_path, NOW)
    later = DevelopmentCA(tmp_path, NOW + 100 * DAY).issue(["example.net"])
    assert loaded(later.certificate).not_valid_after_utc.timestamp() == NOW + 365 * DAY


def test_private_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        authority = DevelopmentCA(tmp_path / "new", NOW)
        issued = authority.issue(["example.net"])
    finally:
        os.umask(before)
    assert mode(tmp_path / "new") == 0o700
    assert mode(tmp_path / "new" / "ca-key.pem") == 0o600
    assert mode(issued.key) == 0o600
    assert mode(authority.path) == 0o644


def test_nothing_but_the_named_files_is_left_in_the_folder(tmp_path: Path) -> None:
    DevelopmentCA(tmp_path, NOW).issue(["example.net"], "web")
    assert sorted(os.listdir(tmp_path)) == ["ca-key.pem", "ca.pem", "web-key.pem", "web.pem"]


def test_the_same_folder_gives_the_same_authority_again(tmp_path: Path) -> None:
    first = DevelopmentCA(tmp_path, NOW).path.read_bytes()
    again = DevelopmentCA(tmp_path, NOW + 10 * DAY)
    assert again.path.read_bytes() == first
    issued = again.issue(["example.net"])
    loaded(issued.certificate).verify_directly_issued_by(loaded(again.path))


def test_an_authority_near_its_end_is_replaced(tmp_path: Path) -> None:
    first = DevelopmentCA(tmp_path, NOW).path.read_bytes()
    assert DevelopmentCA(tmp_path, NOW + 334 * DAY).path.read_bytes() == first
    assert DevelopmentCA(tmp_path, NOW + 336 * DAY).path.read_bytes() != first


def test_an_authority_whose_making_was_interrupted_is_made_anew(tmp_path: Path) -> None:
    authority = DevelopmentCA(tmp_path, NOW)
    authority.path.unlink()
    again = DevelopmentCA(tmp_path, NOW)
    issued = again.issue(["example.net"])
    loaded(issued.certificate).verify_directly_issued_by(loaded(again.path))


def test_an_authority_without_its_key_says_so(tmp_path: Path) -> None:
    DevelopmentCA(tmp_path, NOW)
    (tmp_path / "ca-key.pem").unlink()
    with pytest.raises(CertificateError, match=r"has lost its key ca-key\.pem"):
        DevelopmentCA(tmp_path, NOW)


def test_the_key_of_another_authority_is_refused(tmp_path: Path) -> None:
    DevelopmentCA(tmp_path / "one", NOW)
    DevelopmentCA(tmp_path / "two", NOW)
    os.replace(tmp_path / "two" / "ca-key.pem", tmp_path / "one" / "ca-key.pem")
    with pytest.raises(CertificateError, match=r"is not the key of ca\.pem"):
        DevelopmentCA(tmp_path / "one", NOW)


@pytest.mark.parametrize("name", ["ca.pem", "ca-key.pem"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    DevelopmentCA(tmp_path, NOW)
    (tmp_path / name).write_bytes(b"-----BEGIN NONSENSE-----\n")
    with pytest.raises(CertificateError, match=name):
        DevelopmentCA(tmp_path, NOW)


def test_a_folder_that_is_a_file_cannot_hold_an_authority(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        DevelopmentCA(tmp_path / "file", NOW)


@pytest.mark.parametrize("names", [[], ["not a name"], [""], ["example..net"], ["a" * 64]])
def test_what_cannot_be_connected_to_is_not_certified(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(ValueError, match="name"):
        DevelopmentCA(tmp_path, NOW).issue(names)


@pytest.mark.parametrize("name", ["../up", "", "a/b", ".hidden", "ca", "ca-key"])
def test_a_certificate_stays_in_its_folder_and_off_the_authority(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="file"):
        DevelopmentCA(tmp_path, NOW).issue(["example.net"], name)


def test_a_long_domain_name_fits(tmp_path: Path) -> None:
    name = f"{'a' * 60}.{'b' * 60}.example"
    issued = DevelopmentCA(tmp_path, NOW).issue([name])
    assert alternatives(issued.certificate).get_values_for_type(x509.DNSName) == [name]
