"""Certificates by SNI, renewed and broken; ALPN; channel bindings. Handshakes are in memory."""

import contextlib
import hashlib
import os
import ssl
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.protocols.tls import TLSMemoryBIOProtocol

from pushd.net.certificates import CertificateError, DevelopmentCA
from pushd.net.tls import (
    LOOK,
    UNUSABLE,
    CertificateFiles,
    CertificateStore,
    DirectTLS,
    Front,
    TLSProtocol,
    channel_bindings,
    end_point,
    tend,
)

NET, ORG = "example.net", "example.org"


class Office:
    """An authority, and the files of two domains."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = DevelopmentCA(folder, time.time())
        self.files = {domain: self.issue(domain) for domain in (NET, ORG)}

    def issue(self, domain: str) -> CertificateFiles:
        issued = self.authority.issue([domain], domain)
        return CertificateFiles(issued.certificate, issued.key)

    def store(self, alpn: bytes = b"xmpp-client") -> CertificateStore:
        return CertificateStore(self.files, alpn)

    def client(self, *alpn: str, most: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.path))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if most is not None:
            context.maximum_version = most
        return context


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


class Handshake:
    """A client of the standard library and a server's connection, in memory."""

    def __init__(
        self,
        front: Front,
        context: ssl.SSLContext,
        name: str | None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self.server = front.serverConnectionForTLS(None)  # type: ignore[arg-type]
        self.server.set_accept_state()
        self._to_client, self._to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        context.check_hostname = name is not None
        self.client = context.wrap_bio(self._to_client, self._to_server, server_hostname=name)
        if session is not None:
            self.client.session = session
        for _ in range(6):
            self._try(self.client.do_handshake, ssl.SSLWantReadError)
            if data := self._to_server.read():
                self.server.bio_write(data)
            try:
                self._try(self.server.do_handshake, SSL.WantReadError)
            finally:
                self._pump()

    def _try(self, act: Callable[[], None], patience: type[Exception]) -> None:
        with contextlib.suppress(patience):
            act()

    def _pump(self) -> None:
        with contextlib.suppress(SSL.WantReadError):
            self._to_client.write(self.server.bio_read(1 << 16))

    def certificate(self) -> x509.Certificate:
        """What the client was shown."""
        shown = self.client.getpeercert(binary_form=True)
        assert shown is not None
        return x509.load_der_x509_certificate(shown)

    def names(self) -> list[str]:
        extension = self.certificate().extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        return list(extension.value.get_values_for_type(x509.DNSName))


# Which certificate.


@pytest.mark.parametrize(("name", "shown"), [(NET, NET), (ORG, ORG), ("EXAMPLE.org", ORG)])
def test_a_client_gets_the_certificate_of_the_domain_it_names(
    office: Office, name: str, shown: str
) -> None:
    assert Handshake(office.store().options, office.client(), name).names() == [shown]


def test_a_client_that_names_a_service_gets_the_certificate_that_is_for_it(
    office: Office,
) -> None:
    """Other servers call components and services by names of their own."""
    issued = office.authority.issue([ORG, f"*.{ORG}"], ORG)
    office.files[ORG] = CertificateFiles(issued.certificate, issued.key)
    shown = Handshake(office.store().options, office.client(), f"push.{ORG}").names()
    assert shown == [ORG, f"*.{ORG}"]


def test_a_name_in_another_script_is_said_in_ascii(office: Office) -> None:
    """RFC 6066 §3; ours are in Unicode."""
    name, ascii_name = "bücher.example", "xn--bcher-kva.example"
    issued = office.authority.issue([name], ascii_name)
    office.files[name] = CertificateFiles(issued.certificate, issued.key)
    shown = Handshake(office.store().options, office.client(), ascii_name).names()
    assert shown == [ascii_name]


def test_a_client_that_names_no_domain_gets_the_one_of_its_stream(office: Office) -> None:
    store = office.store()
    assert Handshake(store.options_for(ORG), office.client(), None).names() == [ORG]
    assert Handshake(store.options_for("no.such.domain"), office.client(), None).names() == [NET]
    assert Handshake(store.options, office.client(), None).names() == [NET]


def test_a_strangers_name_is_shown_what_there_is(office: Office) -> None:
    context = office.client()
    context.check_hostname = False
    with pytest.raises(ssl.SSLCertVerificationError, match="stranger"):
        Handshake(office.store().options, context, "stranger.example")


def test_certificate_and_key_may_be_one_file(office: Office, tmp_path: Path) -> None:
    both, files = tmp_path / "both.pem", office.files[NET]
    both.write_bytes(files.key.read_bytes() + files.certificate.read_bytes())

    store = CertificateStore({NET: CertificateFiles(both, both)})

    assert Handshake(store.options, office.client(), NET).names() == [NET]


def test_intermediate_certificates_are_sent_along(office: Office) -> None:
    chain = office.files[NET].certificate
    chain.write_bytes(chain.read_bytes() + office.authority.path.read_bytes())

    shaken = Handshake(office.store().options, office.client(), NET)

    assert shaken.names() == [NET]
    assert len(x509.load_pem_x509_certificates(chain.read_bytes())) == 2


# Renewal.


@pytest.mark.parametrize("name", [NET, None])
def test_a_renewed_certificate_is_shown_from_the_next_handshake_on(
    office: Office, name: str | None
) -> None:
    store = office.store()
    first = Handshake(store.options, office.client(), name).certificate()

    office.issue(NET)

    second = Handshake(store.options, office.client(), name).certificate()
    assert second.serial_number != first.serial_number
    assert Handshake(store.options, office.client(), ORG).names() == [ORG]


@pytest.mark.parametrize("broken", [b"", b"nonsense", "other key", "encrypted", "gone", "folder"])
def test_a_renewed_certificate_that_is_of_no_use_is_not_used(
    office: Office, broken: bytes | str
) -> None:
    store, files = office.store(), office.files[NET]
    first = Handshake(store.options, office.client(), NET).certificate()

    if isinstance(broken, bytes):
        files.certificate.write_bytes(broken)
    elif broken == "other key":
        files.key.write_bytes(office.files[ORG].key.read_bytes())
    elif broken == "encrypted":
        files.key.write_bytes(pem(ec.generate_private_key(ec.SECP256R1()), b"passphrase"))
    else:
        files.key.unlink()
        if broken == "folder":
            files.key.mkdir()

    for _ in range(2):
        assert Handshake(store.options, office.client(), NET).certificate() == first
    if broken == "folder":
        files.key.rmdir()
    office.issue(NET)
    assert Handshake(store.options, office.client(), NET).certificate() != first


def test_a_look_from_time_to_time_tells_what_is_wrong_until_it_is_right(office: Office) -> None:
    store, files = office.store(), office.files[NET]
    good = files.key.read_bytes()

    def fault() -> str:
        store.refresh()
        return store.loaded()[NET].fault

    assert fault() == ""
    with capturedLogs() as said:
        files.key.write_bytes(b"nonsense")
        assert "key" in fault() or "PEM" in fault()
        store.refresh()
    assert [event["log_level"] for event in said] == [LogLevel.error]  # once is enough
    files.key.unlink()
    assert "No such file" in fault()
    files.key.write_bytes(good)
    assert fault() == ""


def test_a_file_that_is_away_for_a_moment_is_no_fault_for_long(office: Office) -> None:
    store, files = office.store(), office.files[NET]
    aside = files.key.with_suffix(".aside")
    files.key.rename(aside)
    store.refresh()
    assert store.loaded()[NET].fault

    aside.rename(files.key)
    store.refresh()

    assert store.loaded()[NET].fault == ""


def test_files_are_looked_at_though_nobody_shakes_hands(office: Office) -> None:
    store, clock = office.store(), Clock()
    clock.advance(time.time())
    store.watch(clock)
    first = store.loaded()[NET].certificate

    office.issue(NET)
    clock.advance(LOOK - 1)
    assert store.loaded()[NET].certificate == first
    clock.advance(1)
    second = store.loaded()[NET].certificate
    assert second != first
    office.files[NET].key.write_bytes(b"nonsense")
    with capturedLogs() as said:
        clock.advance(LOOK)
        clock.advance(LOOK)
    assert len(said) == 1
    assert store.loaded()[NET].certificate == second

    store.unwatch()
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("name", "age", "words"),
    [
        (ORG, 0, "a certificate which is for example.org"),
        (NET, 400, "a certificate which expired on "),
        (NET, -3, "a certificate which is not valid before "),
    ],
    ids=["another's", "old", "early"],
)
def test_a_renewed_certificate_that_clients_would_refuse_is_not_used(
    office: Office, tmp_path: Path, name: str, age: int, words: str
) -> None:
    store, clock = office.store(), Clock()
    clock.advance(time.time())
    store.watch(clock)
    first = store.loaded()[NET].certificate
    (tmp_path / "other").mkdir()
    then = time.time() - age * 86_400
    issued = DevelopmentCA(tmp_path / "other", then).issue([name])

    issued.key.replace(office.files[NET].key)
    issued.certificate.replace(office.files[NET].certificate)
    store.refresh()

    assert store.loaded()[NET].fault.startswith(words)
    assert Handshake(store.options, office.client(), NET).certificate() == first


