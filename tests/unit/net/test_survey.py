"""The way to a server, step by step, over real sockets: how far one comes, and why no further."""

import socket
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet import reactor as the_reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.internet.task import Clock

from pushd.config.proxies import Proxy
from pushd.net import survey as surveys
from pushd.net.certificates import DevelopmentCA
from pushd.net.http import Fault, Road
from pushd.net.survey import Survey, Surveyor
from tests.support import AGES, ages_pass, result_of
from tests.unit.net.test_http2_sockets import echo, site
from tests.unit.net.test_proxy import ProxyFactory
from tests.unit.net.web_house import Authority, H2Factory, OverSockets, Spoken

reactor: Any = the_reactor


class TestSurveys(OverSockets):
    def listen(self, factory: Any, context: Any = None) -> int:
        return self.serve(factory, context)[0]

    async def look(self, url: str, http2: bool = False, **road: Any) -> Survey:
        found = await Surveyor(reactor, Road(**{"ca_file": Authority.ca} | road), url, http2).go()
        assert all(sight.seconds >= 0 for sight in found.sights)
        return found

    async def test_a_way_that_is_free(self) -> None:
        port = self.listen(H2Factory(echo), Spoken(b"h2"))
        seen = await self.look(f"https://127.0.0.1:{port}/x", http2=True)
        assert seen.place == f"127.0.0.1:{port}"
        assert seen.fault is None
        assert [one.step for one in seen.sights] == ["connection", "tls", "protocol"]
        connection, tls, protocol = (one.text for one in seen.sights)
        assert connection == "connected to 127.0.0.1"
        assert tls.startswith("TLSv1.3, with a certificate that is good until 20")
        assert protocol == "it speaks HTTP/2"

    async def test_a_name_is_looked_up(self) -> None:
        port = self.listen(site())
        seen = await self.look(f"http://localhost:{port}/")
        assert [one.step for one in seen.sights] == ["name", "connection", "protocol"]
        assert seen.sights[0].text.startswith("it has the address ")

    async def test_a_server_that_speaks_http11_does_unless_http2_is_wanted(self) -> None:
        url = f"https://127.0.0.1:{self.listen(site(), Spoken(b'http/1.1'))}/"
        assert (await self.look(url)).sights[-1].text == "it speaks HTTP/1.1"
        seen = await self.look(url, http2=True)
        # One that has no h2 to offer may as well end the handshake.
        assert seen.fault in (Fault.BROKEN, Fault.TLS)

    async def test_what_refuses_connections(self) -> None:
        with socket.socket() as taken:  # and nobody listens there
            taken.bind(("127.0.0.1", 0))
            seen = await self.look(f"https://127.0.0.1:{taken.getsockname()[1]}/")
        assert [one.step for one in seen.sights] == ["connection"]
        assert seen.fault is Fault.UNREACHABLE
        assert seen.sights[0].text == "no connection: nothing listens there"

    async def test_a_certificate_that_has_expired_is_called_so(self) -> None:
        with TemporaryDirectory() as folder:
            old = DevelopmentCA(Path(folder), time.time() - 400 * 86_400)
            issued = old.issue(["127.0.0.1"])
            context = DefaultOpenSSLContextFactory(str(issued.key), str(issued.certificate))
            port = self.listen(site(), context)
            seen = await self.look(f"https://127.0.0.1:{port}/", ca_file=old.path)
        assert [one.step for one in seen.sights] == ["connection", "tls"]
        assert seen.fault is Fault.TLS
        assert seen.sights[1].text.startswith("TLS: its certificate expired on 20")

    async def test_an_authority_that_nobody_trusts_is_named(self) -> None:
        port = self.listen(site(), Authority.right)
        seen = await self.look(f"https://127.0.0.1:{port}/", ca_file=Authority.stranger)
        assert seen.fault is Fault.TLS
        assert seen.sights[-1].text.startswith("TLS: its certificate is signed by CN=")

    async def test_a_certificate_for_another_host(self) -> None:
        port = self.listen(site(), Authority.elsewhere)
        seen = await self.look(f"https://127.0.0.1:{port}/")
        assert seen.sights[-1].text == "TLS: the certificate is for another host"

    async def test_a_server_without_tls(self) -> None:
        seen = await self.look(f"https://127.0.0.1:{self.listen(Chatty())}/")
        assert [one.step for one in seen.sights] == ["connection", "tls"]
        assert seen.fault is Fault.TLS

    async def test_a_server_that_hangs_up(self) -> None:
        seen = await self.look(f"https://127.0.0.1:{self.listen(Chatty(b''))}/")
        assert [one.step for one in seen.sights] == ["connection", "tls"]
        assert seen.fault is Fault.BROKEN

    async def test_a_server_that_says_nothing(self) -> None:
        url = f"https://127.0.0.1:{self.listen(Mute())}/"
        seen = await Surveyor(reactor, Road(Authority.ca), url, patience=AGES).go()
        assert [one.step for one in seen.sights] == ["connection", "tls"]
        assert (seen.fault, seen.sights[1].text) == (Fault.TIMEOUT, "no TLS within 500000 s")

    async def test_the_way_through_a_proxy(self) -> None:
        inner = self.listen(H2Factory(echo), Spoken(b"h2", host="push.example.net"))
        proxy = Proxy("127.0.0.1", self.listen(ProxyFactory(inner)))
        seen = await self.look("https://push.example.net/x", proxy=proxy)
        assert [one.step for one in seen.sights] == ["connection", "tls", "protocol"]
        assert seen.place == "push.example.net:443"
        assert seen.sights[0].text == f"connected, through the proxy {proxy}"

    async def test_a_proxy_that_refuses(self) -> None:
        refusal = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"
        proxy = Proxy("127.0.0.1", self.listen(ProxyFactory(0, refusal)))
        seen = await self.look("https://push.example.net/x", proxy=proxy)
        assert [one.step for one in seen.sights] == ["connection"]
        assert seen.fault is Fault.BEYOND
        assert "opens no tunnel to the host (HTTP 403)" in seen.sights[0].text


