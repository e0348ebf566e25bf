"""A session of the client: stanzas and requests, and its end."""

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from pushd.client.client import Client
from pushd.client.errors import ClientError, Disconnected, Refused, TimedOut
from pushd.wire.element import child, element, text
from pushd.wire.errors import Forbidden
from pushd.wire.namespaces import NS_CLIENT, NS_ROSTER, NS_STANZA_ERRORS
from pushd.wire.stream import CLOSING
from tests.patience import LONGEST
from tests.unit.client.scripted import Peer, Server

PING = element("urn:xmpp:ping", "ping")


async def session(case: TestCase, jid: str = "juliet@example.net/phone") -> tuple[Client, Peer]:
    server = Server(case)
    client = server.client(case, jid)
    await client.connect()
    return client, server.peer


def message(number: int) -> bytes:
    return f"<message from='romeo@example.net'><body>{number}</body></message>".encode()


class StanzaTest(TestCase):
    timeout = LONGEST

    async def test_what_is_said_arrives_as_it_was_said(self) -> None:
        client, peer = await session(self)
        client.presence()
        id = client.message("romeo@example.net", "Take all myself", element("urn:x", "y"))
        client.send(b"<message to='romeo@example.net' id='raw'/>")
        said = [await peer.next() for _ in range(3)]
        assert said[0].raw == b"<presence/>"
        assert said[1].attributes == {"to": "romeo@example.net", "type": "chat", "id": id}
        assert said[1].children == (f"{NS_CLIENT} body", "urn:x y")
        assert said[2].id == "raw"

    async def test_stanzas_wait_in_the_inbox_in_order_until_they_are_taken(self) -> None:
        client, peer = await session(self)
        peer.send(message(1) + message(2) + b"<presence from='nurse@example.net'/>")
        assert (await client.next_stanza("presence"))["from"] == "nurse@example.net"
        first = await client.next_stanza("message")
        assert text(first.body) == "1"
        assert [text(stanza.body) for stanza in client.inbox] == ["2"]

    async def test_a_stanza_can_be_waited_for_by_what_is_in_it(self) -> None:
        client, peer = await session(self)
        waiting = Deferred.fromCoroutine(
            client.next_stanza(lambda stanza: text(child(stanza, NS_CLIENT, "body")) == "2")
        )
        peer.send(message(1) + message(2) + message(3))
        assert text((await waiting).body) == "2"
        await client.next_stanza("message")
        assert text((await client.next_stanza("message")).body) == "3"

    async def test_what_does_not_come_is_waited_for_only_so_long(self) -> None:
        client, peer = await session(self)
        with pytest.raises(TimedOut) as caught:
            await client.next_stanza("message", timeout=0.01)
        assert str(caught.value) == "no <message/> within 0.01 s"
        peer.send(message(1))
        assert text((await client.next_stanza("message")).body) == "1"

    async def test_who_no_longer_waits_takes_nothing(self) -> None:
        client, peer = await session(self)
        waiting = Deferred.fromCoroutine(client.next_stanza("message"))
        waiting.cancel()
        with pytest.raises(CancelledError):
            await waiting
        peer.send(message(1))
        assert text((await client.next_stanza("message")).body) == "1"


