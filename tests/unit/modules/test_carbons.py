from pathlib import Path

import pytest

from pushd.modules.carbons import REMEMBERED
from pushd.routing.events import Undelivered
from pushd.wire.carbons import opened
from pushd.wire.element import Element, child, children, serialize
from pushd.wire.framer import seal
from tests.hall import Client, Hall

NS = "urn:xmpp:carbons:2"
MODULES = {"roster": None, "presence": None, "offline": None, "carbons": None}
JULIET, ROMEO = "juliet@example.net", "romeo@example.net"
ROOM = "verona@muc.example.org"
MUC_USER = "http://jabber.org/protocol/muc#user"
BODY = "<body>hi</body>"


def enable(client: Client, what: str = "enable", to: str = "") -> Element:
    addressed = f" to='{to}'" if to else ""
    return client.ask(f"<iq type='set' id='c'{addressed}><{what} xmlns='{NS}'/></iq>")


def copies(client: Client) -> list[tuple[str, Element]]:
    """The carbons that came: their direction, and the message inside; each is as it must be."""
    found = []
    for one in client.received():
        for direction in ("sent", "received"):
            wrapping = child(one, NS, direction)
            if wrapping is not None:
                assert (one["from"], one["to"]) == (client.session.account, client.session.full)
                [forwarded] = children(wrapping)
                assert (forwarded.uri, forwarded.name) == ("urn:xmpp:forward:0", "forwarded")
                [inner] = children(forwarded)
                assert (inner.uri, inner.name) == ("jabber:client", "message")
                assert inner.getAttribute("type") == one.getAttribute("type")
                found.append((direction, inner))
    return found


def directions(client: Client) -> list[str]:
    return [direction for direction, _ in copies(client)]


def bodies(client: Client) -> list[str]:
    """What came as it is, not as a copy."""
    return [str(one.body) for one in client.received() if one.name == "message" and one.body]


def condition(answer: Element) -> tuple[str, str]:
    assert answer["type"] == "error"
    return answer.error["type"], answer.error.firstChildElement().name


class Verona:
    """Juliet has a phone and a desk, which wants copies; Romeo has one resource."""

    def __init__(self, path: Path | str = ":memory:", sm: bool = False) -> None:
        self.hall = Hall(modules=MODULES, path=path)
        self.hall.host.router.add_host("muc.example.org", lambda stanza: None)
        self.phone = self.hall.login(f"{JULIET}/phone", sm=sm)
        self.desk = self.hall.login(f"{JULIET}/desk", sm=sm)
        self.romeo = self.hall.login(f"{ROMEO}/orchard")
        assert enable(self.desk)["type"] == "result"
        for client in (self.phone, self.desk, self.romeo):
            client.received()


@pytest.fixture
def verona() -> Verona:
    return Verona()


def test_what_comes_for_another_resource_is_copied(verona: Verona) -> None:
    verona.romeo.send(f"<message to='{JULIET}/phone' type='chat' id='m'>{BODY}</message>")

    assert bodies(verona.phone) == ["hi"]
    [(direction, inner)] = copies(verona.desk)
    assert direction == "received"
    assert serialize(inner) == (
        f"<message from='{ROMEO}/orchard' to='{JULIET}/phone' type='chat' id='m'>"
        f"{BODY}</message>".encode()
    )


def test_what_another_resource_sends_is_copied(verona: Verona) -> None:
    verona.phone.send(f"<message to='{ROMEO}' type='chat' id='m'>{BODY}</message>")

    assert bodies(verona.romeo) == ["hi"]
    [(direction, inner)] = copies(verona.desk)
    assert direction == "sent"
    assert (inner["from"], inner["to"]) == (f"{JULIET}/phone", ROMEO)
    assert verona.phone.received() == []


def test_who_sends_or_receives_a_message_gets_no_copy_of_it(verona: Verona) -> None:
    enable(verona.phone)
    verona.romeo.send(f"<message to='{JULIET}' type='chat'>{BODY}</message>")

    assert bodies(verona.phone) == bodies(verona.desk) == ["hi"]

    verona.desk.send(f"<message to='{ROMEO}' type='chat'>{BODY}</message>")

    assert verona.desk.received() == []
    assert directions(verona.phone) == ["sent"]


