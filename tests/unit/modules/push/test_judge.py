import pytest

from pushd.modules.push.judge import Kind, judge
from pushd.wire.framer import seal

JULIET = "juliet@example.net"
ROMEO = "romeo@example.org/orchard"
EME = "<encryption xmlns='urn:xmpp:eme:0' namespace='urn:xmpp:otr:0'/>"


def message(content: str, type: str = "chat", sender: str = ROMEO) -> str:
    return f"<message from='{sender}' to='{JULIET}' type='{type}'>{content}</message>"


def carbon(direction: str, inner: str, sender: str = JULIET) -> str:
    inner = inner.replace("<message ", "<message xmlns='jabber:client' ", 1)
    return (
        f"<message from='{sender}' to='{JULIET}/balcony' type='chat'>"
        f"<{direction} xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>"
        f"{inner}</forwarded></{direction}></message>"
    )


def omemo(namespace: str, payload: str = "<payload>BASE64</payload>") -> str:
    return f"<encrypted xmlns='{namespace}'><header sid='1'/>{payload}</encrypted>"


LEGACY = "eu.siacs.conversations.axolotl"
MEDIATED = "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='nurse@example.org'/></x>"

COUNTS = {
    "a body": message("<body>hi</body>"),
    "a body without a type": f"<message from='{ROMEO}'><body>hi</body></message>",
    "a body in a room": message("<body>hi</body>", "groupchat"),
    "a body beside a chat state": message(
        "<body>hi</body><active xmlns='http://jabber.org/protocol/chatstates'/>"
    ),
    "a body beside a receipt request": message(
        "<body>hi</body><request xmlns='urn:xmpp:receipts'/>"
    ),
    "OMEMO": message(omemo(LEGACY)),
    "OMEMO 1": message(omemo("urn:xmpp:omemo:1")),
    "OMEMO 2": message(omemo("urn:xmpp:omemo:2")),
    "OpenPGP": message("<openpgp xmlns='urn:xmpp:openpgp:0'>BASE64</openpgp>"),
    "old OpenPGP": message("<x xmlns='jabber:x:encrypted'>BASE64</x>"),
    "other encryption": message(f"<body>?OTR:AAMD</body>{EME}"),
    "a mediated invitation": message(MEDIATED, "normal"),
    "a direct invitation": message("<x xmlns='jabber:x:conference' jid='r@c.example.org'/>"),
    "a call": message("<propose xmlns='urn:xmpp:jingle-message:0' id='a'/>"),
    "a call, later version": message("<propose xmlns='urn:xmpp:jingle-message:1' id='a'/>"),
    "a received carbon": carbon("received", message("<body>hi</body>")),
    "a received carbon of a call": carbon(
        "received", message("<propose xmlns='urn:xmpp:jingle-message:0' id='a'/>")
    ),
}

SILENT = {
    "chat state": message("<composing xmlns='http://jabber.org/protocol/chatstates'/>"),
    "receipt": message("<received xmlns='urn:xmpp:receipts' id='a'/>"),
    "marker": message("<displayed xmlns='urn:xmpp:chat-markers:0' id='a'/>"),
    "key transport": message(omemo(LEGACY, "")),
    "headline": message("<event xmlns='http://jabber.org/protocol/pubsub#event'/>", "headline"),
    "error": message("<body>hi</body><error type='cancel'/>", "error"),
    "no content": message("<subject>Balconies</subject>", "groupchat"),
    "presence": f"<presence from='{ROMEO}' to='{JULIET}'/>",
    "request": f"<iq from='{ROMEO}' to='{JULIET}/b' type='get' id='a'><query xmlns='q'/></iq>",
}


@pytest.mark.parametrize("xml", COUNTS.values(), ids=COUNTS.keys())
def test_these_are_messages(xml: str) -> None:
    worth = judge(seal(xml.encode()), JULIET)

    assert worth.kind is Kind.MESSAGE
    assert worth.sender == ROMEO


@pytest.mark.line(56)
@pytest.mark.parametrize(("reason", "xml"), SILENT.items(), ids=SILENT.keys())
def test_these_wake_nobody_unless_everything_does(reason: str, xml: str) -> None:
    worth = judge(seal(xml.encode()), JULIET)

    assert worth.kind is Kind.OTHER
    assert worth.reason == reason


