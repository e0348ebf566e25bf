"""Attacks on the way to a session, rows 7 to 11, 18 and 33 of docs/security.rst.

What a wrong step is answered with in general is in test_attacks_stream_errors.py.
"""

import base64
import re
from collections.abc import Iterator

import pytest
from OpenSSL import SSL

from pushd.wire.sasl import SCRAM, ScramClient
from pushd.wire.secret import Secret
from tests.scenarios.hostile import HEADER, SASL, SM, Hostile, plain, stream_error
from tests.scenarios.raw import Raw

COMPRESS = "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>"
STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
BIND = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
SUCCESS = rb"<success[^>]*>(</success>)?"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def failure(said: bytes) -> str:
    found = re.search(rb"<failure xmlns='[^']+'><([a-z-]+)/>", said)
    assert found is not None, said
    return found.group(1).decode()


class CompressionTest(Hostile):
    async def test_row_07_compression_is_not_offered_and_refused_at_each_stage(self) -> None:
        await self.start()
        raw = self.raw()
        jid, password = self.server.jid("juliet"), self.server.password("juliet")
        features = raw.log_in(self.server.ready.ca, jid, password)
        assert b"compress" not in features
        for opened in (self.opened, self.secured, self.logged_in, self.bound):
            assert self.ended_by(opened(), COMPRESS) == "unsupported-stanza-type"


class TLSTest(Hostile):
    async def test_row_08_nothing_but_starttls_is_done_before_tls(self) -> None:
        """Whatever follows in the same packet is not done either."""
        server = await self.start()
        login = plain("juliet", server.password("juliet"))
        for sent, condition in (
            (COMPRESS, "unsupported-stanza-type"),
            (login, "not-authorized"),
            (f"<resume xmlns='{SM}' previd='x' h='0'/>", "not-authorized"),
            (f"<enable xmlns='{SM}'/>", "not-authorized"),
            (f"<r xmlns='{SM}'/>", "not-authorized"),
            (f"<a xmlns='{SM}' h='0'/>", "not-authorized"),
            (BIND, "not-authorized"),
            ("<presence/>", "not-authorized"),
            ("<message to='romeo@localhost'><body>hi</body></message>", "not-authorized"),
            ("<handshake/>", "unsupported-stanza-type"),
            ("<authenticate xmlns='urn:xmpp:sasl:2'/>", "unsupported-stanza-type"),
        ):
            raw = self.opened()
            assert raw.unread == b""
            assert self.ended_by(raw, sent + login + STARTTLS) == condition, sent
        features = self.raw().open()
        assert (
            b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>" in features
        )
        assert b"mechanism" not in features
        assert server.events("session-bound") == []

    async def test_row_09_what_follows_starttls_in_the_clear_ends_the_stream(self) -> None:
        """In one packet or in the next, as long as it comes before the handshake."""
        server = await self.start()
        login = plain("juliet", server.password("juliet"))
        for behind in (HEADER, HEADER + login, "<", "\0", "</stream:stream>", login):
            raw = self.opened()
            raw.send(STARTTLS + behind)
            said = raw.read_to_end()
            assert b"<proceed" not in said, behind
            assert stream_error(said) == "policy-violation", behind
        raw = self.opened()
        raw.send(STARTTLS)
        raw.read_until(rb"<proceed[^>]*>")
        raw.try_to_send(HEADER + login)
        said = raw.read_to_end()  # at most an alert of TLS, and the end
        assert b"<" not in said, said
        assert server.events("session-bound") == []

    async def test_row_09_what_was_known_in_the_clear_is_forgotten_under_tls(self) -> None:
        """A new stream, a new parser: an element that was left open is not closed now."""
        server = await self.start()
        raw = self.raw()
        raw.send(HEADER.replace(" to=", " from='romeo@localhost' to=") + STARTTLS)
        raw.read_until(rb"<proceed[^>]*>")
        raw.start_tls(server.ready.ca)
        header = raw.open()
        assert b"romeo" not in header
        raw = self.raw()
        raw.secure(server.ready.ca)
        raw.send(plain("juliet", server.password("juliet")) + "</stream:stream>")
        said = raw.read_to_end()
        assert b"<success" in said
        assert stream_error(said) == "not-well-formed"

    async def test_row_18_a_client_cannot_renegotiate(self) -> None:
        server = await self.start()
        raw = Raw(server.ready.c2s_tls)
        self.addCleanup(raw.close)
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        raw._socket.setblocking(True)
        connection = SSL.Connection(context, raw._socket)
        connection.set_tlsext_host_name(b"localhost")
        connection.set_connect_state()
        connection.do_handshake()
        assert connection.get_protocol_version_name() == "TLSv1.2"
        connection.send(HEADER.encode())
        assert connection.recv(1 << 16).startswith(b"<?xml")
        connection.renegotiate()
        with pytest.raises(SSL.Error) as refused:
            connection.do_handshake()
        assert "no renegotiation" in str(refused.value)


