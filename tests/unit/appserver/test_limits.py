from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import capturedLogs

from pushd.appserver.limits import MOST_TOLD, UNLIMITED, Buckets, Limiter, Rate, Rules, TooMany
from pushd.providers.contract import Accepted
from pushd.routing.events import PublishReceived
from pushd.wire import forms
from pushd.wire.element import Element, element, serialize
from pushd.wire.jid import parse
from pushd.wire.namespaces import NS_COMMANDS
from tests.unit.appserver.stage import (
    PUBSUB,
    REGISTER,
    Stage,
    execute,
    outcome,
    publishing,
    register,
    said,
)
from tests.unit.appserver.test_outbox import HIGH, Registered, killed

# Buckets.


def test_a_burst_goes_at_once_and_then_one_in_each_interval() -> None:
    buckets, rate = Buckets(), Rate(20.0, 3)
    taken = [now for now in range(0, 100, 5) if buckets.try_to_take("a", rate, float(now))]

    assert taken == [0, 5, 10, 20, 40, 60, 80]


def test_a_clock_that_is_set_back_ends_what_was_counted_by_the_wrong_one() -> None:
    buckets, rate = Buckets(), Rate(20.0, 3)
    for _ in range(3):
        buckets.take("a", rate, 86_400.0)
    taken = [now for now in range(0, 50, 5) if buckets.try_to_take("a", rate, float(now))]

    assert taken == [0, 5, 10, 20, 40]


def test_a_clock_that_trembles_makes_no_difference() -> None:
    buckets, rate = Buckets(), Rate(20.0, 1)
    assert buckets.try_to_take("a", rate, 100.0)
    assert not buckets.try_to_take("a", rate, 99.9)


def test_names_do_not_share() -> None:
    buckets, rate = Buckets(), Rate(20.0)
    assert buckets.try_to_take("a", rate, 0.0)
    assert buckets.try_to_take("b", rate, 0.0)
    assert not buckets.try_to_take("a", rate, 19.0)


def test_no_more_is_saved_than_the_burst() -> None:
    buckets, rate = Buckets(), Rate(1.0, 2)
    buckets.take("a", rate, 0.0)

    assert [buckets.try_to_take("a", rate, 1000.0) for _ in range(3)] == [True, True, False]


@pytest.mark.mistake(11)
def test_only_what_is_not_full_is_remembered() -> None:
    buckets, rate = Buckets(), Rate(10.0)
    for number in range(100):
        buckets.take(str(number), rate, float(number))

    assert len(buckets) <= 11


@pytest.mark.mistake(11)
def test_a_flood_of_names_takes_bounded_memory() -> None:
    buckets, rate = Buckets(remembered=100), Rate(1e9)
    for number in range(1000):
        buckets.take(str(number), rate, 0.0)

    assert len(buckets) == 100
    assert not buckets.try_to_take("999", rate, 0.0)


def test_without_a_rate_nothing_is_kept() -> None:
    buckets = Buckets()
    assert all(buckets.try_to_take("a", Rate.per_second(0), 0.0) for _ in range(1000))
    assert len(buckets) == 0


def test_domains_that_are_served_here_have_no_limit_of_their_own() -> None:
    limiter = Limiter(Rules(domain_requests=Rate(1.0)), frozenset(("example.net",)))
    for _ in range(2):
        limiter.check_domain(parse("juliet@example.net"), 0.0)
    limiter.check_domain(parse("example.org"), 0.0)
    with pytest.raises(TooMany, match=r"from example.org, of which 1 are answered a second"):
        limiter.check_domain(parse("romeo@example.org/x"), 0.5)


# Pushes to a device.