class Chatty(Factory):
    """Says something at once, and hangs up."""

    noisy = False

    def __init__(self, words: bytes = b"220 mail.example.net\r\n") -> None:
        self.words = words

    def buildProtocol(self, addr: object) -> Protocol:
        return Hasty(self.words)


class Hasty(Protocol):
    def __init__(self, words: bytes) -> None:
        self.words = words

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.words)
        self.transport.loseConnection()


class Mute(Factory):
    """It lets ages pass, once it has been asked for TLS."""

    noisy = False

    def buildProtocol(self, addr: object) -> Protocol:
        asked = Protocol()
        asked.dataReceived = lambda data: ages_pass(reactor)  # type: ignore[method-assign]
        return asked


# Names, without a network.


class Names(Clock):
    """A reactor whose resolver gives these addresses; None: it never answers."""

    def __init__(self, *addresses: str, is_silent: bool = False) -> None:
        super().__init__()
        self.addresses = addresses
        self.is_silent = is_silent
        self.nameResolver = self

    def resolveHostName(self, receiver: Any, host: str, port: int, *more: Any) -> None:
        receiver.resolutionBegan(None)
        if not self.is_silent:
            for address in self.addresses:
                receiver.addressResolved(IPv4Address("TCP", address, port))
            receiver.resolutionComplete()


def test_a_name_that_nobody_has() -> None:
    seen = result_of(Surveyor(Names(), Road(), "http://nobody.invalid/").go())
    assert [(one.step, one.text, one.fault) for one in seen.sights] == [
        ("name", "the host has no address", Fault.UNREACHABLE)
    ]


def test_what_a_stranger_may_not_name_has_no_address() -> None:
    going = Surveyor(Names("10.0.0.1"), Road(is_public=True), "http://inside.example/").go()
    assert result_of(going).sights[0].text == "the host has no address"


def test_a_name_server_that_is_silent() -> None:
    names = Names(is_silent=True)
    going = Deferred.fromCoroutine(Surveyor(names, Road(), "http://silent.example/").go())
    found: list[Any] = []
    going.addBoth(found.append)
    names.advance(surveys.PATIENCE)
    (seen,) = found
    assert seen.fault is Fault.TIMEOUT
    assert seen.sights[0].text == "the name was not looked up within 10 s"


def test_it_can_be_called_off() -> None:
    names = Names(is_silent=True)
    going = Deferred.fromCoroutine(Surveyor(names, Road(), "http://silent.example/").go())
    found: list[Any] = []
    going.addErrback(lambda failure: found.append(failure.type))
    going.cancel()
    assert found == [CancelledError]
    assert names.getDelayedCalls() == []
