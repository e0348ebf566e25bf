"""Probes, step by step, over a way that the test scripts."""

from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from pushd.net.survey import Sight, Survey
from pushd.providers.contract import (
    Busy,
    Failed,
    Fault,
    Finding,
    Provider,
    Refused,
    Request,
    Response,
    Scope,
    Sending,
    Token,
)
from pushd.providers.probing import (
    BUSY,
    CLOCK,
    LONGEST,
    REFUSED,
    REMEDIES,
    REVOKED,
    UNTIMELY,
    Probe,
    Prober,
    Step,
)
from tests.support import result_of
from tests.unit.providers.bench import NOW, FakeTransport, Obedient, Voucher, token

FREE = [Sight("connection", "connected to 192.0.2.1", 0.5)]


class Way(FakeTransport):
    """Gives the same answer to all; a way of its own for each host that is named."""

    def __init__(self, *answers: Response | Failed | int, **ways: list[Sight]) -> None:
        self.answers = list(answers)
        super().__init__(self.answer)
        self.ways = ways
        self.surveyed: list[str] = []
        self.is_closed = False

    def answer(self, request: Request) -> Response | Failed:
        said = self.answers.pop(0)
        return Response(said) if isinstance(said, int) else said

    async def survey(self, request: Request) -> Survey:
        host = request.url.split("/")[2]
        self.surveyed.append(host)
        return Survey(f"{host}:443", self.ways.get(host.partition(".")[0], FREE))

    def close(self) -> Deferred[object]:
        self.is_closed = True
        return succeed(None)


class Askable(Obedient):
    """A provider that can be asked."""

    findings: tuple[Finding, ...] = ()

    def examined(self, now: float) -> Any:
        return iter(self.findings)

    def probe(self, now: float, sending: Sending) -> Request | None:
        self.sending = sending
        return Request("https://push.example.net/probe")


def probed(provider: Provider, way: Way) -> Probe:
    clock = Clock()
    clock.advance(NOW)
    probe: Probe = result_of(Prober(clock, lambda: way).probe(provider))
    assert way.is_closed
    return probe


def shown(probe: Probe) -> list[tuple[str, bool]]:
    return [(step.step, step.is_good) for step in probe.steps]


def with_token(*answers: Token | Busy | Refused) -> Askable:
    provider = Askable()
    provider.fetched = Voucher(*answers)
    return provider


def test_a_provider_without_a_token_is_asked_at_once() -> None:
    way = Way(404)
    probe = probed(Askable(), way)
    assert probe.is_good
    assert probe.steps == [
        Step("connection", "connected to 192.0.2.1", "push.example.net:443", seconds=0.5),
        Step(
            "answer",
            "the service knows us, and not the made-up device (404)",
            "push.example.net:443",
            seconds=0.0,
        ),
    ]


def test_a_token_is_fetched_and_shown_to_the_service() -> None:
    way = Way(200, 404)
    provider = with_token(token("t-1", life=3600))
    probe = probed(provider, way)
    assert shown(probe) == [
        ("connection", True),
        ("token", True),
        ("connection", True),
        ("answer", True),
    ]
    assert probe.steps[1].text == "an access token was given, good for 60 minutes"
    assert way.surveyed == ["token.example.net", "push.example.net"]
    assert provider.sending.credential is not None
    assert provider.sending.credential.reveal() == "t-1"
    assert "t-1" not in repr(probe)


def test_a_token_that_is_good_for_a_day_is_said_in_hours() -> None:
    probe = probed(with_token(token("t", life=86_400)), Way(200, 404))
    assert probe.steps[1].text == "an access token was given, good for 24 hours"


@pytest.mark.parametrize(
    ("got", "remedy"),
    [
        (Busy(None, Scope.BACKEND, "HTTP 503"), BUSY),
        (Refused("invalid_grant", alarm=True), REVOKED),
    ],
)
def test_who_gets_no_token_asks_no_further(got: Any, remedy: str) -> None:
    way = Way(400)
    probe = probed(with_token(got), way)
    assert shown(probe) == [("connection", True), ("token", False)]
    assert probe.steps[-1].text == got.reason
    assert probe.steps[-1].remedy == remedy
    assert len(way.sent) == 1


def test_a_credential_that_is_of_no_use_ends_it_before_anything_is_sent() -> None:
    provider = Askable()
    provider.findings = (Finding("a key"), Finding("it has expired", False, "renew it"))
    way = Way()
    probe = probed(provider, way)
    assert shown(probe) == [("credential", True), ("credential", False)]
    assert probe.steps[-1].remedy == "renew it"
    assert way.surveyed == []


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.value)
def test_what_is_in_the_way_is_told_with_a_remedy(fault: Fault) -> None:
    way = Way(push=[*FREE, Sight("tls", "TLS: no", 0.1, fault)])
    probe = probed(Askable(), way)
    assert shown(probe) == [("connection", True), ("tls", False)]
    assert probe.steps[-1].remedy == REMEDIES[fault]
    assert way.sent == []


