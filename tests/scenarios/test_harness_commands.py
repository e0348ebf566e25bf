"""pushdctl in the hands of a test harness: marks, waits, cut connections; over real sockets."""

import contextlib
import json
import re
import signal
import subprocess
import sys
from typing import Any

import pytest
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.patience import LONGEST, PATIENCE
from tests.scenarios.harness import Server
from tests.scenarios.process import ROOT
from tests.scenarios.raw import Raw

PUSHDCTL = [sys.executable, "-m", "pushd.cli.pushdctl"]
APNS_TOKEN = "af7aa91ca9b36478d82986c6ef22387e163e0d62aa15913964910cf0ffa50c3a"
JULIET = "juliet@localhost"


class Harness:
    """Runs pushdctl on one server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def command(self, *arguments: str) -> list[str]:
        return [*PUSHDCTL, "--socket", str(self._server.ready.admin), *arguments]

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
        )

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.command(*arguments),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def told(self, *arguments: str) -> Any:
        done = self.run("--json", *arguments)
        assert done.returncode in (0, 3), done.stderr
        return json.loads(done.stdout)

    def mark(self) -> str:
        return self.run("push", "mark").stdout.strip()


class Phone:
    """A client on a bare socket, which can be resumed, and whose device can be woken."""

    def __init__(self, server: Server, user: str = "juliet") -> None:
        self._server = server
        self._user = user
        self.raw = Raw(server.ready.c2s)
        self._id = ""

    def log_in(self, resource: str) -> None:
        server = self._server
        self.raw.log_in(server.ready.ca, server.jid(self._user), server.password(self._user))
        self.raw.bind(resource)
        self.raw.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        enabled = self.raw.read_until(rb"<enabled[^>]*/>")
        found = re.search(rb"\bid='([^']*)'", enabled)
        assert found is not None
        self._id = found[1].decode()
        self.raw.send("<presence/>")
        self.raw.read_until(rb"<presence[^>]*/>")

    def register(self, provider: str, token: str, name: str, **more: str) -> tuple[str, str, str]:
        """jid, node and secret, as the push service gave them."""
        given = {"device-name": name, **({"token": token} if token else {}), **more}
        form = "".join(
            f"<field var='{var.replace('_', '-')}'><value>{value}</value></field>"
            for var, value in given.items()
        )
        self.raw.send(
            f"<iq type='set' id='register' to='{self._server.ready.register_host}'>"
            f"<command xmlns='http://jabber.org/protocol/commands' node='register-push-{provider}'"
            f" action='execute'><x xmlns='jabber:x:data' type='submit'>{form}</x></command></iq>"
        )
        answer = self.raw.read_until(rb"<iq [^>]*id='register'.*?</iq>").decode()

        def field(name: str) -> str:
            found = re.search(rf"var='{name}'[^>]*><value>([^<]*)</value>", answer)
            assert found is not None, answer
            return found[1]

        return field("jid"), field("node"), field("secret")

    def enable(self, jid: str, node: str, secret: str) -> None:
        self.raw.send(
            f"<iq type='set' id='enable'><enable xmlns='urn:xmpp:push:0' jid='{jid}' node='{node}'>"
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>"
            "<value>http://jabber.org/protocol/pubsub#publish-options</value></field>"
            f"<field var='secret'><value>{secret}</value></field></x></enable></iq>"
        )
        assert b"type='result'" in self.raw.read_until(rb"<iq[^>]*id='enable'[^>]*>")

    def resume(self) -> "Phone":
        """Another connection for the same session."""
        again = Phone(self._server, self._user)
        server = self._server
        again.raw.log_in(server.ready.ca, server.jid(self._user), server.password(self._user))
        again.raw.send(f"<resume xmlns='urn:xmpp:sm:3' previd='{self._id}' h='3'/>")
        again.raw.read_until(rb"<resumed[^>]*/>")
        return again

    def drain(self) -> bytes:
        """What has come so far; on this machine nothing is under way for long."""
        self.raw.settimeout(0.1)
        read = b""
        with contextlib.suppress(TimeoutError):
            while True:
                read += self.raw.read_until(rb".")
        self.raw.settimeout(PATIENCE)
        return read

    def stays_silent(self, seconds: float = 0.3) -> None:
        """Nothing at all comes for so long: no bytes, no end."""
        self.raw.settimeout(seconds)
        with pytest.raises(TimeoutError):
            self.raw.read_until(rb".")
        self.raw.settimeout(PATIENCE)


class HarnessCommands(TestCase):
    timeout = LONGEST

    async def begin(self) -> None:
        self.server = await Server.start(self)
        self.harness = Harness(self.server)
        self.phone = Phone(self.server)
        self.friend = Phone(self.server, "romeo")
        for one in (self.phone, self.friend):
            self.addCleanup(one.raw.close)
        self.friend.log_in("orchard")

    def asleep(self, provider: str = "apns", token: str = APNS_TOKEN) -> None:
        """The phone has enabled push, and its connection breaks."""
        self.phone.log_in("phone")
        self.phone.enable(*self.phone.register(provider, token, "Juliet's phone"))
        done = self.harness.run("cut", f"{JULIET}/phone")
        assert (done.returncode, done.stdout) == (0, f"cut {JULIET}/phone: detached\n")

    def write(self, body: str) -> None:
        self.friend.raw.send(f"<message to='{JULIET}' type='chat'><body>{body}</body></message>")

    @pytest.mark.line(136)
    async def test_a_phone_that_is_cut_off_is_pushed_through_apns_and_told_of(self) -> None:
        await self.begin()
        self.asleep()
        self.phone.drain()  # what it was sent before
        self.phone.raw.send("<r xmlns='urn:xmpp:sm:3'/>")
        self.phone.stays_silent()
        mark = self.harness.mark()

        self.write("wherefore art thou")

        done = self.harness.run("wait-push", "--account", JULIET, "--since", mark)
        assert done.returncode == 0, done.stdout + done.stderr
        first, last = done.stdout.splitlines()
        assert re.fullmatch(
            r"provider accepted  push\.localhost [0-9a-f]{6} Juliet's phone"
            r" \(apns/localhost/any\), after \d+\.\d\d s",
            first,
        )
        told = self.harness.told(
            "wait-push", "--account", JULIET, "--since", mark, "--device", "Juliet's phone"
        )
        assert (told["arrived"], told["stage"], len(told["pushes"])) == (True, "accepted", 1)
        assert last == f"mark {told['mark']}"
        # What was there before the mark of the answer is not counted again.
        again = ("--account", JULIET, "--since", str(told["mark"]))
        done = self.harness.run("assert-no-push", *again, "--for", "300ms")
        assert done.returncode == 0
        # It tells how long it has waited, which is no less.
        assert re.fullmatch(rf"no push for {JULIET} in \d+\.\d s\n", done.stdout)
        assert self.harness.run("wait-push", *again, "--timeout", "0.1").returncode == 3
        # And the phone has lost nothing.
        back = self.phone.resume()
        self.addCleanup(back.raw.close)
        back.raw.read_until(rb"wherefore art thou")

        # What came to the stand-in is what Apple would take, without a remark.
        url = f"{self.server.ready.told['simulators']['apns']['control']}/requests"
        (got,) = (await self.server.ask("GET", url))["requests"]
        assert (got["token"], got["status"], got["remarks"]) == (APNS_TOKEN, 200, [])
        assert got["topic"] == "org.example.messenger"
        assert got["message"]["message-count"] == 1

    async def test_a_push_that_came_is_told_to_who_expects_none(self) -> None:
        await self.begin()
        self.asleep("fcm", "phone:APA91b")
        watching = self.harness.start("assert-no-push", "--account", JULIET, "--for", "10m")
        mark = self.harness.mark()
        # The watch may not have begun by now: it says so at once, or as the message comes.
        while watching.poll() is None:
            self.write("come")
            self.friend.raw.send("<r xmlns='urn:xmpp:sm:3'/>")
            self.friend.raw.read_until(rb"<a [^>]*/>")
        said, _ = watching.communicate()
        assert watching.returncode == 3
        assert said.startswith(f"a push for {JULIET} after ")
        told = self.harness.told(
            "assert-no-push", "--account", JULIET, "--for", "0", "--since", mark
        )
        assert told["came"] is True
        assert told["steps"][0]["what"] == "push"

    async def test_a_push_that_the_provider_refuses_shows_how_far_it_got(self) -> None:
        await self.begin()
        self.asleep("fcm", "phone:APA91b")
        await self.server.script({"error": "UNREGISTERED"}, token="phone:APA91b")
        mark = self.harness.mark()
        self.write("come")
        since = ("--account", JULIET, "--since", mark)
        told = self.harness.told("wait-push", *since, "--stage", "settled")
        assert told["pushes"][0]["what"] == "provider unregistered"
        done = self.harness.run("wait-push", *since, "--timeout", "100ms")
        assert done.returncode == 3
        words = rf"no push for {JULIET} in \d+\.\d s; the furthest was answered\n"
        assert re.match(words, done.stdout), done.stdout
        assert "provider unregistered" in done.stdout

    async def test_a_deaf_server_leaves_both_sides_in_the_dark(self) -> None:
        await self.begin()
        self.phone.log_in("phone")
        done = self.harness.run("cut", f"{JULIET}/phone", "--withhold-acks")
        assert (done.returncode, done.stdout) == (0, f"heard no more {JULIET}/phone: live\n")
        self.phone.drain()
        self.phone.raw.send("<r xmlns='urn:xmpp:sm:3'/>")
        self.phone.stays_silent()
        (session,) = self.harness.told("sessions", JULIET)["sessions"]
        assert session["state"] == "live"
        # It still speaks.
        self.write("wherefore art thou")
        self.phone.raw.read_until(rb"wherefore art thou")

    async def test_waits_end_with_the_server(self) -> None:
        await self.begin()
        for number, words in (
            (signal.SIGTERM, "pushdctl: the server is stopping\n"),
            (signal.SIGKILL, "pushdctl: the server gave no answer"),
        ):
            waiting = self.harness.start("wait-push", "--account", JULIET, "--timeout", "5m")
            await self.asked()
            self.server.child.signal(number)
            _, said = await deferToThread(waiting.communicate, timeout=PATIENCE)
            assert waiting.returncode == 1
            assert said.startswith(words)
            await self.server.child.ended(PATIENCE)
            await self.server.restart()

    async def asked(self) -> None:
        """Give pushdctl time to connect; the server counts who has."""
        from tests.scenarios.process import eventually

        path = f"/proc/{self.server.ready.pid}/net/unix"
        name = str(self.server.ready.admin)

        def connected() -> bool | None:
            with open(path) as table:
                return sum(line.rstrip().endswith(name) for line in table) >= 2 or None

        await eventually(connected, PATIENCE, "connection of pushdctl")
        self.harness.mark()  # by the time that another one was answered, it has said what it wants

    async def test_a_mark_is_good_for_the_next_run(self) -> None:
        await self.begin()
        self.asleep()
        mark = self.harness.mark()
        await self.server.kill()
        await self.server.restart()
        self.friend = Phone(self.server, "romeo")
        self.addCleanup(self.friend.raw.close)
        self.friend.log_in("orchard")
        self.write("wherefore art thou")
        told = self.harness.told("wait-push", "--account", JULIET, "--since", mark)
        assert [push["device"] for push in told["pushes"]] == ["Juliet's phone"]
        assert int(self.harness.mark()) > told["mark"] > int(mark)

    async def test_each_network_of_a_development_server_takes_pushes(self) -> None:
        await self.begin()
        self.phone.log_in("phone")
        channel = self.server.ready.told["simulators"]["wns"]["channel"]
        for provider, token, more in (
            ("fcm", "phone:APA91b", {}),
            ("apns", APNS_TOKEN, {}),
            ("apns", APNS_TOKEN[::-1], {"environment": "sandbox"}),
            ("ubuntu", "b25lIHBob25l", {"application_id": "org.example.messenger_messenger"}),
            ("wns", channel, {}),
            ("webhook", "phone", {}),
            ("webpush", "", await self._subscription("google")),
            ("unifiedpush", "", await self._subscription("ntfy")),
        ):
            name = " ".join((provider, *more.values())) if token else provider
            self.phone.register(provider, token, name, device_id=name, **more)
        tests = self.harness.told("push", "test", JULIET)["tests"]
        assert {test["device"]: test["settled"] for test in tests} == {
            "fcm": "accepted",
            "apns": "accepted",
            "apns sandbox": "accepted",
            "ubuntu org.example.messenger_messenger": "accepted",
            "wns": "accepted",
            "webhook": "accepted",
            "webpush": "accepted",
            "unifiedpush": "accepted",
        }
        for name, simulator in self.server.ready.told["simulators"].items():
            got = (await self.server.ask("GET", f"{simulator['control']}/requests"))["requests"]
            statuses = {"apns": [200, 200], "webhook": [204], "webpush": [200, 201]}
            statuses["unifiedpush"] = statuses["webpush"]  # one stand-in plays both
            assert sorted(one["status"] for one in got) == statuses.get(name, [200])

    async def _subscription(self, service: str) -> dict[str, str]:
        control = self.server.ready.told["simulators"]["webpush"]["control"]
        made = await self.server.ask("POST", f"{control}/subscriptions", {"service": service})
        return {name: made[name] for name in ("endpoint", "p256dh", "auth")}

    async def test_what_is_wrong_is_said(self) -> None:
        await self.begin()
        for arguments, code, words in (
            (["wait-push", "--account", "nobody@localhost"], 1, "there is no account"),
            (["wait-push", "--account", JULIET, "--count", "0"], 1, "count: a whole number"),
            (["wait-push"], 2, "the following arguments are required: --account"),
            (["wait-push", "--account", JULIET, "--timeout", "2d"], 2, "up to 1h, is expected"),
            (["wait-push", "--account", JULIET, "--since", "dawn"], 2, "a mark, or a time"),
            (["wait-push", "--account", JULIET, "--stage", "sent"], 2, "invalid choice: 'sent'"),
            (["assert-no-push", "--account", JULIET], 2, "required: --for"),
            (["cut", JULIET], 1, f"{JULIET} has no session with a connection"),
            (["cut", "localhost"], 1, "localhost is no account here"),
        ):
            done = self.harness.run(*arguments)
            assert done.returncode == code, arguments
            assert words in done.stderr
            assert "Traceback" not in done.stderr
