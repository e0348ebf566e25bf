"""What is read of a client before it has a session: as nearly all write it, it needs no tree."""

import re

from pushd.wire.element import child, children, text
from pushd.wire.errors import JIDMalformed
from pushd.wire.jid import JID, parse
from pushd.wire.namespaces import NS_BIND
from pushd.wire.stanza import Stanza

_RESOURCE = re.compile(
    rb"<iq [^<>]*><bind xmlns=(['\"])" + NS_BIND.encode() + rb"\1>"
    rb"<resource>([^<>&\r]*)</resource></bind></iq>"
).fullmatch
_BASE64 = re.compile(rb"<[^<>]*>([A-Za-z0-9+/=]*)</[^<>]*>").fullmatch


def address(text: str) -> JID | None:
    """The address of a stream header; None for none, and for one that is none."""
    try:
        return parse(text) if text else None
    except JIDMalformed:
        return None


def payload(stanza: Stanza) -> str:
    """The text of an element of SASL."""
    plain = _BASE64(stanza.raw)
    return plain.group(1).decode() if plain else text(stanza.tree)


def resource(stanza: Stanza) -> str:
    """The resource that a client asks for (RFC 6120 §7); "" if it leaves that to us."""
    plain = _RESOURCE(stanza.raw)
    if plain is not None:
        return plain.group(2).decode()
    return text(child(next(children(stanza.tree)), NS_BIND, "resource"))
