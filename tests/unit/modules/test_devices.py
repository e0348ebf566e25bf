"""The commands at the own bare JID: who sees them, what they tell, and what they do."""

import pytest

from pushd.appserver.registrations import Wanted
from pushd.routing.events import DeviceUnregistered, PushDecided, PushDisabled
from pushd.routing.pushing import called
from pushd.wire import forms
from pushd.wire.element import Element, child, children, serialize
from pushd.wire.namespaces import NS_COMMANDS
from pushd.wire.secret import Secret
from tests.hall import Client
from tests.unit.appserver.house import BACKEND, ELSEWHERE, ROMEO, SECRET, TOKEN, House, enable
from tests.unit.appserver.stage import JULIET, PUBSUB

DESK = f"{JULIET}/desk"
INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"
NODES = [
    "push-devices",
    "push-test",
    "push-remove",
    "push-pause",
    "push-resume",
    "push-decisions",
    "push-ledger",
]


@pytest.fixture
def house() -> House:
    return House()


def asked(client: Client, node: str, to: str = JULIET, action: str = "", **fields: str) -> Element:
    """Execute a command; with fields, submit its form."""
    form = serialize(forms.submit(None, fields)).decode() if fields else ""
    at = f" to='{to}'" if to else ""
    action = f" action='{action}'" if action else ""
    client.pass_on(
        f"<iq type='set' id='c'{at}><command xmlns='{NS_COMMANDS}' node='{node}'{action}>{form}"
        "</command></iq>"
    )
    client.hall.advance(0)
    client.hall.advance(20)
    [answer] = [one for one in client.received() if one.getAttribute("id") == "c"]
    return answer


def command(answer: Element) -> Element:
    found = child(answer, NS_COMMANDS, "command")
    assert found is not None, answer.toXml()
    return found


def notes(answer: Element) -> list[str]:
    return [str(one) for one in children(command(answer)) if one.name == "note"]


def rows(answer: Element) -> list[dict[str, str]]:
    found = forms.find(command(answer))
    assert found is not None, answer.toXml()
    return [{name: values[0] for name, values in row.items()} for row in found.items]


def refusal(answer: Element) -> tuple[list[str], str]:
    assert answer["type"] == "error", answer.toXml()
    names = [one.name for one in answer.error.elements() if one.name != "text"]
    return names, str(answer.error.text or "")


def discovered(client: Client, namespace: str, to: str, node: str = "") -> Element:
    at = f" node='{node}'" if node else ""
    return client.ask(f"<iq type='get' id='d' to='{to}'><query xmlns='{namespace}'{at}/></iq>")


def test_the_owner_finds_the_commands_where_clients_look(house: House) -> None:
    desk = house.hall.login(DESK)

    info = discovered(desk, INFO, JULIET)
    assert NS_COMMANDS in {one["var"] for one in info.query.elements() if one.name == "feature"}
    listed = discovered(desk, ITEMS, JULIET, NS_COMMANDS)
    assert [(one["jid"], one["node"]) for one in listed.query.elements()] == [
        (JULIET, node) for node in NODES
    ]
    [pointer] = discovered(desk, ITEMS, JULIET).query.elements()
    assert (pointer["jid"], pointer["node"]) == (JULIET, NS_COMMANDS)
    about = discovered(desk, INFO, JULIET, "push-devices")
    [identity] = [one for one in about.query.elements() if one.name == "identity"]
    assert (identity["category"], identity["type"]) == ("automation", "command-node")
    assert identity["name"] == "My devices for push"


def test_nobody_else_is_told_of_them(house: House) -> None:
    juliet = house.phone()
    romeo = house.hall.login(f"{ROMEO}/o")
    stranger = [
        refusal(asked(romeo, "push-devices")),
        refusal(asked(romeo, "push-nonsense")),
        refusal(asked(romeo, "push-devices", to="nobody@example.net")),
    ]
    assert stranger == [(["service-unavailable"], "")] * 3

    # A contact may know that there is such an account, and learns no more.
    rosters = house.host.rosters

    async def may_see(account: str, other: str) -> bool:
        return True

    rosters.may_see = may_see  # type: ignore[assignment,method-assign]
    house.host.disco.may_ask = lambda request: True
    info = discovered(romeo, INFO, JULIET)
    assert NS_COMMANDS not in {one.getAttribute("var") for one in info.query.elements()}
    assert list(discovered(romeo, ITEMS, JULIET, NS_COMMANDS).query.elements()) == []
    assert list(discovered(romeo, ITEMS, JULIET).query.elements()) == []
    assert refusal(discovered(romeo, INFO, JULIET, "push-devices"))[0] == ["item-not-found"]
    for node in NODES:
        assert refusal(asked(romeo, node, device="all"))[0] == ["forbidden"]
    assert juliet.received() == []


