"""From the dispatcher to stand-ins over real TLS: FCM by either HTTP, APNs when it misbehaves."""

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet import reactor as the_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.ssl import CertificateOptions
from twisted.trial.unittest import TestCase

from pushd.net.certificates import DevelopmentCA
from pushd.net.outward import identity
from pushd.providers import apns, fcm
from pushd.providers.contract import Accepted, Device, Notification, Provider, Secret
from pushd.providers.dispatch import Dispatcher
from pushd.providers.transport import HTTPTransport, over_https
from pushd.simulators.answers import Answer, Ending
from pushd.simulators.apns import APNsSimulator
from pushd.simulators.fcm import FCMSimulator
from pushd.simulators.tls import server_options
from tests.unit.providers.bench import Fixed

reactor: Any = the_reactor

TOKENS = [f"{number:064x}" for number in range(1, 40)]


class TestSockets(TestCase):
    timeout = 30

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        ca = DevelopmentCA(self.folder / "ca", time.time())
        self.ca, self.files = ca.path, ca.issue(["127.0.0.1"], "server")
        self.transport: HTTPTransport = over_https(reactor)
        self.reports: list[Any] = []
        self.dispatcher = Dispatcher(reactor, self.transport, self.reports.append, Fixed())
        self.addCleanup(self.transport.close)
        self.addCleanup(self.dispatcher.close)

    def put_on(self, simulator: Any, factory: Any, options: Any = None) -> str:
        options = options or server_options(self.files.certificate, self.files.key)
        port = reactor.listenSSL(0, factory, options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.addCleanup(simulator.close)
        simulator.base_url = f"https://127.0.0.1:{port.getHost().port}"
        return str(simulator.base_url)

    def push(self, token: str) -> "Deferred[Any]":
        note = Notification(node=f"node-{token}", message_count=1)
        device = Device(Secret(token))
        return Deferred.fromCoroutine(self.dispatcher.push("backend", lambda: note, lambda: device))

    async def push_all(self, tokens: list[str]) -> list[Any]:
        return list(await gatherResults([self.push(token) for token in tokens]))

    def add(self, provider: Provider) -> None:
        self.dispatcher.add("backend", provider)

    @property
    def attempts(self) -> int:
        """How often the dispatcher asked for a push to be carried."""
        return len([report for report in self.reports if report.number])

    # FCM.

    def fcm(self, is_old: bool = False) -> FCMSimulator:
        simulator = FCMSimulator(reactor)
        if is_old:
            files = identity(self.files.certificate, self.files.key)
            options = CertificateOptions(**files, acceptableProtocols=[b"http/1.1"])
            self.put_on(simulator, simulator.site, options)
        else:
            self.put_on(simulator, simulator.door())
        account = self.folder / "account.json"
        account.write_text(json.dumps(simulator.service_account()))
        self.add(fcm.FCM(fcm.Options(account, base_url=simulator.base_url, ca_file=self.ca)))
        return simulator

    @property
    def is_http11(self) -> bool:
        """Has a client for HTTP/1.1 been needed?"""
        clients: Any = self.transport._clients.values()
        return any(client._way._opened is not None for client in clients)

    async def test_fcm_is_sent_to_over_http2(self) -> None:
        simulator = self.fcm()
        results = await self.push_all(TOKENS)
        assert all(isinstance(result, Accepted) for result in results)
        assert len(simulator.requests) == len(TOKENS)
        assert not self.is_http11

    async def test_fcm_that_chooses_http11_is_sent_to_over_that(self) -> None:
        simulator = self.fcm(is_old=True)
        results = await self.push_all(TOKENS)
        assert all(isinstance(result, Accepted) for result in results)
        assert len(simulator.requests) == len(TOKENS)
        assert self.is_http11

    # APNs.

    def apns(self) -> APNsSimulator:
        simulator = APNsSimulator(reactor)
        self.put_on(simulator, simulator.door("production"))
        key = self.folder / f"AuthKey_{simulator.key.id}.p8"
        key.write_text(simulator.key.as_file()["private_key"])
        options = apns.Options(
            topic="com.example.app",
            key_file=key,
            team_id=simulator.key.team,
            base_url=simulator.base_url,
            ca_file=self.ca,
        )
        self.add(apns.APNs(options))
        return simulator

    async def test_apns_takes_one_until_it_knows_us_and_then_many(self) -> None:
        simulator = self.apns()
        results = await self.push_all(TOKENS)
        assert all(isinstance(result, Accepted) for result in results)
        assert {push.connection for push in simulator.requests} == {1}
        assert [remark for push in simulator.requests for remark in push.remarks] == []

    async def test_what_apns_left_unprocessed_is_sent_again_at_once(self) -> None:
        simulator = self.apns()
        await self.push(TOKENS[0])
        simulator.script(TOKENS[5], Answer(ending=Ending.GOAWAY))
        results = await self.push_all(TOKENS[1:])
        assert all(isinstance(result, Accepted) for result in results)
        assert {push.connection for push in simulator.requests} == {1, 2}
        assert self.attempts == len(TOKENS)

    async def test_the_last_that_apns_answers_is_answered(self) -> None:
        simulator = self.apns()
        await self.push(TOKENS[0])
        simulator.script(TOKENS[5], Answer(ending=Ending.LAST))
        results = await self.push_all(TOKENS[1:])
        assert all(isinstance(result, Accepted) for result in results)
        assert self.attempts == len(TOKENS)

    async def test_a_refused_stream_is_sent_again_at_once(self) -> None:
        simulator = self.apns()
        await self.push(TOKENS[0])
        simulator.script(TOKENS[5], Answer(ending=Ending.RESET, code=7, times=2))
        results = await self.push_all(TOKENS[1:])
        assert all(isinstance(result, Accepted) for result in results)
        assert {push.connection for push in simulator.requests} == {1}
        assert self.attempts == len(TOKENS)
