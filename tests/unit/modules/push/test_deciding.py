"""Each decision on a stanza that was not delivered leaves a record, with its reason."""

import re
from pathlib import Path

import pytest

from pushd.modules.push.deciding import REASONS
from pushd.modules.push.options import Told
from pushd.routing.events import PushDecided
from pushd.wire.framer import seal
from tests.hall import Client
from tests.unit.modules.push.stage import (
    HOUR,
    JULIET,
    SERVICE,
    Stage,
    ask,
    refused,
    silence,
)

ROMEO = "romeo@example.org"
CARBONS = "<enable xmlns='urn:xmpp:carbons:2'/>"
CALL = "<propose xmlns='urn:xmpp:jingle-message:0' id='a'/>"


def decided(stage: Stage) -> list[tuple[str, bool, str]]:
    """Node, whether it was pushed, and why or why not; but for availability."""
    return [
        (one.node, one.pushed, one.reason)
        for one in stage.hall.events(PushDecided)
        if one.kind != "presence"
    ]


def test_every_reason_is_explained() -> None:
    page = Path(__file__).parents[4] / "docs" / "operating.rst"
    text = page.read_text(encoding="utf-8")
    _, _, section = text.partition("\nWhy a phone was woken, or was not\n")
    section, _, _ = section.partition("\nFor test harnesses\n")
    terms = [
        line for line in section.splitlines() if re.fullmatch(r"``[^`]+``(, ``[^`]+``)*", line)
    ]

    assert {term for line in terms for term in re.findall(r"``([^`]+)``", line)} == REASONS


def test_an_account_without_push_is_recorded_as_such() -> None:
    stage = Stage()
    stage.phone(enabled=False).cut()

    stage.write()
    stage.write(content=CALL)
    stage.hall.route(f"<presence from='{ROMEO}' to='{JULIET}' type='subscribe'/>")

    assert stage.hall.events(PushDecided) == [
        PushDecided(JULIET, "", "", False, "not enabled", kind, ROMEO)
        for kind in ("message", "call", "subscription")
    ]


def test_a_stanza_that_arrives_is_no_decision() -> None:
    stage = Stage()
    stage.phone()

    stage.write()

    assert decided(stage) == []


def test_one_device_waits_and_another_is_online() -> None:
    stage = Stage()
    stage.asleep("phone")
    stage.phone("tablet")

    stage.write()

    assert sorted(decided(stage)) == [
        ("phone", True, "detached"),
        ("tablet", False, "device online"),
    ]


def test_one_device_waits_and_another_has_no_session() -> None:
    stage = Stage()
    stage.asleep("phone")
    stage.phone("tablet").close()

    stage.write()

    assert sorted(decided(stage)) == [
        ("phone", True, "detached"),
        ("tablet", False, "held for another device"),
    ]


def test_what_nobody_fetched_from_another_device_is_decided_on_again_when_it_is_stored() -> None:
    stage = Stage(hold=HOUR)
    stage.asleep("phone")
    stage.phone("tablet").close()
    stage.write()

    stage.hall.advance(HOUR)

    assert sorted(decided(stage)[-2:]) == [
        ("phone", False, "told before"),
        ("tablet", True, "absent"),
    ]


def test_two_devices_wait_and_each_is_decided_on_once() -> None:
    stage = Stage()
    stage.asleep("phone")
    stage.asleep("tablet")

    stage.write()

    assert sorted(decided(stage)) == [("phone", True, "detached"), ("tablet", True, "detached")]


def test_availability_for_one_device_is_nothing_to_decide_for_another() -> None:
    stage = Stage()
    phone = stage.asleep("phone")
    stage.phone("tablet").close()
    before = len(stage.hall.events(PushDecided))

    stage.hall.route(f"<presence from='{ROMEO}/x' to='{phone.session.full}'/>")

    records = stage.hall.events(PushDecided)[before:]
    assert [(one.node, one.reason) for one in records] == [("phone", "presence")]


def test_a_device_that_is_online_but_takes_no_messages() -> None:
    stage = Stage()
    phone = stage.phone()
    phone.send("<presence type='unavailable'/>")

    stage.write()

    assert decided(stage) == [("phone", False, "device online")]


def test_a_device_that_waits_but_takes_no_messages() -> None:
    stage = Stage()
    phone = stage.phone()
    phone.send("<presence><priority>-1</priority></presence>")
    phone.acknowledge()
    phone.cut()

    stage.write()

    assert decided(stage) == [("phone", False, "device takes no messages")]


def test_what_is_stored_when_a_hold_ends_was_told_before() -> None:
    stage = Stage(hold=HOUR)
    stage.asleep()
    stage.write()
    stage.hall.advance(HOUR)

    assert decided(stage) == [
        ("phone", True, "detached"),
        ("phone", True, "hold ends"),
        ("phone", False, "told before"),
    ]


def test_an_account_that_is_disabled() -> None:
    stage = Stage()
    stage.phone().close()
    stage.hall.host.accounts.disable(JULIET, "gone")
    message = seal(f"<message from='{ROMEO}' to='{JULIET}'><body>hi</body></message>".encode())

    stage.hall.host.delivery.store(JULIET, message)

    assert decided(stage) == [("", False, "account disabled")]


