"""Conversations and p2; what Conversations reads is told in `dialects/conversations`."""

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest

from pushd.appserver.device_forms import LONGEST_NAME
from pushd.appserver.limits import Rate, Rules
from pushd.appserver.outbox import device
from pushd.providers import contract
from pushd.routing.events import DeviceRegistered, DeviceUnregistered
from pushd.wire import forms
from pushd.wire.element import Element
from tests.unit.appserver.stage import (
    JULIET,
    PHONE,
    PUBSUB,
    REGISTER,
    Post,
    Stage,
    app,
    execute,
    outcome,
    register,
    result,
    said,
)

ID = "92afd7a91cdba9a0"
HALL, YARD = "hall@rooms.example", "yard@rooms.example"
REGISTERS, UNREGISTERS = "register-push-fcm", "unregister-push-fcm"
BAD = "bad-request bad-payload"
BOTH = Rules(dialects=frozenset({"mod_push", "conversations"}))
ALONE = Rules(dialects=frozenset({"conversations"}))


class Phones(Post):
    type = "fcm"
    aliases = frozenset({"gcm"})


class Apples(Post):
    type = "apns"
    aliases = frozenset()


def stage(rules: Rules = BOTH, **more: Any) -> Stage:
    return Stage((app("fcm", Phones()), app("apns", Apples())), rules, **more)


def ask(
    stage: Stage, command: str = REGISTERS, fields: Mapping[str, str] | None = None, **more: str
) -> Element:
    """What Conversations sends, or what is given, from a new session."""
    usual = {"token": "tok", "android-id": ID}
    given = usual if fields is None else fields
    address = more.pop("address", PHONE)
    return execute(
        stage.client(address), command, {**given, **{k: v for k, v in more.items() if v}}
    )


def given(answer: Element) -> tuple[str, str]:
    values = result(answer)
    assert values["jid"] == (PUBSUB,)
    return values["node"][0], values["secret"][0]


def hashed(address: str) -> str:
    return hashlib.sha1(f"{address}\0{ID}".encode()).hexdigest()


@pytest.mark.parametrize("rules", [BOTH, ALONE], ids=["both", "alone"])
@pytest.mark.parametrize("command", [REGISTERS, "register-push-gcm", "register-push-apns"])
def test_a_device_registers_by_its_android_id(rules: Rules, command: str) -> None:
    house = stage(rules)
    events: list[DeviceRegistered] = []
    house.hall.host.events.listen(DeviceRegistered, events.append)

    node, secret = given(ask(house, command))

    registration = house.registration(node)
    type = "apns" if command.endswith("apns") else "fcm"
    assert (registration.dialect, registration.type) == ("conversations", type)
    assert (registration.device, registration.room) == (ID, "")
    [event] = events
    assert (event.dialect, event.device, event.is_new) == ("conversations", ID, True)
    assert house.publish(node, secret) == ""


@pytest.mark.parametrize("name", ["device-id", "android-id"])
def test_alone_it_takes_either_name_of_the_id(name: str) -> None:
    house = stage(ALONE)
    node, _ = given(ask(house, fields={"token": "tok", name: ID}))
    assert house.registration(node).device == ID


def test_again_the_node_is_kept_and_the_token_replaced() -> None:
    house = stage()
    node, old = given(ask(house))
    again, new = given(ask(house, token="tok2", address=f"{JULIET}/another"))

    assert again == node
    assert house.registration(node).token.reveal() == "tok2"
    assert house.publish(node, old) == house.publish(node, new) == ""
    assert house.publish(node, old) == "forbidden"


@pytest.mark.parametrize(
    ("fields", "dialect"),
    [
        ({"android-id": ID}, "conversations"),
        ({"device-id": ID, "muc": HALL}, "conversations"),
        ({"android-id": ID, "device-name": "Home"}, "conversations"),
        ({"device-id": ID}, "mod_push"),
        ({"device-id": ID, "device-name": "Home"}, "mod_push"),
        ({}, "mod_push"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else value,
)
def test_the_reference_is_told_apart_by_what_is_sent(fields: dict[str, str], dialect: str) -> None:
    house = stage()
    node, _ = given(ask(house, fields={"token": "tok", **fields}))
    assert house.registration(node).dialect == dialect


def test_without_the_dialect_the_reference_takes_what_it_understands() -> None:
    house = stage(Rules())
    node, _ = given(ask(house))
    assert house.registration(node).dialect == "mod_push"
    assert house.registration(node).device == "phone"
    assert outcome(ask(house, UNREGISTERS)) == "item-not-found"


def test_switched_off_as_the_server_runs_it_is_gone() -> None:
    house = stage(ALONE)
    ask(house)
    house.server.rule(Rules(dialects=frozenset()))
    assert outcome(ask(house)) == outcome(ask(house, UNREGISTERS)) == "item-not-found"
    assert len(house.nodes()) == 1  # which goes on to be pushed


# Bad input.


@pytest.mark.parametrize("command", [REGISTERS, UNREGISTERS])
@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"token": "tok", "android-id": ""}, "android-id"),
        ({"token": "tok", "android-id": "  "}, "android-id"),
        ({"token": "tok", "android-id": "x" * (LONGEST_NAME + 1)}, "android-id"),
        ({"token": "tok", "android-id": ID, "muc": f"{HALL}/nick"}, "muc"),
        ({"token": "tok", "android-id": ID, "muc": "rooms.example"}, "muc"),
        ({"token": "tok", "android-id": ID, "muc": "romeo@example.net"}, "muc"),
        ({"token": "tok", "android-id": ID, "muc": "@rooms.example"}, "muc"),
        ({"token": "tok", "muc": HALL}, "device-id"),
    ],
    ids=str,
)
def test_bad_input_is_named_and_changes_nothing(
    command: str, fields: dict[str, str], names: str
) -> None:
    house = stage()
    ask(house)
    before = house.server.registrations.of(JULIET)

    answer = ask(house, command, fields)

    assert outcome(answer) == BAD
    assert names in said(answer)
    assert house.server.registrations.of(JULIET) == before


