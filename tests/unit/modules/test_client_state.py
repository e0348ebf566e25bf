from pathlib import Path

import pytest

from pushd.modules.client_state import BYTES, STANZAS
from pushd.routing.events import Undelivered
from pushd.wire.acks import HandledCountTooHigh
from pushd.wire.element import Element, child
from tests.hall import Client, Hall

MODULES = {"roster": None, "presence": None, "offline": None, "carbons": None, "client_state": None}
JULIET = "juliet@example.net/phone"
ROMEO = "romeo@example.org/orchard"
NURSE = "nurse@example.org/kitchen"
ROOM = "verona@rooms.example.org"
COMPOSING = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
MUC = "http://jabber.org/protocol/muc#user"


def message(content: str, sender: str = ROMEO, type: str = "chat", id: str = "m") -> str:
    return f"<message from='{sender}' to='{JULIET}' type='{type}' id='{id}'>{content}</message>"


def presence(sender: str = ROMEO, content: str = "", type: str = "") -> str:
    kind = f" type='{type}'" if type else ""
    return f"<presence from='{sender}' to='{JULIET}'{kind}>{content}</presence>"


def show(what: str) -> str:
    return f"<show>{what}</show>"


def in_room(content: str) -> str:
    return presence(f"{ROOM}/romeo", f"<x xmlns='{MUC}'>{content}</x>")


def hall(path: Path | str = ":memory:") -> Hall:
    return Hall(modules=MODULES, path=path)


def inactive(house: Hall, sm: bool = True) -> Client:
    juliet = house.login(JULIET, sm=sm)
    if sm:
        juliet.acknowledge()
    juliet.inactive()
    return juliet


def names(client: Client) -> list[str]:
    """What came: who is available how, who writes, and what."""
    return [_name(one) for one in client.received()]


def _name(one: Element) -> str:
    sender = str(one["from"]).partition("@")[0]
    if one.name == "presence":
        return f"{sender} {one.show or one.getAttribute('type') or 'available'}"
    return f"{sender} {one.body or one.getAttribute('type')}" if one.body else f"{sender} state"


HELD = {
    "available": presence(),
    "unavailable": presence(type="unavailable"),
    "another resource of the account": presence("juliet@example.net/desk"),
    "an occupant of a room": in_room("<item affiliation='none' role='participant'/>"),
    "a chat state": message(COMPOSING),
    "a chat state in a room": message(COMPOSING, f"{ROOM}/romeo", "groupchat"),
    "a chat state in a thread, with a hint": message(
        f"{COMPOSING}<thread>t</thread><no-store xmlns='urn:xmpp:hints'/>"
    ),
}
URGENT = {
    "a body": message("<body>hi</body>"),
    "a body with a chat state": message(f"<body>hi</body>{COMPOSING}"),
    "a receipt": message("<received xmlns='urn:xmpp:receipts' id='a'/>"),
    "a marker with a chat state": message(
        f"<displayed xmlns='urn:xmpp:chat-markers:0' id='a'/>{COMPOSING}"
    ),
    "nothing at all": message(""),
    "a chat state that is to be stored": message(f"{COMPOSING}<store xmlns='urn:xmpp:hints'/>"),
    "a subject": message("<subject>Verona</subject>", ROOM, "groupchat"),
    "a PEP event": message(
        "<event xmlns='http://jabber.org/protocol/pubsub#event'/>", "romeo@example.org", "headline"
    ),
    "an error": message(f"{COMPOSING}<error type='cancel'/>", type="error"),
    "a request": f"<iq type='get' id='q' from='{ROMEO}' to='{JULIET}'><query xmlns='q'/></iq>",
    "an answer": f"<iq type='result' id='q' from='{ROMEO}' to='{JULIET}'/>",
    "an error about presence": presence(content="<error type='cancel'/>", type="error"),
    "presence of its own": presence(JULIET),
    "being in a room": in_room("<item role='participant'/><status code='110'/>"),
    "being out of a room": in_room("<item role='none'/><destroy/>"),
    "a carbon that is none": message(
        f"<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>"
        f"<message xmlns='jabber:client' type='chat'>{COMPOSING}</message></forwarded></received>"
    ),
}


