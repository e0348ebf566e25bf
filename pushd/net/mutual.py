"""TLS between servers: both sides show a certificate, and a bad one ends no handshake.

Whether a certificate is good enough is judged afterwards, by the domain that was asked for and
by what the operator demands of it (XEP-0178, RFC 6120 §13.7.2).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from weakref import WeakKeyDictionary

from cryptography import x509
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from pushd.net.identities import (
    BROKEN,
    is_constrained,
    is_for_servers,
    names_of,
    speaks_for,
    weakness_of,
)
from pushd.net.srv import ascii_name
from pushd.net.tls import CertificateStore, TLSProtocol
from pushd.net.verdicts import brief, verdict

ALPN = b"xmpp-server"  # XEP-0368 §4
PURPOSE = "it is neither for servers nor for clients"
FRESH = 60.0  # seconds for which certificates are judged by the same time
UNREADABLE = "it cannot be read"


@dataclass(frozen=True, slots=True)
class _Judged:
    """A certificate: why it is worth nothing, or else for whom it may speak, and until when."""

    fault: str
    certificate: x509.Certificate | None = None
    only_hosts: bool = False
    until: float = float("inf")  # seconds since the epoch


def ask_for_certificates(context: SSL.Context) -> None:
    """Have a context ask the peer for a certificate, whatever that is then.

    No session is resumed: the peer shows its certificate each time.
    """
    context.set_verify(SSL.VERIFY_PEER, _take)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(b"s2s")
    context.set_options(SSL.OP_NO_TICKET)


def _take(connection: object, certificate: object, error: int, depth: int, is_fine: int) -> bool:
    return True


class Authorities:
    """Who may vouch for servers: those whom the system trusts, and those in a file (PEM).

    Raises ValueError for a file without a certificate, and OSError.
    """

    def __init__(self, file: Path | None = None) -> None:
        given = x509.load_pem_x509_certificates(file.read_bytes()) if file else []
        self._given = [crypto.X509.from_cryptography(one) for one in given]
        self._context: SSL.Context | None = None  # which owns the store
        self._made_at = 0.0
        self._judged: WeakKeyDictionary[SSL.Connection, _Judged] = WeakKeyDictionary()

    def _store(self, now: float) -> crypto.X509Store:
        """Whom we believe at this time, or at one shortly before.

        A store keeps the first time that it is told, whatever it is told later, so that it is made
        anew; what the system trusts is read again with it.
        """
        if self._context is None or not self._made_at <= now < self._made_at + FRESH:
            self._context, self._made_at = SSL.Context(SSL.TLS_METHOD), now
            self._context.set_default_verify_paths()
            store = self._context.get_cert_store()
            assert store is not None
            for one in self._given:
                store.add_cert(one)
            store.set_time(datetime.fromtimestamp(now, UTC))
        store = self._context.get_cert_store()
        assert store is not None
        return store

    def fault(self, connection: SSL.Connection, domain: str, now: float) -> str:
        """Why the peer's certificate is not one for this domain; empty if it is.

        `now` is in seconds since the epoch. What is said is fit for the peer's operator. Who asks
        for many domains on one connection has it looked at once.
        """
        judged = self._judged.get(connection)
        if judged is None or now > judged.until:
            judged = self._judged[connection] = self._judge(connection, now)
        certificate = judged.certificate
        if judged.fault or certificate is None:
            return judged.fault
        try:
            if speaks_for(certificate, domain, judged.only_hosts):
                return ""
            return f"it is for {brief(', '.join(names_of(certificate)[:5])) or 'no domain'}"
        except BROKEN:
            return UNREADABLE

    def _judge(self, connection: SSL.Connection, now: float) -> "_Judged":
        """What the certificate of this connection is worth, for whatever domain."""
        found = connection.get_peer_certificate()
        if found is None:
            return _Judged("there is no certificate")
        try:
            certificate = found.to_cryptography()
            *chain, anchor = self._verify(found, connection.get_peer_cert_chain() or [], now)
            weak = _weakness(chain, anchor)
            if weak:
                return _Judged(f"it is too weak: {weak}")
            if not is_for_servers(certificate):
                return _Judged(PURPOSE)
            authorities = [*chain[1:], anchor]
            only_hosts = any(map(is_constrained, authorities))
        except crypto.X509StoreContextError as error:
            return _Judged(_verdict(error))
        except (*BROKEN, SSL.Error, crypto.Error):
            return _Judged(UNREADABLE)
        until = min(one.not_valid_after_utc.timestamp() for one in (*chain, anchor))
        return _Judged("", certificate, only_hosts, until)

    def _verify(
        self, certificate: crypto.X509, chain: list[crypto.X509], now: float
    ) -> list[x509.Certificate]:
        """Itself and its authorities, up to one that we believe, if its time is now.

        Its purpose does not count here: that would exclude most of them.
        """
        context = crypto.X509StoreContext(self._store(now), certificate, chain)
        return [one.to_cryptography() for one in context.get_verified_chain()]


def _verdict(error: crypto.X509StoreContextError) -> str:
    number, depth, *_ = error.errors
    words = verdict(number, error.certificate)
    return f"{'its authority' if depth else 'it'} {words}" if words else str(error)


def _weakness(chain: Iterable[x509.Certificate], anchor: x509.Certificate) -> str:
    found = [weakness_of(one, False) for one in chain]
    found.append(weakness_of(anchor, True))
    return next(filter(None, found), "")


def expiry(connection: SSL.Connection) -> float | None:
    """When the peer's certificate ends, in seconds since the epoch; None if nothing tells."""
    found = connection.get_peer_certificate()
    if found is None:
        return None
    try:
        return found.to_cryptography().not_valid_after_utc.timestamp()
    except BROKEN:
        return None


@implementer(IOpenSSLClientConnectionCreator)
class Calling:
    """What a stream from our `local` to a `remote` domain takes up TLS with.

    The name of the domain is said (SNI), whatever host it led to.
    """

    def __init__(self, store: CertificateStore, local: str, remote: str) -> None:
        self._store = store
        self._local = local
        self._remote = remote

    def clientConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        context = self._store.context(self._store.covering(self._local))
        connection = SSL.Connection(context, None)
        connection.set_alpn_protos([ALPN])
        name = ascii_name(self._remote)
        if not name.startswith("[") and not name.replace(".", "").isdigit():
            connection.set_tlsext_host_name(name.encode())
        return connection


class CallingFactory(TLSMemoryBIOFactory):
    """For streams that begin with TLS (XEP-0368)."""

    protocol = TLSProtocol
