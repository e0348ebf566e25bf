"""Calls (XEP-0353): every device rings, nobody rings for long, and nobody calls into the void."""

from pathlib import Path
from typing import Any

import pytest

from pushd.modules.push.enablements import RINGS
from pushd.modules.push.module import Push
from pushd.routing.events import PushDecided, PushSettled
from pushd.wire.framer import seal
from pushd.wire.stanza import Stanza
from tests.hall import Client
from tests.unit.modules.push.stage import (
    JULIET,
    SERVICE,
    Service,
    Stage,
    accepted,
    condition,
    enable,
    refused,
    silence,
)
from tests.unit.modules.push.wishing import encrypt, muted

ROMEO = "romeo@example.org/orchard"
JMI = "urn:xmpp:jingle-message:0"
CARBONS = "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>"


class Caller:
    """Romeo, who calls from another server, and hears what comes back."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.heard: list[tuple[str, str]] = []  # condition, and the id of what it is about
        stage.hall.host.router.add_host("example.org", self._receive)

    def _receive(self, stanza: Stanza) -> None:
        if stanza.type == "error":
            assert stanza.attributes["to"] == ROMEO
            self.heard.append((condition(stanza.tree), stanza.id))

    def say(self, name: str, sid: str = "a", to: str = JULIET, type: str = "chat") -> None:
        self.stage.hall.route(
            f"<message from='{ROMEO}' to='{to}' type='{type}' id='m-{sid}'>"
            f"<{name} xmlns='{JMI}' id='{sid}'/><store xmlns='urn:xmpp:hints'/></message>"
        )

    def call(self, sid: str = "a", to: str = JULIET) -> None:
        self.say("propose", sid, to)


def scene(**options: Any) -> tuple[Stage, Caller]:
    stage = Stage(**options)
    return stage, Caller(stage)


def gone(stage: Stage, resource: str = "phone", content: str = "") -> None:
    """A phone of Juliet's that has push, and no session any more."""
    phone = stage.phone(resource, enabled=False)
    assert enable(phone, content, node=resource)["type"] == "result"
    phone.close()


def answer(client: Client, name: str, to: str = ROMEO, sid: str = "a") -> None:
    client.send(f"<message to='{to}' type='chat'><{name} xmlns='{JMI}' id='{sid}'/></message>")


def reasons(stage: Stage) -> list[tuple[str, bool, str]]:
    found = stage.hall.events(PushDecided)
    return sorted((one.node, one.pushed, one.reason) for one in found if one.kind == "call")


def is_urgent(stage: Stage) -> list[bool]:
    return [b"propose" in one.raw for one in stage.service.publishes]


def unpaused(stage: Stage) -> None:
    """What was counted meanwhile leaves now."""
    assert stage.push.unpause(JULIET)
    for _ in range(5):
        stage.hall.advance(1)


# To every device.


def test_every_device_that_is_not_there_rings() -> None:
    stage, caller = scene()
    stage.phone("desk")
    gone(stage, "phone")
    stage.asleep("tablet")

    caller.call()

    assert reasons(stage) == [
        ("desk", False, "device online"),
        ("phone", True, "call"),
        ("tablet", True, "detached"),
    ]
    assert is_urgent(stage) == [True, True]


def test_without_any_session_each_is_woken_once() -> None:
    stage, caller = scene()
    gone(stage, "phone")
    gone(stage, "tablet")

    caller.call()

    assert reasons(stage) == [("phone", True, "absent"), ("tablet", True, "absent")]
    assert stage.service.counts == ["1", "1"]


def test_a_device_with_carbons_is_woken_once() -> None:
    stage, caller = scene()
    phone = stage.phone(enabled=False)
    phone.ask(CARBONS)
    enable(phone)
    phone.acknowledge()
    phone.send("<presence><priority>-1</priority></presence>")
    phone.acknowledge()
    phone.cut()
    stage.phone("desk", enabled=False)

    caller.call()

    assert reasons(stage) == [("phone", True, "detached")]
    assert stage.service.counts == ["1"]