@pytest.mark.parametrize("token", ["", "not a token"])
def test_a_bad_token_is_named(token: str) -> None:
    house = stage()
    answer = ask(house, fields={"token": token, "android-id": ID})
    assert outcome(answer) == BAD
    assert "token" in said(answer)
    assert house.nodes() == []


def test_without_a_form_one_is_offered_and_a_cancelled_one_is_refused() -> None:
    house = stage(ALONE)
    for command in (REGISTERS, UNREGISTERS):
        answer = execute(house.client(), command)
        assert answer.command["status"] == "executing"
        asked = forms.read(answer.command.x).fields
        assert "android-id" in asked
        assert ("token" in asked) == (command == REGISTERS)
        cancelled = "<x xmlns='jabber:x:data' type='cancel'/>"
        assert outcome(execute(house.client(), command, form=cancelled)) == BAD


def test_the_rules_are_those_of_every_dialect() -> None:
    local = Rules(access=("example.org",), dialects=ALONE.dialects)
    assert outcome(ask(stage(local))) == "forbidden"

    slow = stage(Rules(account_requests=Rate(60.0), dialects=ALONE.dialects))
    assert outcome(ask(slow)) == ""
    assert outcome(ask(slow)) == "policy-violation"

    few = stage(Rules(registrations_per_account=1, dialects=ALONE.dialects))
    ask(few)
    few.hall.advance(1)
    given(ask(few, fields={"token": "other", "android-id": "other"}))
    assert [one.device for one in few.server.registrations.of(JULIET)] == ["other"]


# Rooms.


@pytest.mark.mistake(14)
def test_account_and_rooms_have_nodes_and_secrets_of_their_own() -> None:
    house = stage()
    made = [given(ask(house, muc=muc)) for muc in ("", HALL, YARD)]

    assert len({node for node, _ in made}) == len({secret for _, secret in made}) == 3
    assert [house.registration(node).room for node, _ in made] == ["", HALL, YARD]
    again, _ = given(ask(house, muc=HALL, token="new"))
    assert again == made[1][0]
    assert house.registration(made[0][0]).token.reveal() == "tok"


@pytest.mark.parametrize(
    ("sender", "said"),
    [
        ("rooms.example", ""),
        (HALL, ""),
        (f"{HALL}/nurse", ""),
        (YARD, "forbidden"),
        (REGISTER, "forbidden"),
        (JULIET, "forbidden"),
        ("elsewhere.example", "forbidden"),
    ],
)
def test_for_a_room_the_room_publishes_and_nobody_else(sender: str, said: str) -> None:
    house = stage(domains=("example.net",))
    node, secret = given(ask(house, muc=HALL))
    assert house.publish(node, secret, sender=sender) == said


def test_the_room_does_not_publish_for_the_account() -> None:
    house = stage()
    node, secret = given(ask(house))
    ask(house, muc=HALL)
    assert house.publish(node, secret, sender="rooms.example") == "forbidden"


def test_rooms_displace_rooms_and_no_devices() -> None:
    house = stage(Rules(registrations_per_account=1, rooms_per_account=2, dialects=ALONE.dialects))
    for muc in ("", HALL, YARD, "attic@rooms.example"):
        ask(house, muc=muc)
        house.hall.advance(1)
    rooms = [one.room for one in house.server.registrations.of(JULIET)]
    assert rooms == ["", YARD, "attic@rooms.example"]


def test_the_room_is_told_that_its_node_is_no_more() -> None:
    house = stage()
    told: list[Element] = []
    house.hall.host.router.add_host("rooms.example", lambda stanza: told.append(stanza.tree))
    node, _ = given(ask(house, muc=HALL))

    ask(house, UNREGISTERS, muc=HALL)

    [message] = told
    assert (message["to"], message["from"]) == (HALL, PUBSUB)
    assert message.pubsub["node"] == node


# Unregistering.


@pytest.fixture
def rooms() -> Stage:
    house = stage()
    for muc in ("", HALL, YARD):
        ask(house, muc=muc)
    ask(house, fields={"token": "other", "android-id": "other"})
    return house


