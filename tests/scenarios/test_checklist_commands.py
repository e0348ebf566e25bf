"""Lines 94 to 122 of docs/checklist.rst: registering, listing, unregistering, over real sockets."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pushd.wire import forms
from pushd.wire.element import Element, child, children, element
from pushd.wire.namespaces import (
    FORM_PUSH_OPTIONS,
    NS_COMMANDS,
    NS_FORMS,
    NS_PUBSUB,
)
from tests.patience import PATIENCE
from tests.scenarios.house import DOMAIN, FOREIGN, PUSH_HOST, House, opened
from tests.scenarios.peers import Phone
from tests.scenarios.reading import (
    condition,
    fields_of,
    refusal,
    secret_form,
    succeeded,
    words,
)

DEEP = "push.chat.department.example.co.uk"
APNS_TOKEN = bytes(range(32))


def apns_backend(folder: Path) -> dict[str, Any]:
    """A backend that nothing is sent by: registering needs no way to Apple."""
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "AuthKey_ABCDE12345.p8"
    path.write_bytes(key)
    path.chmod(0o600)
    return {
        "type": "apns",
        "key_file": str(path),
        "team_id": "TEAM123456",
        "topic": "com.example.app",
        "service_account": None,
        "base_url": "https://127.0.0.1:1",
        "ca_file": None,
    }


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    ubuntu = {"type": "ubuntu", "service_account": None}
    wns = {
        "type": "wns",
        "service_account": None,
        "base_url": None,
        "auth_key": "a client secret",
        "package_sid": "ms-app://s-1-15-2-1-2-3",
    }
    backends = [{}, apns_backend(tmp_path_factory.mktemp("apns")), ubuntu, wns]
    yield from opened(tmp_path_factory, app_server={"backends": backends})


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Where accounts of the server alone may register."""
    backends: list[dict[str, Any]] = [{}, {"app_name": "deep", "register_host": DEEP}]
    sections: dict[str, Any] = {"app_server": {"access_backends": "local", "backends": backends}}
    yield from opened(tmp_path_factory, **sections)


def form(type: str | None = "submit", form_type: str | None = None, **fields: Any) -> Element:
    given = {name.replace("_", "-"): value for name, value in fields.items()}
    made = forms.submit(form_type, given)
    if type is None:
        del made.attributes["type"]
    return made


def asking(node: str, *parts: Element) -> Element:
    return element(NS_COMMANDS, "command", *parts, node=node)


def command(answer: Element) -> Element:
    found = child(succeeded(answer), NS_COMMANDS, "command")
    assert found is not None
    return found


def listed(phone: Phone) -> list[dict[str, str]]:
    """The rows of the list."""
    found = forms.find(command(phone.command("list-push-registrations")))
    if found is None:
        return []
    return [{name: value for name, (value,) in row.items()} for row in found.items]


# Registering.


@pytest.mark.line(94, 95, 96, 102)
@pytest.mark.parametrize("action", [None, "execute", "complete"])
@pytest.mark.parametrize("form_type", [None, FORM_PUSH_OPTIONS])
@pytest.mark.parametrize("type", [None, "submit"])
@pytest.mark.mistake(15, 22)
def test_a_device_registers_however_the_command_is_written(
    house: House, action: str | None, form_type: str | None, type: str | None
) -> None:
    phone = house.phone(sm=False)
    more = {} if action is None else {"action": action}
    answer = phone.command("register-push-fcm", form(type, form_type, token="t:1"), **more)
    done = command(answer)
    assert (done["node"], done["status"]) == ("register-push-fcm", "completed")
    assert done["sessionid"]
    [given] = children(done)
    assert given["type"] == "result"
    fields = fields_of(answer)
    assert set(fields) == {"jid", "node", "secret"}
    assert fields["jid"] == PUSH_HOST
    assert len(fields["secret"]) >= 22  # 128 bits in base64
    assert len(fields["node"]) >= 12
    assert [one["node"] for one in listed(phone)] == [fields["node"]]


@pytest.mark.line(97)
@pytest.mark.parametrize("node", ["register-push-fcm", "unregister-push"])
@pytest.mark.mistake(22)
def test_cancelling_does_nothing(house: House, node: str) -> None:
    phone = house.phone(sm=False)
    phone.register("t:kept")
    done = command(phone.command(node, form(token="t:2"), action="cancel"))
    assert done["status"] == "canceled"
    assert len(listed(phone)) == 1


@pytest.mark.line(98, 101)
@pytest.mark.parametrize(
    "node",
    ["no-such-command", "Register-Push-Fcm", "register-push-webpush", "register-push-unifiedpush",
      "register-push-mozilla"],
)  # fmt: skip
def test_what_is_no_command_here_is_not_found(house: House, node: str) -> None:
    refused = house.friend().command(node, form(token="t:1"))
    assert refusal(refused) == ("cancel", "item-not-found")


