"""HTTP/2 where the server takes it, HTTP/1.1 where it does not: it chooses in the TLS handshake.

Both are offered by ALPN (RFC 7301). A server that chose HTTP/1.1 is asked again after a while.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from pushd.net.http import Answer, HTTPClient
from pushd.net.http2_connection import Declined

ASK_AGAIN = 3600.0  # seconds
REMEMBERED = 1000  # servers that chose HTTP/1.1


class EitherClient:
    """See `http.HTTPClient`. What goes without TLS is HTTP/1.1, whose client is made on demand."""

    def __init__(
        self, clock: IReactorTime, http2: HTTPClient, http11: Callable[[], HTTPClient]
    ) -> None:
        self._clock = clock
        self._http2 = http2
        self._open = http11
        self._opened: HTTPClient | None = None
        self._declined: OrderedDict[str, float] = OrderedDict()  # origin -> when to ask again

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout: float,
        fresh: bool = False,
    ) -> Deferred[Answer]:
        origin = url[: url.find("/", 8)] if url.find("/", 8) > 0 else url
        now = self._clock.seconds()
        if url.startswith("http:") or self._declined.get(origin, 0.0) > now:
            return self._http11.send(method, url, headers, body, timeout, fresh)

        def declined(failure: Failure) -> Deferred[Answer]:
            failure.trap(Declined)
            self._remember(origin)
            left = max(1.0, now + timeout - self._clock.seconds())
            return self._http11.send(method, url, headers, body, left, fresh)

        sending = self._http2.send(method, url, headers, body, timeout, fresh)
        return sending.addErrback(declined)

    def close(self) -> Deferred[Any]:
        clients = [self._http2, self._opened]
        return DeferredList([client.close() for client in clients if client is not None])

    @property
    def _http11(self) -> HTTPClient:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _remember(self, origin: str) -> None:
        self._declined[origin] = self._clock.seconds() + ASK_AGAIN
        self._declined.move_to_end(origin)
        if len(self._declined) > REMEMBERED:
            self._declined.popitem(last=False)
