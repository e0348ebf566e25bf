"""RFC 6120 §4.9.3: what ends a stream, and the exact condition, at each stage of its way.

Rows are (what it is, the bytes, the condition). What the wire says is read to its end, so
that nothing may follow the error. Conditions that need a clock or a broken storage are in
tests/unit/c2s/test_stream.py; those never sent are in tests/unit/wire/test_conditions.py.
"""

import re

from tests.scenarios.hostile import END, HEADER, SM, Hostile, plain, stream_error
from tests.scenarios.raw import Raw

Rows = tuple[tuple[str, bytes | str, str], ...]

DECLARATION = "<?xml version='1.0'?>"
TLS = "urn:ietf:params:xml:ns:xmpp-tls"
PING = "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>"

HEADERS: Rows = (
    ("not ours", HEADER.replace("localhost", "example.org"), "host-unknown"),
    ("an account", HEADER.replace("localhost", "juliet@localhost"), "host-unknown"),
    ("no addressee", HEADER.replace(" to='localhost'", ""), "improper-addressing"),
    ("an empty addressee", HEADER.replace("localhost", ""), "improper-addressing"),
    ("no address", HEADER.replace("localhost", "a@b@c"), "improper-addressing"),
    ("a server's", HEADER.replace("jabber:client", "jabber:server"), "invalid-namespace"),
    ("no content", HEADER.replace("xmlns='jabber:client' ", ""), "invalid-namespace"),
    ("another stream", HEADER.replace("etherx.jabber.org", "example.org"), "invalid-namespace"),
    ("no version", HEADER.replace(" version='1.0'", ""), "unsupported-version"),
    ("version 0.9", HEADER.replace("1.0", "0.9"), "unsupported-version"),
    ("no version at all", HEADER.replace("1.0", "one"), "unsupported-version"),
    ("another element", HEADER.replace("<stream:stream", "<stream:flow"), "bad-format"),
    ("a stanza first", "<message xmlns='jabber:client'/>", "bad-format"),
    ("no prefix declared", "<stream:stream to='localhost'>", "bad-namespace-prefix"),
    ("words", "hello?", "not-well-formed"),
    ("HTTP", "GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
    ("TLS where none is", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "not-well-formed"),
    ("latin1", "<?xml version='1.0' encoding='latin1'?>" + HEADER, "unsupported-encoding"),
    ("UTF-16", HEADER.encode("utf-16"), "unsupported-encoding"),
    ("UTF-16 unmarked", HEADER.encode("utf-16-be"), "unsupported-encoding"),
    ("a byte order mark", b"\xef\xbb\xbf" + HEADER.encode(), "not-well-formed"),
    ("space before the declaration", " " + DECLARATION + HEADER, "not-well-formed"),
    ("two declarations", DECLARATION * 2 + HEADER, "not-well-formed"),
    ("XML 2.0", DECLARATION.replace("1.0", "x") + HEADER, "not-well-formed"),
    ("a comment", "<!-- x -->" + HEADER, "restricted-xml"),
    ("a processing instruction", "<?x y?>" + HEADER, "restricted-xml"),
    ("a document type", "<!DOCTYPE x>" + HEADER, "restricted-xml"),
    ("too big", HEADER.replace(" to=", f" a='{'x' * 10_000}' to="), "policy-violation"),
    (
        "too many attributes",
        HEADER.replace(" to=", "".join(f" a{n}=''" for n in range(64)) + " to="),
        "policy-violation",
    ),
)

XML: Rows = (
    ("words", "words", "bad-format"),
    ("words behind white space", " \n words", "bad-format"),
    ("a zero width space", "\ufeff", "bad-format"),
    ("tags that do not match", "<a></b>", "not-well-formed"),
    ("a comment", "<!-- x -->", "restricted-xml"),
    ("a comment in a stanza", "<message><!-- x --></message>", "restricted-xml"),
    ("a processing instruction", "<?x y?>", "restricted-xml"),
    ("an entity", "<message>&unknown;</message>", "restricted-xml"),
    ("an entity in an attribute", "<message a='&unknown;'/>", "restricted-xml"),
    ("a document type", "<!DOCTYPE x>", "not-well-formed"),  # XML §2.8: only before the root
    ("a declaration", DECLARATION, "not-well-formed"),
    ("an undeclared prefix", "<x:message/>", "bad-namespace-prefix"),
    ("a prefix taken away", "<a xmlns:b=''/>", "bad-namespace-prefix"),
    ("the prefix xml for another", "<a xmlns:xml='urn:x'/>", "bad-namespace-prefix"),
    ("bad UTF-8", b"<message>\xff</message>", "unsupported-encoding"),
    ("half a character", b"<message>\xc3</message>", "unsupported-encoding"),
    ("a surrogate", b"<message>\xed\xa0\x80</message>", "unsupported-encoding"),
    ("an overlong slash", b"<message>\xc0\xaf</message>", "unsupported-encoding"),
    ("a NUL", b"<message>\x00</message>", "not-well-formed"),
    ("a control character", "<message>\x01</message>", "not-well-formed"),
    ("the same by its number", "<message>&#1;</message>", "not-well-formed"),
    ("no character", "<message>\ufffe</message>", "not-well-formed"),
    ("an attribute twice", "<message a='1' a='2'/>", "not-well-formed"),
    ("an unquoted attribute", "<message a=1/>", "not-well-formed"),
    ("CDATA's end", "<message>]]></message>", "not-well-formed"),
    ("a separator in a namespace", "<a xmlns='urn:a b'/>", "not-well-formed"),
    ("another header", HEADER, "unsupported-stanza-type"),
    ("an unknown element", "<hello xmlns='urn:x'/>", "unsupported-stanza-type"),
    ("a stanza of servers", "<message xmlns='jabber:server'/>", "unsupported-stanza-type"),
    ("compression", "<compress xmlns='urn:x'/>", "unsupported-stanza-type"),
)


class StreamErrorTest(Hostile):
    def check(self, raw: Raw, name: str, sent: bytes | str, condition: str) -> None:
        """These bytes end the stream so."""
        assert self.ended_by(raw, sent) == condition, name

    async def test_headers_are_answered_with_a_header_and_their_error(self) -> None:
        server = await self.start()
        for name, sent, condition in HEADERS:
            for raw in (self.raw(), Raw(server.ready.c2s_tls, server.ready.ca)):
                self.addCleanup(raw.close)
                raw.try_to_send(sent)
                said = raw.read_to_end()
                assert said.startswith(b"<?xml version='1.0'?><stream:stream from='"), name
                assert stream_error(said) == condition, (name, said)

    async def test_xml_in_the_clear(self) -> None:
        await self.start()
        for row in XML:
            self.check(self.opened(), *row)

    async def test_xml_over_direct_tls(self) -> None:
        server = await self.start()
        for row in XML:
            raw = Raw(server.ready.c2s_tls, server.ready.ca)
            self.addCleanup(raw.close)
            raw.open()
            self.check(raw, *row)

    async def test_xml_byte_by_byte(self) -> None:
        await self.start()
        for name, sent, condition in XML:
            raw, data = self.opened(), sent.encode() if isinstance(sent, str) else sent
            for byte in data:
                raw.try_to_send(bytes([byte]))
            self.check(raw, name, b"", condition)

    async def test_xml_of_a_session(self) -> None:
        await self.start()
        for row in XML:
            self.check(self.bound(), *row)

    async def test_elements_at_the_wrong_time(self) -> None:
        server = await self.start()
        login = plain("juliet", server.password("juliet"))
        starttls = f"<starttls xmlns='{TLS}'/>"
        bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
        for name, raw, sent, condition in (
            ("a login in the clear", self.opened, login, "not-authorized"),
            ("a response in the clear", self.opened, _sasl("response"), "not-authorized"),
            ("a request in the clear", self.opened, PING, "not-authorized"),
            ("a binding in the clear", self.opened, bind, "not-authorized"),
            ("TLS twice", self.secured, starttls, "not-authorized"),
            ("a stanza before the login", self.secured, "<presence/>", "not-authorized"),
            ("a binding before the login", self.secured, bind, "not-authorized"),
            ("a response to nothing", self.secured, _sasl("response"), "not-authorized"),
            ("an abort of nothing", self.secured, _sasl("abort"), "not-authorized"),
            ("a count before the login", self.secured, f"<r xmlns='{SM}'/>", "not-authorized"),
            ("a login after the login", self.logged_in, login, "not-authorized"),
            ("TLS after the login", self.logged_in, starttls, "not-authorized"),
            ("a stanza before the binding", self.logged_in, PING, "not-authorized"),
            ("a login of a session", self.bound, login, "unsupported-stanza-type"),
            ("TLS of a session", self.bound, starttls, "unsupported-stanza-type"),
            ("a handshake", self.bound, "<handshake/>", "unsupported-stanza-type"),
            ("another's name", self.bound, "<presence from='a@b'/>", "invalid-from"),
            ("no name", self.bound, "<presence from=''/>", "invalid-from"),
            ("what is no name", self.bound, "<presence from='@'/>", "invalid-from"),
        ):
            self.check(raw(), name, sent, condition)
        assert [event["account"] for event in server.events("session-bound")] == (
            ["juliet@localhost"] * 6
        )

    async def test_a_login_behind_the_success_of_one_needs_a_header_first(self) -> None:
        server = await self.start()
        raw, login = self.secured(), plain("juliet", server.password("juliet"))
        raw.try_to_send(login + login)
        said = raw.read_to_end()
        assert stream_error(said) == "bad-format"
        assert said.count(b"<success") == 1

    async def test_a_conflict_is_told_to_the_session_that_was(self) -> None:
        await self.start()
        first = self.bound(resource="same")
        self.bound(resource="same")
        assert stream_error(first.read_to_end()) == "conflict"

    async def test_a_shutdown_is_told_to_everybody(self) -> None:
        server = await self.start()
        everybody = [self.raw(), self.opened(), self.secured(), self.logged_in(), self.bound()]
        await server.terminate()
        for raw in everybody:
            assert stream_error(raw.read_to_end()) == "system-shutdown"

    async def test_a_wrong_count_is_an_undefined_condition_with_its_own_name(self) -> None:
        await self.start()
        raw = self.bound()
        raw.send(f"<enable xmlns='{SM}'/>")
        raw.read_until(rb"<enabled[^>]*>")
        raw.try_to_send(f"<a xmlns='{SM}' h='1'/>")
        said = raw.read_to_end()
        assert stream_error(said) == "undefined-condition"
        assert re.search(rb"<handled-count-too-high xmlns='urn:xmpp:sm:3'[^>]*/></stream", said)
        assert said.endswith(END.encode())


def _sasl(name: str) -> str:
    return f"<{name} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AAAA</{name}>"