def test_a_call_to_one_session_rings_there_alone() -> None:
    stage, caller = scene()
    gone(stage, "phone")
    tablet = stage.asleep("tablet")

    caller.call(to=tablet.session.full)

    assert ("tablet", True, "detached") in reasons(stage)
    assert len(stage.service.publishes) == 1


def test_ones_own_proposal_rings_nowhere() -> None:
    stage, _ = scene()
    gone(stage)
    desk = stage.phone("desk", enabled=False)

    answer(desk, "propose", to=JULIET)

    assert stage.service.publishes == []


def test_urgent_calls_wait_for_no_answer_and_no_coalescing() -> None:
    stage, caller = scene(coalesce=60.0)
    stage.service.answer = silence
    gone(stage)
    stage.write()

    caller.call("a")
    caller.call("b")

    assert is_urgent(stage) == [False, True, True]


@pytest.mark.parametrize("name", ["ringing", "proceed", "accept", "reject", "retract", "finish"])
def test_what_follows_a_proposal_wakes_nobody(name: str) -> None:
    stage, caller = scene()
    stage.asleep()

    caller.say(name)

    assert stage.service.publishes == []
    [decided] = [one for one in stage.hall.events(PushDecided) if one.kind == "message"]
    assert decided.reason == "call signal"


# No longer than it rings.


@pytest.mark.parametrize("name", ["retract", "finish"])
def test_a_push_that_has_not_left_is_not_sent_when_the_caller_gives_up(name: str) -> None:
    stage, caller = scene()
    stage.asleep()
    stage.push.pause(JULIET, None)
    caller.call()

    caller.say(name)
    unpaused(stage)

    assert stage.service.publishes == []


@pytest.mark.parametrize("name", ["proceed", "reject", "accept", "finish"])
def test_nor_when_another_device_answers(name: str) -> None:
    stage, caller = scene()
    stage.asleep()
    desk = stage.phone("desk", enabled=False)
    stage.push.pause(JULIET, None)
    caller.call()

    answer(desk, name)
    unpaused(stage)

    assert stage.service.publishes == []


def test_nor_when_another_device_says_so_to_its_own_account() -> None:
    stage, caller = scene()
    stage.asleep()
    desk = stage.phone("desk", enabled=False)
    stage.push.pause(JULIET, None)
    caller.call()

    answer(desk, "accept", to=JULIET)
    unpaused(stage)

    assert stage.service.publishes == []


@pytest.mark.parametrize(
    ("name", "sid", "to"),
    [
        ("ringing", "a", ROMEO),
        ("proceed", "b", ROMEO),
        ("proceed", "a", "paris@example.org/x"),
    ],
)
def test_but_for_ringing_and_other_calls(name: str, sid: str, to: str) -> None:
    stage, caller = scene()
    stage.asleep()
    desk = stage.phone("desk", enabled=False)
    stage.push.pause(JULIET, None)
    caller.call()

    answer(desk, name, to=to, sid=sid)
    unpaused(stage)

    assert is_urgent(stage) == [True]


def test_another_caller_takes_no_call_back() -> None:
    stage, caller = scene()
    stage.asleep()
    stage.push.pause(JULIET, None)
    caller.call()

    stage.write(sender="paris@example.org/x", content=f"<retract xmlns='{JMI}' id='a'/>")
    unpaused(stage)

    assert is_urgent(stage) == [True]


def test_what_else_waited_is_told_without_the_call() -> None:
    stage, caller = scene()
    stage.asleep()
    stage.push.pause(JULIET, None)
    stage.write("one")
    caller.call("a")
    stage.write("two")
    caller.call("b")

    caller.say("retract", "a")
    caller.say("retract", "b")
    unpaused(stage)

    assert stage.service.counts == ["2"]
    assert is_urgent(stage) == [False]


def test_a_call_after_one_that_was_taken_back_rings() -> None:
    stage, caller = scene()
    stage.asleep()
    stage.service.answer = refused("resource-constraint", "wait")
    caller.call("a")
    caller.say("retract", "a")
    stage.service.answer = accepted

    caller.call("b")

    assert is_urgent(stage) == [True, True]


