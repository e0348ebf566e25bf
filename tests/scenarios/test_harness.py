"""The harness itself: a real server that is started, killed and started again."""

import os
import socket

import pytest
from twisted.trial.unittest import TestCase

from pushd.client.errors import NotResumed
from pushd.wire.element import text
from tests.patience import LONGEST
from tests.scenarios.harness import Server
from tests.scenarios.raw import Raw


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class HarnessTest(TestCase):
    timeout = LONGEST

    async def test_a_killed_server_is_gone_and_comes_back_at_the_same_place(self) -> None:
        server = await Server.start(self)
        before = server.ready
        assert runs(before.pid)
        await server.kill()
        assert not runs(before.pid)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(before.c2s, 5)
        await server.restart()
        after = server.ready
        assert after.pid != before.pid
        assert (after.c2s, after.c2s_tls, after.ca) == (before.c2s, before.c2s_tls, before.ca)
        assert after.passwords == before.passwords
        assert [event["event"] for event in server.events("server-started")] == [
            "server-started",
            "server-started",
        ]

    async def test_a_terminated_server_stops_in_order(self) -> None:
        server = await Server.start(self)
        juliet = server.client("juliet", "phone")
        await juliet.connect()
        await server.terminate()
        assert (await juliet.disconnected()).condition == "system-shutdown"

    async def test_a_session_outlives_a_kill(self) -> None:
        server = await Server.start(self)
        juliet, romeo = server.client("juliet", "phone"), server.client("romeo", "orchard")
        for client in (juliet, romeo):
            await client.connect()
            await client.enable_sm()
            client.presence()
            await client.acked()
        juliet.cut()
        await server.event("session-detached", lambda event: event["account"] == juliet.jid.bare)
        romeo.message(juliet.jid.bare, "Good night, good night")
        await romeo.acked()
        await server.kill()
        await server.restart()
        await juliet.resume()
        message = await juliet.next_stanza("message")
        assert text(message.body) == "Good night, good night"
        await romeo.resume()

    async def test_events_are_there_when_they_are_asked_for(self) -> None:
        server = await Server.start(self)
        juliet = server.client("juliet", "phone", direct_tls=True)
        await juliet.connect()
        bound = await server.event("session-bound")
        assert bound["session"] == juliet.jid.full
        assert server.events("session-ended") == []
        await juliet.close()
        await server.event("session-ended")

    async def test_the_simulator_can_be_asked_and_told(self) -> None:
        server = await Server.start(self)
        assert await server.simulator_requests() == []
        await server.script({"error": "UNAVAILABLE"}, {"status": 500, "times": 2}, token="a")
        due = await server.control("GET", "/script")
        assert [answers["token"] for answers in due["messages"]] == ["a"]
        with pytest.raises(AssertionError) as caught:
            await server.script({"error": "NONSENSE"})
        assert "400" in str(caught.value)

    async def test_a_session_that_nobody_knows_is_not_resumed(self) -> None:
        server = await Server.start(self)
        juliet = server.client("juliet", "phone")
        await juliet.connect()
        await juliet.enable_sm()
        juliet.cut()
        assert juliet.sm is not None
        juliet.sm.id = "another"
        with pytest.raises(NotResumed) as caught:
            await juliet.resume()
        assert caught.value.condition == "item-not-found"
        await juliet.bind()
        assert juliet.jid.full == server.jid("juliet", "phone")


class RawTest(TestCase):
    timeout = LONGEST

    async def test_exact_bytes_get_exact_answers(self) -> None:
        server = await Server.start(self)
        with Raw(server.ready.c2s) as raw:
            features = raw.open()
            assert b"<starttls" in features
            raw.send(b"<!-- a comment -->")
            assert b"restricted-xml" in raw.read_to_end()
        with Raw(server.ready.c2s_tls, ca=server.ready.ca) as raw:
            assert b"SCRAM-SHA-256-PLUS" in raw.open()

    async def test_a_bare_socket_can_log_in(self) -> None:
        server = await Server.start(self)
        with Raw(server.ready.c2s) as raw:
            jid = server.jid("juliet")
            assert b"urn:xmpp:sm:3" in raw.log_in(server.ready.ca, jid, server.password("juliet"))
            assert f"{jid}/raw".encode() in raw.bind("raw")
            raw.reset()
        ended = await server.event("session-ended")
        assert ended["session"] == f"{jid}/raw"
