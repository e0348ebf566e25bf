"""What a client asks about: the server's version, time and uptime, and a friend's last visit."""

from datetime import UTC, datetime

from twisted.trial.unittest import TestCase

from pushd.wire.element import Element, child, children, text
from pushd.wire.namespaces import NS_CLIENT
from tests.patience import LONGEST, PATIENCE
from tests.scenarios.foreign import Foreign
from tests.scenarios.harness import Server

NS_LAST = "jabber:iq:last"


class AboutTest(TestCase):
    timeout = LONGEST

    async def test_a_foreign_client_gets_its_answers(self) -> None:
        server = await Server.start(self)
        romeo = await Foreign.start(self)
        await romeo.connect(server, "romeo", "orchard")
        domain = server.ready.domain

        answer = await romeo.iq("get", domain, "<query xmlns='jabber:iq:version'/>")
        assert [node.name for node in children(self.payload(answer))] == ["name", "version"]
        answer = await romeo.iq("get", domain, "<time xmlns='urn:xmpp:time'/>")
        told = text(child(self.payload(answer), "urn:xmpp:time", "utc"))
        assert abs(datetime.fromisoformat(told) - datetime.now(UTC)).total_seconds() < PATIENCE
        answer = await romeo.iq("get", domain, f"<query xmlns='{NS_LAST}'/>")
        assert 0 <= int(self.payload(answer)["seconds"]) < PATIENCE

    async def test_a_friend_learns_what_a_stranger_does_not(self) -> None:
        server = await Server.start(self)
        romeo, juliet = await Foreign.start(self), server.client("juliet", "phone")
        await romeo.connect(server, "romeo", "orchard")
        query = f"<query xmlns='{NS_LAST}'/>"
        for to in (server.jid("juliet"), server.jid("nobody")):
            answer = await romeo.iq("get", to, query)
            error = child(answer, NS_CLIENT, "error")
            assert error is not None
            assert next(children(error)).name == "forbidden"
        await juliet.connect()
        juliet.presence()
        await romeo.send("<presence/>")
        await romeo.send(f"<presence to='{server.jid('juliet')}' type='subscribe'/>")
        await juliet.next_stanza(lambda one: one.getAttribute("type") == "subscribe")
        juliet.send(f"<presence to='{server.jid('romeo')}' type='subscribed'/>".encode())
        await romeo.wait("presence", contains=juliet.jid.full)
        answer = await romeo.iq("get", server.jid("juliet"), query)
        assert (self.payload(answer)["seconds"], text(self.payload(answer))) == ("0", "")
        juliet.send(b"<presence type='unavailable'><status>Heading Home</status></presence>")
        await juliet.close()
        await server.event("session-ended", lambda one: one["session"] == juliet.jid.full)
        answer = await romeo.iq("get", server.jid("juliet"), query)
        assert text(self.payload(answer)) == "Heading Home"

    async def test_builds_of_known_apps_are_served_by_the_server_for_development(self) -> None:
        server = await Server.start(self)
        romeo = await Foreign.start(self)
        await romeo.connect(server, "romeo", "orchard")
        push = f"push.{server.ready.domain}"

        answer = await romeo.iq(
            "get", push, "<query xmlns='http://jabber.org/protocol/disco#info'/>"
        )
        told = {one.getAttribute("var") for one in children(self.payload(answer))}
        assert {"tigase:messenger:apns:1", "snikket:apns:1", "fcm-xmpp-api"} <= told
        for module in ("monalAlpha-sandbox", "monalProdiOS", "quicksyProdiOS"):
            answer = await romeo.iq(
                "set",
                push,
                "<pubsub xmlns='http://jabber.org/protocol/pubsub'>"
                f"<publish node='{module.encode().hex():0>64}'>"
                "<item><notification xmlns='urn:xmpp:push:0'/></item></publish><publish-options>"
                "<x xmlns='jabber:x:data' type='submit'><field var='pushModule'>"
                f"<value>{module}</value></field></x></publish-options></pubsub>",
            )
            assert self.payload(answer).name == "pubsub"

    def payload(self, answer: Element) -> Element:
        assert answer["type"] == "result"
        return next(children(answer))