def test_a_server_that_holds_no_sessions() -> None:
    stage = Stage(resume_timeout=0.0)
    stage.phone(enabled=False).close()

    stage.write()

    assert decided(stage) == [("", False, "push is off")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("<composing xmlns='http://jabber.org/protocol/chatstates'/>", "chat state"),
        ("<received xmlns='urn:xmpp:receipts' id='a'/>", "receipt"),
        ("<displayed xmlns='urn:xmpp:chat-markers:0' id='a'/>", "marker"),
        ("<x xmlns='urn:example'/>", "no content"),
    ],
)
def test_what_wakes_nobody_says_why(content: str, reason: str) -> None:
    stage = Stage()
    stage.asleep()

    stage.write(content=content)

    assert decided(stage) == [("phone", False, reason)]


def test_a_copy_of_ones_own_words() -> None:
    stage = Stage()
    stage.hall.host.router.add_host("example.org", lambda stanza: None)
    phone = stage.phone()
    assert ask(phone, CARBONS)["type"] == "result"
    phone.acknowledge()
    phone.cut()
    desk = stage.phone("desk", enabled=False)

    desk.send(f"<message to='{ROMEO}' type='chat'><body>hi</body></message>")

    assert decided(stage) == [("phone", False, "own copy")]


def test_what_follows_closely_is_told_with_what_else_is_new() -> None:
    stage = Stage(coalesce=1.0)
    stage.asleep()

    stage.write()
    stage.write()
    stage.write(content=CALL)
    stage.hall.advance(5)
    stage.write()

    assert [reason for _, _, reason in decided(stage)] == [
        "detached",
        "coalesced",
        "detached",
        "detached",
    ]
    assert stage.service.counts == ["1", "3", "4"]


def test_what_waits_for_an_answer_is_told_with_what_else_is_new() -> None:
    stage = Stage()
    stage.asleep()
    stage.service.answer = silence

    stage.write()
    stage.write()

    assert [reason for _, _, reason in decided(stage)] == ["detached", "coalesced"]


def test_what_stood_unacknowledged_is_one_push_and_a_record_each() -> None:
    stage = Stage()
    phone = stage.phone()
    stage.write()
    stage.write()

    phone.cut()

    assert [reason for _, _, reason in decided(stage)] == ["detached", "coalesced"]
    assert stage.service.counts == ["2"]


@pytest.mark.parametrize(("shown", "sender"), [(True, ROMEO), (False, "")])
def test_a_sender_is_named_where_pushes_may_name_him(shown: bool, sender: str) -> None:
    stage = Stage(told=Told(include_senders=shown))
    stage.asleep()

    stage.write()

    assert [one.sender for one in stage.hall.events(PushDecided)] == [sender]


def test_a_body_that_nobody_is_told_is_not_kept() -> None:
    stage = Stage(told=Told())
    stage.asleep()
    stage.service.answer = silence

    stage.write("wherefore")

    assert stage.hall.rows("SELECT last_body FROM push_enablements") == [(None,)]


def test_refusals_are_no_decisions() -> None:
    stage = Stage()
    stage.asleep()
    stage.service.answer = refused("internal-server-error", "cancel")

    stage.write()

    assert decided(stage) == [("phone", True, "detached")]


def test_an_operator_disables_a_device_which_is_told() -> None:
    stage = Stage()
    phone = stage.phone()
    [one] = stage.push.enablements.of(JULIET)

    assert stage.push.disable(one, "lost", "operator")
    assert not stage.push.disable(one, "lost", "operator")

    stage.hall.advance(0)
    [told] = [each for each in phone.received() if each.disable]
    assert (told.disable["jid"], told.disable["node"]) == (SERVICE, "phone")


# Clients that enable push once, and have another resource with each login, such as Stork.


def stray(stage: Stage, resource: str = "2nd") -> Client:
    """It has enabled push as `1st`, and is back as another."""
    stage.phone("1st").close()
    return stage.phone(resource, enabled=False)


def test_who_comes_back_as_another_and_enables_nothing_is_woken_once() -> None:
    stage = Stage()
    stray(stage).cut()

    stage.write()
    stage.hall.advance(HOUR)  # and the session is gone

    assert decided(stage) == [("1st", True, "detached"), ("1st", False, "told before")]
    assert stage.service.counts == ["1"]


def test_so_is_one_whose_stream_was_lost_with_it_or_that_says_nothing() -> None:
    stage = Stage()
    phone = stray(stage)
    stage.write("one")
    phone.cut()
    assert stage.service.counts == ["1"]

    phone.resume()
    phone.acknowledge()
    stage.write("two")
    stage.overdue(phone)
    assert stage.service.counts == ["1", "1"]
    phone.cut()
    assert stage.service.counts == ["1", "1"]


def test_what_it_has_fetched_counts_no_more() -> None:
    stage = Stage()
    stray(stage).cut()
    stage.write("one")
    stage.hall.advance(HOUR)
    stage.write("two")

    stage.phone("3rd", enabled=False).cut()
    stage.write("three")

    assert stage.service.counts == ["1", "2", "1"]


def test_a_room_that_another_is_in_wakes_it_not() -> None:
    stage = Stage()
    stray(stage).cut()

    stage.hall.route(
        f"<message from='r@rooms.example.org/x' to='{JULIET}/2nd' type='groupchat'>"
        "<body>hi</body></message>"
    )

    assert decided(stage) == [("1st", False, "held for another device")]


def test_while_another_is_connected_it_is_left_alone() -> None:
    stage = Stage()
    stray(stage)

    stage.write()

    assert decided(stage) == []
