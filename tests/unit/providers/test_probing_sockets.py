"""Probes of the stand-ins over real TLS, as they are and with each thing that goes wrong."""

import json
import socket
import time
from dataclasses import replace
from typing import Any

from twisted.internet import reactor as the_reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.internet.task import deferLater

from pushd.net.certificates import DevelopmentCA
from pushd.providers import apns, fcm, ubuntu, webhook, webpush, wns
from pushd.providers.contract import Provider, Proxy, Secret
from pushd.providers.probing import Probe, Prober, Step
from pushd.providers.transport import Scout
from pushd.simulators.answers import Answer, Ending
from pushd.simulators.apns import APNsSimulator
from pushd.simulators.apns_tokens import Key
from pushd.simulators.fcm import FCMSimulator
from pushd.simulators.fcm_tokens import ServiceAccount
from pushd.simulators.tls import server_options
from pushd.simulators.ubuntu import UbuntuSimulator
from pushd.simulators.webhook import WebhookSimulator
from pushd.simulators.webpush import WebPushSimulator
from pushd.simulators.wns import WNSSimulator
from tests.patience import PATIENCE
from tests.support import AGES, ages_pass
from tests.unit.net.test_http2_sockets import site
from tests.unit.net.test_proxy import ProxyFactory
from tests.unit.providers.over_tls import OverTLS

reactor: Any = the_reactor


class _Scout(Scout):
    """Remembers its end, which a probe does not wait for."""

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        closing, self.close = self.close, self._close
        self._closing = closing
        self.ended: Any = None

    def _close(self) -> Any:
        self.ended = self._closing()
        return self.ended


class Bench(OverTLS):
    def put_on(self, simulator: Any, factory: Any = None, files: Any = None) -> str:
        files = files or self.files
        options = server_options(files.certificate, files.key, asks_for_certificate=True)
        return super().put_on(simulator, factory, options)

    def listen(self, factory: Any) -> int:
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    async def probe(self, provider: Provider, timeout: float = PATIENCE) -> Probe:
        def open_way() -> Scout:
            way = _Scout(reactor)
            self.addCleanup(lambda: way.ended)
            return way

        return await Prober(reactor, open_way, timeout).probe(provider)

    async def failed(self, provider: Provider, timeout: float = PATIENCE) -> Step:
        """The step that it ends with."""
        probe = await self.probe(provider, timeout)
        assert [one.is_good for one in probe.steps] == [True] * (len(probe.steps) - 1) + [False]
        assert probe.steps[-1].remedy
        return probe.steps[-1]

    async def well(self, provider: Provider, last: str = "answer") -> Step:
        probe = await self.probe(provider)
        assert probe.is_good, probe
        assert probe.steps[-1].step == last
        return probe.steps[-1]


