"""The plain form: bytes of a stanza that every parser reads alike, on whichever kind of stream.

No CDATA, no prefix that is declared outside the stanza, and `jabber:client` as the namespace of
its content, whatever that is called on the stream on which it came.
"""

from collections.abc import Mapping

from pushd.wire.element import Element, MalformedXML, parse, serialize
from pushd.wire.errors import StreamError
from pushd.wire.namespaces import NS_CLIENT


def rewritten(raw: bytes, content: str, prefixes: Mapping[str, str]) -> bytes:
    """The stanza in the plain form, from its tree.

    `content` is the namespace of the stream's content, `prefixes` what its header declares. Raises
    StreamError for bytes that are no element.
    """
    try:
        tree = parse(raw, NS_CLIENT, prefixes)
    except MalformedXML:
        raise StreamError("not-well-formed") from None
    if content not in (NS_CLIENT, ""):
        _move(tree, content)
    return serialize(tree)


def _move(tree: Element, content: str) -> None:
    """Bring what names another kind of stream's namespace over to `jabber:client`."""
    pending = [tree]
    while pending:
        node = pending.pop()
        if node.uri == content:
            node.uri = NS_CLIENT
        pending.extend(part for part in node.children if isinstance(part, Element))


def as_client(names: tuple[str, ...], content: str) -> tuple[str, ...]:
    """Names with the content namespace of any kind of stream as `jabber:client`."""
    head = f"{content} " if content else ""
    rest = len(head)
    return tuple(
        [
            f"{NS_CLIENT} {name[rest:]}"
            if name.startswith(head) and " " not in name[rest:]
            else name
            for name in names
        ]
    )
