"""From "this device is to know" to a final answer."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pushd.providers.attempts import Expired, Result, Withdrawn
from pushd.providers.contract import (
    Accepted,
    Busy,
    Device,
    Failed,
    Fault,
    Limits,
    Notification,
    Outcome,
    Refused,
    Request,
    Response,
    Scope,
    Secret,
    Sending,
    Unregistered,
)
from pushd.providers.dispatch import Dispatcher
from pushd.providers.reports import Recovered
from tests.unit.providers.bench import (
    DAY,
    NOW,
    UNREACHABLE,
    FakeTransport,
    Fixed,
    Obedient,
    Pushed,
    Reports,
    Sent,
    Voucher,
    device,
    note,
    token,
)

TLS = Failed(Fault.TLS, "TLS: certificate verify failed")


class Office:
    """A dispatcher with one backend, and everything around it."""

    def __init__(
        self,
        limits: Limits | None = None,
        random: Random | None = None,
        credential: Voucher | None = None,
        transport: Any = None,
    ) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.transport = transport or FakeTransport()
        self.reports = Reports()
        self.provider = Obedient()
        self.provider.fetched = credential
        self.dispatcher = Dispatcher(self.clock, self.transport, self.reports, random or Fixed())
        self.dispatcher.add("main", self.provider, limits)

    def push(
        self,
        what: Notification | Callable[[], Notification | None] | None = None,
        to: Device | Callable[[], Device | None] | None = None,
        backend: str = "main",
        **more: Any,
    ) -> Pushed:
        found = note() if what is None else what
        target = device() if to is None else to
        return Pushed(
            Deferred.fromCoroutine(
                self.dispatcher.push(
                    backend,
                    found if callable(found) else lambda: found,
                    target if callable(target) else lambda: target,
                    **more,
                )
            )
        )

    @property
    def sent(self) -> list[Sent]:
        sent: list[Sent] = self.transport.sent
        return sent

    def answer(self, answer: Response | Failed | int) -> None:
        """Answer the request that was sent last."""
        self.sent[-1].answer(answer)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def wait_until_sent(self) -> float:
        """How long it takes until the next request leaves."""
        count, started_at = len(self.sent), self.clock.seconds()
        while len(self.sent) == count:
            (call, *_) = sorted(self.clock.getDelayedCalls(), key=lambda call: call.getTime())
            self.clock.advance(call.getTime() - self.clock.seconds())
        return self.clock.seconds() - started_at

    def push_and_answer(self, answer: Response | Failed | int, **arguments: Any) -> Pushed:
        pushed = self.push(**arguments)
        self.answer(answer)
        return pushed

    def close_breaker(self, failures: int = 5, answer: Response | Failed | int = 503) -> None:
        """Fail so often that the breaker opens."""
        self.provider.outcomes[503] = Busy(reason="503")
        for number in range(failures):
            self.push_and_answer(answer, to=device(f"unlucky-{number}"))


def results(pushes: list[Pushed]) -> list[Result | None]:
    return [pushed.result for pushed in pushes]


# One request.


def test_what_is_accepted_is_settled() -> None:
    office = Office()
    pushed = office.push()
    assert pushed.result is None
    assert office.sent[0].timeout == 25.0
    office.answer(200)
    assert pushed.result == Accepted("message-1")
    assert office.clock.getDelayedCalls() == []


def test_what_is_refused_for_good_is_settled_without_another_try() -> None:
    office = Office()
    assert office.push_and_answer(400).result == Refused("400")
    assert office.clock.getDelayedCalls() == []


def test_a_dead_device_is_settled() -> None:
    office = Office()
    assert office.push_and_answer(404).result == Unregistered(reason="404")


def test_nothing_is_sent_when_there_is_nothing_to_say_or_nobody_to_say_it_to() -> None:
    office = Office()
    assert office.push(what=lambda: None).result == Withdrawn()
    assert office.push(to=lambda: None).result == Withdrawn()
    assert office.sent == []


def test_nothing_is_sent_that_is_stale_already() -> None:
    office = Office()
    assert office.push(note(expires_at=NOW)).result == Expired()
    assert office.sent == []


def test_an_unknown_backend_is_a_key_error() -> None:
    pushed = Office().push(backend="other")
    assert isinstance(pushed.error, KeyError)


def test_two_backends_cannot_have_one_name() -> None:
    office = Office()
    with pytest.raises(ValueError, match="main"):
        office.dispatcher.add("main", Obedient())
    assert office.dispatcher.backends == {"main"}


# Again.


@pytest.mark.line(139)
@pytest.mark.mistake(17)
def test_pauses_grow_from_the_floor_with_full_jitter_and_stop_growing() -> None:
    for point, expected in (
        (0, [10] * 9),
        (1, [20, 30, 50, 90, 170, 330, 650, 910, 910]),
    ):
        office = Office(random=Fixed(point))
        office.push(note(expires_at=NOW + 1e6))
        pauses = []
        for _ in range(9):
            office.answer(429)
            pauses.append(office.wait_until_sent())
        assert pauses == expected


def test_a_service_that_says_when_is_taken_at_its_word() -> None:
    office = Office(random=Fixed(1))
    office.provider.outcomes[429] = Busy(3.5, Scope.DEVICE)
    office.push_and_answer(429)
    assert office.wait_until_sent() == 3.5


def test_a_service_that_says_at_once_gets_a_pause_of_ours() -> None:
    office = Office()
    office.provider.outcomes[429] = Busy(0.0, Scope.DEVICE)
    office.push_and_answer(429)
    assert office.wait_until_sent() == 10


def test_no_answer_is_tried_again() -> None:
    office = Office()
    pushed = office.push_and_answer(UNREACHABLE)
    assert office.wait_until_sent() == 10
    office.answer(200)
    assert pushed.result == Accepted("message-1")


def test_tries_end_when_nobody_wants_to_know_any_more_and_the_last_trouble_is_told() -> None:
    office = Office()
    pushed = office.push_and_answer(429, what=note(expires_at=NOW + 25))
    for _ in range(2):
        office.wait_until_sent()
        office.answer(429)
    office.advance(4.9)
    assert pushed.result is None
    office.advance(0.1)
    assert pushed.result == Expired("429")
    assert len(office.sent) == 3


def test_a_wish_to_wait_that_is_longer_than_the_deadline_ends_at_the_deadline() -> None:
    office = Office()
    office.provider.outcomes[429] = Busy(1e6, Scope.DEVICE, "429")
    pushed = office.push_and_answer(429, what=note(expires_at=NOW + 25))
    office.advance(25)
    assert pushed.result == Expired("429")


def test_a_notification_without_an_end_is_tried_for_a_day() -> None:
    office = Office()
    office.provider.outcomes[429] = Busy(1e6, Scope.DEVICE)
    pushed = office.push_and_answer(429, what=note(expires_at=None))
    office.advance(86_399)
    assert pushed.result is None
    office.advance(1)
    assert isinstance(pushed.result, Expired)


def test_a_newer_notification_moves_the_deadline_of_the_one_that_waits() -> None:
    office = Office()
    current = [note(expires_at=NOW + 15)]
    office.provider.outcomes[429] = Busy(20, Scope.DEVICE)
    pushed = office.push_and_answer(429, what=lambda: current[0])
    current[0] = note(count=2, expires_at=NOW + 100)
    assert office.wait_until_sent() == 20
    assert office.sent[-1].json["count"] == 2
    office.answer(200)
    assert pushed.result == Accepted("message-1")


@pytest.mark.line(139)
def test_a_service_that_asks_for_an_eternity_is_asked_again_after_a_day() -> None:
    office = Office()
    office.provider.outcomes[429] = Busy(9e9, Scope.DEVICE, "429")
    current = [note(expires_at=NOW + DAY)]
    office.push(lambda: current[0])
    office.answer(429)
    current[0] = note(2, expires_at=NOW + 2 * DAY)
    office.advance(DAY)
    assert office.sent[-1].json["count"] == 2


def test_each_try_says_the_latest_to_the_device_as_it_is_then() -> None:
    office = Office()
    state = {"count": 1, "token": "old"}
    office.push_and_answer(
        429,
        what=lambda: note(int(str(state["count"]))),
        to=lambda: device(str(state["token"])),
    )
    state.update(count=4, token="new")
    office.wait_until_sent()
    assert [(sent.json["count"], sent.json["token"]) for sent in office.sent] == [
        (1, "old"),
        (4, "new"),
    ]


def test_a_push_that_is_withdrawn_while_it_waits_is_settled_when_its_time_comes() -> None:
    office = Office()
    current: list[Notification | None] = [note()]
    pushed = office.push_and_answer(429, what=lambda: current[0])
    current[0] = None
    office.advance(10)
    assert pushed.result == Withdrawn()
    assert len(office.sent) == 1


def test_the_id_stays_while_the_content_does() -> None:
    office = Office()
    current = [note(1)]
    office.push(what=lambda: current[0])
    for count in (1, 2):
        office.answer(429)
        current[0] = note(count)
        office.wait_until_sent()
    first, second, third = (sent.json["id"] for sent in office.sent)
    assert first == second != third
    assert first


# At once.


@pytest.mark.line(142)
def test_what_is_too_big_is_said_once_more_with_the_counts_alone() -> None:
    office = Office()
    pushed = office.push_and_answer(413)
    assert [sent.json["shrink"] for sent in office.sent] == [False, True]
    office.answer(413)
    assert pushed.result == Refused("413", shrink=True)
    assert len(office.sent) == 2


def test_a_remedy_is_tried_once() -> None:
    office = Office()
    pushed = office.push_and_answer(409)
    assert [sent.json["remedies"] for sent in office.sent] == [[], ["clear"]]
    office.answer(409)
    assert pushed.result == Refused("409", remedy="clear")
    assert len(office.sent) == 2


# Credentials.


def test_a_token_is_fetched_before_the_first_request_and_used_for_all() -> None:
    office = Office(credential=Voucher(token("ya29.one")))
    pushes = [office.push(), office.push()]
    assert [sent.request.url for sent in office.sent] == ["https://token.example.net/"]
    office.answer(200)
    assert [sent.json["credential"] for sent in office.sent[1:]] == ["ya29.one"] * 2
    for sent in office.sent[1:]:
        sent.answer(200)
    assert results(pushes) == [Accepted("message-1")] * 2


def test_what_became_newer_while_the_token_was_fetched_is_what_is_sent() -> None:
    office = Office(credential=Voucher(token("one")))
    current = [note(1)]
    office.push(what=lambda: current[0])
    current[0] = note(2)
    office.answer(200)
    assert office.sent[-1].json["count"] == 2


def test_a_stale_token_is_renewed_and_the_push_sent_once_more() -> None:
    office = Office(credential=Voucher(token("one"), token("two")))
    pushed = office.push()
    office.answer(200)  # the token
    office.answer(401)
    office.answer(200)  # another token
    assert office.sent[-1].json["credential"] == "two"
    office.answer(200)
    assert pushed.result == Accepted("message-1")
    assert office.reports.alarms == []


def test_another_provider_takes_up_what_waits_with_a_credential_of_its_own() -> None:
    revoked = Refused("token endpoint: HTTP 401", alarm=True)
    office = Office(credential=Voucher(revoked))
    pushed = office.push()
    office.answer(401)
    assert [alarm.reason for alarm in office.reports.alarms] == [revoked.reason]
    assert office.dispatcher.health("main").opens_at is not None

    successor = Obedient()
    successor.fetched = Voucher(token("new"))
    office.dispatcher.renew("main", successor)

    assert office.dispatcher.health("main").alarms == ()
    office.answer(200)  # the token, without waiting for the breaker
    assert office.sent[-1].json["credential"] == "new"
    office.answer(200)
    assert pushed.result == Accepted("message-1")


def test_what_an_old_credential_comes_to_harms_the_new_one_no_more() -> None:
    office = Office(credential=Voucher(Refused("token endpoint: HTTP 401", alarm=True)))
    pushed = office.push()  # asks for a token
    successor = Obedient()
    successor.fetched = Voucher(token("new"))

    office.dispatcher.renew("main", successor)

    assert office.sent[0].is_cancelled
    assert office.reports.alarms == []
    office.answer(200)
    assert office.sent[-1].json["credential"] == "new"
    office.answer(200)
    assert pushed.result == Accepted("message-1")


def test_all_who_sent_with_a_stale_token_share_its_renewal() -> None:
    office = Office(credential=Voucher(token("one"), token("two")))
    pushes = [office.push(), office.push()]
    office.answer(200)
    first, second = office.sent[1:3]
    first.answer(401)
    second.answer(401)
    assert len(office.sent) == 4
    office.answer(200)
    for sent in office.sent[4:]:
        assert sent.json["credential"] == "two"
        sent.answer(200)
    assert results(pushes) == [Accepted("message-1")] * 2


def test_a_fresh_token_that_is_not_taken_either_is_an_alarm_and_the_push_is_kept() -> None:
    office = Office(credential=Voucher(token("one"), token("two")))
    pushed = office.push()
    office.answer(200)
    office.answer(401)
    office.answer(200)
    office.answer(401)
    assert pushed.result is None
    assert [alarm.reason for alarm in office.reports.alarms] == ["401"]
    assert office.wait_until_sent() == 10
    assert office.sent[-1].json["credential"] == "two"
    office.answer(200)
    assert pushed.result == Accepted("message-1")


def test_a_service_that_calls_for_a_credential_where_there_is_none_raises_an_alarm() -> None:
    office = Office()
    assert office.push_and_answer(401).result is None
    assert [alarm.reason for alarm in office.reports.alarms] == ["401"]


@pytest.mark.line(143)
def test_a_credential_that_is_not_taken_stops_the_backend_and_keeps_the_pushes() -> None:
    refusal = Refused("token endpoint: HTTP 400 invalid_grant", alarm=True)
    office = Office(credential=Voucher(refusal, token("one", NOW + 30)))
    pushed = office.push()
    office.answer(400)
    (alarm,) = office.reports.alarms
    assert (alarm.reason, alarm.until) == (refusal.reason, NOW + 30)
    assert office.wait_until_sent() == 30
    office.answer(200)
    office.answer(200)
    assert pushed.result == Accepted("message-1")


def test_a_push_that_never_got_a_credential_expires_with_that_reason() -> None:
    office = Office(credential=Voucher(Refused("invalid_grant", alarm=True)))
    pushed = office.push(note(expires_at=NOW + 20))
    office.answer(400)
    office.advance(20)
    assert pushed.result == Expired("invalid_grant")


def test_one_failed_renewal_counts_once_however_many_wait_for_it() -> None:
    office = Office(
        Limits(concurrency=100), credential=Voucher(Busy(reason="503"), token("one", NOW + 10))
    )
    pushes = [office.push() for _ in range(20)]
    office.answer(503)
    assert office.reports.alarms == []
    assert office.wait_until_sent() == 10
    office.answer(200)
    for sent in office.sent[2:]:
        sent.answer(200)
    assert results(pushes) == [Accepted("message-1")] * 20


# Turns.


def test_no_more_requests_are_under_way_than_the_backend_allows() -> None:
    office = Office()
    pushes = [office.push(note(number)) for number in range(5)]
    seen: list[Sent] = []
    while office.sent[len(seen) :]:
        assert len(office.sent) - len(seen) <= 2
        seen.append(office.sent[len(seen)])
        seen[-1].answer(200)
    assert [sent.json["count"] for sent in seen] == [0, 1, 2, 3, 4]
    assert results(pushes) == [Accepted("message-1")] * 5


def test_limits_of_the_operator_replace_the_providers() -> None:
    office = Office(Limits(concurrency=3))
    for _ in range(5):
        office.push()
    assert len(office.sent) == 3


def test_a_call_does_not_wait_behind_messages() -> None:
    office = Office(Limits(concurrency=1))
    for number in range(3):
        office.push(note(number))
    office.push(note(99, urgent=True))
    office.answer(200)
    assert office.sent[-1].json["count"] == 99


def test_what_waits_for_a_turn_is_built_when_the_turn_comes() -> None:
    office = Office(Limits(concurrency=1))
    office.push()
    current = [note(1)]
    office.push(what=lambda: current[0])
    current[0] = note(7)
    office.answer(200)
    assert office.sent[-1].json["count"] == 7


def test_what_waits_for_a_turn_too_long_expires() -> None:
    office = Office(Limits(concurrency=1))
    office.push()
    pushed = office.push(note(expires_at=NOW + 5))
    office.advance(5)
    assert pushed.result == Expired()


def test_a_slow_backend_and_a_slow_lane_delay_no_other() -> None:
    office = Office(Limits(concurrency=1))
    office.dispatcher.add("other", Obedient())
    office.push()
    office.push(to=device(lane="elsewhere"))
    office.push(backend="other")
    assert len(office.sent) == 3


def test_a_device_that_moves_to_another_lane_while_it_waits_waits_there() -> None:
    office = Office(Limits(concurrency=1))
    office.push()
    office.push(to=device(lane="elsewhere"))
    current = [device()]
    pushed = office.push(to=lambda: current[0])
    current[0] = device("moved", lane="elsewhere")
    office.sent[0].answer(200)
    assert len(office.sent) == 2
    office.sent[1].answer(200)
    assert office.sent[-1].json["token"] == "moved"
    office.answer(200)
    assert pushed.result == Accepted("message-1")
    assert office.dispatcher.health("main").active == 0


# The breaker.


def test_five_failures_in_a_row_close_the_backend_for_half_a_minute() -> None:
    office = Office()
    office.close_breaker(4)
    assert office.reports.alarms == []
    office.close_breaker(1)
    (alarm,) = office.reports.alarms
    assert (alarm.backend, alarm.type, alarm.reason) == ("main", "obedient", "503")
    assert alarm.until == NOW + 30
    pushed = office.push(note(5))
    sent = len(office.sent)
    office.advance(29.9)
    assert len(office.sent) == sent
    office.advance(0.1)
    assert office.sent[-1].json["count"] == 5
    assert len(office.sent) == sent + 1
    office.answer(200)
    assert pushed.result == Accepted("message-1")
    assert office.reports.recoveries == [Recovered("main", "obedient")]


def test_a_probe_that_fails_doubles_the_pause() -> None:
    office = Office()
    office.close_breaker()
    office.push()
    office.wait_until_sent()
    office.answer(503)
    assert office.dispatcher.health("main").opens_at == NOW + 30 + 60
    office.advance(59.9)
    sent = len(office.sent)
    office.advance(0.1)
    assert len(office.sent) == sent + 1
    assert len(office.reports.alarms) == 1


def test_one_devices_trouble_does_not_keep_others_from_probing() -> None:
    office = Office(Limits(concurrency=1))
    for number in range(5):
        office.push_and_answer(403, what=note(number))
    office.advance(25)  # the troubled ones are back in the queue
    office.push(note(99))
    assert office.wait_until_sent() == 5
    assert office.sent[-1].json["count"] == 99


@pytest.mark.parametrize("failure", [Failed(Fault.TIMEOUT, "no answer"), 403, 503])
def test_each_kind_of_the_backends_own_failures_counts(failure: Failed | int) -> None:
    office = Office()
    office.close_breaker(5, failure)
    assert office.dispatcher.health("main").opens_at == NOW + 30


@pytest.mark.parametrize("answer", [200, 400, 404, 429])
def test_an_answer_that_does_its_part_starts_the_count_anew(answer: int) -> None:
    office = Office()
    office.close_breaker(4)
    office.push_and_answer(answer)
    office.close_breaker(4)
    assert office.dispatcher.health("main").opens_at is None


def test_a_busy_device_is_no_trouble_of_the_backend() -> None:
    office = Office(Limits(concurrency=50))
    for _ in range(20):
        office.push_and_answer(429)
    assert office.dispatcher.health("main").opens_at is None


def test_a_backend_that_asks_for_quiet_gets_it_but_not_for_ever() -> None:
    office = Office()
    office.provider.outcomes[503] = Busy(120.0)
    office.push_and_answer(503)
    office.push()
    assert office.wait_until_sent() == 120
    office.provider.outcomes[503] = Busy(1e6)
    office.answer(503)
    assert office.dispatcher.health("main").opens_at == NOW + 120 + 3600


# Alarms.


def test_an_alarm_is_raised_once_per_reason_until_something_is_accepted() -> None:
    office = Office()
    for _ in range(3):
        office.push_and_answer(403)
    assert [alarm.reason for alarm in office.reports.alarms] == ["403"]
    assert office.dispatcher.health("main").alarms == ("403",)
    office.push_and_answer(200)
    assert office.dispatcher.health("main").alarms == ()
    office.push_and_answer(403)
    assert [alarm.reason for alarm in office.reports.alarms] == ["403", "403"]


@pytest.mark.line(143)
def test_what_only_the_operator_can_mend_keeps_the_push_and_deletes_nothing() -> None:
    office = Office()
    pushed = office.push_and_answer(403, what=note(expires_at=NOW + 15))
    assert pushed.result is None
    assert office.wait_until_sent() == 10
    office.answer(403)
    office.advance(5)
    assert pushed.result == Expired("403")


@pytest.mark.line(146)
def test_a_certificate_that_is_not_trusted_is_an_alarm() -> None:
    office = Office()
    office.push_and_answer(TLS)
    assert [alarm.reason for alarm in office.reports.alarms] == [TLS.reason]


def test_a_proxy_that_refuses_is_an_alarm_at_once() -> None:
    office = Office()
    refused = Failed(Fault.PROXY, "the proxy proxy:3128 asks for a user name (HTTP 407)")
    office.push_and_answer(refused)
    assert [alarm.reason for alarm in office.reports.alarms] == [refused.reason]


# Dead devices.


@pytest.mark.line(141)
def test_a_device_that_registered_again_meanwhile_is_tried_again_at_once() -> None:
    office = Office()
    current = [device("old")]
    pushed = office.push(to=lambda: current[0])
    current[0] = device("new")
    office.answer(404)
    assert office.sent[-1].json["token"] == "new"
    office.answer(200)
    assert pushed.result == Accepted("message-1")


def test_a_device_that_renewed_the_same_token_meanwhile_is_tried_again_at_once() -> None:
    office = Office()
    current = [device(renewed_at=NOW - 5)]
    pushed = office.push(to=lambda: current[0])
    office.advance(1)
    current[0] = device(renewed_at=NOW + 0.5)
    office.answer(404)
    assert len(office.sent) == 2
    office.answer(404)
    assert pushed.result == Unregistered(reason="404")


def test_a_device_that_registered_as_the_push_left_did_not_do_so_since() -> None:
    office = Office()
    assert isinstance(office.push_and_answer(404, to=device(renewed_at=NOW)).result, Unregistered)


def test_a_device_that_is_forgotten_meanwhile_needs_no_answer() -> None:
    office = Office()
    current: list[Device | None] = [device()]
    pushed = office.push(to=lambda: current[0])
    current[0] = None
    office.answer(404)
    assert pushed.result == Withdrawn()


@pytest.mark.line(141)
@pytest.mark.parametrize(("renewed_at", "is_dead"), [(NOW - 51, True), (NOW - 49, False)])
def test_a_death_before_the_registration_is_not_its_own(renewed_at: float, is_dead: bool) -> None:
    office = Office()
    office.provider.outcomes[404] = Unregistered(since=NOW - 50, reason="410")
    pushed = office.push_and_answer(404, to=device(renewed_at=renewed_at))
    assert isinstance(pushed.result, Unregistered if is_dead else Refused)


@pytest.mark.line(143)
@pytest.mark.parametrize("status", [404, 405])
def test_more_than_ten_deaths_without_an_acceptance_are_held_and_raise_an_alarm(
    status: int,
) -> None:
    office = Office()
    pushes = [office.push_and_answer(status, to=device(f"t-{number}")) for number in range(11)]
    assert all(isinstance(result, Unregistered) for result in results(pushes[:10]))
    assert pushes[10].result is None
    (alarm,) = office.reports.alarms
    assert "too many devices" in alarm.reason
    assert ("wrong project" in alarm.reason) == (status == 405)
    office.wait_until_sent()
    office.answer(200)
    assert pushes[10].result == Accepted("message-1")


def test_the_same_device_again_and_again_is_one() -> None:
    office = Office()
    pushes = [office.push_and_answer(404) for _ in range(20)]
    assert results(pushes) == [Unregistered(reason="404")] * 20


def test_many_deaths_are_believed_of_a_backend_that_accepts_more() -> None:
    office = Office()
    for _ in range(15):
        office.push_and_answer(200)
    pushes = [office.push_and_answer(404, to=device(f"t-{number}")) for number in range(15)]
    assert results(pushes) == [Unregistered(reason="404")] * 15


def test_more_deaths_than_acceptances_are_refused_and_stop_nobody_else() -> None:
    office = Office()
    office.push_and_answer(200)
    pushes = [office.push_and_answer(404, to=device(f"t-{number}")) for number in range(20)]
    assert all(isinstance(result, Unregistered) for result in results(pushes[:10]))
    for result in results(pushes[10:]):
        assert isinstance(result, Refused)
        assert result.alarm
    assert len(office.reports.alarms) == 1
    assert office.push_and_answer(200).result == Accepted("message-1")


# The operator.


def test_a_paused_backend_sends_nothing_and_still_lets_things_expire() -> None:
    office = Office()
    office.dispatcher.pause("main")
    brief, patient = office.push(note(expires_at=NOW + 5)), office.push()
    office.advance(10)
    assert office.sent == []
    assert brief.result == Expired()
    assert office.dispatcher.health("main").is_paused
    office.dispatcher.resume("main")
    office.answer(200)
    assert patient.result == Accepted("message-1")


def test_resuming_forgets_breaker_and_failed_credentials() -> None:
    refusal = Refused("invalid_grant", alarm=True)
    office = Office(credential=Voucher(refusal, token("one")))
    pushed = office.push()
    office.answer(400)
    office.dispatcher.resume("main")
    office.answer(200)
    office.answer(200)
    assert pushed.result == Accepted("message-1")


def test_the_pending_are_counted_until_they_are_settled() -> None:
    office = Office()
    pushes = [office.push() for _ in range(3)]
    assert office.dispatcher.pending("main") == 3
    assert office.dispatcher.health("main").active == 2
    office.sent[0].answer(200)
    office.sent[1].answer(429)
    assert office.dispatcher.pending("main") == 2
    assert pushes[0].result is not None


def test_lanes_that_nobody_uses_are_forgotten() -> None:
    office = Office()
    office.push(to=device(lane="busy"))
    for number in range(1500):
        office.push_and_answer(200, to=device(lane=str(number)))
    backend = office.dispatcher._backends["main"]
    assert len(backend._services) == 1000
    assert "busy" in backend._services


# Reports.


def test_every_attempt_is_told_without_a_secret() -> None:
    office = Office(credential=Voucher(token("ya29.one")))
    office.push(to=device("bearer-of-all"))
    office.advance(1)
    office.answer(200)
    office.advance(2)
    office.answer(429)
    office.wait_until_sent()
    office.answer(UNREACHABLE)
    told = [
        (attempt.node, attempt.number, attempt.status, attempt.verdict, attempt.seconds)
        for attempt in office.reports.attempts
    ]
    digest = Secret("node-1").digest
    assert told == [
        ("", 0, 200, "accepted", 1),
        (digest, 1, 429, "busy", 2),
        (digest, 2, None, "failed", 0),
    ]
    assert {(attempt.backend, attempt.type) for attempt in office.reports.attempts} == {
        ("main", "obedient")
    }
    shown = repr(office.reports.events)
    assert not any(secret in shown for secret in ("ya29", "bearer-of-all", "node-1"))


# What may break.


class Faulty(Obedient):
    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def request(self, note: Notification, device: Device, now: float, sending: Sending) -> Request:
        if self.where == "request":
            raise ZeroDivisionError
        return super().request(note, device, now, sending)

    def outcome(self, response: Response, now: float) -> Outcome:
        raise ZeroDivisionError


class FaultyTransport(FakeTransport):
    def send(self, request: Request, timeout: float) -> Deferred[Response | Failed]:
        return fail(ZeroDivisionError())


class TestFaultsOfOurOwn(SynchronousTestCase):
    """They are logged, and end no more than they must."""

    def logged(self) -> int:
        return len(self.flushLoggedErrors(ZeroDivisionError))  # type: ignore[no-untyped-call]

    def test_a_notification_that_cannot_be_built_is_refused_alone(self) -> None:
        office = Office()
        office.dispatcher.add("faulty", Faulty("request"))
        pushed = office.push(backend="faulty")
        assert isinstance(pushed.result, Refused)
        assert office.sent == []
        assert self.logged() == 1

    def test_an_answer_that_cannot_be_read_counts_by_its_status(self) -> None:
        office = Office()
        office.dispatcher.add("faulty", Faulty("outcome"))
        pushed = office.push(backend="faulty")
        office.answer(404)
        assert pushed.result == Refused("HTTP 404")
        assert self.logged() == 1

    def test_a_transport_that_breaks_is_a_failed_exchange(self) -> None:
        office = Office(transport=FaultyTransport())
        assert office.push(note(expires_at=NOW + 5)).result is None
        assert [attempt.verdict for attempt in office.reports.attempts] == ["failed"]
        assert self.logged() == 1

    def test_a_listener_that_breaks_ends_no_push(self) -> None:
        def listen(event: object) -> None:
            raise ZeroDivisionError

        office = Office()
        dispatcher = Dispatcher(office.clock, office.transport, listen)
        dispatcher.add("main", Obedient())
        office.dispatcher = dispatcher
        assert office.push_and_answer(200).result == Accepted("message-1")
        assert self.logged() == 1


@pytest.mark.parametrize("moment", ["turn", "token", "request", "pause"])
def test_a_push_can_be_cancelled_at_any_moment_and_gives_its_turn_back(moment: str) -> None:
    voucher = Voucher(token("one")) if moment == "token" else None
    office = Office(Limits(concurrency=1), credential=voucher)
    ahead = office.push(note(1)) if moment == "turn" else None
    pushed = office.push(note(2))
    if moment == "pause":
        office.answer(429)
    pushed.started.cancel()
    assert isinstance(pushed.error, CancelledError)
    assert office.sent[-1].is_cancelled == (moment == "request")
    after = office.push(note(3))
    if ahead is not None or moment == "token":
        office.answer(200)
    assert office.sent[-1].json["count"] == 3
    office.answer(200)
    assert after.result == Accepted("message-1")
    assert office.dispatcher.pending("main") == 0
    assert office.clock.getDelayedCalls() == []


def test_closing_stops_a_renewal_under_way() -> None:
    office = Office(credential=Voucher(token("one")))
    office.push()
    office.dispatcher.close()
    assert office.sent[-1].is_cancelled


def test_a_thousand_answers_at_once_do_not_pile_up() -> None:
    office = Office(Limits(concurrency=1), transport=FakeTransport(lambda _: Response(200)))
    office.dispatcher.pause("main")
    pushes = [office.push() for _ in range(3000)]
    office.dispatcher.resume("main")
    assert results(pushes) == [Accepted("message-1")] * 3000
    assert office.clock.getDelayedCalls() == []
