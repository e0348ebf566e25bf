"""What helps where the same request over again would not: another connection, another judgement."""

from collections.abc import Iterator, Sequence

import pytest
from twisted.internet.defer import CancelledError
from twisted.logger import LogEvent, capturedLogs

from pushd.providers.contract import (
    Accepted,
    BadField,
    Busy,
    Failed,
    Fault,
    Limits,
    Notification,
    Refused,
    Request,
    Response,
    Scope,
    Unregistered,
)
from tests.unit.providers.bench import NOW, UNREACHABLE, Fixed, Voucher, device, note, token
from tests.unit.providers.test_dispatch import Office


@pytest.fixture
def logged() -> Iterator[Sequence[LogEvent]]:
    with capturedLogs() as events:
        yield events


def fresh(office: Office) -> list[bool]:
    """For each request, whether it asked for a connection of its own."""
    return [sent.request.fresh for sent in office.sent]


def test_a_service_that_ends_a_connection_is_asked_again_at_once_over_another() -> None:
    office = Office()
    office.provider.outcomes[503] = Busy(reason="503 Shutdown", fresh=True)
    pushed = office.push_and_answer(503)
    assert fresh(office) == [False, True]
    office.answer(200)
    assert pushed.result == Accepted("message-1")
    assert not office.reports.alarms


def test_where_another_connection_is_no_better_the_push_waits() -> None:
    office = Office()
    office.provider.outcomes[503] = Busy(reason="503 Shutdown", fresh=True)
    pushed = office.push_and_answer(503)
    office.answer(503)
    assert pushed.result is None
    assert len(office.sent) == 2
    office.advance(10)
    assert fresh(office) == [False, True, False]
    office.answer(200)
    assert pushed.result == Accepted("message-1")


def test_a_refusal_that_another_connection_may_mend_is_an_alarm_when_it_does_not() -> None:
    office = Office()
    office.provider.outcomes[403] = Refused("403 unrelated key", alarm=True, fresh=True)
    pushed = office.push_and_answer(403)
    assert fresh(office) == [False, True]
    assert not office.reports.alarms
    office.answer(403)
    assert [alarm.reason for alarm in office.reports.alarms] == ["403 unrelated key"]
    assert pushed.result is None


def test_connections_that_are_ended_over_and_over_open_the_breaker() -> None:
    office = Office()
    office.provider.outcomes[503] = Busy(reason="503 Shutdown", fresh=True)
    for number in range(5):
        office.push_and_answer(503, to=device(f"unlucky-{number}"))
        office.answer(503)
    assert office.dispatcher.health("main").opens_at == NOW + 30


@pytest.mark.parametrize(("failures", "opens_in"), [(4, None), (5, 900)])
def test_a_service_in_trouble_is_left_alone_for_as_long_as_it_advises(
    failures: int, opens_in: float | None
) -> None:
    office = Office()
    office.provider.rest = 900.0  # type: ignore[misc]
    office.close_breaker(failures)
    opens_at = office.dispatcher.health("main").opens_at
    assert opens_at == (None if opens_in is None else NOW + opens_in)


def test_a_network_in_trouble_is_tried_again_sooner() -> None:
    office = Office()
    office.provider.rest = 900.0  # type: ignore[misc]
    for number in range(5):
        office.push_and_answer(UNREACHABLE, to=device(f"unlucky-{number}"))
        office.advance(1)
    assert office.dispatcher.health("main").opens_at == NOW + 34


def test_what_is_lost_with_a_connection_does_not_close_the_backend() -> None:
    office = Office(limits=Limits(concurrency=50))
    pushes = [office.push(to=device(f"phone-{number}")) for number in range(50)]
    for sent in office.sent[:50]:
        sent.answer(Failed(Fault.BROKEN, "the connection ended"))
    assert office.dispatcher.health("main").opens_at is None
    office.advance(10)
    for sent in office.sent[50:]:
        sent.answer(200)
    assert [push.result for push in pushes] == [Accepted("message-1")] * 50


def test_after_the_configuration_was_read_anew_nothing_is_proven() -> None:
    office = Office()
    for number in range(100):
        office.push_and_answer(200, to=device(f"phone-{number}"))
    office.dispatcher.renew("main", office.provider)
    dead = [office.push_and_answer(404, to=device(f"phone-{number}")) for number in range(11)]
    assert sum(isinstance(one.result, Unregistered) for one in dead) == 10
    assert dead[10].result is None
    assert len(office.reports.alarms) == 1


def test_a_backend_that_once_accepted_is_not_stopped_by_devices_that_never_were() -> None:
    office = Office()
    office.push_and_answer(200)
    office.advance(4 * 3600)
    dead = [office.push_and_answer(404, to=device(f"fake-{number}")) for number in range(20)]
    assert sum(isinstance(one.result, Unregistered) for one in dead) == 10
    assert sum(isinstance(one.result, Refused) for one in dead) == 10
    assert office.dispatcher.health("main").opens_at is None
    assert office.push_and_answer(200).result == Accepted("message-1")


