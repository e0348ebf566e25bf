"""The way out through a proxy: tunnels, refusals, and nothing told that is nobody's business."""

from base64 import b64encode
from typing import Any

import pytest
from twisted.internet import reactor as the_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pushd.config.proxies import Proxy
from pushd.net.http import Answer, Fault, HTTPClient, HTTPError, Road, either, http2
from pushd.net.proxy import HEAD_LIMIT, TUNNEL_TIMEOUT, _Opening
from pushd.wire.secret import Secret
from tests.patience import PATIENCE
from tests.support import Transport, closed_port
from tests.unit.net.test_http2_sockets import echo, site
from tests.unit.net.web_house import Authority, H2Factory, OverSockets, Spoken

reactor: Any = the_reactor

OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Relay(Protocol):
    """The proxy's connection to where the tunnel leads."""

    def __init__(self, other: "ProxyProtocol") -> None:
        self.other = other

    def dataReceived(self, data: bytes) -> None:
        self.other.transport.write(data)  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.other.transport.loseConnection()  # type: ignore[union-attr]


class ProxyProtocol(Protocol):
    """A proxy that knows one name, or refuses."""

    def __init__(self, port: int, refusal: bytes) -> None:
        self.head = b""
        self._port = port
        self._refusal = refusal
        self._relay: Relay | None = None

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        if self._relay is not None:
            self._relay.transport.write(data)  # type: ignore[union-attr]
            return
        self.head += data
        if not self.head.endswith(b"\r\n\r\n"):
            return
        if self._refusal:
            self.transport.write(self._refusal)
            self.transport.loseConnection()
            return
        relay = Relay(self)
        target = TCP4ClientEndpoint(reactor, "127.0.0.1", self._port)
        connectProtocol(target, relay).addCallback(self._through)

    def _through(self, relay: Any) -> None:
        self._relay = relay
        self.transport.write(OK)  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure | None = None) -> None:
        if self._relay is not None:
            self._relay.transport.loseConnection()  # type: ignore[union-attr]


class ProxyFactory(Factory):
    def __init__(self, port: int, refusal: bytes = b"") -> None:
        self.protocols: list[ProxyProtocol] = []
        self._port = port
        self._refusal = refusal

    def buildProtocol(self, addr: object) -> ProxyProtocol:
        self.protocols.append(ProxyProtocol(self._port, self._refusal))
        return self.protocols[-1]


class TestProxies(OverSockets):
    def listen(self, factory: Any, context: Any = None) -> int:
        return self.serve(factory, context)[0]

    def through(self, factory: ProxyFactory, make: Any = either, **more: Any) -> HTTPClient:
        proxy = Proxy("127.0.0.1", self.listen(factory), **more)
        self.clients.append(make(reactor, Road(Authority.ca, proxy=proxy)))
        return self.clients[-1]

    async def post(self, client: HTTPClient) -> Answer:
        # A name that nobody knows but the proxy.
        return await client.send("POST", "https://push.example.net/x", {}, b"hi", PATIENCE)

    async def failed(self, client: HTTPClient) -> HTTPError:
        with pytest.raises(HTTPError) as raised:
            await self.post(client)
        assert raised.value.fault in (Fault.PROXY, Fault.BEYOND)
        return raised.value

    async def test_http2_goes_through(self) -> None:
        server = H2Factory(echo)
        proxy = ProxyFactory(self.listen(server, Spoken(b"h2", host="push.example.net")))
        client = self.through(proxy, http2)
        for _ in range(3):
            assert (await self.post(client)).body == b"hi"
        assert len(proxy.protocols) == 1
        assert server.protocols[0].server.asked[1].header(":authority") == "push.example.net"

    async def test_http11_goes_through(self) -> None:
        proxy = ProxyFactory(self.listen(site(), Authority.elsewhere))
        client = self.through(proxy)
        for _ in range(3):
            assert (await self.post(client)).body == b"old"
        assert len(proxy.protocols) == 2  # the first one was for the choice

    async def test_the_certificate_is_that_of_the_host_not_of_the_proxy(self) -> None:
        proxy = ProxyFactory(self.listen(site(), Authority.right))
        with pytest.raises(HTTPError) as raised:
            await self.post(self.through(proxy))
        assert raised.value.fault is Fault.TLS

    async def test_a_proxy_is_asked_as_rfc_9110_says(self) -> None:
        proxy = ProxyFactory(self.listen(site(), Authority.elsewhere))
        await self.post(self.through(proxy))
        assert proxy.protocols[0].head == (
            b"CONNECT push.example.net:443 HTTP/1.1\r\nHost: push.example.net:443\r\n\r\n"
        )

    async def test_who_has_a_password_says_it_to_the_proxy_alone(self) -> None:
        server = H2Factory(echo)
        proxy = ProxyFactory(self.listen(server, Spoken(b"h2", host="push.example.net")))
        client = self.through(proxy, http2, user="jo", password=Secret("pä:ss"))
        await self.post(client)
        pair = b64encode("jo:pä:ss".encode())
        assert b"\r\nProxy-Authorization: Basic " + pair + b"\r\n" in proxy.protocols[0].head
        assert "proxy-authorization" not in dict(server.protocols[0].server.asked[1].headers)

    async def test_a_refusal_is_a_fault_that_says_which(self) -> None:
        for status, words in (
            (407, "asks for a user name and a password"),
            (403, "opens no tunnel"),
            (502, "does not get through to the host"),
        ):
            refusal = b"HTTP/1.1 %d No\r\nContent-Length: 6\r\n\r\nsecret" % status
            error = await self.failed(self.through(ProxyFactory(0, refusal)))
            assert words in error.text
            assert f"HTTP {status}" in error.text
            assert "127.0.0.1:" in error.text

    async def test_a_password_that_is_not_taken_is_told_without_it(self) -> None:
        proxy = ProxyFactory(0, b"HTTP/1.0 407 No\r\n\r\n")
        error = await self.failed(self.through(proxy, user="jo", password=Secret("hunter2")))
        assert "does not take our user name and password" in error.text
        assert "hunter2" not in error.text

    async def test_a_proxy_that_is_not_there_is_a_fault(self) -> None:
        proxy = Proxy("127.0.0.1", closed_port(self))
        for make in (http2, either):
            client = make(reactor, Road(proxy=proxy))
            self.clients.append(client)
            error = await self.failed(client)
            assert error.text == f"the proxy {proxy}: nothing listens there"


