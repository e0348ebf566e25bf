"""The framer: however the bytes are split, and whatever they are."""

from xml.etree import ElementTree

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from pushd.net.turn import Turn
from pushd.net.xmlprotocol import XMLStream
from pushd.wire.errors import StreamError
from pushd.wire.framer import Event, Framer, Limits, StreamClosed, StreamOpened
from pushd.wire.stanza import Stanza
from tests.effort import examples
from tests.support import Transport

HEADER = (
    "<stream:stream to='example.net' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams' xmlns:q='urn:q'>"
)
LIMITS = Limits(stanza_bytes=4_000, depth=20, attributes=8)

texts = st.text(
    st.characters(
        codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"
    ),
    max_size=12,
)
names = st.sampled_from(["a", "body", "x", "q:y", "stream:z", "message", "b-1"])
spaces = st.sampled_from([b"", b" ", b"\n", b" \t\r\n "])


def escaped(text: str) -> str:
    for raw, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("'", "&#39;")):
        text = text.replace(raw, entity)
    return text


@st.composite
def elements(draw: st.DrawFn, depth: int = 2, names: st.SearchStrategy[str] = names) -> str:
    """An element as a client might write it: entities, CDATA, prefixes, quotes of both kinds."""
    name = draw(names)
    quote = draw(st.sampled_from("'\""))
    attributes = "".join(
        f" {key}={quote}{escaped(value).replace(quote, '&quot;')}{quote}"
        for key, value in draw(
            st.dictionaries(st.sampled_from(["to", "id", "q:k", "xml:lang"]), texts, max_size=3)
        ).items()
    )
    namespace = draw(st.sampled_from(["", " xmlns='urn:x'", " xmlns:r='urn:r'"]))
    parts = st.one_of(
        texts.map(escaped),
        texts.filter(lambda text: "]]>" not in text).map(lambda text: f"<![CDATA[{text}]]>"),
        *([elements(depth=depth - 1)] if depth else []),
    )
    content = "".join(draw(st.lists(parts, max_size=3)))
    if not content and draw(st.booleans()):
        return f"<{name}{namespace}{attributes}/>"
    return f"<{name}{namespace}{attributes}>{content}</{name}>"


stanzas = elements(names=st.sampled_from(["message", "presence", "iq"])).map(str.encode)


def shown(event: Event) -> object:
    """An event as something that compares."""
    if isinstance(event, Stanza):
        return (event.namespace, event.name, event.attributes, event.children, event.raw)
    if isinstance(event, StreamError):
        return event.condition
    return type(event)


def fed(pieces: list[bytes], limits: Limits = LIMITS) -> list[object]:
    framer = Framer(limits)
    events: list[object] = []
    for piece in pieces:
        events += [shown(event) for event in framer.feed(piece)]
        framer.settle()
    return events


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@given(st.lists(st.tuples(spaces, stanzas), max_size=4), st.lists(st.integers(0, 5_000)))
def test_any_split_of_the_bytes_gives_the_same_events(
    written: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    data = HEADER.encode() + b"".join(space + stanza for space, stanza in written)
    data += b"</stream:stream>"

    whole = fed([data])

    assert whole == fed(split(data, cuts))
    assert whole == fed([data[place : place + 1] for place in range(len(data))])
    assert [event for event in whole if event in (StreamOpened, StreamClosed)] == [
        StreamOpened,
        StreamClosed,
    ]
    assert len(whole) == len(written) + 2


def meaning(node: ElementTree.Element) -> object:
    return (
        node.tag,
        sorted(node.attrib.items()),
        node.text or "",
        [(meaning(child), child.tail or "") for child in node],
    )


def read(stanza: bytes, header: str) -> object:
    """What another parser makes of a stanza inside this stream."""
    (found,) = ElementTree.fromstring(header.encode() + stanza + b"</stream:stream>")
    return meaning(found)


@given(stanzas)
def test_what_is_forwarded_means_to_another_parser_what_was_written(stanza: bytes) -> None:
    """Also on a stream whose header declares none of the sender's prefixes."""
    framer = Framer(LIMITS)
    framer.feed(HEADER.encode())
    (event,) = framer.feed(stanza)
    assert isinstance(event, Stanza)

    assert read(event.raw, HEADER.replace(" xmlns:q='urn:q'", "")) == read(stanza, HEADER)
    assert b"CDATA" not in event.raw


@given(stanzas, st.binary(max_size=30))
def test_what_stands_behind_a_stanza_is_taken_over_whole(stanza: bytes, rest: bytes) -> None:
    assume(not rest[:1].isspace())
    framer = Framer(LIMITS)
    framer.feed(HEADER.encode())
    event = framer.feed(stanza + rest)[0]
    assert isinstance(event, Stanza)
    assert framer.unread(event) == rest


@settings(max_examples=examples(300))
@given(
    st.sampled_from([b"", HEADER.encode()]),
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            stanzas,
            st.sampled_from([b"<", b">", b"&", b"<!--", b"<!DOCTYPE a>", b"<?x?>", b"]]>", b"</"]),
        ),
        max_size=6,
    ),
    st.lists(st.integers(0, 5_000), max_size=5),
)
def test_whatever_comes_ends_in_events(
    header: bytes, written: list[bytes], cuts: list[int]
) -> None:
    """An offence is the last event, whatever the split.

    Which one of several it is may depend on how far the bytes were read at once.
    """
    data = header + b"".join(written)
    whole, parts = fed([data]), fed(split(data, cuts))
    assert is_clean(whole[:-1])
    assert is_clean(whole) == is_clean(parts)
    assert [event for event in whole if not isinstance(event, str)] == [
        event for event in parts if not isinstance(event, str)
    ]