class TestFCM(Bench):
    def setUp(self) -> None:
        super().setUp()
        self.simulator = FCMSimulator(reactor)
        self.put_on(self.simulator)

    def provider(self, **changes: Any) -> fcm.FCM:
        file = self.folder / "account.json"
        file.write_text(json.dumps(self.simulator.service_account() | changes.pop("file", {})))
        options = fcm.Options(file, base_url=self.simulator.base_url, ca_file=self.ca)
        return fcm.FCM(replace(options, **changes))

    async def test_all_is_well_and_nobody_was_woken(self) -> None:
        probe = await self.probe(self.provider())
        assert probe.is_good
        assert [one.step for one in probe.steps] == [
            *("credential", "connection", "tls", "protocol", "token", "answer")
        ]
        (request,) = self.simulator.requests
        assert (request.status, request.validate_only) == (400, True)
        assert request.message == {"token": fcm.NOBODY}

    async def test_a_service_that_takes_the_made_up_token_is_well(self) -> None:
        self.simulator.script(None, Answer(body='{"name": "projects/x/messages/1"}', status=200))
        await self.well(self.provider())

    async def test_a_wrong_key(self) -> None:
        other = ServiceAccount.made_up("pushd-simulator").as_file(self.simulator.base_url)
        key = {name: other[name] for name in ("private_key", "private_key_id")}
        step = await self.failed(self.provider(file=key))
        assert step.step == "token"
        assert step.text == (
            "token endpoint: HTTP 400 invalid_grant (the clock is wrong, or the key was revoked)"
        )

    async def test_a_wrong_project(self) -> None:
        step = await self.failed(self.provider(file={"project_id": "no-such-project"}))
        assert (step.step, step.text[:4]) == ("answer", "404 ")
        step = await self.failed(self.provider(file={"project_id": "someone-elses-project"}))
        assert (step.step, step.text[:3]) == ("answer", "403")
        assert "enable the Firebase Cloud Messaging API" in step.remedy

    async def test_a_token_that_is_not_taken(self) -> None:
        # The token endpoint is another's: its tokens mean nothing to this one.
        other = FCMSimulator(reactor, account=self.simulator._account)
        self.put_on(other)
        step = await self.failed(self.provider(token_uri=f"{other.base_url}/token"))
        assert (step.step, step.text) == (
            "answer",
            "401 UNAUTHENTICATED: the access token is not taken",
        )

    async def test_a_service_that_is_busy(self) -> None:
        self.simulator.script_tokens(Answer(status=503))
        step = await self.failed(self.provider())
        assert (step.step, step.text) == ("token", "token endpoint: HTTP 503")

    async def test_a_service_that_stalls(self) -> None:
        self.simulator.script_tokens(Answer(ending=Ending.STALL))
        failing = Deferred.fromCoroutine(self.failed(self.provider(), timeout=AGES))
        while not self.simulator._replies._open:
            await deferLater(reactor, 0)
        ages_pass(reactor)
        step = await failing
        assert (step.step, step.text) == ("token", "no answer within 500000 s")

    async def test_a_service_that_hangs_up(self) -> None:
        self.simulator.script_tokens(Answer(ending=Ending.CUT))
        step = await self.failed(self.provider())
        assert step.step == "token"

    async def test_a_port_that_is_closed(self) -> None:
        with socket.socket() as taken:  # and nobody listens there
            taken.bind(("127.0.0.1", 0))
            address = f"https://127.0.0.1:{taken.getsockname()[1]}"
            step = await self.failed(self.provider(base_url=address))
        assert (step.step, step.text) == ("connection", "no connection: nothing listens there")

    async def test_a_certificate_that_has_expired(self) -> None:
        old = DevelopmentCA(self.folder / "old", time.time() - 400 * 86_400)
        late = FCMSimulator(reactor)
        self.put_on(late, files=old.issue(["127.0.0.1"]))
        provider = self.provider(ca_file=old.path, token_uri=f"{late.base_url}/token")
        step = await self.failed(provider)
        assert (step.step, step.text[:32]) == ("tls", "TLS: its certificate expired on ")
        assert "clock" in step.remedy

    async def test_an_authority_that_is_not_trusted(self) -> None:
        step = await self.failed(self.provider(ca_file=None))
        assert step.step == "tls"
        assert "nobody here trusts" in step.text
        assert "ca_file" in step.remedy

    async def test_a_server_that_speaks_no_tls(self) -> None:
        address = f"https://127.0.0.1:{self.listen(Plain())}"
        step = await self.failed(self.provider(token_uri=address))
        assert (step.step, step.text) == ("tls", "TLS: what answers there does not speak it")

    async def test_a_proxy_that_lets_us_through(self) -> None:
        inner = int(self.simulator.base_url.rpartition(":")[2])
        proxy = Proxy("127.0.0.1", self.listen(ProxyFactory(inner)))
        probe = await self.probe(self.provider(proxy=proxy))
        assert probe.is_good
        assert "through the proxy" in probe.steps[1].text

    async def test_a_proxy_that_refuses(self) -> None:
        refusal = b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"
        proxy = Proxy("127.0.0.1", self.listen(ProxyFactory(0, refusal)))
        step = await self.failed(self.provider(proxy=proxy))
        assert step.step == "connection"
        assert "asks for a user name and a password" in step.text
        assert "proxy" in step.remedy