def test_a_publish_that_failed_is_not_tried_again_for_a_call_that_is_over() -> None:
    stage, caller = scene()
    stage.asleep()
    stage.service.answer = refused("resource-constraint", "wait")
    caller.call()
    caller.say("retract")

    stage.service.answer = accepted
    stage.hall.advance(60)

    assert len(stage.service.publishes) == 1


def test_one_under_way_is_not_urgent_again() -> None:
    stage, caller = scene()
    stage.asleep()
    stage.service.answer = silence
    caller.call()
    caller.say("retract")

    stage.service.answer = accepted
    stage.hall.advance(31)
    stage.hall.advance(11)

    assert is_urgent(stage) == [True, False]


def test_a_device_that_was_back_meanwhile_counts_anew() -> None:
    stage, caller = scene()
    phone = stage.asleep()
    stage.push.pause(JULIET, None)
    caller.call()
    phone.resume()
    phone.acknowledge()
    phone.cut()
    stage.write()

    caller.say("retract")
    unpaused(stage)

    assert stage.service.counts == ["1"]


# Not into the void.


def test_a_call_to_an_account_without_session_and_push_is_returned_at_once() -> None:
    stage, caller = scene()
    stage.hall.add_account(JULIET)

    caller.call()

    assert caller.heard == [("service-unavailable", "m-a")]
    assert reasons(stage) == [("", False, "call returned")]
    assert stage.hall.rows("SELECT count(*) FROM offline") == [(0,)]


@pytest.mark.parametrize("name", ["nobody", "juliet"])
def test_a_stranger_hears_the_same_of_no_account_and_no_more_often(name: str) -> None:
    stage, caller = scene()
    stage.hall.add_account(JULIET)

    for number in range(30):
        caller.call(str(number), to=f"{name}@example.net")

    assert [said for said, _ in caller.heard] == ["service-unavailable"] * 20
    assert stage.push.decider.calls.ringing == {}
    stage.hall.advance(3600)
    caller.call("again", to=f"{name}@example.net")
    assert caller.heard[20:] == [("service-unavailable", "m-again")]


def test_calls_to_nobody_are_no_decisions() -> None:
    stage, caller = scene()

    caller.call(to="nobody@example.net")

    assert stage.hall.events(PushDecided) == []


def test_who_may_see_the_presence_hears_that_nobody_is_there() -> None:
    stage, caller = scene()
    phone = stage.phone(enabled=False)
    phone.send("<presence type='subscribed' to='romeo@example.org'/>")
    stage.hall.route(f"<presence from='romeo@example.org' to='{JULIET}' type='subscribe'/>")
    phone.send("<presence type='subscribed' to='romeo@example.org'/>")
    phone.close()

    for _ in range(30):
        caller.call()

    assert caller.heard == [("recipient-unavailable", "m-a")] * 30


def test_a_message_of_another_kind_waits_as_ever() -> None:
    stage, caller = scene()
    stage.hall.add_account(JULIET)

    stage.write()
    caller.say("retract")

    assert caller.heard == []
    assert stage.hall.rows("SELECT count(*) FROM offline") == [(2,)]


@pytest.mark.parametrize("condition", ["item-not-found", "internal-server-error"])
def test_it_is_returned_once_no_service_takes_it(condition: str) -> None:
    stage, caller = scene()
    gone(stage, "phone")
    gone(stage, "tablet")
    stage.service.answer = refused(condition, "cancel")

    caller.call()
    stage.hall.advance(0)

    assert caller.heard == [("service-unavailable", "m-a")]


def test_one_service_that_takes_it_is_enough() -> None:
    stage, caller = scene()
    gone(stage, "phone")
    gone(stage, "tablet")
    stage.service.answer = lambda publish: (
        "" if b"node='tablet'" in publish.raw else refused("item-not-found", "cancel")(publish)
    )

    caller.call()
    stage.hall.advance(90)

    assert caller.heard == []


