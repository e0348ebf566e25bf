"""HTTP/1.1: Twisted's Agent, tamed.

What is added to it: a limit on open connections, which the pool has only for those it keeps;
a cap on what an answer may bring; and one more try for a request that met a connection at
its end.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.error import ConnectionAborted, ConnectionClosed
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.components import proxyForInterface
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseNeverReceived,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from pushd.net.client import Unsent, Whole, origin_of
from pushd.net.faults import causes
from pushd.net.http import FAREWELL, IDLE_TIMEOUT

ANSWER_LIMIT = 65_536  # bytes of an answer: its head, its body, and what frames them


@implementer(IAgent)
class HTTP11Agent:
    """Twisted's Agent within limits. `reactor` tells the time, `outward` is the way to servers.

    A connection counts for its origin until the body of its answer has come.
    """

    def __init__(self, reactor: Any, outward: IAgentEndpointFactory, connections: int) -> None:
        self._reactor = reactor
        self._outward = _Capped(reactor, outward)
        self._connections = connections
        self._gates: dict[bytes, DeferredSemaphore] = {}  # of origins in use
        self._pool = self._new_pool()
        self._agent = self._new_agent()

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # noqa: N803  named by Twisted
    ) -> Deferred[IResponse]:
        if isinstance(bodyProducer, Whole) and bodyProducer.fresh:
            self._renew()
        return Deferred.fromCoroutine(self._request(uri, (method, uri, headers, bodyProducer)))

    def close(self) -> Deferred[None]:
        self._pool.cachedConnectionTimeout = 0  # of those that are in use
        closed: Deferred[None] = self._pool.closeCachedConnections()  # type: ignore[no-untyped-call]
        return closed

    def make_room(self) -> bool:
        return self._pool.make_room()

    def _new_pool(self) -> "_Pool":
        pool = _Pool(self._reactor)  # type: ignore[no-untyped-call]
        pool.maxPersistentPerHost = self._connections
        pool.cachedConnectionTimeout = int(IDLE_TIMEOUT)
        return pool

    def _new_agent(self) -> IAgent:
        found: IAgent = Agent.usingEndpointFactory(self._reactor, self._outward, self._pool)
        return found

    def _renew(self) -> None:
        """Connections that come back to the old pool are not kept there."""
        self._pool.closeCachedConnections()  # type: ignore[no-untyped-call]
        self._pool.cachedConnectionTimeout = 0
        self._pool = self._new_pool()
        self._agent = self._new_agent()

    async def _request(self, uri: bytes, asked: tuple[Any, ...]) -> IResponse:
        origin = origin_of(uri)
        await self._enter(origin)
        try:
            response = await self._exchange(asked)
        except BaseException:
            self._leave(origin)
            raise
        found: IResponse = _Counted(response, lambda: self._leave(origin))
        return found

    async def _exchange(self, asked: tuple[Any, ...]) -> IResponse:
        try:
            return await self._agent.request(*asked)
        except (RequestTransmissionFailed, ResponseNeverReceived) as error:
            # A kept connection may end while it is being chosen. To say the same again is
            # harmless here: every request sent this way replaces its own earlier copy.
            if not _met_the_end(error):
                raise
            return await self._agent.request(*asked)

    async def _enter(self, origin: bytes) -> None:
        gate = self._gates.get(origin)
        if gate is None:
            gate = self._gates[origin] = DeferredSemaphore(self._connections)
        try:
            await gate.acquire()
        except CancelledError:
            raise Unsent from None

    def _leave(self, origin: bytes) -> None:
        gate = self._gates[origin]
        gate.release()
        if gate.tokens == gate.limit:
            del self._gates[origin]


class _Pool(HTTPConnectionPool):
    """One that can do without the connection that it has kept for longest."""

    def make_room(self) -> bool:
        connection = next(iter(self._timeouts), None)  # in the order in which they were put there
        if connection is None:
            return False
        next(kept for kept in self._connections.values() if connection in kept).remove(connection)
        self._timeouts.pop(connection).cancel()
        connection.abort()
        return True


class _Counted(proxyForInterface(IResponse)):  # type: ignore[misc]
    """A response whose end is told, however it comes."""

    def __init__(self, original: IResponse, ended: Callable[[], None]) -> None:
        super().__init__(original)
        self._ended = ended

    def deliverBody(self, protocol: IProtocol) -> None:
        self.original.deliverBody(_Watched(protocol, self._ended))


class _Watched(Protocol):
    """Passes a body on."""

    def __init__(self, reader: IProtocol, ended: Callable[[], None]) -> None:
        self._reader = reader
        self._ended = ended

    def connectionMade(self) -> None:
        assert self.transport is not None
        self._reader.makeConnection(self.transport)

    def dataReceived(self, data: bytes) -> None:
        self._reader.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ended()
        self._reader.connectionLost(reason)


@implementer(IAgentEndpointFactory)
class _Capped:
    """Endpoints whose connections bring no more than ANSWER_LIMIT for each request, and end."""

    def __init__(self, clock: IReactorTime, outward: IAgentEndpointFactory) -> None:
        self._clock = clock
        self._outward = outward

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return _CappedEndpoint(self._clock, self._outward, uri)


@implementer(IStreamClientEndpoint)
class _CappedEndpoint:
    """Made for each request, mostly for nothing: it looks for the way only when it connects."""

    def __init__(self, clock: IReactorTime, outward: IAgentEndpointFactory, uri: URI) -> None:
        self._clock = clock
        self._outward = outward
        self._uri = uri

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:  # noqa: N803
        factory = _CappingFactory(self._clock, protocolFactory)
        connecting: Deferred[Any] = self._outward.endpointForURI(self._uri).connect(factory)
        return connecting.addCallback(lambda capped: capped.wrappedProtocol)


class _CappedProtocol(ProtocolWrapper):
    """Twisted's client keeps the head of an answer however long it is.

    And Twisted's TLS waits for the peer's agreement that a connection ends, as long as he likes.
    """

    factory: "_CappingFactory"
    _room = ANSWER_LIMIT
    _ending: IDelayedCall | None = None

    def loseConnection(self) -> None:
        super().loseConnection()  # type: ignore[no-untyped-call]
        if self._ending is None:
            self._ending = self.factory.clock.callLater(FAREWELL, self.abortConnection)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._ending is not None and self._ending.active():
            self._ending.cancel()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        self._room -= len(data)
        if self._room < 0:
            self.abortConnection()
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

    def __init__(self, clock: IReactorTime, factory: IProtocolFactory) -> None:
        super().__init__(factory)  # type: ignore[no-untyped-call]
        self.clock = clock

    def doStart(self) -> None:
        """Without a word in the log, which Twisted's own would say."""

    def doStop(self) -> None:
        """The same."""


def _met_the_end(error: Exception) -> bool:
    """Did the connection end before a byte of an answer, and not by our doing?"""
    _, *below = causes(error)
    return bool(below) and all(
        isinstance(cause, ConnectionClosed) and not isinstance(cause, ConnectionAborted)
        for cause in below
    )