def test_a_device_that_registered_for_a_room_is_listed_for_it(house: House) -> None:
    house.phone(device_name="Juliet's phone", enabled=False)
    registrations = house.stage.server.registrations
    [registration] = registrations.of(JULIET)
    wanted = Wanted(
        JULIET,
        "phone",
        BACKEND,
        "post",
        "any",
        registration.token,
        dialect="conversations",
        room="hall@rooms.example",
    )
    registrations.register(wanted, 0.0)

    desk = house.hall.login(DESK)
    found = {row["name"]: row for row in rows(asked(desk, "push-devices"))}

    assert set(found) == {"Juliet's phone", "phone, for hall@rooms.example"}
    assert found["phone, for hall@rooms.example"]["state"].startswith("registered for a room")
    [device] = called(house.host.push.devices(JULIET), "phone")
    assert device.name == "Juliet's phone"


def test_devices_are_listed_with_their_names_and_last_pushes(house: House) -> None:
    phone = house.phone(device_name="Juliet's phone")
    enable(phone, ELSEWHERE, "a-token-for-a-node", SECRET)
    house.phone(f"{JULIET}/pad", enabled=False)
    phone.cut()
    house.write()

    answer = asked(house.hall.login(DESK), "push-devices")

    found = {row["name"]: row for row in rows(answer)}
    assert set(found) == {"Juliet's phone", "phone", "pad"}
    mine, elsewhere, pad = found["Juliet's phone"], found["phone"], found["pad"]
    assert mine["service"] == PUBSUB
    assert mine["last-push"] == "2023-11-14T22:13:20Z"
    assert mine["enabled"] == "2023-11-14T22:13:20Z"
    assert mine["type"] == "post any"
    assert (mine["state"], mine["waiting"], mine["device-is"]) == ("ok", "1", "detached")
    assert elsewhere["service"] == ELSEWHERE
    assert elsewhere["node"] == Secret("a-token-for-a-node").digest
    assert pad["state"] == "registered, but its client has not enabled push"
    for secret in (TOKEN, SECRET, "a-token-for-a-node", *house.stage.nodes(JULIET)):
        assert secret not in answer.toXml()


@pytest.mark.parametrize("node", ["push-devices", "push-test", "push-remove"])
def test_without_devices_that_is_said(house: House, node: str) -> None:
    answer = asked(house.hall.login(DESK), node)

    assert command(answer)["status"] == "completed"
    assert notes(answer) == ["No device of yours can be woken."]


@pytest.mark.parametrize(
    ("node", "text"), [("push-decisions", "Nothing is remembered"), ("push-ledger", "No")]
)
def test_without_a_past_that_is_said(house: House, node: str, text: str) -> None:
    [note] = notes(asked(house.hall.login(DESK), node))
    assert note.startswith(text)


def test_decisions_are_told_the_newest_first(house: House) -> None:
    house.phone(device_name="Juliet's phone").cut()
    house.write()
    house.hall.advance(5)
    house.host.events.emit(PushDecided(JULIET, "", "", False, "not enabled", "message", ROMEO))

    found = rows(asked(house.hall.login(DESK), "push-decisions"))

    assert found[0] == {
        "at": "2023-11-14T22:13:26Z",
        "what": "no push",
        "why": "not enabled",
        "kind": "message",
        "sender": ROMEO,
    }
    assert {row["what"] for row in found} == {
        "no push", "push", "publish accepted", "provider: accepted",
    }  # fmt: skip
    assert found[1]["device"] == "Juliet's phone"


def test_the_ledger_is_told_the_newest_first(house: House) -> None:
    house.phone(device_name="Juliet's phone").cut()
    house.write()

    found = rows(asked(house.hall.login(DESK), "push-ledger"))

    assert [row["what"] for row in found][-2:] == ["created", "created"]
    assert {row["what"] for row in found} == {"created", "pushed"}
    assert {row["device"] for row in found} == {"Juliet's phone"}


