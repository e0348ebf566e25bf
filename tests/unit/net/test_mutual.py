"""For whom a certificate speaks between servers, and whether it is to be believed."""

import contextlib
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL, crypto

from pushd.net.identities import SRV_NAME, XMPP_ADDRESS, _string, names_of, speaks_for, weakness_of
from pushd.net.mutual import ALPN, PURPOSE, Authorities, Calling, ask_for_certificates, expiry
from pushd.net.tls import CertificateFiles, CertificateStore
from tests.papers import CLIENT, SERVER, Office, Paper, other_name

NOW = 1_790_000_000.0
IA5, UTF8 = 0x16, 0x0C


class Shown:
    """A TLS connection whose peer shows this."""

    def __init__(self, paper: Paper | None) -> None:
        self._paper = paper

    def get_peer_certificate(self) -> crypto.X509 | None:
        return None if self._paper is None else crypto.X509.from_cryptography(self._paper.read())

    def get_peer_cert_chain(self) -> list[crypto.X509]:
        return []


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office(tmp_path_factory.mktemp("office"), NOW)


def fault(office: Office, paper: Paper | None, domain: str = "a.example") -> str:
    shown: Any = Shown(paper)
    return Authorities(office.path).fault(shown, domain, NOW)


GOOD: dict[str, dict[str, Any]] = {
    "for clients and servers": {},
    "for servers alone": {"purposes": (SERVER,)},
    "for clients alone": {"purposes": (CLIENT,)},
    "for everything": {"purposes": (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)},
    "for no purpose said": {"purposes": ()},
    "with another common name": {"cn": "other.example"},
}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "expired": ({"days": -1}, "it expired on 2"),
    "not valid yet": ({"days": 200}, "it is not yet valid, but from 2"),
    "self-signed": ({"itself": True}, "it is self-signed, and nobody here trusts it"),
    "for mail": ({"purposes": (ExtendedKeyUsageOID.EMAIL_PROTECTION,)}, PURPOSE),
}


@pytest.mark.parametrize("given", GOOD.values(), ids=GOOD)
def test_these_are_good(office: Office, given: dict[str, Any]) -> None:
    assert fault(office, office.issue("a.example", **given)) == ""


@pytest.mark.parametrize(("given", "words"), BAD.values(), ids=BAD)
def test_these_are_not(office: Office, given: dict[str, Any], words: str) -> None:
    assert fault(office, office.issue("a.example", **given)).startswith(words)


def test_a_short_key_is_too_weak(office: Office) -> None:
    """RFC 7590 §3, RFC 9325 §4.5; OpenSSL asks in its handshake only, whose verdict we leave."""
    short = rsa.generate_private_key(65_537, 1024)
    words = fault(office, office.issue("a.example", key=short))
    assert words == "it is too weak: a key of 1024 bits"


@pytest.mark.parametrize(
    ("digest", "is_anchor", "words"),
    [
        (hashes.SHA1(), False, "a signature by SHA1"),
        (hashes.SHA1(), True, ""),  # it is believed for what it is
        (hashes.SHA256(), False, ""),
        (None, False, ""),  # as for Ed25519
    ],
)
def test_an_old_signature_is_too_weak(digest: Any, is_anchor: bool, words: str) -> None:
    """Nothing here would make one, so that it is played."""
    given: Any = SimpleNamespace(
        public_key=ec.generate_private_key(ec.SECP256R1()).public_key,
        signature_hash_algorithm=digest,
    )
    assert weakness_of(given, is_anchor) == words


def test_a_common_name_is_no_name(office: Office) -> None:
    assert fault(office, office.issue(cn="a.example")) == "it is for no domain"
    assert fault(office, office.issue("b.example", cn="a.example")) == "it is for b.example"


def test_who_shows_nothing_is_nobody(office: Office) -> None:
    assert fault(office, None) == "there is no certificate"
    shown: Any = Shown(None)
    assert expiry(shown) is None


def no_version(der: bytes) -> bytes:
    return der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020105"), 1)


def no_date(der: bytes) -> bytes:
    place = der.index(b"\x17\x0d") + 2
    return der[:place] + b"269913010101Z" + der[place + 13 :]


@pytest.mark.parametrize("spoil", [no_version, no_date])
def test_what_is_no_certificate_is_not_read(
    office: Office, spoil: Callable[[bytes], bytes]
) -> None:
    """OpenSSL takes these in a handshake, from anybody."""
    der = spoil(office.issue("a.example").read().public_bytes(Encoding.DER))

    class Spoilt(Shown):
        def get_peer_certificate(self) -> crypto.X509 | None:
            return crypto.load_certificate(crypto.FILETYPE_ASN1, der)

    shown: Any = Spoilt(None)
    assert Authorities(office.path).fault(shown, "a.example", NOW)
    assert expiry(shown) is None


