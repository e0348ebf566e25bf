"""Waiting for pushes and for none, with marks."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from pushd.admin.harness import LONGEST, MOST_STEPS, STAGES, Journal, PushWaits
from pushd.admin.operations import Operations, Refused
from pushd.admin.users import address
from pushd.routing.events import (
    Events,
    NotificationPublished,
    PublishAnswered,
    PublishReceived,
    PushDecided,
    PushSettled,
)
from pushd.routing.pushing import Device, Registered, digest
from tests.support import result_of

NOW = 1_795_000_000.0
JULIET, ROMEO = "juliet@example.net", "romeo@example.net"
OURS, THEIRS = "push.example.net", "push.example.org"


class Whose:
    """Knows every account."""

    def any(self, text: str) -> str:
        return address(text).bare


class Known:
    """One device, registered or not."""

    registered = True

    def devices(self, account: str) -> list[Device]:
        one = Registered(
            JULIET, OURS, "node-1", "device-1", "Juliet's phone", "fcm", "any", "fcm", 0, 0, None
        )
        return [Device(None, one)] if self.registered and account == JULIET else []


class House:
    """A journal and what waits on it; what happens is said by `tell`."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.events = Events()
        self.known = Known()
        self.journal = Journal(self.clock, self.events)
        whose: Any = Whose()
        known: Any = self.known
        waits = PushWaits(self.clock, self.journal, whose, known, {"example.net"}, {OURS})
        self.operations = Operations(waits)

    def start(self, operation: str, **arguments: str) -> "Deferred[dict[str, Any]]":
        return Deferred.fromCoroutine(self.operations.call(operation, arguments))

    def wait(self, **arguments: str) -> "Deferred[dict[str, Any]]":
        return self.start("wait-push", **{"account": JULIET} | arguments)

    def refute(self, **arguments: str) -> "Deferred[dict[str, Any]]":
        return self.start("assert-no-push", **{"account": JULIET} | arguments)

    def mark(self) -> str:
        return str(result_of(self.start("push-mark"))["mark"])

    def tell(self, *events: object) -> None:
        for event in events:
            self.events.emit(event)


def decided(account: str = JULIET, *, pushed: bool = True, node: str = "node-1") -> PushDecided:
    return PushDecided(account, OURS, node, pushed, "detached" if pushed else "chat state")


def published(service: str = OURS, account: str = JULIET) -> NotificationPublished:
    return NotificationPublished(account, service, "node-1", "id", 2, 0)


def answered(service: str = OURS, outcome: str = "accepted") -> PublishAnswered:
    return PublishAnswered(JULIET, service, "node-1", "id", outcome, "", 0.25)


def settled(outcome: str = "accepted", node: str = "node-1", account: str = JULIET) -> PushSettled:
    return PushSettled(account, OURS, node, "fcm", outcome, "", 0.5)


def received(account: str = JULIET, outcome: str = "accepted") -> PublishReceived:
    return PublishReceived(account, OURS, "node-1", "example.org", outcome, "")


WHOLE = (decided(), published(), received(), answered(), settled())


@pytest.fixture
def house() -> House:
    return House()


# --- Waiting for a push --------------------------------------------------------------------


def test_a_wait_ends_when_the_provider_has_taken_the_push(house: House) -> None:
    waiting = house.wait()
    for event in WHOLE[:-1]:
        house.tell(event)
        assert not waiting.called
    house.clock.advance(1.5)
    house.tell(WHOLE[-1])

    told = result_of(waiting)

    assert (told["arrived"], told["stage"], told["waited"]) == (True, "accepted", 1.5)
    (push,) = told["pushes"]
    assert push == {
        "mark": told["mark"],
        "at": NOW + 1.5,
        "service": OURS,
        "node": digest("node-1"),
        "device": "Juliet's phone",
        "what": "provider accepted",
        "why": "",
        "backend": "fcm",
        "seconds": 0.5,
    }
    assert [step["what"] for step in told["steps"]] == [
        "push",
        "published",
        "publish accepted here",
        "publish accepted",
        "provider accepted",
    ]
    assert not house.clock.getDelayedCalls()


def test_a_push_that_came_just_before_is_not_counted_without_a_mark(house: House) -> None:
    house.tell(*WHOLE)
    waiting = house.wait(timeout="2")
    house.clock.advance(2)

    told = result_of(waiting)
    assert (told["arrived"], told["stage"], told["pushes"]) == (False, "", [])


def test_a_push_that_came_just_before_is_counted_since_a_mark(house: House) -> None:
    before = house.mark()
    house.tell(*WHOLE)

    told = result_of(house.wait(since=before, timeout="0"))

    assert told["arrived"]
    # The mark of the answer goes on from there: the same push is not counted twice.
    again = result_of(house.wait(since=str(told["mark"]), timeout="0"))
    assert not again["arrived"]
    house.tell(settled())
    assert result_of(house.wait(since=str(told["mark"]), timeout="0"))["arrived"]


