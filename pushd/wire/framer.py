"""Bytes of a stream into sealed stanzas and stream events, within limits (RFC 6120 §4, §11).

One expat parser per stream, driven without trees: where a stanza begins and ends is read
off the parser, and the bytes between are the stanza. What another parser could read
differently (CDATA, prefixes declared outside the stanza) is written anew from its tree
(`plain`), so that whatever leaves here is in the plain form and may be forwarded.

Nothing here raises for what a peer sends: an offence is a `StreamError` among the
events, always the last one.
"""

import re
from dataclasses import dataclass
from xml.parsers import expat

from pushd.wire.element import BAD_NAMESPACE, MAX_DEPTH
from pushd.wire.errors import StreamError
from pushd.wire.namespaces import NS_CLIENT, NS_COMPONENT, NS_SERVER, NS_SM, NS_STREAMS
from pushd.wire.offences import offence
from pushd.wire.plain import as_client, rewritten
from pushd.wire.stanza import (
    DELAY,
    LANG,
    RECEIVED_CARBON,
    SENT_CARBON,
    STANZA_ID,
    Stanza,
)

_WHITE = b" \t\r\n"
_HEADER = b"<stream:stream"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_RESCANS = 64  # how often the bytes of a tag in pieces may be looked at again, on average
_CLAIMS = {STANZA_ID: "by", DELAY: "from", SENT_CARBON: "", RECEIVED_CARBON: ""}
_OWN_HEADER = f"<stream:stream xmlns='{NS_CLIENT}' xmlns:stream='{NS_STREAMS}'>".encode()
_CONTENTS = (NS_CLIENT, NS_SERVER, NS_COMPONENT)
_COUNTED = (b"<a ", b"<r ")
_COUNT = re.compile(
    rb"<(?P<name>[ar]) xmlns=(?P<q>['\"])urn:xmpp:sm:3(?P=q)"
    rb"(?: h=(?P<p>['\"])(?P<h>\d{1,10})(?P=p))? ?/>"
).match
_TAG = re.compile(rb"""<[^'">]*(?:'[^']*'[^'">]*|"[^"]*"[^'">]*)*>""").match
_STANZAS = {
    f"{NS_CLIENT} {name}": (NS_CLIENT, name, f"<{name}".encode(), f"</{name}".encode())
    for name in ("message", "presence", "iq")
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one stanza may cost: bytes, levels, attributes of one element, elements."""

    stanza_bytes: int = 262_144
    depth: int = MAX_DEPTH - 10  # what wraps a stanza must still be readable
    attributes: int = 64
    elements: int = 10_000


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer's stream header: its attributes, and the namespace of its content."""

    attributes: dict[str, str]
    content: str
    end: int

    @property
    def lang(self) -> str:
        return self.attributes.get(LANG, "")


@dataclass(frozen=True, slots=True)
class StreamClosed:
    """The peer closed its stream."""

    end: int


Event = Stanza | StreamOpened | StreamClosed | StreamError


class Framer:
    """The receiving half of one stream, from its header to its end; a restart takes a new one.

    `feed` takes bytes and gives events; once these are handled, `settle` forgets the
    bytes that they came from. In between, `unread` gives what stood behind an event.
    """

    def __init__(self, limits: Limits) -> None:
        self.limit(limits)
        self._events: list[Event] = []
        self._buffer: bytes | bytearray = b""
        self._base = 0  # where the buffer begins, counted in bytes of the stream
        self._done = 0  # where the last event ended
        self._begin = 0  # where the stanza under way began
        self._names_content = False  # a namespace of streams is declared in it
        self._unparsed = 0  # bytes before these that no parser of now has seen
        self._depth = 0
        self._names: list[str] = []
        self._claims: list[tuple[str, str]] = []
        self._attributes: dict[str, str] = {}
        self._content = ""
        self._prefixes: dict[str, str] = {}
        self._prefix_marks: tuple[bytes, ...] = ()
        self._broken = False
        self._rescanned = 0
        self._header = b""  # the peer's own
        self._resting = False
        self._make_parser()

    def _make_parser(self) -> None:
        parser = self._parser = expat.ParserCreate("UTF-8", " ")
        # Expat 2.6 holds back split tokens: the last stanza would wait for the next one.
        if hasattr(parser, "SetReparseDeferralEnabled"):
            parser.SetReparseDeferralEnabled(False)
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartNamespaceDeclHandler = self._declare
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._restricted
        parser.EntityDeclHandler = self._restricted
        parser.CommentHandler = self._restricted
        parser.ProcessingInstructionHandler = self._restricted

    def limit(self, limits: Limits) -> None:
        """From now on, these limits hold."""
        self._limits = limits
        self._depth_limit = limits.depth
        self._attribute_limit = limits.attributes

    def release(self) -> None:
        """Break the circle of parser and handlers, so that a lost stream is freed at once."""
        self._let_go()
        self._broken = True
        self._buffer = b""

    def rest(self) -> None:
        """Let go of the parser, which is half of what a session takes, until the next byte.

        Nothing happens unless the stream is open, and between stanzas.
        """
        if self._depth == 1 and not (self._buffer or self._broken) and len(self._header) < 4096:
            self._let_go()
            self._events = []

    def _let_go(self) -> None:
        if self._resting:
            return
        self._resting = True
        parser = self._parser
        parser.StartElementHandler = parser.EndElementHandler = None
        parser.StartNamespaceDeclHandler = parser.XmlDeclHandler = None
        parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = None
        parser.CommentHandler = parser.ProcessingInstructionHandler = None
        del self._parser

    def _wake(self) -> None:
        """Have a parser again, that has read the same header."""
        self._resting = False
        self._make_parser()
        self._unparsed += self._done - len(self._header)
        self._depth = self._base = self._done = self._rescanned = 0
        self._buffer = self._header
        self._parser.Parse(self._header, False)
        self._events.pop()
        self._base = self._done

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes as they came; give what they complete, in order."""
        if self._broken:
            return []
        if self._buffer:
            self.settle()
        events = self._events = []
        if self._buffer:
            assert isinstance(self._buffer, bytearray)
            self._buffer += data
        else:
            if self._depth == 1 and data[:3] in _COUNTED:
                data = self._skim(data)
                if not data:
                    return events
            if self._resting:
                self._wake()
            self._buffer = data
        try:
            self._parser.Parse(data, False)
            self._judge_rest()
        except expat.ExpatError as error:
            place = self._parser.ErrorByteIndex - self._base
            events.append(offence(error, bytes(self._buffer[place : place + 4])))
            self._broken = True
        except StreamError as error:
            # Its frames hold the bytes and this framer, which would hold it in its events.
            error.__traceback__ = error.__context__ = None
            events.append(error)
            self._broken = True
        return events

    def _skim(self, data: bytes) -> bytes:
        """Take a count of XEP-0198 off the front; give what follows it.

        It comes with every few stanzas, nearly always in one of these forms, and then there is
        nothing that a parser could add: it is whole, and between stanzas.
        """
        found = _COUNT(data)
        if found is None or found.end() > self._limits.stanza_bytes:
            return data
        name, h = found["name"].decode(), found["h"]
        attributes = {} if h is None else {"h": h.decode()}
        self._unparsed += found.end()
        end = self._done + self._unparsed
        self._events.append(Stanza(NS_SM, name, attributes, (), found.group(), None, (), end))
        return data[found.end() :]

    def unread(self, event: Stanza | StreamOpened) -> bytes:
        """The bytes behind an event of the last feed: what a restart must take over."""
        return bytes(self._buffer[max(0, event.end - self._unparsed - self._base) :])

    def settle(self) -> None:
        """Forget the events handled, their bytes, and white space between stanzas."""
        self._events = []
        consumed = self._done - self._base
        if consumed == len(self._buffer):
            self._base = self._done
            self._buffer = b""
            return
        rest = self._buffer[consumed:] if consumed else self._buffer
        if self._depth <= 1:
            rest = rest.lstrip(_WHITE)
        self._base = self._done = self._base + len(self._buffer) - len(rest)
        if not rest:
            self._buffer = b""
        elif rest is not self._buffer or not isinstance(rest, bytearray):
            self._buffer = bytearray(rest)

    def _judge_rest(self) -> None:
        """What is left of the bytes belongs to a stanza under way, within its limit."""
        begin = self._done - self._base
        if begin == len(self._buffer):
            return
        if self._depth == 1 and not _is_markup(self._buffer[begin : begin + 4096]):
            raise StreamError("bad-format", "text between stanzas")
        size = len(self._buffer) - begin
        if size > self._limits.stanza_bytes:
            size = len(self._buffer[begin:].lstrip(_WHITE))
        if size > self._limits.stanza_bytes:
            raise StreamError("policy-violation", "the stanza is too big")
        if self._depth > 1 and self._buffer.startswith(_HEADER, self._begin - self._base):
            raise StreamError("unsupported-stanza-type", "the stream is open")
        # Expat scans an unfinished tag from its start with each piece. Whoever sends a long one
        # in tiny pieces would cost the square of its length.
        end = self._base + len(self._buffer)
        self._rescanned += end - max(0, self._parser.CurrentByteIndex)
        if self._rescanned > _RESCANS * (end + self._limits.stanza_bytes):
            raise StreamError("policy-violation", "too long a tag in too many pieces")

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if not version.startswith("1."):
            raise StreamError("not-well-formed", "XML 1.0 is spoken here")
        if encoding is not None and encoding.upper() not in ("UTF-8", "UTF8"):
            raise StreamError("unsupported-encoding")

    def _restricted(self, *ignored: object) -> None:
        raise StreamError("restricted-xml")

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        if uri and BAD_NAMESPACE.search(uri):
            raise StreamError("bad-namespace-prefix", "forbidden characters in a namespace name")
        if self._depth == 0:
            if prefix is None:
                self._content = uri or ""
            else:
                self._prefixes[prefix] = uri or ""
        elif uri in _CONTENTS:
            self._names_content = True

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        depth = self._depth
        self._depth = depth + 1
        if len(attributes) > self._attribute_limit:
            raise StreamError("policy-violation", "too many attributes")
        if depth > 2:
            if depth > self._depth_limit:
                raise StreamError("policy-violation", "nested too deeply")
        elif depth == 2:
            self._names.append(name)
            if name in _CLAIMS:
                self._claims.append((name, attributes.get(_CLAIMS[name], "")))
        elif depth == 1:
            begin = self._begin = self._parser.CurrentByteIndex
            if begin != self._done:
                self._check_gap(begin)
            self._attributes = attributes
            self._names = []
            self._claims = []
        else:
            self._open(name, attributes)

    def _open(self, name: str, attributes: dict[str, str]) -> None:
        place = self._parser.CurrentByteIndex
        if b"\0" in self._buffer[: place - self._base + 2]:
            raise StreamError("unsupported-encoding")  # expat takes UTF-16 unasked
        if self._buffer.startswith(_BYTE_ORDER_MARK):
            raise StreamError("not-well-formed")  # a space of no width (RFC 6120 §11.6)
        namespace, _, local = name.rpartition(" ")
        if local != "stream":
            raise StreamError("bad-format", "a stream begins with its header")
        if namespace != NS_STREAMS:
            raise StreamError("invalid-namespace")
        begin, self._done = self._done, self._tag_end(place)
        self._header = bytes(self._buffer[place - self._base : self._done - self._base])
        header = self._buffer[begin - self._base : self._done - self._base]
        if len(header.lstrip(_WHITE)) > self._limits.stanza_bytes:
            raise StreamError("policy-violation", "the stream header is too big")
        self._prefix_marks = tuple(f"{prefix}:".encode() for prefix in self._prefixes)
        self._events.append(StreamOpened(attributes, self._content, self._done))

    def _tag_end(self, begin: int) -> int:
        """Where the start tag that begins here ends: the first `>` outside quotes."""
        found = _TAG(self._buffer, begin - self._base)
        if found is None:
            raise StreamError("not-well-formed")
        return self._base + found.end()

    def _is_empty(self, begin: int, end: int) -> bool:
        """Whether this piece of the buffer is one empty-element tag."""
        if not self._buffer.endswith(b"/>", begin, end):
            return False
        return self._tag_end(self._base + begin) == self._base + end

    def _check_gap(self, begin: int) -> None:
        """Between the last event and this place, nothing stands but white space."""
        gap = self._buffer[self._done - self._base : begin - self._base]
        if gap and gap.strip(_WHITE):
            raise StreamError("bad-format", "text between stanzas")

    def _end(self, name: str) -> None:
        depth = self._depth = self._depth - 1
        if depth == 1:
            self._finish(name)
        elif depth == 0:
            self._check_gap(self._parser.CurrentByteIndex)
            self._done = self._base + len(self._buffer)
            self._events.append(StreamClosed(self._done + self._unparsed))

    def _finish(self, name: str) -> None:
        """A stanza is complete: cut its bytes out, and seal it."""
        known = _STANZAS.get(name)
        if known is None:
            namespace, _, local = name.rpartition(" ")
            opening, closing = f"<{local}".encode(), f"</{local}".encode()
        else:
            namespace, local, opening, closing = known
        buffer, base = self._buffer, self._base
        begin, end = self._begin - base, self._parser.CurrentByteIndex - base
        plain = buffer.startswith(opening, begin) and (buffer[begin + len(opening)] in b" />\t\r\n")
        if not plain:
            closing = b"</" + _written_name(buffer, begin)
        # The index is the start of an end tag, but the place after an empty-element tag; and
        # what looks like its end tag may stand there, too, as expat has not read it yet.
        if buffer.startswith(closing, end) and (self._names or not self._is_empty(begin, end)):
            end = buffer.index(b">", end) + 1
        raw = bytes(buffer[begin:end])
        self._done = base + end
        if len(raw) > self._limits.stanza_bytes:
            raise StreamError("policy-violation", "the stanza is too big")
        if len(raw) > 65_536 and not self._is_modest(raw):
            raise StreamError("policy-violation", "too many elements or namespaces")
        names = tuple(self._names)
        if self._content != NS_CLIENT:
            names = as_client(names, self._content)
            namespace = NS_CLIENT if namespace == self._content else namespace
            plain = plain and self._content.encode() not in raw
        if self._names_content:
            # Whoever passes it to another kind of stream looks for the name as it is.
            self._names_content = False
            plain = plain and b"&#" not in raw
        if plain and b"<![CDATA[" not in raw:
            for mark in self._prefix_marks:
                if mark in raw:
                    raw = rewritten(raw, self._content, self._prefixes)
                    break
        else:
            raw = rewritten(raw, self._content, self._prefixes)
        claims = tuple(self._claims) if self._claims else ()
        end = self._done + self._unparsed
        self._events.append(
            Stanza(namespace, local, self._attributes, names, raw, None, claims, end)
        )

    def _is_modest(self, raw: bytes) -> bool:
        """Whether a big stanza keeps the limits that only a big one can exceed."""
        elements = self._limits.elements
        return raw.count(b"<") <= 2 * elements and raw.count(b"xmlns") <= elements


def seal(raw: bytes) -> Stanza:
    """The stanza of bytes that once left a framer: what storage and queues hold.

    What we have wrapped, stamped or added on the way counts against no limit of a door.
    Raises ValueError when they are not one stanza.
    """
    size = len(raw) + 1
    framer = Framer(Limits())
    framer.feed(_OWN_HEADER)
    framer.limit(Limits(size, depth=MAX_DEPTH, attributes=size, elements=size))
    events = framer.feed(raw)
    framer.release()
    if len(events) != 1 or not isinstance(events[0], Stanza):
        raise ValueError("not one stanza")
    return events[0]


def _is_markup(rest: bytes | bytearray) -> bool:
    rest = rest.lstrip(_WHITE)
    return not rest or rest.startswith(b"<")


def _written_name(buffer: bytes | bytearray, begin: int) -> bytes:
    """The name of the start tag that begins here, with its prefix."""
    place = begin + 1
    while buffer[place] not in b" />\t\r\n":
        place += 1
    return bytes(buffer[begin + 1 : place])
