from pathlib import Path

import pytest

from pushd.modules.blocking import BlockingOptions
from pushd.routing.events import Undelivered
from pushd.routing.rosters import Contact
from pushd.wire.element import Element, child, children
from pushd.wire.jid import JID, parse
from tests.hall import Client, Hall

NS = "urn:xmpp:blocking"
JULIET, ROMEO = "juliet@example.net", "romeo@example.net"
ORCHARD, BALCONY = f"{ROMEO}/orchard", f"{JULIET}/balcony"
STRANGER = "tybalt@example.org/street"
ROOM = "verona@muc.example.org"
MODULES = {
    "ping": None,
    "roster": None,
    "subscriptions": None,
    "presence": None,
    "offline": None,
    "carbons": None,
    "blocking": None,
}


def command(client: Client, name: str, *jids: str, to: str = "", content: str = "") -> Element:
    """Ask for a change, or for the list; gives the answer."""
    items = "".join(f"<item jid='{jid}'/>" for jid in jids) + content
    kind = "get" if name == "blocklist" else "set"
    addressed = f" to='{to}'" if to else ""
    return client.ask(
        f"<iq type='{kind}' id='b'{addressed}><{name} xmlns='{NS}'>{items}</{name}></iq>"
    )


def listed(client: Client) -> list[str]:
    answer = command(client, "blocklist")
    assert answer["type"] == "result"
    return [item["jid"] for item in answer.blocklist.elements()]


def condition(answer: Element) -> tuple[str, str]:
    assert answer["type"] == "error"
    return answer.error["type"], answer.error.firstChildElement().name


def presences(client: Client) -> list[tuple[str, str]]:
    return [
        (one["from"], one.getAttribute("type", ""))
        for one in client.received()
        if one.name == "presence"
    ]


class Verona:
    """Juliet and Romeo; what goes to other domains is kept in `sent`."""

    def __init__(self, path: Path | str = ":memory:", options: object = None) -> None:
        self.hall = Hall(modules={**MODULES, "blocking": options}, path=path)
        self.sent: list[Element] = []
        for domain in ("example.org", "muc.example.org"):
            self.hall.host.router.add_host(domain, lambda one: self.sent.append(one.tree))
        self.juliet = self.hall.login(BALCONY, sm=True)
        self.romeo = self.hall.login(ORCHARD)
        self.forget()

    def befriend(self, subscription: str = "both", jid: str = ROMEO) -> None:
        """A contact of Juliet's, with the other half if it is Romeo."""
        rosters = self.hall.host.rosters
        accounts = [JULIET, ROMEO] if jid == ROMEO else [JULIET]
        for account in accounts:
            self.hall.wait(rosters.load(account))
        rosters.put(JULIET, Contact(jid, subscription=subscription))
        if jid == ROMEO:
            other = {"to": "from", "from": "to"}.get(subscription, subscription)
            rosters.put(ROMEO, Contact(JULIET, subscription=other))

    def forget(self) -> None:
        self.hall.advance(0)
        self.juliet.received()
        self.romeo.received()
        self.sent.clear()


@pytest.fixture
def verona() -> Verona:
    return Verona()


# The list.


def test_a_new_list_is_empty(verona: Verona) -> None:
    answer = command(verona.juliet, "blocklist")

    assert answer["type"] == "result"
    assert (answer.blocklist.uri, answer.blocklist.children) == (NS, [])


def test_a_list_has_what_was_blocked_and_not_unblocked(verona: Verona) -> None:
    for name, jids in (
        ("block", ["Romeo@Example.net", "tybalt@example.org/Street"]),
        ("block", ["example.com", ROMEO]),
        ("unblock", ["example.com", "paris@example.net"]),
    ):
        answer = command(verona.juliet, name, *jids)
        assert answer["type"] == "result"
        assert answer.children == []

    assert listed(verona.juliet) == [ROMEO, "tybalt@example.org/Street"]
    assert listed(verona.romeo) == []


def test_unblocking_without_an_address_empties_the_list(verona: Verona) -> None:
    command(verona.juliet, "block", ROMEO, "example.org")

    assert command(verona.juliet, "unblock")["type"] == "result"
    assert listed(verona.juliet) == []
    assert verona.hall.host.blocks.lists == {}