@pytest.mark.parametrize(
    ("sight", "remedy"),
    [
        (Sight("name", "no address", 0.1, Fault.UNREACHABLE), REMEDIES[Fault.UNREACHABLE]),
        (Sight("connection", "nobody there", 0.1, Fault.UNREACHABLE), REFUSED),
        (Sight("tls", "it expired", 0.1, Fault.TLS, is_untimely=True), UNTIMELY),
    ],
    ids=["no name", "nobody there", "not today"],
)
def test_a_remedy_is_for_what_it_is_that_is_in_the_way(sight: Sight, remedy: str) -> None:
    assert probed(Askable(), Way(push=[sight])).steps[-1].remedy == remedy
    assert probed(Wandering(), Way(one=[sight], other=[sight])).steps[-1].remedy == remedy


def test_an_exchange_that_fails_is_told_with_a_remedy() -> None:
    probe = probed(Askable(), Way(Failed(Fault.TIMEOUT, "no answer within 15 s")))
    last = probe.steps[-1]
    assert (last.step, last.is_good, last.text) == ("answer", False, "no answer within 15 s")
    assert last.remedy == REMEDIES[Fault.TIMEOUT]


def test_an_answer_that_is_not_as_it_should_be_has_a_remedy() -> None:
    probe = probed(Askable(), Way(403))
    assert not probe.is_good
    assert probe.steps[-1].text == "403"
    assert probe.steps[-1].remedy


@pytest.mark.parametrize(
    ("date", "words"),
    [
        (NOW - 121, "this machine's clock is 121 s ahead of that of the service"),
        (NOW + 4000, "this machine's clock is 4000 s behind that of the service"),
        (NOW + 100, ""),
        (None, ""),
    ],
)
def test_a_clock_that_is_wrong_is_worth_a_look(date: float | None, words: str) -> None:
    headers = {} if date is None else {"Date": formatdate(date, usegmt=True)}
    probe = probed(Askable(), Way(Response(404, headers)))
    clocks = [step for step in probe.steps if step.step == "clock"]
    assert probe.is_good
    assert [(one.text, one.remedy) for one in clocks] == ([(words, CLOCK)] if words else [])


def test_nonsense_for_a_date_is_no_trouble() -> None:
    assert probed(Askable(), Way(Response(404, {"Date": "today"}))).is_good


def test_a_place_is_looked_at_once() -> None:
    provider = with_token(token("t"))
    ask: Callable[[float], Request] = lambda now: Request("https://push.example.net/token")  # noqa: E731
    fetched: Any = provider.fetched
    fetched.request = ask
    way = Way(200, 404)
    assert probed(provider, way).is_good
    assert way.surveyed == ["push.example.net"]


def test_a_service_that_cannot_be_asked_is_left_at_its_token() -> None:
    provider = Obedient()
    provider.fetched = Voucher(token("t"))
    assert shown(probed(provider, Way(200))) == [("connection", True), ("token", True)]


def test_a_probe_comes_to_an_end() -> None:
    way, clock = Way(), Clock()
    way.script = None
    came: list[Probe] = []
    Deferred.fromCoroutine(Prober(clock, lambda: way).probe(Askable())).addCallback(came.append)
    clock.advance(LONGEST)
    [probe] = came
    assert probe.steps[-1].text == "not at its end after 90 s"
    assert way.is_closed


def test_a_provider_that_breaks_is_a_failure_of_its_probe_alone() -> None:
    provider = Askable()
    provider.outcomes.clear()
    with capturedLogs() as logs:
        probe = probed(provider, Way(200))
    assert probe.steps[-1].text == "the probe itself broke"
    assert [
        event["log_text"] if "log_text" in event else event["log_format"] for event in logs
    ] == ["a probe failed"]


def test_a_probe_that_is_called_off_closes_its_way() -> None:
    way = Way()
    way.script = None
    going = Deferred.fromCoroutine(Prober(Clock(), lambda: way).probe(Askable()))
    going.addErrback(lambda _: None)
    assert way.last.request.url == "https://push.example.net/probe"
    going.cancel()
    assert way.last.is_cancelled
    assert way.is_closed


class Wandering(Obedient):
    """Its devices name their services."""

    probe_lane = None

    def places(self) -> Any:
        return (Request(f"https://{name}.example.net/") for name in ("one", "other"))


AWAY = [Sight("connection", "no connection", 0.1, Fault.UNREACHABLE)]


def test_services_that_devices_name_are_looked_for_and_sent_nothing() -> None:
    way = Way()
    probe = probed(Wandering(), way)
    assert [(step.step, step.place, step.text) for step in probe.steps] == [
        ("way", "one.example.net:443", "it is reached"),
        ("way", "other.example.net:443", "it is reached"),
    ]
    assert way.sent == []


def test_one_that_is_not_reached_is_worth_a_look() -> None:
    probe = probed(Wandering(), Way(one=AWAY))
    assert probe.is_good
    assert [step.remedy for step in probe.steps] == [REFUSED, ""]


def test_none_that_is_reached_is_a_failure() -> None:
    probe = probed(Wandering(), Way(one=AWAY, other=AWAY))
    assert not probe.is_good
    assert [step.text for step in probe.steps] == ["no connection", "no connection"]


def test_where_none_is_reached_nothing_is_asked_any_more() -> None:
    class Both(Wandering):
        def probe(self, now: float, sending: Sending) -> Request:
            return Request("https://push.example.net/probe")

    way = Way(one=AWAY, other=AWAY)
    assert not probed(Both(), way).is_good
    assert way.sent == []