@pytest.mark.parametrize("answer", [silence, refused("resource-constraint", "wait")])
def test_who_may_still_take_it_is_waited_for_half_a_minute(answer: object) -> None:
    stage, caller = scene(publish_timeout=60.0)
    gone(stage)
    stage.service.answer = answer  # type: ignore[assignment]

    caller.call()
    stage.hall.advance(29.9)
    assert caller.heard == []

    stage.hall.advance(0.2)
    assert caller.heard == [("service-unavailable", "m-a")]
    stage.hall.advance(90)
    assert len(caller.heard) == 1


def test_a_service_that_takes_it_at_the_second_attempt() -> None:
    stage, caller = scene()
    gone(stage)
    stage.service.answer = refused("resource-constraint", "wait")
    caller.call()

    stage.service.answer = accepted
    stage.hall.advance(15)
    stage.hall.advance(60)

    assert is_urgent(stage) == [True, True]
    assert caller.heard == []


def test_after_that_it_is_told_but_rings_no_more() -> None:
    stage, caller = scene()
    gone(stage)
    stage.service.answer = silence
    caller.call()
    for _ in range(4):
        stage.hall.advance(10)
    assert len(caller.heard) == 1

    stage.service.answer = accepted
    stage.hall.advance(10)

    assert is_urgent(stage)[-1] is False
    assert stage.service.counts[-1] == "1"


def test_a_network_to_which_the_device_is_dead_is_heard_of() -> None:
    stage, caller = scene()
    gone(stage)
    caller.call()
    stage.hall.advance(1)

    settled = PushSettled(JULIET, SERVICE, "phone", "b", "unregistered", "gone", 0.5)
    stage.hall.host.events.emit(settled)

    assert caller.heard == [("service-unavailable", "m-a")]


@pytest.mark.parametrize(
    "settled",
    [
        PushSettled(JULIET, SERVICE, "phone", "b", "accepted", "", 0.5),
        PushSettled(JULIET, SERVICE, "phone", "b", "expired", "one from before", 60.0),
        PushSettled(JULIET, SERVICE, "tablet", "b", "unregistered", "another", 0.5),
    ],
    ids=lambda one: str(one.reason) or "accepted",
)
def test_a_device_that_has_it_is_never_denied(settled: PushSettled) -> None:
    stage, caller = scene()
    gone(stage)
    caller.call()
    stage.hall.advance(1)

    stage.hall.host.events.emit(settled)
    stage.hall.advance(90)

    assert caller.heard == []


def test_a_session_that_is_there_gets_it() -> None:
    stage, caller = scene()
    desk = stage.phone("desk", enabled=False)

    caller.call()
    stage.hall.advance(90)

    assert caller.heard == []
    assert [one.propose["id"] for one in desk.received()] == ["a"]


@pytest.mark.parametrize("wishes", ["", muted("paris@example.org"), encrypt()])
def test_a_letter_is_opened_only_where_it_has_to_be(wishes: str) -> None:
    """No tree is built for a message with a body, whatever the device wishes of it."""
    stage, _ = scene()
    gone(stage, content=wishes)
    message = seal(
        f"<message from='{ROMEO}' to='{JULIET}' type='chat'><body>hi</body></message>".encode()
    )

    stage.hall.host.router.route(message)

    stage.hall.advance(0)
    assert len(stage.service.publishes) == 1
    assert message._tree is None


def test_a_session_that_takes_no_messages_does_not() -> None:
    stage, caller = scene()
    stage.phone("desk", enabled=False).send("<presence><priority>-1</priority></presence>")

    caller.call()

    assert caller.heard == [("service-unavailable", "m-a")]


def test_a_session_that_may_come_back_is_waited_for() -> None:
    stage, caller = scene()
    phone = stage.phone(enabled=False)
    phone.cut()

    caller.call()
    stage.hall.advance(29)
    assert caller.heard == []
    stage.hall.advance(2)

    assert caller.heard == [("service-unavailable", "m-a")]


def test_a_connection_that_seems_dead_is_no_answer() -> None:
    stage, caller = scene()
    desk = stage.phone("desk", enabled=False)
    stage.write()
    stage.overdue(desk)

    caller.call("a")
    stage.hall.advance(30)
    assert caller.heard == [("service-unavailable", "m-a")]

    caller.call("b")
    desk.acknowledge()
    stage.hall.advance(60)
    assert len(caller.heard) == 1


