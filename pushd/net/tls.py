"""TLS for the doors: a certificate per domain by SNI, renewed files noticed, channel bindings.

RFC 7590, XEP-0368. A context in use cannot change, so that a renewed certificate makes a
new one, and the streams that are open keep theirs.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from weakref import WeakKeyDictionary

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from OpenSSL import SSL
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.ssl import AcceptableCiphers, CertificateOptions, TLSVersion
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from pushd.config.checks import certificate_fault, covers, state_of
from pushd.net.certificates import CertificateError
from pushd.net.handshakes import Handshakes
from pushd.wire.errors import JIDMalformed
from pushd.wire.jid import prepare_domain

log = Logger()

LOOK = 60.0  # seconds between two looks at the files

State = tuple[int, ...]

# What TLS 1.2 may use: keys that are forgotten, and encryption that authenticates (RFC 9325 §4.2).
# TLS 1.3 has nothing weaker.
CIPHERS = AcceptableCiphers.fromOpenSSLCipherString("ECDHE+AESGCM:ECDHE+CHACHA20")

# What files that hold no usable certificate and key can raise.
UNUSABLE = (OSError, ValueError, TypeError, UnsupportedAlgorithm, SSL.Error)


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where a domain's certificate chain and its private key are (PEM)."""

    certificate: Path
    key: Path

    def state(self) -> State:
        """Changes when one of the files does. Raises OSError."""
        return state_of(self.certificate) + state_of(self.key)


class WrongProtocol(SSL.Error):
    """A client names the protocols it would speak (ALPN), and ours is not among them."""


@dataclass(slots=True)
class Loaded:
    """A domain's certificate in use. `fault` says why its files, which changed, are not."""

    files: CertificateFiles
    state: State
    context: SSL.Context
    certificate: x509.Certificate
    fault: str = ""
    tried: State = ()  # what the files were when they were of no use

    @property
    def expires_at(self) -> float:
        """The end of the certificate, in seconds since the epoch."""
        return self.certificate.not_valid_after_utc.timestamp()