def test_a_form_offers_the_devices_and_all_of_them(house: House) -> None:
    house.phone(device_name="Juliet's phone")
    house.phone(f"{JULIET}/pad")
    desk = house.hall.login(DESK)

    answer = asked(desk, "push-test")
    assert command(answer)["status"] == "executing"
    form = child(command(answer), "jabber:x:data", "x")
    assert form is not None
    [field] = [one for one in form.elements() if one.name == "field"]
    assert (field["var"], field["type"]) == ("device", "list-single")
    options = {one["label"]: str(one.value) for one in field.elements() if one.name == "option"}
    assert options == {
        "All of them": "all",
        f"Juliet's phone ({PUBSUB})": Secret(house.stage.nodes(JULIET)[0]).digest,
        f"pad ({PUBSUB})": Secret(house.stage.nodes(JULIET)[1]).digest,
    }
    removing = child(command(asked(desk, "push-remove")), "jabber:x:data", "x")
    assert removing is not None
    assert "All of them" not in removing.toXml()


def test_devices_with_the_same_node_are_told_apart(house: House) -> None:
    """A node of that name may be at another service, too."""
    phone = house.phone()
    enable(phone, ELSEWHERE, house.node, SECRET)
    desk = house.hall.login(DESK)
    digest = Secret(house.node).digest

    form = child(command(asked(desk, "push-remove")), "jabber:x:data", "x")
    assert form is not None
    [field] = [one for one in form.elements() if one.name == "field"]
    values = [str(one.value) for one in field.elements() if one.name == "option"]
    assert values == [f"{digest}@{PUBSUB}", f"{digest}@{ELSEWHERE}"]

    words = "device: several of yours are called so"
    assert refusal(asked(desk, "push-remove", device=digest))[1] == words
    answer = asked(desk, "push-remove", device=values[1])
    assert notes(answer) == [f"phone ({ELSEWHERE}) is removed."]
    assert [one.service for one in house.host.push.enabled(JULIET)] == [PUBSUB]


def test_a_device_is_removed_on_both_sides(house: House) -> None:
    house.phone(device_name="Juliet's phone")
    desk = house.hall.login(DESK)
    digest = Secret(house.node).digest

    answer = asked(desk, "push-remove", device=digest)

    assert notes(answer) == [f"Juliet's phone ({PUBSUB}) is removed."]
    assert house.stage.nodes(JULIET) == []
    assert list(house.host.push.enabled(JULIET)) == []
    assert [event.by for event in house.hall.events(DeviceUnregistered)] == [DESK]
    assert len(house.hall.events(PushDisabled)) == 1


@pytest.mark.parametrize(
    ("node", "fields", "words"),
    [
        ("push-remove", {"device": "nonsense"}, "device: you have no such device"),
        ("push-remove", {"device": "all"}, "device: you have no such device"),
        ("push-remove", {"other": "x"}, "device: it is missing"),
        ("push-remove", {"device": ""}, "device: it is missing"),
        ("push-test", {"device": "nonsense"}, "device: you have no such device"),
        (
            "push-pause",
            {"for": "an hour"},
            "for: whole seconds are expected, 31622400 at most, or 0",
        ),
        ("push-pause", {"for": "-1"}, "for: whole seconds are expected, 31622400 at most, or 0"),
        (
            "push-pause",
            {"for": "9" * 30},
            "for: whole seconds are expected, 31622400 at most, or 0",
        ),
        ("push-pause", {"x": "1"}, "for: it is missing"),
    ],
)
def test_what_cannot_be_names_the_field(
    house: House, node: str, fields: dict[str, str], words: str
) -> None:
    house.phone()
    answer = asked(house.hall.login(DESK), node, **fields)

    assert refusal(answer) == (["bad-request", "bad-payload"], words)
    assert len(house.stage.nodes(JULIET)) == 1


