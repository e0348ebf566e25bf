"""What an undelivered stanza is worth: whether it wakes a phone, and what it may tell."""

import re
from dataclasses import dataclass
from enum import Enum
from html import unescape

from pushd.wire.carbons import opened
from pushd.wire.element import Element, child, children, text
from pushd.wire.namespaces import NS_CLIENT, NS_MUC_USER
from pushd.wire.secret import Secret
from pushd.wire.stanza import RECEIVED_CARBON, SENT_CARBON, Stanza

BODY = f"{NS_CLIENT} body"
MUC_USER = f"{NS_MUC_USER} x"
DIRECT_INVITATION = "jabber:x:conference x"
JINGLE_MESSAGES = ("urn:xmpp:jingle-message:0", "urn:xmpp:jingle-message:1")
PROPOSALS = frozenset(f"{namespace} propose" for namespace in JINGLE_MESSAGES)
# Without a <payload/> these exchange keys, and there is nothing to read (XEP-0384 §5.5).
OMEMO = (
    "eu.siacs.conversations.axolotl",
    "urn:xmpp:omemo:0",
    "urn:xmpp:omemo:1",
    "urn:xmpp:omemo:2",
)
OTHERWISE_ENCRYPTED = frozenset(("urn:xmpp:openpgp:0 openpgp", "jabber:x:encrypted x"))
ENCRYPTED = OTHERWISE_ENCRYPTED | {f"{namespace} encrypted" for namespace in OMEMO}
# The body beside it is what the encryption made of it, or an excuse (XEP-0380).
ENCRYPTION_NAMED = "urn:xmpp:eme:0 encryption"
SILENT = {
    # What goes on with a call that was proposed; a propose itself is no such thing.
    **dict.fromkeys(JINGLE_MESSAGES, "call signal"),
    "http://jabber.org/protocol/chatstates": "chat state",
    "urn:xmpp:receipts": "receipt",
    "urn:xmpp:chat-markers:0": "marker",
}


OWN_COPY = "own copy"
_TEXT = re.compile(rb"<body(?:\s[^<>]*)?(?:/>|>([^<]*)</body\s*>)")


# All that `judge` gives as a reason.
SILENCES = frozenset(
    (
        *SILENT.values(),
        *(OWN_COPY, "key transport", "no content", "presence", "request", "headline", "error"),
    )
)
LONGEST_BODY = 500  # characters that are told


class Kind(Enum):
    NOTHING = "nothing"
    MESSAGE = "message"
    SUBSCRIPTION = "subscription"
    OTHER = "other"  # wakes a phone only with `notify_on: all`


@dataclass(frozen=True, slots=True)
class Worth:
    """`sender` and `body` belong to the same message; `reason` says why it wakes nobody."""

    kind: Kind
    reason: str = ""
    sender: str = ""
    body: Secret | None = None
    urgent: bool = False  # somebody is calling
    stanza: Stanza | None = None  # what was judged: of a carbon, the message inside
    is_encrypted: bool = False


def kind_of(stanza: Stanza) -> str:
    """What a stanza is called where decisions are recorded; the envelope tells it."""
    if stanza.name == "message":
        return "message" if PROPOSALS.isdisjoint(stanza.children) else "call"
    if stanza.name == "iq":
        return "request"
    return "subscription" if stanza.type == "subscribe" else "presence"


def judge(stanza: Stanza, account: str, *, with_body: bool = True) -> Worth:
    """Decide by the envelope, and read inside only what may hold something that counts.

    A body that nobody is to be told (`with_body`) is not kept either.

    Nobody but the account's own server copies messages to it (XEP-0280 §11): a carbon from
    elsewhere is a message like any other, lest a stranger choose the sender that is told.
    """
    if stanza.name == "presence":
        if stanza.type == "subscribe":
            sender = stanza.attributes.get("from", "")
            return Worth(Kind.SUBSCRIPTION, sender=sender, stanza=stanza)
        return Worth(Kind.OTHER, "presence", stanza=stanza)
    if stanza.name != "message":
        return Worth(Kind.OTHER, "request", stanza=stanza)
    if stanza.attributes.get("from") == account:
        if SENT_CARBON in stanza.children:
            return Worth(Kind.NOTHING, OWN_COPY)
        if RECEIVED_CARBON in stanza.children:
            return _message(opened(stanza, account), with_body)
    return _message(stanza, with_body)


def _message(message: Stanza, with_body: bool) -> Worth:
    if message.type in ("error", "headline"):
        return Worth(Kind.OTHER, message.type, stanza=message)
    names = message.children
    sender = message.attributes.get("from", "")
    if not PROPOSALS.isdisjoint(names):
        return Worth(Kind.MESSAGE, sender=sender, urgent=True, stanza=message)
    if not ENCRYPTED.isdisjoint(names):
        if _has_payload(message):
            return Worth(Kind.MESSAGE, sender=sender, stanza=message, is_encrypted=True)
        return Worth(Kind.OTHER, "key transport", stanza=message)
    body = text_of(message)
    if body:
        is_excuse = ENCRYPTION_NAMED in names
        told = _told(body) if with_body and not is_excuse else None
        return Worth(Kind.MESSAGE, sender=sender, body=told, stanza=message, is_encrypted=is_excuse)
    if DIRECT_INVITATION in names or (MUC_USER in names and _is_invitation(message)):
        return Worth(Kind.MESSAGE, sender=sender, stanza=message)
    return Worth(Kind.OTHER, _silence(names), stanza=message)


def _told(body: str) -> Secret:
    """As much of a body as anybody reads of a notification; push networks take 4 KiB in all."""
    return Secret(body if len(body) <= LONGEST_BODY else f"{body[:LONGEST_BODY]}…")


def proposal(message: Stanza) -> Element | None:
    """The element by which somebody calls (XEP-0353 §3.1)."""
    return next(
        (
            node
            for node in children(message.tree)
            if node.uri in JINGLE_MESSAGES and node.name == "propose"
        ),
        None,
    )


def text_of(message: Stanza) -> str:
    """What can be read of a message; "" if there is no body."""
    return _body(message) if BODY in message.children else ""


def _body(message: Stanza) -> str:
    """What can be read; of several bodies, in several languages, the first one.

    Most messages have one body of plain text, for which no tree is built.
    """
    raw = message.raw
    if raw.count(b"<body") == 1 and (found := _TEXT.search(raw)) is not None:
        plain = found.group(1) or b""
        if b"&#" not in plain and b"\r" not in plain:
            return unescape(plain.decode())
    return text(child(message.tree, NS_CLIENT, "body"))


def _has_payload(message: Stanza) -> bool:
    if not OTHERWISE_ENCRYPTED.isdisjoint(message.children):
        return True
    if b"payload" not in message.raw:
        return False
    found = (child(message.tree, namespace, "encrypted") for namespace in OMEMO)
    return any(one is not None and child(one, one.uri or "", "payload") for one in found)


def _is_invitation(message: Stanza) -> bool:
    """A mediated invitation to a room (XEP-0045 §7.8.2)."""
    user = child(message.tree, NS_MUC_USER, "x")
    return user is not None and child(user, NS_MUC_USER, "invite") is not None


def _silence(names: tuple[str, ...]) -> str:
    """What a message is that has nothing to read."""
    found = (SILENT.get(name.partition(" ")[0]) for name in names)
    return next((reason for reason in found if reason), "no content")