class CertificateStore:
    """The certificates of all domains.

    Raises one of `UNUSABLE` when the files of a domain cannot be used at the start; later
    on, its last good certificate stays in use. Changed files are noticed by the next
    handshake, and by `refresh`, which `watch` has called from time to time. `prepare` is given
    each context before it is used.
    """

    def __init__(
        self,
        files: Mapping[str, CertificateFiles],
        alpn: bytes = b"xmpp-client",
        handshakes: Handshakes | None = None,
        prepare: Callable[[SSL.Context], None] | None = None,
    ) -> None:
        self.handshakes = handshakes
        self._prepare = prepare
        self._alpn = alpn
        self._clock: IReactorTime | None = None
        self._timer: IDelayedCall | None = None
        self._loaded = {domain: self._load(one) for domain, one in files.items()}
        self._first = next(iter(self._loaded))

    @property
    def options(self) -> "Front":
        """TLS for a listener."""
        return Front(self, self._first)

    def options_for(self, domain: str) -> "Front":
        """TLS for a stream to `domain`, should its client name none in the handshake."""
        return Front(self, domain if domain in self._loaded else self._first)

    def covering(self, domain: str) -> str:
        """Whose certificate `domain` shows: its own, or one that names it, or else the first."""
        return self._speaking_for(domain) or self._first

    def _speaking_for(self, domain: str) -> str | None:
        if domain in self._loaded:
            return domain
        return next(
            (own for own, one in self._loaded.items() if covers(one.certificate, domain)), None
        )

    def context(self, domain: str) -> SSL.Context:
        """The context with the certificate that the domain's files hold now."""
        self._look(domain)
        return self._loaded[domain].context

    def watch(self, clock: IReactorTime) -> None:
        """Look at the files every now and then, though nobody shakes hands, until `unwatch`.

        By this clock it is judged from now on whether a renewed certificate is valid.
        """
        self._clock = clock
        self.refresh()
        self._timer = clock.callLater(LOOK, self.watch, clock)

    def unwatch(self) -> None:
        """Look at them by handshakes alone. Fine also if nobody watches."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def refresh(self) -> None:
        """Look at all files: what was renewed is in use from now on."""
        for domain in self._loaded:
            self._look(domain)

    def replace(self, files: Mapping[str, CertificateFiles]) -> None:
        """Have these domains use these files. Raises CertificateError, and changes nothing."""
        loaded: dict[str, Loaded] = {}
        for domain, one in files.items():
            try:
                loaded[domain] = self._load(one)
            except UNUSABLE as error:
                words = f"the certificate of {domain} cannot be used: {error}"
                raise CertificateError(words) from None
        self._loaded.update(loaded)

    def loaded(self) -> Mapping[str, Loaded]:
        """What is in use, by domain."""
        return self._loaded

    def _look(self, domain: str) -> None:
        one = self._loaded[domain]
        try:
            state = one.files.state()
            if state == one.state:
                one.fault = ""
            elif state != one.tried:
                # Noted before it is read: what cannot be used is not tried at each handshake.
                one.tried = state
                renewed = self._load(one.files)
                self._check(renewed, domain)
                self._loaded[domain] = renewed
                log.info("the certificate of {domain} was renewed", domain=domain)
        except UNUSABLE as error:
            fault = str(error) or type(error).__name__
            if fault != one.fault:  # else it was said before
                one.fault = fault
                log.error(
                    "the renewed certificate of {domain} cannot be used: {error}",
                    domain=domain,
                    error=fault,
                )

    def _check(self, renewed: Loaded, domain: str) -> None:
        """Raises ValueError for a certificate that clients would refuse."""
        if self._clock is not None:
            now = datetime.fromtimestamp(self._clock.seconds(), UTC)
            fault = certificate_fault(renewed.certificate, domain, now)
            if fault:
                raise ValueError(f"a certificate {fault}")

    def _load(self, files: CertificateFiles) -> Loaded:
        state = files.state()
        chain = x509.load_pem_x509_certificates(files.certificate.read_bytes())
        return Loaded(files, state, self._context(chain, files), chain[0])

    def _context(self, chain: Sequence[x509.Certificate], files: CertificateFiles) -> SSL.Context:
        key = load_pem_private_key(files.key.read_bytes(), None)
        context = CertificateOptions(
            raiseMinimumTo=TLSVersion.TLSv1_2, acceptableCiphers=CIPHERS
        ).getContext()
        context.set_options(SSL.OP_NO_RENEGOTIATION)
        context.use_certificate(chain[0])
        context.use_privatekey(key)  # type: ignore[arg-type]
        for one in chain[1:]:
            context.add_extra_chain_cert(one)
        context.check_privatekey()
        context.set_tlsext_servername_callback(self._named)
        context.set_alpn_select_callback(self._spoken)
        if self._prepare is not None:
            self._prepare(context)
        return context

    def _named(self, connection: SSL.Connection) -> None:
        """The client says whom it wants (SNI), which may be a service of one of our domains.

        Whoever asks for a stranger gets what it has.
        """
        try:
            wanted = prepare_domain((connection.get_servername() or b"").decode("ascii"))
        except (UnicodeDecodeError, JIDMalformed):
            return
        domain = self._speaking_for(wanted)
        if domain is not None:
            connection.set_context(self.context(domain))

    def _spoken(self, connection: SSL.Connection, offered: Sequence[bytes]) -> bytes:
        """RFC 7301 §3.2: no common protocol ends the handshake; no list at all is fine."""
        if self._alpn not in offered:
            raise WrongProtocol([("", "", "no application protocol in common")])
        return self._alpn


# Of the contexts in use, whose certificates never change; None is one that binds nothing.
_end_points: "WeakKeyDictionary[SSL.Context, bytes | None]" = WeakKeyDictionary()


@implementer(IOpenSSLServerConnectionCreator)
class Front:
    """What Twisted takes up TLS with: `domain`'s certificate, until SNI asks for another's."""

    def __init__(self, store: CertificateStore, domain: str) -> None:
        self._store = store
        self._domain = domain

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        if self._store.handshakes is not None:
            self._store.handshakes.attend(protocol)
        return SSL.Connection(self._store.context(self._domain), None)


class TLSProtocol(TLSMemoryBIOProtocol):
    """TLS that leaves nothing behind when it breaks.

    Twisted keeps a failure in the very frame whose traceback the failure holds: all that a
    broken handshake cost, 70 KB, would wait for the collection of the oldest garbage.
    """

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        if reason is not None:
            reason.cleanFailure()
        super()._tlsShutdownFinished(reason)  # type: ignore[no-untyped-call]


def tend(transport: object) -> None:
    """Have a transport that has just begun TLS speak it by way of `TLSProtocol`.

    `startTLS` offers no way to choose. What it chose collects writes first, and none are there yet.
    """
    protocol = getattr(transport, "protocol", None)
    if isinstance(protocol, TLSMemoryBIOProtocol):
        protocol.__class__ = TLSProtocol
        for name in ("write", "_aggregator"):
            vars(protocol).pop(name, None)


def forget(transport: object) -> None:
    """Break the circles of a transport that was lost, if it had begun TLS."""
    for name in ("getHandle", "getPeerCertificate"):  # which `startTLS` has set
        vars(transport).pop(name, None)


class DirectTLS(TLSMemoryBIOFactory):
    """A listener whose clients begin with TLS (XEP-0368).

    The factory within may refuse a connection by making no protocol for it. Writes go out
    as they are: an `XMLStream` collects them already.
    """

    protocol = TLSProtocol

    def __init__(self, front: Front, factory: IProtocolFactory) -> None:
        super().__init__(front, False, factory)

    def buildProtocol(self, addr: IAddress | None) -> TLSMemoryBIOProtocol:
        protocol = self.wrappedFactory.buildProtocol(addr)
        if protocol is None:
            return None  # type: ignore[return-value]
        return self.protocol(self, protocol)  # type: ignore[no-untyped-call]


def channel_bindings(connection: SSL.Connection) -> dict[str, bytes]:
    """The channel binding types usable on this TLS connection, with their data.

    `tls-exporter` (RFC 9266) needs TLS 1.3, and `tls-unique` (RFC 5929 §3) what is older;
    `tls-server-end-point` (§4) our certificate, signed in a way that names a hash.
    """
    found: dict[str, bytes] = {}
    if connection.get_protocol_version_name() == "TLSv1.3":
        found["tls-exporter"] = connection.export_keying_material(
            b"EXPORTER-Channel-Binding", 32, b""
        )
    else:  # the client finishes first, as nobody resumes a session
        finished = connection.get_peer_finished()
        if finished is not None:
            found["tls-unique"] = finished
    context = connection.get_context()
    if context not in _end_points:
        _end_points[context] = None
        certificate = connection.get_certificate(as_cryptography=True)
        if certificate is not None and certificate.signature_hash_algorithm is not None:
            _end_points[context] = end_point(certificate)
    end = _end_points[context]
    if end is not None:
        found["tls-server-end-point"] = end
    return found


def end_point(certificate: x509.Certificate) -> bytes:
    """The hash of a certificate by its own signature's algorithm, SHA-256 at the least."""
    used = certificate.signature_hash_algorithm
    name = used.name if used is not None else "sha256"
    if name in ("md5", "sha1"):
        name = "sha256"
    return hashlib.new(name, certificate.public_bytes(Encoding.DER)).digest()