@pytest.mark.line(98)
def test_commands_are_not_asked_for_by_get(house: House) -> None:
    asked = f"<command xmlns='{NS_COMMANDS}' node='list-push-registrations'/>"
    assert condition(house.friend().ask(asked, DOMAIN, "get")) == "bad-request"


@pytest.mark.line(99, 100)
@pytest.mark.parametrize(
    ("type", "fields", "named"),
    [
        ("fcm", {}, "token"),
        ("fcm", {"token": ""}, "token"),
        ("fcm", {"token": ["a", "b"]}, "token"),
        ("fcm", {"token": "two words"}, "token"),
        ("gcm", {"token": ""}, "token"),
        ("apns", {}, "token"),
        ("apns", {"token": ""}, "token"),
        ("apns", {"token": "not/base64!"}, "token"),
        ("apns", {"token": "abc"}, "token"),
        ("apns", {"token": APNS_TOKEN.hex(), "silent-push": "often"}, "silent-push"),
        ("apns", {"token": APNS_TOKEN.hex(), "environment": "the moon"}, "environment"),
        ("ubuntu", {"token": "t"}, "application-id"),
        ("ubuntu", {"token": "t", "application-id": ""}, "application-id"),
        ("ubuntu", {"application-id": "app.name_app"}, "token"),
        ("fcm", {"token": "t:1", "device-id": ["a", "b"]}, "device-id"),
        ("fcm", {"token": "t:1", "device-name": "n" * 2000}, "device-name"),
    ],
)
@pytest.mark.mistake(12)
def test_a_field_that_is_wrong_is_named_and_nothing_is_registered(
    house: House, type: str, fields: dict[str, Any], named: str
) -> None:
    phone = house.phone(sm=False)
    refused = phone.command(f"register-push-{type}", forms.submit(None, fields))
    assert refusal(refused) == ("modify", "bad-request")
    assert named in words(refused)
    assert f"<bad-payload xmlns='{NS_COMMANDS}'" in refused.toXml()
    assert not listed(phone)


@pytest.mark.line(100)
@pytest.mark.parametrize(
    "token",
    [APNS_TOKEN.hex(), APNS_TOKEN.hex().upper(), base64.b64encode(APNS_TOKEN).decode()],
    ids=["hexadecimal", "capitals", "base64"],
)
def test_an_apns_token_comes_in_two_spellings(house: House, token: str) -> None:
    phone = house.phone(sm=False)
    fields_of(phone.command("register-push-apns", form(token=token)))
    assert [one["type"] for one in listed(phone)] == ["apns"]


@pytest.mark.line(145)
@pytest.mark.parametrize(
    "channel",
    [
        "https://notify.windows.com.example/?token=x",
        "https://db3.notify.windows.com@wns.example/x",
        "http://db3.notify.windows.com/x",
        "not an address",
    ],
)
def test_a_channel_for_windows_is_at_microsofts(house: House, channel: str) -> None:
    phone = house.phone(sm=False)
    refused = phone.command("register-push-wns", form(token=channel))
    assert refusal(refused) == ("modify", "bad-request")
    assert "token" in words(refused)
    assert not listed(phone)
    right = form(token="https%3a%2f%2fdb3.notify.windows.com%2f%3ftoken%3dx")
    assert fields_of(phone.command("register-push-wns", right))["node"]


@pytest.mark.line(103)
def test_a_session_id_is_echoed(house: House) -> None:
    done = command(house.friend().command("list-push-registrations", sessionid="mine"))
    assert done["sessionid"] == "mine"


@pytest.mark.line(104)
def test_without_a_device_id_the_resource_is_the_device(house: House) -> None:
    phone = house.phone(sm=False)
    tablet = house.phone(phone.account, "tablet", sm=False)
    nodes = {device.register(f"t:{device.resource}")["node"] for device in (phone, tablet)}
    rows = listed(phone)
    assert {one["device-id"] for one in rows} == {"phone", "tablet"}
    assert {one["node"] for one in rows} == nodes


