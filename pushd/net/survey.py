"""The way to a server, step by step: found, connected, agreed on TLS, and in what protocol.

A connection is opened as for an exchange, from the same parts, and closed when it stands. Who
exchanges something hears only that it failed; here one hears how far it came, and why no further.
"""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import (
    IHandshakeListener,
    IHostResolution,
    IOpenSSLClientConnectionCreator,
    IResolutionReceiver,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from pushd.net.faults import fault
from pushd.net.http import Fault, HTTPError, Road
from pushd.net.once import Once
from pushd.net.outward import Outward
from pushd.net.verdicts import EXPIRED, NOT_YET, verdict

PATIENCE = 10.0  # seconds for each step
SOON = 7 * 86_400  # seconds before a certificate ends in which it is worth a word
THROUGH_A_PROXY = 35.0  # seconds: more than a proxy gets
PORTS = {"https": 443, "http": 80}

NAME, CONNECTION, TLS, PROTOCOL = "name", "connection", "tls", "protocol"


@dataclass(frozen=True, slots=True)
class Sight:
    """One step of the way."""

    step: str
    text: str
    seconds: float
    fault: Fault | None = None  # why it went no further
    is_untimely: bool = False  # a certificate is good, but not at this moment


class Untimely(HTTPError):
    """A certificate that has expired, or is not valid yet, by the clock of this machine."""


@dataclass(slots=True)
class Survey:
    """What was seen of the way to `place`, in order. It ends where something is in the way."""

    place: str  # host and port
    sights: list[Sight] = field(default_factory=list)

    @property
    def fault(self) -> Fault | None:
        """Of the last thing that was seen; None where nothing is in the way."""
        return self.sights[-1].fault if self.sights else None


class Surveyor:
    """Goes one way. `http2`: nothing but HTTP/2 will do. Raises ValueError for a useless file."""

    def __init__(
        self,
        reactor: Any,
        road: Road,
        url: str,
        http2: bool = False,
        patience: float = PATIENCE,
    ) -> None:
        parts = urlsplit(url)
        self._reactor = reactor
        self._road = road
        self._scheme = parts.scheme
        self._host = parts.hostname or ""
        self._port = parts.port or PORTS[parts.scheme]
        self._http2 = http2
        self._patience = patience
        self._outward = Outward(reactor, road)
        self._visitor = _Visitor()
        self._started_at = 0.0

    async def go(self) -> Survey:
        """Never fails; may be cancelled."""
        shown = f"[{self._host}]" if ":" in self._host else self._host
        survey = Survey(f"{shown}:{self._port}")
        step = NAME
        try:
            for step, walk in (
                (NAME, self._find),
                (CONNECTION, self._connect),
                (TLS, self._agree),
                (PROTOCOL, self._choose),
            ):
                self._started_at = self._reactor.seconds()
                text = await walk()
                if text:
                    survey.sights.append(Sight(step, text, self._taken))
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  each is told, in our words
            known = fault(error)
            assert isinstance(known, HTTPError)
            is_untimely = isinstance(known, Untimely)
            survey.sights.append(Sight(step, known.text, self._taken, known.fault, is_untimely))
        finally:
            self._visitor.leave()
        return survey

    @property
    def _taken(self) -> float:
        return float(self._reactor.seconds() - self._started_at)

    async def _find(self) -> str:
        """Beyond a proxy it is the proxy that looks up names."""
        if self._road.proxy is not None or isIPAddress(self._host) or isIPv6Address(self._host):
            return ""
        receiver = _Addresses()
        self._outward.names.resolveHostName(receiver, self._host, self._port)
        found = await self._within(receiver.done, "the name was not looked up")
        if not found:
            raise HTTPError(Fault.UNREACHABLE, "the host has no address")
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        return f"it has the address {found[0]}{more}"

    async def _connect(self) -> str:
        await self._visit(self._visitor, self._tls())
        if self._road.proxy is not None:
            return f"connected, through the proxy {self._road.proxy}"
        transport: Any = self._visitor.transport
        return f"connected to {transport.getPeer().host}"

    async def _visit(
        self, visitor: "_Visitor", tls: IOpenSSLClientConnectionCreator | None
    ) -> None:
        way = self._outward.way(self._host, self._port)
        if tls is not None:
            way = wrapClientTLS(tls, way)
        await self._within(way.connect(Once(visitor)), "no connection", THROUGH_A_PROXY)

    def _tls(self) -> IOpenSSLClientConnectionCreator | None:
        if self._scheme == "http":
            return None
        alpn = (b"h2",) if self._http2 else (b"h2", b"http/1.1")
        return self._outward.tls(self._host, alpn)

    async def _agree(self) -> str:
        if self._scheme == "http":
            return ""
        try:
            await self._within(self._visitor.agreed, "no TLS")
        except SSL.Error as error:
            raise await self._verdict() or fault(error) from None
        transport: Any = self._visitor.transport
        handle = transport.getHandle()
        ends_at = handle.get_peer_certificate(as_cryptography=True).not_valid_after_utc
        is_near = ends_at.timestamp() - self._reactor.seconds() < SOON
        soon = ", which is soon" if is_near else ""
        version = handle.get_protocol_version_name()
        return f"{version}, with a certificate that is good until {ends_at:%Y-%m-%d}{soon}"

    async def _verdict(self) -> HTTPError | None:
        """Look once more at a certificate that was refused: for what?"""
        tls = self._tls()
        assert tls is not None
        judge, visitor = _Judge(tls), _Visitor()
        try:
            await self._visit(visitor, judge)
            await self._within(visitor.agreed, "no TLS")
        except CancelledError:
            raise
        except Exception:  # noqa: BLE001  it is known that it fails
            return judge.verdict()
        finally:
            visitor.leave()
        return None

    async def _choose(self) -> str:
        transport: Any = self._visitor.transport
        is_secure = self._scheme == "https"
        chosen = transport.negotiatedProtocol if is_secure else None
        if chosen == b"h2":
            return "it speaks HTTP/2"
        if self._http2 and is_secure:
            raise HTTPError(Fault.BROKEN, "it does not speak HTTP/2")
        return "" if self._http2 else "it speaks HTTP/1.1"

    async def _within(self, waiting: "Deferred[Any]", words: str, seconds: float = 0.0) -> Any:
        def late(failure: Any, timeout: float) -> Failure:
            return Failure(HTTPError(Fault.TIMEOUT, f"{words} within {timeout:g} s"))

        return await waiting.addTimeout(seconds or self._patience, self._reactor, late)


@implementer(IHandshakeListener)
class _Visitor(Protocol):
    """Comes in, and says nothing."""

    def __init__(self) -> None:
        self.agreed: Deferred[None] = Deferred()  # on TLS
        self._is_there = False

    def connectionMade(self) -> None:
        self._is_there = True

    def handshakeCompleted(self) -> None:
        if not self.agreed.called:
            self.agreed.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._is_there = False
        if not self.agreed.called:
            self.agreed.errback(reason)

    def leave(self) -> None:
        self.agreed.addErrback(lambda _: None)
        if self._is_there:
            self.transport.abortConnection()  # type: ignore[union-attr]


@implementer(IOpenSSLClientConnectionCreator)
class _Judge:
    """Remembers what a certificate is refused for. It lets nobody in who is refused otherwise,
    but for those with another's name: its connections are for nothing but to look.
    """

    def __init__(self, tls: IOpenSSLClientConnectionCreator) -> None:
        self._tls = tls
        self._refused: tuple[int, X509] | None = None

    def clientConnectionForTLS(self, tlsProtocol: Any) -> Any:  # noqa: N803
        connection = self._tls.clientConnectionForTLS(tlsProtocol)
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify)
        return connection

    def _verify(
        self, connection: SSL.Connection, seen: X509, number: int, depth: int, is_good: int
    ) -> bool:
        if not is_good and self._refused is None:
            self._refused = number, seen
        return bool(is_good)

    def verdict(self) -> HTTPError | None:
        """Why a certificate was refused; None where it was not, or for no plain reason."""
        if self._refused is None:
            return None
        words = verdict(*self._refused)
        kind = Untimely if self._refused[0] in (EXPIRED, NOT_YET) else HTTPError
        return kind(Fault.TLS, f"TLS: its certificate {words}") if words else None


@implementer(IResolutionReceiver)
class _Addresses:
    """Gathers what a name stands for."""

    def __init__(self) -> None:
        self.done: Deferred[list[str]] = Deferred()
        self._found: list[str] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:  # noqa: N803
        """It cannot be stopped."""

    def addressResolved(self, address: Any) -> None:
        self._found.append(address.host)

    def resolutionComplete(self) -> None:
        if not self.done.called:
            self.done.callback(self._found)