def test_what_is_in_use_is_told_with_its_end(office: Office) -> None:
    store = office.store()
    shown = Handshake(store.options, office.client(), NET).certificate()

    assert store.loaded()[NET].expires_at == shown.not_valid_after_utc.timestamp()


def test_other_files_take_the_place_of_the_first_ones_or_nothing_does(office: Office) -> None:
    store = office.store()
    first = Handshake(store.options, office.client(), NET).certificate()
    files = office.files[NET]
    moved = CertificateFiles(
        files.certificate.with_name("moved.pem"), files.key.with_name("moved-key.pem")
    )
    with pytest.raises(CertificateError, match=r"the certificate of example.net cannot be used"):
        store.replace({NET: moved})
    assert Handshake(store.options, office.client(), NET).certificate() == first

    files.certificate.rename(moved.certificate)
    files.key.rename(moved.key)
    office.issue(NET)
    store.replace({NET: moved})

    assert Handshake(store.options, office.client(), NET).certificate() == first
    assert Handshake(store.options, office.client(), ORG).names() == [ORG]


@pytest.mark.parametrize("broken", ["certificate", "key"])
def test_a_server_does_not_start_with_files_of_no_use(office: Office, broken: str) -> None:
    getattr(office.files[ORG], broken).write_bytes(b"nonsense")

    with pytest.raises(UNUSABLE):
        office.store()