def test_time_goes_on(office: Office) -> None:
    """What is renewed while we run is good, and what has ended meanwhile is not."""
    old, new = office.issue("a.example", days=1), office.issue("a.example", days=91)
    authorities = Authorities(office.path)

    def words(paper: Paper, now: float) -> str:
        shown: Any = Shown(paper)
        return authorities.fault(shown, "a.example", now)

    assert (words(old, NOW), "not yet valid" in words(new, NOW)) == ("", True)
    later = NOW + 2 * 86_400
    assert ("expired" in words(old, later), words(new, later)) == (True, "")


def test_a_certificate_is_looked_at_once_for_many_domains(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signature costs what ten stanzas cost, and a peer may ask as often as it likes."""
    shown: Any = Shown(office.issue("a.example", "b.example", days=1))
    authorities = Authorities(office.path)
    looked: list[float] = []
    verify = authorities._verify

    def look(*given: Any) -> Any:
        looked.append(given[2])
        return verify(*given)

    monkeypatch.setattr(authorities, "_verify", look)
    for domain in ("a.example", "b.example"):
        assert authorities.fault(shown, domain, NOW) == ""
    assert "it is for" in authorities.fault(shown, "c.example", NOW)
    assert looked == [NOW]
    late = NOW + 86_401
    assert "expired" in authorities.fault(shown, "a.example", late)  # and again when its time is up
    assert looked == [NOW, late]


def test_another_authority_vouches_for_nobody(office: Office, tmp_path: Path) -> None:
    stranger = Office(tmp_path, NOW)
    said = fault(office, stranger.issue("a.example"))
    assert said.startswith("it is signed by CN=")
    assert said.endswith(", whom nobody here trusts")


NAMES = [
    ("a.example", "a.example", True),
    ("a.example", "b.example", False),
    ("A.Example", "a.example", True),
    ("*.example.org", "a.example.org", True),
    ("*.example.org", "a.b.example.org", False),
    ("*.example.org", "example.org", False),
    ("*.example", "a.example", False),
    ("*", "example", False),
    ("a*.example.org", "ab.example.org", False),
    ("xn--bcher-kva.example", "bücher.example", True),
    (other_name(SRV_NAME, IA5, "_xmpp-server.a.example"), "a.example", True),
    (other_name(SRV_NAME, IA5, "_xmpp-client.a.example"), "a.example", False),
    (other_name(SRV_NAME, IA5, "_xmpp-server.b.example"), "a.example", False),
    (other_name(SRV_NAME, UTF8, "_xmpp-server.a.example"), "a.example", False),
    (other_name(XMPP_ADDRESS, UTF8, "a.example"), "a.example", True),
    (other_name(XMPP_ADDRESS, UTF8, "bücher.example"), "bücher.example", True),
    (other_name(XMPP_ADDRESS, UTF8, "*.example.org"), "a.example.org", False),
    (other_name(XMPP_ADDRESS, UTF8, "user@a.example"), "a.example", False),
    (other_name(XMPP_ADDRESS, UTF8, ""), "a.example", False),
    ("a.example.", "a.example", False),
    ("a.example\0.evil.example", "a.example", False),
    ("*.example.org", ".example.org", False),
    ("*.example.org", "xn--bcher-kva.example.org", True),
    ("*.xn--bcher-kva.example", "a.bücher.example", True),
    (other_name(SRV_NAME, IA5, "_xmpp-server.*.example.org"), "a.example.org", True),
    (other_name(SRV_NAME, IA5, "_xmpp-server.a.example\0"), "a.example", False),
    (other_name(XMPP_ADDRESS, UTF8, "A.Example"), "a.example", True),
    (other_name(XMPP_ADDRESS, UTF8, "xn--bcher-kva.example"), "bücher.example", True),
    (other_name(XMPP_ADDRESS, UTF8, "a.example\0"), "a.example", False),
    (other_name(XMPP_ADDRESS, IA5, "a.example"), "a.example", False),
    ("192.0.2.1", "192.0.2.1", False),  # an address is no name (RFC 9525 §6.5)
    ("*.0.2.1", "192.0.2.1", False),
    (x509.IPAddress(IPv4Address("192.0.2.1")), "192.0.2.1", True),
    (x509.IPAddress(IPv6Address("2001:db8::1")), "[2001:db8::1]", True),
    (x509.IPAddress(IPv4Address("192.0.2.2")), "192.0.2.1", False),
    (x509.RFC822Name("postmaster@a.example"), "a.example", False),
    (x509.UniformResourceIdentifier("https://a.example"), "a.example", False),
]


@pytest.mark.parametrize(("name", "domain", "expected"), NAMES, ids=str)
def test_for_whom_a_name_speaks(
    office: Office, name: str | x509.GeneralName, domain: str, expected: bool
) -> None:
    certificate = office.issue(name).read()
    assert speaks_for(certificate, domain) is expected


@pytest.mark.parametrize(
    "der", [b"", b"\x0c", b"\x0c\x20a", b"\x0c\x01ab", b"\x0c\x82\x00\x01a", b"\x0c\x01\xff"]
)
def test_what_is_no_string_names_nobody(der: bytes) -> None:
    assert _string(der, UTF8) == ""


def test_the_names_that_count_are_told(office: Office) -> None:
    names = (
        x509.DNSName("a.example"),
        other_name(SRV_NAME, IA5, "_xmpp-server.b.example"),
        other_name(XMPP_ADDRESS, UTF8, "c.example"),
        x509.RFC822Name("postmaster@d.example"),
    )
    assert names_of(office.issue(*names).read()) == [
        "a.example",
        "_xmpp-server.b.example",
        "c.example",
    ]


# What an authority may vouch for, and the names in a certificate of its.
CONSTRAINED = {
    "a host that is permitted": (["a.corp.example"], "a.corp.example", True),
    "a host that is not": (["a.example"], "a.example", False),
    "an address that no constraint is for": (
        ["a.corp.example", other_name(XMPP_ADDRESS, UTF8, "a.example")],
        "a.example",
        False,
    ),
    "a service that no constraint is for": (
        ["a.corp.example", other_name(SRV_NAME, IA5, "_xmpp-server.a.example")],
        "a.example",
        False,
    ),
}


@pytest.mark.parametrize(("names", "domain", "is_fine"), CONSTRAINED.values(), ids=CONSTRAINED)
def test_an_authority_vouches_for_what_it_may(
    tmp_path: Path, names: list[str | x509.GeneralName], domain: str, is_fine: bool
) -> None:
    office = Office(tmp_path, NOW, only="corp.example")
    assert (fault(office, office.issue(*names), domain) == "") == is_fine


@pytest.mark.parametrize(
    ("domain", "said"),
    [
        ("a.example", b"a.example"),
        ("bücher.example", b"xn--bcher-kva.example"),
        ("192.0.2.1", None),  # addresses are no names (RFC 6066 §3)
        ("[2001:db8::1]", None),
    ],
)
def test_who_calls_says_whom_it_means_and_what_it_speaks(domain: str, said: bytes | None) -> None:
    context = SSL.Context(SSL.TLS_METHOD)

    class Store:
        def covering(self, local: str) -> str:
            return local

        def context(self, local: str) -> SSL.Context:
            return context

    given: Any = Store()
    connection = Calling(given, "here.example", domain).clientConnectionForTLS(given)
    connection.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    hello = connection.bio_read(65_536)
    assert b"xmpp-server" in hello
    server_name = connection.get_servername()
    assert server_name == said
    assert said is None or said in hello


def played(one: SSL.Connection, other: SSL.Connection) -> list[str]:
    """Both sides of TLS by turns; tells what is wrong in the end."""
    wrong = []
    for _ in range(6):
        for this, that in ((one, other), (other, one)):
            try:
                this.do_handshake()
                this.recv(100)
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                wrong.append(str(error))
            with contextlib.suppress(SSL.WantReadError):
                that.bio_write(this.bio_read(1 << 16))
    return wrong


@pytest.mark.parametrize("is_called", [True, False])
def test_no_peer_has_another_handshake(office: Office, is_called: bool) -> None:
    paper = office.issue("a.example")
    files = {"a.example": CertificateFiles(paper.certificate, paper.key)}
    store = CertificateStore(files, ALPN, prepare=ask_for_certificates)
    nothing: Any = None
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    context.use_certificate_file(str(paper.certificate))
    context.use_privatekey_file(str(paper.key))
    theirs = SSL.Connection(context, None)
    if is_called:
        theirs.set_connect_state()
        ours = store.options.serverConnectionForTLS(nothing)
        ours.set_accept_state()
    else:
        theirs.set_accept_state()
        ours = Calling(store, "a.example", "b.example").clientConnectionForTLS(nothing)
        ours.set_connect_state()
    assert not played(theirs, ours)
    assert theirs.renegotiate()
    assert "no renegotiation" in str(played(theirs, ours))
