"""RFC 6121 §4 by rows: who hears of presence, what a probe is answered, and who is told of the end.

Romeo is the one whose presence it is. Others are at a service next door, unless a row has
them here.
"""

from dataclasses import replace
from typing import Any

import pytest

from pushd.wire.element import Element
from pushd.wire.stanza import Stanza
from tests.hall import Client, Hall

MODULES = {"roster": None, "subscriptions": None, "presence": None}
ROMEO = "romeo@example.net"
ORCHARD, PHONE = f"{ROMEO}/orchard", f"{ROMEO}/phone"
JULIET = "juliet@gate.example.org"
NURSE = "nurse@example.net"  # has an account here
HOLD = 300.0


class Verona:
    def __init__(self) -> None:
        self.hall = Hall(modules=MODULES, resume_timeout=HOLD)
        self.hall.add_account(ROMEO)
        self.abroad: list[Stanza] = []
        self.hall.host.router.add_host("gate.example.org", self.abroad.append)

    def contact(self, jid: str, subscription: str, ask: bool = False) -> None:
        """Put somebody into Romeo's roster."""
        rosters = self.hall.host.rosters
        self.hall.wait(rosters.load(ROMEO))
        contact = replace(rosters[ROMEO].get(jid), subscription=subscription, ask=ask)
        rosters.put(ROMEO, contact)
        self.hall.advance(0)

    def arrive(self, address: str, presence: str = "", sm: bool = False) -> Client:
        client = self.hall.login(address, available=False, sm=sm)
        if presence:
            client.send(presence)
        client.received()
        return client

    def sent(self) -> list[tuple[str, str, str]]:
        """What went next door since the last call: type, from, to."""
        found = [
            (one.type or "available", one.attributes["from"], one.attributes["to"])
            for one in self.abroad
        ]
        self.abroad.clear()
        return found


def came(client: Client) -> list[tuple[str, str]]:
    return [(one.getAttribute("type", "available"), one["from"]) for one in client.received()]


# To whom presence goes (§4.2.2, §4.4.2, §4.5.2), and whom a probe (§4.3.1), by the state of the
# subscription: P presence, ? a probe, - nothing.
BROADCAST = """
                  initial  later  unavailable
none                 -       -       -
none, asking         -       -       -
to                   ?       -       -
from                 P       P       P
from, asking         P       P       P
both                 P?      P       P
"""


def broadcast_rows() -> list[Any]:
    heading, *lines = BROADCAST.strip("\n").splitlines()
    return [
        pytest.param(line[:17].strip(), kind, letters, id=f"{kind}: {line[:17].strip()}")
        for line in lines
        for kind, letters in zip(heading.split(), line[17:].split(), strict=True)
    ]


@pytest.mark.parametrize(("state", "kind", "letters"), broadcast_rows())
def test_whom_presence_reaches(state: str, kind: str, letters: str) -> None:
    verona = Verona()
    subscription, _, ask = state.partition(", ")
    verona.contact(JULIET, subscription, bool(ask))
    romeo = verona.arrive(ORCHARD, "" if kind == "initial" else "<presence/>")
    verona.sent()
    type = "unavailable" if kind == "unavailable" else "available"

    attribute = " type='unavailable'" if kind == "unavailable" else ""
    romeo.send(f"<presence{attribute} id='p'><status>words</status></presence>")

    expected = {"P": (type, ORCHARD, JULIET), "?": ("probe", ORCHARD, JULIET)}
    content = [str(one.tree.status) for one in verona.abroad if one.type != "probe"]
    assert verona.sent() == [expected[letter] for letter in letters.strip("-")]
    assert content == ["words"] * letters.count("P")
    assert came(romeo) == [(type, ORCHARD)]  # one's own presence comes back (§4.2.2, §4.5.2)


