"""From the dispatcher to stand-ins for push services, over real TLS, by either HTTP."""

from typing import Any

from twisted.internet import reactor as the_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.ssl import CertificateOptions

from pushd.net.outward import identity
from pushd.providers import contract, webpush
from pushd.providers.contract import (
    Accepted,
    Busy,
    Device,
    Failed,
    Notification,
    Refused,
    Scope,
    Secret,
    Unregistered,
)
from pushd.providers.dispatch import Dispatcher
from pushd.providers.reports import Attempt
from pushd.providers.transport import AWAY, over_https
from pushd.simulators.answers import Answer, Ending
from pushd.simulators.webpush import WebPushSimulator
from pushd.simulators.webpush_services import FAULTS, SERVICES
from tests.patience import LONGEST, PATIENCE
from tests.unit.providers.bench import Fixed
from tests.unit.providers.over_tls import OverTLS

reactor: Any = the_reactor

STALE = Refused("", renew_credential=True, guarded=True)
OTHER_KEY = Unregistered(guarded=True)
# What each fault of the stand-in comes to, whichever service says it; but for EXCEPTIONS.
OUTCOMES: dict[str, contract.Outcome] = {
    **dict.fromkeys(("missing-crypto", "bad-crypto", "bad-router", "empty"), Refused("")),
    **dict.fromkeys(("missing-ttl", "unreadable-ttl", "bad-ttl"), Refused("")),
    **dict.fromkeys(("bad-topic", "bad-urgency", "method"), Refused("")),
    **dict.fromkeys(("moved", "redirect", "redirect-for-ever"), Refused("")),
    **dict.fromkeys(("unauthorized", "bad-vapid-key", "forbidden"), STALE),
    "key-mismatch": OTHER_KEY,
    **dict.fromkeys(("not-found", "gone", "user-gone", "vanished"), Unregistered()),
    "too-large": Refused("", shrink=True),
    "too-many": Busy(scope=Scope.DEVICE),
    **dict.fromkeys(("unknown", "timeout"), Busy(scope=Scope.BACKEND)),
    **dict.fromkeys(
        ("bridge", "bridge-login", "bridge-connect", "bridge-timeout"), Busy(scope=Scope.BACKEND)
    ),
    **dict.fromkeys(("back-off", "retry"), Busy(120, Scope.BACKEND)),
    "no-subscriber": Busy(900, Scope.DEVICE),
}
EXCEPTIONS: dict[tuple[str, str], contract.Outcome] = {
    **{
        ("mozilla", name): Busy(scope=Scope.DEVICE)  # which says that it is the bridge alone
        for name in ("bridge", "bridge-login", "bridge-connect", "bridge-timeout")
    },
    ("microsoft", "too-many"): Busy(900, Scope.BACKEND),
    ("microsoft", "key-mismatch"): STALE,  # which does not say that it is the key
}


def without_reason(outcome: Any) -> Any:
    """What matters to the dispatcher."""
    if isinstance(outcome, Accepted | Failed):
        return outcome
    fields = {name: getattr(outcome, name) for name in outcome.__slots__} | {"reason": ""}
    return type(outcome)(**fields)


