from pathlib import Path

import pytest

from pushd.modules.presence import COPY
from pushd.routing.events import SessionAvailable, SessionReceptive
from pushd.wire.element import Element
from pushd.wire.stanza import Stanza
from tests.hall import Client, Hall

MODULES = {"roster": None, "subscriptions": None, "presence": None}
ORCHARD, PHONE = "romeo@example.net/orchard", "romeo@example.net/phone"
BALCONY = "juliet@example.net/balcony"
ROOM = "room@muc.example.org/romeo"


def kinds(client: Client) -> list[tuple[str, str]]:
    """What came: the type of presence, and from whom."""
    return [kind(one) for one in client.received()]


def kind(one: Element) -> tuple[str, str]:
    return one.getAttribute("type", "available"), one.getAttribute("from", "")


def arrive(hall: Hall, address: str, **given: bool) -> Client:
    return hall.login(address, available=False, **given)


def befriend(hall: Hall, one: str, other: str) -> None:
    """A subscription both ways, by the stanzas that make one."""
    clients = [hall.login(f"{account}/maker") for account in (one, other)]
    for client, account in zip(clients, (other, one), strict=True):
        client.send(f"<presence type='subscribe' to='{account}'/>")
    for client, account in zip(clients, (other, one), strict=True):
        client.send(f"<presence type='subscribed' to='{account}'/>")
    for client in clients:
        client.close()


@pytest.fixture
def hall() -> Hall:
    """Romeo and Juliet are friends, and neither is there."""
    hall = Hall(modules=MODULES)
    befriend(hall, "romeo@example.net", "juliet@example.net")
    return hall


@pytest.fixture
def abroad(hall: Hall) -> list[Stanza]:
    """What goes to a service next door."""
    sent: list[Stanza] = []
    hall.host.router.add_host("muc.example.org", sent.append)
    return sent


# Initial presence (RFC 6121 §4.2), and the probes that go with it (§4.3).


def test_initial_presence_reaches_contacts_and_oneself(hall: Hall) -> None:
    juliet = hall.login(BALCONY)
    juliet.received()
    romeo = arrive(hall, ORCHARD)

    romeo.send("<presence><show>away</show><priority>1</priority></presence>")

    [seen] = juliet.received()
    assert kind(seen) == ("available", ORCHARD)
    assert seen["to"] == "juliet@example.net"
    assert str(seen.show) == "away"
    own, answered = romeo.received()
    assert kind(own) == ("available", ORCHARD)
    assert own["to"] == ORCHARD
    assert kind(answered) == ("available", BALCONY)
    assert answered["to"] == ORCHARD


def test_resources_of_one_account_see_each_other(hall: Hall) -> None:
    romeo = hall.login(ORCHARD)
    phone = arrive(hall, PHONE)

    phone.send("<presence/>")

    assert kinds(romeo) == [("available", PHONE)]
    assert sorted(kinds(phone)) == [("available", ORCHARD), ("available", PHONE)]


def test_who_is_not_subscribed_sees_and_is_shown_nothing(hall: Hall) -> None:
    paris = hall.login("paris@example.net/street")
    romeo = arrive(hall, ORCHARD)

    romeo.send("<presence/>")

    assert paris.received() == []
    assert kinds(romeo) == [("available", ORCHARD)]


def test_a_one_sided_subscription_shows_presence_one_way() -> None:
    hall = Hall(modules=MODULES)
    romeo, juliet = hall.login(ORCHARD), hall.login(BALCONY)
    romeo.send("<presence type='subscribe' to='juliet@example.net'/>")
    juliet.send("<presence type='subscribed' to='romeo@example.net'/>")
    romeo.received()
    juliet.received()

    phone = arrive(hall, PHONE)
    phone.send("<presence/>")
    juliet.send("<presence><show>dnd</show></presence>")

    assert ("available", BALCONY) in kinds(phone)
    assert kinds(juliet) == [("available", BALCONY)]
    assert kinds(romeo) == [("available", PHONE), ("available", BALCONY)]


