"""A backend and the services it leads to."""

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs, formatEvent

from pushd.providers.contract import Busy, Limits, Token
from pushd.providers.reports import Alarm, Attempt, Recovered
from pushd.providers.services import Backend, Service
from tests.unit.providers.bench import (
    NOW,
    FakeTransport,
    Fixed,
    Obedient,
    Reports,
    Voucher,
    device,
    token,
)


def lines(logged: Sequence[LogEvent]) -> list[tuple[str, str]]:
    """Level and text of what was logged."""
    return [(event["log_level"].name, formatEvent(event)) for event in logged]


class Shop:
    """A backend with its clock and its reports."""

    def __init__(self, voucher: Voucher | None = None, provider: Obedient | None = None) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.reports = Reports()
        self.transport = FakeTransport()
        provider = provider or Obedient()
        provider.fetched = voucher
        self.backend = Backend(
            "main",
            provider,
            Limits(concurrency=2),
            self.clock,
            self.transport,
            Fixed(),
            self.reports,
        )

    def service(self, lane: str = "") -> Service:
        return self.backend.service(device(lane=lane))


def test_each_lane_has_a_service_of_its_own() -> None:
    shop = Shop()
    assert shop.service("a") is shop.service("a")
    assert shop.service("a") is not shop.service("b")


def test_idle_services_are_forgotten_the_longest_unused_first() -> None:
    shop = Shop()
    used, old = shop.service("used"), shop.service("old")
    for number in range(998):
        shop.service(str(number))
    shop.service("used")
    shop.service("one more")
    assert shop.service("used") is used
    assert shop.service("old") is not old


def test_a_service_that_is_not_idle_is_kept() -> None:
    shop = Shop()
    busy, alarmed, held = shop.service("busy"), shop.service("alarmed"), shop.service("held")
    busy.lane.enter()
    alarmed.alarm("why")
    held.hold(100)
    for number in range(1100):
        shop.service(str(number))
    assert shop.service("busy") is busy
    assert shop.service("alarmed") is alarmed
    assert shop.service("held") is held


def test_an_alarm_is_told_once_with_the_time_of_the_next_try() -> None:
    shop = Shop()
    service = shop.service("a")
    service.alarm("early")
    for _ in range(5):
        service.failed("late")
    service.failed("late")
    assert shop.reports.events == [
        Alarm("main", "obedient", "early", None, "a"),
        Alarm("main", "obedient", "late", NOW + 30, "a"),
    ]


def test_an_alarm_and_its_end_are_lines_of_the_log() -> None:
    shop = Shop()
    service = shop.service("sandbox")
    with capturedLogs() as logged:
        service.alarm("403 Forbidden: the key may not do this")
        service.alarm("403 Forbidden: the key may not do this")
        service.accepted()
        service.accepted()
    assert lines(logged) == [
        ("error", "main (sandbox): 403 Forbidden: the key may not do this"),
        ("info", "main (sandbox) takes pushes again"),
    ]


def test_hosts_that_devices_chose_fill_no_log() -> None:
    shop = Shop(provider=Open())
    with capturedLogs() as logged:
        for number in range(100):
            shop.service(f"{number}.example").alarm("403")
            shop.service(f"{number}.example").accepted()
        shop.clock.advance(60)
        shop.service("late.example").alarm("403")
    assert lines(logged) == [
        ("error", "main (0.example): 403"),
        ("error", "main (late.example): 403"),
    ]


def test_alarms_end_with_the_first_acceptance() -> None:
    shop = Shop()
    service = shop.service("a")
    service.accepted()
    service.alarm("why")
    service.answered()
    assert service.alarms
    service.accepted()
    service.accepted()
    assert shop.reports.events[1:] == [Recovered("main", "obedient", "a")]
    assert not service.alarms


def test_whoever_heard_of_an_alarm_hears_that_another_provider_put_it_right() -> None:
    shop = Shop()
    service = shop.service("a")
    service.alarm("the key is wrong")
    shop.backend.renew(Obedient())
    assert not service.alarms
    assert shop.reports.recoveries == []
    service.accepted()
    service.accepted()
    assert shop.reports.recoveries == [Recovered("main", "obedient", "a")]


