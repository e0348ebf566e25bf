"""What an undelivered stanza is worth: whether it wakes a phone, and what it may tell."""

from dataclasses import dataclass
from enum import Enum

from pushd.wire.element import Element, child, children, text
from pushd.wire.namespaces import NS_CLIENT
from pushd.wire.secret import Secret
from pushd.wire.stanza import Stanza

BODY = f"{NS_CLIENT} body"
CARBONS = "urn:xmpp:carbons:2"
SENT = f"{CARBONS} sent"
RECEIVED = f"{CARBONS} received"
NS_FORWARD = "urn:xmpp:forward:0"
NS_MUC_USER = "http://jabber.org/protocol/muc#user"
DIRECT_INVITATION = "jabber:x:conference x"
PROPOSALS = frozenset(("urn:xmpp:jingle-message:0 propose", "urn:xmpp:jingle-message:1 propose"))
LEGACY_OMEMO = "eu.siacs.conversations.axolotl encrypted"
ENCRYPTED = frozenset(
    (
        LEGACY_OMEMO,
        "urn:xmpp:omemo:2 encrypted",
        "urn:xmpp:openpgp:0 openpgp",
        "jabber:x:encrypted x",
    )
)
OPAQUE = ENCRYPTED | {RECEIVED}


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
    urgent: bool = False


def judge(stanza: Stanza) -> Worth:
    """Decide by the envelope; read inside only what may hold something that counts."""
    if stanza.name == "message":
        return _message(stanza)
    if stanza.name == "presence" and stanza.type == "subscribe":
        return Worth(Kind.SUBSCRIPTION, sender=stanza.attributes.get("from", ""))
    return Worth(Kind.OTHER, "presence" if stanza.name == "presence" else "request")


def _message(stanza: Stanza) -> Worth:
    names = stanza.children
    if stanza.type in ("error", "headline"):
        return Worth(Kind.OTHER, stanza.type)
    if SENT in names:
        return Worth(Kind.NOTHING, "own copy")
    sender = stanza.attributes.get("from", "")
    if RECEIVED in names:
        return _carbon(stanza)
    return _content(sender, names, stanza)


def _carbon(stanza: Stanza) -> Worth:
    """A carbon is read from the inside (XEP-0280 §6)."""
    received = child(stanza.tree, CARBONS, "received")
    forwarded = child(received, NS_FORWARD, "forwarded") if received is not None else None
    inner = child(forwarded, NS_CLIENT, "message") if forwarded is not None else None
    if inner is None:
        return Worth(Kind.OTHER, "empty carbon")
    return _message(Stanza.of(inner))


def _content(sender: str, names: tuple[str, ...], stanza: Stanza) -> Worth:
    if not PROPOSALS.isdisjoint(names):
        return Worth(Kind.MESSAGE, sender=sender, urgent=True)
    if not ENCRYPTED.isdisjoint(names):
        if LEGACY_OMEMO in names and not _has_payload(stanza.tree):
            return Worth(Kind.OTHER, "key transport")
        return Worth(Kind.MESSAGE, sender=sender)
    if BODY in names:
        body = text(child(stanza.tree, NS_CLIENT, "body"))
        if body:
            return Worth(Kind.MESSAGE, sender=sender, body=Secret(body))
    if DIRECT_INVITATION in names or _is_invitation(stanza, names):
        return Worth(Kind.MESSAGE, sender=sender)
    return Worth(Kind.OTHER, "no content")


def _has_payload(message: Element) -> bool:
    namespace, _, name = LEGACY_OMEMO.partition(" ")
    encrypted = child(message, namespace, name)
    return encrypted is not None and child(encrypted, namespace, "payload") is not None


def _is_invitation(stanza: Stanza, names: tuple[str, ...]) -> bool:
    """A mediated invitation to a room (XEP-0045 §7.8.2)."""
    if f"{NS_MUC_USER} x" not in names:
        return False
    user = child(stanza.tree, NS_MUC_USER, "x")
    return user is not None and any(node.name == "invite" for node in children(user))
