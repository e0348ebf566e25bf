"""SIGTERM: a word to everybody, everything on disk, code 0; whoever does not listen is cut."""

import signal
import sqlite3

from twisted.trial.unittest import TestCase

from tests.patience import LONGEST, PATIENCE
from tests.scenarios.foreign import Foreign
from tests.scenarios.harness import Server
from tests.scenarios.process import eventually
from tests.scenarios.raw import Raw
from tests.scenarios.test_whole_way import TOKEN, Way

FAREWELL = (
    b"<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
    b"</stream:error></stream:stream>"
)


class Stopping(TestCase):
    timeout = LONGEST

    def connected(self, server: Server) -> Raw:
        raw = Raw(server.ready.c2s)
        self.addCleanup(raw.close)
        return raw

    def bound(self, server: Server, user: str) -> Raw:
        raw = self.connected(server)
        raw.log_in(server.ready.ca, server.jid(user), server.password(user))
        raw.bind("raw")
        return raw

    async def test_every_stream_ends_with_a_word_and_nothing_acknowledged_is_lost(self) -> None:
        server = await Server.start(self)
        romeo = await Foreign.start(self)
        await romeo.connect(server, "romeo", "orchard")
        stranger, shaking = self.connected(server), self.connected(server)
        stranger.open()
        silent = self.bound(server, "juliet")
        silent.send("<presence><priority>-1</priority></presence>")
        for number in range(100):
            await romeo.message("juliet@localhost", f"message {number}")
        await romeo.acked()

        await server.terminate()

        assert server.child.code == 0
        assert silent.read_to_end().endswith(FAREWELL)
        assert stranger.read_to_end().endswith(FAREWELL)
        assert shaking.read_to_end().endswith(FAREWELL)  # with a header of its own before
        reasons = {one["session"]: one["reason"] for one in server.events("session-detached")}
        assert reasons["romeo@localhost/orchard"] == "system-shutdown"
        assert server.events("session-ended")[-1]["session"] == "juliet@localhost/raw"

        await server.restart()
        assert await romeo.resume()
        juliet = await Foreign.start(self)
        await juliet.connect(server, "juliet", "balcony")
        await juliet.send("<presence/>")
        await juliet.wait("message", "message 99")

    async def test_a_client_that_does_not_read_does_not_hold_the_stop_up(self) -> None:
        server = await Server.start(self)
        romeo = await Foreign.start(self)
        await romeo.connect(server, "romeo", "orchard")
        deaf = self.bound(server, "juliet")
        deaf.send("<presence/>")
        await romeo.send("<presence/>")
        body = "x" * 200_000
        for _ in range(40):  # more than the system takes for a connection
            await romeo.message("juliet@localhost/raw", body)
        await romeo.acked()
        self.connected(server).send(b"\x16\x03\x01")  # begins something, and goes on never

        server.child.signal(signal.SIGTERM)

        assert await server.child.ended(PATIENCE) == 0

    async def test_a_second_signal_changes_nothing(self) -> None:
        server = await Server.start(self)
        self.bound(server, "juliet")  # does not close its side, so that the stop takes a while
        server.child.signal(signal.SIGTERM)
        await eventually(lambda: "stopping: SIGTERM" in server.child.text or None, PATIENCE, "stop")

        server.child.signal(signal.SIGTERM)
        server.child.signal(signal.SIGINT)

        assert await server.child.ended(PATIENCE) == 0
        assert "SIGTERM: stopping already" in server.child.text
        database = sqlite3.connect(server.folder / "data" / "pushd.db")
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()

    async def test_what_no_provider_has_taken_yet_is_sent_by_the_next_run(self) -> None:
        way = Way(self)
        await way.begin(self)
        server = way.server
        await server.script({"error": "UNAVAILABLE", "retry_after": 3600, "times": 100})
        for step in (way.log_in, way.register, way.enable, way.befriend, way.sleep, way.write_one):
            await step()
        await server.event("provider-answered", lambda one: one["outcome"] == "busy")

        await server.terminate()
        assert server.child.code == 0
        await server.restart()

        assert await server.simulator_requests(TOKEN, wait=PATIENCE)

    async def test_a_last_commit_that_fails_is_told_by_the_exit_code(self) -> None:
        server = await Server.start(self)
        # Somebody else has the database and does not let it go.
        blocker = sqlite3.connect(server.folder / "data" / "pushd.db", isolation_level=None)
        self.addCleanup(blocker.close)
        blocker.execute("BEGIN IMMEDIATE")

        server.child.signal(signal.SIGTERM)

        assert await server.child.ended(PATIENCE) == 1
        assert "not stopped in order: " in server.child.text
        assert "are lost: database is locked" in server.child.text
