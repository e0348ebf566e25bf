"""An operator at work on a server that runs: pushdctl over its socket, clients over theirs."""

import base64
import json
import re
import subprocess
import sys
from typing import Any

import pytest
from twisted.trial.unittest import TestCase

from pushd.wire.secret import Secret
from tests.patience import LONGEST, PATIENCE
from tests.scenarios.foreign import Foreign, ForeignError
from tests.scenarios.harness import Server
from tests.scenarios.process import ROOT
from tests.scenarios.raw import Raw


def command(*arguments: str, given: str = "") -> "subprocess.CompletedProcess[str]":
    """Run pushdctl."""
    return subprocess.run(
        [sys.executable, "-m", "pushd.cli.pushdctl", *arguments],
        cwd=ROOT,
        input=given,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def pushdctl(
    server: Server, *arguments: str, given: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run a command on this server."""
    return command("--socket", str(server.ready.admin), *arguments, given=given)


def told(server: Server, *arguments: str) -> Any:
    """The answer in JSON of a command that succeeds."""
    done = pushdctl(server, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refusal(server: Server, user: str, password: Secret) -> bytes:
    """What a login with PLAIN is answered with."""
    with Raw(server.ready.c2s) as raw:
        raw.secure(server.ready.ca, server.ready.domain)
        message = base64.b64encode(f"\0{user}\0{password.reveal()}".encode()).decode()
        raw.send(
            f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{message}</auth>"
        )
        return raw.read_until(rb"</failure>|<success[^>]*>")


class Accounts(TestCase):
    timeout = LONGEST

    async def test_a_disabled_account_is_out_until_it_is_enabled(self) -> None:
        server = await Server.start(self)
        juliet = await Foreign.start(self)
        await juliet.connect(server, "juliet", "balcony")

        done = pushdctl(server, "user", "disable", "juliet@localhost", "--reason", "stolen")

        assert (done.returncode, done.stdout) == (0, "disabled juliet@localhost\n")
        ended = await server.event("session-ended")
        assert ended["session"] == "juliet@localhost/balcony"
        assert ended["reason"] == "the account is disabled: stolen"
        listed = pushdctl(server, "user", "list").stdout
        assert listed == "juliet@localhost  disabled: stolen\nromeo@localhost\n"
        failure = refusal(server, "juliet", server.password("juliet"))
        assert b"<account-disabled/>" in failure
        assert b">stolen</text>" in failure
        assert b"<not-authorized/>" in refusal(server, "juliet", Secret("wrong"))

        await server.restart()
        assert b"<account-disabled/>" in refusal(server, "juliet", server.password("juliet"))
        assert pushdctl(server, "user", "enable", "juliet@localhost").returncode == 0
        await juliet.connect(server, "juliet", "balcony")

    async def test_another_password_counts_at_once(self) -> None:
        server = await Server.start(self)
        old, new = server.password("juliet"), Secret("by any other name")
        juliet = await Foreign.start(self)
        await juliet.connect(server, "juliet", "balcony")

        done = pushdctl(server, "user", "passwd", "juliet@localhost", given=new.reveal())

        assert (done.returncode, done.stdout) == (0, "changed juliet@localhost\n")
        detached = await server.event("session-detached")
        assert detached["reason"] == "the password was changed"
        assert b"<not-authorized/>" in refusal(server, "juliet", old)
        assert b"<success" in refusal(server, "juliet", new)

    async def test_a_removed_account_is_unknown(self) -> None:
        server = await Server.start(self)
        juliet = await Foreign.start(self)
        await juliet.connect(server, "juliet", "balcony")

        assert pushdctl(server, "user", "del", "juliet@localhost").returncode == 0

        await server.event("session-ended")
        assert b"<not-authorized/>" in refusal(server, "juliet", server.password("juliet"))
        with pytest.raises(ForeignError):
            await juliet.resume()


class Sessions(TestCase):
    timeout = LONGEST

    async def test_sessions_are_listed_and_ended(self) -> None:
        server = await Server.start(self)
        romeo, juliet = await Foreign.start(self), await Foreign.start(self)
        await romeo.connect(server, "romeo", "orchard", direct_tls=True)
        await juliet.connect(server, "juliet", "balcony")
        await juliet.cut()
        await server.event("session-detached")
        await romeo.message("juliet@localhost/balcony", "art thou gone so")
        await romeo.acked()

        away, live = told(server, "sessions")["sessions"]
        text = pushdctl(server, "sessions").stdout

        assert (away["jid"], away["state"]) == ("juliet@localhost/balcony", "detached")
        assert (away["management"], away["queued_stanzas"]) == ("resumable", 1)
        assert 0 < away["hold_left"] <= 300
        assert (live["address"], live["tls"]) == ("127.0.0.1", "TLSv1.3")
        assert text.splitlines()[0].split()[:3] == ["JID", "SINCE", "STATE"]
        assert len(text.splitlines()) == 3

        done = pushdctl(server, "kick", "juliet@localhost")
        assert (done.returncode, done.stdout) == (0, "ended juliet@localhost/balcony\n")
        done = pushdctl(server, "kick", "romeo@localhost/orchard", "--reason", "the watch")
        assert done.returncode == 0
        ended = await server.event("session-ended", lambda one: "romeo" in one["session"])
        assert ended["reason"] == "the watch"
        assert pushdctl(server, "sessions").stdout == "no sessions\n"
        done = pushdctl(server, "kick", "juliet@localhost")
        assert (done.returncode, done.stderr) == (
            1,
            "pushdctl: juliet@localhost has no session\n",
        )

        assert await juliet.resume() is False  # a new session, which has what the old one held
        await juliet.send("<presence/>")
        await juliet.wait("message", "art thou gone so")


class Backups(TestCase):
    timeout = LONGEST

    async def test_a_backup_of_a_server_at_work_is_put_back(self) -> None:
        server = await Server.start(self)
        data, file = server.folder / "data", server.folder / "backup.db"
        romeo = await Foreign.start(self)
        await romeo.connect(server, "romeo", "orchard")
        for number in range(50):
            await romeo.message("juliet@localhost", f"before {number}")
        await romeo.acked()

        done = pushdctl(server, "backup", str(file))

        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"wrote {file}, ")
        await romeo.message("juliet@localhost", "after")
        await romeo.acked()
        again = pushdctl(server, "backup", str(file))
        assert (again.returncode, again.stderr) == (
            1,
            f"pushdctl: {file} exists, and is not overwritten\n",
        )
        for words in (("--socket", str(server.ready.admin)), ("--data", str(data))):
            refused = command(*words, "restore", str(file))
            assert (refused.returncode, refused.stderr) == (
                1,
                "pushdctl: the server runs: stop it first\n",
            )

        await server.terminate()
        restored = command("--data", str(data), "restore", str(file))
        assert restored.returncode == 0, restored.stderr
        first, kept = restored.stdout.splitlines()
        assert first == f"restored {data}/pushd.db"
        assert re.fullmatch(
            rf"the database that was there is {data}/pushd\.db\.before-restore-[0-9-]+", kept
        )
        await server.restart()
        juliet = await Foreign.start(self)
        await juliet.connect(server, "juliet", "balcony")
        await juliet.send("<presence/>")
        await juliet.wait("message", "before 49")
        await juliet.acked()
        said = [str(stanza.body) for stanza in await juliet.inbox() if stanza.name == "message"]
        assert said == [f"before {number}" for number in range(49)]

    async def test_a_server_that_is_down_is_backed_up_as_well(self) -> None:
        server = await Server.start(self)
        await server.kill()
        data, file = server.folder / "data", server.folder / "backup.db"

        done = command("--data", str(data), "--json", "backup", str(file))

        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"file": str(file), "bytes": file.stat().st_size}


class Status(TestCase):
    timeout = LONGEST

    async def test_a_server_tells_how_it_is_up_or_down(self) -> None:
        server = await Server.start(self)

        found = told(server, "status")
        assert found["problems"] == []
        assert found["pid"] == server.ready.pid
        port = server.ready.c2s.port
        assert found["listeners"]["client"] == [f"127.0.0.1:{port}"]
        assert found["listeners"]["admin"] == [str(server.ready.admin)]
        assert pushdctl(server, "status").stdout.endswith("\nall is well\n")

        # A renewed certificate that is of no use is in nobody's way but the operator's.
        (server.folder / "data" / "certificates" / "server-key.pem").write_text("nonsense")
        with Raw(server.ready.c2s) as raw:
            raw.secure(server.ready.ca)
        wrong = pushdctl(server, "status")
        assert wrong.returncode == 3
        assert "\nWRONG: the renewed certificate of localhost cannot be used: " in wrong.stdout

        await server.kill()
        down = command("--data", str(server.folder / "data"), "status")
        assert down.returncode == 3
        assert down.stdout.endswith("\nWRONG: the server does not run\n")