def test_files_of_the_same_age_and_size_are_told_apart(office: Office, tmp_path: Path) -> None:
    files = office.files[NET]
    before, stat = files.state(), files.certificate.stat()
    other = tmp_path / "other.pem"
    other.write_bytes(files.certificate.read_bytes())
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    other.replace(files.certificate)

    assert files.state() != before


# What TLS is spoken.


@pytest.mark.parametrize("alpn", [(), ("xmpp-client",), ("h2", "xmpp-client")])
def test_a_client_may_name_the_protocol_or_none(office: Office, alpn: tuple[str, ...]) -> None:
    shaken = Handshake(office.store().options, office.client(*alpn), NET)

    assert shaken.client.selected_alpn_protocol() == ("xmpp-client" if alpn else None)


def test_a_client_that_wants_another_protocol_is_told_so(office: Office) -> None:
    with pytest.raises(SSL.Error):
        Handshake(office.store().options, office.client("h2", "http/1.1"), NET)


def test_old_versions_of_tls_are_not_spoken(office: Office) -> None:
    with warnings.catch_warnings(action="ignore"):
        context = office.client(most=ssl.TLSVersion.TLSv1_1)
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")

    with pytest.raises(SSL.Error):
        Handshake(office.store().options, context, NET)


@pytest.mark.parametrize("cipher", ["ECDHE+AESGCM", "ECDHE+CHACHA20"])
def test_tls_1_2_is_spoken_with_ciphers_that_authenticate(office: Office, cipher: str) -> None:
    context = office.client(most=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(cipher)

    assert Handshake(office.store().options, context, NET).client.version() == "TLSv1.2"


@pytest.mark.parametrize("cipher", ["ECDHE+AES:!AESGCM:!AESCCM", "ECDHE+AESCCM", "RSA", "DHE"])
def test_tls_1_2_is_spoken_with_no_other_ciphers(office: Office, cipher: str) -> None:
    context = office.client(most=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")

    with pytest.raises(SSL.Error):
        Handshake(office.store().options, context, NET)


# Channel bindings.


def test_under_tls_1_3_both_bindings_are_usable_and_differ_by_connection(office: Office) -> None:
    store = office.store()
    one, other = (
        channel_bindings(Handshake(store.options, office.client(), NET).server) for _ in range(2)
    )

    assert list(one) == ["tls-exporter", "tls-server-end-point"]
    assert len(one["tls-exporter"]) == 32
    assert one["tls-exporter"] != other["tls-exporter"]
    assert one["tls-server-end-point"] == other["tls-server-end-point"]


def test_under_tls_1_2_the_handshake_itself_binds(office: Office) -> None:
    context = office.client(most=ssl.TLSVersion.TLSv1_2)
    shaken = Handshake(office.store().options, context, ORG)

    shown = shaken.client.getpeercert(binary_form=True)
    assert shown is not None
    assert channel_bindings(shaken.server) == {
        "tls-unique": shaken.client.get_channel_binding("tls-unique"),
        "tls-server-end-point": hashlib.sha256(shown).digest(),
    }


def signed(key: Any, algorithm: Any) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NET)])
    now, day = datetime.now(UTC), timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NET)]), False)
        .sign(key, algorithm)
    )