def test_a_list_outlives_a_kill_but_not_its_account(tmp_path: Path) -> None:
    verona = Verona(tmp_path / "pushd.db")
    command(verona.juliet, "block", ROMEO, "example.org")
    command(verona.juliet, "unblock", "example.org")

    hall = verona.hall.killed()

    assert hall.host.blocks.of(JULIET) == [ROMEO]
    hall.wait(hall.host.accounts.remove(JULIET))
    assert hall.host.blocks.of(JULIET) == []
    assert hall.rows("SELECT * FROM blocked") == []


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("block", "", ("modify", "bad-request")),
        ("block", "<item/>", ("modify", "bad-request")),
        ("block", "<item jid=''/>", ("modify", "bad-request")),
        ("block", "<item jid='@'/>", ("modify", "jid-malformed")),
        ("block", "<item xmlns='urn:x' jid='a@b'/>", ("modify", "bad-request")),
        ("unblock", "<item/>", ("modify", "bad-request")),
        ("unblock", "<item jid='@'/>", ("modify", "jid-malformed")),
        ("unblock", "<item xmlns='urn:x' jid='a@b'/>", ("modify", "bad-request")),
    ],
)
def test_what_is_no_address_changes_nothing(
    verona: Verona, name: str, content: str, expected: tuple[str, str]
) -> None:
    command(verona.juliet, "block", ROMEO)
    good = "" if name == "block" and not content else "<item jid='x@example.com'/>"

    answer = command(verona.juliet, name, content=content)
    both = command(verona.juliet, name, content=good + content) if "urn:x" not in content else None

    assert condition(answer) == expected
    assert both is None or condition(both) == expected
    assert listed(verona.juliet) == [ROMEO]


def test_a_list_has_an_end() -> None:
    verona = Verona(options=BlockingOptions(addresses=2))
    command(verona.juliet, "block", "a@example.com", "b@example.com")

    answer = command(verona.juliet, "block", "b@example.com", "c@example.com")

    assert condition(answer) == ("wait", "resource-constraint")
    assert command(verona.juliet, "block", "a@example.com")["type"] == "result"
    assert listed(verona.juliet) == ["a@example.com", "b@example.com"]


def test_a_report_beside_the_address_is_tolerated(verona: Verona) -> None:
    """XEP-0377: blocking with a reason."""
    report = (
        f"<item jid='{STRANGER}'>"
        "<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'>"
        "<text>Never came trouble to my house</text></report></item>"
    )

    assert command(verona.juliet, "block", content=report)["type"] == "result"
    assert listed(verona.juliet) == [STRANGER]


@pytest.mark.parametrize("name", ["blocklist", "block", "unblock"])
def test_nobody_reads_or_changes_the_list_of_another(verona: Verona, name: str) -> None:
    command(verona.juliet, "block", "example.com")
    absent = condition(command(verona.romeo, name, ROMEO, to="nobody@example.net"))

    assert condition(command(verona.romeo, name, ROMEO, to=JULIET)) == absent
    verona.befriend()
    assert condition(command(verona.romeo, name, ROMEO, to=JULIET)) == ("auth", "forbidden")
    assert listed(verona.juliet) == ["example.com"]


def test_ones_own_account_may_be_named(verona: Verona) -> None:
    assert command(verona.juliet, "block", ROMEO, to=JULIET)["type"] == "result"


# Pushes.


def pushes(client: Client) -> list[tuple[str, list[str]]]:
    found = []
    for one in client.received():
        if one.name == "iq" and one["type"] == "set":
            assert (one["to"], one.getAttribute("from")) == (client.session.full, None)
            [change] = children(one)
            assert change.uri == NS
            found.append((change.name, [item["jid"] for item in change.elements()]))
    return found


def test_a_change_is_pushed_to_every_resource_that_asked_for_the_list(verona: Verona) -> None:
    phone = verona.hall.login(f"{JULIET}/phone")
    tablet = verona.hall.login(f"{JULIET}/tablet")
    for client in (verona.juliet, phone):
        listed(client)
        client.received()

    command(verona.juliet, "block", "Romeo@example.net", "example.org")
    command(phone, "unblock", "example.org")
    command(tablet, "unblock")

    expected = [("block", [ROMEO, "example.org"]), ("unblock", ["example.org"]), ("unblock", [])]
    assert pushes(verona.juliet) == pushes(phone) == expected
    assert pushes(tablet) == []


def test_each_push_has_its_own_id_and_may_be_answered(verona: Verona) -> None:
    listed(verona.juliet)
    command(verona.juliet, "block", ROMEO)
    command(verona.juliet, "unblock", ROMEO)

    ids = [one["id"] for one in verona.juliet.received() if one.getAttribute("type") == "set"]
    assert len(set(ids)) == 2
    for id in ids:
        verona.juliet.send(f"<iq type='result' id='{id}'/>")
    assert verona.juliet.received() == []


