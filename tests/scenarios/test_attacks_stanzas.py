"""Attacks by what a stanza says or hides: rows 1, 6, 23, 27, 28, 30, 34, 35 of docs/security.rst.

Each has its exact answer, or arrives as exactly what its sender may say.
"""

import re
from xml.etree import ElementTree

from pushd.wire.element import parse
from tests.scenarios.hostile import BOMB, END, HEADER, SM, STANZAS, Hostile, stream_error
from tests.scenarios.raw import Raw

ROMEO, JULIET = "romeo@localhost/raw", "juliet@localhost/raw"
ROSTER = "<query xmlns='jabber:iq:roster'>"
SQL = ("' OR '1'='1", "x'); DROP TABLE accounts; --", '" OR ""="', "%", "_", "*", "\\")
ESCAPED = "</message><message from='admin@localhost'><body>hi</body></message>"

# What another parser could read differently, and what it must mean to everybody.
STRANGE = (
    f"<body><![CDATA[{ESCAPED}]]></body>",
    "<body>" + ESCAPED.replace("<", "&lt;") + "</body>",
    "<body>" + ESCAPED.replace("<", "&#60;").replace(">", "&#x3e;") + "</body>",
    "<body>]]&gt;</body>",
    "<body>&#13;&#10;&#9;</body>",
    "<x xmlns='urn:x' a=\"'&quot;&lt;&#10;\"/>",
    "<p:x xmlns:p='urn:x' p:a='1' a='2'><p:y xmlns:p='urn:y'/></p:x>",
    "<x xmlns='urn:x?a=1&amp;b=2'><y xmlns=''/></x>",
    "<x xmlns='jabber:server'><message from='admin@localhost'/></x>",
    "<message from='admin@localhost'><body>nested</body></message>",
    "<stream:error xmlns:stream='http://etherx.jabber.org/streams'/>",
    "<s:features xmlns:s='http://etherx.jabber.org/streams'/>",
    "<body>\U0001f600 \u202e\ufdd0 \ufeff</body>",
    "<x xmlns='urn:x'>" + "<a>" * 80 + "</a>" * 80 + "</x>",
)


def canonical(element: ElementTree.Element) -> list[str]:
    """The content of an element, in one form for all ways to write it."""
    return [ElementTree.canonicalize(ElementTree.tostring(one)) for one in element]


