"""XML elements: made, read from bytes, and written as bytes.

An `Element` is a domish element, so that wokkel's forms, disco and pubsub values fit; but
none knows its parent, lest every tree wait for the garbage collector.
Reading and writing are our own: domish's parser lets in what XMPP forbids, and its
writer leaves namespace names unescaped, so that a stranger could inject stanzas.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from typing import Any
from xml.parsers import expat

from twisted.words.xish.domish import Element

from pushd.wire.namespaces import NS_CLIENT, NS_STREAMS, NS_XML

__all__ = [
    "Element",
    "MalformedXML",
    "child",
    "children",
    "element",
    "escape",
    "escape_text",
    "parse",
    "serialize",
    "text",
]

MAX_DEPTH = 100

# Not allowed in a URI, or (the apostrophe) not needed in one; a namespace name with one of
# them is a trap for somebody: braces end the streams of clients built on ElementTree.
BAD_NAMESPACE = re.compile(r"[<>\"'{}\s]")

# What XML 1.0 cannot say in any way (§2.2); one of these would end the receiver's stream.
_ILLEGAL = "\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
_legal = partial(re.compile(f"[{_ILLEGAL}]").sub, "\ufffd")
_in_text = re.compile(f"[&<>\r{_ILLEGAL}]").search
_in_attribute = re.compile(f"[&<>'\r\n\t{_ILLEGAL}]").search
_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_ATTRIBUTE = _TEXT | str.maketrans({"'": "&apos;", "\n": "&#10;", "\t": "&#9;"})
_PREFIXES = {NS_STREAMS: "stream", NS_XML: "xml"}  # declared by every stream, or by XML itself


class MalformedXML(ValueError):
    """The bytes are not the well-formed, restricted XML of RFC 6120 §11."""


def element(namespace: str, name: str, *content: "str | Element", **attributes: str) -> Element:
    """Make an element with text and child elements in the order given.

    A trailing underscore of an attribute's name is dropped (`from_`, `type_`).
    """
    made = _made(namespace, name, {key.rstrip("_"): value for key, value in attributes.items()})
    for part in content:
        if isinstance(part, str):
            if part:
                made.children.append(part)
        else:
            made.children.append(part)
    return made


_new = Element.__new__


def _made(namespace: str, name: str, attributes: dict[Any, str]) -> Element:
    """Element((namespace, name)), which takes twice as long by its own constructor."""
    made: Element = _new(Element)
    made.uri = made.defaultUri = namespace
    made.name = name
    made.localPrefixes = {}
    made.attributes = attributes
    made.children = []
    made.parent = None
    return made


def children(parent: Element) -> Iterator[Element]:
    """The child elements, in document order."""
    return (node for node in parent.children if isinstance(node, Element))


def child(parent: Element, namespace: str, name: str) -> Element | None:
    """The first child element of that name, or None."""
    for node in children(parent):
        if node.name == name and node.uri == namespace:
            return node
    return None


def text(node: Element | None) -> str:
    """The element's own character data, joined; empty when there is none."""
    if node is None:
        return ""
    return "".join(part for part in node.children if isinstance(part, str))


def escape(value: str) -> str:
    """Escape for an attribute in single quotes; line breaks and tabs survive normalisation.

    Characters that XML cannot say become U+FFFD.
    """
    return _legal(value).translate(_ATTRIBUTE) if _in_attribute(value) else value


def escape_text(value: str) -> str:
    """Escape for character data, in the same way."""
    return _legal(value).translate(_TEXT) if _in_text(value) else value


def serialize(root: Element, default: str = NS_CLIENT) -> bytes:
    """Write an element as it stands inside a stream whose default namespace is `default`.

    Element namespaces become default declarations, attribute namespaces local prefixes;
    the stream namespace keeps its prefix `stream`, which every stream header declares.
    Characters that XML cannot say become U+FFFD.
    """
    out: list[str] = []
    pending: list[tuple[Any, str, str]] = [(root, default, "")]
    while pending:
        node, inherited, closing = pending.pop()
        if closing:
            out.append(closing)
        elif isinstance(node, Element):
            namespace = node.uri if node.uri is not None else inherited
            prefix = _PREFIXES.get(namespace)
            name = f"{prefix}:{node.name}" if prefix else node.name
            out.append(_start_tag(node, name, namespace, inherited))
            if node.children:
                out.append(">")
                pending.append((None, "", f"</{name}>"))
                scope = inherited if prefix else namespace
                pending.extend((part, scope, "") for part in reversed(node.children))
            else:
                out.append("/>")
        else:
            out.append(escape_text(node))
    return "".join(out).encode()


