"""The block list of a real client, and what comes of it, over real sockets."""

from twisted.trial.unittest import TestCase

from pushd.wire.element import child, children
from pushd.wire.namespaces import NS_CLIENT
from tests.patience import LONGEST
from tests.scenarios.foreign import Foreign
from tests.scenarios.harness import Server

NS = "urn:xmpp:blocking"


class BlockingTest(TestCase):
    timeout = LONGEST

    async def test_a_block_holds_through_a_restart_and_ends_with_the_unblocking(self) -> None:
        server = await Server.start(self)
        juliet, romeo = await Foreign.start(self), await Foreign.start(self)
        await juliet.connect(server, "juliet", "phone")
        await romeo.connect(server, "romeo", "orchard")
        for client in (juliet, romeo):
            await client.send("<presence/>")
        assert await self.listed(juliet) == []
        jid = server.jid("romeo")
        await self.changed(juliet, f"<block xmlns='{NS}'><item jid='{jid}'/></block>")
        push = await juliet.wait("iq", contains=NS)
        assert (push["type"], push["to"]) == ("set", juliet.jid)

        await romeo.message(server.jid("juliet"), "Can you hear me now?")
        assert await self.refused(romeo) == ["service-unavailable"]
        await juliet.message(jid, "Can you hear me now?")
        assert await self.refused(juliet) == ["not-acceptable", "blocked"]

        await server.restart()
        assert await juliet.resume()
        assert await romeo.resume()
        await romeo.message(juliet.jid, "And now?")
        assert await self.refused(romeo) == ["service-unavailable"]
        assert await self.listed(juliet) == [jid]
        await self.changed(juliet, f"<unblock xmlns='{NS}'/>")
        await romeo.message(juliet.jid, "At last")
        message = await juliet.wait("message")
        assert str(message.body) == "At last"

    async def listed(self, client: Foreign) -> list[str]:
        answer = await client.iq("get", "", f"<blocklist xmlns='{NS}'/>")
        blocklist = child(answer, NS, "blocklist")
        assert blocklist is not None
        return [item["jid"] for item in children(blocklist)]

    async def changed(self, client: Foreign, payload: str) -> None:
        assert (await client.iq("set", "", payload))["type"] == "result"

    async def refused(self, client: Foreign) -> list[str]:
        """The names in the error of the message that came back."""
        message = await client.wait("message")
        assert message["type"] == "error"
        error = child(message, NS_CLIENT, "error")
        assert error is not None
        return [node.name for node in children(error)]