# Who asks for Romeo's presence (§4.3.2), by what Romeo's roster says of them, and the resources
# that Romeo has. P: the last presence of each available resource. 1: that of the one asked
# for. G: unavailable, from the address asked for. U: unsubscribed, from the bare address.
# S: silence.
PROBES = """
rule               resources         to bare  to /orchard  to /gone
1     stranger     one                  U          U          U
1     stranger     none                 U          U          U
1     to           one                  U          U          U
1     no account   none                 U          U          U
-     waiting      one                  S          S          S
3     from         none                 G          G          G
3     from         connected            G          G          G
4     from         one                  P          1          G
4     from         negative             P          1          G
4     from         detached             P          1          G
4     from         several              P          1          G
4     both         several              P          1          G
4     own          one                  P          1          G
4     own          several              P          1          G
"""
RESOURCES: dict[str, dict[str, str]] = {
    "none": {},
    "connected": {ORCHARD: ""},
    "one": {ORCHARD: "<presence><show>away</show></presence>"},
    "negative": {ORCHARD: "<presence><priority>-1</priority></presence>"},
    "detached": {ORCHARD: "<presence><show>xa</show></presence>"},
    "several": {ORCHARD: "<presence/>", PHONE: "<presence><show>dnd</show></presence>"},
}


def probe_rows() -> list[Any]:
    found: list[Any] = []
    for line in PROBES.strip("\n").splitlines()[1:]:
        rule, asker, resources = line[:6].strip(), line[6:19].strip(), line[19:37].strip()
        for to, letter in zip(("", "/orchard", "/gone"), line[37:].split(), strict=True):
            case = f"rule {rule}: {asker} asks {to or 'bare'}, {resources}"
            found.append(pytest.param(asker, resources, to, letter, id=case))
    return found


@pytest.mark.parametrize(("asker", "resources", "to", "letter"), probe_rows())
def test_what_a_probe_is_answered(asker: str, resources: str, to: str, letter: str) -> None:
    verona = Verona()
    account = "nobody@example.net" if asker == "no account" else ROMEO
    clients = {
        address: verona.arrive(address, presence, sm=resources == "detached")
        for address, presence in RESOURCES[resources].items()
    }
    if resources == "detached":
        clients[ORCHARD].cut()
    if asker in ("to", "from", "both"):
        verona.contact(JULIET, asker)
    elif asker == "waiting":
        verona.hall.route(f"<presence type='subscribe' from='{JULIET}' to='{ROMEO}'/>")
    for client in clients.values():
        client.received()
    verona.abroad.clear()

    if asker == "own":
        clients[ORCHARD].send(f"<presence type='probe' to='{account}{to}'/>")
        answers = [(kind, sender) for kind, sender in came(clients[ORCHARD])]
    else:
        probe = f"<presence type='probe' from='{JULIET}/balcony' to='{account}{to}'/>"
        verona.hall.route(probe)
        receiver = JULIET if letter == "U" else f"{JULIET}/balcony"
        assert {one.attributes["to"] for one in verona.abroad} <= {receiver}
        answers = [(kind, sender) for kind, sender, _ in verona.sent()]

    assert (
        answers
        == {
            "U": [("unsubscribed", account)],
            "G": [("unavailable", f"{account}{to}")],
            "P": [("available", address) for address in RESOURCES[resources]],
            "1": [("available", ORCHARD)],
            "S": [],
        }[letter]
    )


def test_a_probe_is_answered_with_the_whole_of_the_last_presence() -> None:
    """Rule 4: as it was sent without `to`; what was directed to somebody is not told."""
    verona = Verona()
    verona.contact(JULIET, "from")
    romeo = verona.arrive(ORCHARD, "<presence><show>away</show><x xmlns='urn:x'/></presence>")
    romeo.send(f"<presence to='{JULIET}/other'><show>chat</show></presence>")
    verona.abroad.clear()

    verona.hall.route(f"<presence type='probe' from='{JULIET}' to='{ROMEO}'/>")

    [answer] = verona.abroad
    assert [(node.name, str(node)) for node in answer.tree.elements()] == [
        ("show", "away"),
        ("x", ""),
    ]


# How a session ends after presence was directed to somebody by name (§4.6.3, §4.5.2), and what
# its client said last. The receivers are told once, and those who see presence anyway not twice.
ENDS = ("unavailable", "closed", "lost", "held too long", "replaced", "queue full")
RECEIVERS = {
    "a stranger": (f"{JULIET}/x", "none"),
    "a stranger's account": (JULIET, "none"),
    "a contact that does not see": (JULIET, "to"),
    "a contact that sees": (JULIET, "from"),
    "a resource of a contact that sees": (f"{JULIET}/x", "both"),
}


