"""RFC 6120 §8: which stanza gets which error, and which gets none.

Everything is said by a client of ours; what a door does before (§8.1.2, §8.1.5) is in
tests/unit/c2s/test_stanza_attributes.py.
"""

from typing import Any

import pytest

from pushd.routing.requests import IQ
from tests.hall import Hall

MODULES = {
    "roster": {"contacts": 1},
    "subscriptions": None,
    "presence": None,
    "offline": None,
    "ping": None,
}
ORCHARD = "romeo@example.net/orchard"
BALCONY = "juliet@example.net/balcony"
ROSTER = "jabber:iq:roster"
NONE = "-"

QUERY = "<query xmlns='urn:example'/>"
PING = "<ping xmlns='urn:xmpp:ping'/>"
ERROR = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"


def roster(content: str, to: str = "") -> str:
    return f"<iq type='set' id='x'{to}><query xmlns='{ROSTER}'>{content}</query></iq>"


# The section, what is said, and the answer as "type condition"; `-` is none.
ROWS = [
    # A receiver that is no address, or that is nobody.
    ("8.1.1", "<message to='@@' id='x'/>", "modify jid-malformed"),
    ("8.1.1", "<message to='' id='x'/>", "modify jid-malformed"),
    ("8.1.1", "<message to='a b@example.net' id='x'/>", "modify jid-malformed"),
    ("8.1.1", "<message to='juliet@example.net/' id='x'/>", "modify jid-malformed"),
    ("8.1.1", f"<message to='{'x' * 1024}@example.net' id='x'/>", "modify jid-malformed"),
    ("8.1.1", f"<iq type='get' to='@@' id='x'>{QUERY}</iq>", "modify jid-malformed"),
    ("8.1.1", "<presence to='@@' id='x'/>", "modify jid-malformed"),
    ("8.1.1", "<presence to='@@' type='unavailable' id='x'/>", "modify jid-malformed"),
    ("8.1.1", "<presence to='@@' type='probe' id='x'/>", "modify jid-malformed"),
    ("8.1.1", "<presence to='@@' type='subscribe' id='x'/>", "modify jid-malformed"),
    ("8.1.1", "<message to='@@' type='error' id='x'/>", NONE),
    ("8.1.1", "<iq to='@@' type='result' id='x'/>", NONE),
    ("8.1.1", f"<iq to='@@' type='error' id='x'>{ERROR}</iq>", NONE),
    ("8.1.1", "<presence to='@@' type='error' id='x'/>", NONE),
    # Requests (§8.2.3).
    ("8.2.3 rule 1", f"<iq type='get'>{PING}</iq>", "modify bad-request"),
    ("8.2.3 rule 1", f"<iq type='get' id=''>{PING}</iq>", "modify bad-request"),
    ("8.2.3 rule 1", f"<iq type='set' to='{BALCONY}'>{QUERY}</iq>", "modify bad-request"),
    ("8.2.3 rule 1", f"<iq type='set' to='nobody@example.net'>{QUERY}</iq>", "modify bad-request"),
    ("8.2.3 rule 1", "<iq type='result'/>", NONE),
    ("8.2.3 rule 1", f"<iq type='error'>{ERROR}</iq>", NONE),
    ("8.2.3 rule 2", f"<iq id='x'>{PING}</iq>", "modify bad-request"),
    ("8.2.3 rule 2", f"<iq id='x' type='GET'>{PING}</iq>", "modify bad-request"),
    ("8.2.3 rule 2", f"<iq id='x' type='post' to='{BALCONY}'>{PING}</iq>", "modify bad-request"),
    ("8.2.3 rule 3", f"<iq type='get' id='x'>{PING}</iq>", "result"),
    ("8.2.3 rule 3", f"<iq type='get' id='x' to='example.net'>{PING}</iq>", "result"),
    ("8.2.3 rule 3", f"<iq type='get' id='x' to='romeo@example.net'>{PING}</iq>", "result"),
    ("8.2.3 rule 4", "<iq type='result' id='x'/>", NONE),
    ("8.2.3 rule 4", f"<iq type='error' id='x'>{ERROR}</iq>", NONE),
    ("8.2.3 rule 4", f"<iq type='result' id='x' to='example.net'>{PING}</iq>", NONE),
    ("8.2.3 rule 4", "<iq type='result' id='x' to='nobody@example.net'/>", NONE),
    ("8.2.3 rule 4", "<iq type='result' id='x' to='nobody@example.net/x'/>", NONE),
    ("8.2.3 rule 4", "<iq type='result' id='x' to='far.example.com'/>", NONE),
    ("8.2.3 rule 5", "<iq type='get' id='x'/>", "modify bad-request"),
    ("8.2.3 rule 5", "<iq type='set' id='x' to='example.net'> text </iq>", "modify bad-request"),
    ("8.2.3 rule 5", f"<iq type='get' id='x'>{PING}{PING}</iq>", "modify bad-request"),
    ("8.2.3 rule 5", f"<iq type='set' id='x'>{PING}{QUERY}</iq>", "modify bad-request"),
    ("8.2.3 rule 6", f"<iq type='result' id='x'>{PING}{QUERY}</iq>", NONE),
    # An error is never answered, wherever it goes (§8.3.1).
    ("8.3.1", f"<message type='error' id='x' to='nobody@example.net'>{ERROR}</message>", NONE),
    ("8.3.1", f"<message type='error' id='x' to='far.example.com'>{ERROR}</message>", NONE),
    ("8.3.1", f"<iq type='error' id='x' to='far.example.com'>{ERROR}</iq>", NONE),
    ("8.3.1", f"<presence type='error' id='x' to='far.example.com'>{ERROR}</presence>", NONE),
    ("8.3.1", f"<presence type='error' id='x'>{ERROR}</presence>", NONE),
    # Only requests have results: on others that is a type that nobody knows.
    ("8.3.1", "<message type='result' id='x' to='a@b'/>", "cancel remote-server-not-found"),
    ("8.3.1", "<presence type='result' id='x' to='a@b'/>", "modify bad-request"),
    # The conditions (§8.3.3), where this server has a reason for them.
    ("8.3.3.1", "<presence type='odd' id='x'/>", "modify bad-request"),
    ("8.3.3.1", "<presence type='subscribe' id='x'/>", "modify bad-request"),
    ("8.3.3.1", "<presence type='probe' id='x'/>", "modify bad-request"),
    ("8.3.3.1", "<presence id='x'><priority>128</priority></presence>", "modify bad-request"),
    ("8.3.3.1", roster(""), "modify bad-request"),
    ("8.3.3.4", roster("<item jid='a@b'/>", " to='friend@example.net'"), "auth forbidden"),
    (
        "8.3.3.6",
        "<iq type='get' id='x'><broken xmlns='urn:t'/></iq>",
        "cancel internal-server-error",
    ),
    ("8.3.3.7", roster("<item jid='a@b' subscription='remove'/>"), "cancel item-not-found"),
    (
        "8.3.3.7",
        f"<iq type='get' id='x' to='x@push.example.net'>{PING}</iq>",
        "cancel item-not-found",
    ),
    ("8.3.3.8", roster("<item jid='@@'/>"), "modify jid-malformed"),
    ("8.3.3.9", roster("<item jid='a@b'><group/></item>"), "modify not-acceptable"),
    ("8.3.3.10", roster("<item jid='romeo@example.net'/>"), "cancel not-allowed"),
    ("8.3.3.16", "<message id='x' to='far.example.com'/>", "cancel remote-server-not-found"),
    ("8.3.3.16", "<message id='x' to='a@far.example.com/x'/>", "cancel remote-server-not-found"),
    ("8.3.3.16", "<presence id='x' to='a@far.example.com'/>", "cancel remote-server-not-found"),
    (
        "8.3.3.16",
        "<presence id='x' type='subscribe' to='a@far.example.com'/>",
        "cancel remote-server-not-found",
    ),
    (
        "8.3.3.16",
        f"<iq type='get' id='x' to='far.example.com'>{PING}</iq>",
        "cancel remote-server-not-found",
    ),
    ("8.3.3.18", roster("<item jid='one.too@many'/>"), "wait resource-constraint"),
    (
        "8.3.3.18",
        "<presence id='x' type='subscribe' to='juliet@example.net'/>",
        "wait resource-constraint",
    ),
    ("8.3.3.19", f"<iq type='get' id='x'>{QUERY}</iq>", "cancel service-unavailable"),
    ("8.3.3.19", f"<iq type='set' id='x'>{PING}</iq>", "cancel service-unavailable"),
    (
        "8.3.3.19",
        f"<iq type='get' id='x' to='example.net'>{QUERY}</iq>",
        "cancel service-unavailable",
    ),
    (
        "8.3.3.19",
        f"<iq type='get' id='x' to='juliet@example.net/none'>{PING}</iq>",
        "cancel service-unavailable",
    ),
    ("8.3.3.19", "<message id='x' to='example.net'/>", "cancel service-unavailable"),
    ("8.3.3.19", "<message id='x' to='push.example.net'/>", "cancel service-unavailable"),
    ("8.3.3.19", "<message id='x' to='nobody@example.net'/>", "cancel service-unavailable"),
]