def test_without_enabling_nothing_is_copied(verona: Verona) -> None:
    verona.romeo.send(f"<message to='{JULIET}/desk' type='chat'>{BODY}</message>")
    verona.desk.send(f"<message to='{ROMEO}' type='chat'>{BODY}</message>")

    assert bodies(verona.desk) == ["hi"]
    assert verona.phone.received() == []


def test_enabling_and_disabling_may_be_repeated(verona: Verona) -> None:
    for what, expected in (
        ("enable", ["received"]),
        ("enable", ["received"]),
        ("disable", []),
        ("disable", []),
        ("enable", ["received"]),
    ):
        assert enable(verona.desk, what)["type"] == "result"
        verona.romeo.send(f"<message to='{JULIET}/phone' type='chat'>{BODY}</message>")
        assert directions(verona.desk) == expected


@pytest.mark.parametrize("what", ["enable", "disable"])
def test_nobody_enables_carbons_for_another_account(verona: Verona, what: str) -> None:
    absent = condition(enable(verona.romeo, what, to="nobody@example.net"))

    assert condition(enable(verona.romeo, what, to=JULIET)) == absent
    assert absent == ("cancel", "service-unavailable")


def test_a_contact_that_may_know_of_the_account_is_told_why(verona: Verona) -> None:
    roster = verona.hall.wait(verona.hall.host.rosters.load(JULIET))
    contact = roster.get(ROMEO)
    verona.hall.host.rosters.put(JULIET, type(contact)(ROMEO, subscription="from"))

    assert condition(enable(verona.romeo, to=JULIET)) == ("cancel", "not-allowed")


MARKER = "<displayed xmlns='urn:xmpp:chat-markers:0' id='a'/>"
RECEIPT = "<received xmlns='urn:xmpp:receipts' id='a'/>"
STATE = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
DIRECT = f"<x xmlns='jabber:x:conference' jid='{ROOM}'/>"
MEDIATED = f"<x xmlns='{MUC_USER}'><invite from='{ROMEO}'/></x>"
IN_ROOM = f"<x xmlns='{MUC_USER}'/>"
PRIVATE = f"<private xmlns='{NS}'/>"
NO_COPY = "<no-copy xmlns='urn:xmpp:hints'/>"

# XEP-0280 §6.1: type, content, from whom or to whom, copied when it comes, and when it is sent.
RULES = {
    "chat": ("chat", BODY, "", True, True),
    "chat without a body": ("chat", "<x xmlns='urn:x'/>", "", True, True),
    "empty chat": ("chat", "", "", True, True),
    "normal with a body": ("normal", BODY, "", True, True),
    "normal without a body": ("normal", "<subject>x</subject>", "", False, False),
    "no type, with a body": ("", BODY, "", True, True),
    "no type, without a body": ("", "<x xmlns='urn:x'/>", "", False, False),
    "unknown type, which is normal": ("odd", BODY, "", True, True),
    "headline": ("headline", BODY, "", False, False),
    "receipt": ("normal", RECEIPT, "", True, True),
    "marker": ("normal", MARKER, "", True, True),
    "chat state": ("normal", STATE, "", True, True),
    "groupchat": ("groupchat", BODY, f"{ROOM}/nurse", False, False),
    "groupchat with a marker": ("groupchat", MARKER, f"{ROOM}/nurse", False, False),
    "direct invitation": ("normal", DIRECT, "", True, True),
    "mediated invitation": ("normal", MEDIATED, ROOM, True, True),
    "private message of a room": ("chat", BODY + IN_ROOM, f"{ROOM}/nurse", False, True),
    "private marker of a room": ("normal", MARKER + IN_ROOM, f"{ROOM}/nurse", False, True),
    "a room itself": ("chat", BODY + IN_ROOM, ROOM, True, True),
    "private": ("chat", BODY + PRIVATE, "", False, False),
    "no-copy": ("chat", BODY + NO_COPY, "", False, False),
    "private and no-copy": ("chat", BODY + PRIVATE + NO_COPY, "", False, False),
    "private invitation": ("normal", DIRECT + PRIVATE, "", False, False),
    "an error that answers nothing": ("error", BODY, "", False, False),
    "an error with a marker that answers nothing": ("error", MARKER, "", False, False),
}