@pytest.mark.line(105, 106)
def test_the_same_device_keeps_its_node_and_has_a_new_token_and_secret(house: House) -> None:
    phone = house.phone()
    first = phone.register("again-old", device_name="Old name")
    succeeded(phone.enable(PUSH_HOST, first["node"], secret_form(first["secret"])))
    second = phone.register("again-new", device_name="New name")
    assert second["node"] == first["node"]
    assert second["secret"] != first["secret"]
    assert [one["device-name"] for one in listed(phone)] == ["New name"]
    # The answer may have been lost: the old secret holds until the new one is used.
    phone.cut()
    house.friend().message(phone.account, "with the old secret")
    [push] = house.pushes("again-new", wait=PATIENCE)
    assert not house.pushes("again-old")
    assert phone.resume().name == "resumed"
    phone.received()
    phone.settled()
    succeeded(phone.enable(PUSH_HOST, first["node"], secret_form(second["secret"])))
    phone.cut()
    house.friend().message(phone.account, "with the new secret")
    house.control(f"/requests?token=again-new&since={push['number']}&wait=20")
    assert phone.resume().name == "resumed"
    phone.received()
    phone.settled()
    succeeded(phone.enable(PUSH_HOST, first["node"], secret_form(first["secret"])))
    phone.cut()
    house.friend().message(phone.account, "with the old secret again")
    assert "forbidden" in house.event("push-disabled", account=phone.account)["reason"]


@pytest.mark.line(107)
def test_a_device_has_one_provider(house: House) -> None:
    phone = house.phone(sm=False)
    phone.register("t:fcm")
    fields_of(phone.command("register-push-apns", form(token=APNS_TOKEN.hex())))
    assert [one["type"] for one in listed(phone)] == ["apns"]


@pytest.mark.line(108)
def test_who_has_no_resource_names_a_device(house: House) -> None:
    asker = f"ann@{FOREIGN}"

    def asked(**fields: str) -> Element:
        given = asking("register-push-fcm", form(token="t:108", **fields))
        return house.service().ask_as(asker, DOMAIN, given)

    refused = asked()
    assert refusal(refused) == ("modify", "bad-request")
    assert "device-id" in words(refused)
    assert fields_of(asked(device_id="hers"))["node"]


@pytest.mark.line(109, 110)
@pytest.mark.parametrize("host", [DOMAIN, DEEP])
@pytest.mark.parametrize(
    "node", ["register-push-fcm", "list-push-registrations", "unregister-push"]
)
def test_who_may_not_register_may_nothing(local: House, host: str, node: str) -> None:
    asked = asking(node, form(token="t:109"))
    answer = local.service().ask_as(f"ann@{FOREIGN}/phone", host, asked)
    assert refusal(answer) == ("auth", "forbidden")
    own = local.phone(sm=False)
    assert own.register("t:own", to=host)["node"]


# Listing.


@pytest.mark.line(111)
def test_an_empty_list_has_no_form(house: House) -> None:
    done = command(house.phone(sm=False).command("list-push-registrations"))
    assert done["status"] == "completed"
    assert not list(children(done))


@pytest.mark.line(112, 113, 114)
def test_the_list_tells_one_s_own_devices_and_no_secret(house: House) -> None:
    phone, other = house.phone(sm=False), house.phone(sm=False)
    mine = phone.register("t:listed-token", device_name="My phone")
    second = phone.register("t:listed-second", device_id="second")
    theirs = other.register("t:not-listed")
    answer = phone.command("list-push-registrations")
    [table] = children(command(answer))
    parts = [one.name for one in children(table)]
    assert parts == ["reported", "item", "item"]
    heading = next(children(table))
    reported = {one["var"] for one in children(heading)}
    assert {"node", "device-name", "device-id", "type", "app", "registered"} <= reported
    rows = {one["node"]: one for one in listed(phone)}
    assert set(rows) == {mine["node"], second["node"]}
    assert rows[mine["node"]]["device-name"] == "My phone"
    assert "device-name" not in rows[second["node"]]
    for row in rows.values():
        assert set(row) <= reported
    said = answer.toXml()
    for hidden in ("t:listed-token", mine["secret"], second["secret"], theirs["node"]):
        assert hidden not in said


# Unregistering.


@pytest.mark.line(115)
def test_without_a_form_the_device_that_asks_is_unregistered(house: House) -> None:
    phone = house.phone(sm=False)
    tablet = house.phone(phone.account, "tablet", sm=False)
    phone.register("t:1")
    tablet.register("t:2")
    done = command(phone.command("unregister-push"))
    assert done["status"] == "completed"
    assert not list(children(done))
    assert [one["device-id"] for one in listed(phone)] == ["tablet"]


@pytest.mark.line(116)
def test_a_device_is_unregistered_from_another(house: House) -> None:
    phone = house.phone(sm=False)
    desk = house.phone(phone.account, "desk", sm=False)
    phone.register("t:1")
    assert command(desk.command("unregister-push", form(device_id="phone")))
    assert not listed(phone)