def test_what_is_cancelled_changes_nothing(house: House) -> None:
    house.phone()
    desk = house.hall.login(DESK)

    assert command(asked(desk, "push-remove", action="cancel"))["status"] == "canceled"
    assert refusal(asked(desk, "push-remove", action="next"))[0] == ["bad-request", "bad-action"]
    assert len(house.stage.nodes(JULIET)) == 1


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (200, "the push network took it after 0.0 s, but its client has not enabled push."),
        (503, "the push network has not taken it yet."),
        (400, "the push network did not take it (refused: HTTP 400)."),
        (410, "the push network did not take it (unregistered"),
    ],
)
def test_a_test_push_tells_how_far_it_came(house: House, status: int, said: str) -> None:
    house.phone(device_name="Juliet's phone", enabled=False)
    house.status = status

    answer = asked(house.hall.login(DESK), "push-test", device="phone")

    [note] = notes(answer)
    assert note.startswith(f"Juliet's phone ({PUBSUB}): {said}")
    assert len(house.transport.sent) >= 1


def test_a_test_push_is_not_answered_by_another_devices(house: House) -> None:
    house.phone(enabled=False)
    house.phone(f"{JULIET}/pad", enabled=False)
    house.ask("pause", what=BACKEND)

    [phone, pad] = notes(asked(house.hall.login(DESK), "push-test", device="all"))

    assert phone.endswith("the push network has not taken it yet.")
    assert pad.endswith("the push network has not taken it yet.")
    assert house.host.push._settling._expected == {}


def test_push_is_paused_for_a_while(house: House) -> None:
    house.phone().cut()
    desk = house.hall.login(DESK, available=False)

    form = child(command(asked(desk, "push-pause")), "jabber:x:data", "x")
    assert form is not None
    assert "Eight hours" in form.toXml()
    until = "2023-11-15T06:13:"
    [note] = notes(asked(desk, "push-pause", **{"for": "28800"}))
    assert note.startswith(f"Push is paused until {until}")
    [note] = notes(asked(desk, "push-devices"))
    assert note.startswith(f"Push is paused until {until}")

    house.write()
    assert house.transport.sent == []
    [decision, *_] = rows(asked(desk, "push-decisions"))
    assert (decision["what"], decision["why"]) == ("no push", "paused")

    house.hall.advance(28_800)
    assert len(house.transport.sent) == 1
    assert notes(asked(desk, "push-devices")) == []


def test_push_is_paused_until_it_is_resumed(house: House) -> None:
    house.phone().cut()
    desk = house.hall.login(DESK, available=False)

    assert notes(asked(desk, "push-pause", **{"for": "0"})) == [
        "Push is paused until you resume it."
    ]
    house.write()
    house.hall.advance(86_400)
    assert house.transport.sent == []

    assert notes(asked(desk, "push-resume")) == ["Push goes on."]
    assert len(house.transport.sent) == 1
    assert notes(asked(desk, "push-resume")) == ["Push is not paused."]


def test_a_test_push_goes_the_way_of_any_other(house: House) -> None:
    phone = house.phone(device_name="Juliet's phone")
    enable(phone, ELSEWHERE, "elsewhere", SECRET)
    phone.cut()

    [mine, theirs] = notes(asked(house.hall.login(DESK), "push-test", device="all"))

    assert mine == f"Juliet's phone ({PUBSUB}): the push network took it after 0.0 s."
    assert theirs == f"phone ({ELSEWHERE}): the push service did not take it (no answer yet)."
    assert [line.what for line in house.hall.wait(house.host.ledger.of(JULIET))].count(
        "pushed"
    ) == 2


def test_a_test_follows_another_after_some_seconds(house: House) -> None:
    house.phone(device_name="Juliet's phone")
    desk = house.hall.login(DESK)
    form = serialize(forms.submit(None, {"device": "all"})).decode()
    for number in range(3):
        desk.pass_on(
            f"<iq type='set' id='{number}' to='{JULIET}'><command xmlns='{NS_COMMANDS}' "
            f"node='push-test'>{form}</command></iq>"
        )
    house.hall.advance(0)
    house.hall.advance(20)

    answers = {one["id"]: one for one in desk.received() if one.name == "iq"}
    assert [answers[id]["type"] for id in "012"] == ["result", "error", "error"]
    assert refusal(answers["1"]) == (
        ["resource-constraint"],
        "a test was sent just now: wait some seconds",
    )
    assert len(house.transport.sent) == 1
    assert notes(asked(desk, "push-test", device="all"))


def test_a_removed_device_is_removed_by_its_owner(house: House) -> None:
    house.phone()
    asked(house.hall.login(DESK), "push-remove", device="phone")

    [disabled] = house.hall.events(PushDisabled)
    assert (disabled.reason, disabled.by) == ("removed by its owner", DESK)