@pytest.mark.parametrize("case", RULES)
def test_what_is_copied_when_it_comes(verona: Verona, case: str) -> None:
    kind, content, other, expected, _ = RULES[case]
    said = f" type='{kind}'" if kind else ""
    sender = other or f"{ROMEO}/orchard"

    verona.hall.route(
        f"<message from='{sender}' to='{JULIET}/phone'{said} id='m'>{content}</message>"
    )

    [message] = verona.phone.received()
    # An earlier version of the XEP had a server take `<private/>` out; §9 says why no more.
    assert serialize(message).decode().count(PRIVATE) == content.count(PRIVATE)
    assert directions(verona.desk) == (["received"] if expected else [])


@pytest.mark.parametrize("case", RULES)
def test_what_is_copied_when_it_is_sent(verona: Verona, case: str) -> None:
    kind, content, other, _, expected = RULES[case]
    said = f" type='{kind}'" if kind else ""

    verona.phone.send(f"<message to='{other or ROMEO}'{said} id='m'>{content}</message>")

    assert directions(verona.desk) == (["sent"] if expected else [])


@pytest.mark.parametrize(("content", "expected"), [(BODY, True), (BODY + PRIVATE, False)])
def test_an_error_is_copied_if_what_it_answers_was(
    verona: Verona, content: str, expected: bool
) -> None:
    verona.phone.send(f"<message to='x@example.com' type='chat' id='m'>{content}</message>")

    [error] = verona.phone.received()
    assert (error["type"], error["id"]) == ("error", "m")
    [*found] = copies(verona.desk)
    assert [direction for direction, _ in found] == (["sent", "received"] if expected else [])
    if expected:
        assert found[1][1]["type"] == "error"


def test_an_error_that_a_client_answers_with_is_copied_if_the_message_was(verona: Verona) -> None:
    verona.romeo.send(f"<message to='{JULIET}/phone' type='chat' id='m'>{BODY}</message>")
    verona.phone.send(f"<message to='{ROMEO}/orchard' type='error' id='m'/>")

    assert directions(verona.desk) == ["received", "sent"]


@pytest.mark.parametrize(
    ("sender", "id"), [(f"{ROMEO}/orchard", "other"), ("tybalt@example.org/x", "m")]
)
def test_an_error_of_another_id_or_sender_answers_nothing(
    verona: Verona, sender: str, id: str
) -> None:
    verona.phone.send(f"<message to='{ROMEO}' type='chat' id='m'>{BODY}</message>")
    copies(verona.desk)

    verona.hall.route(f"<message from='{sender}' to='{JULIET}/phone' type='error' id='{id}'/>")

    assert directions(verona.desk) == []


def test_what_errors_may_answer_is_remembered_within_bounds(verona: Verona) -> None:
    for number in range(REMEMBERED + 1):
        verona.phone.pass_on(f"<message to='{ROMEO}' type='chat' id='{number}'>{BODY}</message>")
    copies(verona.desk)

    for id in (0, REMEMBERED):
        verona.hall.route(f"<message from='{ROMEO}' to='{JULIET}/phone' type='error' id='{id}'/>")

    [(_, inner)] = copies(verona.desk)
    assert inner["id"] == str(REMEMBERED)


def test_an_error_about_a_resource_that_is_gone_reaches_the_others(verona: Verona) -> None:
    verona.phone.send(f"<message to='{ROMEO}' type='chat' id='m'>{BODY}</message>")
    verona.phone.close()
    copies(verona.desk)

    verona.hall.route(f"<message from='{ROMEO}' to='{JULIET}/phone' type='error' id='m'/>")

    assert directions(verona.desk) == ["received"]


def test_a_bounced_copy_goes_nowhere(verona: Verona) -> None:
    """§10.3: the error of a copy is not passed on to who sent the message."""
    verona.romeo.send(f"<message to='{JULIET}/phone' type='chat' id='m'>{BODY}</message>")
    copies(verona.desk)
    verona.desk.send(f"<message to='{JULIET}' type='error'/>")

    assert verona.romeo.received() == []
    assert bodies(verona.phone) == ["hi"]


