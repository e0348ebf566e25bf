"""slixmpp's own plugins, written by who has not read ours, ask and understand the answers."""

from twisted.trial.unittest import TestCase

from pushd.wire.element import Element, child, children, text
from pushd.wire.namespaces import NS_CLIENT
from tests.patience import LONGEST
from tests.scenarios.foreign import Foreign
from tests.scenarios.harness import Server

NS_OFFLINE = "http://jabber.org/protocol/offline"


def payload(answer: Element) -> Element:
    assert answer["type"] == "result"
    return next(children(answer))


class PluginsTest(TestCase):
    timeout = LONGEST

    async def test_carbons(self) -> None:
        server = await Server.start(self)
        phone, desk = await Foreign.start(self), await Foreign.start(self)
        await phone.connect(server, "juliet", "phone")
        await desk.connect(server, "juliet", "desk")
        for client in (phone, desk):
            await client.send("<presence/>")
        assert (await desk.call("xep_0280", "enable"))["type"] == "result"
        await desk.hear("xep_0280", "carbon_received", "carbon_sent")
        romeo = server.client("romeo", "orchard")
        await romeo.connect()
        romeo.message(phone.jid, "one")
        await phone.wait("message")
        await phone.message(romeo.jid.full, "two")
        await desk.wait("message", contains="two")
        heard = await desk.heard()
        assert [name for name, _ in heard] == ["carbon_received", "carbon_sent"]
        assert "one" in heard[0][1]
        assert (await desk.call("xep_0280", "disable"))["type"] == "result"

    async def test_blocking(self) -> None:
        server = await Server.start(self)
        juliet, romeo = await Foreign.start(self), await Foreign.start(self)
        await juliet.connect(server, "juliet", "phone")
        await romeo.connect(server, "romeo", "orchard")
        await juliet.send("<presence/>")
        assert list(children(payload(await juliet.call("xep_0191", "get_blocked")))) == []
        await juliet.hear("xep_0191", "blocked", "unblocked")
        jid = server.jid("romeo")
        assert (await juliet.call("xep_0191", "block", jid))["type"] == "result"
        listed = payload(await juliet.call("xep_0191", "get_blocked"))
        assert [item["jid"] for item in children(listed)] == [jid]
        await romeo.message(juliet.jid, "hi")
        error = await romeo.wait("message")
        assert (error["type"], error["from"]) == ("error", juliet.jid)
        assert (await juliet.call("xep_0191", "unblock", jid))["type"] == "result"
        assert list(children(payload(await juliet.call("xep_0191", "get_blocked")))) == []
        assert [name for name, _ in await juliet.heard()] == ["blocked", "unblocked"]

    async def test_version_time_and_last_activity(self) -> None:
        server = await Server.start(self)
        romeo = await Foreign.start(self)
        await romeo.connect(server, "romeo", "orchard")
        domain = server.ready.domain
        version = payload(await romeo.call("xep_0092", "get_version", domain))
        assert text(child(version, "jabber:iq:version", "name")) == "pushd"
        time = payload(await romeo.call("xep_0202", "get_entity_time", domain))
        assert text(child(time, "urn:xmpp:time", "utc")).endswith("Z")
        last = payload(await romeo.call("xep_0012", "get_last_activity", domain))
        assert last["seconds"].isdigit()
        own = payload(await romeo.call("xep_0012", "get_last_activity", server.jid("romeo")))
        assert own["seconds"] == "0"
        refused = await romeo.call("xep_0012", "get_last_activity", server.jid("juliet"))
        error = child(refused, NS_CLIENT, "error")
        assert error is not None
        assert error["type"] == "auth"

    async def test_flexible_offline_retrieval(self) -> None:
        server = await Server.start(self)
        romeo, juliet = server.client("romeo", "orchard"), await Foreign.start(self)
        await romeo.connect()
        await romeo.enable_sm()
        for number in (1, 2, 3):
            romeo.message(server.jid("juliet"), f"number {number}")
        await romeo.acked()
        await juliet.connect(server, "juliet", "phone")
        info = payload(await juliet.call("xep_0013", "get_count"))
        assert [node.name for node in children(info)] == ["identity", "feature", "x"]
        listed = list(children(payload(await juliet.call("xep_0013", "get_headers"))))
        assert [item["name"] for item in listed] == [romeo.jid.full] * 3
        names = [item["node"] for item in listed]
        await juliet.iq("get", "", self.request(f"<item action='view' node='{names[1]}'/>"))
        await juliet.wait("message", contains="number 2")
        assert (await juliet.call("xep_0013", "remove", names[:1]))["type"] == "result"
        await juliet.iq("set", "", self.request("<fetch/>"))
        for number in (2, 3):
            await juliet.wait("message", contains=f"number {number}")
        assert (await juliet.call("xep_0013", "purge"))["type"] == "result"
        assert list(children(payload(await juliet.call("xep_0013", "get_headers")))) == []

    def request(self, content: str) -> str:
        return f"<offline xmlns='{NS_OFFLINE}'>{content}</offline>"