def is_clean(events: list[object]) -> bool:
    return not any(isinstance(event, str) for event in events)


class Restarting:
    """A receiver that begins a new stream at each `<restart/>`, and notes what it hears."""

    def __init__(self, stream: XMLStream) -> None:
        self.stream = stream
        self.heard: list[object] = []

    def connected(self) -> None: ...

    def opened(self, header: StreamOpened) -> None:
        self.heard.append(type(header))

    def received(self, stanza: Stanza) -> None:
        if stanza.name == "restart":
            self.stream.restart()
        self.heard.append(shown(stanza))

    def closed(self) -> None:
        self.heard.append(StreamClosed)

    def offended(self, error: StreamError) -> None:
        self.heard.append(error.condition)
        self.stream.close()

    def lost(self, reason: str) -> None: ...


@given(
    st.lists(st.lists(st.tuples(spaces, stanzas), max_size=2), min_size=1, max_size=4),
    st.lists(st.integers(0, 5_000), max_size=8),
)
def test_streams_that_follow_each_other_may_be_split_anywhere(
    streams: list[list[tuple[bytes, bytes]]], cuts: list[int]
) -> None:
    """Each behind the request that ended the one before, as after a login."""
    parts = [
        b"<?xml version='1.0'?>" + HEADER.encode() + b"".join(space + one for space, one in said)
        for said in streams
    ]
    data = b"<restart/>".join(parts) + b"</stream:stream>"

    def heard(pieces: list[bytes]) -> list[object]:
        clock = Clock()
        stream = XMLStream(clock, Turn(clock), LIMITS)
        receiver = stream.receiver = Restarting(stream)
        stream.makeConnection(Transport())  # type: ignore[no-untyped-call]
        for piece in pieces:
            stream.dataReceived(piece)
        return receiver.heard

    whole = heard([data])

    assert whole == heard(split(data, cuts))
    assert whole == heard([data[place : place + 1] for place in range(len(data))])
    assert whole.count(StreamOpened) == len(streams)
    assert whole[-1] is StreamClosed


@given(st.integers(3_900, 4_300), st.lists(st.integers(0, 5_000), max_size=5))
def test_the_limit_of_a_stanza_is_the_same_whatever_the_split(size: int, cuts: list[int]) -> None:
    stanza = b"<message>" + b"x" * (size - 19) + b"</message>"
    framer = Framer(LIMITS)
    framer.feed(HEADER.encode())
    framer.settle()
    events: list[object] = []
    for piece in split(stanza, cuts):
        events += [shown(event) for event in framer.feed(piece)]
        framer.settle()
    assert (events == ["policy-violation"]) == (size > LIMITS.stanza_bytes)
