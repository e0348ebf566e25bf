"""The framer: any bytes, any split, and what every other parser makes of what is forwarded."""

import zlib
from random import Random
from typing import Any
from xml.etree import ElementTree

from pushd.wire.claims import without_forgeries
from pushd.wire.element import serialize
from pushd.wire.errors import JIDMalformed, StreamError
from pushd.wire.framer import Event, Framer, Limits, StreamOpened, seal
from pushd.wire.jid import parse as parse_jid
from pushd.wire.namespaces import (
    NS_CARBONS,
    NS_CLIENT,
    NS_COMPONENT,
    NS_DELAY,
    NS_STANZA_ID,
    NS_STREAMS,
    NS_XML,
)
from pushd.wire.stanza import Stanza, delay, with_child
from tests.fuzz import grammar, reader

TOKENS = grammar.TOKENS
LIMITS = (Limits(10_000, depth=10), Limits(), Limits(300, depth=4, attributes=3, elements=10))
TINY = 128  # pieces of one tag, so small that it may be refused for that
OURS = frozenset(("example.net", "push.example.net"))
OPENING = f"<stream:stream xmlns='{NS_CLIENT}' xmlns:stream='{NS_STREAMS}'>".encode()
PREFIXES = {"": NS_CLIENT, "stream": NS_STREAMS}
SENDER = "romeo@example.net/\u00fc'&<"

write = grammar.stream


def one(data: bytes) -> None:
    """Feed `data` as a whole and in parts; judge each stanza on its own, and all as they came."""
    drawn = Random(zlib.crc32(data))
    limits = LIMITS[drawn.randrange(3)]
    events = Framer(limits).feed(data)
    whole = [_shown(event) for event in events]
    assert not any(isinstance(event, str) for event in whole[:-1])
    ways = [sorted(drawn.randrange(len(data) + 1) for _ in range(drawn.randrange(1, 8)))]
    if len(data) < 300:
        ways.append(list(range(len(data))))
    for cuts in ways:
        _check_split(whole, data, cuts, limits)
    stanzas = [event for event in events if isinstance(event, Stanza)]
    opened = next((event for event in events if isinstance(event, StreamOpened)), None)
    # Streams of other contents are refused by the doors, before any stanza of theirs.
    if stanzas and opened is not None and opened.content in (NS_CLIENT, NS_COMPONENT):
        _check_forwarded(data, opened, stanzas)
        for stanza in stanzas:
            check(stanza)


def _check_split(whole: list[object], data: bytes, cuts: list[int], limits: Limits) -> None:
    framer = Framer(limits)
    parts: list[object] = []
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        piece = data[begin:end]
        for event in framer.feed(piece):
            parts.append(_shown(event))
            if isinstance(event, Stanza):
                assert data[:end][event.end :] == framer.unread(event)
        framer.settle()
        assert len(framer._buffer) <= limits.stanza_bytes + len(data)
    framer.release()
    if len(cuts) >= TINY and parts[-1:] == ["policy-violation"]:
        return  # too long a tag in too many pieces
    assert _clean(whole) == _clean(parts), "another split, other events"
    # Which one of several offences it is may depend on how far the bytes were read at once.
    # What never becomes a stream may be too little, byte by byte, to tell already.
    assert not _clean(whole) or (len(whole) > len(_clean(whole))) == (
        len(parts) > len(_clean(parts))
    )


def _clean(events: list[object]) -> list[object]:
    return [event for event in events if not isinstance(event, str)]


def _shown(event: Event) -> object:
    if isinstance(event, Stanza):
        return (event.namespace, event.name, event.attributes, event.children, event.raw, event.end)
    if isinstance(event, StreamError):
        return event.condition
    return (type(event), event.end if isinstance(event, StreamOpened) else 0)