def _start_tag(node: Element, name: str, namespace: str, inherited: str) -> str:
    parts = ["<", name]
    if namespace != inherited and namespace not in _PREFIXES:
        parts.append(f" xmlns='{escape(namespace)}'")
    prefixes: dict[str, str] = {}
    for key, value in node.attributes.items():
        if isinstance(key, tuple):
            uri, local = key
            if uri == NS_XML:
                key = f"xml:{local}"
            elif uri:
                if uri not in prefixes:
                    prefixes[uri] = f"n{len(prefixes)}"
                    parts.append(f" xmlns:{prefixes[uri]}='{escape(uri)}'")
                key = f"{prefixes[uri]}:{local}"
            else:
                key = local
        parts.append(f" {key}='{escape(value)}'")
    return "".join(parts)


def parse(
    data: bytes, default: str = NS_CLIENT, prefixes: Mapping[str, str] | None = None
) -> Element:
    """Read one element as it stood inside a stream whose default namespace is `default`.

    `prefixes` are those that the stream header declared besides `stream`.

    Raises MalformedXML; comments, doctypes, processing instructions and entities are refused.
    """
    header = _header(default, tuple(prefixes.items()) if prefixes else ())
    parser = expat.ParserCreate("UTF-8", " ")
    if hasattr(parser, "SetReparseDeferralEnabled"):
        parser.SetReparseDeferralEnabled(False)
    parser.StartNamespaceDeclHandler = _declare  # what the stream declared counts, too
    try:
        parser.Parse(header, False)
        roots = _listen(parser)
        # As one piece, however long: a text in several would be several children.
        parser.buffer_text = True
        parser.buffer_size = max(len(data), 1)
        parser.Parse(data, False)
        parser.Parse(b"</s>", True)
    except expat.ExpatError as error:
        raise MalformedXML(expat.errors.messages.get(error.code, "not well-formed")) from None
    if len(roots) != 1:
        raise MalformedXML("more than one element" if roots else "no element")
    return roots[0]


@lru_cache(64)
def _header(default: str, prefixes: tuple[tuple[str, str], ...]) -> bytes:
    """The header of the stream that an element stood in."""
    declared = {"stream": NS_STREAMS, **dict(prefixes)}
    others = "".join(f" xmlns:{key}='{escape(uri)}'" for key, uri in declared.items())
    return f"<s xmlns='{escape(default)}'{others}>".encode()


def _listen(parser: expat.XMLParserType) -> list[Element]:
    """Have a parser build the elements that follow; they come to be in the list.

    What listens does not know the parser, so that it is freed without the garbage collector.
    """
    roots: list[Element] = []
    unclosed: list[Element] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(unclosed) >= MAX_DEPTH:
            raise MalformedXML("nested too deeply")
        namespace, _, local = name.rpartition(" ")
        made = _made(namespace, local, attributes)
        for key in attributes:
            if " " in key:
                made.attributes = _qualified(attributes)
                break
        if unclosed:
            unclosed[-1].children.append(made)
        else:
            roots.append(made)
        unclosed.append(made)

    def end(name: str) -> None:
        if unclosed:  # else it is the end of the stream
            unclosed.pop()

    def characters(data: str) -> None:
        if unclosed:
            unclosed[-1].children.append(data)
        elif data.strip(" \t\r\n"):
            raise MalformedXML("text outside the element")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = _refuse
    parser.CommentHandler = _refuse
    parser.ProcessingInstructionHandler = _refuse
    return roots


def _qualified(attributes: dict[str, str]) -> dict[str | tuple[str, str], str]:
    """Attributes as domish has them: those of a namespace by pairs of that and their name."""
    made: dict[str | tuple[str, str], str] = {}
    for key, value in attributes.items():
        uri, _, name = key.rpartition(" ")
        made[(uri, name) if uri else name] = value
    return made


def _declare(prefix: str | None, uri: str | None) -> None:
    if uri and BAD_NAMESPACE.search(uri):
        raise MalformedXML("namespace name")


def _refuse(*ignored: object) -> None:
    raise MalformedXML("restricted XML")
