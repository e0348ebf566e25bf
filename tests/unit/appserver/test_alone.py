"""Each provider alone: whatever befalls one, another's pushes go as if nothing had happened."""

from collections.abc import Callable
from random import Random

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from pushd.appserver import lines
from pushd.appserver.publishes import Published
from pushd.appserver.registrations import Registration, Wanted
from pushd.providers.contract import Busy, Credential, Failed, Fault, Request, Response, Token
from pushd.providers.dispatch import Dispatcher
from pushd.routing.events import PushSettled
from pushd.wire.secret import Secret
from tests.hall import Hall
from tests.unit.appserver.stage import Pigeon, Post, Stage, app
from tests.unit.providers.bench import Voucher

STALLED, SOUND = "stalled.example", "sound.example"
Answer = Response | Failed | None  # None: no answer, until the time is up

BREAKDOWNS: dict[str, Callable[[], Answer]] = {
    "no answer": lambda: None,
    "no connection": lambda: Failed(Fault.UNREACHABLE, "no route"),
    "no trust": lambda: Failed(Fault.TLS, "certificate verify failed"),
    "503": lambda: Response(503),
    "503 and an hour's quiet": lambda: Response(503, {"retry-after": "3600"}),
    "429": lambda: Response(429),
    "410 for everybody": lambda: Response(410),
    "403": lambda: Response(403),
}


class Lame(Post):
    """A provider at a host of its own, with a credential if it is given one."""

    type = "lame"
    aliases = frozenset()
    fetched: Credential | None = None

    def credential(self, lane: str) -> Credential | None:
        return self.fetched

    def request(self, *arguments: object) -> Request:
        made = super().request(*arguments)  # type: ignore[arg-type]
        made.url = f"https://{STALLED}/send"
        return made


class Sound(Pigeon):
    type = "sound"
    register_fields = frozenset({"token"})

    def request(self, *arguments: object) -> Request:
        made = super().request(*arguments)  # type: ignore[arg-type]
        made.url = f"https://{SOUND}/send"
        return made


class Network:
    """Sound answers at once, the other as the test says."""

    def __init__(self, hall: Hall) -> None:
        self.hall = hall
        self.lame: Callable[[], Answer] = BREAKDOWNS["no answer"]
        self.hosts: list[str] = []

    def send(self, request: Request, timeout: float) -> Deferred[Response | Failed]:
        host = request.url.split("/")[2]
        self.hosts.append(host)
        answered: Deferred[Response | Failed] = Deferred()
        answer = Response(200) if host == SOUND else self.lame()
        if answer is not None:
            answered.callback(answer)
            return answered
        silence = Failed(Fault.TIMEOUT, "no answer")
        call = self.hall.clock.callLater(timeout, answered.callback, silence)

        def cancelled(failure: Failure) -> Failure:
            call.cancel()
            return failure

        answered.addErrback(cancelled)
        return answered

    def count(self, host: str) -> int:
        return self.hosts.count(host)


class Town(Stage):
    """Two apps at two providers, and many devices at each."""

    def __init__(self, credential: Credential | None = None) -> None:
        lame = Lame()
        lame.fetched = credential
        self.network: Network

        def dispatcher(hall: Hall) -> Dispatcher:
            self.network = Network(hall)
            made = Dispatcher(hall.clock, self.network, random=Random(7))
            made.add("lame", lame)
            made.add("sound", Sound())
            self.dispatcher = made
            return made

        super().__init__((app("lame", lame), app("sound", Sound())), dispatcher=dispatcher)

    def devices(self, backend: str, count: int) -> list[Registration]:
        now = self.hall.clock.seconds()
        made = [
            self.server.registrations.register(
                Wanted(
                    f"user-{number}@example.net",
                    f"{backend}-phone",
                    backend=backend,
                    type=backend,
                    app="any",
                    token=Secret(f"{backend}{number}"),
                ),
                now,
            )[0]
            for number in range(count)
        ]
        self.hall.advance(0.1)
        return made

    def publish_to(self, devices: list[Registration], urgent: bool = False) -> None:
        for one in devices:
            what = Published(message_count=1, urgent=urgent)
            Deferred.fromCoroutine(self.server.outbox.accept(one, what))
        self.hall.advance(0.1)

    def settled(self, backend: str) -> list[PushSettled]:
        return [one for one in self.hall.events(PushSettled) if one.backend == backend]