def finish(verona: Verona, romeo: Client, end: str) -> None:
    if end == "unavailable":
        romeo.send("<presence type='unavailable'><status>bye</status></presence>")
    elif end == "closed":
        romeo.close()
    elif end == "replaced":
        verona.hall.login(ORCHARD, available=False)
        verona.hall.advance(0)
    else:
        romeo.cut()
        if end == "held too long":
            assert verona.sent() == []  # a detached session is as available as before
            verona.hall.advance(HOLD + 1)
        elif end == "queue full":
            verona.hall.host.delivery.overflow(romeo.session)
            verona.hall.advance(0)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("receiver", RECEIVERS)
@pytest.mark.parametrize("is_available", [True, False], ids=["available", "connected"])
def test_who_got_presence_by_name_is_told_of_the_end(
    end: str, receiver: str, is_available: bool
) -> None:
    verona = Verona()
    to, subscription = RECEIVERS[receiver]
    if subscription != "none":
        verona.contact(JULIET, subscription)
    romeo = verona.arrive(
        ORCHARD, "<presence/>" if is_available else "", sm=end in ("held too long", "queue full")
    )
    verona.abroad.clear()
    romeo.send(f"<presence to='{to}'/>")
    assert verona.sent() == [("available", ORCHARD, to)]

    finish(verona, romeo, end)

    sees = is_available and subscription in ("from", "both")
    statuses = [str(one.tree.status or "") for one in verona.abroad]
    assert verona.sent() == [("unavailable", ORCHARD, JULIET if sees else to)]
    assert statuses == (["bye"] if end == "unavailable" else [""])
    romeo.close()
    assert verona.sent() == []


@pytest.mark.parametrize("end", ENDS)
def test_who_was_told_by_name_that_it_is_over_is_not_told_twice(end: str) -> None:
    verona = Verona()
    romeo = verona.arrive(ORCHARD, "<presence/>", sm=end in ("held too long", "queue full"))
    romeo.send(f"<presence to='{JULIET}/x'/>")
    romeo.send(f"<presence to='{JULIET}/x' type='unavailable'><status>enough</status></presence>")
    assert [kind for kind, _, _ in verona.sent()] == ["available", "unavailable"]

    finish(verona, romeo, end)

    assert verona.sent() == []


@pytest.mark.parametrize("whose", [NURSE, ROMEO])
def test_a_resource_that_is_not_available_is_told_too(whose: str) -> None:
    """Presence for all does not reach it, although its account may see it."""
    verona = Verona()
    verona.contact(NURSE, "both")
    shy = verona.arrive(f"{whose}/shy")
    romeo = verona.arrive(ORCHARD, "<presence/>")
    romeo.send(f"<presence to='{whose}/shy'/>")
    assert came(shy) == [("available", ORCHARD)]

    romeo.close()

    assert came(shy) == [("unavailable", ORCHARD)]


# Types that there are not (§4.7.1), and presence that lacks a receiver.


@pytest.mark.parametrize("to", ["", ROMEO, f"{ROMEO}/none", "nobody@example.net", JULIET])
def test_an_unknown_type_from_a_client_is_a_bad_request(to: str) -> None:
    verona = Verona()
    romeo = verona.arrive(ORCHARD, "<presence/>")
    addressed = f"to='{to}'" if to else ""

    romeo.send(f"<presence type='subscribbed' {addressed} id='p'/>")

    [error] = romeo.received()
    assert_bad_request(error)
    assert verona.sent() == []


@pytest.mark.parametrize("to", [ROMEO, ORCHARD, "nobody@example.net"])
def test_an_unknown_type_from_elsewhere_is_a_bad_request(to: str) -> None:
    verona = Verona()
    romeo = verona.arrive(ORCHARD, "<presence/>")

    verona.hall.route(f"<presence type='invisible' from='{JULIET}' to='{to}' id='p'/>")

    assert romeo.received() == []
    [answer] = verona.abroad
    assert (answer.attributes["from"], answer.attributes["to"]) == (to, JULIET)
    assert_bad_request(answer.tree)


def assert_bad_request(error: Element) -> None:
    assert (error.name, error["type"], error["id"]) == ("presence", "error", "p")
    assert error.error["type"] == "modify"
    assert error.error.firstChildElement().name == "bad-request"
