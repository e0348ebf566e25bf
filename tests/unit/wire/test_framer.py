"""The framer: where stanzas begin and end, what is refused, what is written anew."""

import gc
import sys
import weakref

import pytest

from pushd.wire.errors import StreamError
from pushd.wire.framer import Framer, Limits, StreamClosed, StreamOpened, seal
from pushd.wire.namespaces import NS_CLIENT, NS_STREAMS
from pushd.wire.stanza import LANG, Stanza

HEADER = (
    b"<?xml version='1.0'?><stream:stream to='example.net' version='1.0' xml:lang='de' "
    b"xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
)


def opened(limits: Limits | None = None, header: bytes = HEADER) -> Framer:
    framer = Framer(limits or Limits())
    assert isinstance(framer.feed(header)[0], StreamOpened)
    return framer


def stanzas(data: bytes, header: bytes = HEADER) -> list[Stanza]:
    events = opened(header=header).feed(data)
    assert all(isinstance(event, Stanza) for event in events), events
    return [event for event in events if isinstance(event, Stanza)]


def offence(data: bytes, limits: Limits | None = None) -> str:
    events = opened(limits).feed(data)
    assert isinstance(events[-1], StreamError), events
    return events[-1].condition


def test_a_header_tells_its_attributes_and_content() -> None:
    (event,) = Framer(Limits()).feed(HEADER)
    assert isinstance(event, StreamOpened)
    assert event.attributes["to"] == "example.net"
    assert event.lang == "de"
    assert event.content == NS_CLIENT


def test_a_stanza_keeps_its_bytes_and_shows_its_envelope() -> None:
    raw = b"<message to='a@b' id=\"1\"><body>x &gt; y</body><x xmlns='urn:y'><z/></x></message>"
    (stanza,) = stanzas(raw)
    assert stanza.raw == raw
    assert (stanza.namespace, stanza.name) == (NS_CLIENT, "message")
    assert stanza.attributes == {"to": "a@b", "id": "1"}
    assert stanza.children == ("jabber:client body", "urn:y x")


@pytest.mark.parametrize(
    "data",
    [
        b"<presence/>",
        b"<presence />",
        b"<presence></presence>",
        b"<presence></presence\n>",
        b"<presence><show>/></show></presence>",
        b"<presence a='/>'/>",
        b"<presence a='>'><b/></presence>",
        b"<presence>/></presence>",
    ],
)
def test_the_end_of_a_stanza_is_found(data: bytes) -> None:
    first, second = stanzas(data + b"<iq/>")
    assert first.raw == data
    assert second.raw == b"<iq/>"


def test_an_empty_stanza_before_the_end_of_the_stream_ends_where_it_ends() -> None:
    stanza, end = opened().feed(b"<presence/></stream:stream>")
    assert isinstance(stanza, Stanza)
    assert stanza.raw == b"<presence/>"
    assert isinstance(end, StreamClosed)


@pytest.mark.parametrize(
    "stanza", [b"<presence/>", b"<presence />", b"<presence a='>'/>", b"<c:presence/>"]
)
@pytest.mark.parametrize("rest", [b">", b" >", b"", b" a='", b"-or-more>"])
def test_an_end_tag_behind_an_empty_stanza_is_no_part_of_it(stanza: bytes, rest: bytes) -> None:
    """Forwarded with its stanza, it would end the stream of whoever gets that."""
    header = HEADER.replace(b" to=", b" xmlns:c='jabber:client' to=")
    closing = b"</" + stanza[1:].split(b" ")[0].removesuffix(b"/>") + rest
    events = opened(header=header).feed(stanza + closing)
    (first, *others) = events
    assert isinstance(first, Stanza)
    assert first.raw == stanza.replace(b"c:", b"")
    assert all(isinstance(event, StreamError) for event in others)


def test_a_stanza_in_pieces_comes_with_its_last_byte() -> None:
    framer, data = opened(), b" \n<message to='a@b'><body>hello</body></message>"
    for byte in data[:-1]:
        assert framer.feed(bytes([byte])) == []
    (stanza,) = framer.feed(data[-1:])
    assert isinstance(stanza, Stanza)
    assert stanza.raw == data.strip()


def test_white_space_between_stanzas_is_not_kept() -> None:
    framer = opened(Limits(stanza_bytes=180))
    for _ in range(50):
        assert framer.feed(b" \n\t ") == []
    (stanza,) = framer.feed(b"<iq/>")
    assert isinstance(stanza, Stanza)


