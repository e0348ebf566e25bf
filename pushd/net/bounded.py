"""So many connections and no more, whoever names the hosts that they go to.

Connections are kept for a while, and each takes a descriptor: hosts that strangers name must not
be able to take them all. Nor are they to keep others out: who comes when all are taken gets the
place of one that is only kept.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from pushd.net.http import Fault, HTTPError


class Bound:
    """`most` connections at a time, those that are being made included.

    `make_room` ends one that nobody needs at present, which may take a turn of the reactor, and
    tells whether there was one.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self.make_room: Callable[[], bool] = lambda: False

    def on(self, way: IStreamClientEndpoint) -> IStreamClientEndpoint:
        """The same endpoint, whose connections count."""
        found: IStreamClientEndpoint = _Endpoint(self, way)
        return found


@implementer(IStreamClientEndpoint)
class _Endpoint:
    def __init__(self, bound: Bound, way: IStreamClientEndpoint) -> None:
        self._bound = bound
        self._way = way

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:  # noqa: N803
        bound = self._bound
        if bound.taken >= bound.most and not bound.make_room():
            return fail(HTTPError(Fault.UNREACHABLE, f"{bound.most} connections are enough"))
        bound.taken += 1

        def made(result: Any) -> Any:
            """Or not: what is open is counted by itself."""
            bound.taken -= 1
            return result

        connecting: Deferred[Any] = self._way.connect(_Factory(bound, protocolFactory))
        return connecting.addBoth(made).addCallback(lambda counted: counted.wrappedProtocol)


class _Protocol(ProtocolWrapper):
    """Counts from its first to its last moment."""

    factory: "_Factory"

    def makeConnection(self, transport: Any) -> None:
        self.factory.bound.taken += 1
        super().makeConnection(transport)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.bound.taken -= 1
        super().connectionLost(reason)  # type: ignore[no-untyped-call]


class _Factory(WrappingFactory[Any]):
    protocol = _Protocol
    noisy = False

    def __init__(self, bound: Bound, factory: IProtocolFactory) -> None:
        super().__init__(factory)  # type: ignore[no-untyped-call]
        self.bound = bound

    def doStart(self) -> None:
        """Without a word in the log, which Twisted's own would say."""

    def doStop(self) -> None:
        """The same."""
