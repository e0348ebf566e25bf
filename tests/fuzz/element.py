"""Trees: whatever is read can be written, and is read again as the same, by other parsers too."""

from random import Random
from typing import Any

from pushd.wire.element import BAD_NAMESPACE, Element, MalformedXML, children, parse, serialize
from pushd.wire.namespaces import NS_CLIENT, NS_STREAMS
from tests.fuzz import grammar, reader
from tests.fuzz.framer import PREFIXES, _parsed, meaning

TOKENS = grammar.TOKENS


def write(random: Random) -> bytes:
    return grammar.some(random).encode(errors="replace")


def one(data: bytes) -> None:
    """Read as XML, and, whatever it is, put as text and names into a tree of our own."""
    try:
        tree = parse(data, NS_CLIENT, {"q": "urn:q'&<"})
    except MalformedXML:
        pass
    else:
        _check(tree, exact=True)
    _check(_made(data), exact=False)


def _check(tree: Element, exact: bool) -> None:
    written = serialize(tree)
    seen = meaning(_parsed(written))
    assert reader.read(written, PREFIXES) == seen
    again = parse(written)
    assert meaning(_parsed(serialize(again))) == seen
    if exact:
        assert serialize(again) == written
        assert _same(tree, again)


def _same(one: Element, other: Element) -> bool:
    """Whether two trees say the same; text in parts or as a whole."""
    if (one.uri, one.name, one.attributes) != (other.uri, other.name, other.attributes):
        return False
    return [*map(_part, _joined(one))] == [*map(_part, _joined(other))] and all(
        _same(a, b) for a, b in zip(children(one), children(other), strict=True)
    )


def _part(part: Any) -> str:
    return part if isinstance(part, str) else f"<{part.name}>"


def _joined(node: Element) -> list[Any]:
    parts: list[Any] = []
    for part in node.children:
        if isinstance(part, str) and parts and isinstance(parts[-1], str):
            parts[-1] += part
        else:
            parts.append(part)
    return parts


def _uri(text: str) -> str:
    """A namespace name: those with other characters never get so far as a tree."""
    return f"urn:{BAD_NAMESPACE.sub('', text)}"


def _made(data: bytes) -> Element:
    """A tree whose texts, values and namespaces are any characters at all."""
    texts = data.decode("utf-8", "surrogateescape").split(" ")
    root: Element = Element((NS_CLIENT, "message"))
    node = root
    for number, text in enumerate(texts[:60]):
        match number % 4:
            case 0:
                node.children.append(text)
            case 1:
                node.attributes["to"] = text
            case 2:
                node.attributes[(f"{_uri(text)}:{number}", "key")] = text
            case _:
                made: Element = Element((NS_STREAMS if text == "x" else _uri(text), "body"))
                node.addChild(made)
                node = made if number % 8 == 3 else node
    return root