class ContentTest(Hostile):
    async def test_row_01_a_bomb_goes_off_nowhere(self) -> None:
        server = await self.start()
        direct = Raw(server.ready.c2s_tls, server.ready.ca)
        self.addCleanup(direct.close)
        for raw in (self.raw(), direct):
            assert self.ended_by(raw, BOMB + HEADER + "&h;") == "restricted-xml"
        for opened in (self.opened, self.secured, self.logged_in, self.bound):
            assert self.ended_by(opened(), BOMB) == "not-well-formed"
            assert self.ended_by(opened(), "<message>&h;") == "restricted-xml"
        raw = self.component()
        raw.send("<message from='component.localhost' to='juliet@localhost'>&h;</message>")
        assert stream_error(raw.read_to_end()) == "restricted-xml"

    async def test_row_06_a_stanza_is_one_stanza_to_every_parser(self) -> None:
        await self.start()
        juliet, romeo = self.bound("juliet"), self.bound("romeo")
        service = self.service = self.component()
        for number, strange in enumerate(STRANGE):
            self.check_one(juliet, romeo, number, strange)
        # The same from a component, whose stream has another namespace and may have prefixes.
        for number, strange in enumerate(STRANGE):
            self.pass_on(service, romeo, number, strange)

    def check_one(self, sender: Raw, receiver: Raw, number: int, strange: str) -> None:
        said = self.pass_on(sender, receiver, number, strange)
        sent = ElementTree.fromstring(f"<message xmlns='jabber:client'>{strange}</message>")
        came = ElementTree.fromstring(HEADER.encode() + said + END.encode())[0]
        assert canonical(came) == canonical(sent), strange

    def pass_on(self, sender: Raw, receiver: Raw, number: int, strange: str) -> bytes:
        """What arrives of a message with this content; a second one tells where it ends."""
        is_service = sender is self.service
        address = "component.localhost" if is_service else JULIET
        said = f" from='{address}'" if is_service else ""
        sender.send(f"<message to='{ROMEO}' id='{number}'{said}>{strange}</message>")
        sender.send(f"<message to='{ROMEO}' id='end'{said}><x xmlns='end'/></message>")
        came = receiver.read_until(rb"<message[^>]* id='end'[^>]*><x xmlns='end'/></message>")
        stanza = came[: came.rindex(b"<message")]
        tree = parse(stanza, "jabber:client")
        assert (tree["from"], tree["id"]) == (address, str(number))
        assert b"<![CDATA[" not in stanza
        assert b"jabber:component:accept" not in stanza
        return stanza

    async def test_row_35_nothing_strange_poisons_a_resumption(self) -> None:
        server = await self.start()
        romeo, juliet = self.bound("romeo"), self.bound("juliet")
        romeo.send(f"<enable xmlns='{SM}' resume='true'/>")
        token = re.search(rb" id='([^']+)'", romeo.read_until(rb"<enabled[^>]*>"))
        assert token is not None
        romeo.reset()
        await server.event("session-detached")
        juliet.send(f"<enable xmlns='{SM}'/>")
        juliet.read_until(rb"<enabled[^>]*>")
        for number, strange in enumerate(STRANGE):
            juliet.send(f"<message to='{ROMEO}' id='{number}'>{strange}</message>")
        said = b""
        while f" h='{len(STRANGE)}'".encode() not in said:  # then they are on disk
            juliet.send(f"<r xmlns='{SM}'/>")
            said = juliet.read_until(rb"<a [^>]*/>")
        await server.kill()
        await server.restart()
        again = self.logged_in("romeo")
        again.send(f"<resume xmlns='{SM}' previd='{token.group(1).decode()}' h='0'/>")
        again.read_until(rb"<resumed[^>]*>")
        again.send(f"<message to='{ROMEO}'><x xmlns='end'/></message>")
        said = again.read_until(rb"<x xmlns='end'/></message>")
        said = re.sub(rb"<[ra] xmlns='urn:xmpp:sm:3'[^>]*/>", b"", said)
        stream = ElementTree.fromstring(HEADER.encode() + said + END.encode())
        ids = [one.get("id") for one in stream]
        assert ids[: len(STRANGE)] == [str(number) for number in range(len(STRANGE))]
        assert all(one.get("from") == JULIET for one in stream[: len(STRANGE)])

    async def test_row_23_what_looks_like_sql_is_text(self) -> None:
        server = await self.start()
        for text in SQL:
            quoted = text.replace("&", "&amp;").replace("'", "&apos;").replace('"', "&quot;")
            raw = self.logged_in()
            raw.send(f"<resume xmlns='{SM}' previd='{quoted}' h='0'/>")
            assert b"<item-not-found" in raw.read_until(rb"</failed>"), text
            bound = raw.bind(quoted)
            assert b"<jid>juliet@localhost/" in bound, text
            item = f"<item jid='a@example.org' name='{quoted}'><group>{quoted}</group></item>"
            raw.send(f"<iq type='set' id='s'>{ROSTER}{item}</query></iq>")
            raw.read_until(rb"<iq[^>]*id='s'[^>]*/>")
            raw.send(f"<iq type='get' id='g'>{ROSTER}</query></iq>")
            said = raw.read_until(rb"<iq[^>]*id='g'.*</iq>")
            tree = parse(said[said.rindex(b"<iq") :], "jabber:client")
            [read] = list(tree.query.elements())
            assert (read["name"], str(read.group)) == (text, text)
            publish = f"<publish node='{quoted}'><item/></publish>"
            pubsub = f"<pubsub xmlns='http://jabber.org/protocol/pubsub'>{publish}</pubsub>"
            raw.send(f"<iq type='set' id='p' to='{server.ready.push_host}'>{pubsub}</iq>")
            assert b"<item-not-found " in raw.read_until(rb"<iq[^>]*id='p'.*?</iq>"), text
            raw.close()


