"""Calls (XEP-0353) and encrypted notifications, from a caller to what the push networks get."""

import itertools
from collections.abc import Iterator

import pytest

from pushd.wire.element import child, serialize
from pushd.wire.framer import seal
from tests.patience import PATIENCE
from tests.scenarios.devices.device import SPOKEN
from tests.scenarios.devices.siskin import Siskin
from tests.scenarios.house import FOREIGN, House, opened
from tests.scenarios.peers import Phone, until
from tests.scenarios.reading import condition, succeeded
from tests.unit.modules.push.wishing import decrypted, encrypt, muted

JMI = "urn:xmpp:jingle-message:0"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    yield from opened(tmp_path_factory, networks=("fcm", "apns"), app_server={"dialects": SPOKEN})


def call(house: House, account: str, name: str = "propose", sid: str = "") -> str:
    """A friend says this of a call; gives its id."""
    sid = sid or f"call-{next(_numbers)}"
    media = "<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/>"
    content = media if name == "propose" else ""
    friend = house.friend()
    friend.say(
        f"<message to='{account}' type='chat' id='{sid}'><{name} xmlns='{JMI}' id='{sid}'>"
        f"{content}</{name}><store xmlns='urn:xmpp:hints'/></message>"
    )
    friend.settled()
    return sid


def returned(house: House, sid: str) -> str:
    """The condition with which a call came back to the friend, once it has."""
    error = house.friend().take(
        f"error for {sid}", lambda one: one.name == "message" and one.getAttribute("id") == sid
    )
    assert error["type"] == "error"
    return condition(error)


def has_rung(house: House, sid: str) -> bool:
    """Whether nothing came back to the friend so far."""
    friend = house.friend()
    friend.settled()
    return all(one.getAttribute("id") != sid for one in friend.unread)


def registered(house: House, account: str = "", resource: str = "phone") -> tuple[Phone, str]:
    phone = house.phone(account, resource)
    token = f"call-{next(_numbers)}:APA91bF" + "x" * 120
    phone.enable_registered(token)
    return phone, token


def test_a_call_reaches_the_token_for_calls_encrypted(house: House) -> None:
    device = Siskin(house)
    device.register()
    device.enable()
    device.sleep()

    sid = call(house, device.account)

    [push] = until(lambda: house.pushes(device.ringing, of="apns"), f"push for the call {sid}")
    assert (push["push_type"], push["status"], push["remarks"]) == ("voip", 200, [])
    assert push["topic"].endswith(".voip")
    told = device.opened(push["message"])
    assert told == {
        "unread": 1,
        "type": "call",
        "sender": house.friend().jid,
        "sid": sid,
        "media": ["audio"],
    }
    assert device.pushes() == []
    assert has_rung(house, sid)
    assert device.phone.resume().name == "resumed"


def test_it_rings_on_every_device_that_is_not_connected(house: House) -> None:
    account = house.add_account("many")
    phone, first = registered(house, account, "phone")
    tablet, second = registered(house, account, "tablet")
    phone.hang_up()
    tablet.cut()
    desk = house.phone(account, "desk")

    sid = call(house, account)

    for token in (first, second):
        [push] = house.pushes(token, wait=PATIENCE)
        assert push["message"]["android"]["priority"] == "HIGH"
    desk.take("proposal", lambda one: child(one, JMI, "propose") is not None)
    assert has_rung(house, sid)


def test_a_call_that_no_device_can_get_comes_back(house: House) -> None:
    account = house.add_account("nobody")

    assert returned(house, call(house, account)) == "service-unavailable"
    assert returned(house, call(house, "no-such-account@example.net")) == "service-unavailable"

    house.event("push-decided", account=account, reason="call returned")
    phone = house.phone(account)
    assert phone.bodies() == []


def test_so_does_one_to_a_device_that_its_network_calls_dead(house: House) -> None:
    phone, token = registered(house)
    phone.hang_up()
    house.script(token, {"status": 404, "error": "UNREGISTERED"})

    sid = call(house, phone.account)

    assert returned(house, sid) == "service-unavailable"
    house.event("push-settled", account=phone.account, outcome="unregistered")


def test_and_to_one_whose_push_service_has_forgotten_it(house: House) -> None:
    phone = house.phone()
    succeeded(phone.enable(FOREIGN, "forgotten"))
    phone.hang_up()
    service = house.service(FOREIGN)

    sid = call(house, phone.account)
    service.refuse(service.publish("forgotten"), "item-not-found")

    assert returned(house, sid) == "service-unavailable"


def test_a_call_that_is_over_wakes_nobody_any_more(house: House) -> None:
    phone, token = registered(house)
    account = phone.account
    phone.cut()
    house.operate("push-pause", what=account)
    sid = call(house, account)
    call(house, account, "retract", sid)

    house.operate("push-resume", what=account)
    house.friend().message(account, "sorry, wrong number")
    [push] = house.pushes(token, wait=PATIENCE)

    assert push["message"]["data"]["message-count"] == "1"
    assert phone.resume().name == "resumed"


@pytest.mark.mistake(4)
def test_wishes_and_key_outlive_a_kill(house: House) -> None:
    account = house.add_account("killed")
    phone = house.phone(account)
    wishes = encrypt() + muted("bore@example.org")
    succeeded(
        phone.ask(
            f"<enable xmlns='urn:xmpp:push:0' jid='{FOREIGN}' node='killed'>{wishes}</enable>"
        )
    )
    phone.cut()

    house.kill()

    [shown] = house.operate("push-enablements", account=account)["enablements"]
    assert shown["extensions"] == ["encrypt", "muted"]
    service = house.service(FOREIGN)
    house.friend().message(account, "still here")
    publish = service.publish("killed")
    service.accept(publish)
    assert decrypted(seal(serialize(publish))) == {
        "unread": 1,
        "type": "chat",
        "sender": house.friend().account,
        "message": "still here",
    }