class WebPushSocketsTest(OverTLS):
    timeout = LONGEST
    names = ("127.0.0.1", "push.example.org")

    def setUp(self) -> None:
        super().setUp()
        self.transport = over_https(reactor)
        self._reported: Deferred[Attempt] = Deferred()
        self.dispatcher = Dispatcher(reactor, self.transport, self._report, Fixed())
        self.addCleanup(self.transport.close)
        self.addCleanup(self.dispatcher.close)
        self.add()

    def add(self, name: str = "backend", **options: Any) -> None:
        given: dict[str, Any] = {"allow_private": True, "ca_file": self.ca} | options
        self.provider = webpush.WebPush(webpush.Options("mailto:admin@example.net", **given))
        self.provider.keep(bytes(32))
        self.provider.timeout = PATIENCE  # type: ignore[misc]  # whatever this machine takes
        self.dispatcher.add(name, self.provider)

    def simulator(self, is_old: bool = False) -> WebPushSimulator:
        simulator = WebPushSimulator(reactor)
        if is_old:
            files = identity(self.files.certificate, self.files.key)
            options = CertificateOptions(**files, acceptableProtocols=[b"http/1.1"])
            self.put_on(simulator, simulator.site, options)
        else:
            self.put_on(simulator)
        return simulator

    def device(self, simulator: WebPushSimulator, service: str = "mozilla") -> Device:
        made = dict(simulator.subscribe(service, vapid=self.provider.shown()["vapid"]))
        fields = self.provider.stored(made)
        return Device(Secret(fields.pop("token")), fields=fields)

    def push(self, to: Device, backend: str = "backend") -> "Deferred[Any]":
        note = Notification(node="node", message_count=1)
        pushing = self.dispatcher.push(backend, lambda: note, lambda: to)
        return Deferred.fromCoroutine(pushing)

    async def first_outcome(self, to: Device, backend: str) -> Any:
        """What the first attempt comes to; one that is to follow after a pause does not."""
        pushing = self.push(to, backend)
        attempt = await self._reported
        if isinstance(attempt.outcome, Busy | Failed):
            pushing.addErrback(lambda _: None)
            pushing.cancel()
        else:
            await pushing
        return attempt.outcome

    def _report(self, event: Any) -> None:
        if isinstance(event, Attempt) and event.number == 1:
            told, self._reported = self._reported, Deferred()
            reactor.callLater(0, told.callback, event)

    async def all_arrive(self, simulator: WebPushSimulator) -> list[Any]:
        to = [self.device(simulator, service) for service in SERVICES for _ in range(4)]
        results = await gatherResults([self.push(one) for one in to])
        assert results == [Accepted()] * len(to)
        assert [(one.status, one.error) for one in simulator.requests if one.error] == []
        assert all(one.message["message-count"] == 1 for one in simulator.requests)
        assert {len(one.topic) for one in simulator.requests} == {32}
        return list(simulator.requests)

    async def test_browsers_are_pushed_to_over_http2(self) -> None:
        pushes = await self.all_arrive(self.simulator())
        assert len(pushes) == 4 * len(SERVICES)

    async def test_browsers_are_pushed_to_over_http11(self) -> None:
        pushes = await self.all_arrive(self.simulator(is_old=True))
        assert len(pushes) == 4 * len(SERVICES)

    async def test_a_host_that_stalls_delays_no_other(self) -> None:
        slow, quick = self.simulator(), self.simulator()
        stuck = self.device(slow)
        slow.script(stuck.token.reveal(), Answer(ending=Ending.STALL))
        waiting = self.push(stuck)
        await self.all_arrive(quick)
        assert not waiting.called
        waiting.addErrback(lambda _: None)
        waiting.cancel()

    async def test_an_answer_without_end_is_cut_and_counts(self) -> None:
        for is_old in (False, True):
            simulator = self.simulator(is_old)
            to = self.device(simulator)
            simulator.script(to.token.reveal(), Answer(ending=Ending.ENDLESS))
            assert await self.push(to) == Accepted()

    async def test_no_more_than_four_are_under_way_to_a_host(self) -> None:
        one, other = self.simulator(), self.simulator()
        pushes = [self.push(self.device(simulator)) for simulator in (one, other) * 9]
        assert self.dispatcher.health("backend").active == 8
        assert await gatherResults(pushes) == [Accepted()] * 18

    async def test_each_fault_of_each_service_has_its_outcome(self) -> None:
        assert set(OUTCOMES) == set(FAULTS)
        simulator = self.simulator()
        for service in SERVICES:
            for number, fault in enumerate(FAULTS):
                backend = f"{service} {number}"  # with limits, and a guard, of its own
                self.add(backend)
                to = self.device(simulator, service)
                simulator.script(to.token.reveal(), Answer(error=fault))
                outcome = await self.first_outcome(to, backend)
                wanted = EXCEPTIONS.get((service, fault), OUTCOMES[fault])
                if (service, fault) == ("ntfy", "key-mismatch"):
                    continue  # it binds to no key
                assert without_reason(outcome) == wanted, (service, fault, outcome)

    async def test_a_house_that_is_not_open_is_not_connected_to(self) -> None:
        """A stand-in that a name leads to, which looks like any other."""
        simulator = self.simulator()
        simulator.base_url = simulator.base_url.replace("127.0.0.1", "push.example.org")
        self.add("strict", allow_private=False)
        lured = self.device(simulator)
        before = reactor.nameResolver
        reactor.installNameResolver(_Everywhere(before))
        self.addCleanup(reactor.installNameResolver, before)
        outcome = await self.first_outcome(lured, "strict")
        assert isinstance(outcome, Failed)
        assert outcome.reason == AWAY
        assert len(simulator.requests) == 0
        # Where the operator lets it be anywhere, it is as good as any.
        assert await self.first_outcome(lured, "backend") == Accepted()


class _Everywhere:
    """Whatever the name, it leads to this machine."""

    def __init__(self, usual: Any) -> None:
        self._usual = usual

    def resolveHostName(self, receiver: Any, hostName: str, *more: Any, **named: Any) -> Any:  # noqa: N803
        return self._usual.resolveHostName(receiver, "127.0.0.1", *more, **named)