@pytest.mark.parametrize("kind", BREAKDOWNS)
def test_a_provider_in_trouble_delays_no_other(kind: str) -> None:
    town = Town()
    lame, sound = town.devices("lame", 200), town.devices("sound", 200)
    town.network.lame = BREAKDOWNS[kind]

    town.publish_to(lame)
    for hours in range(3):
        town.publish_to(sound)
        assert len(town.settled("sound")) == 200 * (hours + 1)
        assert max(one.seconds for one in town.settled("sound")) < 0.2
        town.hall.advance(3600)

    assert all(one.outcome == "accepted" for one in town.settled("sound"))
    assert not town.dispatcher.health("sound").alarms
    assert town.dispatcher.health("sound").opens_at is None


@pytest.mark.parametrize("kind", [kind for kind in BREAKDOWNS if kind != "410 for everybody"])
def test_what_a_provider_in_trouble_did_not_take_is_sent_when_it_is_well(kind: str) -> None:
    town = Town()
    lame = town.devices("lame", 30)
    town.network.lame = BREAKDOWNS[kind]
    town.publish_to(lame)
    town.hall.advance(7200)
    refused = [one for one in town.settled("lame") if one.outcome == "refused"]

    town.network.lame = lambda: Response(200)
    for _ in range(90):
        town.hall.advance(60)

    assert len(town.settled("lame")) == 30
    accepted = [one for one in town.settled("lame") if one.outcome == "accepted"]
    # A 403 that the provider does not explain is this push's fault, and no registration's.
    assert len(refused) == (30 if kind == "403" else 0)
    assert len(accepted) == 30 - len(refused)
    assert len(town.server.registrations.of("user-1@example.net")) == 1


def test_a_credential_that_does_not_come_delays_no_other_provider() -> None:
    town = Town(Voucher(*[Busy(reason="503")] * 5000))
    town.publish_to(town.devices("lame", 100))
    town.hall.advance(300)

    town.publish_to(town.devices("sound", 100))

    assert len(town.settled("sound")) == 100
    assert town.settled("lame") == []


def test_a_mass_of_dead_devices_at_one_provider_guards_no_other() -> None:
    town = Town()
    town.network.lame = BREAKDOWNS["410 for everybody"]
    town.publish_to(town.devices("lame", 50))
    town.hall.advance(10)
    unregistered = [one for one in town.settled("lame") if one.outcome == "unregistered"]
    assert len(unregistered) == 10
    assert town.dispatcher.health("lame").alarms

    town.publish_to(town.devices("sound", 50))

    assert len(town.settled("sound")) == 50


def test_a_day_without_a_provider_costs_few_requests_and_a_bounded_number_of_timers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lines, "WIDTH", 50)
    town = Town()
    town.network.lame = BREAKDOWNS["no connection"]
    before = len(town.hall.clock.getDelayedCalls())
    town.publish_to(town.devices("lame", 2000))

    for _ in range(23 * 60):
        town.hall.advance(60)
        assert len(town.hall.clock.getDelayedCalls()) - before <= 60

    assert len(town.server.outbox) == 2000
    assert town.network.count(STALLED) < 300
    town.network.lame = lambda: Response(200)
    for _ in range(20):
        town.hall.advance(60)
    assert len(town.server.outbox) == 0
    assert {one.outcome for one in town.settled("lame")} == {"accepted"}


def test_what_comes_late_in_an_outage_is_not_tried_before_its_service_is() -> None:
    town = Town()
    town.network.lame = BREAKDOWNS["no connection"]
    lame = town.devices("lame", 100)
    town.publish_to(lame[:50])
    for _ in range(100):
        town.hall.advance(1)
    sent = town.network.count(STALLED)

    town.publish_to(lame[50:], urgent=True)

    assert town.network.count(STALLED) == sent


def test_a_token_is_fetched_for_each_provider_alone() -> None:
    asked: list[float] = []

    class Counting(Credential):
        def request(self, now: float) -> Token:
            asked.append(now)
            return Token(Secret("x"), now, now + 3600)

        def accept(self, response: Response, now: float) -> Token:
            raise AssertionError

    town = Town(Counting())
    town.network.lame = lambda: Response(200)
    town.publish_to(town.devices("sound", 10))
    assert asked == []
    town.publish_to(town.devices("lame", 10))
    assert len(asked) == 1
