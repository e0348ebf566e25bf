from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import fail
from twisted.logger import LogEvent, capturedLogs

from pushd.appserver import lines
from pushd.appserver.outbox import SWEEP
from pushd.appserver.pushes import LIFETIME, RINGS
from pushd.providers.attempts import Expired, Result, Withdrawn
from pushd.providers.contract import Accepted, Refused, Unregistered
from pushd.routing.events import DeviceUnregistered, PushSettled
from pushd.storage.errors import StorageError
from tests.unit.appserver.stage import (
    JULIET,
    Stage,
    app,
    notification,
    register,
)

HIGH = (
    "<priority xmlns='tigase:push:priority:0'>high</priority>"
    "<jingle xmlns='tigase:push:jingle:0' action='propose'/>"
)


class Registered(Stage):
    """A registered phone."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.phone = self.client()
        self.node, self.secret = register(self.phone)

    def push(self, more: str = "", **summary: str) -> str:
        fields = {name.replace("_", "-"): value for name, value in summary.items()}
        items = f"<item>{notification(fields, more)}</item>"
        return self.publish(self.node, self.secret, items=items)

    def waiting(self) -> list[tuple[Any, ...]]:
        return self.hall.rows("SELECT node FROM outbox")


def killed(path: Path) -> Path:
    """What a server that is killed now leaves behind."""
    copy = path.with_name(f"{path.name}-after")
    for suffix in ("", "-wal"):
        found = Path(f"{path}{suffix}")
        if found.exists():
            Path(f"{copy}{suffix}").write_bytes(found.read_bytes())
    return copy


def test_a_push_goes_to_its_provider_with_what_was_published() -> None:
    stage = Registered()

    stage.push(
        more=HIGH,
        message_count="2",
        pending_subscription_count="1",
        last_message_sender="romeo@example.org/o",
        last_message_body="hi",
        last_subscription_sender="paris@example.org",
    )

    [call] = stage.calls
    note, device = call.look()
    assert call.backend == "post"
    assert note.node == stage.node
    assert note.summary() == {
        "message-count": 2,
        "pending-subscription-count": 1,
        "last-message-sender": "romeo@example.org/o",
        "last-message-body": "hi",
        "last-subscription-sender": "paris@example.org",
    }
    assert note.urgent
    assert note.expires_at == stage.hall.clock.seconds() + LIFETIME
    assert device.token.reveal() == "tok"
    assert device.app == "any"
    assert device.renewed_at == stage.registration(stage.node).renewed_at


@pytest.mark.parametrize("result", [Accepted(), Refused("no"), Expired("late")])
@pytest.mark.line(143)
def test_what_came_to_an_end_waits_no_more(result: Result) -> None:
    """Whatever is wrong but the token, the registration stays."""
    stage = Registered()
    stage.push(message_count="1")
    assert stage.waiting() == [(stage.node,)]

    stage.calls[0].look()
    stage.calls[0].answer(result)

    assert stage.waiting() == []
    assert stage.nodes() == [stage.node]
    assert stage.server.outbox._under_way == {}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (Accepted(), ("accepted", "")),
        (Refused("no"), ("refused", "no")),
        (Expired("late"), ("expired", "late")),
        (
            Unregistered(reason="UNREGISTERED"),
            ("unregistered", "the provider no longer knows the token: UNREGISTERED"),
        ),
    ],
)
def test_what_became_of_a_push_is_told(result: Result, expected: tuple[str, str]) -> None:
    stage = Registered()
    stage.push()
    stage.hall.advance(5)
    stage.calls[0].look()
    assert stage.hall.events(PushSettled) == []

    stage.calls[0].answer(result)

    assert stage.hall.events(PushSettled) == [
        PushSettled(JULIET, "push.example.net", stage.node, "post", *expected, 5.0)
    ]


def test_a_push_takes_no_less_than_no_time_whatever_the_clock_does() -> None:
    stage = Registered()
    stage.push()
    stage.hall.clock.rightNow -= 60
    stage.calls[0].look()
    stage.calls[0].answer(Accepted())

    assert [event.seconds for event in stage.hall.events(PushSettled)] == [0.0]


def test_a_push_that_was_taken_is_noted() -> None:
    stage = Registered()
    stage.push()
    stage.hall.advance(5)

    stage.calls[0].look()
    stage.calls[0].answer(Accepted())

    assert stage.registration(stage.node).last_push_at == stage.hall.clock.seconds()


def test_the_answer_to_a_publish_waits_for_no_provider() -> None:
    stage = Registered()

    assert stage.push(message_count="1") == ""
    assert stage.push(message_count="2") == ""
    assert len(stage.calls) == 1


@pytest.mark.line(139)
def test_the_newest_push_of_a_node_is_sent() -> None:
    stage = Registered()
    for count in ("1", "2", "3"):
        stage.push(message_count=count)

    [call] = stage.calls
    assert call.look()[0].message_count == 3
    assert len(stage.waiting()) == 1


@pytest.mark.line(139)
def test_devices_of_one_account_do_not_overwrite_each_other() -> None:
    stage = Registered()
    tablet, secret = register(stage.phone, device_id="tablet", token="other")
    stage.push(message_count="1")
    stage.publish(tablet, secret)

    assert [call.look()[1].token.reveal() for call in stage.calls] == ["tok", "other"]


def test_what_comes_after_the_last_look_is_sent_next() -> None:
    stage = Registered()
    stage.push(message_count="1")
    stage.calls[0].look()
    stage.push(message_count="2")

    stage.calls[0].answer(Accepted())

    assert stage.waiting() == [(stage.node,)]
    [_, second] = stage.calls
    assert second.look()[0].message_count == 2
    second.answer(Accepted())
    assert stage.waiting() == []


BOTH = {
    "message_count": "1",
    "last_message_sender": "romeo@example.org",
    "last_message_body": "hi",
    "pending_subscription_count": "1",
    "last_subscription_sender": "paris@example.org",
}


@pytest.mark.parametrize(
    ("newer", "expected"),
    [
        pytest.param({}, {}, id="a bare wake-up changes nothing"),
        pytest.param(
            {"message_count": "2", "last_message_sender": "tybalt@example.org"},
            {
                "message-count": 2,
                "last-message-sender": "tybalt@example.org",
                "last-message-body": None,
            },
            id="sender and body are of one message",
        ),
        pytest.param(
            {"message_count": "2"},
            {"message-count": 2, "last-message-sender": None, "last-message-body": None},
            id="nothing is told of the last message",
        ),
        pytest.param(
            {"pending_subscription_count": "2", "last_subscription_sender": "tybalt@example.org"},
            {"pending-subscription-count": 2, "last-subscription-sender": "tybalt@example.org"},
            id="a request leaves the message alone",
        ),
    ],
)
def test_a_newer_push_is_merged_with_the_one_that_waits(
    newer: Mapping[str, str], expected: Mapping[str, Any]
) -> None:
    stage = Registered()
    stage.push(**BOTH)
    first = stage.calls[0].look()[0].summary()

    stage.push(**newer)

    merged = {name: value for name, value in {**first, **expected}.items() if value is not None}
    assert stage.calls[0].look()[0].summary() == merged


def test_urgency_is_kept_until_it_is_sent() -> None:
    stage = Registered()
    stage.push(more=HIGH)
    stage.push(message_count="2")
    assert stage.calls[0].look()[0].urgent
    stage.calls[0].answer(Accepted())

    stage.push(message_count="3")
    assert not stage.calls[1].look()[0].urgent


def test_what_is_stale_is_not_merged() -> None:
    stage = Registered()
    stage.push(more=HIGH, message_count="1", last_message_body="hi")
    stage.hall.advance(LIFETIME)

    stage.push()

    note = stage.calls[0].look()[0]
    assert note.summary() == {}
    assert not note.urgent


# Restarts.


@pytest.mark.line(144)
def test_what_was_answered_survives_a_kill_and_is_sent_again(tmp_path: Path) -> None:
    stage = Registered(path=tmp_path / "db")
    stage.push(more=HIGH, **BOTH)
    before = stage.calls[0].look()[0]

    again = Stage(path=killed(tmp_path / "db"))

    [call] = again.calls
    assert call.look()[0] == before
    call.answer(Accepted())
    assert again.hall.rows("SELECT * FROM outbox") == []


def test_what_is_stale_after_a_restart_is_forgotten(tmp_path: Path) -> None:
    stage = Registered(path=tmp_path / "db")
    stage.push(message_count="1")
    stage.hall.host.database.write("UPDATE outbox SET expires_at = 1.0")
    stage.hall.advance(0)

    again = Stage(path=killed(tmp_path / "db"))

    assert again.calls == []
    assert again.hall.rows("SELECT * FROM outbox") == []


def test_a_push_waits_for_an_app_that_is_served_no_more(tmp_path: Path) -> None:
    stage = Registered(path=tmp_path / "db")
    stage.push(message_count="1")

    without = Stage((app("other"),), path=killed(tmp_path / "db"))
    assert without.calls == []

    again = Stage(path=killed(tmp_path / "db-after"))
    assert [call.look()[0].message_count for call in again.calls] == [1]


def test_a_push_without_a_registration_is_forgotten(tmp_path: Path) -> None:
    stage = Registered(path=tmp_path / "db")
    stage.push(message_count="1")
    stage.hall.host.database.write("DELETE FROM registrations")
    stage.hall.advance(0)

    again = Stage(path=killed(tmp_path / "db"))

    assert again.calls == []
    assert again.hall.rows("SELECT * FROM outbox") == []


@pytest.fixture
def logged() -> Iterator[Sequence[LogEvent]]:
    with capturedLogs() as events:
        yield events


def test_stopping_sends_nothing_more_and_keeps_what_waits(logged: Sequence[LogEvent]) -> None:
    stage = Registered()
    stage.push(message_count="1")
    [call] = stage.calls

    stage.server.stop()

    assert call.result.called
    assert not any("log_failure" in event for event in logged)
    assert stage.server.outbox._under_way == {}
    assert stage.waiting() == [(stage.node,)]


def test_a_push_that_cannot_be_stored_is_refused_and_sent_all_the_same() -> None:
    stage = Registered()
    database = stage.hall.host.database
    committed = database.committed
    database.committed = lambda *, hurry=False: fail(StorageError("disk full"))  # type: ignore

    assert stage.push(message_count="1") == "service-unavailable"

    database.committed = committed  # type: ignore[method-assign]
    assert len(stage.calls) == 1


def test_a_push_that_breaks_is_tried_with_the_next_one(logged: Sequence[LogEvent]) -> None:
    stage = Registered()
    stage.push(message_count="1")

    stage.calls[0].result.errback(RuntimeError("broken"))
    assert any("log_failure" in event for event in logged)
    assert stage.server.outbox._under_way == {}
    assert stage.waiting() == [(stage.node,)]

    stage.push(message_count="2")
    assert stage.calls[1].look()[0].message_count == 2


# What waits.


def devices(stage: Registered, count: int) -> list[tuple[str, str]]:
    """So many more devices: nodes and secrets."""
    return [
        register(stage.phone, device_id=f"d{number}", token=f"tok{number}")
        for number in range(count)
    ]


def test_what_waits_beyond_what_is_under_way_costs_no_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lines, "WIDTH", 3)
    stage = Registered()
    for node, secret in devices(stage, 8):
        assert stage.publish(node, secret) == ""
    assert len(stage.calls) == 3

    stage.calls[0].answer(Accepted())
    assert [call.look()[1].token.reveal() for call in stage.calls[1:]] == ["tok1", "tok2", "tok3"]


def test_after_a_restart_what_is_urgent_goes_first_and_then_the_oldest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Registered(path=tmp_path / "db")
    for number, (node, secret) in reversed(list(enumerate(devices(stage, 6)))):
        more = HIGH if number in (1, 4) else ""
        stage.publish(node, secret, items=f"<item>{notification({}, more)}</item>")
        stage.hall.advance(1)
    monkeypatch.setattr(lines, "WIDTH", 4)

    again = Stage(path=killed(tmp_path / "db"))
    order = []
    for place in range(6):
        order.append(again.calls[place].look()[1].token.reveal())
        again.calls[place].answer(Accepted())

    assert order == ["tok4", "tok1", "tok5", "tok3", "tok2", "tok0"]


def test_what_becomes_urgent_does_not_wait_for_its_turn_among_the_others() -> None:
    stage = Registered()
    stage.push(message_count="1")
    stage.calls[0].look()  # and the dispatcher waits for a turn

    stage.push(HIGH, message_count="2")

    [first, second] = stage.calls
    assert first.result.called
    note, _ = second.look()
    assert (note.message_count, note.urgent) == (2, True)
    second.answer(Accepted())
    assert stage.waiting() == []


def test_what_was_sent_already_is_not_sent_again_because_of_something_urgent() -> None:
    stage = Registered()
    stage.push(message_count="1")
    stage.calls[0].look()
    stage.calls[0].look()  # and the request leaves

    stage.push(HIGH, message_count="2")
    assert len(stage.calls) == 1
    assert stage.fake.hurried == ["post"]  # if it failed and pauses, that is cut short

    stage.calls[0].answer(Accepted())
    assert stage.calls[1].look()[0].urgent


def test_a_provider_that_cannot_place_a_device_hinders_nobody(
    logged: Sequence[LogEvent],
) -> None:
    stage = Registered()

    def broken(backend: str, device: object) -> str:
        raise RuntimeError("broken")

    stage.fake.lane = broken  # type: ignore[method-assign]
    assert stage.push(message_count="1") == ""

    assert len(stage.calls) == 1
    assert any("log_failure" in event for event in logged)


def test_a_slow_lane_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "WIDTH", 2)
    stage = Registered()
    for node, secret in devices(stage, 4):
        stage.publish(node, secret)
    dove, secret = register(
        stage.phone, "pigeon", token="dove", application_id="a", device_id="dovecote"
    )

    stage.publish(dove, secret)

    assert [call.backend for call in stage.calls] == ["post", "post", "pigeon"]


def test_a_call_rings_for_a_while_and_is_news_like_any_other_after_that() -> None:
    stage = Registered()
    stage.push(HIGH, message_count="1")
    stage.hall.advance(RINGS - 1)
    stage.push(message_count="2")
    [call] = stage.calls
    assert call.look()[0].urgent

    stage.hall.advance(2)
    note, _ = call.look()
    assert note.message_count == 2
    assert not note.urgent


def test_what_never_has_its_turn_goes_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "WIDTH", 1)
    stage = Registered()
    stage.push(message_count="1")
    other, secret = register(stage.phone, device_id="other", token="other")
    stage.publish(other, secret)

    stage.hall.advance(LIFETIME)

    assert stage.waiting() == [(stage.node,)]  # which the dispatcher has
    [event] = stage.hall.events(PushSettled)
    assert (event.node, event.outcome) == (other, "expired")
    assert stage.nodes() == [stage.node, other]


def test_a_backend_that_is_served_no_more_keeps_its_pushes_until_they_are_stale(
    tmp_path: Path,
) -> None:
    stage = Registered(path=tmp_path / "db")
    stage.push(message_count="1")

    without = Stage((app("other"),), path=killed(tmp_path / "db"))
    without.hall.advance(LIFETIME - 1)
    assert without.hall.rows("SELECT node FROM outbox") == [(stage.node,)]
    without.hall.advance(SWEEP)

    assert without.calls == []
    assert without.hall.rows("SELECT node FROM outbox") == []
    assert without.nodes() == [stage.node]


# Dead tokens.


@pytest.mark.line(140)
def test_a_dead_token_unregisters_the_device() -> None:
    stage = Registered()
    stage.push(message_count="1")
    stage.phone.received()

    stage.calls[0].look()
    stage.calls[0].answer(Unregistered())
    stage.hall.advance(0)

    assert stage.nodes() == []
    assert stage.waiting() == []
    [event] = stage.hall.events(DeviceUnregistered)
    assert (event.account, event.node) == (JULIET, stage.node)
    assert (event.reason, event.by) == ("the provider no longer knows the token", "provider")
    [notice] = stage.phone.received()
    assert notice["from"] == "push.example.net"
    assert notice.pubsub["node"] == stage.node
    assert notice.pubsub.affiliation["affiliation"] == "none"
    assert stage.publish(stage.node, stage.secret) == "item-not-found"


@pytest.mark.parametrize("token", ["new", "tok"], ids=["another token", "the same token"])
@pytest.mark.line(141)
def test_a_late_answer_about_an_old_token_removes_nothing(token: str) -> None:
    stage = Registered()
    stage.push(message_count="1")
    stage.calls[0].look()
    stage.hall.advance(1)
    register(stage.phone, token=token)

    stage.calls[0].answer(Unregistered())

    assert stage.nodes() == [stage.node]
    assert stage.hall.events(DeviceUnregistered) == []
    assert stage.calls[1].look()[1].token.reveal() == token


@pytest.mark.line(141)
@pytest.mark.parametrize("result", [Accepted(), Unregistered(), Refused("no")])
def test_what_is_said_of_a_device_that_was_unregistered_meanwhile_is_no_news(
    result: Result,
) -> None:
    stage = Registered()
    stage.push(message_count="1")
    stage.calls[0].look()
    stage.server.unregister(stage.registration(stage.node), "unregistered")

    stage.calls[0].answer(result)

    assert [event.reason for event in stage.hall.events(PushSettled)] == ["unregistered"]
    assert len(stage.hall.events(DeviceUnregistered)) == 1


def test_two_registrations_within_an_instant_are_told_apart() -> None:
    stage = Registered()
    stage.push(message_count="1")
    stage.calls[0].look()
    register(stage.phone, token="new")

    stage.calls[0].answer(Unregistered())

    assert stage.nodes() == [stage.node]


def test_it_is_the_token_of_the_last_attempt_that_is_dead() -> None:
    stage = Registered()
    stage.push(message_count="1")
    stage.calls[0].look()
    register(stage.phone, token="new")
    stage.calls[0].look()

    stage.calls[0].answer(Unregistered())

    assert stage.nodes() == []


# Registrations that change while a push waits.


def test_a_device_that_moves_to_another_provider_is_pushed_there() -> None:
    stage = Registered()
    stage.push(message_count="1")
    register(stage.phone, "pigeon", token="dove", application_id="a")

    [call] = stage.calls
    assert call.device() is None
    call.answer(Withdrawn())

    [_, second] = stage.calls
    assert second.backend == "pigeon"
    note, device = second.look()
    assert note.message_count == 1
    assert (device.token.reveal(), device.fields) == ("dove", {"application-id": "a"})


def test_what_waits_for_a_device_that_is_unregistered_is_withdrawn() -> None:
    stage = Registered()
    stage.push(message_count="1")
    stage.server.unregister(stage.registration(stage.node), "unregistered")

    [call] = stage.calls
    assert (call.latest(), call.device()) == (None, None)
    call.answer(Withdrawn())

    assert len(stage.calls) == 1
    assert stage.waiting() == []
    assert stage.server.outbox._under_way == {}
    [event] = stage.hall.events(PushSettled)
    assert (event.outcome, event.reason) == ("unregistered", "unregistered")