class IdentityTest(Hostile):
    async def test_row_10_host_and_user_stay_the_same_across_restarts(self) -> None:
        server = await self.start()
        login = plain("juliet", server.password("juliet"))
        other = server.ready.push_host
        for name, change, condition in (
            ("another host", ("to='localhost'", f"to='{other}'"), "host-unknown"),
            ("a stranger's host", ("to='localhost'", "to='example.org'"), "host-unknown"),
            ("no host", (" to='localhost'", ""), "improper-addressing"),
            ("another user", (" to=", " from='romeo@localhost' to="), "invalid-from"),
            ("another host's user", (" to=", " from='juliet@example.org' to="), "invalid-from"),
            ("another host's", (" to=", " from='example.org' to="), "invalid-from"),
            ("no address", (" to=", " from='@' to="), "invalid-from"),
        ):
            header = HEADER.replace(*change)
            assert header != HEADER
            raw = self.secured()
            raw.send(login)
            raw.read_until(SUCCESS)
            assert self.ended_by(raw, header) == condition, name
            if condition != "invalid-from":  # nobody has said who he is before the login
                raw = self.opened()
                raw.send(STARTTLS)
                raw.read_until(rb"<proceed[^>]*>")
                raw.start_tls(server.ready.ca)
                assert self.ended_by(raw, header) == condition, name
        for claimed, greeted in (
            ("juliet@localhost/any", b" to='juliet@localhost'"),
            ("localhost", b" to='localhost'"),  # which is nobody else
        ):
            raw = self.secured()
            raw.send(login)
            raw.read_until(SUCCESS)
            raw.send(HEADER.replace(" to=", f" from='{claimed}' to="))
            assert greeted in raw.read_until(rb"</stream:features>")
            assert b"juliet@localhost/" in raw.bind("r")

    async def test_row_11_nobody_acts_for_another_with_any_mechanism(self) -> None:
        server = await self.start()
        word = server.password("juliet")
        for authzid in (
            "romeo@localhost",
            "romeo",
            "juliet",
            "juliet@localhost/phone",
            "juliet@example.org",
            "localhost",
            "@",
        ):
            raw = self.secured()
            raw.send(plain("juliet", word, authzid))
            assert failure(raw.read_until(b"</failure>")) == "invalid-authzid", authzid
            for mechanism, first in self.firsts("juliet", word, authzid):
                raw = self.secured()
                raw.send(f"<auth xmlns='{SASL}' mechanism='{mechanism}'>{first}</auth>")
                said = raw.read_until(b"</failure>|</challenge>")
                assert failure(said) == "invalid-authzid", (mechanism, authzid)
        for authzid in ("", "juliet@localhost", "Juliet@LOCALHOST"):
            raw = self.secured()
            raw.send(plain("juliet", word, authzid))
            raw.read_until(SUCCESS)

    async def test_row_11_an_identity_cannot_be_slipped_in_later(self) -> None:
        """The final message of SCRAM repeats the identity of the first; a changed one fails."""
        server = await self.start()
        for mechanism, (hash_name, plus) in SCRAM.items():
            if plus:
                continue
            client = ScramClient(hash_name, "juliet", server.password("juliet"))
            raw = self.secured()
            first = encoded(client.first())
            raw.send(f"<auth xmlns='{SASL}' mechanism='{mechanism}'>{first}</auth>")
            said = raw.read_until(b"</challenge>").decode()
            challenge = base64.b64decode(re.sub(r".*>([^<]+)</challenge>", r"\1", said))
            final = client.final(challenge).decode()
            changed = encoded(b"n,a=romeo@localhost,")
            final = re.sub(r"^c=[^,]+", f"c={changed}", final)
            raw.send(f"<response xmlns='{SASL}'>{encoded(final.encode())}</response>")
            assert failure(raw.read_until(b"</failure>")) == "not-authorized", mechanism

    def firsts(self, user: str, word: Secret, authzid: str) -> Iterator[tuple[str, str]]:
        """Each mechanism of SCRAM without binding, with its first message for this identity."""
        for mechanism, (hash_name, plus) in SCRAM.items():
            if not plus:
                message = ScramClient(hash_name, user, word).first().decode()
                yield mechanism, encoded(message.replace("n,,", f"n,a={authzid},", 1).encode())

    async def test_row_33_a_mechanism_that_is_not_offered_is_not_taken(self) -> None:
        server = await self.start()
        raw = self.raw()
        features = raw.secure(server.ready.ca).decode()
        offered = re.findall(r"<mechanism>([^<]+)</mechanism>", features)
        assert sorted(offered) == sorted([*SCRAM, "PLAIN"])
        for mechanism in (
            "ANONYMOUS",
            "EXTERNAL",
            "DIGEST-MD5",
            "CRAM-MD5",
            "LOGIN",
            "OAUTHBEARER",
            "SCRAM-SHA-224",
            "SCRAM-MD5",
            "scram-sha-1",
            "plain",
            "PLAIN ",
            "",
        ):
            assert mechanism not in offered
            raw = self.secured()
            raw.send(f"<auth xmlns='{SASL}' mechanism='{mechanism}'>{encoded(b'juliet')}</auth>")
            assert failure(raw.read_until(b"</failure>")) == "invalid-mechanism", mechanism
        raw = self.secured()
        raw.send(f"<auth xmlns='{SASL}'/>")
        assert failure(raw.read_until(b"</failure>")) == "invalid-mechanism"
        assert server.events("session-bound") == []

    async def test_row_33_channel_binding_cannot_be_talked_down(self) -> None:
        """RFC 5802 §6: a client that could have bound the channel is not let in without."""
        server = await self.start()
        for flag, mechanism in (
            ("y", "SCRAM-SHA-256"),  # somebody has hidden that -PLUS is offered
            ("p=tls-unique", "SCRAM-SHA-256-PLUS"),  # not with TLS 1.3
            ("p=none", "SCRAM-SHA-256-PLUS"),
        ):
            raw = self.secured()
            first = encoded(f"{flag},,n=juliet,r=abcdefgh".encode())
            raw.send(f"<auth xmlns='{SASL}' mechanism='{mechanism}'>{first}</auth>")
            assert failure(raw.read_until(b"</failure>")) == "not-authorized", flag
        for flag, mechanism in (
            ("n", "SCRAM-SHA-256-PLUS"),
            ("p=tls-exporter", "SCRAM-SHA-256"),
            ("x", "SCRAM-SHA-256"),
        ):
            raw = self.secured()
            first = encoded(f"{flag},,n=juliet,r=abcdefgh".encode())
            raw.send(f"<auth xmlns='{SASL}' mechanism='{mechanism}'>{first}</auth>")
            assert failure(raw.read_until(b"</failure>")) == "malformed-request", flag
        assert server.events("session-bound") == []
