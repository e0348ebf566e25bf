"""slixmpp, which knows nothing of us, as the client."""

import time

import pytest
from twisted.trial.unittest import TestCase

from pushd.net.certificates import DevelopmentCA
from pushd.wire.element import child, text
from pushd.wire.namespaces import NS_CLIENT, NS_DISCO_INFO
from tests.patience import LONGEST
from tests.scenarios.foreign import Foreign, ForeignError
from tests.scenarios.harness import Server
from tests.scenarios.process import folder


class ForeignTest(TestCase):
    timeout = LONGEST

    async def test_it_logs_in_by_starttls_and_by_direct_tls(self) -> None:
        server = await Server.start(self)
        for direct in (False, True):
            juliet = await Foreign.start(self)
            await juliet.connect(server, "juliet", "phone", direct_tls=direct)
            assert juliet.jid == server.jid("juliet", "phone")
            await juliet.close()
            await server.event("session-ended")

    async def test_it_logs_in_by_every_mechanism_it_knows(self) -> None:
        server = await Server.start(self)
        for mechanism in ("SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"):
            juliet = await Foreign.start(self)
            await juliet.connect(server, "juliet", mechanism=mechanism)
            await juliet.close()

    async def test_it_does_not_log_in_with_a_wrong_password_or_to_an_untrusted_server(self) -> None:
        server = await Server.start(self)
        juliet = await Foreign.start(self)
        with pytest.raises(ForeignError, match="the login failed"):
            await juliet.connect(server, "juliet", password="wrong")
        stranger = DevelopmentCA(folder(self), time.time())
        for direct, failure in ((False, "is not trusted"), (True, "the connection failed")):
            juliet = await Foreign.start(self)
            with pytest.raises(ForeignError, match=failure):
                await juliet.connect(server, "juliet", ca=str(stranger.path), direct_tls=direct)

    async def test_messages_and_requests_pass(self) -> None:
        server = await Server.start(self)
        juliet, romeo = await Foreign.start(self), server.client("romeo", "orchard")
        await juliet.connect(server, "juliet", "phone")
        await juliet.send("<presence/>")
        await juliet.acked()
        await romeo.connect()
        romeo.presence()
        romeo.message(juliet.jid, "I take thee at thy word")
        message = await juliet.wait("message", contains="take thee")
        assert message["from"] == romeo.jid.full
        id = await juliet.message(romeo.jid.full, "What man art thou")
        assert (await romeo.next_stanza("message"))["id"] == id
        info = await juliet.iq("get", server.ready.domain, f"<query xmlns='{NS_DISCO_INFO}'/>")
        assert child(info, NS_DISCO_INFO, "query") is not None
        refused = await juliet.iq("get", server.ready.domain, "<query xmlns='urn:x'/>")
        assert child(refused, NS_CLIENT, "error") is not None

    async def test_it_resumes_after_a_cut_and_after_a_kill_and_loses_nothing(self) -> None:
        server = await Server.start(self)
        juliet, romeo = await Foreign.start(self), server.client("romeo", "orchard")
        await juliet.connect(server, "juliet", "phone")
        await juliet.send("<presence/>")
        await juliet.acked()
        await romeo.connect()
        await romeo.enable_sm()
        for number in range(2):
            await juliet.cut()
            await server.event("session-detached")
            romeo.message(server.jid("juliet"), f"message {number}")
            await romeo.acked()
            if number == 1:
                await server.kill()
                await server.restart()
                await romeo.resume()
            assert await juliet.resume()
            message = await juliet.wait("message")
            assert text(message.body) == f"message {number}"
        assert [one for one in await juliet.inbox() if one.name == "message"] == []
        assert (await juliet.do("managed"))["unacked"] == 0
