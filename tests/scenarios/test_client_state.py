"""A phone of another make whose user does not look at it (XEP-0352)."""

from twisted.trial.unittest import TestCase

from pushd.wire.element import element, serialize
from pushd.wire.namespaces import NS_CARBONS, NS_CHAT_STATES, NS_CLIENT
from tests.patience import LONGEST
from tests.scenarios.foreign import Foreign
from tests.scenarios.harness import Server

PLUGIN = "xep_0352"
PING = element("urn:xmpp:ping", "ping")
COMPOSING = element(NS_CHAT_STATES, "composing")


class ClientStateTest(TestCase):
    timeout = LONGEST

    async def setting(self) -> None:
        """Juliet's phone, which wants carbons, and her desk, to which Romeo writes."""
        self.server = await Server.start(self)
        self.phone, self.desk = await Foreign.start(self), await Foreign.start(self)
        await self.phone.connect(self.server, "juliet", "phone", plugins=[PLUGIN])
        await self.phone.iq("set", "", f"<enable xmlns='{NS_CARBONS}'/>")
        await self.desk.connect(self.server, "juliet", "desk")
        self.romeo = self.server.client("romeo", "orchard")
        await self.romeo.connect()

    async def looks_away(self) -> None:
        await self.phone.tell(PLUGIN, "send_inactive")
        await self.phone.iq("get", "localhost", serialize(PING).decode())
        assert await self.phone.do("inbox") == []

    async def shows(self, what: str) -> None:
        """Romeo is this, and composes something for the desk; the server has heard both."""
        self.romeo.presence(element(NS_CLIENT, "show", what), to=self.phone.jid)
        composing = element(NS_CLIENT, "message", COMPOSING, to=self.desk.jid, type="chat")
        self.romeo.send(composing)
        await self.romeo.iq("get", "localhost", PING)
        await self.desk.wait("message", contains="composing")

    async def came(self) -> list[str]:
        """What the phone has got, up to a word that is the last."""
        self.romeo.message(self.phone.jid, "adieu")
        await self.phone.wait("message", contains="adieu")
        words = ("away", "dnd", "composing", "It is the east")
        return [
            next(word for word in words if word in stanza)
            for stanza in await self.phone.do("inbox")
        ]

    async def test_what_is_held_comes_before_what_is_to_be_read(self) -> None:
        await self.setting()
        await self.looks_away()
        await self.shows("away")
        await self.shows("dnd")
        assert await self.phone.do("inbox") == []

        self.romeo.message(self.desk.jid, "It is the east")

        await self.desk.wait("message", contains="the east")
        assert await self.came() == ["composing", "dnd", "composing", "It is the east"]

    async def test_who_looks_again_has_it_before_any_answer(self) -> None:
        await self.setting()
        await self.looks_away()
        await self.shows("away")

        await self.phone.tell(PLUGIN, "send_active")

        await self.phone.iq("get", "localhost", serialize(PING).decode())
        found = await self.phone.do("inbox")
        assert [word for one in found for word in ("away", "composing") if word in one] == [
            "away",
            "composing",
        ]

    async def test_what_is_held_outlives_connection_and_server(self) -> None:
        await self.setting()
        await self.looks_away()
        await self.shows("away")
        await self.romeo.enable_sm()
        self.romeo.presence(element(NS_CLIENT, "show", "dnd"), to=self.phone.jid)
        await self.romeo.acked()
        await self.phone.cut()
        await self.server.event("session-detached", lambda one: one["session"] == self.phone.jid)
        await self.server.kill()
        await self.server.restart()
        assert await self.phone.resume()

        found = [await self.phone.wait("message"), await self.phone.wait("presence")]

        assert [str(one["from"]) for one in found] == [
            self.server.jid("juliet"),
            self.romeo.jid.full,
        ]
        assert str(found[1].show) == "dnd"
        assert await self.phone.do("inbox") == []