class TestAPNs(Bench):
    def setUp(self) -> None:
        super().setUp()
        self.simulator = APNsSimulator(reactor, topics=["com.example.app"])
        self.put_on(self.simulator, self.simulator.door("production"))

    def provider(self, **changes: Any) -> apns.APNs:
        file = self.folder / f"AuthKey_{self.simulator.key.id}.p8"
        file.write_text(changes.pop("pem", self.simulator.key.pem))
        options = apns.Options(
            topic="com.example.app",
            key_file=file,
            team_id=self.simulator.key.team,
            base_url=self.simulator.base_url,
            ca_file=self.ca,
        )
        return apns.APNs(replace(options, **changes))

    async def test_all_is_well_and_nobody_was_woken(self) -> None:
        step = await self.well(self.provider())
        assert step.text.endswith("(400 BadDeviceToken)")
        (push,) = self.simulator.requests
        assert (push.error, push.remarks) == ("BadDeviceToken", ())

    async def test_a_certificate_in_place_of_a_key(self) -> None:
        issued = self.simulator.issue("com.example.app")
        file = self.folder / "push.pem"
        file.write_bytes(issued.key + issued.certificate)
        options = apns.Options(certfile=file, base_url=self.simulator.base_url, ca_file=self.ca)
        probe = await self.probe(apns.APNs(options))
        assert probe.is_good
        assert "is a certificate for com.example.app (production), until 20" in probe.steps[0].text

    async def test_a_wrong_key(self) -> None:
        step = await self.failed(self.provider(pem=Key.made_up().pem))
        assert (step.step, step.text[:24]) == ("answer", "403 InvalidProviderToken")
        assert "key_id and team_id" in step.remedy

    async def test_another_team(self) -> None:
        step = await self.failed(self.provider(team_id="TEAM123456"))
        assert step.text.startswith("403 InvalidProviderToken")

    async def test_a_key_of_the_other_environment(self) -> None:
        key = Key.made_up(self.simulator.key.team, environments=frozenset({"sandbox"}))
        self.simulator.add_key(key)
        step = await self.failed(self.provider(pem=key.pem, key_id=key.id))
        assert step.text.startswith("403 BadEnvironmentKeyIdInToken")
        assert "environment" in step.remedy

    async def test_another_topic(self) -> None:
        step = await self.failed(self.provider(topic="com.example.other"))
        assert step.text.startswith("400 TopicDisallowed")
        assert "bundle id" in step.remedy

    async def test_a_server_that_speaks_no_http2(self) -> None:
        context = DefaultOpenSSLContextFactory(str(self.files.key), str(self.files.certificate))
        port = reactor.listenSSL(0, site(), context, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        address = f"https://127.0.0.1:{port.getHost().port}"
        step = await self.failed(self.provider(base_url=address))
        assert (step.step, step.text) == ("protocol", "it does not speak HTTP/2")


class TestSmallOnes(Bench):
    async def test_ubuntu_push_is_well(self) -> None:
        simulator = UbuntuSimulator(reactor)
        options = ubuntu.Options(base_url=self.put_on(simulator), ca_file=self.ca)
        await self.well(ubuntu.Ubuntu(options))
        (request,) = simulator.requests
        assert request.status == 401

    async def test_another_service_in_the_place_of_ubuntu_push(self) -> None:
        simulator = WNSSimulator(reactor)
        options = ubuntu.Options(base_url=self.put_on(simulator), ca_file=self.ca)
        step = await self.failed(ubuntu.Ubuntu(options))
        assert step.step == "answer"

    async def test_a_receiver_of_webhooks_that_knows_our_secret_is_well(self) -> None:
        simulator = WebhookSimulator(reactor)
        self.put_on(simulator)
        secret = Secret(simulator.secrets[0])
        await self.well(webhook.Webhook(webhook.Options(simulator.url, secret, ca_file=self.ca)))
        (request,) = simulator.requests
        assert (request.kind, request.token, request.status) == ("push.probe", "probe", 204)

    async def test_a_receiver_of_webhooks_that_has_another_secret(self) -> None:
        simulator = WebhookSimulator(reactor)
        self.put_on(simulator)
        secret = Secret("whsec_" + "A" * 32)
        step = await self.failed(
            webhook.Webhook(webhook.Options(simulator.url, secret, ca_file=self.ca))
        )
        assert step.text == "HTTP 401: the signature is not taken: other secret?"

    async def test_the_place_of_web_push_is_looked_at_and_sent_nothing(self) -> None:
        simulator = WebPushSimulator(reactor)
        address = self.put_on(simulator)
        options = webpush.Options("mailto:a@example.net", base_url=address, ca_file=self.ca)
        step = await self.well(webpush.WebPush(options), "way")
        assert step.text == "it is reached"
        assert simulator.requests == []

    async def test_a_place_of_web_push_that_is_not_reached(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            address = f"https://127.0.0.1:{taken.getsockname()[1]}"
            options = webpush.Options("mailto:a@example.net", base_url=address, ca_file=self.ca)
            step = await self.failed(webpush.WebPush(options))
        assert (step.step, step.text) == ("way", "no connection: nothing listens there")

    def wns(self, **changes: Any) -> wns.WNS:
        simulator = WNSSimulator(reactor)
        address = self.put_on(simulator)
        options = wns.Options(
            Secret(simulator.client_secret),
            package_sid=simulator.client_id,
            base_url=address,
            token_uri=f"{address}/token",
            ca_file=self.ca,
        )
        self.requests = simulator.messages.record
        return wns.WNS(replace(options, **changes))

    async def test_wns_gives_a_token_and_is_asked_no_further(self) -> None:
        step = await self.well(self.wns(), "token")
        assert step.text == "an access token was given, good for 24 hours"
        assert self.requests.since() == []

    async def test_wns_takes_no_wrong_secret(self) -> None:
        step = await self.failed(self.wns(auth_key=Secret("another")))
        assert step.step == "token"
        assert "invalid_client" in step.text
        assert "has the key run out" in step.remedy
        assert "another" not in step.text + step.remedy.replace("gives another", "")


class Plain(Factory):
    """A server that answers in the clear."""

    noisy = False

    def buildProtocol(self, addr: object) -> Protocol:
        return _Plain()


class _Plain(Protocol):
    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.transport.loseConnection()