def test_a_message_that_is_refused_is_not_copied(verona: Verona) -> None:
    verona.romeo.send(f"<message to='{JULIET}/nowhere' id='m'>{BODY}</message>")

    [error] = verona.romeo.received()
    assert error["type"] == "error"
    assert directions(verona.desk) == []


def test_to_ones_own_account_each_resource_gets_a_message_once(verona: Verona) -> None:
    tablet = verona.hall.login(f"{JULIET}/tablet")
    enable(verona.phone)
    enable(tablet)
    for client in (verona.phone, verona.desk, tablet):
        client.received()

    verona.phone.send(f"<message to='{JULIET}/desk' type='chat'>{BODY}</message>")

    assert verona.phone.received() == []
    assert bodies(verona.desk) == ["hi"]
    assert directions(tablet) == ["sent"]


@pytest.mark.parametrize(
    ("presence", "expected"),
    [("<presence><priority>-1</priority></presence>", ["received"]), ("", [])],
)
def test_of_a_stored_message_only_those_get_a_copy_that_will_not_get_the_message(
    presence: str, expected: list[str]
) -> None:
    hall = Hall(modules=MODULES)
    desk = hall.login(f"{JULIET}/desk", available=False, sm=True)
    enable(desk)
    if presence:
        desk.send(presence)
    desk.received()

    hall.route(f"<message from='{ROMEO}/x' to='{JULIET}' type='chat'>{BODY}</message>")

    assert directions(desk) == expected
    assert len(hall.rows("SELECT id FROM offline")) == 1
    desk.close()
    assert len(hall.rows("SELECT id FROM offline")) == 1


def test_a_resource_that_was_never_available_gets_copies(verona: Verona) -> None:
    """§7: each Carbons-enabled resource."""
    bound = verona.hall.login(f"{JULIET}/bound", available=False)
    enable(bound)

    verona.romeo.send(f"<message to='{JULIET}' type='chat'>{BODY}</message>")

    assert directions(bound) == ["received"]


@pytest.mark.parametrize(
    "start",
    [
        f"<message xmlns='jabber:client' from='{ROMEO}/x' to='{JULIET}/phone' type='chat'>",
        f"<message id='>' from='{ROMEO}/x' to='{JULIET}/phone' xmlns = \"jabber:client\">",
        f"<message xmlns:a='urn:a' a:b='c' from='{ROMEO}/x' type='chat' to='{JULIET}/phone'>",
        f"<message from='{ROMEO}/x' to='{JULIET}/phone' type='chat'\n\tid='&lt;&apos;&#10;'>",
    ],
)
def test_any_start_tag_is_copied_well_formed(verona: Verona, start: str) -> None:
    original = f"{start}<body>a &amp; b</body><y xmlns='urn:y' xml:lang='it'/></message>"

    verona.hall.route(original)

    [(_, inner)] = copies(verona.desk)
    assert serialize(inner) == serialize(seal(original.encode()).tree)


# Detaching, resumption, restarts.


def test_a_detached_session_keeps_its_copies_and_still_gets_them() -> None:
    verona = Verona(sm=True)
    verona.desk.cut()

    verona.romeo.send(f"<message to='{JULIET}/phone' type='chat'>{BODY}</message>")
    verona.phone.send(f"<message to='{ROMEO}' type='chat'>{BODY}</message>")
    verona.desk.resume()

    assert directions(verona.desk) == ["received", "sent"]
    verona.romeo.send(f"<message to='{JULIET}/phone' type='chat'>{BODY}</message>")
    assert directions(verona.desk) == ["received"]


def test_copies_go_on_after_a_kill(tmp_path: Path) -> None:
    verona = Verona(tmp_path / "pushd.db", sm=True)
    hall = verona.hall.killed()
    session = hall.host.sessions.of(JULIET)["desk"]
    romeo = hall.login(f"{ROMEO}/orchard")

    romeo.send(f"<message to='{JULIET}/phone' type='chat'>{BODY}</message>")

    assert session.queue is not None
    *_, (data, _, _) = session.queue
    assert opened(seal(data), JULIET).attributes["to"] == f"{JULIET}/phone"