class RequestTest(TestCase):
    timeout = LONGEST

    async def test_a_request_gives_its_result(self) -> None:
        client, peer = await session(self)
        asking = Deferred.fromCoroutine(client.iq("get", "example.net", PING))
        request = await peer.next()
        assert request.attributes == {"type": "get", "to": "example.net", "id": request.id}
        peer.send(f"<iq type='result' id='{request.id}' from='example.net'/>".encode())
        assert (await asking)["from"] == "example.net"
        assert client.inbox == []

    async def test_a_refusal_says_condition_type_and_text(self) -> None:
        client, peer = await session(self)
        asking = Deferred.fromCoroutine(client.iq("set", "", PING))
        request = await peer.next()
        assert "to" not in request.attributes
        peer.send(
            f"<iq type='error' id='{request.id}'><error type='auth'>"
            f"<forbidden xmlns='{NS_STANZA_ERRORS}'/>"
            f"<text xmlns='{NS_STANZA_ERRORS}'>not yours</text><why xmlns='urn:x'/>"
            "</error></iq>".encode()
        )
        with pytest.raises(Refused) as caught:
            await asking
        refused = caught.value
        assert (refused.condition, refused.type, refused.text) == ("forbidden", "auth", "not yours")
        assert child(refused.error, "urn:x", "why") is not None

    async def test_an_answer_that_nobody_waits_for_is_kept(self) -> None:
        client, peer = await session(self)
        with pytest.raises(TimedOut) as caught:
            await client.iq("get", "", PING, timeout=0.01)
        assert "urn:xmpp:ping" in str(caught.value)
        request = await peer.next()
        peer.send(f"<iq type='result' id='{request.id}'/>".encode())
        assert (await client.next_stanza("iq"))["id"] == request.id

    async def test_pings_and_roster_pushes_are_answered(self) -> None:
        _, peer = await session(self)
        for payload in ("<ping xmlns='urn:xmpp:ping'/>", f"<query xmlns='{NS_ROSTER}'/>"):
            peer.send(f"<iq type='set' id='a' from='x@example.net'>{payload}</iq>".encode())
            answer = await peer.next()
            assert answer.attributes == {"type": "result", "id": "a", "to": "x@example.net"}
            assert answer.children == ()

    async def test_unknown_requests_are_refused(self) -> None:
        _, peer = await session(self)
        peer.send(b"<iq type='get' id='a'><time xmlns='urn:xmpp:time'/></iq>")
        answer = await peer.next()
        assert answer.type == "error"
        assert "to" not in answer.attributes
        assert b"<service-unavailable" in answer.raw

    async def test_a_request_can_be_answered_by_whoever_wants_to(self) -> None:
        client, peer = await session(self)
        client.on_request("urn:x a", lambda request: element("urn:x", "b"))

        def refuse(request: object) -> None:
            raise Forbidden("no")

        client.on_request("urn:x c", refuse)
        peer.send(b"<iq type='get' id='1'><a xmlns='urn:x'/></iq>")
        peer.send(b"<iq type='get' id='2'><c xmlns='urn:x'/></iq>")
        answer, refusal = await peer.next(), await peer.next()
        assert answer.children == ("urn:x b",)
        assert (refusal.id, refusal.type) == ("2", "error")
        assert b"<forbidden" in refusal.raw


class EndTest(TestCase):
    timeout = LONGEST

    async def test_closing_says_farewell(self) -> None:
        client, peer = await session(self)
        await client.close()
        assert not client.is_connected
        assert "cleanly" in await peer.gone()
        with pytest.raises(Disconnected):
            client.presence()

    async def test_the_server_may_end_the_stream_and_say_why(self) -> None:
        client, peer = await session(self)
        peer.send(
            b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
            b"<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>replaced</text></stream:error>"
        )
        peer.stream.close(CLOSING)
        ended = await client.disconnected()
        assert (ended.condition, ended.text) == ("conflict", "replaced")
        assert str(ended) == "conflict: replaced"

    async def test_a_server_that_talks_nonsense_is_told_so_and_left(self) -> None:
        client, peer = await session(self)
        peer.send(b"<message></presence>")
        ended = await client.disconnected()
        assert ended.condition == "not-well-formed"
        assert (await peer.next()).name == "error"

    async def test_whoever_waits_hears_of_the_end(self) -> None:
        client, peer = await session(self)
        asking = Deferred.fromCoroutine(client.iq("get", "", PING))
        waiting = Deferred.fromCoroutine(client.next_stanza("message"))
        await peer.next()
        peer.stream.abort()
        for one in (asking, waiting):
            with pytest.raises(Disconnected):
                await one
        with pytest.raises(Disconnected):
            await client.next_stanza("message")

    async def test_what_came_before_the_end_can_still_be_taken(self) -> None:
        client, peer = await session(self)
        peer.send(message(1))
        peer.stream.close(CLOSING)
        await client.disconnected()
        assert text((await client.next_stanza("message")).body) == "1"

    async def test_a_cut_is_a_reset_without_a_farewell(self) -> None:
        client, peer = await session(self)
        client.cut()
        assert not client.is_connected
        reason = await peer.gone()
        assert "cleanly" not in reason
        assert (await client.disconnected()).text == "cut by the client"

    async def test_after_its_end_a_client_can_connect_anew(self) -> None:
        server = Server(self)
        client = server.client(self)
        await client.connect()
        client.cut()
        await client.connect()
        client.presence()
        assert (await server.peer.next()).raw == b"<presence/>"

    async def test_nothing_is_done_without_a_connection(self) -> None:
        client = Server(self).client(self)
        with pytest.raises(Disconnected):
            client.presence()
        for impossible in (client.resume, client.acked, client.disconnected):
            with pytest.raises(ClientError):
                await impossible()