@pytest.mark.parametrize("truth", ["1", "true"])
def test_all_devices_are_unregistered_at_once(house: House, truth: str) -> None:
    phone, other = house.phone(sm=False), house.phone(sm=False)
    for name in "abc":
        phone.register(f"t:all-{name}", device_id=name)
    theirs = other.register("t:not-of-all")["node"]
    assert command(phone.command("unregister-push", form(all=truth)))["status"] == "completed"
    assert not listed(phone)
    assert [one["node"] for one in listed(other)] == [theirs]


@pytest.mark.line(117, 118, 119)
def test_nodes_are_unregistered_and_unknown_and_foreign_ones_passed_over_alike(
    house: House,
) -> None:
    phone, other = house.phone(sm=False), house.phone(sm=False)
    nodes = [phone.register(f"t:{name}", device_id=name)["node"] for name in "abc"]
    theirs = other.register("t:theirs")["node"]
    wanted = [nodes[0], "unknown", theirs, nodes[2]]
    answer = phone.command("unregister-push", form(nodes=wanted, device_id="b"))
    [removed] = children(command(answer))
    assert removed["type"] == "result"
    [field] = children(removed)
    assert (field["var"], field["type"]) == ("nodes", "list-multi")
    assert {str(one) for one in children(field)} == {nodes[0], nodes[2]}
    assert [one["node"] for one in listed(phone)] == [nodes[1]]
    assert [one["node"] for one in listed(other)] == [theirs]
    nothing = phone.command("unregister-push", form(nodes=["unknown", theirs]))
    [removed] = children(command(nothing))
    [field] = children(removed)
    assert not list(children(field))
    assert len(listed(phone)) == 1


@pytest.mark.line(120)
@pytest.mark.parametrize("fields", [{}, {"device-id": "no such"}])
def test_a_device_that_is_not_registered_cannot_be_unregistered(
    house: House, fields: dict[str, str]
) -> None:
    phone = house.phone(sm=False)
    phone.register("t:1", device_id="another")
    given = forms.submit(None, fields) if fields else None
    refused = phone.command("unregister-push", given)
    assert refusal(refused) == ("modify", "bad-request")
    assert "device-id" in words(refused)
    assert len(listed(phone)) == 1


@pytest.mark.line(121)
def test_unregistering_ends_the_enablement_and_the_session_that_waited(house: House) -> None:
    phone = house.phone()
    desk = house.phone(phone.account, "desk", sm=False)
    given = phone.enable_registered("t:ended")
    phone.cut()
    assert command(desk.command("unregister-push", form(device_id="phone")))
    ended = house.event("push-disabled", account=phone.account)
    assert (ended["service"], ended["reason"]) == (PUSH_HOST, "the service gave notice")
    [row] = house.operate("sessions", jid=phone.jid)["sessions"]
    assert 200 < row["hold_left"] <= 300  # as `<enabled/>` has promised
    assert condition(desk.disable(PUSH_HOST, given["node"])) == "item-not-found"


@pytest.mark.line(122)
def test_a_user_from_elsewhere_is_told_by_a_notice(house: House) -> None:
    service, user = house.service(), f"bob@{FOREIGN}/phone"

    def ask(node: str, *parts: Element) -> Element:
        return service.ask_as(user, DOMAIN, asking(node, *parts))

    given = fields_of(ask("register-push-fcm", form(token="t:bob")))
    assert command(ask("unregister-push"))
    told = service.take("notice", lambda one: child(one, NS_PUBSUB, "pubsub") is not None)
    assert (told.name, told["from"], told["to"]) == ("message", PUSH_HOST, f"bob@{FOREIGN}")
    pubsub = child(told, NS_PUBSUB, "pubsub")
    assert pubsub is not None
    assert pubsub["node"] == given["node"]
    affiliation = child(pubsub, NS_PUBSUB, "affiliation")
    assert affiliation is not None
    assert (affiliation["jid"], affiliation["affiliation"]) == (f"bob@{FOREIGN}", "none")


@pytest.mark.mistake(22)
def test_a_command_without_a_form_offers_one_that_can_be_filled_in(house: House) -> None:
    phone = house.phone(sm=False)
    offered = command(phone.command("register-push-apns"))
    assert offered["status"] == "executing"
    shown = child(offered, NS_FORMS, "x")
    assert shown is not None
    names = {one["var"] for one in children(shown) if one.name == "field"}
    assert {"FORM_TYPE", "token", "device-id", "device-name"} <= names
    filled = form(None, FORM_PUSH_OPTIONS, token=APNS_TOKEN.hex(), device_name="Filled in")
    done = phone.command(
        "register-push-apns", filled, sessionid=offered["sessionid"], action="complete"
    )
    assert fields_of(done)["node"]
