"""Answers over real connections: whole, cut, stalled, truncated, endless; with TLS and without."""

import json
from tempfile import TemporaryDirectory
from typing import Any

import jwt
import treq
from OpenSSL import SSL
from twisted.internet import reactor as global_reactor
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, ResponseFailed

from pushd.net.certificates import DevelopmentCA
from pushd.simulators.answers import Answer, Ending
from pushd.simulators.fcm import FCMSimulator
from pushd.simulators.fcm_tokens import GRANT_TYPE
from tests.patience import LONGEST, PATIENCE
from tests.unit.simulators.bench import SCOPE, account, loaded, note

reactor: Any = global_reactor
LOST = (ConnectionAborted, ConnectionDone, ConnectionLost)


class Reader(Protocol):
    """Reads a body up to `enough` bytes, then leaves; `over` gives why it ended."""

    def __init__(self, enough: float) -> None:
        self.read = 0
        self.enough = enough
        self.over: Deferred[type[Exception]] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.read += len(data)
        if self.read >= self.enough and self.transport is not None:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.over.callback(type(reason.value))  # type: ignore[arg-type]


class OverConnections(TestCase):
    """A stand-in on a port of its own, for each test."""

    timeout = LONGEST

    def setUp(self) -> None:
        self.simulator = FCMSimulator(reactor, account=account())
        self.agent: Any = Agent(reactor)
        self.put_on(reactor.listenTCP(0, self.simulator.site, interface="127.0.0.1"), "http")

    def put_on(self, port: Any, scheme: str) -> None:
        self.simulator.base_url = f"{scheme}://127.0.0.1:{port.getHost().port}"
        self.addCleanup(port.stopListening)
        self.addCleanup(self.simulator.close)

    async def sign_in(self) -> str:
        file = self.simulator.service_account()
        now = int(reactor.seconds())
        claims = {
            "iss": file["client_email"],
            "scope": SCOPE,
            "aud": file["token_uri"],
            "iat": now,
            "exp": now + 3600,
        }
        assertion = jwt.encode(claims, loaded(file["private_key"]), algorithm="RS256")
        form = {"grant_type": GRANT_TYPE, "assertion": assertion}
        response = await treq.post(file["token_uri"], data=form, agent=self.agent)
        return str((await treq.json_content(response))["access_token"])

    async def send(self, token: str = "phone") -> Any:
        return await self.ask(await self.sign_in(), token)

    def ask(self, access: str, token: str = "phone") -> "Deferred[Any]":
        post: Any = treq.post
        asked: Deferred[Any] = post(
            f"{self.simulator.base_url}/v1/projects/pushd-simulator/messages:send",
            data=json.dumps({"message": note(token)}).encode(),
            headers={"Authorization": f"Bearer {access}", "Content-Type": "application/json"},
            agent=self.agent,
            unbuffered=True,
        )
        return asked

    def left_open(self) -> "Deferred[None]":
        """Fires when the one request that waits for its answer has lost its client."""
        [request] = self.simulator._replies._open
        lost: Deferred[None] = request.notifyFinish()
        return lost.addErrback(lambda failure: failure.trap(*LOST) and None)

    async def test_a_message_is_accepted_over_a_connection(self) -> None:
        response = await self.send()
        assert response.code == 200
        assert "/messages/" in (await treq.json_content(response))["name"]
        received = await self.simulator.next_request("phone", timeout=PATIENCE)
        assert received.message == note("phone")

    async def test_a_cut_connection_gives_no_answer(self) -> None:
        self.simulator.script("phone", Answer(ending=Ending.CUT))
        failed: Any = await self.assertFailure(self.ask(await self.sign_in()), ResponseFailed)
        assert [reason.type for reason in failed.reasons] == [ConnectionLost]
        assert self.simulator.requests[0].status is None

    async def test_a_stalled_request_is_broken_off_when_the_stand_in_closes(self) -> None:
        self.simulator.script("phone", Answer(ending=Ending.STALL))
        waiting = self.ask(await self.sign_in())
        await self.simulator.next_request("phone", timeout=PATIENCE)
        assert len(self.simulator._replies._open) == 1
        self.simulator.close()
        await self.assertFailure(waiting, ResponseFailed)

    async def test_a_delayed_answer_that_nobody_waits_for_leaves_no_timer(self) -> None:
        self.simulator.script("phone", Answer(delay=3600))
        waiting = self.ask(await self.sign_in())
        await self.simulator.next_request("phone", timeout=PATIENCE)
        gone = self.left_open()
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        await gone
        assert self.simulator._replies._open == set()
        waits = [call.getTime() - reactor.seconds() for call in reactor.getDelayedCalls()]
        assert [wait for wait in waits if wait > 600] == []

    async def test_a_truncated_body_ends_before_its_length(self) -> None:
        self.simulator.script("phone", Answer(error="UNREGISTERED", ending=Ending.TRUNCATED))
        response = await self.send()
        assert response.code == 404
        reader = Reader(float("inf"))
        response.deliverBody(reader)
        assert await reader.over is ResponseFailed
        assert 0 < reader.read < response.length

    async def test_an_endless_body_goes_on_until_the_reader_leaves(self) -> None:
        self.simulator.script("phone", Answer(error="INTERNAL", ending=Ending.ENDLESS))
        response = await self.send()
        assert response.code == 500
        gone = self.left_open()
        reader = Reader(1_000_000)
        response.deliverBody(reader)
        await reader.over
        assert reader.read >= 1_000_000
        await gone
        assert self.simulator._replies._open == set()

    async def test_a_long_poll_over_a_connection_sees_the_request_come(self) -> None:
        url = f"{self.simulator.base_url}/control/requests?token=phone&wait={PATIENCE}"
        waiting = treq.get(url, agent=self.agent)
        await treq.content(await self.send("another"))
        await treq.content(await self.send("phone"))
        listing = await treq.json_content(await waiting)
        assert [each["token"] for each in listing["requests"]] == ["phone"]

    async def test_nothing_of_a_request_is_written_to_an_access_log(self) -> None:
        lines: list[str] = []
        self.simulator.site._logFile = type("Log", (), {"write": staticmethod(lines.append)})()
        url = f"{self.simulator.base_url}/control/requests?token=secret"
        await treq.content(await treq.get(url, agent=self.agent))
        self.simulator.site._logFile = None
        assert lines == []


class OverTLS(OverConnections):
    """All the same with TLS, by a certificate that the client checks."""

    def setUp(self) -> None:
        folder = TemporaryDirectory(prefix="pushd-test-")
        self.addCleanup(folder.cleanup)
        authority = DevelopmentCA(folder.name, reactor.seconds())
        issued = authority.issue(["localhost", "127.0.0.1"])
        shown = ssl.DefaultOpenSSLContextFactory(
            str(issued.key), str(issued.certificate), SSL.TLS_SERVER_METHOD
        )
        trusted = ssl.Certificate.loadPEM(authority.path.read_bytes())
        policy = BrowserLikePolicyForHTTPS(ssl.trustRootFromCertificates([trusted]))
        self.agent = Agent(reactor, policy)
        self.simulator = FCMSimulator(reactor, account=account())
        port = reactor.listenSSL(0, self.simulator.site, shown, interface="127.0.0.1")
        self.put_on(port, "https")


def test_a_stand_in_that_is_never_put_on_a_port_holds_no_timers() -> None:
    clock = Clock()
    FCMSimulator(clock, account=account())
    assert clock.getDelayedCalls() == []
