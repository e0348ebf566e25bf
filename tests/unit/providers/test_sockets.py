"""From the dispatcher to stand-ins over real TLS: FCM by either HTTP, APNs when it misbehaves."""

import json
from typing import Any

from twisted.internet import reactor as the_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.ssl import CertificateOptions

from pushd.net.outward import identity
from pushd.providers import apns, fcm
from pushd.providers.contract import Accepted, Device, Notification, Provider, Secret
from pushd.providers.dispatch import Dispatcher
from pushd.providers.reports import Attempt
from pushd.providers.transport import HTTPTransport, over_https
from pushd.simulators.answers import Answer, Ending
from pushd.simulators.apns import APNsSimulator
from pushd.simulators.fcm import FCMSimulator
from tests.patience import PATIENCE
from tests.unit.providers.bench import Fixed
from tests.unit.providers.over_tls import OverTLS

reactor: Any = the_reactor

TOKENS = [f"{number:064x}" for number in range(1, 40)]


class TestSockets(OverTLS):
    def setUp(self) -> None:
        super().setUp()
        self.transport: HTTPTransport = over_https(reactor)
        self.reports: list[Any] = []
        self.dispatcher = Dispatcher(reactor, self.transport, self.reports.append, Fixed())
        self.addCleanup(self.transport.close)
        self.addCleanup(self.dispatcher.close)

    def push(self, token: str) -> "Deferred[Any]":
        note = Notification(node=f"node-{token}", message_count=1)
        device = Device(Secret(token))
        return Deferred.fromCoroutine(self.dispatcher.push("backend", lambda: note, lambda: device))

    async def push_all(self, tokens: list[str]) -> list[Any]:
        return list(await gatherResults([self.push(token) for token in tokens]))

    def add(self, provider: Provider) -> None:
        provider.timeout = PATIENCE  # type: ignore[misc]  # whatever this machine takes
        self.dispatcher.add("backend", provider)

    @property
    def attempts(self) -> int:
        """How often the dispatcher asked for a push to be carried."""
        tried = [report for report in self.reports if isinstance(report, Attempt)]
        return len([report for report in tried if report.number])

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
