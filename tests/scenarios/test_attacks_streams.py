"""RFC 6120 §4: headers, restarts, closing, keepalives, and what a limit allows to the byte."""

import re

from tests.scenarios.hostile import END, HEADER, SASL, Hostile, plain, stream_error
from tests.scenarios.raw import Raw

DECLARATION = "<?xml version='1.0'?>"
TLS = "urn:ietf:params:xml:ns:xmpp-tls"
UNAUTHENTICATED, AUTHENTICATED = 10_000, 262_144
FEATURES = rb"</stream:features>"


def header_of(said: bytes) -> dict[str, str]:
    """The attributes of the response header."""
    found = re.match(rb"<\?xml version='1.0'\?><stream:stream ([^>]*)>", said)
    assert found is not None, said
    return dict(re.findall(r"([\w:]+)='([^']*)'", found.group(1).decode()))


class HeaderTest(Hostile):
    async def test_the_response_header_has_all_that_it_must(self) -> None:
        """RFC 6120 §4.7: who answers, to whom, in which language and version."""
        await self.start()
        raw = self.raw()
        raw.send(HEADER.replace(" to=", " from='Juliet@localhost/x' xml:lang='de' to="))
        header = header_of(raw.read_until(FEATURES))
        id = header.pop("id")
        assert re.fullmatch(r"[\w-]{20,}", id)
        assert header == {
            "from": "localhost",
            "to": "juliet@localhost",
            "version": "1.0",
            "xml:lang": "en",
            "xmlns": "jabber:client",
            "xmlns:stream": "http://etherx.jabber.org/streams",
        }

    async def test_row_15_each_stream_and_each_restart_has_an_id_that_nobody_guesses(self) -> None:
        server = await self.start()
        ids = set()
        for _ in range(60):
            ids.add(header_of(self.raw().open())["id"])
        raw = self.raw()
        ids.add(header_of(raw.open())["id"])
        raw.send(f"<starttls xmlns='{TLS}'/>")
        raw.read_until(rb"<proceed[^>]*>")
        raw.start_tls(server.ready.ca)
        ids.add(header_of(raw.open())["id"])
        raw.send(plain("juliet", server.password("juliet")))
        raw.read_until(rb"<success[^>]*>(</success>)?")
        ids.add(header_of(raw.open())["id"])
        assert len(ids) == 63
        for place in range(20):  # no character stays the same, or counts up with its stream
            assert len({id[place] for id in ids}) > 10

    async def test_headers_that_are_fine(self) -> None:
        await self.start()
        for header in (
            DECLARATION + HEADER,
            DECLARATION.replace("'", '"') + "\n" + HEADER,
            "<?xml version='1.0' encoding='UTF-8'?>" + HEADER,
            "<?xml version='1.0' encoding='utf-8' standalone='yes'?>" + HEADER,
            "<?xml version='1.1'?>" + HEADER,
            " \n\t" + HEADER,
            HEADER.replace("version='1.0'", "version='1.1'"),
            HEADER.replace("version='1.0'", "version='2.0'"),
            HEADER.replace("version='1.0'", "version='01.0'"),
            HEADER.replace("localhost", "LOCALHOST"),
            HEADER.replace("stream:stream", "s:stream").replace("xmlns:stream", "xmlns:s"),
            HEADER.replace("to='localhost'", 'to="localhost" unknown="&lt;&#62;"'),
        ):
            raw = self.raw()
            raw.send(header)
            told = header_of(raw.read_until(FEATURES))
            assert (told["from"], told["version"]) == ("localhost", "1.0"), header

    async def test_an_error_has_no_header_of_its_own_on_a_stream_that_is_open(self) -> None:
        await self.start()
        for raw in (self.opened(), self.secured(), self.logged_in(), self.bound()):
            raw.try_to_send("</nothing>")
            said = raw.read_to_end()
            assert said.startswith(b"<stream:error>"), said
            assert stream_error(said) == "not-well-formed"


class ClosingTest(Hostile):
    async def test_a_stream_that_the_client_closes_is_closed_back(self) -> None:
        """RFC 6120 §4.4: at any stage, and what follows the end is not even read."""
        server = await self.start()
        for raw in (self.opened(), self.secured(), self.logged_in(), self.bound()):
            raw.send(END)
            raw.try_to_send("<message to='juliet@localhost'/></nonsense>")
            assert raw.read_to_end() == END.encode()
        assert len(server.events("session-ended")) == 1

    async def test_a_header_and_its_end_at_once(self) -> None:
        await self.start()
        raw = self.raw()
        raw.send(HEADER + END)
        said = raw.read_to_end()
        assert said.endswith(b"</stream:features></stream:stream>")

    async def test_an_empty_stream_is_closed(self) -> None:
        await self.start()
        raw = self.raw()
        raw.send(HEADER.replace("'>", "'/>"))
        assert raw.read_to_end().endswith(END.encode())

    async def test_a_connection_that_just_ends_takes_its_session_along(self) -> None:
        server = await self.start()
        self.bound().close()
        await server.event("session-ended")
        self.bound().reset()
        await server.event("session-ended", lambda one: len(server.events("session-ended")) == 2)

    async def test_white_space_keeps_a_stream_alive_at_any_stage(self) -> None:
        """RFC 6120 §4.6.1: it is no stanza, counts for nothing and is answered by nothing."""
        await self.start()
        raw = self.bound()
        for spaces in (" ", "\n", "\t\r\n " * 100, " " * AUTHENTICATED * 2):
            raw.send(spaces)
        raw.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        assert raw.read_until(rb"<iq[^>]*/>").startswith(b"<iq ")
        for raw in (self.opened(), self.secured(), self.logged_in()):
            raw.send(" \n" * 50)
            raw.send(END)
            assert raw.read_to_end() == END.encode()