def breaks(request: IQ) -> None:
    raise RuntimeError("an error of ours")


@pytest.fixture(scope="module")
def verona() -> dict[str, Any]:
    """Romeo's one contact is his friend, who shows him presence."""
    hall = Hall(modules=MODULES)
    host = hall.host
    host.router.add_service("push.example.net")
    host.requests.add("get", "urn:t", "broken", "account", breaks)
    romeo, juliet = hall.login(ORCHARD), hall.login(BALCONY)
    friend = hall.login("friend@example.net/x")
    romeo.send("<presence type='subscribe' to='friend@example.net'/>")
    friend.send("<presence type='subscribed' to='romeo@example.net'/>")
    for client in (romeo, juliet, friend):
        client.received()
    return {"hall": hall, "romeo": romeo, "juliet": juliet}


@pytest.mark.parametrize(
    ("said", "answer"), [pytest.param(*row[1:], id=f"{row[0]} {row[1][:60]}") for row in ROWS]
)
def test_what_a_stanza_is_answered(verona: dict[str, Any], said: str, answer: str) -> None:
    romeo, juliet = verona["romeo"], verona["juliet"]

    romeo.send(said)

    answers = romeo.received()
    assert juliet.received() == []
    if answer == NONE:
        assert answers == []
        return
    [one] = answers
    assert one.name == said[1:].split()[0]
    assert one["to"] == ORCHARD
    assert one.getAttribute("id", "") == ("x" if "id='x'" in said else "")
    if answer == "result":
        assert one["type"] == "result"
        return
    assert one["type"] == "error"
    conditions = [
        node for node in one.error.elements() if node.uri == "urn:ietf:params:xml:ns:xmpp-stanzas"
    ]
    assert f"{one.error['type']} {conditions[0].name}" == answer
    assert [node.name for node in conditions[1:]] in ([], ["text"])
