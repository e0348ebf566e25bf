"""HTTP/1.1: Twisted's Agent, tamed.

What is added to it: a limit on open connections, which the pool has only for those it keeps;
a cap on what an answer may bring; and one more try for a request that met a connection at
its end. treq is not asked: all that it does beyond the Agent (redirects, cookies, gzip) would
have to be switched off, and it would still be a fifth of the cost of a request.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.error import ConnectionAborted, ConnectionClosed
from twisted.internet.interfaces import IConsumer, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseNeverReceived,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer
from zope.interface import implementer

from pushd.net.faults import causes, fault
from pushd.net.http import BODY_LIMIT, IDLE_TIMEOUT, Answer, Fault, HTTPError

ANSWER_LIMIT = 65_536  # bytes of an answer: its head, its body, and what frames them


class HTTP11Client:
    """See `http.HTTPClient`. `reactor` tells the time, `outward` is the way to servers."""

    def __init__(self, reactor: Any, outward: IAgentEndpointFactory, connections: int) -> None:
        self._reactor = reactor
        self._outward = _Capped(outward)
        self._connections = connections
        self._gates: dict[tuple[str, str], DeferredSemaphore] = {}  # of origins in use
        self._pool = self._new_pool()
        self._agent = self._new_agent()

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout: float,
        fresh: bool = False,
    ) -> Deferred[Answer]:
        if fresh:
            self._renew()
        return Deferred.fromCoroutine(self._send(method, url, headers, body, timeout))

    def close(self) -> Deferred[None]:
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed

    def _new_pool(self) -> HTTPConnectionPool:
        pool = HTTPConnectionPool(self._reactor)
        pool.maxPersistentPerHost = self._connections
        pool.cachedConnectionTimeout = int(IDLE_TIMEOUT)
        return pool

    def _new_agent(self) -> IAgent:
        found: IAgent = Agent.usingEndpointFactory(self._reactor, self._outward, self._pool)
        return found

    def _renew(self) -> None:
        """Connections that come back to the old pool are not kept there."""
        self._pool.closeCachedConnections()
        self._pool.cachedConnectionTimeout = 0
        self._pool = self._new_pool()
        self._agent = self._new_agent()

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
        response.deliverBody(reader)
        received = await reader.done
        return Answer(response.code, _pairs(response.headers), received)

    def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Deferred[Any]:
        sending: Deferred[Any] = self._agent.request(
            method.encode(),
            url.encode(),
            Headers({name: [value] for name, value in headers.items()}),
            _Whole(body) if body or method != "GET" else None,
        )
        return sending


@implementer(IAgentEndpointFactory)
class _Capped:
    """Endpoints whose connections bring no more than ANSWER_LIMIT for each request."""

    def __init__(self, outward: IAgentEndpointFactory) -> None:
        self._outward = outward

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return _CappedEndpoint(self._outward, uri)


@implementer(IStreamClientEndpoint)
class _CappedEndpoint:
    """Made for each request, mostly for nothing: it looks for the way only when it connects."""

    def __init__(self, outward: IAgentEndpointFactory, uri: URI) -> None:
        self._outward = outward
        self._uri = uri

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:  # noqa: N803
        factory: Any = _CappingFactory(protocolFactory)  # type: ignore[no-untyped-call]
        connecting: Deferred[Any] = self._outward.endpointForURI(self._uri).connect(factory)
        return connecting.addCallback(lambda capped: capped.wrappedProtocol)


class _CappedProtocol(ProtocolWrapper):
    """Twisted's client keeps the head of an answer however long it is."""

    _room = ANSWER_LIMIT

    def dataReceived(self, data: bytes) -> None:
        self._room -= len(data)
        if self._room < 0:
            self.abortConnection()  # type: ignore[no-untyped-call]
        else:
            super().dataReceived(data)  # type: ignore[no-untyped-call]

    def write(self, data: bytes) -> None:
        self._room = ANSWER_LIMIT
        super().write(data)  # type: ignore[no-untyped-call]

    def writeSequence(self, data: Any) -> None:
        self._room = ANSWER_LIMIT
        super().writeSequence(data)  # type: ignore[no-untyped-call]


class _CappingFactory(WrappingFactory[Any]):
    protocol = _CappedProtocol
    noisy = False


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


def _met_the_end(error: Exception) -> bool:
    """Did the connection end before a byte of an answer, and not by our doing?"""
    _, *below = causes(error)
    return bool(below) and all(
        isinstance(cause, ConnectionClosed) and not isinstance(cause, ConnectionAborted)
        for cause in below
    )


def _explain(failure: Failure) -> Failure:
    error = failure.value
    return Failure(fault(error) if isinstance(error, Exception) else error)
