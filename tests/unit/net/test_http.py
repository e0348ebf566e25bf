"""HTTPS out, against servers that behave and servers that do not."""

import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet import reactor as the_reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredList, fail
from twisted.internet.error import (
    CannotListenError,
    ConnectError,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TimeoutError,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed, ResponseNeverReceived
from twisted.web.iweb import IAgent
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import implementer

from pushd.net.certificates import DevelopmentCA
from pushd.net.client import Client
from pushd.net.http import (
    BODY_LIMIT,
    FAREWELL,
    STRAIGHT,
    Answer,
    Fault,
    HTTPClient,
    HTTPError,
    Road,
    authorities,
    http11,
)
from pushd.net.http11 import ANSWER_LIMIT, HTTP11Agent, _CappingFactory
from pushd.net.outward import Outward
from tests.patience import PATIENCE
from tests.support import AGES, ages_pass, closed_port
from tests.unit.net.web_house import Authority, OverSockets, Watched

reactor: Any = the_reactor  # listens, connects and tells the time: no one interface says so

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Service(Resource):
    """A web service that remembers what it was asked; `answer` says what it does."""

    isLeaf = True

    def __init__(self, answer: Callable[[Request], Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.requests: list[Request] = []
        self._answer = answer

    def render(self, request: Request) -> Any:
        self.requests.append(request)
        return self._answer(request)


class Rude(Protocol):
    """A server below HTTP, which acts when bytes of a request arrive."""

    def __init__(self, act: Callable[["Rude"], None]) -> None:
        self.requests = 0
        self._act = act

    def dataReceived(self, data: bytes) -> None:
        self.requests += data.count(b"POST ")
        self._act(self)

    def say(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def hang_up(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


class RudeServer(Factory):
    def __init__(self, act: Callable[[Rude], None]) -> None:
        self.connections: list[Rude] = []
        self._act = act

    def buildProtocol(self, addr: object) -> Rude:
        self.connections.append(Rude(self._act))
        return self.connections[-1]


class TestExchanges(OverSockets):
    def setUp(self) -> None:
        super().setUp()
        self.client = self.trusting(Authority.ca)

    def trusting(self, ca: Path, connections: int = 50) -> HTTPClient:
        self.clients.append(http11(reactor, Road(ca), connections))
        return self.clients[-1]

    def listen(self, factory: Any, context: Any = None) -> tuple[str, Watched]:
        port, watched = self.serve(factory, context or Authority.right)
        return f"https://127.0.0.1:{port}", watched

    def answering(
        self, answer: Callable[[Request], Any], context: Any = None
    ) -> tuple[str, Service, Watched]:
        service = Service(answer)
        url, watched = self.listen(Site(service), context)
        return url, service, watched

    async def post(self, url: str, timeout: float = PATIENCE, client: Any = None) -> Answer:
        answer: Answer = await (client or self.client).send(
            "POST", url, {"x-color": "blue"}, b"a body", timeout
        )
        return answer

    async def failed(self, url: str, timeout: float = PATIENCE, client: Any = None) -> HTTPError:
        with pytest.raises(HTTPError) as raised:
            await self.post(url, timeout, client)
        return raised.value

    async def test_a_request_arrives_as_it_was_given(self) -> None:
        def answer(request: Request) -> bytes:
            assert request.content is not None
            self.body = request.content.read()
            return b""

        url, service, _ = self.answering(answer)
        await self.post(url + "/v1/a%2Fb%20c?x=%3d&y")
        (request,) = service.requests
        assert (request.method, request.uri) == (b"POST", b"/v1/a%2Fb%20c?x=%3d&y")
        assert self.body == b"a body"
        assert request.getHeader("x-color") == "blue"
        assert request.getHeader("content-length") == "6"
        for unwanted in ("accept-encoding", "cookie", "transfer-encoding"):
            assert request.getHeader(unwanted) is None

    async def test_an_answer_comes_back_whole_whatever_its_status(self) -> None:
        def answer(request: Request) -> bytes:
            request.setResponseCode(503)
            request.setHeader("Retry-After", "7")
            request.responseHeaders.setRawHeaders("x-many", ["a", "b"])
            return b"later"

        url, _, _ = self.answering(answer)
        came = await self.post(url)
        assert (came.status, came.body) == (503, b"later")
        headers = [(name.lower(), value) for name, value in came.headers]
        assert ("retry-after", "7") in headers
        assert [value for name, value in headers if name == "x-many"] == ["a", "b"]

    async def test_a_client_that_is_closed_ends_what_is_under_way_with_its_answer(self) -> None:
        asked: Deferred[Request] = Deferred()

        def answer(request: Request) -> int:
            asked.callback(request)
            return NOT_DONE_YET

        url, _, server = self.answering(answer)
        posting = Deferred.fromCoroutine(self.post(url))
        request = await asked
        await self.client.close()

        request.finish()

        assert (await posting).status == 200
        await DeferredList(server.ends)  # it is not kept for the next one

    @pytest.mark.line(146)
    @pytest.mark.mistake(16)
    async def test_a_certificate_of_another_authority_is_refused_before_anything_is_sent(
        self,
    ) -> None:
        url, service, _ = self.answering(lambda _: b"")
        error = await self.failed(url, client=self.trusting(Authority.stranger))
        assert error.fault is Fault.TLS
        assert "verify failed" in error.text
        assert service.requests == []

    @pytest.mark.line(146)
    async def test_the_platform_does_not_trust_a_development_authority(self) -> None:
        url, service, _ = self.answering(lambda _: b"")
        client = http11(reactor)
        self.clients.append(client)
        assert (await self.failed(url, client=client)).fault is Fault.TLS
        assert service.requests == []

    @pytest.mark.line(146)
    async def test_a_certificate_for_another_host_is_refused_before_anything_is_sent(self) -> None:
        url, service, _ = self.answering(lambda _: b"", Authority.elsewhere)
        assert (await self.failed(url)).fault is Fault.TLS
        assert service.requests == []

    async def test_a_redirect_is_an_answer_and_is_not_followed(self) -> None:
        def answer(request: Request) -> bytes:
            request.redirect(b"/elsewhere")
            return b""

        url, service, _ = self.answering(answer)
        assert (await self.post(url)).status == 302
        assert len(service.requests) == 1

    async def test_a_cookie_is_not_given_back(self) -> None:
        def answer(request: Request) -> bytes:
            request.addCookie("who", "me")
            return b""

        url, service, _ = self.answering(answer)
        await self.post(url)
        await self.post(url)
        assert service.requests[1].getHeader("cookie") is None

    async def test_what_comes_packed_is_not_unpacked(self) -> None:
        def answer(request: Request) -> bytes:
            request.setHeader("Content-Encoding", "gzip")
            return b"\x1f\x8b not really"

        url, _, _ = self.answering(answer)
        assert (await self.post(url)).body == b"\x1f\x8b not really"

    async def test_a_body_of_the_limit_is_read_whole(self) -> None:
        url, _, watched = self.answering(lambda _: b"x" * BODY_LIMIT)
        assert len((await self.post(url)).body) == BODY_LIMIT
        await self.post(url)
        assert len(watched.ends) == 1

    async def test_an_endless_body_is_cut_and_its_connection_dropped(self) -> None:
        def pour(server: Rude) -> None:
            server.say(HEAD)
            transport: Any = server.transport
            transport.registerProducer(Pouring(server), False)

        class Pouring:
            def __init__(self, server: Rude) -> None:
                self.server = server

            def resumeProducing(self) -> None:
                self.server.say(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")

            def stopProducing(self) -> None:
                """The connection has ended."""

        url, watched = self.listen(RudeServer(pour))
        came = await self.post(url)
        assert came == (200, came.headers, b"x" * BODY_LIMIT)
        await watched.ends[0]

    async def test_an_endless_head_is_a_broken_exchange_and_is_not_asked_for_again(self) -> None:
        def boast(server: Rude) -> None:
            server.say(b"HTTP/1.1 200 OK\r\n")
            server.say(b"x-praise: me, me, me\r\n" * (ANSWER_LIMIT // 20))

        factory = RudeServer(boast)
        url, watched = self.listen(factory)
        assert (await self.failed(url)).fault is Fault.BROKEN
        await watched.ends[0]
        assert len(factory.connections) == 1

    async def test_a_kept_connection_has_the_whole_room_for_each_answer(self) -> None:
        url, _, watched = self.answering(lambda _: b"x" * BODY_LIMIT)
        for _ in range(2 * ANSWER_LIMIT // BODY_LIMIT):
            assert len((await self.post(url)).body) == BODY_LIMIT
        assert len(watched.ends) == 1

    async def test_a_fresh_request_opens_a_connection_and_older_ones_are_used_no_more(
        self,
    ) -> None:
        waiting: list[Request] = []

        def answer(request: Request) -> Any:
            if len(service.requests) != 1:
                return b""
            waiting.append(request)
            arrived.callback(None)
            return NOT_DONE_YET

        url, service, watched = self.answering(answer)
        arrived: Deferred[None] = Deferred()
        first = self.client.send("POST", url, {}, b"", PATIENCE)
        await arrived
        await self.client.send("POST", url, {}, b"", PATIENCE, fresh=True)
        waiting[0].finish()
        await first
        await self.post(url)
        assert len(watched.ends) == 2
        await watched.ends[0]

    async def test_silence_ends_at_the_timeout_and_the_connection_with_it(self) -> None:
        def answer(request: Request) -> int:
            ages_pass(reactor)
            return NOT_DONE_YET

        url, service, watched = self.answering(answer)
        assert (await self.failed(url, timeout=AGES)).fault is Fault.TIMEOUT
        await watched.ends[0]
        assert len(service.requests) == 1

    async def test_a_body_that_stalls_ends_at_the_timeout_and_the_connection_with_it(self) -> None:
        def stall(server: Rude) -> None:
            server.say(HEAD + b"2\r\nab\r\n")
            reactor.callLater(0.05, ages_pass, reactor)  # it mostly arrives before

        url, watched = self.listen(RudeServer(stall))
        assert (await self.failed(url, timeout=AGES)).fault is Fault.TIMEOUT
        await watched.ends[0]

    async def test_a_host_may_be_an_address_of_ipv6(self) -> None:
        service = Service(lambda _: b"here")
        try:
            port, _ = self.serve(Site(service), host="::1")
        except CannotListenError:
            self.skipTest("this machine has no ::1")
        place = f"[::1]:{port}"
        answer = await self.post(f"http://{place}/v1/a%2Fb?x=%3d")
        assert (answer.status, answer.body) == (200, b"here")
        (request,) = service.requests
        assert (request.uri, request.getHeader("host")) == (b"/v1/a%2Fb?x=%3d", place)

    async def test_a_port_where_nobody_listens_is_unreachable(self) -> None:
        error = await self.failed(f"https://127.0.0.1:{closed_port(self)}/secret/path")
        assert error.fault is Fault.UNREACHABLE
        assert "secret" not in error.text

    async def test_a_kept_connection_serves_the_next_request(self) -> None:
        url, _, watched = self.answering(lambda _: b"")
        for _ in range(3):
            await self.post(url)
        assert len(watched.ends) == 1

    async def test_the_connection_that_was_kept_for_longest_makes_room(self) -> None:
        houses = [self.answering(lambda _: b"") for _ in range(2)]
        for url, _, _ in houses:
            await self.post(url)
        way = self.client._way  # type: ignore[attr-defined]
        for _, _, watched in houses:
            assert way.make_room()
            await watched.ends[0]
        assert not way.make_room()
        for url, _, watched in houses:
            await self.post(url)
            assert len(watched.ends) == 2

    async def test_no_more_connections_are_open_to_an_origin_than_allowed(self) -> None:
        waiting: list[Request] = []

        def answer(request: Request) -> int:
            waiting.append(request)
            self.arrived.callback(None)
            return NOT_DONE_YET

        url, service, watched = self.answering(answer)
        client = self.trusting(Authority.ca, connections=2)
        self.arrived: Deferred[None] = Deferred()
        posts = [client.send("POST", url, {}, b"", PATIENCE) for _ in range(5)]
        for _ in posts:
            await self.arrived
            self.arrived = Deferred()
            assert len(waiting) <= 2
            if len(waiting) == 2 or len(service.requests) == len(posts):
                while waiting:
                    waiting.pop().finish()
        await DeferredList(posts, fireOnOneErrback=True)
        assert len(service.requests) == 5
        assert len(watched.ends) == 2

    async def test_a_request_that_meets_a_closing_connection_is_sent_once_more(self) -> None:
        def once(server: Rude) -> None:
            if server.requests == 1:
                server.say(OK)
            else:
                server.hang_up()

        factory = RudeServer(once)
        url, _ = self.listen(factory)
        await self.post(url)
        assert (await self.post(url)).body == b"ok"
        assert [server.requests for server in factory.connections] == [2, 1]

    async def test_a_server_that_only_hangs_up_is_tried_twice_and_no_more(self) -> None:
        factory = RudeServer(Rude.hang_up)
        url, _ = self.listen(factory)
        assert (await self.failed(url)).fault is Fault.BROKEN
        assert len(factory.connections) == 2

    async def test_an_answer_that_breaks_off_is_not_asked_for_again(self) -> None:
        def half(server: Rude) -> None:
            server.say(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf")
            server.hang_up()

        factory = RudeServer(half)
        url, _ = self.listen(factory)
        assert (await self.failed(url)).fault is Fault.BROKEN
        assert len(factory.connections) == 1

    async def test_what_is_not_http_is_a_broken_exchange(self) -> None:
        url, _ = self.listen(RudeServer(lambda server: server.say(b"220 mail ready\r\n")))
        assert (await self.failed(url)).fault is Fault.BROKEN

    async def test_a_cancelled_exchange_ends_its_connection_and_stays_cancelled(self) -> None:
        arrived: Deferred[None] = Deferred()

        def answer(request: Request) -> int:
            arrived.callback(None)
            return NOT_DONE_YET

        url, service, watched = self.answering(answer)
        sent = self.client.send("POST", url, {}, b"", PATIENCE)
        await arrived
        sent.cancel()
        with pytest.raises(CancelledError):
            await sent
        await watched.ends[0]
        assert len(service.requests) == 1


@implementer(IAgent)
class FailingAgent:
    """Fails every request with the next of these errors."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def request(self, *arguments: Any) -> Deferred[Any]:
        return fail(self.errors.pop(0))


def failing_agent(clock: Any, *errors: Exception) -> HTTP11Agent:
    agent = HTTP11Agent(clock, Outward(clock, STRAIGHT), 1)
    agent._agent = FailingAgent(*errors)
    return agent


def failure_of(*errors: Exception) -> HTTPError:
    clock = Clock()
    client = Client(clock, failing_agent(clock, *errors))
    found: list[Failure] = []
    client.send("POST", "https://push.example.net/", {}, b"", 1.0).addErrback(found.append)
    error = found[0].value
    assert isinstance(error, HTTPError)
    return error


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (DNSLookupError("no such host"), Fault.UNREACHABLE),
        (ConnectionRefusedError(), Fault.UNREACHABLE),
        (NoRouteError(), Fault.UNREACHABLE),
        (TimeoutError(), Fault.TIMEOUT),
        (ResponseNeverReceived([Failure(SSL.Error([("", "", "unknown ca")]))]), Fault.TLS),
        (ResponseNeverReceived([Failure(SSL.Error())]), Fault.TLS),
        (ResponseFailed([Failure(ConnectionLost())]), Fault.BROKEN),
        (ValueError("odd"), Fault.BROKEN),
    ],
)
def test_each_failure_has_its_fault(error: Exception, fault: Fault) -> None:
    assert failure_of(error).fault is fault


def refused_tls(words: str) -> ResponseNeverReceived:
    return ResponseNeverReceived([Failure(SSL.Error([("SSL routines", "", words)]))])


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED), "no connection: nothing listens there"),
        (NoRouteError(errno.EHOSTUNREACH), "no connection: there is no route to it"),
        (ConnectError(errno.ENETUNREACH), "no connection: there is no route to it"),
        (ConnectError(errno.ENETDOWN), "no connection: network is down"),
        (ConnectError(), "no connection"),
        (ConnectError("odd"), "no connection"),
        (refused_tls("wrong version number"), "TLS: what answers there does not speak it"),
        (refused_tls("unexpected eof while reading"), "TLS: it hung up"),
        (refused_tls("unknown ca"), "TLS: unknown ca"),
    ],
)
def test_a_failure_is_told_in_plain_words(error: Exception, text: str) -> None:
    assert failure_of(error).text == text


class Deaf(StringTransport):
    """One whose peer agrees to no end."""

    was_aborted = False

    def abortConnection(self) -> None:
        self.was_aborted = True


def closing(clock: Clock) -> tuple[Any, Any]:
    """A connection that has been told to end, and what it is on."""
    transport: Any = Deaf()  # type: ignore[no-untyped-call]
    factory: Any = _CappingFactory(clock, Factory.forProtocol(Protocol))
    connection = factory.buildProtocol(None)
    connection.makeConnection(transport)
    connection.loseConnection()
    return connection, transport


def test_a_peer_that_does_not_let_go_is_left() -> None:
    clock = Clock()
    _, transport = closing(clock)
    clock.advance(FAREWELL - 1)
    assert (transport.disconnecting, transport.was_aborted) == (True, False)
    clock.advance(1)
    assert transport.was_aborted


def test_a_peer_that_lets_go_leaves_no_timer() -> None:
    clock = Clock()
    connection, _ = closing(clock)
    connection.connectionLost(Failure(ConnectionDone()))
    assert clock.getDelayedCalls() == []


def test_a_second_closing_connection_is_a_fault() -> None:
    closing = ResponseNeverReceived([Failure(ConnectionDone())])
    assert failure_of(closing, closing).fault is Fault.BROKEN


def test_an_origin_is_forgotten_when_its_last_exchange_ends() -> None:
    clock = Clock()
    agent = failing_agent(clock, TimeoutError())
    sending = Client(clock, agent).send("POST", "https://push.example.net/", {}, b"", 1.0)
    sending.addErrback(lambda _: None)
    assert agent._gates == {}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "No such file"),
        (b"", "no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
    ],
)
def test_a_file_of_authorities_that_is_of_no_use_is_named(
    tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=complaint) as raised:
        authorities(path)
    assert str(path) in str(raised.value)


def test_a_file_may_hold_several_authorities(tmp_path: Path) -> None:
    pem = b"".join(
        DevelopmentCA(tmp_path / name, time.time()).path.read_bytes() for name in ("one", "two")
    )
    both = tmp_path / "both.pem"
    both.write_bytes(pem)
    assert len(authorities(both)) == 2