def test_white_space_before_a_stanza_counts_against_no_limit() -> None:
    framer = opened(Limits(stanza_bytes=180))
    assert framer.feed(b" " * 200 + b"<i") == []
    (stanza,) = framer.feed(b"q/>")
    assert isinstance(stanza, Stanza)


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><message/>", "not-well-formed"),
        (b"<!-- c --><message/>", "restricted-xml"),
        (b"<message><!-- c --></message>", "restricted-xml"),
        (b"<?pi x?><message/>", "restricted-xml"),
        (b"<message>&unknown;</message>", "restricted-xml"),
        (b"<message></presence>", "not-well-formed"),
        (b"<x:message/>", "bad-namespace-prefix"),
        (b"<message><a xmlns='urn:\"'/></message>", "bad-namespace-prefix"),
        (b"<message><a xmlns='urn:}'/></message>", "bad-namespace-prefix"),
        (b"<message><a xmlns='urn a'/></message>", "not-well-formed"),
        (b"<message>\xff</message>", "unsupported-encoding"),
        (b"<message>\xed\xa0\x80</message>", "unsupported-encoding"),
        (b"<message>\xc3(</message>", "unsupported-encoding"),
        (b"<message a='\xc0\x80'/>", "unsupported-encoding"),
        (b"<message>\xef\xbf\xbe</message>", "not-well-formed"),
        (b"<message>\x01</message>", "not-well-formed"),
        (b"text<message/>", "bad-format"),
        (b"<message/>text", "bad-format"),
        (b"<message/>text<message/>", "bad-format"),
        (b"<message/>text</stream:stream>", "bad-format"),
        (b"<?xml version='1.0'?>", "not-well-formed"),
        (HEADER[21:], "unsupported-stanza-type"),
        (b"<iq/>" + HEADER[21:] + b"<iq/>", "unsupported-stanza-type"),
        (b"<message" + b"".join(b" a%d=''" % n for n in range(70)) + b"/>", "policy-violation"),
        (b"<message>" + b"<a>" * 200, "policy-violation"),
        (b"<message>" + b"<a/>" * 20_000 + b"</message>", "policy-violation"),
        (
            b"<message " + b"".join(b" xmlns:n%d='u'" % n for n in range(11_000)) + b"/>",
            "policy-violation",
        ),
        (b"<message>" + b"x" * 300_000, "policy-violation"),
    ],
)
def test_an_offence_is_named(data: bytes, condition: str) -> None:
    assert offence(data) == condition


def test_a_doctype_before_the_header_is_refused() -> None:
    (event,) = Framer(Limits()).feed(b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + HEADER)
    assert isinstance(event, StreamError)
    assert event.condition == "restricted-xml"