def test_contacts_at_services_are_told_and_probed(hall: Hall, abroad: list[Stanza]) -> None:
    romeo = hall.login(ORCHARD)
    contact = "juliet@muc.example.org"
    romeo.send(f"<presence type='subscribe' to='{contact}'/>")
    hall.route(f"<presence type='subscribed' from='{contact}' to='romeo@example.net'/>")
    hall.route(f"<presence type='subscribe' from='{contact}' to='romeo@example.net'/>")
    romeo.send(f"<presence type='subscribed' to='{contact}'/>")
    abroad.clear()

    arrive(hall, PHONE).send("<presence/>")

    assert [(one.type, one.attributes["from"], one.attributes["to"]) for one in abroad] == [
        ("", PHONE, contact),
        ("probe", PHONE, contact),
    ]


def test_a_contact_without_a_way_to_it_costs_nothing(hall: Hall) -> None:
    """A transport that is switched off: presence goes nowhere, and no errors come back."""
    romeo = hall.login(ORCHARD)
    hall.host.router.add_host("gone.example.org", lambda stanza: None)
    romeo.send("<presence type='subscribe' to='gone.example.org'/>")
    hall.host.router.remove_host("gone.example.org")

    phone = arrive(hall, PHONE)
    phone.send("<presence/>")

    assert all(type == "available" for type, _ in kinds(phone))


# Later presence (§4.4).


def test_later_presence_reaches_contacts_without_probes(hall: Hall, abroad: list[Stanza]) -> None:
    romeo, juliet = hall.login(ORCHARD), hall.login(BALCONY)
    juliet.received()
    romeo.received()

    romeo.send("<presence><status>Gone fishing</status></presence>")

    assert kinds(juliet) == [("available", ORCHARD)]
    assert kinds(romeo) == [("available", ORCHARD)]


def test_sessions_become_available_once_and_receptive_with_their_priority() -> None:
    hall = Hall(modules=MODULES)
    romeo = arrive(hall, ORCHARD)

    for priority in (-1, -2, 0, 5, -1, 1):
        romeo.send(f"<presence><priority>{priority}</priority></presence>")

    assert len(hall.events(SessionAvailable)) == 1
    assert len(hall.events(SessionReceptive)) == 2
    assert romeo.session.priority == 1

    romeo.send("<presence type='unavailable'/>")
    romeo.send("<presence/>")
    assert len(hall.events(SessionAvailable)) == 2
    assert len(hall.events(SessionReceptive)) == 3


@pytest.mark.parametrize(
    ("written", "read"), [("-128", -128), ("127", 127), ("+7", 7), (" 3\n", 3), ("00", 0)]
)
def test_a_priority_is_a_byte(hall: Hall, written: str, read: int) -> None:
    romeo = arrive(hall, ORCHARD)

    romeo.send(f"<presence><priority>{written}</priority></presence>")

    assert romeo.session.priority == read


@pytest.mark.parametrize("written", ["128", "-129", "", "1.5", "high", "1 2", "٣", "1_0"])
def test_another_priority_is_a_bad_request(hall: Hall, written: str) -> None:
    romeo = arrive(hall, ORCHARD)

    romeo.send(f"<presence id='p'><priority>{written}</priority></presence>")

    [error] = romeo.received()
    assert (error["type"], error["id"], error["to"]) == ("error", "p", ORCHARD)
    assert error.error.firstChildElement().name == "bad-request"
    assert not romeo.session.is_available


# Unavailable presence (§4.5).


def test_unavailable_presence_reaches_contacts_and_all_own_resources(hall: Hall) -> None:
    romeo, phone, juliet = hall.login(ORCHARD), hall.login(PHONE), hall.login(BALCONY)
    for client in (romeo, phone, juliet):
        client.received()

    romeo.send("<presence type='unavailable'><status>Bye</status></presence>")

    for client in (romeo, phone, juliet):
        [seen] = client.received()
        assert kind(seen) == ("unavailable", ORCHARD)
        assert str(seen.status) == "Bye"
    assert not romeo.session.is_available


def test_a_session_that_ends_is_withdrawn_for_its_client(hall: Hall) -> None:
    romeo, phone, juliet = hall.login(ORCHARD), hall.login(PHONE), hall.login(BALCONY)
    for client in (romeo, phone, juliet):
        client.received()

    romeo.close()

    assert kinds(phone) == [("unavailable", ORCHARD)]
    assert kinds(juliet) == [("unavailable", ORCHARD)]


