"""XEP-0220: server dialback, and its keys by XEP-0185.

Who opens a stream for a domain shows a key; the server that the domain name leads to says
whether it is the one for that stream. A key says nothing to who does not know the secret, so
that the server which made it needs to keep none.
"""

import hashlib
import hmac
from dataclasses import dataclass

from pushd.wire.element import element, escape, escape_text, serialize, text
from pushd.wire.errors import JIDMalformed, StanzaError, StreamError
from pushd.wire.jid import parse
from pushd.wire.namespaces import NS_DIALBACK
from pushd.wire.stanza import Stanza

NS_FEATURE = "urn:xmpp:features:dialback"

VALID, INVALID, ERROR = "valid", "invalid", "error"
_ANSWERS = (VALID, INVALID, ERROR)
LONGEST = 1_000  # characters of a key or an id, of which XEP-0185 needs 64


@dataclass(frozen=True, slots=True)
class Said:
    """What a `<db:result/>` or `<db:verify/>` says. A question has a key, and an answer a type."""

    name: str  # "result" or "verify"
    sender: str  # domains, prepared
    recipient: str
    id: str
    type: str
    key: str

    @property
    def is_question(self) -> bool:
        return not self.type


def key(secret: bytes, receiving: str, originating: str, stream: str) -> str:
    """The key of a stream between two domains, whose id the receiving server made (XEP-0185 §3).

    The spaces keep the fields apart, as none of them can hold one.
    """
    inner = hashlib.sha256(secret).hexdigest().encode()
    said = f"{receiving} {originating} {stream}".encode()
    return hmac.new(inner, said, hashlib.sha256).hexdigest()


def is_key(given: str, secret: bytes, receiving: str, originating: str, stream: str) -> bool:
    """Whether that is the key of this stream; takes as long for any that is not."""
    expected = key(secret, receiving, originating, stream)
    return hmac.compare_digest(given.encode(), expected.encode())


def read(stanza: Stanza) -> Said:
    """What an element of dialback says. Raises StreamError for one that says nothing."""
    attributes = stanza.attributes
    if stanza.name not in ("result", "verify"):
        raise StreamError("unsupported-stanza-type", "dialback has result and verify")
    sender, recipient = (_domain(attributes.get(name, "")) for name in ("from", "to"))
    id, type = attributes.get("id", ""), attributes.get("type", "")
    given = "" if type else text(stanza.tree).strip()
    if type not in ("", *_ANSWERS):
        raise StreamError("bad-format", "type: valid, invalid or error")
    if not type and not 0 < len(given) <= LONGEST:
        raise StreamError("bad-format", "a question of dialback holds a key")
    if stanza.name == "verify" and not 0 < len(id) <= LONGEST:
        raise StreamError("bad-format", "id: that of a stream")
    return Said(stanza.name, sender, recipient, id, type, given)


def question(name: str, sender: str, recipient: str, given: str, id: str = "") -> bytes:
    """A `<db:result/>` or `<db:verify/>` with a key."""
    return f"{_tag(name, sender, recipient, id)}>{escape_text(given)}</db:{name}>".encode()


def answer(name: str, sender: str, recipient: str, type: str, id: str = "") -> bytes:
    """Whether the key is the one."""
    return f"{_tag(name, sender, recipient, id)} type='{type}'/>".encode()


def refusal(name: str, sender: str, recipient: str, error: StanzaError, id: str = "") -> bytes:
    """Why that cannot be said (XEP-0220 §2.4)."""
    attributes = {"from": sender, "to": recipient, "type": ERROR} | ({"id": id} if id else {})
    return serialize(element(NS_DIALBACK, name, error.element(), **attributes))


def _tag(name: str, sender: str, recipient: str, id: str) -> str:
    named = f" id='{escape(id)}'" if id else ""
    return f"<db:{name} from='{escape(sender)}' to='{escape(recipient)}'{named}"


def _domain(address: str) -> str:
    try:
        jid = parse(address)
    except JIDMalformed:
        raise StreamError("improper-addressing", "dialback is between two domains") from None
    if jid.full != jid.domain:
        raise StreamError("improper-addressing", "dialback is between two domains")
    return jid.domain