@pytest.mark.line(59)
@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        (message(omemo("urn:xmpp:omemo:2", "")), "key transport"),
        (message(omemo(LEGACY, "") + "<body>cannot read</body>"), "key transport"),
        (message("<body/>"), "no content"),
        (message(EME), "no content"),
        (message("<x xmlns='http://jabber.org/protocol/muc#user'><decline/></x>"), "no content"),
        (carbon("received", "<presence/>"), "no content"),
        (carbon("received", message("<body>hi</body>", "headline")), "headline"),
    ],
)
def test_what_looks_like_content_may_be_none(xml: str, reason: str) -> None:
    worth = judge(seal(xml.encode()), JULIET)

    assert worth.kind is Kind.OTHER
    assert worth.reason == reason


@pytest.mark.parametrize(
    ("said", "told"),
    [("x" * 500, "x" * 500), ("x" * 501, "x" * 500 + "…"), ("💬" * 60_000, "💬" * 500 + "…")],
    ids=["as long as may be", "one more", "much more"],
)
def test_of_a_long_body_the_beginning_is_told(said: str, told: str) -> None:
    body = judge(seal(message(f"<body>{said}</body>").encode()), JULIET).body

    assert body is not None
    assert body.reveal() == told


@pytest.mark.line(59)
def test_the_first_of_several_bodies_is_told() -> None:
    worth = judge(seal(message("<body>hi</body><body xml:lang='it'>ciao</body>").encode()), JULIET)

    assert worth.body is not None
    assert worth.body.reveal() == "hi"


@pytest.mark.line(60)
@pytest.mark.parametrize("kind", ["OMEMO", "OMEMO 2", "OpenPGP", "old OpenPGP"])
def test_of_an_encrypted_message_only_the_fact_is_told(kind: str) -> None:
    xml = COUNTS[kind].replace("</message>", "<body>I sent you a secret</body></message>")

    assert judge(seal(xml.encode()), JULIET).body is None


def test_what_another_encryption_made_of_a_body_is_not_told() -> None:
    assert judge(seal(COUNTS["other encryption"].encode()), JULIET).body is None


@pytest.mark.parametrize("kind", ["a call", "a call, later version", "a received carbon of a call"])
def test_calls_are_urgent(kind: str) -> None:
    assert judge(seal(COUNTS[kind].encode()), JULIET).urgent


def test_messages_are_not_urgent() -> None:
    assert not judge(seal(COUNTS["a body"].encode()), JULIET).urgent


@pytest.mark.line(53)
def test_a_received_carbon_is_read_from_the_inside() -> None:
    worth = judge(seal(carbon("received", message("<body>hi</body>")).encode()), JULIET)

    assert worth.sender == ROMEO
    assert worth.body is not None
    assert worth.body.reveal() == "hi"


@pytest.mark.line(53)
def test_a_copy_of_ones_own_message_never_counts() -> None:
    sent = message("<body>hi</body>", sender=f"{JULIET}/desk")

    worth = judge(seal(carbon("sent", sent).encode()), JULIET)

    assert worth.kind is Kind.NOTHING
    assert worth.reason == "own copy"


@pytest.mark.parametrize("direction", ["sent", "received"])
def test_a_stranger_cannot_pass_a_message_off_as_a_carbon(direction: str) -> None:
    forged = carbon(direction, message("<body>Send money</body>"), sender="mallory@example.org/x")

    worth = judge(seal(forged.encode()), JULIET)

    assert worth.kind is Kind.OTHER
    assert worth.sender == ""


def test_a_carbon_of_a_forged_carbon_is_no_carbon() -> None:
    forged = carbon("received", message("<body>Send money</body>"), sender="mallory@example.org/x")

    worth = judge(seal(carbon("received", forged).encode()), JULIET)

    assert worth.kind is Kind.OTHER


@pytest.mark.line(49)
def test_a_request_for_a_subscription_counts() -> None:
    xml = f"<presence from='romeo@example.org' to='{JULIET}' type='subscribe'/>"

    worth = judge(seal(xml.encode()), JULIET)

    assert worth.kind is Kind.SUBSCRIPTION
    assert worth.sender == "romeo@example.org"


@pytest.mark.line(56)
@pytest.mark.parametrize("type", ["subscribed", "unsubscribe", "unsubscribed", "unavailable"])
def test_other_presence_does_not_count(type: str) -> None:
    xml = f"<presence from='romeo@example.org' to='{JULIET}' type='{type}'/>"

    assert judge(seal(xml.encode()), JULIET).kind is Kind.OTHER


def test_a_body_is_not_printed() -> None:
    assert "wherefore" not in repr(judge(seal(message("<body>wherefore</body>").encode()), JULIET))
