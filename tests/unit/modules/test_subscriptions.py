"""Subscriptions beside their table of states, which is in test_subscription_tables.py."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pushd.modules.subscriptions import State, state_of
from pushd.routing.events import Cause, Undelivered
from pushd.wire.element import Element
from pushd.wire.stanza import Stanza
from tests.hall import Client, Hall

ROSTER = "jabber:iq:roster"
MODULES = {"roster": None, "subscriptions": None, "presence": None}
ROMEO, JULIET = "romeo@example.net", "juliet@gate.example.org"


class Verona:
    """Romeo is at home in the roster of our server, Juliet at a service next door."""

    def __init__(self) -> None:
        self.hall = Hall(modules=MODULES)
        self.abroad: list[Stanza] = []
        self.hall.host.router.add_host("gate.example.org", self.abroad.append)
        self.romeo = self.hall.login("romeo@example.net/orchard", available=False)
        self.romeo.ask(f"<iq type='get' id='r'><query xmlns='{ROSTER}'/></iq>")
        self.romeo.send("<presence/>")
        self.settle()

    def settle(self) -> None:
        """Forget what was sent so far."""
        self.romeo.received()
        self.abroad.clear()

    def put(self, state: State) -> None:
        """Bring Romeo's half of the subscription into this state."""
        rosters = self.hall.host.rosters
        self.hall.wait(rosters.load(ROMEO))
        subscription, ask, asked = state.value
        if asked:
            rosters.add_request(ROMEO, JULIET, b"<presence type='subscribe'/>")
        if (subscription, ask) != ("none", False):
            contact = rosters[ROMEO].get(JULIET)
            rosters.put(ROMEO, replace(contact, subscription=subscription, ask=ask))
        self.hall.advance(0)
        self.settle()

    @property
    def state(self) -> State:
        return state_of(self.hall.host.rosters[ROMEO], JULIET)

    @property
    def routed(self) -> list[str]:
        """The types of presence that went to Juliet."""
        return [stanza.type for stanza in self.abroad]

    def say(self, type: str, to: str = JULIET) -> None:
        self.romeo.send(f"<presence type='{type}' to='{to}' id='x'/>")

    def hear(self, type: str, sender: str = JULIET, content: str = "") -> None:
        self.hall.route(
            f"<presence type='{type}' from='{sender}' to='{ROMEO}' id='x'>{content}</presence>"
        )


def presences(client: Client) -> list[str]:
    return [kind(one) for one in client.received()]


def kind(one: Element) -> str:
    """`push` for a roster push, or the type of presence."""
    if one.name == "iq":
        assert one.query.uri == ROSTER
        return "push"
    assert one.name == "presence"
    return str(one.getAttribute("type", "available"))


def test_an_approval_given_beforehand_can_be_taken_back() -> None:
    verona = Verona()
    verona.say("subscribed")
    verona.settle()

    verona.say("unsubscribed")
    [push] = verona.romeo.received()
    verona.hear("subscribe")

    assert push.query.item.getAttribute("approved") is None
    assert verona.state is State.NONE_IN
    assert verona.routed == []


def test_pre_approval_is_offered_in_the_stream_features() -> None:
    features = [(one.uri, one.name) for one in Verona().hall.host.stream_features]

    assert ("urn:xmpp:features:pre-approval", "sub") in features


# Pushes, and what goes with them.


def test_a_request_puts_the_contact_into_the_roster() -> None:
    verona = Verona()

    verona.say("subscribe")

    [push] = verona.romeo.received()
    assert push.query.item.attributes == {
        "jid": JULIET,
        "subscription": "none",
        "ask": "subscribe",
    }


def test_an_approval_that_comes_is_delivered_before_the_push() -> None:
    verona = Verona()
    verona.put(State.NONE_OUT)

    verona.hear("subscribed")

    subscribed, push = verona.romeo.received()
    assert (kind(subscribed), kind(push)) == ("subscribed", "push")
    assert push.query.item.attributes == {"jid": JULIET, "subscription": "to"}


def test_an_approval_that_is_given_shows_the_presence_of_all_resources() -> None:
    verona = Verona()
    verona.hall.login("romeo@example.net/phone")
    verona.put(State.NONE_IN)

    verona.say("subscribed")

    assert verona.routed == ["subscribed", "", ""]
    assert [stanza.attributes["from"] for stanza in verona.abroad] == [
        ROMEO,
        f"{ROMEO}/orchard",
        f"{ROMEO}/phone",
    ]
    assert presences(verona.romeo) == ["push"]


def test_a_denied_stranger_leaves_no_trace_in_the_roster() -> None:
    verona = Verona()
    verona.hear("subscribe")
    verona.settle()

    verona.say("unsubscribed")

    assert verona.romeo.received() == []
    assert verona.routed == ["unsubscribed"]
    assert verona.hall.rows("SELECT * FROM roster") == []
    assert verona.hall.rows("SELECT * FROM subscription_requests") == []


