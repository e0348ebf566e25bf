"""XEP-0198 on the client's side: counts, acknowledgements, resumption."""

from collections.abc import Callable

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from pushd.client.client import Client
from pushd.client.errors import Disconnected, NotResumed, Refused, TimedOut
from pushd.client.managed import Managed
from pushd.wire.acks import AckQueue, Handled
from pushd.wire.element import element, text
from pushd.wire.errors import StreamError
from pushd.wire.namespaces import NS_SM, NS_STANZA_ERRORS
from tests.patience import LONGEST
from tests.unit.client.scripted import Peer, Server

ENABLED = f"<enabled xmlns='{NS_SM}' resume='true' id='some-id' max='300'/>".encode()
REQUEST = f"<r xmlns='{NS_SM}'/>".encode()
MESSAGE = b"<message from='romeo@example.net'><body>Call me but love</body></message>"


def answer(h: int) -> bytes:
    return f"<a xmlns='{NS_SM}' h='{h}'/>".encode()


def resumed(h: int) -> bytes:
    return f"<resumed xmlns='{NS_SM}' h='{h}' previd='some-id'/>".encode()


def enabled(sm: Managed | None = None) -> Managed:
    sm = sm or Managed()
    sm.enabled({"resume": "true", "id": "some-id"})
    return sm


def test_only_stanzas_count_as_sent() -> None:
    sm = Managed()
    for stanza in (
        b"<message/>",
        b"<presence type='x'/>",
        b"<iq\n id='1'/>",
        b"<message>a</message>",
    ):
        assert sm.sent(stanza, 0.0)
    for other in (b"<r xmlns='urn:xmpp:sm:3'/>", b"<messages/>", b"<active xmlns='u'/>", b""):
        assert not sm.sent(other, 0.0)
    assert len(sm.again()) == 4


def test_nothing_counts_as_received_before_the_server_enables_it() -> None:
    sm = Managed()
    sm.received()
    assert sm.answer() == answer(0)
    enabled(sm)
    sm.received()
    assert sm.answer() == answer(1)


def test_the_hold_is_known_when_the_server_says_it() -> None:
    sm = Managed()
    sm.enabled({"resume": "1", "id": "a&b", "max": "600"})
    assert (sm.id, sm.hold) == ("a&b", 600)
    assert sm.resume() == f"<resume xmlns='{NS_SM}' previd='a&amp;b' h='0'/>".encode()


def test_a_session_without_resume_has_no_id() -> None:
    sm = Managed()
    sm.enabled({"id": "some-id", "max": "soon"})
    assert (sm.id, sm.hold) == ("", None)


def test_counts_wrap_at_two_to_the_thirty_second() -> None:
    sm = enabled()
    sm.handled = Handled(2**32 - 1)
    sm.unacked = AckQueue(2**32 - 2)
    for _ in range(3):
        sm.received()
        sm.sent(b"<message/>", 0.0)
    assert sm.answer() == answer(2)
    sm.acknowledge("4294967295")
    assert len(sm.again()) == 2
    sm.acknowledge("1")
    assert sm.again() == []


@pytest.mark.parametrize("h", ["", "-1", "one", "4294967296", "\u0661"])
def test_what_is_no_count_is_refused(h: str) -> None:
    with pytest.raises(StreamError) as caught:
        Managed().acknowledge(h)
    assert caught.value.condition == "bad-format"


def test_a_count_above_what_was_sent_is_refused_with_both_counts() -> None:
    sm = Managed()
    sm.sent(b"<message/>", 0.0)
    with pytest.raises(StreamError) as caught:
        sm.acknowledge("2")
    assert caught.value.condition == "undefined-condition"
    assert caught.value.extra is not None
    assert caught.value.extra.attributes == {"h": "2", "send-count": "1"}
    assert sm.again() == [b"<message/>"]


