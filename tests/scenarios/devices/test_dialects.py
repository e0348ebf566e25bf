"""Each device is woken, resumes and unregisters, and all of them side by side."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from pushd.wire import forms
from pushd.wire.element import Element, child, element
from pushd.wire.namespaces import FORM_PUBLISH_OPTIONS, NS_COMMANDS, NS_PUBSUB, NS_PUSH
from tests.patience import PATIENCE
from tests.scenarios.devices.conversations import (
    AppleClient,
    Conversations,
    ConversationsOfToday,
)
from tests.scenarios.devices.device import SPOKEN, Device, enabling, is_left_alone, is_woken, play
from tests.scenarios.devices.generic import Converse, Smack
from tests.scenarios.devices.mod_push import ModPushDevice
from tests.scenarios.devices.monal import Monal, MonalSandbox
from tests.scenarios.devices.mongooseim import MongooseIMClient
from tests.scenarios.devices.siskin import Siskin, Snikket, Stork
from tests.scenarios.devices.v1 import OldMonal, Yaxim
from tests.scenarios.house import DOMAIN, ELSEWHERE, PUSH_HOST, House, opened
from tests.scenarios.peers import until
from tests.scenarios.process import ROOT
from tests.scenarios.reading import condition, fields_of, items, refusal, succeeded

DEVICES = (
    ModPushDevice,
    Conversations,
    ConversationsOfToday,
    AppleClient,
    OldMonal,
    Yaxim,
    Siskin,
    Snikket,
    Stork,
    Monal,
    MonalSandbox,
    MongooseIMClient,
    Converse,
    Smack,
)


def app_server(**dialects: bool) -> dict[str, Any]:
    """All dialects but those that are switched off."""
    return {
        "dialects": SPOKEN | dialects,
        "backends": [{"type": "fcm"}, {"type": "apns"}],
    }


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    yield from opened(
        tmp_path_factory,
        networks=("fcm", "apns"),
        app_server=app_server(),
        push={"coalesce": 0, "max_enablements": 2 * len(DEVICES)},
    )


@pytest.mark.parametrize("kind", DEVICES)
def test_a_device_is_woken_and_left_alone(house: House, kind: type[Device]) -> None:
    play(kind(house))


def test_devices_of_all_dialects_share_an_account(house: House) -> None:
    """One message wakes them all; who unregisters takes nobody along."""
    account = house.add_account("everybody")
    devices = [kind(house, account) for kind in DEVICES]
    for device in devices:
        device.register()
        device.enable()
    listed = {one["device"]: one["dialect"] for one in devices[0].registrations()}
    registered = [one for one in devices if one.dialect]
    assert sorted(listed.values()) == sorted(one.dialect for one in registered)

    for device in devices:
        device.sleep()
    devices[0].hear_of("Good morrow")
    for device in devices:
        device.check_push(device.pushes(1)[0])
    for device in devices:
        assert device.phone.resume().name == "resumed"
        assert device.phone.bodies() == ["Good morrow"]

    for count, device in enumerate(registered, 1):
        device.unregister()
        assert len(device.registrations()) == len(registered) - count


def test_who_enables_once_is_woken_whatever_his_resource_is_later(house: House) -> None:
    device = Stork(house)
    device.register()
    device.enable()
    for number in range(2):
        device.phone.hang_up()
        device.phone = house.phone(device.account, f"another{number}")
        is_woken(device)
    device.unregister()
    is_left_alone(device)


def test_accounts_of_one_phone_share_its_node_and_no_pushes(house: House) -> None:
    one = OldMonal(house)
    other = OldMonal(house, identifier=one.identifier)
    other.token = one.token
    for device in (one, other):
        device.register()
        device.enable()
    assert one.node == other.node
    assert one.secret != other.secret
    is_woken(one)
    is_woken(other)
    one.unregister()
    is_left_alone(one)
    is_woken(other)


def test_a_dialect_is_switched_off_and_on_as_the_server_runs(house: House) -> None:
    """Who has registered with it goes on to be woken."""
    device = OldMonal(house)
    device.register()
    device.enable()
    house.configure(app_server=app_server(v1=False))
    assert house.operate("reload")["changed"] == ["app_server.dialects.v1"]

    assert not {node for node in commands(device) if node.startswith("v1-")}
    assert {"register-push-fcm", "unregister-push-apns"} <= commands(device)
    unknown = device.ask(device.executing("unregister"))
    assert refusal(unknown) == ("cancel", "item-not-found")
    is_woken(device)

    house.configure(app_server=app_server())
    house.operate("reload")
    device.unregister()
    is_left_alone(device)


def commands(device: Device) -> set[str]:
    """What is listed at the app server."""
    listed = device.phone.disco("items", device.app_server, NS_COMMANDS)
    return {one["node"] for one in items(listed)}


# Rooms. The service of the rooms is another server, which keeps who enabled push at a room.

ROOM = f"hall@{ELSEWHERE}"


def publish(house: House, node: str, secret: str, sender: str) -> Element:
    item = element(NS_PUBSUB, "item", element(NS_PUSH, "notification"))
    payload = element(
        NS_PUBSUB,
        "pubsub",
        element(NS_PUBSUB, "publish", item, node=node),
        element(
            NS_PUBSUB,
            "publish-options",
            forms.submit(FORM_PUBLISH_OPTIONS, {"secret": secret}),
        ),
    )
    return house.service(ELSEWHERE).ask_as(sender, PUSH_HOST, payload)


def enabled(house: House, device: Conversations, room: str) -> tuple[str, str, str]:
    """Enable push at a room: where its service publishes, and how."""
    service = house.service(ELSEWHERE)
    device.phone.say(
        enabling(device)
        .replace("<iq ", f"<iq to='{room}' ", 1)
        .replace(device.node, device.rooms[room][0])
        .replace(device.secret, device.rooms[room][1])
        .replace("{id}", "room")
    )
    asked = service.take("<enable/>", lambda one: child(one, NS_PUSH, "enable") is not None)
    assert asked["to"] == room
    enable = child(asked, NS_PUSH, "enable")
    assert enable is not None
    form = forms.find(enable, FORM_PUBLISH_OPTIONS)
    assert form is not None
    service.say(f"<iq type='result' id='room' from='{room}' to='{asked['from']}'/>")
    return enable["jid"], enable["node"], form.fields["secret"][0]


@pytest.mark.mistake(14)
def test_a_room_wakes_the_device_for_itself_and_the_account_goes_on(house: House) -> None:
    device = Conversations(house)
    device.register()
    device.enable()
    device.register_room(ROOM)
    jid, node, secret = enabled(house, device, ROOM)
    assert (jid, {node}) == (PUSH_HOST, {node} - {device.node})

    succeeded(publish(house, node, secret, ROOM))
    push = device.pushes(1)[0]
    data = push["message"]["data"]
    assert data == {"account": device.hash_of(device.account), "channel": device.hash_of(ROOM)}

    # What is the account's is not the room's.
    is_woken(device)
    assert refusal(publish(house, device.node, device.secret, ELSEWHERE)) == ("auth", "forbidden")

    # The app has left the room: it unregisters what the push called it.
    succeeded(device.unregister_channel(data["channel"]))
    service = house.service(ELSEWHERE)
    notice = service.take("notice", lambda one: one.name == "message" and one["to"] == ROOM)
    pubsub = child(notice, NS_PUBSUB, "pubsub")
    assert pubsub is not None
    assert pubsub["node"] == node
    assert refusal(publish(house, node, secret, ROOM)) == ("cancel", "item-not-found")
    is_woken(device)


# Who never registered. Nobody but the account's server knows whose a push was.


def test_a_push_to_who_never_registered_can_be_waited_for(house: House) -> None:
    device = Monal(house)
    device.register()
    device.enable()
    device.sleep()
    mark = str(house.operate("push-mark")["mark"])

    device.hear_of("Who is there?")

    told = house.operate("wait-push", account=device.account, since=mark, stage="accepted")
    assert (told["arrived"], len(told["pushes"])) == (True, 1)


def test_a_call_to_a_token_that_apple_calls_dead_comes_back(house: House) -> None:
    device = Monal(house)
    device.register()
    device.enable()
    device.phone.hang_up()
    house.script(device.token, {"error": "Unregistered"}, of="apns")

    friend = house.friend()
    friend.say(
        f"<message to='{device.account}' type='chat' id='dead-call'>"
        "<propose xmlns='urn:xmpp:jingle-message:0' id='dead-call'>"
        "<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></propose></message>"
    )

    error = friend.take("the call", lambda one: one.getAttribute("id") == "dead-call")
    assert (error["type"], condition(error)) == ("error", "service-unavailable")


@pytest.mark.mistake(11)
def test_a_dead_token_ends_the_enablement_with_the_next_push(house: House) -> None:
    device = Monal(house)
    device.register()
    device.enable()
    device.sleep()
    house.script(device.token, {"error": "Unregistered"}, of="apns")
    device.hear_of("one")
    device.pushes(1)

    def enabled() -> list[Any]:
        told = house.operate("push-enablements", account=device.account)
        found: list[Any] = told["enablements"]
        return found

    assert len(enabled()) == 1
    device.hear_of("two")
    until(lambda: not enabled(), "end of the enablement")
    assert [push["status"] for push in device.pushes()] == [410]


def test_the_two_requests_of_the_page_are_all_that_an_app_needs(house: House) -> None:
    page = (ROOT / "docs" / "clients.rst").read_text("utf-8")
    blocks = re.findall(r"^\.\. code-block:: xml\n\n((?:   .*\n|\n)+)", page, re.MULTILINE)
    register, enable = (re.sub(r"^\s*<iq [^>]*>|</iq>\s*$", "", block) for block in blocks)
    phone = house.phone()
    assert f"to='{DOMAIN}'" in blocks[0]
    made = fields_of(phone.ask(register.replace("TOKEN", "as-printed"), DOMAIN))
    enable = enable.replace("NODE", made["node"]).replace("SECRET", made["secret"])
    assert f"jid='{made['jid']}'" in enable
    succeeded(phone.ask(enable))
    phone.cut()
    house.friend().message(phone.account, "Good morrow")

    [push] = house.pushes("as-printed", wait=PATIENCE)
    assert push["status"] == 200
