"""HTTP/2 where the server takes it, HTTP/1.1 where it does not: it chooses in the TLS handshake.

Both are offered by ALPN (RFC 7301). A server that chose HTTP/1.1 is asked again after a while.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from pushd.net.client import Way, origin_of
from pushd.net.http2_connection import Declined

ASK_AGAIN = 3600.0  # seconds
REMEMBERED = 1000  # servers that chose HTTP/1.1


@implementer(IAgent)
class EitherAgent:
    """What goes without TLS is HTTP/1.1, whose agent is made on demand."""

    def __init__(self, clock: IReactorTime, http2: Way, http11: Callable[[], Way]) -> None:
        self._clock = clock
        self._http2 = http2
        self._open = http11
        self._opened: Way | None = None
        self._declined: OrderedDict[bytes, float] = OrderedDict()  # origin -> when to ask again

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # noqa: N803  named by Twisted
    ) -> Deferred[IResponse]:
        origin = origin_of(uri)
        again_at = self._declined.get(origin, 0.0)
        if uri.startswith(b"http:") or again_at > self._clock.seconds():
            return self._http11.request(method, uri, headers, bodyProducer)

        def declined(failure: Failure) -> Deferred[IResponse]:
            failure.trap(Declined)
            self._remember(origin)
            return self._http11.request(method, uri, headers, bodyProducer)

        sending = self._http2.request(method, uri, headers, bodyProducer)
        return sending.addErrback(declined)

    def close(self) -> Deferred[Any]:
        agents = [self._http2, self._opened]
        return DeferredList([agent.close() for agent in agents if agent is not None])

    def make_room(self) -> bool:
        return self._http2.make_room() or (self._opened is not None and self._opened.make_room())

    @property
    def _http11(self) -> Way:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _remember(self, origin: bytes) -> None:
        self._declined[origin] = self._clock.seconds() + ASK_AGAIN
        self._declined.move_to_end(origin)
        if len(self._declined) > REMEMBERED:
            self._declined.popitem(last=False)
