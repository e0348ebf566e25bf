"""Who watches a server by HTTP: what it says while it serves, fails, and stops."""

import re
import signal
import sqlite3
from http.client import HTTPConnection
from typing import NamedTuple

from twisted.trial.unittest import TestCase

from tests.patience import LONGEST, PATIENCE
from tests.scenarios.foreign import Foreign
from tests.scenarios.harness import Server
from tests.scenarios.process import eventually
from tests.scenarios.raw import Raw


class Page(NamedTuple):
    code: int
    type: str
    body: str

    def value(self, sample: str) -> float:
        """The value of a sample of the metrics, labels and all."""
        found = re.search(rf"^{re.escape(sample)} (\S+)$", self.body, re.MULTILINE)
        assert found is not None, f"no {sample} in\n{self.body}"
        return float(found[1])


def get(server: Server, path: str) -> Page:
    place = server.ready.told["metrics"]
    connection = HTTPConnection(place["host"], place["port"], timeout=PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return Page(answer.status, answer.headers["Content-Type"], answer.read().decode())
    finally:
        connection.close()


class Watching(TestCase):
    timeout = LONGEST

    async def test_what_clients_do_is_seen_in_the_metrics(self) -> None:
        server = await Server.start(self)
        assert get(server, "/healthz")[::2] == (200, "ok\n")
        assert get(server, "/readyz")[::2] == (200, "ok\n")
        romeo, juliet = await Foreign.start(self), await Foreign.start(self)
        await romeo.connect(server, "romeo", "orchard")
        await juliet.connect(server, "juliet", "balcony")
        await juliet.send("<presence/>")
        stranger = Raw(server.ready.c2s)
        self.addCleanup(stranger.close)
        stranger.open()

        page = get(server, "/metrics")
        assert page.type == "text/plain; version=0.0.4; charset=utf-8"
        assert page.value('pushd_logins_total{outcome="success"}') == 2
        assert page.value('pushd_sessions{state="live"}') == 2
        assert page.value('pushd_streams{stage="bound"}') == 2
        assert page.value('pushd_streams{stage="plain"}') == 1
        assert page.value('pushd_unauthenticated_connections{door="client"}') == 1
        assert page.value('pushd_commits_total{outcome="success"}') > 0
        assert page.value("pushd_commit_seconds_total") > 0

        await juliet.cut()
        await server.event("session-detached")
        await romeo.message("juliet@localhost", "But soft")
        await romeo.acked()
        page = get(server, "/metrics")
        assert page.value('pushd_sessions{state="detached"}') == 1
        assert page.value("pushd_detached_queued_stanzas") == 1
        assert page.value('pushd_undelivered_total{cause="detached"}') == 1

        assert await juliet.resume()
        page = get(server, "/metrics")
        assert page.value('pushd_resumptions_total{outcome="resumed"}') == 1
        assert page.value('pushd_sessions{state="live"}') == 2
        assert "juliet" not in page.body

    async def test_a_server_that_cannot_commit_is_not_ready_but_alive(self) -> None:
        server = await Server.start(self)
        romeo = await Foreign.start(self)
        await romeo.connect(server, "romeo", "orchard")
        await romeo.send("<presence/>")
        blocker = sqlite3.connect(server.folder / "data" / "pushd.db", isolation_level=None)
        self.addCleanup(blocker.close)
        blocker.execute("BEGIN IMMEDIATE")
        await romeo.message("juliet@localhost", "But soft")

        def failing() -> Page | None:
            page = get(server, "/readyz")
            # Before that, it may say that the commit takes long by now.
            return page if page.body.startswith("commits fail") else None

        page = await eventually(failing, PATIENCE, "answer that commits fail")
        assert (page.code, page.body) == (503, "commits fail: database is locked (SQLITE_BUSY)\n")
        assert get(server, "/healthz").code == 200
        assert get(server, "/metrics").value("pushd_storage_failing") == 1

        blocker.execute("ROLLBACK")
        await eventually(
            lambda: get(server, "/readyz").code == 200 or None, PATIENCE, "commit that succeeds"
        )
        assert get(server, "/metrics").value('pushd_commits_total{outcome="failure"}') >= 1

    async def test_a_server_that_stops_is_not_ready(self) -> None:
        server = await Server.start(self)
        silent = Raw(server.ready.c2s)  # never closes its side, so that the stop takes a while
        self.addCleanup(silent.close)
        silent.log_in(server.ready.ca, server.jid("juliet"), server.password("juliet"))
        silent.bind("raw")

        server.child.signal(signal.SIGTERM)
        await eventually(lambda: "stopping: SIGTERM" in server.child.text or None, PATIENCE, "stop")

        page = get(server, "/readyz")
        assert page[::2] == (503, "the server is stopping\n")
        assert get(server, "/healthz").code == 200
        assert await server.child.ended(PATIENCE) == 0