def test_a_device_of_another_app_stops_nobody_where_others_are_served() -> None:
    office = Office()
    office.provider.outcomes[400] = Refused("400 other topic", alarm=True, guarded=True)
    office.push_and_answer(200)
    pushed = [office.push_and_answer(400, to=device(f"foreign-{n}")) for n in range(9)]
    assert all(isinstance(one.result, Refused) for one in pushed)
    assert not office.reports.alarms
    assert office.dispatcher.health("main").opens_at is None


def test_where_nobody_is_served_a_device_of_another_app_looks_like_our_own_fault() -> None:
    office = Office()
    office.provider.outcomes[400] = Refused("400 other topic", alarm=True, guarded=True)
    pushed = [office.push_and_answer(400, to=device(f"foreign-{n}")) for n in range(5)]
    assert [one.result for one in pushed] == [None] * 5
    assert [alarm.reason for alarm in office.reports.alarms] == ["400 other topic"]
    assert office.dispatcher.health("main").opens_at == NOW + 30


def test_a_credential_hears_that_its_token_is_stale() -> None:
    forgotten = []

    class Listening(Voucher):
        def forget(self, token: object) -> None:
            forgotten.append(token)

    office = Office(credential=Listening(one := token("one"), token("two")))
    office.push()
    office.answer(200)
    office.answer(401)
    assert forgotten == [one]


def test_a_device_that_could_not_register_now_is_not_sent_to(logged: Sequence[LogEvent]) -> None:
    office = Office()

    def refuse(*given: object) -> Request:
        raise BadField("token", "is no address of a channel")

    office.provider.request = refuse  # type: ignore[method-assign,assignment]
    pushed = office.push()
    assert isinstance(pushed.result, Refused)
    assert "token: is no address of a channel" in pushed.result.reason
    assert office.sent == []
    assert [event for event in logged if "log_failure" in event] == []


@pytest.mark.parametrize("how", ["resume", "renew"])
def test_when_the_operator_says_that_all_is_well_nobody_pauses_any_more(how: str) -> None:
    office = Office(random=Fixed(1))
    pushed = office.push_and_answer(403)
    for _ in range(5):
        office.wait_until_sent()
        office.answer(403)
    count = len(office.sent)
    if how == "resume":
        office.dispatcher.resume("main")
    else:
        office.dispatcher.renew("main", office.provider)
    office.advance(0)
    assert len(office.sent) == count + 1
    office.answer(200)
    assert pushed.result == Accepted("message-1")


@pytest.mark.parametrize(
    ("answer", "waits"), [(503, 10.0), (Response(429, {"retry-after": "60"}), 60.0)]
)
def test_what_becomes_urgent_waits_no_longer_than_it_must(
    answer: Response | int, waits: float
) -> None:
    office = Office(random=Fixed(1))
    office.provider.outcomes |= {503: Busy(reason="503"), 429: Busy(60.0, Scope.DEVICE, "429")}
    said = [note()]

    def latest() -> Notification:
        return said[0]

    office.push(latest)
    for _ in range(3):
        office.answer(503)
        office.wait_until_sent()
    office.answer(answer)
    office.advance(5)

    said[0] = note(2, urgent=True)
    office.dispatcher.hurry("main", latest)

    assert office.wait_until_sent() == waits - 5
    assert office.sent[-1].json["count"] == 2


def test_nobody_else_is_hurried() -> None:
    office = Office(random=Fixed(1))
    office.provider.outcomes[503] = Busy(reason="503")
    office.push_and_answer(503)
    office.dispatcher.hurry("main", note)
    office.advance(10)
    assert len(office.sent) == 1
    with pytest.raises(KeyError):
        office.dispatcher.hurry("nowhere", note)


def test_a_push_that_pauses_can_be_cancelled_and_is_not_woken() -> None:
    office = Office()
    pushed = office.push_and_answer(403)
    pushed.started.cancel()
    office.dispatcher.resume("main")
    office.advance(0)
    assert len(office.sent) == 1
    assert isinstance(pushed.error, CancelledError)
    assert office.clock.getDelayedCalls() == []


def test_a_request_that_is_busy_for_one_device_asks_for_no_connection() -> None:
    office = Office()
    office.provider.outcomes[429] = Busy(None, Scope.DEVICE, "429")
    office.push_and_answer(Response(429))
    office.advance(10)
    assert fresh(office) == [False, False]


def credited() -> Office:
    """A service that says of our credential what it may mean of one device alone."""
    office = Office(credential=Voucher(*(token(f"token-{number}") for number in range(9))))
    office.provider.outcomes[401] = Refused("401", renew_credential=True, guarded=True)
    return office


def test_a_credential_that_is_taken_for_others_is_not_at_fault() -> None:
    office = credited()
    office.push()
    office.answer(200)  # the token
    office.answer(200)
    pushed = office.push_and_answer(401, to=device("another"))
    office.answer(200)  # another token
    office.answer(401)
    assert pushed.result == Refused("401", renew_credential=True, guarded=True)
    assert not office.reports.alarms


def test_a_credential_that_was_never_taken_is_an_alarm_when_a_new_one_does_not_help() -> None:
    office = credited()
    pushed = office.push()
    for status in (200, 401, 200, 401):
        office.answer(status)
    assert pushed.result is None
    assert [alarm.reason for alarm in office.reports.alarms] == ["401"]