def test_interest_in_the_list_survives_a_lost_connection(verona: Verona) -> None:
    listed(verona.juliet)
    verona.juliet.cut()
    verona.juliet.resume()
    verona.juliet.received()
    phone = verona.hall.login(f"{JULIET}/phone")

    command(phone, "block", ROMEO)

    assert pushes(verona.juliet) == [("block", [ROMEO])]


# What is stopped.

MATCHES = {
    "full JID": (STRANGER, STRANGER, True),
    "another resource": ("tybalt@example.org/home", STRANGER, False),
    "bare JID for a full one": ("tybalt@example.org", STRANGER, True),
    "bare JID for itself": ("tybalt@example.org", "tybalt@example.org", True),
    "full JID for the bare one": (STRANGER, "tybalt@example.org", False),
    "domain for a full JID": ("example.org", STRANGER, True),
    "domain for itself": ("example.org", "example.org", True),
    "domain for its resource": ("example.org", "example.org/news", True),
    "resource of a domain for itself": ("example.org/news", "example.org/news", True),
    "resource of a domain for the domain": ("example.org/news", "example.org", False),
    "resource of a domain for a user": ("example.org/street", STRANGER, False),
    "a subdomain": ("example.org", f"{ROOM}/nurse", False),
    "the case of a domain": ("EXAMPLE.ORG", STRANGER, True),
}


@pytest.mark.parametrize("case", MATCHES)
def test_an_address_matches_by_the_rules(verona: Verona, case: str) -> None:
    """XEP-0191 §5."""
    blocked, sender, expected = MATCHES[case]
    command(verona.juliet, "block", blocked)
    verona.forget()

    verona.hall.route(
        f"<message from='{sender}' to='{BALCONY}' type='chat'><body>hi</body></message>"
    )
    verona.juliet.send(f"<message to='{sender}' type='chat'><body>hi</body></message>")

    came = [one.getAttribute("type") for one in verona.juliet.received()]
    assert came == (["error"] if expected else ["chat"])
    assert [one["type"] for one in verona.sent] == (["error"] if expected else ["chat"])