def left(house: Stage) -> set[tuple[str, str]]:
    return {(one.device, one.room) for one in house.server.registrations.of(JULIET)}


OTHER = ("other", "")


@pytest.mark.parametrize(
    ("more", "stays"),
    [
        ({"muc": HALL}, {(ID, ""), (ID, YARD), OTHER}),
        ({"channel": hashed(HALL)}, {(ID, ""), (ID, YARD), OTHER}),
        ({}, {OTHER}),
    ],
    ids=["muc", "channel", "device"],
)
def test_a_device_is_unregistered_for_a_room_or_for_all(
    rooms: Stage, more: dict[str, str], stays: set[tuple[str, str]]
) -> None:
    events: list[DeviceUnregistered] = []
    rooms.hall.host.events.listen(DeviceUnregistered, events.append)

    answer = ask(rooms, UNREGISTERS, {"android-id": ID, **more})

    assert outcome(answer) == ""
    assert answer.command["status"] == "completed"
    assert left(rooms) == stays
    assert {event.by for event in events} == {PHONE}


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        (UNREGISTERS, {"android-id": "unknown"}),
        (UNREGISTERS, {"android-id": ID, "muc": "cellar@rooms.example"}),
        (UNREGISTERS, {"android-id": ID, "channel": hashed("cellar@rooms.example")}),
        (UNREGISTERS, {"android-id": ID, "channel": hashed(JULIET)}),
        ("unregister-push-apns", {"android-id": ID}),
    ],
)
def test_what_is_not_registered_is_not_found(
    rooms: Stage, command: str, fields: dict[str, str]
) -> None:
    before = left(rooms)
    assert outcome(ask(rooms, command, fields)) == "item-not-found"
    assert left(rooms) == before


def test_nobody_unregisters_anothers_device(rooms: Stage) -> None:
    answer = ask(rooms, UNREGISTERS, {"android-id": ID}, address="romeo@example.net/phone")
    assert outcome(answer) == "item-not-found"
    assert len(left(rooms)) == 4


def test_the_reference_lists_them_and_removes_them_by_node_or_all(rooms: Stage) -> None:
    phone = rooms.client()
    listed = execute(phone, "list-push-registrations")
    assert listed.toXml().count("<value>conversations</value>") == 4
    assert listed.toXml().count(HALL) == 1

    one = rooms.server.registrations.of_device(JULIET, ID, "conversations", HALL)
    assert one is not None
    result(execute(phone, "unregister-push", {"nodes": one.node}))
    assert left(rooms) == {(ID, ""), (ID, YARD), OTHER}
    result_of_all = execute(phone, "unregister-push", {"all": "1"})
    assert outcome(result_of_all) == ""
    assert left(rooms) == set()


def test_neither_dialect_unregisters_the_others_device_of_one_id() -> None:
    house = stage()
    phone = house.client()
    register(phone, "fcm", device_id=ID, token="its0wn")
    given(ask(house))

    assert outcome(ask(house, UNREGISTERS, {"android-id": ID})) == ""
    assert [one.dialect for one in house.server.registrations.of(JULIET)] == ["mod_push"]

    given(ask(house))
    assert outcome(ask(house, "unregister-push", {"device-id": ID})) == ""
    assert [one.dialect for one in house.server.registrations.of(JULIET)] == ["conversations"]


def test_whom_the_list_tells_of_is_unregistered_by_id_if_it_is_named() -> None:
    house = stage()
    for muc in ("", HALL):
        given(ask(house, muc=muc))
    resource = house.client(f"{JULIET}/{ID}")
    assert outcome(execute(resource, "unregister-push")) == BAD  # which is nobody's id here
    assert outcome(execute(resource, "unregister-push", {"device-id": ""})) == BAD
    assert len(house.nodes()) == 2
    assert outcome(execute(resource, "unregister-push", {"device-id": ID})) == ""
    assert house.nodes() == []


def test_a_device_that_was_taken_for_the_references_is_unregistered_as_well() -> None:
    """As a client of p2 for Apple's devices does."""
    house = stage()
    given(ask(house, "register-push-apns", {"token": "tok", "device-id": ID}))
    assert outcome(ask(house, "unregister-push-apns", {"device-id": ID})) == ""
    assert house.nodes() == []


# What the app is told.


def test_the_app_is_told_by_hashes_whom_a_push_is_for() -> None:
    house = stage()
    nodes = [given(ask(house, muc=muc))[0] for muc in ("", HALL)]
    told = [dict(device(house.registration(node)).told) for node in nodes]

    account = {"account": hashed(JULIET)}
    assert told == [account, {**account, "channel": hashed(HALL)}]


def test_the_hash_is_the_one_that_p2_gives() -> None:
    """As Conversations and p2 have it: SHA-1 of the address, a zero byte and the id."""
    joined = JULIET.encode() + b"\x00" + ID.encode()
    assert hashed(JULIET) == hashlib.sha1(joined).hexdigest()


def test_other_apps_are_told_the_summary() -> None:
    house = stage()
    node, _ = register(house.client(), "fcm")
    made = device(house.registration(node))
    assert isinstance(made, contract.Device)
    assert not made.told
