"""What no honest client sends: each gets its exact answer, and the server never notices.

Bare sockets against the real process. The harness fails a test whose server logs a traceback.
"""

import base64
import re

from tests.patience import PATIENCE
from tests.scenarios.hostile import (
    BOMB,
    HEADER,
    SASL,
    SM,
    STANZAS,
    Hostile,
    plain,
    stream_error,
)


class XMLTest(Hostile):
    async def test_what_is_no_xml_of_a_stream_ends_it(self) -> None:
        await self.start()
        for sent, condition in (
            ("<a></b>", "not-well-formed"),
            ("<!-- a comment -->", "restricted-xml"),
            ("<?php x?>", "restricted-xml"),
            ("<message>&unknown;</message>", "restricted-xml"),
            ("<x:message/>", "bad-namespace-prefix"),
            ("words", "bad-format"),
            (b"<message>\xff</message>", "unsupported-encoding"),
            ("<message>\x01</message>", "not-well-formed"),
            ("<a>" * 50, "policy-violation"),
            ("<a " + " ".join(f"b{n}=''" for n in range(100)) + "/>", "policy-violation"),
            ("<message>" + "x" * 11_000, "policy-violation"),
        ):
            assert self.ended_by(self.opened(), sent) == condition, sent

    async def test_a_bomb_of_entities_does_not_go_off(self) -> None:
        await self.start()
        assert self.ended_by(self.raw(), BOMB + HEADER + "&h;") == "restricted-xml"

    async def test_after_login_a_stanza_may_have_256_kib_and_no_more(self) -> None:
        await self.start()
        raw = self.bound()
        body = "x" * 200_000
        raw.send(f"<message to='juliet@localhost/raw' id='big'><body>{body}</body></message>")
        assert len(raw.read_until(b"</message>")) > 200_000
        assert self.ended_by(raw, "<message><body>" + "x" * 300_000) == "policy-violation"

    async def test_a_wrong_header_is_answered_with_a_header_and_its_error(self) -> None:
        await self.start()
        for header, condition in (
            (HEADER.replace("localhost", "example.org"), "host-unknown"),
            (HEADER.replace(" to='localhost'", ""), "improper-addressing"),
            (HEADER.replace("jabber:client", "jabber:server"), "invalid-namespace"),
            (HEADER.replace("etherx.jabber.org", "example.org"), "invalid-namespace"),
            (HEADER.replace(" version='1.0'", ""), "unsupported-version"),
            (HEADER.replace("<stream:stream", "<stream:flow"), "bad-format"),
            ("GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
            ("<?xml version='1.0' encoding='latin1'?>" + HEADER, "unsupported-encoding"),
        ):
            raw = self.raw()
            raw.try_to_send(header)
            said = raw.read_to_end()
            assert said.startswith(b"<?xml version='1.0'?><stream:stream"), said
            assert stream_error(said) == condition, header


class NegotiationTest(Hostile):
    async def test_bytes_behind_starttls_never_act(self) -> None:
        server = await self.start()
        raw = self.opened()
        injected = plain("juliet", server.password("juliet"))
        raw.send(f"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>{HEADER}{injected}")
        said = raw.read_to_end()
        assert b"<success" not in said
        assert stream_error(said) == "policy-violation"
        assert server.events("session-bound") == []

    async def test_nothing_but_starttls_comes_before_tls(self) -> None:
        server = await self.start()
        compress = "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method>"
        for sent, condition in (
            (plain("juliet", server.password("juliet")), "not-authorized"),
            (f"<enable xmlns='{SM}'/>", "not-authorized"),
            (f"<r xmlns='{SM}'/>", "not-authorized"),
            ("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>", "not-authorized"),
            (f"{compress}</compress>", "unsupported-stanza-type"),
        ):
            assert self.ended_by(self.opened(), sent) == condition, sent
        assert server.events("session-bound") == []

    async def test_stanzas_before_login_and_before_binding_are_not_authorized(self) -> None:
        await self.start()
        message = "<message to='romeo@localhost'><body>hi</body></message>"
        ping = "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>"
        for sent in (message, ping, "<presence/>"):
            assert self.ended_by(self.secured(), sent) == "not-authorized", sent
            assert self.ended_by(self.logged_in(), sent) == "not-authorized", sent

    async def test_a_stream_stays_with_its_host_and_its_user(self) -> None:
        server = await self.start()
        login = plain("juliet", server.password("juliet"))
        for header, condition in (
            (HEADER.replace("localhost", server.ready.component_domain), "host-unknown"),
            (HEADER.replace(" to=", " from='romeo@localhost' to="), "invalid-from"),
        ):
            raw = self.secured()
            raw.send(login)
            raw.read_until(rb"<success[^>]*>(</success>)?")
            assert self.ended_by(raw, header) == condition

    async def test_failed_logins_are_told_alike_and_end_the_stream_at_last(self) -> None:
        server = await self.start()
        answers = set()
        for user in ("juliet", "nobody"):
            raw = self.secured()
            for _ in range(4):
                raw.send(plain(user, "wrong"))
                answers.add(raw.read_until(rb"</failure>"))
            raw.send(plain(user, "wrong"))
            said = raw.read_to_end()
            assert b"<not-authorized/>" in said
            assert stream_error(said) == "policy-violation"
        assert answers == {f"<failure xmlns='{SASL}'><not-authorized/></failure>".encode()}
        raw = self.secured()
        raw.send(plain("juliet", "wrong"))
        raw.read_until(rb"</failure>")
        raw.send(plain("juliet", server.password("juliet")))
        raw.read_until(rb"<success[^>]*>")

    async def test_nobody_logs_in_as_somebody_else(self) -> None:
        server = await self.start()
        for sent, condition in (
            (plain("juliet", server.password("juliet"), "romeo@localhost"), "invalid-authzid"),
            (f"<auth xmlns='{SASL}' mechanism='PLAIN'>!</auth>", "incorrect-encoding"),
            (f"<auth xmlns='{SASL}' mechanism='PLAIN'>AAAA</auth>", "malformed-request"),
            (f"<auth xmlns='{SASL}' mechanism='ANONYMOUS'/>", "invalid-mechanism"),
            (
                f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>"
                + base64.b64encode(b"n,a=romeo@localhost,n=juliet,r=abcdef").decode()
                + "</auth>",
                "invalid-authzid",
            ),
        ):
            raw = self.secured()
            raw.send(sent)
            assert f"<{condition}/>".encode() in raw.read_until(rb"</failure>"), sent

    async def test_a_resource_that_cannot_be_is_refused_and_another_can_be_bound(self) -> None:
        await self.start()
        raw = self.logged_in()
        assert b"<bad-request xmlns=" in raw.bind("&#127;" * 2_000)
        assert b"juliet@localhost/fine" in raw.bind("fine")


class StanzaTest(Hostile):
    async def test_a_wrong_sender_ends_the_stream(self) -> None:
        await self.start()
        for sender in ("romeo@localhost", "juliet@localhost/other", "localhost", "@"):
            raw = self.bound(resource="forger")
            sent = f"<message from='{sender}' to='romeo@localhost'><body>hi</body></message>"
            assert self.ended_by(raw, sent) == "invalid-from", sender

    async def test_nobody_speaks_for_the_server_in_a_delay_or_a_stanza_id(self) -> None:
        await self.start()
        juliet, romeo = self.bound("juliet"), self.bound("romeo")
        juliet.send(
            "<message to='romeo@localhost/raw' id='m'><body>hi</body>"
            "<delay xmlns='urn:xmpp:delay' from='localhost' stamp='2020-01-01T00:00:00Z'/>"
            "<stanza-id xmlns='urn:xmpp:sid:0' by='romeo@localhost' id='1'/>"
            "<stanza-id xmlns='urn:xmpp:sid:0' by='room@example.org' id='2'/></message>"
        )
        said = romeo.read_until(b"</message>")
        assert b"delay" not in said
        assert b"by='romeo@localhost'" not in said
        assert b"by='room@example.org'" in said
        assert b"from='juliet@localhost/raw'" in said

    async def test_every_request_is_answered(self) -> None:
        await self.start()
        raw = self.bound()
        for sent, condition in (
            ("<iq type='get' id='1'><query xmlns='urn:nobody'/></iq>", "service-unavailable"),
            ("<iq type='get' id='1' to='localhost'><a xmlns='urn:b'/></iq>", "service-unavailable"),
            ("<iq type='get' id='1'/>", "bad-request"),
            ("<iq type='get' id='1'><a xmlns='a'/><b xmlns='b'/></iq>", "bad-request"),
            ("<iq type='get' id='1' to='a@b@c'><a xmlns='a'/></iq>", "jid-malformed"),
            (
                "<iq type='get' id='1' to='example.org'><a xmlns='a'/></iq>",
                "remote-server-not-found",
            ),
            (
                "<iq type='get' id='1' to='romeo@localhost/no'><a xmlns='a'/></iq>",
                "service-unavailable",
            ),
            (
                "<iq type='get' id='1' to='nobody@localhost'><a xmlns='a'/></iq>",
                "service-unavailable",
            ),
        ):
            raw.send(sent)
            said = raw.read_until(b"</iq>")
            assert f"<{condition} xmlns='{STANZAS}'".encode() in said, (sent, said)
            assert b"id='1'" in said


class ManagementTest(Hostile):
    async def test_a_count_beyond_what_was_sent_ends_the_stream_and_says_so(self) -> None:
        await self.start()
        raw = self.bound()
        raw.send(f"<enable xmlns='{SM}' resume='true'/>")
        raw.read_until(rb"<enabled[^>]*>")
        raw.send(f"<a xmlns='{SM}' h='10'/>")
        said = raw.read_to_end()
        assert stream_error(said) == "undefined-condition"
        assert f"<handled-count-too-high xmlns='{SM}' h='10' send-count='0'/>".encode() in said

    async def test_what_is_no_count_ends_the_stream(self) -> None:
        await self.start()
        for h in ("", "-1", "x", str(2**32), "9" * 5_000):
            raw = self.bound()
            raw.send(f"<enable xmlns='{SM}'/>")
            raw.read_until(rb"<enabled[^>]*>")
            assert self.ended_by(raw, f"<a xmlns='{SM}' h='{h}'/>") == "bad-format", h

    async def test_what_comes_at_the_wrong_time_fails_and_nothing_else_happens(self) -> None:
        await self.start()
        raw = self.logged_in()
        raw.send(f"<enable xmlns='{SM}'/>")
        assert b"<unexpected-request" in raw.read_until(rb"</failed>")
        raw.send(f"<resume xmlns='{SM}' previd='nobody-knows' h='0'/>")
        assert b"<item-not-found" in raw.read_until(rb"</failed>")
        raw.bind("late")
        raw.send(f"<enable xmlns='{SM}'/>")
        raw.read_until(rb"<enabled[^>]*>")
        raw.send(f"<resume xmlns='{SM}' previd='nobody-knows' h='0'/>")
        assert b"<unexpected-request" in raw.read_until(rb"</failed>")
        raw.send(f"<enable xmlns='{SM}'/>")
        assert b"<unexpected-request" in raw.read_until(rb"</failed>")
        assert stream_error(raw.read_to_end()) == "policy-violation"

    async def test_a_resumption_says_what_it_resumes_and_from_where(self) -> None:
        await self.start()
        raw = self.logged_in()
        for attributes in (
            "h='0'",
            "previd='x'",
            "previd='x' h='-1'",
            f"previd='x' h='{'9' * 5000}'",
        ):
            raw.send(f"<resume xmlns='{SM}' {attributes}/>")
            assert b"<bad-request" in raw.read_until(rb"</failed>"), attributes
        assert b"juliet@localhost/fine" in raw.bind("fine")

    async def test_a_session_is_resumed_by_nobody_but_its_account(self) -> None:
        await self.start()
        juliet = self.bound("juliet")
        juliet.send(f"<enable xmlns='{SM}' resume='true'/>")
        enabled = juliet.read_until(rb"<enabled[^>]*>").decode()
        token = re.search(r" id='([^']+)'", enabled)
        assert token is not None
        romeo = self.logged_in("romeo")
        romeo.send(f"<resume xmlns='{SM}' previd='{token.group(1)}' h='0'/>")
        assert b"<item-not-found" in romeo.read_until(rb"</failed>")


class GarbageTest(Hostile):
    async def test_sixteen_streams_of_garbage_disturb_nobody(self) -> None:
        server = await self.start()
        juliet, romeo = server.client("juliet", "phone"), server.client("romeo", "desk")
        for client in (juliet, romeo):
            await client.connect()
            client.presence()
        garbage = [b"\x00\xff" * 500, b"<" * 5_000, HEADER.encode() * 3, BOMB.encode()]
        for turn in range(4):
            for data in garbage:
                raw = self.raw()
                raw.try_to_send(data)
                romeo.message(juliet.jid.full, f"still here {turn}")
                message = await juliet.next_stanza("message", timeout=PATIENCE)
                assert message["from"] == romeo.jid.full
        assert server.child.code is None
