"""XEP-0198 §5 over real sockets: a session outlives its connection, and the server."""

import pytest
from twisted.trial.unittest import TestCase

from pushd.client.client import Client
from pushd.client.errors import NotResumed
from pushd.wire.element import text
from tests.patience import LONGEST
from tests.scenarios.harness import Server
from tests.scenarios.raw import Raw

SM = "urn:xmpp:sm:3"


async def managed(server: Server, user: str, resource: str) -> Client:
    """A client with a session that can be resumed, and available."""
    client = server.client(user, resource)
    await client.connect()
    await client.enable_sm()
    client.presence()
    await client.next_stanza("presence")
    await client.acked()
    return client


async def bodies(client: Client, count: int) -> list[str]:
    """The next so many messages' bodies; nothing else may be left after them."""
    found = [text((await client.next_stanza("message")).body) for _ in range(count)]
    assert [stanza for stanza in client.inbox if stanza.name == "message"] == []
    return found


class ResumptionTest(TestCase):
    timeout = LONGEST

    async def test_a_session_moves_while_its_old_connection_still_looks_open(self) -> None:
        server = await Server.start(self)
        juliet, romeo = (
            await managed(server, "juliet", "phone"),
            await managed(server, "romeo", "orchard"),
        )
        juliet.fall_silent()
        romeo.message(juliet.jid.full, "unheard")
        await romeo.acked()
        assert server.events("session-detached") == []
        await juliet.resume()
        romeo.message(juliet.jid.full, "heard")
        assert await bodies(juliet, 2) == ["unheard", "heard"]

    async def test_the_old_connection_is_told_that_it_was_replaced(self) -> None:
        server = await Server.start(self)
        jid, password = server.jid("juliet"), server.password("juliet")
        with Raw(server.ready.c2s) as old, Raw(server.ready.c2s) as new:
            old.log_in(server.ready.ca, jid, password)
            old.bind("phone")
            old.send(f"<enable xmlns='{SM}' resume='true'/>")
            enabled = old.read_until(rb"<enabled[^>]*>").decode()
            token = enabled.split(" id='")[1].split("'")[0]
            new.log_in(server.ready.ca, jid, password)
            new.send(f"<resume xmlns='{SM}' previd='{token}' h='0'/>")
            new.read_until(rb"<resumed[^>]*>")
            assert b"<conflict" in old.read_to_end()

    async def test_nothing_is_lost_or_repeated_when_the_server_stops_and_starts(self) -> None:
        server = await Server.start(self)
        for end in (server.terminate, server.kill):
            juliet, romeo = (
                await managed(server, "juliet", "phone"),
                await managed(server, "romeo", "orchard"),
            )
            for number in range(20):
                romeo.message(juliet.jid.full, str(number))
                if number == 9:
                    assert await bodies(juliet, 10) == [str(number) for number in range(10)]
                    juliet.cut()
            await romeo.acked()
            await end()
            await server.restart()
            await juliet.resume()
            await romeo.resume()
            assert await bodies(juliet, 10) == [str(number) for number in range(10, 20)]
            romeo.message(juliet.jid.full, "and on")
            assert await bodies(juliet, 1) == ["and on"]
            await juliet.close()
            await romeo.close()

    async def test_a_session_that_ended_is_not_resumed(self) -> None:
        server = await Server.start(self)
        first = await managed(server, "juliet", "phone")
        first.cut()
        second = await managed(server, "juliet", "phone")
        with pytest.raises(NotResumed) as caught:
            await first.resume()
        assert caught.value.condition == "item-not-found"
        assert caught.value.h == 1
        assert second.is_connected