@pytest.mark.parametrize("sm", [True, False], ids=["managed", "not managed"])
@pytest.mark.parametrize("xml", HELD.values(), ids=HELD.keys())
def test_this_is_held_until_the_client_is_active(xml: str, sm: bool) -> None:
    house = hall()
    juliet = inactive(house, sm)

    house.route(xml)

    assert juliet.received() == []
    juliet.active()
    [held] = juliet.received()
    assert held["from"] in xml
    house.route(xml)
    assert len(juliet.received()) == 1


@pytest.mark.parametrize("sm", [True, False], ids=["managed", "not managed"])
@pytest.mark.parametrize("xml", URGENT.values(), ids=URGENT.keys())
def test_this_comes_at_once_and_after_what_is_held(xml: str, sm: bool) -> None:
    house = hall()
    juliet = inactive(house, sm)
    house.route(presence(NURSE))

    house.route(xml)

    first, second = juliet.received()
    assert (first.name, first["from"]) == ("presence", NURSE)
    assert second["from"] in xml
    house.route(presence(NURSE))
    assert juliet.received() == []  # it is still inactive


def test_a_request_for_a_subscription_comes_at_once() -> None:
    house = Hall(modules={**MODULES, "subscriptions": None})
    romeo = house.login("romeo@example.net/orchard")
    juliet = inactive(house)

    romeo.send("<presence to='juliet@example.net' type='subscribe'/>")

    assert [one.getAttribute("type") for one in juliet.received()] == ["subscribe"]


@pytest.mark.parametrize("sm", [True, False], ids=["managed", "not managed"])
def test_of_each_sender_only_the_newest_presence_is_kept_in_order(sm: bool) -> None:
    house = hall()
    juliet = inactive(house, sm)
    for xml in (
        presence(content=show("away")),
        presence(NURSE, show("dnd")),
        message(COMPOSING),
        presence(content=show("xa")),
        presence(NURSE, show("chat")),
        presence(type="unavailable"),
        message("<body>adieu</body>"),
    ):
        house.route(xml)

    assert names(juliet) == ["romeo state", "nurse chat", "romeo unavailable", "romeo adieu"]


def test_what_was_held_tells_when_it_came() -> None:
    house = hall()
    juliet = inactive(house)
    house.route(presence())
    house.advance(60)

    juliet.active()

    [held] = juliet.received()
    delayed = child(held, "urn:xmpp:delay", "delay")
    assert delayed is not None
    assert (delayed["from"], delayed["stamp"]) == ("example.net", "2023-11-14T22:13:20.000Z")


@pytest.mark.parametrize("sm", [True, False], ids=["managed", "not managed"])
def test_the_number_of_what_is_held_is_bounded(sm: bool) -> None:
    house = hall()
    juliet = inactive(house, sm)

    for number in range(STANZAS):
        house.route(presence(f"a{number}@example.org/x"))
    assert juliet.received() == []
    house.route(presence())

    assert len(juliet.received()) == STANZAS + 1
    house.route(presence())
    assert juliet.received() == []


def test_the_size_of_what_is_held_is_bounded() -> None:
    house = hall()
    juliet = inactive(house)
    status = f"<status>{'a' * (BYTES // 2)}</status>"

    house.route(presence(NURSE, status))
    house.route(presence(NURSE, status))
    assert juliet.received() == []
    house.route(presence(ROMEO, status))

    assert names(juliet) == ["nurse available", "romeo available"]


def test_being_inactive_twice_changes_nothing() -> None:
    house = hall()
    juliet = inactive(house)
    house.route(presence())

    juliet.inactive()

    assert juliet.received() == []
    juliet.active()
    juliet.active()
    assert names(juliet) == ["romeo available"]


def test_no_acknowledgement_is_asked_for_while_all_is_held() -> None:
    house = hall()
    juliet = house.login(JULIET, sm=True)
    house.route(message("<body>hi</body>"))
    juliet.inactive()
    house.route(presence())
    juliet.received()

    juliet.acknowledge()

    assert juliet.outlet.unread == []
    juliet.active()
    assert len(juliet.nonzas("r")) == 1
    juliet.acknowledge()
    assert juliet.session.queue is not None
    assert len(juliet.session.queue) == 0


def test_what_is_held_cannot_be_acknowledged() -> None:
    """XEP-0198 §4: it was not sent."""
    house = hall()
    juliet = inactive(house)
    house.route(presence())

    with pytest.raises(HandledCountTooHigh) as raised:
        juliet.acknowledge(2)

    assert (raised.value.h, raised.value.sent) == (2, 1)  # its own presence was


