"""twisted.web over HTTP/2: a stand-in's resources, reached by either HTTP.

A `Door` is a port's factory. Which HTTP a client speaks is what ALPN has agreed upon; where
there was no ALPN, the first bytes tell.
"""

from collections.abc import Iterable
from typing import Any

from twisted.internet.interfaces import IAddress, IHandshakeListener, IPushProducer
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers, InvalidHeaderName
from twisted.web.server import Request, Site
from zope.interface import implementer

from pushd.simulators.http2 import Connection, Owner, Stream, is_preface

ALPN = (b"h2", b"http/1.1")
PROTOCOL_ERROR = 1  # RFC 9113 §7
MAX_STREAMS = 100  # at once, unless the owner has another number

# Of one connection alone, and unknown to HTTP/2 (RFC 9113 §8.2.2).
_OF_A_CONNECTION = frozenset((b"connection", b"keep-alive", b"transfer-encoding", b"upgrade"))


class Channel:
    """One stream, as a `Request` of twisted.web wants its connection."""

    def __init__(self, stream: Stream, site: Site) -> None:
        self.stream = stream
        self.site = self.factory = site
        self.transport = self
        self._request: Request = Request(self)
        stream.reader = self

    def begin(self) -> None:
        """Let the resources answer."""
        stream, request = self.stream, self._request
        try:
            for name, value in stream.headers:
                if not name.startswith(b":"):
                    request.requestHeaders.addRawHeader(bytes(name), bytes(value))
        except InvalidHeaderName:  # malformed (RFC 9113 §8.2.1)
            stream.reset(PROTOCOL_ERROR)
            return
        request.requestHeaders.setRawHeaders(b"host", [stream.header(b":authority")])
        request.gotLength(len(stream.body))
        request.handleContentChunk(stream.body)
        request.parseCookies()
        method, path = stream.header(b":method"), stream.header(b":path")
        request.requestReceived(method, path, b"HTTP/2")

    def lost(self, reason: Failure) -> None:
        """The stream is over before its answer was whole."""
        self._request.connectionLost(reason)

    # What Request asks of it.

    def getPeer(self) -> IAddress | None:
        return self.stream.connection.transport.getPeer()  # type: ignore[no-any-return]

    def getHost(self) -> IAddress | None:
        return self.stream.connection.transport.getHost()  # type: ignore[no-any-return]

    def isSecure(self) -> bool:
        return self.stream.header(b":scheme") == b"https"

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        said = [
            (name.lower(), value)
            for name, values in headers.getAllRawHeaders()
            for value in values
            if name.lower() not in _OF_A_CONNECTION
        ]
        self.stream.head(int(code), said)

    def write(self, data: bytes) -> None:
        self.stream.write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.stream.write(b"".join(data))

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        self.stream.produce(producer)

    def unregisterProducer(self) -> None:
        self.stream.produce(None)

    def requestDone(self, request: object) -> None:
        self.stream.end()

    def loseConnection(self) -> None:
        self.stream.connection.close()

    def abortConnection(self) -> None:
        self.stream.connection.abort()


class WebOwner:
    """An owner that has a site answer. Raises nothing, remembers nothing."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def opened(self, connection: Connection) -> int:
        return MAX_STREAMS

    def requested(self, stream: Stream) -> None:
        Channel(stream, self._site).begin()

    def closed(self, connection: Connection, reason: str) -> None:
        """Nothing."""

    def noted(self, connection: Connection, remark: str) -> None:
        """Nothing."""


class Door(Factory):
    """Connections of both kinds; those of HTTP/2 have `owner`, or one for which a site is all."""

    noisy = False

    def __init__(self, site: Site, owner: Owner | None = None) -> None:
        self._site = site
        self._owner = owner or WebOwner(site)

    def doStart(self) -> None:
        super().doStart()  # type: ignore[no-untyped-call]
        self._site.doStart()

    def doStop(self) -> None:
        super().doStop()  # type: ignore[no-untyped-call]
        self._site.doStop()

    def buildProtocol(self, addr: IAddress | None) -> TwistedProtocol:
        return Undecided(self._site, self._owner, addr)


@implementer(IHandshakeListener)
class Undecided(TwistedProtocol):
    """A connection until it is known which HTTP it speaks, and what passes on what it hears."""

    transport: Any

    def __init__(self, site: Site, owner: Owner, addr: IAddress | None) -> None:
        self._site = site
        self._owner = owner
        self._addr = addr
        self._heard = b""
        self._inner: Any = None

    def handshakeCompleted(self) -> None:
        """TLS stands: what was agreed upon decides, and a server of HTTP/2 speaks first."""
        if self._inner is None and self.transport.negotiatedProtocol == b"h2":
            self._become(Connection(self._owner))

    def dataReceived(self, data: bytes) -> None:
        if self._inner is None:
            self._heard += data
            agreed = getattr(self.transport, "negotiatedProtocol", None)
            is_http2 = is_preface(self._heard) if agreed is None else agreed == b"h2"
            if is_http2 is None:
                return
            data, self._heard = self._heard, b""
            if is_http2:
                self._become(Connection(self._owner))
            else:
                self._become(self._site.buildProtocol(self._addr))
        self._inner.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._inner is not None:
            self._inner.connectionLost(reason)

    def _become(self, inner: Any) -> None:
        self._inner = inner
        inner.makeConnection(self.transport)