class Limited(Registered):
    """A phone that may be pushed twice at once, and then once in 20 seconds."""

    def __init__(self, urgent: Rate = UNLIMITED, **given: Any) -> None:
        super().__init__(rules=Rules(pushes=Rate(20.0, 2), urgent_pushes=urgent), **given)

    def sent(self, more: str = "", **summary: str) -> None:
        """Publish, and let the provider take what it is given."""
        assert self.push(more, **summary) == ""
        self.answer()

    def answer(self) -> None:
        for call in self.calls:
            if not call.result.called:
                call.look()
                call.answer(Accepted())

    def outcomes(self) -> list[str]:
        return [event.outcome for event in self.hall.events(PublishReceived)]


def test_what_comes_too_fast_for_a_device_goes_as_one_and_is_accepted_all_the_same() -> None:
    stage = Limited()
    for count in range(1, 6):
        stage.sent(message_count=str(count))

    assert len(stage.calls) == 2
    assert stage.outcomes() == ["accepted", "accepted", "limited", "limited", "limited"]
    assert stage.waiting() == [(stage.node,)]

    stage.hall.advance(19)
    assert len(stage.calls) == 2
    stage.hall.advance(1)
    [_, _, third] = stage.calls
    assert third.look()[0].message_count == 5
    third.answer(Accepted())
    assert stage.waiting() == []


def test_a_call_does_not_wait_with_the_others() -> None:
    stage = Limited(Rate(2.0))
    for count in range(1, 5):
        stage.sent(message_count=str(count))
    assert len(stage.calls) == 2

    stage.sent(HIGH, message_count="5")
    assert len(stage.calls) == 3
    assert stage.calls[2].latest() is None  # all that waited went with it

    stage.sent(HIGH, message_count="6")
    assert len(stage.calls) == 3
    stage.hall.advance(2)
    assert stage.calls[3].look()[0].urgent


def test_urgent_ones_take_nothing_from_the_others() -> None:
    stage = Limited()
    for _ in range(5):
        stage.sent(HIGH)
    stage.sent(message_count="1")
    stage.sent(message_count="2")

    assert len(stage.calls) == 7


def test_what_waits_for_its_time_survives_a_kill(tmp_path: Path) -> None:
    stage = Limited(path=tmp_path / "db")
    for count in range(1, 6):
        stage.sent(message_count=str(count))

    again = Stage(path=killed(tmp_path / "db"))

    assert [call.look()[0].message_count for call in again.calls] == [5]


def test_a_device_that_is_unregistered_is_waited_for_no_more() -> None:
    stage = Limited()
    for count in range(1, 6):
        stage.sent(message_count=str(count))
    stage.server.unregister(stage.registration(stage.node), "unregistered")

    stage.hall.advance(100)
    assert len(stage.calls) == 2


# What domains and accounts may ask.


def ask(stage: Stage, sender: str, payload: str, to: str = PUBSUB) -> Element:
    """A request from elsewhere, and its answer."""
    router = stage.hall.host.router
    answers: list[Element] = []
    domain = parse(sender).domain
    router.add_host(domain, lambda stanza: answers.append(stanza.tree))
    stage.hall.route(f"<iq type='set' id='p' from='{sender}' to='{to}'>{payload}</iq>")
    router.remove_host(domain)
    return answers[-1]


def test_a_domain_that_publishes_too_much_is_to_wait() -> None:
    stage = Stage(rules=Rules(domain_requests=Rate(1.0, 2)))
    payload = publishing("nowhere", "x")

    answers = [ask(stage, "example.org", payload) for _ in range(3)]
    assert [outcome(answer) for answer in answers] == [
        "item-not-found",
        "item-not-found",
        "service-unavailable",  # for which no server gives a node up
    ]
    assert answers[-1].error["type"] == "wait"
    assert "example.org" in said(answers[-1])
    assert outcome(ask(stage, "example.com", payload)) == "item-not-found"
    assert [event.outcome for event in stage.hall.events(PublishReceived)][2] == "limited"

    stage.hall.advance(1)
    assert outcome(ask(stage, "example.org", payload)) == "item-not-found"