def test_a_wait_may_begin_some_seconds_ago(house: House) -> None:
    house.tell(*WHOLE)
    house.clock.advance(5)
    assert not result_of(house.wait(since="4.5s", timeout="0"))["arrived"]
    assert result_of(house.wait(since="5.5s", timeout="0"))["arrived"]
    assert result_of(house.wait(since="0", timeout="0"))["arrived"]


def test_marks_grow_though_the_clock_stands_still_and_over_a_restart(house: House) -> None:
    first = int(house.mark())
    house.tell(*WHOLE)
    assert int(house.mark()) > first + len(WHOLE)
    later = House()
    later.clock.advance(1)
    assert int(later.mark()) > int(house.mark())


def test_so_many_pushes_can_be_waited_for(house: House) -> None:
    waiting = house.wait(count="3")
    house.tell(settled(), settled("refused"), settled())
    assert not waiting.called
    house.tell(settled())
    told = result_of(waiting)
    assert [push["what"] for push in told["pushes"]] == ["provider accepted"] * 3
    assert told["mark"] == told["pushes"][-1]["mark"]


def test_one_push_too_many_waits_for_who_asks_next(house: House) -> None:
    mark = house.mark()
    house.tell(settled(), settled())
    told = result_of(house.wait(since=mark))
    assert result_of(house.wait(since=str(told["mark"]), timeout="0"))["arrived"]


def test_another_s_push_ends_no_wait(house: House) -> None:
    waiting = house.wait(timeout="3")
    house.tell(settled(account=ROMEO))
    assert not waiting.called
    house.clock.advance(3)
    assert result_of(waiting)["steps"] == []


@pytest.mark.parametrize(
    "name", ["node-1", digest("node-1"), "device-1", "Juliet's phone"], ids=repr
)
def test_a_wait_may_be_for_one_device(house: House, name: str) -> None:
    waiting = house.wait(device=name)
    house.tell(settled(node="node-2"))
    assert not waiting.called
    house.tell(settled())
    assert result_of(waiting)["arrived"]


def test_a_wait_may_be_for_a_device_that_has_yet_to_register(house: House) -> None:
    house.known.registered = False
    waiting = house.wait(device="Juliet's phone")
    house.tell(settled())
    assert not waiting.called
    house.known.registered = True
    house.tell(settled())
    assert result_of(waiting)["arrived"]


@pytest.mark.parametrize(
    ("stage", "events"),
    [
        ("decided", 1),
        ("published", 2),
        ("answered", 4),
        ("accepted", 5),
        ("settled", 5),
    ],
)
def test_a_wait_may_be_for_less(house: House, stage: str, events: int) -> None:
    waiting = house.wait(stage=stage)
    house.tell(*WHOLE[: events - 1])
    assert not waiting.called
    house.tell(WHOLE[events - 1])
    assert result_of(waiting)["stage"] == stage


@pytest.mark.parametrize("outcome", ["unregistered", "refused", "expired"])
def test_a_push_that_fails_is_settled_and_not_accepted(house: House, outcome: str) -> None:
    accepted, anyhow = house.wait(timeout="1"), house.wait(stage="settled")
    house.tell(decided(), published(), answered(), settled(outcome))
    assert result_of(anyhow)["pushes"][0]["what"] == f"provider {outcome}"
    house.clock.advance(1)
    told = result_of(accepted)
    assert (told["arrived"], told["stage"]) == (False, "answered")
    assert told["steps"][-1]["what"] == f"provider {outcome}"


def test_of_another_s_service_its_answer_is_all_there_is(house: House) -> None:
    waiting = house.wait()
    house.tell(published(THEIRS))
    assert not waiting.called
    house.tell(answered(THEIRS))
    assert result_of(waiting)["pushes"][0]["what"] == "publish accepted"


@pytest.mark.parametrize("outcome", ["refused", "silence"])
def test_of_another_s_service_a_refusal_settles(house: House, outcome: str) -> None:
    waiting = house.wait(stage="settled")
    house.tell(answered(THEIRS, outcome))
    assert result_of(waiting)["arrived"]
    assert not result_of(house.wait(since="0", timeout="0"))["arrived"]


def test_an_account_of_another_server_is_waited_for_by_what_comes_here(house: House) -> None:
    waiting = house.wait(account="nurse@example.org", stage="published")
    house.tell(received("nurse@example.org", "limited"))
    assert not waiting.called
    house.tell(received("nurse@example.org"))
    assert result_of(waiting)["arrived"]