PING = "<ping xmlns='urn:xmpp:ping'/>"
BODY = "<body>hi</body>"
# What a blocked one sends, and whether it is answered by an error.
INBOUND = {
    "chat": (f"<message to='{JULIET}' type='chat'>{BODY}</message>", True),
    "chat to a resource": (f"<message to='{BALCONY}' type='chat'>{BODY}</message>", True),
    "normal": (f"<message to='{JULIET}'>{BODY}</message>", True),
    "headline": (f"<message to='{JULIET}' type='headline'>{BODY}</message>", True),
    "error": (f"<message to='{BALCONY}' type='error'/>", False),
    "groupchat": (f"<message to='{BALCONY}' type='groupchat'>{BODY}</message>", False),
    "get": (f"<iq to='{JULIET}' type='get' id='i'>{PING}</iq>", True),
    "get to a resource": (f"<iq to='{BALCONY}' type='get' id='i'>{PING}</iq>", True),
    "set": (f"<iq to='{BALCONY}' type='set' id='i'>{PING}</iq>", True),
    "result": (f"<iq to='{BALCONY}' type='result' id='i'/>", False),
    "IQ error": (f"<iq to='{BALCONY}' type='error' id='i'/>", False),
    **{
        f"presence {type}": (f"<presence to='{JULIET}' type='{type}'/>", False)
        for type in ("subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "error")
    },
    "available": (f"<presence to='{BALCONY}'/>", False),
    "unavailable": (f"<presence to='{JULIET}' type='unavailable'/>", False),
}


@pytest.mark.parametrize("case", INBOUND)
def test_nothing_comes_from_whom_one_has_blocked(verona: Verona, case: str) -> None:
    """XEP-0191 §3.3; and nothing is stored, and wakes nobody."""
    stanza, is_answered = INBOUND[case]
    command(verona.juliet, "block", "tybalt@example.org")
    for client in (verona.juliet, verona.romeo):
        client.received()

    verona.hall.route(stanza.replace(" to=", f" from='{STRANGER}' to=", 1))

    assert verona.juliet.received() == []
    verona.juliet.cut()
    verona.hall.route(stanza.replace(" to=", f" from='{STRANGER}' to=", 1))
    verona.juliet.close()
    verona.hall.route(stanza.replace(" to=", f" from='{STRANGER}' to=", 1))
    assert verona.hall.events(Undelivered) == []
    assert verona.hall.rows("SELECT * FROM offline") == []
    assert verona.hall.rows("SELECT * FROM subscription_requests") == []
    answers = [condition(one) for one in verona.sent]
    assert answers == ([("cancel", "service-unavailable")] * 3 if is_answered else [])


def test_a_blocked_neighbour_is_told_what_one_is_told_about_nobody(verona: Verona) -> None:
    command(verona.juliet, "block", ROMEO)
    verona.forget()

    verona.romeo.send(f"<message to='{JULIET}' type='chat' id='m'>{BODY}</message>")
    [error] = verona.romeo.received()

    assert condition(error) == ("cancel", "service-unavailable")
    assert (error["from"], error["to"], error["id"]) == (JULIET, ORCHARD, "m")
    assert verona.juliet.received() == []


OUTBOUND = {
    "chat": (f"<message to='{STRANGER}' type='chat' id='o'>{BODY}</message>", True),
    "groupchat": (f"<message to='{STRANGER}' type='groupchat' id='o'>{BODY}</message>", True),
    "message error": (f"<message to='{STRANGER}' type='error' id='o'/>", False),
    "get": (f"<iq to='{STRANGER}' type='get' id='o'>{PING}</iq>", True),
    "result": (f"<iq to='{STRANGER}' type='result' id='o'/>", False),
    "IQ error": (f"<iq to='{STRANGER}' type='error' id='o'/>", False),
    "available": (f"<presence to='{STRANGER}' id='o'/>", True),
    "subscribe": (f"<presence to='{STRANGER}' type='subscribe' id='o'/>", True),
    "subscribed": (f"<presence to='{STRANGER}' type='subscribed' id='o'/>", True),
}


@pytest.mark.parametrize("case", OUTBOUND)
def test_nothing_goes_to_whom_one_has_blocked(verona: Verona, case: str) -> None:
    stanza, is_answered = OUTBOUND[case]
    phone = verona.hall.login(f"{JULIET}/phone")
    phone.ask("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    command(verona.juliet, "block", "tybalt@example.org")
    verona.forget()
    phone.received()

    verona.juliet.send(stanza)

    assert verona.sent == []
    assert phone.received() == []
    answers = verona.juliet.received()
    assert len(answers) == int(is_answered)
    for answer in answers:
        assert condition(answer) == ("cancel", "not-acceptable")
        assert child(answer.error, "urn:xmpp:blocking:errors", "blocked") is not None
        assert (answer["from"], answer["to"], answer["id"]) == (STRANGER, BALCONY, "o")
    assert verona.hall.wait(verona.hall.host.rosters.load(JULIET)).contacts == {}


@pytest.mark.parametrize("blocked", [JULIET, f"{JULIET}/phone", "example.net"])
def test_ones_own_resources_and_server_are_never_blocked(verona: Verona, blocked: str) -> None:
    """XEP-0191 §4, the note."""
    phone = verona.hall.login(f"{JULIET}/phone")
    command(verona.juliet, "block", blocked)
    for client in (verona.juliet, phone):
        client.received()

    phone.send(f"<message to='{BALCONY}' type='chat'>{BODY}</message>")
    [message] = verona.juliet.received()
    assert message["type"] == "chat"
    verona.juliet.send(f"<message to='{JULIET}/phone' type='chat'>{BODY}</message>")
    [message] = phone.received()
    assert message["type"] == "chat"
    answer = verona.juliet.ask(f"<iq type='get' id='p' to='example.net'>{PING}</iq>")
    assert answer["type"] == "result"


def test_who_is_unblocked_is_heard_again(verona: Verona) -> None:
    command(verona.juliet, "block", ROMEO)
    command(verona.juliet, "unblock", ROMEO)
    verona.forget()

    verona.romeo.send(f"<message to='{JULIET}' type='chat'>{BODY}</message>")
    verona.juliet.send(f"<message to='{ROMEO}' type='chat'>{BODY}</message>")

    assert [one["type"] for one in verona.juliet.received()] == ["chat"]
    assert [one["type"] for one in verona.romeo.received()] == ["chat"]


# Presence.


@pytest.mark.parametrize(
    ("subscription", "is_told"), [("both", True), ("from", True), ("to", False), ("none", False)]
)
@pytest.mark.parametrize("blocked", [ROMEO, ORCHARD, "example.net"])
def test_a_block_shows_as_absence_to_who_may_see_presence(
    verona: Verona, subscription: str, is_told: bool, blocked: str
) -> None:
    verona.befriend(subscription)
    verona.forget()

    command(verona.juliet, "block", blocked)

    assert presences(verona.romeo) == ([(BALCONY, "unavailable")] if is_told else [])
    command(verona.juliet, "block", blocked)
    assert presences(verona.romeo) == []


@pytest.mark.parametrize(
    ("subscription", "is_told"), [("both", True), ("from", True), ("to", False), ("none", False)]
)
def test_who_is_unblocked_sees_the_presence_of_now(
    verona: Verona, subscription: str, is_told: bool
) -> None:
    verona.befriend(subscription)
    command(verona.juliet, "block", ROMEO)
    verona.juliet.send("<presence><show>away</show></presence>")
    verona.forget()

    command(verona.juliet, "unblock")

    assert presences(verona.romeo) == ([(BALCONY, "")] if is_told else [])
    sees = subscription in ("both", "to")
    assert presences(verona.juliet) == ([(ORCHARD, "")] if sees else [])


def test_who_stays_blocked_by_another_address_sees_nothing(verona: Verona) -> None:
    verona.befriend()
    command(verona.juliet, "block", ROMEO)
    verona.forget()

    command(verona.juliet, "block", "example.net")
    command(verona.juliet, "unblock", "example.net")

    assert presences(verona.romeo) == []
    assert presences(verona.juliet) == []


def test_the_blocked_see_no_presence_at_login_change_and_farewell(verona: Verona) -> None:
    verona.befriend()
    verona.befriend(jid="nurse@example.org")
    command(verona.juliet, "block", ROMEO)
    verona.forget()

    verona.juliet.send("<presence><show>away</show></presence>")
    phone = verona.hall.login(f"{JULIET}/phone")
    phone.send("<presence type='unavailable'/>")
    verona.juliet.close()

    assert presences(verona.romeo) == []
    assert {one["to"] for one in verona.sent} == {"nurse@example.org"}


def test_a_block_ends_presence_that_was_sent_by_name(verona: Verona) -> None:
    """So one leaves a room by blocking it, and is not sent there again at the end."""
    verona.juliet.send(f"<presence to='{ROOM}/juliet'/>")
    verona.juliet.send("<presence to='nurse@example.org'/>")
    verona.forget()

    command(verona.juliet, "block", ROOM)

    [left] = verona.sent
    assert (left["to"], left["from"], left["type"]) == (f"{ROOM}/juliet", BALCONY, "unavailable")
    verona.sent.clear()
    verona.juliet.close()
    assert [one["to"] for one in verona.sent] == ["nurse@example.org"]


def test_a_contact_that_was_sent_presence_by_name_is_told_once(verona: Verona) -> None:
    verona.befriend()
    verona.juliet.send(f"<presence to='{ORCHARD}'/>")
    verona.forget()

    command(verona.juliet, "block", ROMEO)

    assert presences(verona.romeo) == [(BALCONY, "unavailable")]


def test_a_request_that_waits_is_not_shown_while_its_sender_is_blocked(verona: Verona) -> None:
    verona.hall.route(f"<presence from='{STRANGER}' to='{JULIET}' type='subscribe'/>")
    command(verona.juliet, "block", "example.org")
    phone = verona.hall.login(f"{JULIET}/phone", available=False)
    phone.send("<presence/>")
    assert [type for _, type in presences(phone) if type == "subscribe"] == []
    phone.close()
    command(verona.juliet, "unblock")

    phone = verona.hall.login(f"{JULIET}/phone", available=False)
    phone.send("<presence/>")

    assert ("tybalt@example.org", "subscribe") in presences(phone)


def test_it_is_announced_by_the_server(verona: Verona) -> None:
    answer = verona.romeo.ask(
        "<iq type='get' id='d' to='example.net'>"
        "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    )

    assert NS in {node["var"] for node in answer.query.elements() if node.name == "feature"}


def test_a_long_block_meets_a_long_roster_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lists of 300 that were gone through for each other would be 90,000 steps."""
    verona = Verona()
    for number in range(300):
        verona.befriend(jid=f"friend{number}@example.org")
    steps: list[str] = []

    def counted(text: str) -> JID:
        steps.append(text)
        return parse(text)

    monkeypatch.setattr("pushd.modules.blocking.parse", counted)

    answer = command(verona.juliet, "block", *(f"foe{n}@example.org/x" for n in range(300)))

    assert answer["type"] == "result"
    assert len(steps) < 3_000