# Without a network.


class Within(Protocol):
    """What speaks through the tunnel."""

    def __init__(self) -> None:
        self.heard = b""
        self.end: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.end = reason


class Table:
    """A proxy's connection, and what has become of it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.proxy = Proxy("proxy.example.net", 3128, "jo", Secret("hunter2"))
        self.transport = Transport()
        self.within = Within()
        factory = Factory.forProtocol(lambda: self.within)
        self.opening = _Opening(self.clock, self.proxy, "push.example.net:443", factory)
        self.found: list[Any] = []
        self.opening.done = Deferred()
        self.opening.done.addBoth(self.found.append)
        self.opening.makeConnection(self.transport)  # type: ignore[no-untyped-call]

    @property
    def error(self) -> HTTPError:
        (failure,) = self.found
        assert isinstance(failure.value, HTTPError)
        return failure.value


def test_the_answer_may_come_in_pieces() -> None:
    table = Table()
    for byte in OK[:-1]:
        table.opening.dataReceived(bytes([byte]))
    assert table.found == []
    table.opening.dataReceived(OK[-1:] + b"hello")
    assert table.found == [table.within]
    assert table.within.transport is table.transport
    table.opening.dataReceived(b", world")
    assert table.within.heard == b"hello, world"


def test_a_preliminary_answer_is_passed_over() -> None:
    table = Table()
    table.opening.dataReceived(b"HTTP/1.1 102 Processing\r\n\r\n" * 2 + OK + b"hello")
    assert table.within.heard == b"hello"


def test_preliminary_answers_are_no_answer_in_the_end() -> None:
    table = Table()
    table.opening.dataReceived(b"HTTP/1.1 100 \r\n\r\n" * HEAD_LIMIT)
    assert "too long a head" in table.error.text
    assert table.transport.ended == "abort"


def test_the_end_of_the_connection_is_the_end_of_the_tunnel() -> None:
    table = Table()
    table.opening.dataReceived(OK)
    table.opening.connectionLost(Failure(ConnectionDone()))
    assert table.within.end is not None
    assert table.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    "answer",
    [
        b"220 mail ready\r\n\r\n",
        b"\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"x" * (HEAD_LIMIT + 1),
        OK[:-2] + b"a: b\r\n" * HEAD_LIMIT,
    ],
)
def test_what_is_no_answer_is_a_fault(answer: bytes) -> None:
    table = Table()
    table.opening.dataReceived(answer)
    assert table.error.fault is Fault.PROXY
    assert table.transport.ended == "abort"
    assert table.within.transport is None


def test_a_proxy_that_says_nothing_is_given_up() -> None:
    table = Table()
    table.clock.advance(TUNNEL_TIMEOUT)
    assert table.error.fault is Fault.PROXY
    assert table.transport.ended == "abort"


def test_a_proxy_that_hangs_up_is_a_fault() -> None:
    table = Table()
    table.opening.connectionLost(Failure(ConnectionDone()))
    assert "hung up" in table.error.text
    assert table.clock.getDelayedCalls() == []


def test_a_proxy_is_named_without_who_we_are_to_it() -> None:
    table = Table()
    for text in (repr(table.proxy), str(table.proxy), repr(Road(proxy=table.proxy))):
        assert "proxy.example.net:3128" in text
        assert "hunter2" not in text
        assert "jo" not in text
    assert str(Proxy("2001:db8::1", 80)) == "[2001:db8::1]:80"