def test_stream_management_that_begins_later_counts_nothing_of_it() -> None:
    house = hall()
    juliet = inactive(house, sm=False)
    house.route(presence())

    house.wait(house.host.lifecycle.manage(juliet.session, True, None))
    house.route(presence(NURSE))
    house.host.lifecycle.start_counting(juliet.session)

    assert names(juliet) == ["romeo available", "nurse available"]
    assert juliet.session.queue is not None
    assert juliet.session.queue.sent == 0


def test_what_is_held_waits_on_when_the_stream_is_lost() -> None:
    """The newest of each sender waits; a resumed stream is active (§5)."""
    house = hall()
    juliet = inactive(house)
    house.route(presence(content=show("away")))
    house.route(message(COMPOSING, NURSE))

    juliet.cut()
    house.route(presence(content=show("dnd")))
    juliet.resume()

    assert names(juliet) == ["romeo dnd", "nurse state"]
    house.route(presence())
    assert names(juliet) == ["romeo available"]


def test_a_session_that_is_taken_over_is_active() -> None:
    house = hall()
    juliet = inactive(house)
    house.route(presence())

    juliet.resume()

    assert names(juliet) == ["romeo available"]
    house.route(presence())
    assert names(juliet) == ["romeo available"]


def test_what_is_held_outlives_the_server(tmp_path: Path) -> None:
    """Its senders were told that it is safe."""
    house = hall(tmp_path / "pushd.db")
    juliet = inactive(house)
    house.route(presence(content=show("away")))
    house.route(presence(NURSE))
    house.route(presence(content=show("dnd")))

    again = house.killed()

    session = again.host.sessions.by_token(juliet.session.token)
    assert session is not None
    revived = Client(again, session, juliet.outlet)
    revived.resume(1)
    assert names(revived) == ["nurse available", "romeo dnd"]


@pytest.mark.parametrize("sm", [True, False], ids=["managed", "not managed"])
def test_when_the_session_ends_nothing_of_it_is_stored(sm: bool) -> None:
    house = hall()
    juliet = inactive(house, sm)
    house.route(presence())
    house.route(message(COMPOSING))

    juliet.close()

    assert house.host.offline.count("juliet@example.net") == 0
    assert house.events(Undelivered) == []
    assert house.rows("SELECT * FROM queue") == []


def test_storage_forgets_what_was_replaced_and_what_was_acknowledged() -> None:
    house = hall()
    juliet = inactive(house)
    for what in ("away", "dnd", "xa"):
        house.route(presence(content=show(what)))
    assert len(house.rows("SELECT * FROM queue")) == 1

    juliet.active()
    juliet.acknowledge()

    assert house.rows("SELECT * FROM queue") == []


def enable_carbons(client: Client) -> None:
    client.ask("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")


@pytest.mark.parametrize("sm", [True, False], ids=["managed", "not managed"])
def test_the_carbon_of_a_chat_state_is_held_and_that_of_a_message_is_not(sm: bool) -> None:
    house = hall()
    phone, desk = house.login(JULIET, sm=sm), house.login("juliet@example.net/desk", sm=True)
    enable_carbons(phone)
    phone.inactive()
    phone.received()
    romeo = house.login("romeo@example.net/orchard")

    romeo.send(f"<message to='juliet@example.net/desk' type='chat'>{COMPOSING}</message>")
    desk.send(f"<message to='romeo@example.net/orchard' type='chat'>{COMPOSING}</message>")
    assert phone.received() == []
    romeo.send("<message to='juliet@example.net/desk' type='chat'><body>hi</body></message>")

    directions = [next(iter(one.elements())).name for one in phone.received()]
    assert directions == ["received", "sent", "received"]


@pytest.mark.parametrize("sm", [True, False], ids=["managed", "not managed"])
def test_copies_of_a_chat_state_leave_nothing_behind(sm: bool) -> None:
    """One receiver holds it, the other ends without acknowledging it: it comes once."""
    house = hall()
    phone, desk = house.login(JULIET, sm=sm), house.login("juliet@example.net/desk", sm=True)
    phone.inactive()
    phone.received()
    house.route(
        f"<message from='{ROMEO}' to='juliet@example.net' type='chat'>{COMPOSING}</message>"
    )

    desk.close()
    phone.active()

    states = [one for one in phone.received() if one.name == "message"]
    assert len(states) == 1
    if sm:
        phone.acknowledge()
    assert house.rows("SELECT * FROM queue") == []