def test_who_said_goodbye_is_not_withdrawn_again(hall: Hall) -> None:
    romeo, juliet = hall.login(ORCHARD), hall.login(BALCONY)
    romeo.send("<presence type='unavailable'/>")
    juliet.received()

    romeo.close()

    assert juliet.received() == []


def test_a_detached_session_stays_available_until_its_time_is_over(hall: Hall) -> None:
    juliet = hall.login(BALCONY)
    phone = hall.login(PHONE, sm=True)
    juliet.received()

    phone.cut()
    hall.advance(299)
    assert juliet.received() == []
    hall.advance(2)

    assert kinds(juliet) == [("unavailable", PHONE)]


def test_a_resumed_session_shows_its_contacts_nothing(hall: Hall) -> None:
    juliet = hall.login(BALCONY)
    phone = hall.login(PHONE, sm=True)
    phone.cut()
    juliet.received()

    phone.resume()
    hall.advance(1_000)

    assert juliet.received() == []


def test_a_replaced_session_is_withdrawn_before_the_new_one_is_shown(hall: Hall) -> None:
    juliet = hall.login(BALCONY)
    hall.login(ORCHARD)
    juliet.received()

    hall.login(ORCHARD)

    assert kinds(juliet) == [("unavailable", ORCHARD), ("available", ORCHARD)]


# Presence to somebody by name (§4.6).


def test_directed_presence_goes_to_its_receiver_alone(hall: Hall, abroad: list[Stanza]) -> None:
    romeo, juliet = hall.login(ORCHARD), hall.login(BALCONY)
    juliet.received()

    romeo.send(f"<presence to='{ROOM}'><x xmlns='http://jabber.org/protocol/muc'/></presence>")

    assert [(one.type, one.attributes["from"]) for one in abroad] == [("", ORCHARD)]
    assert juliet.received() == []


@pytest.mark.parametrize("end", ["unavailable", "close"])
def test_whoever_got_directed_presence_is_told_of_the_end(
    hall: Hall, abroad: list[Stanza], end: str
) -> None:
    romeo = hall.login(ORCHARD)
    romeo.send(f"<presence to='{ROOM}'/>")
    romeo.send(f"<presence to='{ROOM}'/>")
    abroad.clear()

    if end == "close":
        romeo.close()
    else:
        romeo.send("<presence type='unavailable'/>")

    assert [(one.type, one.attributes["to"]) for one in abroad] == [("unavailable", ROOM)]
    abroad.clear()
    romeo.close()
    assert abroad == []


def test_directed_presence_needs_no_presence_for_all(hall: Hall, abroad: list[Stanza]) -> None:
    romeo = arrive(hall, ORCHARD)
    romeo.send(f"<presence to='{ROOM}'/>")
    abroad.clear()

    romeo.close()

    assert [(one.type, one.attributes["to"]) for one in abroad] == [("unavailable", ROOM)]


def test_who_was_told_by_name_that_it_is_over_is_not_told_again(
    hall: Hall, abroad: list[Stanza]
) -> None:
    romeo = hall.login(ORCHARD)
    romeo.send(f"<presence to='{ROOM}'/>")
    romeo.send(f"<presence to='{ROOM}' type='unavailable'/>")
    abroad.clear()

    romeo.close()

    assert abroad == []


def test_a_contact_that_also_got_presence_by_name_is_told_once(hall: Hall) -> None:
    romeo, juliet = hall.login(ORCHARD), hall.login(BALCONY)
    romeo.send(f"<presence to='{BALCONY}'/>")
    juliet.received()

    romeo.close()

    assert kinds(juliet) == [("unavailable", ORCHARD)]


def test_directed_presence_outlives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "pushd.db"
    hall = Hall(modules=MODULES, path=path)
    hall.host.router.add_host("muc.example.org", lambda stanza: None)
    hall.login(PHONE, sm=True).send(f"<presence to='{ROOM}'/>")
    hall.wait(hall.host.database.close())

    later = Hall(modules=MODULES, path=path)
    abroad: list[Stanza] = []
    later.host.router.add_host("muc.example.org", abroad.append)
    later.advance(301)

    assert [(one.type, one.attributes["to"]) for one in abroad] == [("unavailable", ROOM)]


