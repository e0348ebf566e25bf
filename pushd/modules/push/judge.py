"""What an undelivered stanza is worth: whether it wakes a phone, and what it may tell."""

import re
from dataclasses import dataclass
from enum import Enum
from html import unescape

from pushd.wire.carbons import opened
from pushd.wire.element import child, text
from pushd.wire.namespaces import NS_CLIENT, NS_MUC_USER
from pushd.wire.secret import Secret
from pushd.wire.stanza import RECEIVED_CARBON, SENT_CARBON, Stanza

BODY = f"{NS_CLIENT} body"
MUC_USER = f"{NS_MUC_USER} x"
DIRECT_INVITATION = "jabber:x:conference x"
PROPOSALS = frozenset(("urn:xmpp:jingle-message:0 propose", "urn:xmpp:jingle-message:1 propose"))
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
    "http://jabber.org/protocol/chatstates": "chat state",
    "urn:xmpp:receipts": "receipt",
    "urn:xmpp:chat-markers:0": "marker",
}


_TEXT = re.compile(rb"<body(?:\s[^<>]*)?(?:/>|>([^<]*)</body\s*>)")


# All that `judge` gives as a reason.
SILENCES = frozenset(
    (
        *SILENT.values(),
        *("own copy", "key transport", "no content", "presence", "request", "headline", "error"),
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
            return Worth(Kind.SUBSCRIPTION, sender=stanza.attributes.get("from", ""))
        return Worth(Kind.OTHER, "presence")
    if stanza.name != "message":
        return Worth(Kind.OTHER, "request")
    if stanza.attributes.get("from") == account:
        if SENT_CARBON in stanza.children:
            return Worth(Kind.NOTHING, "own copy")
        if RECEIVED_CARBON in stanza.children:
            return _message(opened(stanza, account), with_body)
    return _message(stanza, with_body)


def _message(message: Stanza, with_body: bool) -> Worth:
    if message.type in ("error", "headline"):
        return Worth(Kind.OTHER, message.type)
    names = message.children
    sender = message.attributes.get("from", "")
    if not PROPOSALS.isdisjoint(names):
        return Worth(Kind.MESSAGE, sender=sender, urgent=True)
    if not ENCRYPTED.isdisjoint(names):
        if _has_payload(message):
            return Worth(Kind.MESSAGE, sender=sender)
        return Worth(Kind.OTHER, "key transport")
    body = _body(message) if BODY in names else ""
    if body:
        is_told = with_body and ENCRYPTION_NAMED not in names
        return Worth(Kind.MESSAGE, sender=sender, body=_told(body) if is_told else None)
    if DIRECT_INVITATION in names or (MUC_USER in names and _is_invitation(message)):
        return Worth(Kind.MESSAGE, sender=sender)
    return Worth(Kind.OTHER, _silence(names))


def _told(body: str) -> Secret:
    """As much of a body as anybody reads of a notification; push networks take 4 KiB in all."""
    return Secret(body if len(body) <= LONGEST_BODY else f"{body[:LONGEST_BODY]}…")


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