def test_an_ended_session_is_forgotten(verona: Verona) -> None:
    verona.desk.close()

    assert verona.hall.host.router.copied == {}
    verona.romeo.send(f"<message to='{JULIET}/phone' type='chat'>{BODY}</message>")
    assert bodies(verona.phone) == ["hi"]


def stored(hall: Hall) -> list[Element]:
    return [seal(raw).tree for (raw,) in hall.rows("SELECT stanza FROM offline")]


@pytest.mark.parametrize("acknowledges", ["phone", "desk", ""])
@pytest.mark.parametrize("last", ["phone", "desk"])
@pytest.mark.parametrize("restart", [False, True])
def test_what_no_resource_acknowledged_is_stored_once_and_as_it_was(
    tmp_path: Path, acknowledges: str, last: str, restart: bool
) -> None:
    """The copy, too, is the message, if it is all that is left of it."""
    verona = Verona(tmp_path / "pushd.db", sm=True)
    clients = {"phone": verona.phone, "desk": verona.desk}
    for client in clients.values():
        client.acknowledge()
    verona.romeo.send(f"<message to='{JULIET}/phone' type='chat' id='m'>{BODY}</message>")
    if acknowledges:
        clients[acknowledges].acknowledge()

    hall = verona.hall
    if restart:
        hall = hall.killed()
    for resource in sorted(clients, key=last.__eq__):
        session = hall.host.sessions.of(JULIET)[resource]
        session.stream = None
        hall.host.lifecycle.present(session, None, 0)
        hall.host.lifecycle.end(session, "gone")
        hall.advance(0)

    found = stored(hall)
    assert len(found) == (0 if acknowledges else 1)
    for message in found:
        assert (message["from"], message["id"]) == (f"{ROMEO}/orchard", "m")
        assert str(message.body) == "hi"
        assert [one.name for one in children(message)] == ["body", "delay"]


def test_what_ones_own_resource_said_is_never_stored(tmp_path: Path) -> None:
    verona = Verona(sm=True)
    verona.desk.cut()
    verona.phone.send(f"<message to='{ROMEO}' type='chat'>{BODY}</message>")
    verona.phone.close()

    verona.hall.advance(301)

    assert verona.hall.host.sessions.of(JULIET) == {}
    assert stored(verona.hall) == []


def test_a_copy_is_told_to_push_as_what_it_is() -> None:
    verona = Verona(sm=True)
    verona.desk.cut()

    verona.romeo.send(f"<message to='{JULIET}/phone' type='chat'>{BODY}</message>")

    [event] = verona.hall.events(Undelivered)
    assert event.session is verona.desk.session
    assert event.stanza.children == (f"{NS} received",)


def test_it_is_announced_by_the_server(verona: Verona) -> None:
    answer = verona.romeo.ask(
        "<iq type='get' id='d' to='example.net'>"
        "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    )

    features = {node["var"] for node in answer.query.elements() if node.name == "feature"}
    assert {NS, "urn:xmpp:carbons:rules:0"} <= features


@pytest.mark.parametrize("how", ["disabled", "removed"])
def test_a_session_whose_account_is_closed_is_not_taken_up_again(tmp_path: Path, how: str) -> None:
    verona = Verona(tmp_path / "pushd.db", sm=True)
    if how == "disabled":
        verona.hall.host.accounts.disable(JULIET, "")  # nobody has ended the sessions
        verona.hall.advance(0)
    else:
        verona.hall.wait(verona.hall.host.accounts.remove(JULIET))

    assert verona.hall.killed().host.router.copied == {}


def test_a_message_to_what_is_no_address_is_refused_although_copies_are_wanted() -> None:
    hall = Hall(modules=MODULES)
    phone, desk = hall.login(f"{JULIET}/phone"), hall.login(f"{JULIET}/desk")
    for client in (phone, desk):
        enable(client)
    phone.received()

    phone.send(f"<message to='@@' type='chat' id='1'>{BODY}</message>")

    [error] = phone.received()
    assert (error["type"], error["id"]) == ("error", "1")
    assert error.error.firstChildElement().name == "jid-malformed"