def pem(key: Any, passphrase: bytes = b"") -> bytes:
    written: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption(),
    )
    return written


@pytest.mark.parametrize(
    ("algorithm", "used"),
    [(hashes.SHA256(), "sha256"), (hashes.SHA384(), "sha384"), (hashes.SHA512(), "sha512")],
)
def test_an_end_point_is_hashed_as_its_certificate_was_signed(
    algorithm: hashes.HashAlgorithm, used: str
) -> None:
    certificate = signed(ec.generate_private_key(ec.SECP256R1()), algorithm)
    whole = certificate.public_bytes(serialization.Encoding.DER)

    assert end_point(certificate) == hashlib.new(used, whole).digest()


def test_a_certificate_signed_without_a_hash_binds_no_channel_by_itself(tmp_path: Path) -> None:
    """RFC 5929 §4.1 leaves it undefined."""
    key = ed25519.Ed25519PrivateKey.generate()
    files = CertificateFiles(tmp_path / "c.pem", tmp_path / "k.pem")
    files.key.write_bytes(pem(key))
    certificate = signed(key, None)
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.create_default_context(cafile=str(files.certificate))

    shaken = Handshake(CertificateStore({NET: files}).options, context, NET)

    assert list(channel_bindings(shaken.server)) == ["tls-exporter"]


def test_a_renewed_certificate_binds_by_its_own_end_point(office: Office) -> None:
    store = office.store()

    def bound() -> bytes:
        return channel_bindings(Handshake(store.options, office.client(), NET).server)[
            "tls-server-end-point"
        ]

    first, same = bound(), bound()
    office.issue(NET)

    assert first == same != bound()


# What TLS offers besides.


def tls_1_2(office: Office) -> Handshake:
    return Handshake(office.store().options, office.client(most=ssl.TLSVersion.TLSv1_2), NET)


def test_nothing_is_compressed(office: Office) -> None:
    assert tls_1_2(office).client.compression() is None


@pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_of_tls_is_resumed(office: Office, most: ssl.TLSVersion) -> None:
    """Whoever learns the key of a ticket reads all that was said under it."""
    front, context = office.store().options, office.client(most=most)
    first = Handshake(front, context, NET)
    first.server.send(b"hello")
    first._pump()
    assert first.client.read() == b"hello"

    assert first.client.session is not None

    again = Handshake(front, context, NET, first.client.session)

    assert again.client.version() == first.client.version()
    assert not again.client.session_reused


def test_a_client_cannot_ask_for_another_handshake(office: Office) -> None:
    front = office.store().options
    server = front.serverConnectionForTLS(None)  # type: ignore[arg-type]
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    client = SSL.Connection(context, None)
    client.set_connect_state()
    server.set_accept_state()

    def say(one: SSL.Connection, other: SSL.Connection, act: Callable[[], object]) -> None:
        with contextlib.suppress(SSL.WantReadError):
            act()
        with contextlib.suppress(SSL.WantReadError):
            other.bio_write(one.bio_read(1 << 16))

    for _ in range(3):
        say(client, server, client.do_handshake)
        say(server, client, server.do_handshake)
    assert server.get_state_string() == b"SSL negotiation finished successfully"
    assert client.renegotiate()
    say(client, server, client.do_handshake)
    say(server, client, lambda: server.recv(100))

    with pytest.raises(SSL.Error) as refused:
        client.do_handshake()
    assert "no renegotiation" in str(refused.value)


# Direct TLS.


class Doorkeeper(Factory):
    """Lets in whom it is told to."""

    admits = True

    def buildProtocol(self, addr: Any) -> Any:
        return Protocol() if self.admits else None


def test_a_connection_that_the_factory_refuses_costs_no_handshake(office: Office) -> None:
    keeper = Doorkeeper()
    listener = DirectTLS(office.store().options, keeper)
    address = IPv4Address("TCP", "192.0.2.1", 1)
    assert listener.buildProtocol(address) is not None

    keeper.admits = False

    assert listener.buildProtocol(address) is None


def test_what_begins_tls_later_breaks_in_the_same_way(office: Office) -> None:
    listener = DirectTLS(office.store().options, Factory.forProtocol(Protocol))
    twisted = TLSMemoryBIOProtocol(listener, Protocol())
    tend(SimpleNamespace(protocol=twisted))
    tend(SimpleNamespace())
    assert type(twisted) is TLSProtocol