def message(size: int) -> str:
    """A stanza to oneself of exactly so many bytes."""
    start, end = "<message to='juliet@localhost/raw'><body>", "</body></message>"
    return start + "x" * (size - len(start) - len(end)) + end


def login(size: int) -> str:
    """A login of exactly so many bytes, which is no login."""
    start, end = f"<auth xmlns='{SASL}' mechanism='PLAIN'>", "</auth>"
    return start + "!" * (size - len(start) - len(end)) + end


class BoundaryTest(Hostile):
    """Each limit, at its last byte and one beyond, in one piece and in many."""

    def send(self, raw: Raw, data: str, size: int) -> None:
        for at in range(0, len(data), size):
            raw.try_to_send(data[at : at + size])

    async def test_row_04_before_the_login_an_element_has_10000_bytes(self) -> None:
        await self.start()
        for size in (20_000, 1_400, 7):
            raw = self.secured()
            self.send(raw, login(UNAUTHENTICATED), size)
            assert b"<incorrect-encoding/>" in raw.read_until(b"</failure>")
            self.send(raw, login(UNAUTHENTICATED + 1), size)
            assert stream_error(raw.read_to_end()) == "policy-violation"

    async def test_row_04_before_the_login_a_header_has_10000_bytes(self) -> None:
        await self.start()
        blank = len(HEADER.replace(" to=", " a='' to="))
        for size in (20_000, 1_400):
            for over in (0, 1):
                header = HEADER.replace(" to=", f" a='{'x' * (10_000 - blank + over)}' to=")
                assert len(header) == 10_000 + over
                raw = self.raw()
                self.send(raw, header, size)
                if over:
                    assert stream_error(raw.read_to_end()) == "policy-violation"
                else:
                    raw.read_until(FEATURES)

    async def test_row_04_before_the_login_100000_bytes_are_all(self) -> None:
        await self.start()
        raw = self.secured()
        for _ in range(4):  # the fifth failed login ends the stream in any case
            raw.send(login(9_000))
            raw.read_until(b"</failure>")
        assert self.ended_by(raw, " " * 100_000) == "policy-violation"

    async def test_row_04_the_limits_are_announced(self) -> None:
        """XEP-0478."""
        await self.start()
        raw, limits = self.raw(), rb"<limits xmlns='urn:xmpp:stream-limits:0'>(.*?)</limits>"
        before = re.search(limits, raw.secure(self.server.ready.ca))
        raw = self.raw()
        juliet = self.server.jid("juliet"), self.server.password("juliet")
        after = re.search(limits, raw.log_in(self.server.ready.ca, *juliet))
        assert before is not None
        assert after is not None
        assert b"<max-bytes>10000</max-bytes>" in before.group(1)
        assert b"<max-bytes>262144</max-bytes>" in after.group(1)

    async def test_row_04_a_stanza_has_262144_bytes(self) -> None:
        await self.start()
        for size in (300_000, 1_400):
            raw = self.bound()
            self.send(raw, message(AUTHENTICATED), size)
            assert len(raw.read_until(b"</message>")) > AUTHENTICATED
            self.send(raw, message(AUTHENTICATED + 1), size)
            assert stream_error(raw.read_to_end()) == "policy-violation"

    async def test_row_03_depth_and_attributes_are_limited_however_they_are_split(self) -> None:
        await self.start()
        attributes = " ".join(f"a{n}=''" for n in range(64))
        for size in (10_000, 50, 1):
            for over in (0, 1):
                for opened, most, tail in (
                    (self.secured, 10, f"<presence xmlns='{SASL}'/>"),
                    (self.bound, 90, ""),
                ):
                    deep = "<a>" * (most + over) + "</a>" * (most + over)
                    condition = "policy-violation" if over else "unsupported-stanza-type"
                    raw = opened()
                    self.send(raw, deep + tail, size)
                    assert stream_error(raw.read_to_end()) == condition, (size, over, most)
                more = " b=''" * over
                raw = self.secured()
                self.send(raw, f"<a {attributes}{more}/>", size)
                condition = "policy-violation" if over else "unsupported-stanza-type"
                assert stream_error(raw.read_to_end()) == condition

    async def test_row_03_many_small_elements_and_namespaces_are_limited(self) -> None:
        await self.start()
        start, end = "<message to='juliet@localhost/raw'><x xmlns='urn:x'>", "</x></message>"
        raw = self.bound()
        raw.send(start + "<a/>" * 15_000 + end)
        assert raw.read_until(b"</message>").count(b"<a/>") == 15_000
        assert self.ended_by(raw, start + "<a/>" * 25_000 + end) == "policy-violation"
        raw = self.bound()
        names = " ".join(f"xmlns:n{n}='u'" for n in range(12_000))
        assert self.ended_by(raw, f"{start}<a {names}/>{end}") == "policy-violation"

    async def test_row_05_a_long_tag_in_tiny_pieces_costs_no_square(self) -> None:
        await self.start()
        raw = self.bound()
        raw.send("<message a='")
        self.send(raw, ">" * 60_000, 4)
        assert stream_error(raw.read_to_end()) == "policy-violation"