# Requests that wait.


def test_a_request_is_shown_to_each_resource_that_comes_until_it_is_answered() -> None:
    verona = Verona()
    verona.hear("subscribe", content="<nick xmlns='http://jabber.org/protocol/nick'>Jule</nick>")

    phone = verona.hall.login("romeo@example.net/phone", available=False)
    phone.send("<presence/>")
    [request] = [one for one in phone.received() if one.getAttribute("type") == "subscribe"]
    assert str(request.nick) == "Jule"
    assert request["from"] == JULIET

    phone.send("<presence><show>away</show></presence>")
    assert "subscribe" not in presences(phone)

    verona.say("subscribed")
    tablet = verona.hall.login("romeo@example.net/tablet", available=False)
    tablet.send("<presence/>")
    assert "subscribe" not in presences(tablet)


def test_a_request_outlives_a_restart_and_is_no_contact_yet(tmp_path: Path) -> None:
    hall = Hall(modules=MODULES, path=tmp_path / "pushd.db")
    hall.add_account(ROMEO)
    hall.route(f"<presence type='subscribe' from='juliet@example.org' to='{ROMEO}'/>")
    hall.wait(hall.host.database.close())

    romeo = Hall(modules=MODULES, path=tmp_path / "pushd.db").login(
        f"{ROMEO}/orchard", available=False
    )
    answer = romeo.ask(f"<iq type='get' id='r'><query xmlns='{ROSTER}'/></iq>")
    romeo.send("<presence/>")

    assert list(answer.query.elements()) == []
    assert "subscribe" in presences(romeo)


def test_a_long_request_is_kept_without_what_makes_it_long() -> None:
    verona = Verona()
    verona.hear("subscribe", content=f"<status>{'x' * 5_000}</status>")

    [(raw,)] = verona.hall.rows("SELECT stanza FROM subscription_requests")

    assert len(raw) < 200
    assert b"subscribe" in raw


def test_a_request_for_nobody_at_home_is_announced() -> None:
    verona = Verona()
    verona.romeo.close()

    verona.hear("subscribe")
    verona.hear("subscribe")

    [undelivered] = verona.hall.events(Undelivered)
    assert (undelivered.account, undelivered.session) == (ROMEO, None)
    assert undelivered.cause is Cause.ABSENT
    assert undelivered.stanza.type == "subscribe"


def test_more_requests_than_an_account_has_room_for_are_dropped() -> None:
    hall = Hall(modules={**MODULES, "subscriptions": {"requests": 2}})
    hall.add_account(ROMEO)
    for number in range(3):
        hall.route(f"<presence type='subscribe' from='s{number}@example.org' to='{ROMEO}'/>")

    assert hall.rows("SELECT jid FROM subscription_requests") == [
        ("s0@example.org",),
        ("s1@example.org",),
    ]


@pytest.mark.parametrize("type", ["subscribe", "subscribed", "unsubscribe", "unsubscribed"])
def test_what_is_addressed_to_no_account_is_dropped(type: str) -> None:
    verona = Verona()

    verona.hall.route(f"<presence type='{type}' from='{JULIET}' to='nobody@example.net'/>")

    assert verona.abroad == []
    assert verona.hall.rows("SELECT * FROM subscription_requests") == []


# What clients get wrong.


@pytest.mark.parametrize("type", ["subscribe", "subscribed", "unsubscribe", "unsubscribed"])
@pytest.mark.parametrize(("to", "condition"), [("", "bad-request"), ("to='@@'", "jid-malformed")])
def test_a_wrong_receiver_is_an_error(type: str, to: str, condition: str) -> None:
    verona = Verona()

    verona.romeo.send(f"<presence type='{type}' {to} id='x'/>")

    [error] = verona.romeo.received()
    assert (error["type"], error["id"]) == ("error", "x")
    assert error.error.firstChildElement().name == condition


def test_nobody_subscribes_to_oneself() -> None:
    verona = Verona()

    verona.say("subscribe", ROMEO)

    assert verona.romeo.received() == []
    assert verona.hall.rows("SELECT * FROM roster") == []


def test_a_request_to_where_there_is_no_way_is_refused_and_not_noted() -> None:
    verona = Verona()

    verona.say("subscribe", "juliet@far.example.com")

    [error] = verona.romeo.received()
    assert error.error.firstChildElement().name == "remote-server-not-found"
    assert verona.hall.rows("SELECT * FROM roster") == []


def test_a_full_roster_takes_no_new_contact() -> None:
    hall = Hall(modules={**MODULES, "roster": {"contacts": 0}})
    hall.add_account("juliet@example.net")
    romeo = hall.login(f"{ROMEO}/orchard")

    romeo.send("<presence type='subscribe' to='juliet@example.net'/>")

    [error] = romeo.received()
    assert error.error.firstChildElement().name == "resource-constraint"
    assert hall.rows("SELECT * FROM subscription_requests") == []