class ForgeryTest(Hostile):
    async def test_row_27_a_forged_roster_push_names_its_sender(self) -> None:
        await self.start()
        juliet, romeo = self.bound("juliet"), self.bound("romeo")
        push = f"{ROSTER}<item jid='evil@example.org' subscription='both'/></query>"
        romeo.send(f"<iq type='set' id='1' to='{JULIET}'>{push}</iq>")
        said = juliet.read_until(rb"</iq>")
        assert f" from='{ROMEO}'".encode() in said
        romeo.send(f"<iq type='set' id='2' to='juliet@localhost'>{push}</iq>")
        said = romeo.read_until(rb"id='2'.*</iq>")
        assert f"<service-unavailable xmlns='{STANZAS}'/>".encode() in said
        juliet.send(f"<iq type='get' id='3'>{ROSTER}</query></iq>")
        assert b"evil" not in juliet.read_until(rb"<iq[^>]*id='3'[^>]*(/>|>.*</iq>)")
        for sender in ("juliet@localhost", "localhost", JULIET, ""):
            raw = self.bound("romeo", "forger")
            sent = f"<iq type='set' id='1' to='{JULIET}' from='{sender}'>{push}</iq>"
            assert self.ended_by(raw, sent) == "invalid-from", sender
        service = self.component()
        service.send(f"<iq type='set' id='4' to='{JULIET}' from='component.localhost'>{push}</iq>")
        assert b" from='component.localhost'" in juliet.read_until(rb"id='4'.*</iq>")
        for sender in ("juliet@localhost", "localhost", "romeo@localhost"):
            service.send(f"<iq type='set' id='5' to='{JULIET}' from='{sender}'>{push}</iq>")
            assert stream_error(service.read_to_end()) == "invalid-from", sender
            service = self.component()

    async def test_row_28_a_forged_carbon_is_taken_out_at_each_door(self) -> None:
        await self.start()
        juliet, romeo = self.bound("juliet"), self.bound("romeo")
        juliet.send("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        juliet.read_until(rb"<iq[^>]*id='c'[^>]*/>")
        service = self.component()
        inner = f"<message xmlns='jabber:client' from='{ROMEO}' to='{JULIET}'><body>I owe you"
        forwarded = f"<forwarded xmlns='urn:xmpp:forward:0'>{inner}</body></message></forwarded>"
        for kind in ("received", "sent"):
            carbon = f"<{kind} xmlns='urn:xmpp:carbons:2'>{forwarded}</{kind}>"
            for sender, raw, said in (
                (ROMEO, romeo, ""),
                ("component.localhost", service, " from='component.localhost'"),
            ):
                raw.send(f"<message to='{JULIET}'{said}>{carbon}<body>{kind}</body></message>")
                came = juliet.read_until(rb"</message>")
                assert f" from='{sender}'".encode() in came
                assert f"<body>{kind}</body>".encode() in came
                assert b"carbons" not in came
                assert b"I owe you" not in came

    async def test_row_30_nobody_speaks_for_the_server_at_any_door(self) -> None:
        await self.start()
        juliet, romeo, service = self.bound("juliet"), self.bound("romeo"), self.component()
        claims = (
            ("<stanza-id xmlns='urn:xmpp:sid:0' by='romeo@localhost' id='1'/>", False),
            ("<stanza-id xmlns='urn:xmpp:sid:0' by='ROMEO@localhost' id='1'/>", False),
            ("<stanza-id xmlns='urn:xmpp:sid:0' by='localhost' id='1'/>", False),
            ("<i:stanza-id xmlns:i='urn:xmpp:sid:0' by='localhost' id='1'/>", False),
            ("<stanza-id xmlns='urn:xmpp:sid:0' by='room@example.org' id='1'/>", True),
            (
                "<delay xmlns='urn:xmpp:delay' from='localhost' stamp='2020-01-01T00:00:00Z'/>",
                False,
            ),
            (
                "<delay xmlns='urn:xmpp:delay' from='Localhost' stamp='2020-01-01T00:00:00Z'/>",
                False,
            ),
            ("<delay xmlns='urn:xmpp:delay' from='a@b' stamp='2020-01-01T00:00:00Z'/>", True),
        )
        for number, (claim, may_pass) in enumerate(claims):
            for raw, sender in ((juliet, ""), (service, " from='component.localhost'")):
                raw.send(f"<message to='{ROMEO}'{sender}>{claim}<body>{number}</body></message>")
                said = romeo.read_until(rb"</message>")
                assert f"<body>{number}</body>".encode() in said
                assert (b"urn:xmpp:" in said) == may_pass, claim


class AddressTest(Hostile):
    async def test_row_34_a_part_of_an_address_is_refused_rather_than_cut(self) -> None:
        await self.start()
        for resource, fits in (
            ("x" * 1023, True),
            ("x" * 1024, False),
            ("é" * 511, True),
            ("é" * 512, False),  # 1024 bytes
            ("\U0001f600" * 255, True),
            ("\U0001f600" * 256, False),
        ):
            raw = self.logged_in()
            said = raw.bind(resource)
            if fits:
                assert f"<jid>juliet@localhost/{resource}</jid>".encode() in said
            else:
                assert f"<bad-request xmlns='{STANZAS}'/>".encode() in said
        raw = self.bound()
        for to in (
            "x" * 1024 + "@localhost",
            "é" * 512 + "@localhost",
            "juliet@" + "x" * 1024,
            "juliet@localhost/" + "x" * 1024,
            "juliet@localhost/" + "\ufdfa" * 60,  # 18 times as long under NFKC, not as it is
            "ju liet@localhost",
            "\u0130@loc alhost",
            "@localhost",
            "juliet@",
            "juliet@localhost/",
        ):
            raw.send(f"<iq type='get' id='1' to='{to}'><ping xmlns='urn:xmpp:ping'/></iq>")
            said = raw.read_until(rb"</iq>")
            expected = "service-unavailable" if "\ufdfa" in to else "jid-malformed"
            assert f"<{expected} xmlns='{STANZAS}'/>".encode() in said, to
        for cut in (b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98"):
            sent = b"<presence to='" + b"x" * 1022 + cut + b"@localhost'/>"
            assert self.ended_by(self.bound(), sent) == "unsupported-encoding"