def test_the_log_names_a_domain_that_asks_too_much_once_a_minute() -> None:
    limiter = Limiter(Rules(domain_requests=Rate(1000.0)), frozenset())
    with capturedLogs() as events:
        for second in range(0, 120, 10):
            for domain in ("example.org", "example.com"):
                with suppress(TooMany):
                    limiter.check_domain(parse(domain), float(second))

    named = [event["domain"] for event in events]
    assert sorted(named) == ["example.com"] * 2 + ["example.org"] * 2


def test_a_flood_of_domains_fills_no_memory_of_the_log() -> None:
    limiter = Limiter(Rules(domain_requests=Rate(1000.0)), frozenset())
    for number in range(3_000):
        with suppress(TooMany):
            limiter.check_domain(parse(f"d{number}.example"), 0.0)
            limiter.check_domain(parse(f"d{number}.example"), 0.0)

    assert len(limiter._told) <= MOST_TOLD


def test_an_account_that_commands_too_much_is_to_wait() -> None:
    stage = Stage(rules=Rules(account_requests=Rate(1.0, 2)))
    phone = stage.client()
    register(phone)
    execute(phone, "list-push-registrations")

    answer = execute(phone, "unregister-push")
    assert outcome(answer) == "policy-violation"
    assert answer.error["type"] == "wait"
    assert "juliet@example.net" in said(answer)
    assert len(stage.nodes()) == 1

    stage.hall.advance(1)
    assert outcome(execute(phone, "unregister-push")) == ""


def test_commands_from_elsewhere_count_for_their_domain_too() -> None:
    stage = Stage(rules=Rules(domain_requests=Rate(1.0, 2)))
    command = (
        "<command xmlns='http://jabber.org/protocol/commands' node='list-push-registrations'/>"
    )

    answers = [ask(stage, f"u{n}@example.org/x", command, REGISTER) for n in range(3)]

    assert [outcome(answer) for answer in answers] == ["", "", "policy-violation"]


def test_what_waits_for_its_time_goes_when_the_limit_goes() -> None:
    stage = Limited()
    for count in range(1, 4):
        stage.sent(message_count=str(count))
    assert len(stage.calls) == 2

    stage.server.rule(Rules(pushes=Rate(5.0, 2)))
    assert len(stage.calls) == 3


def registering(device: str) -> str:
    form = forms.submit(None, {"token": f"tok{device}", "device-id": device})
    command = element(NS_COMMANDS, "command", form, node="register-push-post")
    return serialize(command).decode()


def test_the_accounts_of_another_domain_have_so_many_devices_together() -> None:
    stage = Stage(rules=Rules(registrations_per_domain=2))
    for number in range(2):
        assert outcome(ask(stage, f"u{number}@example.org/x", registering("a"), REGISTER)) == ""

    refused = ask(stage, "u2@example.org/x", registering("a"), REGISTER)
    assert (outcome(refused), refused.error["type"]) == ("policy-violation", "wait")
    assert said(refused) == "example.org has as many registrations as it may: 2"
    assert outcome(ask(stage, "u1@example.org/x", registering("a"), REGISTER)) == ""  # as it was
    assert outcome(ask(stage, "u1@example.com/x", registering("a"), REGISTER)) == ""
    for device in "abc":
        register(stage.client(), device_id=device)

    [node] = stage.nodes("u0@example.org")
    stage.server.unregister(stage.registration(node), "unregistered")
    assert outcome(ask(stage, "u2@example.org/x", registering("a"), REGISTER)) == ""
    assert stage.server.registrations.count_of("example.org") == 2


def test_other_rules_hold_from_then_on() -> None:
    stage = Limited()
    for count in range(1, 4):
        stage.sent(message_count=str(count))
    assert len(stage.calls) == 2

    stage.server.rule(Rules(pushes=UNLIMITED))
    stage.sent(message_count="4")

    assert len(stage.calls) == 3
