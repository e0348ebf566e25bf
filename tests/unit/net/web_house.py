"""What tests over real sockets need: certificates, and servers that know their connections."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet import reactor as the_reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import (
    CertificateOptions,
    DefaultOpenSSLContextFactory,
    trustRootFromCertificates,
)
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from pushd.net import http2_origin
from pushd.net.certificates import DevelopmentCA, IssuedCertificate
from pushd.net.http import HTTPClient, authorities
from pushd.net.outward import identity
from tests.patience import LONGEST
from tests.support import AGES
from tests.unit.net.http2_house import Asked, Server

reactor: Any = the_reactor


class Authority:
    """A development authority and its certificates, made once for all tests."""

    _folder: ClassVar[TemporaryDirectory[str] | None] = None
    ca: ClassVar[Path]
    stranger: ClassVar[Path]
    right: ClassVar[DefaultOpenSSLContextFactory]
    elsewhere: ClassVar[DefaultOpenSSLContextFactory]
    folder: ClassVar[Path]  # with the files of each host
    files: ClassVar[IssuedCertificate]  # of `right`
    client: ClassVar[IssuedCertificate]  # who we are, to servers that ask

    @classmethod
    def prepare(cls) -> None:
        if cls._folder is not None:
            return
        cls._folder = TemporaryDirectory()
        folder = Path(cls._folder.name)
        ours = DevelopmentCA(folder / "ours", time.time())
        cls.ca = ours.path
        cls.stranger = DevelopmentCA(folder / "strange", time.time()).path
        cls.right = cls._context(ours, "127.0.0.1")
        cls.folder = folder / "ours"
        cls.files = IssuedCertificate(
            cls.folder / "127.0.0.1.pem", cls.folder / "127.0.0.1-key.pem"
        )
        cls.client = client_certificate(folder, "com.example.chat")
        cls.elsewhere = cls._context(ours, "push.example.net")

    @staticmethod
    def _context(ca: DevelopmentCA, host: str) -> DefaultOpenSSLContextFactory:
        issued = ca.issue([host], host)
        return DefaultOpenSSLContextFactory(
            str(issued.key), str(issued.certificate), sslmethod=SSL.TLS_SERVER_METHOD
        )


class Watched(WrappingFactory[Any]):
    """Knows the connections of a server, and when each has ended."""

    def __init__(self, wrapped: Any) -> None:
        super().__init__(wrapped)  # type: ignore[no-untyped-call]
        self.ends: list[Deferred[None]] = []

    def registerProtocol(self, p: ProtocolWrapper) -> None:
        super().registerProtocol(p)  # type: ignore[no-untyped-call]
        self.ends.append(Deferred())
        p.end = self.ends[-1]  # type: ignore[attr-defined]

    def unregisterProtocol(self, p: ProtocolWrapper) -> None:
        super().unregisterProtocol(p)  # type: ignore[no-untyped-call]
        p.end.callback(None)


class OverSockets(TestCase):
    """Clients and servers over real sockets, all of which are gone at the end of a test."""

    timeout = LONGEST

    def setUp(self) -> None:
        Authority.prepare()
        # However long this machine takes, it is no reason for another connection.
        self.patch(http2_origin, "CROWDED_FOR", AGES)  # type: ignore[no-untyped-call]
        self.clients: list[HTTPClient] = []
        self._servers: list[Watched] = []
        self.addCleanup(self.tidy)

    async def tidy(self) -> None:
        for client in self.clients:
            await client.close()
        await DeferredList([end for server in self._servers for end in server.ends])

    def serve(self, factory: Any, tls: Any = None, host: str = "127.0.0.1") -> tuple[int, Watched]:
        """Have it listen; gives the port, and what knows its connections."""
        watched = Watched(factory)
        self._servers.append(watched)
        if tls is None:
            port = reactor.listenTCP(0, watched, interface=host)
        else:
            port = reactor.listenSSL(0, watched, tls, interface=host)
        self.addCleanup(port.stopListening)
        return port.getHost().port, watched


def client_certificate(folder: Path, name: str) -> IssuedCertificate:
    """A certificate that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=90))
        .sign(key, hashes.SHA256())
    )
    issued = IssuedCertificate(folder / f"{name}.pem", folder / f"{name}-key.pem")
    issued.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    issued.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return issued


@implementer(IOpenSSLContextFactory)
class Spoken:
    """TLS for a server that chooses among the protocols a client offers (ALPN)."""

    def __init__(
        self, *protocols: bytes, clients: Path | None = None, host: str = "127.0.0.1"
    ) -> None:
        asks = {}
        if clients is not None:
            asks["trustRoot"] = trustRootFromCertificates(authorities(clients))
        options = CertificateOptions(
            **identity(Authority.folder / f"{host}.pem", Authority.folder / f"{host}-key.pem"),
            acceptableProtocols=list(protocols) or None,
            **asks,
        )
        self._context = options.getContext()

    def getContext(self) -> Any:
        return self._context


class H2Protocol(Protocol):
    """A server on h2. `answer` is called with it and each request that has come whole."""

    def __init__(self, answer: Callable[[Server, Asked], None], **settings: int) -> None:
        self.server = Server(**settings)
        self._answer = answer
        self._answered: set[int] = set()

    def connectionMade(self) -> None:
        self.say()

    def dataReceived(self, data: bytes) -> None:
        self.server.receive(data)
        for stream, asked in list(self.server.asked.items()):
            if asked.is_whole and stream not in self._answered:
                self._answered.add(stream)
                self.server.read(asked)
                self._answer(self.server, asked)
        self.say()

    def say(self) -> None:
        assert self.transport is not None
        self.transport.write(self.server.to_send())


class H2Factory(Factory):
    def __init__(self, answer: Callable[[Server, Asked], None], **settings: int) -> None:
        self.protocols: list[H2Protocol] = []
        self._answer = answer
        self._settings = settings

    def buildProtocol(self, addr: object) -> H2Protocol:
        self.protocols.append(H2Protocol(self._answer, **self._settings))
        return self.protocols[-1]
