"""What waits for a client, looked at and emptied by a real one before it becomes available."""

from twisted.trial.unittest import TestCase

from pushd.wire.element import child, children, text
from pushd.wire.namespaces import NS_DISCO_ITEMS
from tests.patience import LONGEST
from tests.scenarios.foreign import Foreign
from tests.scenarios.harness import Server

NS = "http://jabber.org/protocol/offline"


class OfflineRetrievalTest(TestCase):
    timeout = LONGEST

    async def test_a_client_picks_one_message_and_empties_the_store(self) -> None:
        server = await Server.start(self)
        romeo, juliet = server.client("romeo", "orchard"), await Foreign.start(self)
        await romeo.connect()
        romeo.presence()
        await romeo.enable_sm()
        for number in (1, 2, 3):
            romeo.message(server.jid("juliet"), str(number))
        await romeo.acked()
        await server.restart()

        await juliet.connect(server, "juliet", "phone")
        answer = await juliet.iq("get", "", f"<query xmlns='{NS_DISCO_ITEMS}' node='{NS}'/>")
        listed = list(children(next(children(answer))))
        assert [item["name"] for item in listed] == [romeo.jid.full] * 3
        node = listed[1]["node"]
        view = f"<offline xmlns='{NS}'><item action='view' node='{node}'/></offline>"
        assert (await juliet.iq("get", "", view))["type"] == "result"
        message = await juliet.wait("message")
        assert text(message.body) == "2"
        assert child(message, NS, "offline") is not None
        await juliet.send("<presence/>")
        answer = await juliet.iq("set", "", f"<offline xmlns='{NS}'><purge/></offline>")
        assert answer["type"] == "result"
        await juliet.close()

        again = await Foreign.start(self)
        await again.connect(server, "juliet", "tablet")
        await again.send("<presence/>")
        answer = await again.iq("set", "", f"<offline xmlns='{NS}'><purge/></offline>")
        assert answer["type"] == "result"
        for client in (juliet, again):
            assert [one for one in await client.inbox() if one.name == "message"] == []
