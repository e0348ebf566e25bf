"""XEP-0478: how large a stanza may be for who is to take it, as it says itself."""

from pushd.wire.element import Element, child, element, text
from pushd.wire.errors import PolicyViolation
from pushd.wire.stream import number

NS_LIMITS = "urn:xmpp:stream-limits:0"
LEAST = 10_000  # bytes that everybody takes (RFC 6120 §13.12)
ANY = 2**32


def announcement(size: int) -> Element:
    """What we say of ourselves."""
    return element(NS_LIMITS, "limits", element(NS_LIMITS, "max-bytes", str(size)))


def announced(parent: Element) -> int:
    """Bytes of a stanza at the most, by what a peer says in its features or in `<bidi/>`."""
    limits = child(parent, NS_LIMITS, "limits")
    said = None if limits is None else child(limits, NS_LIMITS, "max-bytes")
    size = None if said is None else number(text(said).strip())
    return ANY if size is None else max(size, LEAST)


def too_large(most: int) -> PolicyViolation:
    """What the sender of a larger one is told."""
    return PolicyViolation(f"the server there takes no stanza of more than {most} bytes")