@pytest.mark.parametrize(
    ("header", "condition"),
    [
        (b"<stream xmlns='urn:other'>", "invalid-namespace"),
        (b"<html>", "bad-format"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?>" + HEADER[21:], "unsupported-encoding"),
        (b"GET / HTTP/1.1\r\n", "not-well-formed"),
        (b"<?xml version='2.0'?>" + HEADER[21:], "not-well-formed"),
    ],
)
def test_a_wrong_header_is_named(header: bytes, condition: str) -> None:
    events = Framer(Limits()).feed(header)
    assert isinstance(events[-1], StreamError)
    assert events[-1].condition == condition


@pytest.mark.parametrize("size", [1, 1_000])
def test_a_header_has_the_limit_of_a_stanza_whatever_the_split(size: int) -> None:
    framer = Framer(Limits(stanza_bytes=len(HEADER) - 1))
    data = b" \n" + HEADER.removeprefix(b"<?xml version='1.0'?>") + b" "
    assert isinstance(framer.feed(data)[0], StreamOpened)
    framer = Framer(Limits(stanza_bytes=len(HEADER) - 1))
    places = range(0, len(HEADER), size)
    (event,) = [event for place in places for event in framer.feed(HEADER[place : place + size])]
    assert isinstance(event, StreamError)
    assert event.condition == "policy-violation"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("size", [1, 2, 7, 1_000])
def test_utf_16_is_no_encoding_here_however_it_is_split(encoding: str, size: int) -> None:
    framer, data = Framer(Limits()), HEADER.decode().encode(encoding)
    events = [
        event for at in range(0, len(data), size) for event in framer.feed(data[at : at + size])
    ]
    (error,) = events
    assert isinstance(error, StreamError)
    assert error.condition == "unsupported-encoding"


def test_a_byte_order_mark_is_a_character_before_the_header() -> None:
    (error,) = Framer(Limits()).feed(b"\xef\xbb\xbf" + HEADER)
    assert isinstance(error, StreamError)
    assert error.condition == "not-well-formed"


@pytest.mark.parametrize("piece", [b">", b"x"])
def test_a_long_tag_in_tiny_pieces_costs_no_square(piece: bytes) -> None:
    framer = opened(Limits(10_000))
    framer.feed(b"<message><a b='")
    pieces = 0
    while not (events := framer.feed(piece)):
        pieces += 1
    (error,) = events
    assert isinstance(error, StreamError)
    assert (error.condition, error.text) == (
        "policy-violation",
        "too long a tag in too many pieces",
    )
    assert pieces < 5_000


def test_a_long_tag_in_pieces_as_they_come_over_the_net_is_read() -> None:
    framer = opened()
    data = b"<message><a b='" + b"x" * 250_000 + b"'/></message>"
    events = [
        event for at in range(0, len(data), 1_400) for event in framer.feed(data[at : at + 1_400])
    ]
    (stanza,) = events
    assert isinstance(stanza, Stanza)
    assert stanza.raw == data


def test_long_text_may_come_byte_by_byte() -> None:
    framer = opened(Limits(10_000))
    data = b"<message>" + b"x" * 9_900 + b"</message>"
    events = [event for byte in data for event in framer.feed(bytes([byte]))]
    assert [type(event) for event in events] == [Stanza]


@pytest.mark.parametrize("offence", [b"<!-- x -->", b"</a>", b"words", b"<iq/>" + b"<a>" * 200])
def test_a_framer_that_met_an_offence_is_freed_as_soon_as_it_is_released(offence: bytes) -> None:
    gc.disable()
    try:
        framer = opened()
        assert isinstance(framer.feed(offence)[-1], StreamError)
        framer.release()
        gone = weakref.ref(framer)
        del framer
        assert gone() is None
    finally:
        gc.enable()


def test_nothing_follows_an_offence() -> None:
    framer = opened()
    events = framer.feed(b"<iq/><!-- --><iq/>")
    assert [type(event) for event in events] == [Stanza, StreamError]
    assert framer.feed(b"<iq/>") == []


def test_the_limit_counts_one_stanza_not_the_stream() -> None:
    framer = opened(Limits(stanza_bytes=1000))
    for _ in range(10):
        events = framer.feed(b"<message><body>" + b"x" * 900 + b"</body></message>")
        assert [type(event) for event in events] == [Stanza]


def test_what_stands_behind_an_event_can_be_taken_over() -> None:
    framer = opened()
    events = framer.feed(b"<a xmlns='urn:x'/> <b xmlns='urn:x'/><c")
    assert isinstance(events[0], Stanza)
    assert framer.unread(events[0]) == b" <b xmlns='urn:x'/><c"
    first = Framer(Limits()).feed(HEADER + b"<iq/>")[0]
    assert isinstance(first, StreamOpened)


def test_cdata_is_written_anew() -> None:
    (stanza,) = stanzas(b"<message><body><![CDATA[a<b]]></body></message>")
    assert stanza.raw == b"<message><body>a&lt;b</body></message>"


def test_a_prefix_of_the_header_is_written_out() -> None:
    header = HEADER.replace(b" to=", b" xmlns:q='urn:q' xmlns:c='jabber:client' to=")
    (stanza, other) = stanzas(
        b"<message q:a='1'><q:x/><b xmlns='urn:b' q:c=''/></message><c:iq><c:b/></c:iq>", header
    )
    assert stanza.raw == (
        b"<message xmlns:n0='urn:q' n0:a='1'><x xmlns='urn:q'/>"
        b"<b xmlns='urn:b' xmlns:n0='urn:q' n0:c=''/></message>"
    )
    assert other.raw == b"<iq><b/></iq>"


def test_content_of_a_component_stream_reads_as_client_content() -> None:
    header = HEADER.replace(b"jabber:client", b"jabber:component:accept")
    plain, explicit = stanzas(
        b"<message><body/></message>"
        b"<message xmlns='jabber:component:accept'><body/><q xmlns='urn:q'/></message>",
        header,
    )
    for stanza in (plain, explicit):
        assert stanza.namespace == NS_CLIENT
        assert stanza.children[0] == "jabber:client body"
        assert stanza.tree.uri == NS_CLIENT
    assert explicit.raw == b"<message><body/><q xmlns='urn:q'/></message>"


def test_claims_of_others_are_noted() -> None:
    (stanza,) = stanzas(
        b"<message><stanza-id xmlns='urn:xmpp:sid:0' by='a@b' id='1'/>"
        b"<delay xmlns='urn:xmpp:delay' from='example.net' stamp=''/><x xmlns='urn:x'>"
        b"<delay xmlns='urn:xmpp:delay' from='inner'/></x></message>"
    )
    assert stanza.claims == (
        ("urn:xmpp:sid:0 stanza-id", "a@b"),
        ("urn:xmpp:delay delay", "example.net"),
    )


def test_an_element_of_the_streams_namespace_inside_a_stanza_passes() -> None:
    (stanza,) = stanzas(b"<message><stream:x><y/></stream:x></message>")
    assert stanza.children == (f"{NS_STREAMS} x",)
    assert stanza.raw == b"<message><stream:x><y/></stream:x></message>"


def test_the_language_of_a_stanza_is_an_attribute() -> None:
    (stanza,) = stanzas(b"<message xml:lang='fr'/>")
    assert stanza.attributes == {LANG: "fr"}


def test_stored_bytes_are_sealed_again() -> None:
    stanza = seal(b"<message to='a@b'><body>x</body></message>")
    assert stanza.attributes == {"to": "a@b"}
    with pytest.raises(ValueError, match="not one stanza"):
        seal(b"<message/><message/>")


def test_what_was_stamped_and_wrapped_on_the_way_is_still_sealed() -> None:
    """A door's limits are about what comes; what it let pass grows on its way."""
    limits = Limits()
    many = " ".join(f"a{number}='x'" for number in range(limits.attributes))
    deep = "<x xmlns='urn:x'>" * (limits.depth - 1) + "</x>" * (limits.depth - 1)
    (stanza,) = stanzas(f"<message {many}>{deep}</message>".encode())
    stanza.stamp("romeo@example.net/orchard", "it")
    outer = "<received xmlns='urn:r'><forwarded xmlns='urn:f'>"

    for raw in (stanza.raw, f"<message>{outer}".encode() + stanza.raw):
        closing = b"" if raw is stanza.raw else b"</forwarded></received></message>"
        again = seal(raw + closing)
        assert again.tree.name == "message"


COUNTS = [
    b"<r xmlns='urn:xmpp:sm:3'/>",
    b'<r xmlns="urn:xmpp:sm:3" />',
    b"<a xmlns='urn:xmpp:sm:3' h='4294967295'/>",
    b'<a xmlns="urn:xmpp:sm:3" h="0"/>',
    b"<a h='7' xmlns='urn:xmpp:sm:3'/>",
    b"<a xmlns='urn:xmpp:sm:3' h='1' h='1'/>",
    b"<a xmlns='urn:xmpp:sm:3' h='12345678901'/>",
    b"<a xmlns='urn:xmpp:sm:3' h=''/>",
    b"<a xmlns='urn:xmpp:sm:3' h='1'></a>",
    b"<a xmlns='urn:xmpp:sm:3\" h='1'/>",
    b"<a xmlns='urn:xmpp:sm:2' h='1'/>",
    b"<r xmlns='urn:xmpp:sm:3'><",
]


@pytest.mark.parametrize("behind", [b"", b"<iq/>", b" ", b"<iq", b"text", b"</stream:stream>"])
@pytest.mark.parametrize("count", COUNTS)
def test_a_count_reads_the_same_whole_and_in_pieces(count: bytes, behind: bytes) -> None:
    """A count at the front of a read is not parsed; one that comes byte by byte is."""
    data = count + behind
    whole = opened()
    at_once = whole.feed(data)
    whole.settle()
    pieces = opened()
    bytewise = []
    for place in range(len(data)):
        bytewise += pieces.feed(data[place : place + 1])
        pieces.settle()

    assert [shown(event) for event in at_once] == [shown(event) for event in bytewise]
    assert [shown(event) for event in whole.feed(b"<iq/>")] == [
        shown(event) for event in pieces.feed(b"<iq/>")
    ]


def shown(event: object) -> object:
    if isinstance(event, Stanza):
        return (event.namespace, event.name, event.attributes, event.children, event.raw)
    return event.condition if isinstance(event, StreamError) else type(event)


def test_a_count_that_is_bigger_than_a_stanza_may_be_is_parsed_and_refused() -> None:
    framer = opened()
    framer.limit(Limits(stanza_bytes=20))
    [offence] = framer.feed(b"<a xmlns='urn:xmpp:sm:3' h='1'/>")

    assert shown(offence) == "policy-violation"


HEADERS = [
    HEADER,
    HEADER.replace(b"stream:", b"s:").replace(b"xmlns:stream", b"xmlns:s"),
    HEADER.replace(b" to=", b" xmlns:x='urn:x' a='>' to="),
]
TALK = (
    b"<iq type='get' id='1'><x:q xmlns:x='urn:y'/></iq>  <message><body>a &gt; b</body></message>"
    b"<r xmlns='urn:xmpp:sm:3'/><presence/>\n<iq>"
)


@pytest.mark.parametrize(
    "behind", [b"</iq>", b"</message>", b"<x:q/></iq>", b"</iq></stream:stream>"]
)
@pytest.mark.parametrize("size", [1, 2, 7, 40, 1000])
@pytest.mark.parametrize("header", HEADERS)
def test_a_framer_that_rests_whenever_it_can_reads_the_same(
    header: bytes, size: int, behind: bytes
) -> None:
    talk = TALK + behind
    pieces = [talk[place : place + size] for place in range(0, len(talk), size)]
    awake, resting = opened(header=header), opened(header=header)
    heard: tuple[list[object], list[object]] = ([], [])
    for piece in pieces:
        for framer, events in zip((awake, resting), heard, strict=True):
            framer.settle()
            events += [shown(event) for event in framer.feed(piece)]
        resting.settle()
        resting.rest()

    assert heard[0] == heard[1]
    assert len(heard[0]) >= 5


def test_a_resting_framer_has_no_parser_until_something_comes() -> None:
    framer = opened()
    framer.settle()

    framer.rest()
    assert not hasattr(framer, "_parser")
    framer.feed(b"<r xmlns='urn:xmpp:sm:3'/>")
    assert not hasattr(framer, "_parser")
    [stanza] = framer.feed(b"<iq/>")

    assert shown(stanza) == (NS_CLIENT, "iq", {}, (), b"<iq/>")


def test_a_framer_with_an_unfinished_stanza_does_not_rest() -> None:
    framer = opened()
    framer.feed(b"<iq>")
    framer.settle()

    framer.rest()

    assert [shown(one) for one in framer.feed(b"</iq>")] == [
        (NS_CLIENT, "iq", {}, (), b"<iq></iq>")
    ]


def test_a_resting_framer_is_released_like_any_other() -> None:
    framer = opened()
    framer.settle()
    framer.rest()

    framer.release()

    assert framer.feed(b"<iq/>") == []


@pytest.mark.parametrize("content", ["jabber:client", "jabber:component:accept"])
@pytest.mark.parametrize("place", ["iq", "child"])
def test_a_namespace_of_streams_is_never_hidden_in_references(content: str, place: str) -> None:
    """Doors between streams of different kinds find it by its bytes."""
    hidden = f" xmlns='j&#97;{content[2:]}'"
    header = HEADER.replace(b"jabber:client", content.encode())
    at = {"iq": ("", ""), "child": ("", "")} | {place: (hidden, "")}
    xml = f"<iq{at['iq'][0]}><q xmlns='x'><c{at['child'][0]}/></q></iq>"

    [stanza] = stanzas(xml.encode(), header)

    assert b"&#" not in stanza.raw
    assert (stanza.namespace, stanza.children) == (NS_CLIENT, ("x q",))
    assert b"component" not in stanza.raw


def test_what_was_handled_is_kept_no_longer() -> None:
    """A stream that was flooded once would hold as many stanzas until the next one comes."""
    framer = opened()
    (stanza,) = framer.feed(b"<message/>")
    framer.settle()
    assert sys.getrefcount(stanza) == 2  # ours, and that of the call