# Both halves here.


def both() -> tuple[Hall, Client, Client]:
    """Romeo and Juliet, both at home, both having read their rosters."""
    hall = Hall(modules=MODULES)
    clients = []
    for address in ("romeo@example.net/orchard", "juliet@example.net/balcony"):
        client = hall.login(address, available=False)
        client.ask(f"<iq type='get' id='r'><query xmlns='{ROSTER}'/></iq>")
        client.send("<presence/>")
        client.received()
        clients.append(client)
    return hall, clients[0], clients[1]


def befriend(romeo: Client, juliet: Client) -> None:
    for one, other in ((romeo, juliet), (juliet, romeo)):
        one.send(f"<presence type='subscribe' to='{other.session.account}'/>")
        other.send(f"<presence type='subscribed' to='{one.session.account}'/>")
    romeo.received()
    juliet.received()


def halves(hall: Hall) -> list[tuple[str, str]]:
    return [
        (account, subscription)
        for account, subscription in hall.rows(
            "SELECT account, subscription FROM roster ORDER BY account"
        )
    ]


def test_two_accounts_become_friends_step_by_step() -> None:
    hall, romeo, juliet = both()

    romeo.send("<presence type='subscribe' to='juliet@example.net'/>")
    assert presences(romeo) == ["push"]
    assert presences(juliet) == ["subscribe"]

    juliet.send("<presence type='subscribed' to='romeo@example.net'/>")
    assert presences(juliet) == ["push"]
    assert presences(romeo) == ["subscribed", "push", "available"]

    juliet.send("<presence type='subscribe' to='romeo@example.net'/>")
    romeo.received()
    romeo.send("<presence type='subscribed' to='juliet@example.net'/>")
    assert presences(juliet) == ["push", "subscribed", "push", "available"]
    assert presences(romeo) == ["push"]
    assert halves(hall) == [("juliet@example.net", "both"), ("romeo@example.net", "both")]

    romeo.send("<presence type='unsubscribe' to='juliet@example.net'/>")
    assert presences(juliet) == ["unsubscribe", "push"]
    assert presences(romeo) == ["push", "unavailable"]
    assert halves(hall) == [("juliet@example.net", "to"), ("romeo@example.net", "from")]

    romeo.send("<presence type='unsubscribed' to='juliet@example.net'/>")
    assert presences(juliet) == ["unavailable", "unsubscribed", "push"]
    assert halves(hall) == [("juliet@example.net", "none"), ("romeo@example.net", "none")]


def test_a_deleted_contact_is_unsubscribed_both_ways() -> None:
    hall, romeo, juliet = both()
    befriend(romeo, juliet)

    romeo.ask(
        f"<iq type='set' id='s'><query xmlns='{ROSTER}'>"
        "<item jid='juliet@example.net' subscription='remove'/></query></iq>"
    )

    assert sorted(presences(juliet)) == sorted(
        ["unavailable", "unsubscribed", "push", "unsubscribe", "push"]
    )
    assert presences(romeo) == ["push", "unavailable"]
    assert halves(hall) == [("juliet@example.net", "none")]


def test_a_deleted_account_is_unsubscribed_both_ways() -> None:
    hall, romeo, juliet = both()
    befriend(romeo, juliet)
    romeo.close()
    juliet.received()

    hall.wait(hall.host.accounts.remove("romeo@example.net"))
    hall.advance(0)

    assert sorted(presences(juliet)) == sorted(["unsubscribed", "push", "unsubscribe", "push"])
    assert halves(hall) == [("juliet@example.net", "none")]


def test_who_asked_a_deleted_account_is_told() -> None:
    hall, romeo, juliet = both()
    romeo.send("<presence type='subscribe' to='juliet@example.net'/>")
    romeo.received()
    juliet.close()

    hall.wait(hall.host.accounts.remove("juliet@example.net"))
    hall.advance(0)

    assert presences(romeo) == ["unsubscribed", "push"]


def test_a_request_is_acknowledged_only_with_both_halves_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hall = Hall(modules=MODULES, path=tmp_path / "pushd.db")
    hall.add_account("juliet@example.net")
    romeo = hall.login("romeo@example.net/orchard", sm=True, available=False)
    on_disk: list[tuple[int, int]] = []

    def look(data: bytes) -> None:
        """What another process finds when the acknowledgement goes out is what a crash leaves."""
        if data.startswith(b"<a ") and b"h='1'" in data:
            with closing(sqlite3.connect(tmp_path / "pushd.db")) as found:
                asking = found.execute("SELECT count(*) FROM roster WHERE ask").fetchone()[0]
                asked = found.execute("SELECT count(*) FROM subscription_requests").fetchone()[0]
            on_disk.append((asking, asked))

    monkeypatch.setattr(romeo.outlet, "send", look)
    romeo.send("<presence type='subscribe' to='juliet@example.net'/>")

    assert on_disk == [(1, 1)]
