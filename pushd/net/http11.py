"""HTTP/1.1: treq over Twisted's Agent, tamed.

Both are made for browsing. What is switched off here: redirects, cookies, gzip (what
inflates has no bound), the body producer that takes turns of the reactor. What is added:
a limit on open connections, which the pool has only for those it keeps; a cap on the body;
and one more try for a request that met a connection at its end.
"""

from collections.abc import Iterator, Mapping, Sequence
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

from OpenSSL.SSL import Error as TLSError
from service_identity import VerificationError
from treq.client import HTTPClient as TreqClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.error import (
    ConnectError,
    ConnectionClosed,
    DNSLookupError,
    TimeoutError,
)
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    BrowserLikePolicyForHTTPS,
    HostnameCachingHTTPSPolicy,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseNeverReceived,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from pushd.net.http import BODY_LIMIT, CONNECT_TIMEOUT, IDLE_TIMEOUT, Answer, Fault, HTTPError


def agent(
    reactor: Any, trusted: Sequence[Certificate] | None, connections: int
) -> tuple[IAgent, HTTPConnectionPool]:
    """An agent that checks servers against `trusted` (None: the platform's store)."""
    trust = trustRootFromCertificates(trusted) if trusted is not None else None
    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = connections
    pool.cachedConnectionTimeout = IDLE_TIMEOUT
    # Making a TLS context reads the whole store: once a host, not once a connection.
    policy = HostnameCachingHTTPSPolicy(BrowserLikePolicyForHTTPS(trust))
    return Agent(reactor, policy, connectTimeout=CONNECT_TIMEOUT, pool=pool), pool


class HTTP11Client:
    """See `http.HTTPClient`. `reactor` tells the time; the pool is closed with the client."""

    def __init__(
        self, reactor: Any, agent: IAgent, pool: HTTPConnectionPool, connections: int
    ) -> None:
        self._reactor = reactor
        self._pool = pool
        self._connections = connections
        self._gates: dict[tuple[str, str], DeferredSemaphore] = {}  # of origins in use
        no_cookies = IndexableCookieJar(DefaultCookiePolicy(allowed_domains=()))
        self._client = TreqClient(_Plain(agent), no_cookies, _Whole)

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Deferred[Answer]:
        return Deferred.fromCoroutine(self._send(method, url, headers, body, timeout))

    def close(self) -> Deferred[None]:
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Answer:
        parts = urlsplit(url)
        origin = (parts.scheme, parts.netloc)
        gate = self._gates.get(origin)
        if gate is None:
            gate = self._gates[origin] = DeferredSemaphore(self._connections)
        await gate.acquire()
        try:
            exchange = Deferred.fromCoroutine(self._exchange(method, url, headers, body))
            exchange.addTimeout(timeout, self._reactor, _timed_out)
            return await exchange.addErrback(_explain)
        finally:
            gate.release()
            if gate.tokens == gate.limit:
                self._gates.pop(origin, None)

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        try:
            response = await self._request(method, url, headers, body)
        except (RequestTransmissionFailed, ResponseNeverReceived) as error:
            # A kept connection may end while it is being chosen. To say the same again is
            # harmless here: every request sent this way replaces its own earlier copy.
            if not _met_the_end(error):
                raise
            response = await self._request(method, url, headers, body)
        reader = _Reader()
        response.original.deliverBody(reader)
        received = await reader.done
        return Answer(response.code, _pairs(response.headers), received)

    def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Deferred[Any]:
        return self._client.request(
            method,
            url,
            headers=Headers({name: [value] for name, value in headers.items()}),
            data=body,
            allow_redirects=False,
            unbuffered=True,
            reactor=self._reactor,
        )


@implementer(IAgent)
class _Plain:
    """An agent that does not pass on treq's offer of gzip, nor unpacks what comes packed."""

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # noqa: N803  named by Twisted
    ) -> Deferred[IResponse]:
        if headers is not None:
            headers.removeHeader("accept-encoding")
        answer = self._agent.request(method, uri, headers, bodyProducer)
        return answer.addCallback(self._as_it_came)

    def _as_it_came(self, response: IResponse) -> IResponse:
        response.headers.removeHeader("content-encoding")
        return response


@implementer(IBodyProducer)
class _Whole:
    """A body that is written in one piece, at once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._data)
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    def pauseProducing(self) -> None:
        """Nothing is left to pause."""

    def resumeProducing(self) -> None:
        """Nothing is left to resume."""

    def stopProducing(self) -> None:
        """Nothing is left to stop."""


class _Reader(Protocol):
    """Collects a body. `done` fires with it, cut at the limit, or fails as the connection did."""

    def __init__(self) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self._drop())
        self._parts: list[bytes] = []
        self._room = BODY_LIMIT

    def dataReceived(self, data: bytes) -> None:
        if self._room < 0:
            return
        self._parts.append(data[: self._room])
        self._room -= len(data)
        if self._room < 0:
            self._drop()
            self._finish()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self._finish()
        else:
            self.done.errback(reason)

    def _finish(self) -> None:
        if not self.done.called:
            self.done.callback(b"".join(self._parts))

    def _drop(self) -> None:
        # `loseConnection` would go on reading until the peer has agreed to end the TLS
        # session; this ends the socket below it.
        if self.transport is not None:
            self.transport.stopProducing()  # type: ignore[attr-defined]


def _pairs(headers: Headers) -> list[tuple[str, str]]:
    return [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, values in headers.getAllRawHeaders()
        for value in values
    ]


def _timed_out(_: object, timeout: float) -> Failure:
    return Failure(HTTPError(Fault.TIMEOUT, f"no answer within {timeout:g} s"))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and, where it wraps others (Twisted's web client does), those."""
    yield error
    for reason in getattr(error, "reasons", None) or ():
        yield from _causes(reason.value)


def _met_the_end(error: Exception) -> bool:
    """Did the connection end before a byte of an answer, and not by our doing?"""
    _, *causes = _causes(error)
    return bool(causes) and all(isinstance(cause, ConnectionClosed) for cause in causes)


def _explain(failure: Failure) -> Failure:
    error = failure.value
    return Failure(_fault(error) if isinstance(error, Exception) else error)


def _fault(error: Exception) -> Exception:
    """What went wrong, in our words. That the caller cancelled the exchange stays as it is."""
    for cause in _causes(error):
        match cause:
            case HTTPError() | CancelledError():
                return cause
            case TLSError():
                return HTTPError(Fault.TLS, f"TLS: {_words_of(cause)}")
            case VerificationError():
                return HTTPError(Fault.TLS, "TLS: the certificate is for another host")
            case TimeoutError():
                return HTTPError(Fault.TIMEOUT, f"no connection within {CONNECT_TIMEOUT:g} s")
            case DNSLookupError():
                return HTTPError(Fault.UNREACHABLE, "the host has no address")
            case ConnectError():
                return HTTPError(Fault.UNREACHABLE, f"no connection: {type(cause).__name__}")
            case ConnectionClosed():
                return HTTPError(Fault.BROKEN, "the connection ended before the answer did")
    return HTTPError(Fault.BROKEN, f"an exchange that makes no sense: {type(error).__name__}")


def _words_of(error: TLSError) -> str:
    """OpenSSL's own, such as "certificate verify failed"."""
    try:
        return str(error.args[0][-1][-1])
    except (IndexError, TypeError):
        return type(error).__name__