class ManagedTest(TestCase):
    timeout = LONGEST

    async def session(
        self, said: bytes = ENABLED, before: Callable[[Client], object] = lambda client: None
    ) -> tuple[Client, Peer]:
        """A session with stream management; `before` is done before it is enabled."""
        self.server = Server(self)
        client = self.server.client(self)
        await client.connect()
        before(client)
        enabling = Deferred.fromCoroutine(client.enable_sm(max=600))
        self.enable = await self.server.peer.next()
        self.server.peer.send(said)
        await enabling
        return client, self.server.peer

    async def resumption(self, client: Client, said: bytes) -> tuple[Peer, "Deferred[None]"]:
        """Have the client resume, and answer with `said`; gives the new connection."""
        resuming = Deferred.fromCoroutine(client.resume())
        peer = await self.server.arrival()
        self.resume = await peer.next()
        peer.send(said)
        return peer, resuming

    async def test_enabling_asks_and_keeps_what_the_server_grants(self) -> None:
        client, _ = await self.session()
        assert self.enable.attributes == {"resume": "true", "max": "600"}
        assert client.sm is not None
        assert (client.sm.id, client.sm.hold) == ("some-id", 300)

    async def test_a_server_that_cannot_says_so(self) -> None:
        refusal = f"<unexpected-request xmlns='{NS_STANZA_ERRORS}'/>"
        with pytest.raises(Refused) as caught:
            await self.session(f"<failed xmlns='{NS_SM}'>{refusal}</failed>".encode())
        assert caught.value.condition == "unexpected-request"

    async def test_the_server_is_told_how_much_was_handled(self) -> None:
        _, peer = await self.session(MESSAGE + ENABLED + MESSAGE + REQUEST)
        assert (await peer.next()).raw == answer(1)
        peer.send(MESSAGE + b"<presence/>" + answer(0) + REQUEST)
        assert (await peer.next()).raw == answer(3)

    async def test_a_client_may_keep_its_acknowledgements_to_itself(self) -> None:
        client, peer = await self.session()
        client.acknowledges = False
        peer.send(MESSAGE + REQUEST)
        await client.next_stanza("message")
        client.presence()
        assert (await peer.next()).name == "presence"

    async def test_what_came_is_acknowledged_before_the_stream_is_closed(self) -> None:
        client, peer = await self.session()
        peer.send(MESSAGE)
        await client.next_stanza("message")
        await client.close()
        assert (await peer.next()).raw == answer(1)

    async def test_everything_said_since_enabling_awaits_acknowledgement(self) -> None:
        client, peer = await self.session(before=lambda client: client.presence())
        client.message("romeo@example.net", "one")
        client.message("romeo@example.net", "two")
        acked = Deferred.fromCoroutine(client.acked())
        assert [(await peer.next()).name for _ in range(4)][1:] != ["presence"]
        peer.send(answer(1))
        peer.send(MESSAGE)
        await client.next_stanza("message")
        assert not acked.called
        peer.send(answer(2))
        await acked
        await client.acked()

    async def test_an_acknowledgement_that_does_not_come_is_waited_for_only_so_long(self) -> None:
        client, peer = await self.session()
        client.presence()
        with pytest.raises(TimedOut):
            await client.acked(timeout=0.01)
        peer.send(answer(1))
        await client.acked()

    async def test_a_server_that_counts_too_much_is_left_with_an_error(self) -> None:
        client, peer = await self.session()
        client.presence()
        await peer.next()
        peer.send(answer(2))
        error = await peer.next()
        assert error.children == (
            "urn:ietf:params:xml:ns:xmpp-streams undefined-condition",
            "urn:ietf:params:xml:ns:xmpp-streams text",
            f"{NS_SM} handled-count-too-high",
        )
        assert (await client.disconnected()).condition == "undefined-condition"

    async def test_a_resumed_session_says_again_what_was_not_handled(self) -> None:
        client, peer = await self.session()
        peer.send(MESSAGE)
        await client.next_stanza("message")
        for number in range(3):
            client.send(f"<message id='{number}'/>".encode())
        client.cut()
        client.send(b"<message id='3'/>")
        peer, resuming = await self.resumption(client, resumed(1) + MESSAGE)
        assert self.resume.attributes == {"previd": "some-id", "h": "1"}
        await resuming
        assert [(await peer.next()).id for _ in range(3)] == ["1", "2", "3"]
        assert client.is_connected
        assert client.jid.full == "juliet@example.net/phone"
        assert self.server.bound == 1
        peer.send(REQUEST)
        assert (await peer.next()).raw == answer(2)
        peer.send(answer(4))
        await client.acked()

    async def test_who_waited_before_the_cut_is_answered_after_it(self) -> None:
        client, peer = await self.session()
        asking = Deferred.fromCoroutine(client.iq("get", "", element("urn:xmpp:ping", "ping")))
        acked = Deferred.fromCoroutine(client.acked())
        waiting = Deferred.fromCoroutine(client.next_stanza("message"))
        request = await peer.next()
        peer.stream.abort()
        await client.disconnected()
        peer, resuming = await self.resumption(client, resumed(0))
        await resuming
        assert (await peer.next()).id == request.id
        assert (await peer.next()).name == "r"
        peer.send(answer(1) + MESSAGE + f"<iq type='result' id='{request.id}'/>".encode())
        await acked
        assert text((await waiting).body) == "Call me but love"
        await asking

    async def test_a_silent_client_can_resume_while_its_connection_still_stands(self) -> None:
        client, peer = await self.session()
        client.fall_silent()
        client.send(b"<message id='unheard'/>")
        peer.send(MESSAGE + REQUEST)
        new_peer, resuming = await self.resumption(client, resumed(0) + MESSAGE)
        assert self.resume.attributes["h"] == "0"
        await resuming
        assert peer.lost_by == ""
        assert (await new_peer.next()).id == "unheard"
        await client.next_stanza("message")
        assert client.inbox == []
        await client.close()
        await peer.gone()

    async def test_a_lost_session_tells_what_is_uncertain_and_a_new_one_can_be_bound(self) -> None:
        client, peer = await self.session()
        waiting = Deferred.fromCoroutine(client.next_stanza("presence"))
        for number in range(3):
            client.send(f"<message id='{number}'/>".encode())
        client.cut()
        failure = f"<item-not-found xmlns='{NS_STANZA_ERRORS}'/>"
        peer, resuming = await self.resumption(
            client, f"<failed xmlns='{NS_SM}' h='1'>{failure}</failed>".encode()
        )
        with pytest.raises(NotResumed) as caught:
            await resuming
        lost = caught.value
        assert (lost.condition, lost.h) == ("item-not-found", 1)
        assert lost.unacked == [b"<message id='1'/>", b"<message id='2'/>"]
        with pytest.raises(NotResumed):
            await waiting
        assert client.sm is None
        await client.bind()
        assert self.server.bound == 2
        client.presence()
        assert (await peer.next()).name == "presence"

    async def test_a_session_that_was_forgotten_altogether_has_no_count(self) -> None:
        client, _ = await self.session()
        client.cut()
        failure = f"<item-not-found xmlns='{NS_STANZA_ERRORS}'/>"
        _, resuming = await self.resumption(
            client, f"<failed xmlns='{NS_SM}'>{failure}</failed>".encode()
        )
        with pytest.raises(NotResumed) as caught:
            await resuming
        assert caught.value.h is None

    async def test_a_resumption_with_an_impossible_count_ends_the_stream(self) -> None:
        client, _ = await self.session()
        client.cut()
        peer, resuming = await self.resumption(client, resumed(5))
        with pytest.raises(Disconnected) as caught:
            await resuming
        assert caught.value.condition == "undefined-condition"
        assert b"handled-count-too-high" in (await peer.next()).raw
        assert not client.is_connected

    async def test_a_session_can_be_resumed_many_times(self) -> None:
        client, peer = await self.session()
        for number in range(5):
            client.send(f"<message id='{number}'/>".encode())
            client.cut()
            peer, resuming = await self.resumption(client, resumed(number) + MESSAGE)
            await resuming
            assert (await peer.next()).id == str(number)
            assert self.resume.attributes["h"] == str(number)
        assert len(client.inbox) == 5

    async def test_without_resumption_a_cut_is_the_end(self) -> None:
        client, _ = await self.session(f"<enabled xmlns='{NS_SM}'/>".encode())
        client.presence()
        acked = Deferred.fromCoroutine(client.acked())
        client.cut()
        with pytest.raises(Disconnected):
            await acked
        with pytest.raises(Disconnected):
            client.presence()
