"""The sealed stanza: an envelope that is read, and a letter that passes on as bytes.

Routing, acknowledgement, storage and push decide by the envelope: the name, the
attributes and the names of the children. Only what must read inside asks for `tree`.
Bytes are spliced here and nowhere else.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache

from pushd.wire.element import Element, children, escape, parse, serialize
from pushd.wire.namespaces import NS_CARBONS, NS_CLIENT, NS_DELAY, NS_STANZA_ID, NS_XML

LANG = f"{NS_XML} lang"
STANZA_ID = f"{NS_STANZA_ID} stanza-id"
DELAY = f"{NS_DELAY} delay"
SENT_CARBON = f"{NS_CARBONS} sent"
RECEIVED_CARBON = f"{NS_CARBONS} received"

_AS_CLIENT = f" xmlns='{NS_CLIENT}'".encode()
_ATTRIBUTE = re.compile(rb"\s+([^\s=]+)\s*=\s*('[^']*'|\"[^\"]*\")")
_START_TAG = re.compile(rb"<[^\s/>]+(?:\s+[^\s=]+\s*=\s*(?:'[^']*'|\"[^\"]*\"))*\s*/?>")


class Stanza:
    """One stanza or nonza of a stream.

    `attributes` has plain names for attributes without a namespace and
    "namespace local" for the others (`LANG`). `children` names the child elements in
    the same way, in document order; the stream's own namespace reads as
    `jabber:client` on every kind of stream. `claims` lists what children say of
    others: pairs of (`STANZA_ID`, its `by`), (`DELAY`, its `from`), and of the name of a
    carbon and "". `end` is where the stanza ended in the bytes that its framer was fed.

    Who holds a stanza may read it; only the door that received it changes it (`stamp`).
    """

    __slots__ = ("_raw", "_tree", "attributes", "children", "claims", "end", "name", "namespace")

    def __init__(
        self,
        namespace: str,
        name: str,
        attributes: dict[str, str],
        children: tuple[str, ...],
        raw: bytes | None,
        tree: Element | None = None,
        claims: tuple[tuple[str, str], ...] = (),
        end: int = 0,
    ) -> None:
        self.namespace = namespace
        self.name = name
        self.attributes = attributes
        self.children = children
        self.claims = claims
        self.end = end
        self._raw = raw
        self._tree = tree

    @classmethod
    def of(cls, tree: Element) -> "Stanza":
        """Seal an element of our own making; it is written only if somebody asks for bytes."""
        attributes = {
            key if isinstance(key, str) else f"{key[0]} {key[1]}": value
            for key, value in tree.attributes.items()
        }
        names = tuple(f"{node.uri} {node.name}" for node in children(tree))
        return cls(tree.uri or NS_CLIENT, tree.name, attributes, names, None, tree)

    @property
    def raw(self) -> bytes:
        """The whole element as bytes, as it stands on a stream."""
        if self._raw is None:
            assert self._tree is not None
            self._raw = serialize(self._tree)
        return self._raw

    @property
    def tree(self) -> Element:
        """The whole element, built once; not to be changed."""
        if self._tree is None:
            assert self._raw is not None
            self._tree = parse(self._raw)
        return self._tree

    def fold(self) -> None:
        """Keep the bytes alone: a tree takes ten times the room."""
        if self._tree is not None:
            self._raw, self._tree = self.raw, None

    @property
    def type(self) -> str:
        """The `type` attribute, or an empty string."""
        return self.attributes.get("type", "")

    @property
    def id(self) -> str:
        return self.attributes.get("id", "")

    def stamp(self, sender: str, lang: str = "") -> None:
        """Set `from`, and `xml:lang` where the stanza has none (RFC 6120 §8.1.2.1, §4.7.4)."""
        raw, attributes = self.raw, self.attributes
        if "from" in attributes:
            raw = _without(raw, b"from")
        attributes["from"] = sender
        if lang and LANG not in attributes:
            attributes[LANG] = lang
        else:
            lang = ""
        head = len(self.name) + 1
        self._raw = raw[:head] + _stamp(sender, lang) + raw[head:]
        self._tree = None

    def addressed(self, **changed: str) -> "Stanza":
        """A copy with other addressing attributes (`to`, `from_`); its letter stays the same."""
        raw, attributes = self.raw, dict(self.attributes)
        head = len(self.name) + 1
        for name, value in changed.items():
            key = name.rstrip("_")
            if key in attributes:
                raw = _without(raw, key.encode())
            attributes[key] = value
            raw = raw[:head] + _attribute(key, value) + raw[head:]
        return Stanza(self.namespace, self.name, attributes, self.children, raw, None, self.claims)

    def __repr__(self) -> str:
        """Names and addresses only: a body never reaches a log."""
        shown = {key: self.attributes.get(key) for key in ("type", "from", "to", "id")}
        return f"<{self.name} {shown}>"


@lru_cache(8_192)
def _attribute(key: str, value: str) -> bytes:
    return f" {key}='{escape(value)}'".encode()


@lru_cache(8_192)
def _stamp(sender: str, lang: str) -> bytes:
    added = f" from='{escape(sender)}'"
    if lang:
        added += f" xml:lang='{escape(lang)}'"
    return added.encode()


def _without(raw: bytes, name: bytes) -> bytes:
    """The bytes of an element without one attribute of its start tag."""
    head = _START_TAG.match(raw)
    assert head is not None
    for found in _ATTRIBUTE.finditer(raw, 0, head.end()):
        if found.group(1) == name:
            return raw[: found.start()] + raw[found.end() :]
    return raw


def with_child(raw: bytes, child: bytes) -> bytes:
    """The bytes of an element with one more child before its end tag."""
    if raw.endswith(b"/>"):
        name = raw[1:].split(None, 1)[0].rstrip(b"/>")
        return raw[:-2] + b">" + child + b"</" + name + b">"
    end = raw.rindex(b"</")
    return raw[:end] + child + raw[end:]


def nested(stanza: Stanza) -> bytes:
    """The bytes of a stanza as they stand inside an element of another namespace."""
    raw = stanza.raw
    head = _START_TAG.match(raw)
    assert head is not None
    if b"xmlns" in head.group():
        raw = _without(raw, b"xmlns")
    place = len(stanza.name) + 1
    return raw[:place] + _AS_CLIENT + raw[place:]


def delay(domain: str, at: float) -> bytes:
    """The `<delay/>` of a server that kept a stanza since `at`, epoch seconds (XEP-0203)."""
    return _delay(domain, round(at * 1_000_000) // 1_000)


@lru_cache(256)
def _delay(domain: str, milliseconds: int) -> bytes:
    """The same for all that is kept in one millisecond, which is a lot at times."""
    at = datetime.fromtimestamp(milliseconds / 1_000, UTC)
    stamp = at.isoformat(timespec="milliseconds")[:-6]
    return f"<delay xmlns='{NS_DELAY}' from='{escape(domain)}' stamp='{stamp}Z'/>".encode()