def test_another_credential_is_another_sender_of_whom_nothing_is_known() -> None:
    shop = Shop()
    service = shop.service("a")
    service.accepted()
    judged = [service.lane.guard.may_delete(number, NOW) for number in range(20)]
    assert judged == [True] * 10 + [False] * 10
    shop.backend.renew(Obedient())
    assert not service.lane.guard.is_proven
    assert service.lane.guard.may_delete(20, NOW)


def test_no_end_of_different_alarms_is_remembered() -> None:
    service = Shop().service()
    for number in range(500):
        service.alarm(str(number))
    assert len(service.alarms) == 50


def test_one_answer_silences_a_service_for_an_hour_at_most() -> None:
    service = Shop().service()
    service.hold(1e9)
    assert service.lane.opens_at == NOW + 3600


def test_a_provider_without_a_credential_needs_no_token() -> None:
    shop = Shop()
    service = shop.service()
    assert shop.backend.provider.credential("") is None
    assert service.keeper is None
    assert not service.discard(token("x"))


def test_a_token_that_was_fetched_is_reported_as_an_attempt_of_nobody() -> None:
    shop = Shop(Voucher(first := token("one")))
    service = shop.service()
    got: list[Token | str | None] = []
    Deferred.fromCoroutine(service.token()).addCallback(got.append)
    shop.transport.last.answer(200)
    assert got == [first]
    (attempt,) = shop.reports.events
    assert isinstance(attempt, Attempt)
    assert (attempt.node, attempt.number, attempt.status) == ("", 0, 200)
    assert attempt.verdict == "accepted"


def test_without_a_token_the_lane_is_held_until_there_may_be_one() -> None:
    shop = Shop(Voucher(Busy(after=77.0, reason="503")))
    service = shop.service()
    got: list[Token | str | None] = []
    Deferred.fromCoroutine(service.token()).addCallback(got.append)
    shop.transport.last.answer(503)
    assert got == ["503"]
    assert service.lane.opens_at == NOW + 77


def test_five_failed_renewals_in_a_row_open_the_breaker() -> None:
    shop = Shop(Voucher(*[Busy(reason="503")] * 5))
    service = shop.service()
    for _ in range(5):
        assert not service.lane.breaker.is_open
        Deferred.fromCoroutine(service.token())
        shop.transport.last.answer(503)
        shop.clock.advance(1000)
    assert service.lane.breaker.is_open


def test_health_is_that_of_all_services() -> None:
    shop = Shop()
    shop.service("a").lane.enter()
    shop.service("b").lane.enter()
    shop.service("b").hold(50)
    shop.service("b").alarm("why")
    shop.backend.pending = 7
    shop.backend.pause()
    health = shop.backend.health()
    assert (health.pending, health.active, health.is_paused) == (7, 2, True)
    assert (health.opens_at, health.alarms) == (NOW + 50, ("why",))


# Hosts that devices chose.


class Open(Obedient):
    """Each device leads to a lane of its own."""

    leads_anywhere = True


def test_a_host_that_a_device_chose_is_no_alarm_when_it_is_away() -> None:
    shop = Shop(provider=Open())
    service = shop.service("https://a.example")
    for _ in range(9):
        service.failed("no connection")
    assert service.lane.breaker.is_open
    assert shop.reports.alarms == []
    assert shop.backend.health().alarms == ()


def test_a_host_that_a_device_chose_is_named_in_an_alarm_about_ourselves() -> None:
    shop = Shop(provider=Open())
    shop.service("https://a.example").failed("401", alarm=True)
    [alarm] = shop.reports.alarms
    assert (alarm.lane, alarm.reason) == ("https://a.example", "401")
    assert shop.backend.health().alarms == ("https://a.example: 401",)


def test_a_backend_is_spoken_to_while_any_of_its_hosts_is() -> None:
    shop = Shop(provider=Open())
    shop.service("a").hold(100)
    assert shop.backend.health().opens_at == NOW + 100
    shop.service("b")
    assert shop.backend.health().opens_at is None


def test_services_in_trouble_are_forgotten_before_there_are_too_many() -> None:
    shop = Shop(provider=Open())
    shop.service("busy").lane.enter()
    for number in range(1500):
        shop.service(str(number)).alarm("401")
    assert len(shop.backend.health().alarms) == 999
    assert shop.service("busy").lane.active == 1
