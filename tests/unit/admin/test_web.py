"""The face for who watches: three pages, and nothing else whatever is asked."""

import pytest
from twisted.internet.task import Clock

from pushd.admin.web import MOST, PATIENCE, Pages, WatchFactory
from tests.support import Transport


class Watcher:
    """A connection to the pages, with what the server says of itself."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.words = ""
        self.asked: list[str] = []
        self.factory = WatchFactory(self.clock, Pages(self._scrape, lambda: self.words))
        self.transport = Transport()
        self.channel = self.connect(self.transport)

    def connect(self, transport: Transport) -> object:
        channel = self.factory.buildProtocol(None)
        if channel is not None:
            channel.makeConnection(transport)
        return channel

    def say(self, data: bytes) -> bytes:
        """Send bytes; gives what is answered. Who is cut off is not heard any more."""
        if self.transport.ended:
            return b""
        channel: object = self.channel
        channel.dataReceived(data)  # type: ignore[attr-defined]
        return self.transport.take()

    def get(self, path: str, method: str = "GET", headers: str = "") -> tuple[bytes, bytes]:
        """The status line and headers, and the body."""
        said = self.say(f"{method} {path} HTTP/1.1\r\nHost: here\r\n{headers}\r\n".encode())
        head, _, body = said.partition(b"\r\n\r\n")
        return head, body

    def _scrape(self, accept: str) -> tuple[bytes, str]:
        self.asked.append(accept)
        return b"x 1\n", "text/plain; version=0.0.4"


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


def test_who_is_alive_says_so(watcher: Watcher) -> None:
    head, body = watcher.get("/healthz")

    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Type: text/plain; charset=utf-8" in head
    assert body == b"ok\n"


def test_who_is_not_ready_says_why_in_one_line(watcher: Watcher) -> None:
    watcher.words = "commits fail:\nthe disk is full"
    head, body = watcher.get("/readyz")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert body == b"commits fail: the disk is full\n"
    assert watcher.get("/healthz")[1] == b"ok\n"

    watcher.words = ""
    head, body = watcher.get("/readyz")
    assert (head[:13], body) == (b"HTTP/1.1 200 ", b"ok\n")


def test_the_metrics_come_with_their_type(watcher: Watcher) -> None:
    head, body = watcher.get("/metrics?x=1", headers="Accept: application/openmetrics-text\r\n")

    assert b"Content-Type: text/plain; version=0.0.4" in head
    assert body == b"x 1\n"
    assert watcher.asked == ["application/openmetrics-text"]


def test_a_head_has_no_body(watcher: Watcher) -> None:
    head, body = watcher.get("/metrics", "HEAD")

    assert b"Content-Length: 4" in head
    assert body == b""


@pytest.mark.parametrize("path", ["/", "/metrics/", "//metrics", "/../etc/passwd", "/debug", "*"])
def test_there_is_nothing_else(path: str, watcher: Watcher) -> None:
    assert watcher.get(path)[0].startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get"])
def test_there_is_no_other_method(method: str, watcher: Watcher) -> None:
    head, _ = watcher.get("/metrics", method)

    assert head.startswith(b"HTTP/1.1 405 ")
    assert b"Allow: GET, HEAD" in head
    assert watcher.asked == []


@pytest.mark.parametrize(
    "headers",
    ["Content-Length: 5\r\n", "Content-Length: 99999999\r\n", "Transfer-Encoding: chunked\r\n"],
    ids=["short", "long", "chunked"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_body_is_not_read(method: str, headers: str, watcher: Watcher) -> None:
    more = "GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n"
    body = "5\r\nhello\r\n0\r\n\r\n" if "chunked" in headers else "hello"
    head = f"{method} /metrics HTTP/1.1\r\nHost: here\r\n{headers}\r\n"
    said = watcher.say((head + body + more).encode())

    assert said.startswith(b"HTTP/1.1 413 ")
    assert watcher.transport.ended == "close"
    assert said.count(b"HTTP/1.1") == 1
    assert watcher.asked == []


def test_a_request_without_an_end_is_cut_off(watcher: Watcher) -> None:
    said = watcher.say(b"GET /" + b"x" * 100_000)

    assert watcher.transport.ended
    assert b" 200 " not in said


def test_headers_without_an_end_are_cut_off(watcher: Watcher) -> None:
    watcher.say(b"GET /metrics HTTP/1.1\r\n")
    for _ in range(2_000):
        watcher.say(b"X-Filler: " + b"x" * 100 + b"\r\n")

    assert watcher.transport.ended
    assert watcher.asked == []


def test_who_says_nothing_is_cut_off(watcher: Watcher) -> None:
    watcher.clock.advance(PATIENCE + 1)

    assert watcher.transport.ended


def test_so_many_may_watch_and_no_more(watcher: Watcher) -> None:
    others = [watcher.connect(Transport()) for _ in range(MOST)]
    assert [other is None for other in others] == [*[False] * (MOST - 1), True]

    last = others[0]
    last.connectionLost()  # type: ignore[attr-defined]
    assert watcher.connect(Transport()) is not None


def test_all_connections_end_with_the_server(watcher: Watcher) -> None:
    watcher.factory.close_all()

    assert watcher.transport.ended == "close"