def _check_forwarded(data: bytes, opened: StreamOpened, stanzas: list[Stanza]) -> None:
    """What leaves means what came, to a parser that read the whole stream."""
    parser = ElementTree.XMLPullParser(("start", "end"), _parser=_utf8())
    parser.feed(data[: stanzas[-1].end])
    came, depth = [], 0
    events: Any = parser.read_events()
    for kind, node in events:
        depth += 1 if kind == "start" else -1
        if kind == "end" and depth == 1:
            node.tail = None
            came.append(_moved(meaning(node), opened.content))
    assert came == [meaning(_parsed(stanza.raw)) for stanza in stanzas]


def _utf8() -> Any:
    return ElementTree.XMLParser(encoding="utf-8")


def _moved(found: Any, content: str) -> Any:
    """With the content namespace of another kind of stream brought over to `jabber:client`."""
    if content == NS_CLIENT:
        return found
    tag, attributes, text, children = found
    if tag.startswith(f"{{{content}}}"):
        tag = f"{{{NS_CLIENT}}}{tag[len(content) + 2 :]}"
    return (tag, attributes, text, [(_moved(one, content), tail) for one, tail in children])


def check(stanza: Stanza) -> None:
    """One stanza as it was sealed: its envelope is what others see; no forgery gets past."""
    raw = stanza.raw
    seen = meaning(_parsed(raw))
    assert reader.read(raw, PREFIXES) == seen, "two parsers read it differently"
    assert meaning(_parsed(serialize(stanza.tree))) == seen, "bytes and tree differ"
    assert _envelope(stanza) == (*seen[:2], [tag for (tag, *_), _ in seen[3]])
    again = seal(raw)
    assert (_envelope(again), again.claims) == (_envelope(stanza), stanza.claims)
    assert meaning(_parsed(again.raw)) == seen
    if stanza.namespace != NS_CLIENT or stanza.name not in ("message", "presence", "iq"):
        return
    stanza.stamp(SENDER, "en")
    given = dict(seen[1])
    expected = {f"{{{NS_XML}}}lang": "en", **given, "from": SENDER}
    assert dict(meaning(_parsed(stanza.raw))[1]) == expected == dict(_envelope(stanza)[1])
    passed = without_forgeries(stanza, OURS) if stanza.claims else stanza
    sent = passed.addressed(to="juliet@example.net/'<>&\n")
    found = meaning(_parsed(sent.raw))
    assert found == reader.read(sent.raw, PREFIXES)
    assert dict(found[1]) == {**expected, "to": "juliet@example.net/'<>&\n"}
    late = with_child(sent.raw, delay("example.net", 0.0))
    assert meaning(_parsed(late))[:3] == found[:3]
    for (tag, attributes, *_), _ in found[3]:
        assert not _is_forged(tag, dict(attributes)), "a forgery gets past"


def _is_forged(tag: str, attributes: dict[str, str]) -> bool:
    claims = {f"{{{NS_STANZA_ID}}}stanza-id": "by", f"{{{NS_DELAY}}}delay": "from"}
    if tag in (f"{{{NS_CARBONS}}}sent", f"{{{NS_CARBONS}}}received"):
        return True
    if tag not in claims:
        return False
    try:
        jid = parse_jid(attributes.get(claims[tag], ""))
    except JIDMalformed:
        return False
    return jid.domain in OURS and (claims[tag] == "by" or jid.full == jid.domain)


def _envelope(stanza: Stanza) -> tuple[str, list[tuple[str, str]], list[str]]:
    attributes = [(_braced(key), value) for key, value in stanza.attributes.items()]
    tag = _braced(f"{stanza.namespace} {stanza.name}")
    return tag, sorted(attributes), [_braced(name) for name in stanza.children]


def _braced(name: str) -> str:
    uri, _, local = name.rpartition(" ")
    return f"{{{uri}}}{local}" if uri else local


def _parsed(raw: bytes) -> ElementTree.Element:
    (found,) = ElementTree.fromstring(OPENING + raw + b"</stream:stream>")
    assert not found.tail
    return found


def meaning(node: ElementTree.Element) -> Any:
    """An element of another parser in the terms of `reader.read`."""
    children = [(meaning(child), child.tail or "") for child in node]
    return node.tag, sorted(node.attrib.items()), node.text or "", children