def test_a_wrong_receiver_is_an_error(hall: Hall) -> None:
    romeo = hall.login(ORCHARD)

    romeo.send("<presence to='@@'/>")

    [error] = romeo.received()
    assert error.error.firstChildElement().name == "jid-malformed"


def test_the_receivers_of_one_session_are_limited(
    hall: Hall, abroad: list[Stanza], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pushd.modules.presence.MOST_DIRECTED", 2)
    romeo = hall.login(ORCHARD)

    for number in range(3):
        romeo.send(f"<presence to='r{number}@muc.example.org'/>")

    [error] = romeo.received()
    assert error.error.firstChildElement().name == "resource-constraint"
    assert len(abroad) == 2


# Probes (§4.3.2).


def probe(hall: Hall, sender: str, to: str) -> None:
    hall.route(f"<presence type='probe' from='{sender}' to='{to}'/>")


@pytest.mark.parametrize("to", ["romeo@example.net", "nobody@example.net"])
def test_who_may_not_see_is_told_so_whether_there_is_an_account_or_not(
    hall: Hall, abroad: list[Stanza], to: str
) -> None:
    hall.login(ORCHARD)

    probe(hall, "paris@muc.example.org/x", to)

    assert [(one.type, one.attributes["from"], one.attributes["to"]) for one in abroad] == [
        ("unsubscribed", to, "paris@muc.example.org")
    ]


def test_who_has_asked_and_waits_is_not_denied_by_a_probe(hall: Hall, abroad: list[Stanza]) -> None:
    hall.route("<presence type='subscribe' from='paris@muc.example.org' to='romeo@example.net'/>")

    probe(hall, "paris@muc.example.org", "romeo@example.net")

    assert abroad == []


def test_a_probe_is_answered_with_the_presence_of_each_resource(hall: Hall) -> None:
    hall.login(ORCHARD)
    hall.login(PHONE).send("<presence><show>xa</show></presence>")
    juliet = hall.login(BALCONY)
    juliet.received()

    juliet.send("<presence type='probe' to='romeo@example.net'/>")
    assert sorted(kinds(juliet)) == [("available", ORCHARD), ("available", PHONE)]

    juliet.send(f"<presence type='probe' to='{PHONE}'/>")
    [seen] = juliet.received()
    assert (kind(seen), str(seen.show)) == (("available", PHONE), "xa")


@pytest.mark.parametrize("to", ["romeo@example.net", ORCHARD])
def test_a_probe_of_who_is_not_there_says_so(hall: Hall, to: str) -> None:
    juliet = hall.login(BALCONY)
    juliet.received()

    juliet.send(f"<presence type='probe' to='{to}'/>")

    assert kinds(juliet) == [("unavailable", to)]


def test_a_probe_for_nobody_is_a_bad_request(hall: Hall) -> None:
    romeo = hall.login(ORCHARD)

    romeo.send("<presence type='probe'/>")

    [error] = romeo.received()
    assert error.error.firstChildElement().name == "bad-request"


# What comes for accounts (§8.5).


@pytest.mark.parametrize("type", ["", "type='unavailable'"])
def test_presence_for_an_account_reaches_its_available_resources(hall: Hall, type: str) -> None:
    romeo, phone = hall.login(ORCHARD), hall.login(PHONE)
    shy = arrive(hall, "romeo@example.net/shy")
    for client in (romeo, phone):
        client.received()

    hall.route(f"<presence {type} from='a@muc.example.org/x' to='romeo@example.net'/>")

    for client in (romeo, phone):
        [seen] = client.received()
        assert seen["to"] == "romeo@example.net"
    assert shy.received() == []


def test_presence_for_a_resource_reaches_it_available_or_not(hall: Hall) -> None:
    romeo = hall.login(ORCHARD)
    shy = arrive(hall, "romeo@example.net/shy")

    hall.route(f"<presence from='{ROOM}' to='romeo@example.net/shy'/>")
    hall.route(f"<presence from='{ROOM}' to='romeo@example.net/none'/>")

    assert kinds(shy) == [("available", ROOM)]
    assert romeo.received() == []


def test_an_error_reaches_the_resource_it_names_or_nobody(hall: Hall) -> None:
    romeo = hall.login(ORCHARD)

    hall.route(f"<presence type='error' from='{ROOM}' to='{ORCHARD}'/>")
    hall.route(f"<presence type='error' from='{ROOM}' to='romeo@example.net'/>")

    assert kinds(romeo) == [("error", ROOM)]


def test_who_asks_in_vain_for_a_subscription_is_told(hall: Hall) -> None:
    """Their server is not reached, say: the account has asked, and all its resources are told."""
    both = [hall.login(ORCHARD), hall.login("romeo@example.net/garden")]
    hall.host.router.reaches = lambda domain: True
    hall.host.router.remote = lambda stanza, to: None
    both[0].send("<presence type='subscribe' to='somebody@far.example'/>")
    for contact in ("somebody@far.example", "else@far.example"):
        hall.route(f"<presence type='error' from='{contact}' to='romeo@example.net'/>")
    for one in both:
        assert [found for found in kinds(one) if found[0] == "error"] == [
            ("error", "somebody@far.example")
        ]


# Disco, and restarts.


def test_connected_resources_are_the_items_of_an_account(hall: Hall) -> None:
    romeo = hall.login(ORCHARD)
    phone = hall.login(PHONE, sm=True)
    arrive(hall, "romeo@example.net/shy")
    question = (
        "<iq type='get' id='d' to='romeo@example.net'>"
        "<query xmlns='http://jabber.org/protocol/disco#items'/></iq>"
    )
    juliet, paris = hall.login(BALCONY), hall.login("paris@example.net/street")

    for client in (romeo, juliet):
        jids = [one["jid"] for one in client.ask(question).query.elements()]
        assert jids == [ORCHARD, PHONE]
    assert list(paris.ask(question).query.elements()) == []

    phone.cut()
    assert [one["jid"] for one in romeo.ask(question).query.elements()] == [ORCHARD]


def test_contacts_may_discover_an_account_and_strangers_may_not(hall: Hall) -> None:
    hall.add_account("romeo@example.net")
    question = (
        "<iq type='get' id='d' to='romeo@example.net'>"
        "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    )

    assert hall.login(BALCONY).ask(question)["type"] == "result"
    answer = hall.login("paris@example.net/street").ask(question)
    assert answer.error.firstChildElement().name == "service-unavailable"


def test_after_a_restart_sessions_are_as_available_as_before_and_nobody_is_told(
    tmp_path: Path,
) -> None:
    path = tmp_path / "pushd.db"
    hall = Hall(modules=MODULES, path=path)
    befriend(hall, "romeo@example.net", "juliet@example.net")
    phone, balcony = hall.login(PHONE, sm=True), hall.login(BALCONY, sm=True)
    phone.send("<presence><show>xa</show><priority>3</priority></presence>")
    balcony.acknowledge()
    hall.wait(hall.host.database.close())

    later = Hall(modules=MODULES, path=path)
    revived = later.host.sessions.of("romeo@example.net")["phone"]
    sleeping = later.host.sessions.of("juliet@example.net")["balcony"]
    desk = arrive(later, "juliet@example.net/desk")

    assert (revived.priority, revived.is_available) == (3, True)
    assert sleeping.queue is not None
    assert len(sleeping.queue) == 0
    assert later.events(SessionAvailable) == []
    desk.send("<presence/>")
    assert ("available", PHONE) in kinds(desk)


def test_presence_costs_its_client_what_it_costs_the_server(hall: Hall) -> None:
    """One small stanza to thousands of contacts is the work of thousands."""

    def charged(client: Client) -> int:
        before = client.outlet.charged
        client.send("<presence/>")
        return client.outlet.charged - before

    romeo = hall.login(ORCHARD)
    alone = charged(romeo)
    hall.login(BALCONY)

    assert charged(romeo) - alone == COPY
