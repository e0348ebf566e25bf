"""RFC 6121 between servers: Romeo is here, Juliet is there, and hers says what it wants.

What we say to her server is given as "name type from to", with the names of the resources.
"""

from typing import Any

import pytest

from pushd.modules.catalogue import available
from pushd.wire.element import Element
from tests.hall import Client, Hall
from tests.unit.s2s.house import HERE, THERE, End, House

ROMEO, JULIET = "romeo@example.net", "juliet@there.example"
TO_JULIET = f"to='{JULIET}'"


def told(one: Element) -> str:
    kind = one.getAttribute("type") or "-"
    condition = ""
    if kind == "error":
        [error] = [child for child in one.elements() if child.name == "error"]
        condition = f" {next(error.elements()).name}"
    short = [one[key].replace(ROMEO, "romeo").replace(JULIET, "juliet") for key in ("from", "to")]
    return f"{one.name} {kind} {short[0]} {short[1]}{condition}"


class World:
    """Streams stand both ways."""

    def __init__(self) -> None:
        self.house = House(Hall(modules=dict.fromkeys(available())))
        self.hall = self.house.hall
        self.end = self.house.external()
        self.romeo = self.log_in("orchard")
        self.romeo.send(f"<presence type='probe' {TO_JULIET}/>")
        self.back: End = self.house.stand()
        self.said()

    def log_in(self, resource: str) -> Client:
        client = self.hall.login(f"{ROMEO}/{resource}", available=False)
        client.ask("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
        client.send("<presence/>")
        client.received()
        return client

    def hear(self, name: str, rest: str, sender: str = JULIET, to: str = ROMEO) -> list[str]:
        """Something comes from over there; gives what is said in return."""
        self.end.say(f"<{name} from='{sender}' to='{to}' {rest}")
        return self.said()

    def presence(self, type: str, sender: str = JULIET, to: str = ROMEO) -> list[str]:
        return self.hear("presence", f"type='{type}'/>" if type else "/>", sender, to)

    def said(self) -> list[str]:
        self.hall.advance(0)
        return [told(one) for one in self.back.heard() if one.name != "r"]

    def got(self) -> list[str]:
        """What Romeo's client has got; of a roster push, the contact."""
        return [push(one) or told(one) for one in self.romeo.received()]

    def friends(self) -> None:
        self.presence("subscribe")
        self.romeo.send(f"<presence type='subscribed' {TO_JULIET}/>")
        self.romeo.send(f"<presence type='subscribe' {TO_JULIET}/>")
        self.presence("subscribed")
        self.said()
        self.romeo.received()


def push(one: Element) -> str:
    for query in one.elements():
        if one.name == "iq" and query.uri == "jabber:iq:roster":
            [item] = query.elements()
            ask = " ask" if item.hasAttribute("ask") else ""
            return f"push {item['jid'].replace(JULIET, 'juliet')} {item['subscription']}{ask}"
    return ""


@pytest.fixture
def world() -> World:
    return World()


def test_a_subscription_is_asked_for_given_and_taken_back(world: World) -> None:
    assert world.presence("subscribe", f"{JULIET}/balcony") == []
    assert world.got() == ["presence subscribe juliet romeo"]

    world.romeo.send(f"<presence type='subscribed' to='{JULIET}/balcony'/>")
    assert world.said() == [
        "presence subscribed romeo juliet",
        "presence - romeo/orchard juliet",
    ]
    assert world.got() == ["push juliet from"]

    world.romeo.send(f"<presence type='subscribe' {TO_JULIET}/>")
    assert world.said() == ["presence subscribe romeo juliet"]
    assert world.got() == ["push juliet from ask"]
    assert world.presence("subscribed") == []
    assert world.got() == ["presence subscribed juliet romeo", "push juliet both"]
    assert world.presence("subscribed") == []  # it changes nothing, and is told to nobody
    assert world.got() == []

    assert world.presence("unsubscribe") == [
        "presence unsubscribed romeo juliet",
        "presence unavailable romeo/orchard juliet",
    ]
    assert world.got() == ["presence unsubscribe juliet romeo", "push juliet to"]
    assert world.presence("unsubscribed") == []
    assert world.got() == ["presence unsubscribed juliet romeo", "push juliet none"]


def test_a_contact_that_goes_is_unsubscribed_both_ways(world: World) -> None:
    world.friends()
    world.romeo.send(
        "<iq type='set' id='1'><query xmlns='jabber:iq:roster'>"
        f"<item jid='{JULIET}' subscription='remove'/></query></iq>"
    )
    assert world.said() == [
        "presence unavailable romeo/orchard juliet",
        "presence unsubscribed romeo juliet",
        "presence unsubscribe romeo juliet",
    ]
    assert world.presence("probe") == ["presence unsubscribed romeo juliet"]


def test_presence_is_told_and_probed_for(world: World) -> None:
    world.friends()
    other = world.log_in("garden")
    assert world.said() == ["presence - romeo/garden juliet", "presence probe romeo/garden juliet"]
    world.got()
    world.presence("", f"{JULIET}/balcony")
    assert world.got() == ["presence - juliet/balcony romeo"]
    other.close()
    assert world.said() == ["presence unavailable romeo/garden juliet"]
    assert world.presence("probe", f"{JULIET}/balcony") == [
        "presence - romeo/orchard juliet/balcony"
    ]
    world.romeo.send("<presence type='unavailable'/>")
    assert world.said() == ["presence unavailable romeo/orchard juliet"]
    assert world.presence("probe") == ["presence unavailable romeo juliet"]


@pytest.mark.parametrize(
    "to", [ROMEO, f"{ROMEO}/orchard", f"{ROMEO}/nowhere", "nobody@example.net"]
)
def test_a_stranger_sees_nothing(world: World, to: str) -> None:
    """Whether there is an account, and who is there, is for contacts to know (§8.5.1, §4.3.2)."""
    bare = to.partition("/")[0].replace(ROMEO, "romeo")
    assert world.presence("probe", f"{JULIET}/balcony", to) == [
        f"presence unsubscribed {bare} juliet"
    ]
    for type in ("subscribed", "unsubscribe", "unsubscribed"):
        assert world.presence(type, to=to) == []
    if to == f"{ROMEO}/orchard":
        assert world.got() == []
        return  # his client is asked all but this
    for space in ("jabber:iq:roster", "urn:xmpp:blocking", "vcard-temp"):
        [said] = world.hear("iq", f"type='get' id='1'><query xmlns='{space}'/></iq>", to=to)
        assert said.startswith("iq error ")
        assert said.endswith(" service-unavailable")
    assert world.got() == []


@pytest.mark.parametrize("resource", ["orchard", "nowhere"])
def test_a_stranger_learns_nothing_of_when_somebody_was_there(world: World, resource: str) -> None:
    asked = "type='get' id='1'><query xmlns='jabber:iq:last'/></iq>"
    for to in (
        ROMEO,
        "nobody@example.net",
        f"{ROMEO}/{resource}",
        f"nobody@example.net/{resource}",
    ):
        [said] = world.hear("iq", asked, to=to)
        assert said.endswith((" service-unavailable", " forbidden"))
    assert world.got() == []


def test_presence_by_name_ends_with_the_session(world: World) -> None:
    world.romeo.send("<presence to='room@there.example/romeo'/>")
    world.romeo.send(f"<presence to='{JULIET}/balcony'/>")
    assert world.said() == [
        "presence - romeo/orchard room@there.example/romeo",
        "presence - romeo/orchard juliet/balcony",
    ]
    world.romeo.send(f"<presence type='unavailable' to='{JULIET}/balcony'/>")
    assert world.said() == ["presence unavailable romeo/orchard juliet/balcony"]
    world.romeo.close()
    assert world.said() == ["presence unavailable romeo/orchard room@there.example/romeo"]


@pytest.mark.parametrize("blocked", [JULIET, THERE])
def test_who_is_blocked_over_there_sees_and_says_nothing(world: World, blocked: str) -> None:
    world.friends()
    ask = f"<iq type='set' id='1'><{{0}} xmlns='urn:xmpp:blocking'><item jid='{blocked}'/></{{0}}>"
    world.romeo.send(ask.format("block") + "</iq>")
    assert world.said() == ["presence unavailable romeo/orchard juliet"]
    world.romeo.received()
    assert world.hear("message", "type='chat' id='1'><body>hi</body></message>") == [
        "message error romeo juliet service-unavailable"
    ]
    assert world.hear("iq", "type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>") == [
        "iq error romeo juliet service-unavailable"
    ]
    assert world.presence("probe") == world.presence("") == world.presence("subscribe") == []
    assert world.got() == []
    world.romeo.send(f"<message {TO_JULIET} id='2'><body>hi</body></message>")
    assert world.said() == []
    assert world.got() == ["message error juliet romeo/orchard not-acceptable"]
    world.romeo.send(ask.format("unblock") + "</iq>")
    assert world.said() == [
        "presence - romeo/orchard juliet",
        "presence probe romeo/orchard juliet",
    ]


def test_messages_to_them_are_copied_and_theirs_wait_for_who_is_not_there(world: World) -> None:
    other = world.log_in("garden")
    other.ask("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    world.romeo.send(f"<message type='chat' {TO_JULIET}><body>hi</body></message>")
    assert world.said() == ["message chat romeo/orchard juliet"]
    [copy] = other.received()
    assert next(copy.elements()).name == "sent"
    for client in (other, world.romeo):
        client.close()
    world.said()
    assert world.hear("message", "type='chat'><body>while away</body></message>") == []
    back = world.hall.login(f"{ROMEO}/orchard", available=False)
    back.send("<presence/>")
    [message] = [one for one in back.received() if one.name == "message"]
    assert [one.name for one in message.elements()] == ["body", "delay"]


def test_requests_find_their_way_there_and_back(world: World) -> None:
    full = f"{ROMEO}/orchard"
    asked = "type='get' id='1'><query xmlns='jabber:iq:version'/></iq>"
    assert world.hear("iq", asked, to=f"{ROMEO}/nowhere") == [
        "iq error romeo/nowhere juliet service-unavailable"
    ]
    assert world.hear("iq", asked, to=full) == []
    assert world.got() == ["iq get juliet romeo/orchard"]
    world.romeo.send(f"<iq type='result' id='1' {TO_JULIET}/>")
    assert world.said() == ["iq result romeo/orchard juliet"]
    world.romeo.send(f"<iq type='get' id='2' {TO_JULIET}><ping xmlns='urn:xmpp:ping'/></iq>")
    assert world.said() == ["iq get romeo/orchard juliet"]
    assert world.hear("iq", "type='result' id='2'/>", to=full) == []
    assert world.got() == ["iq result juliet romeo/orchard"]


@pytest.mark.parametrize("to", [ROMEO, f"{ROMEO}/nowhere", "nobody@example.net", HERE])
@pytest.mark.parametrize("name", ["message", "iq", "presence"])
def test_an_error_is_never_answered(world: World, name: str, to: str) -> None:
    error = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    assert world.hear(name, f"type='error' id='1'>{error}</{name}>", to=to) == []


def test_an_account_that_goes_leaves_its_contacts(world: World) -> None:
    world.friends()
    remove: Any = world.hall.host.accounts.remove(ROMEO)
    world.hall.wait(remove)
    assert sorted(world.said()) == [
        "presence unavailable romeo/orchard juliet",
        "presence unsubscribe romeo juliet",
        "presence unsubscribed romeo juliet",
    ]
