"""Carbons between real clients, and what nobody gets past a door."""

import hashlib
import re

from twisted.trial.unittest import TestCase

from pushd.wire.element import child, children, text
from tests.patience import LONGEST
from tests.scenarios.foreign import Foreign
from tests.scenarios.harness import Server
from tests.scenarios.raw import Raw

NS = "urn:xmpp:carbons:2"
FORGED = (
    f"<received xmlns='{NS}'><forwarded xmlns='urn:xmpp:forward:0'>"
    "<message xmlns='jabber:client' from='nurse@localhost' to='juliet@localhost' type='chat'>"
    "<body>send money</body></message></forwarded></received>"
)


class CarbonsTest(TestCase):
    timeout = LONGEST

    async def test_both_sides_of_a_conversation_reach_the_other_resource(self) -> None:
        """Enabled once, they go on through a lost connection and a kill of the server."""
        server = await Server.start(self)
        phone, desk = await Foreign.start(self), await Foreign.start(self)
        for client, resource in ((phone, "phone"), (desk, "desk")):
            await client.connect(server, "juliet", resource)
            await client.send("<presence/>")
        answer = await desk.iq("set", "", f"<enable xmlns='{NS}'/>")
        assert answer["type"] == "result"
        romeo = server.client("romeo", "orchard")
        await romeo.connect()
        romeo.presence()
        romeo.message(phone.jid, "I take thee at thy word")
        await phone.wait("message", contains="thy word")
        assert await self.copied(desk) == ("received", "I take thee at thy word")
        await phone.message(romeo.jid.full, "What man art thou")
        assert await self.copied(desk) == ("sent", "What man art thou")
        await desk.acked()
        await desk.cut()
        await server.event("session-detached", lambda one: one["session"] == desk.jid)
        await phone.message(romeo.jid.full, "Dost thou love me?")
        await phone.acked()
        await server.kill()
        await server.restart()
        assert await desk.resume()
        assert await self.copied(desk) == ("sent", "Dost thou love me?")
        assert await phone.resume()
        await phone.message(romeo.jid.full, "I know thou wilt say Ay")
        assert await self.copied(desk) == ("sent", "I know thou wilt say Ay")

    async def copied(self, client: Foreign) -> tuple[str, str]:
        """The direction and the body of the next copy."""
        carbon = await client.wait("message", contains=NS)
        assert (carbon["from"], carbon["to"]) == ("juliet@localhost", client.jid)
        [wrapping] = [one for one in children(carbon) if one.uri == NS]
        forwarded = child(wrapping, "urn:xmpp:forward:0", "forwarded")
        assert forwarded is not None
        inner = child(forwarded, "jabber:client", "message")
        assert inner is not None
        return wrapping.name, text(inner.body)

    async def test_a_forged_carbon_stops_at_every_door(self) -> None:
        """CVE-2017-5589 and its kin: whoever sends it, no client has to tell it apart."""
        server = await Server.start(self)
        juliet = server.client("juliet", "phone")
        await juliet.connect()
        juliet.presence()
        for send in (self.by_a_client, self.by_a_component):
            send(server, f"<message to='{juliet.jid.full}' type='chat' id='f'>{FORGED}</message>")
            message = await juliet.next_stanza("message")
            assert message["id"] == "f"
            assert list(children(message)) == []

    def by_a_client(self, server: Server, stanza: str) -> None:
        with Raw(server.ready.c2s) as raw:
            raw.log_in(server.ready.ca, server.jid("romeo"), server.password("romeo"))
            raw.bind("orchard")
            raw.send(stanza)
            raw.send("</stream:stream>")
            raw.read_to_end()

    def by_a_component(self, server: Server, stanza: str) -> None:
        domain = server.ready.component_domain
        assert server.ready.component is not None
        with Raw(server.ready.component) as raw:
            raw.send(
                f"<stream:stream to='{domain}' xmlns='jabber:component:accept'"
                " xmlns:stream='http://etherx.jabber.org/streams'>"
            )
            found = re.search(rb" id='([^']+)'", raw.read_until(rb"<stream:stream[^>]*>"))
            assert found is not None
            secret = server.ready.component_secret.reveal().encode()
            raw.send(f"<handshake>{hashlib.sha1(found.group(1) + secret).hexdigest()}</handshake>")
            raw.read_until(rb"<handshake/>")
            raw.send(stanza.replace("<message ", f"<message from='{domain}' ", 1))
            raw.send("</stream:stream>")
            raw.read_to_end()
