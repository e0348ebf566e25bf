"""The face for whoever watches the server, by HTTP: ``/metrics``, ``/healthz``, ``/readyz``.

Nothing else: no other path, no other method, no body, few connections. It is for loopback
addresses, as nobody logs in.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http

MOST = 20  # connections
PATIENCE = 30.0  # seconds for which a connection may say nothing
TEXT = "text/plain; charset=utf-8"
METHODS = (b"GET", b"HEAD")
TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Answer(NamedTuple):
    code: int
    body: bytes
    type: str = TEXT


Scrape = Callable[[str], tuple[bytes, str]]  # for the value of Accept: the page and its type
Obstacle = Callable[[], str]  # why the server is not ready, in words; "" if it is


class Pages:
    """What is answered."""

    def __init__(self, scrape: Scrape, obstacle: Obstacle) -> None:
        self._scrape = scrape
        self._obstacle = obstacle

    def answer(self, method: bytes, path: bytes, accept: str) -> Answer:
        if method not in METHODS:
            return Answer(http.NOT_ALLOWED, b"only GET and HEAD\n")
        if path == b"/healthz":  # who comes here has the reactor turn
            return Answer(http.OK, b"ok\n")
        if path == b"/readyz":
            words = " ".join(self._obstacle().split())
            return _no(words) if words else Answer(http.OK, b"ok\n")
        if path == b"/metrics":
            return Answer(http.OK, *self._scrape(accept))
        return Answer(http.NOT_FOUND, b"there are /metrics, /healthz and /readyz\n")


def _no(words: str) -> Answer:
    return Answer(http.SERVICE_UNAVAILABLE, f"{words}\n".encode("utf-8", "replace"))


class _Exchange(http.Request):
    """A request, and its answer. The connection of one that has a body is closed."""

    _is_refused = False

    def gotLength(self, length: int | None) -> None:
        if length == 0:
            http.Request.gotLength(self, length)
            return
        self._is_refused = True
        channel: Any = self.channel
        channel.transport.write(TOO_LARGE)
        channel.loseConnection()

    def handleContentChunk(self, data: bytes) -> None:
        """Nobody reads it."""

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """All of the body has come, too: of one that has none."""
        if not self._is_refused:
            http.Request.requestReceived(self, command, path, version)

    def process(self) -> None:
        request: Any = self
        accept = self.requestHeaders.getRawHeaders("accept", [""])[0]
        answer = request.channel.factory.pages.answer(self.method, self.path, accept)
        request.setResponseCode(answer.code)
        request.setHeader("content-type", answer.type)
        request.setHeader("content-length", str(len(answer.body)))
        request.setHeader("cache-control", "no-store")
        if answer.code == http.NOT_ALLOWED:
            request.setHeader("allow", "GET, HEAD")
        if self.method != b"HEAD":
            request.write(answer.body)
        request.finish()


class _Channel(http.HTTPChannel):
    """A connection, which its factory knows."""

    requestFactory = _Exchange

    def connectionMade(self) -> None:
        self.factory.channels.add(self)
        http.HTTPChannel.connectionMade(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.channels.discard(self)
        http.HTTPChannel.connectionLost(self, reason)


class WatchFactory(http.HTTPFactory):
    """The listening side: so many connections and no more, and no log of who asked."""

    noisy = False
    protocol: Any = _Channel

    def __init__(self, clock: IReactorTime, pages: Pages) -> None:
        http.HTTPFactory.__init__(self, timeout=PATIENCE, reactor=clock)
        self.pages = pages
        self.channels: set[Any] = set()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        if len(self.channels) >= MOST:
            return None
        return http.HTTPFactory.buildProtocol(self, addr)

    def startFactory(self) -> None:
        """The original opens a log, and has a timer for its lines."""

    def stopFactory(self) -> None:
        """See `startFactory`."""

    def log(self, request: http.Request) -> None:
        """Nothing is logged."""

    def close_all(self) -> None:
        """End all connections."""
        for one in list(self.channels):
            one.loseConnection()