def test_a_wait_that_nobody_hears_is_over(house: House) -> None:
    waiting = house.wait()
    waiting.cancel()
    with pytest.raises(CancelledError):
        result_of(waiting)
    house.tell(*WHOLE)
    assert not house.clock.getDelayedCalls()


@pytest.mark.parametrize("begin", [House.wait, House.refute])
def test_a_server_that_stops_ends_all_waits(house: House, begin: Callable[..., Any]) -> None:
    waiting = begin(house)
    house.journal.close()
    with pytest.raises(Refused, match="the server is stopping"):
        result_of(waiting)
    with pytest.raises(Refused, match="the server is stopping"):
        result_of(begin(house))
    assert not house.clock.getDelayedCalls()


def test_what_is_remembered_is_bounded(house: House) -> None:
    for _ in range(MOST_STEPS + 10):
        house.tell(decided())
    told = result_of(house.wait(since="0", timeout="0", stage="decided", count="1000"))
    assert told["arrived"]
    assert len(told["steps"]) == 200


@pytest.mark.parametrize("waits", [True, False])
def test_who_asks_of_what_is_forgotten_is_not_told_that_nothing_came(
    house: House, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pushd.admin.harness.MOST_STEPS", 300)
    house.tell(decided())
    mark = str(house.journal.mark())
    house.tell(*[decided() for _ in range(299)])
    ask = partial(house.wait, timeout="0") if waits else partial(house.refute, seconds="0")
    told = result_of(ask(since=mark))  # the first of all was before it
    assert len(told["steps"]) == 200

    house.tell(decided(), decided())

    with pytest.raises(Refused, match="since: some of what came since then is forgotten"):
        result_of(ask(since=mark))
    result_of(ask(since="0"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"timeout": "soon"}, "timeout: seconds from 0 to 3600"),
        ({"timeout": str(LONGEST + 1)}, "timeout: seconds from 0"),
        ({"timeout": "nan"}, "timeout: seconds from 0"),
        ({"timeout": "-1"}, "timeout: seconds from 0"),
        ({"count": "0"}, "count: a whole number from 1 to 1000"),
        ({"count": "1001"}, "count: a whole number"),
        ({"count": "²"}, "count: a whole number"),
        ({"stage": "sent"}, f"stage: one of {', '.join(STAGES)}"),
        ({"since": "yesterday"}, "since: a mark, or a time before now"),
        ({"since": "-5s"}, "since: seconds from 0"),
        ({"since": "9" * 19}, "since: this mark is still to come"),
        ({"account": "@@"}, "@@"),
    ],
)
def test_bad_arguments_are_named(house: House, arguments: dict[str, str], words: str) -> None:
    with pytest.raises(Refused, match=words.replace("(", ".")):
        result_of(house.wait(**arguments))
    assert not house.clock.getDelayedCalls()


# --- Watching that none comes --------------------------------------------------------------


def test_no_push_is_told_with_what_was_decided(house: House) -> None:
    waiting = house.refute(seconds="5")
    house.tell(decided(pushed=False), decided(ROMEO), settled())
    house.clock.advance(4.9)
    assert not waiting.called
    house.clock.advance(0.1)
    told = result_of(waiting)
    assert (told["came"], told["pushes"]) == (False, [])
    first = told["steps"][0]
    assert (first["what"], first["why"]) == ("no push", "chat state")


@pytest.mark.parametrize(
    ("event", "account"),
    [
        (decided(), JULIET),
        (published(THEIRS), JULIET),
        (received("nurse@example.org"), "nurse@example.org"),
    ],
)
def test_a_push_ends_it_at_once(house: House, event: Any, account: str) -> None:
    waiting = house.refute(account=account)
    house.clock.advance(1)
    house.tell(event)
    told = result_of(waiting)
    assert (told["came"], told["waited"]) == (True, 1)
    assert not house.clock.getDelayedCalls()


def test_the_end_of_a_push_before_is_no_push(house: House) -> None:
    house.tell(decided(), published())
    waiting = house.refute(seconds="1")
    house.tell(received(), answered(), settled())
    house.clock.advance(1)
    assert not result_of(waiting)["came"]


def test_a_push_that_came_just_before_counts_since_a_mark(house: House) -> None:
    mark = house.mark()
    house.tell(*WHOLE)
    assert result_of(house.refute(seconds="5", since=mark))["came"]
    assert not result_of(house.refute(seconds="0"))["came"]


def test_one_device_may_be_watched(house: House) -> None:
    waiting = house.refute(seconds="1", device="Juliet's phone")
    house.tell(decided(node="node-2"))
    house.clock.advance(1)
    assert not result_of(waiting)["came"]