def test_a_push_for_a_connection_that_seems_dead_is_one() -> None:
    stage, caller = scene()
    phone = stage.phone()
    stage.write()
    stage.overdue(phone)

    caller.call()
    stage.hall.advance(60)

    assert is_urgent(stage) == [False, True]
    assert caller.heard == []


def test_one_that_comes_back_in_time_gets_it() -> None:
    stage, caller = scene()
    phone = stage.phone(enabled=False)
    phone.cut()
    caller.call()
    stage.hall.advance(20)

    phone.resume()
    stage.hall.advance(60)

    assert caller.heard == []
    assert [one.propose["id"] for one in phone.received() if one.propose] == ["a"]


def test_nobody_is_told_that_he_is_muted() -> None:
    stage, caller = scene()
    gone(stage, content=muted("romeo@example.org"))

    caller.call()
    stage.hall.advance(90)

    assert caller.heard == []
    assert stage.service.publishes == []


def test_push_that_is_paused_gets_no_call() -> None:
    stage, caller = scene()
    gone(stage)
    stage.push.pause(JULIET, None)

    caller.call()

    assert caller.heard == [("service-unavailable", "m-a")]


def test_a_caller_who_gave_up_is_told_nothing() -> None:
    stage, caller = scene(publish_timeout=60.0)
    gone(stage)
    stage.service.answer = silence
    caller.call()

    caller.say("retract")
    stage.hall.advance(60)

    assert caller.heard == []


@pytest.mark.parametrize(
    "content",
    [f"<propose xmlns='{JMI}'/>", f"<propose xmlns='{JMI}' id=''/>"],
)
def test_a_proposal_without_an_id_is_a_message_as_any(content: str) -> None:
    stage, caller = scene()
    stage.hall.add_account(JULIET)

    stage.write(content=content)

    assert caller.heard == []


@pytest.mark.parametrize("type", ["error", "headline", "groupchat"])
def test_nobody_calls_by_a_message_of_another_type(type: str) -> None:
    stage, caller = scene()
    gone(stage)

    caller.say("propose", type=type)

    assert stage.push.decider.calls.ringing == {}
    assert stage.service.publishes == []


def test_a_thousand_calls_leave_nothing_behind() -> None:
    stage, caller = scene()
    gone(stage, content=encrypt())
    for number in range(200):
        caller.call(str(number))
    assert len(stage.push.decider.calls.ringing[JULIET]) <= 10

    stage.hall.advance(30)
    stage.hall.advance(30)

    assert stage.push.decider.calls.ringing == {}
    assert stage.hall.host.router.overheard == {}


def test_an_address_that_is_none_harms_nothing_while_it_rings() -> None:
    stage, caller = scene()
    gone(stage)
    desk = stage.phone("desk", enabled=False)
    caller.call()

    answer(desk, "proceed", to="@")

    assert [condition(one) for one in desk.received() if one["type"] == "error"] == [
        "jid-malformed"
    ]


# After a restart.


def urgent_after_a_kill(stage: Stage, after: float = 0.0) -> bool:
    """Whether what is published first, once the server is back, says that somebody calls."""
    hall = stage.hall.killed(after)
    (push,) = (module for module in hall.modules if isinstance(module, Push))
    service = Service(hall)
    push.publisher.open()
    hall.advance(0)
    return b"propose" in service.publishes[0].raw


@pytest.mark.parametrize(("after", "rings"), [(0.0, True), (RINGS / 2, True), (RINGS, False)])
def test_a_restart_has_nobody_ring_for_longer(tmp_path: Path, after: float, rings: bool) -> None:
    stage, caller = scene(path=tmp_path / "pushd.db")
    gone(stage)
    stage.service.answer = lambda publish: None
    caller.call()

    assert urgent_after_a_kill(stage, after) == rings


def test_nor_for_a_call_that_is_over(tmp_path: Path) -> None:
    stage, caller = scene(path=tmp_path / "pushd.db")
    gone(stage)
    stage.service.answer = lambda publish: None
    caller.call()
    caller.say("retract")
    stage.hall.advance(0)

    assert not urgent_after_a_kill(stage)
