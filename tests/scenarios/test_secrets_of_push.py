"""Everything that tells of pushes, while all goes wrong that can: no secret is in any of it.

Credentials that are refused, a provider that echoes what it is sent, a dead token, a publish
with a wrong secret; then what the operator is told, what the user is, the metrics, and what
the ledger keeps.
"""

import json
import sqlite3
import ssl
from contextlib import closing
from typing import Any
from urllib.request import Request, urlopen

from twisted.trial.unittest import TestCase

from pushd.wire.element import serialize
from pushd.wire.namespaces import NS_COMMANDS, NS_PUBSUB
from tests.patience import LONGEST, PATIENCE
from tests.scenarios.foreign import Foreign
from tests.scenarios.process import eventually
from tests.scenarios.test_secrets import BODY, TOKEN, Run

JULIET = "juliet@example.net"
ECHO = f"you sent {TOKEN} and {BODY}, and the key -----BEGIN PRIVATE KEY-----"


class PushRun(Run):
    """A run whose pushes fail, and of which everybody asks."""

    def __init__(self, case: TestCase) -> None:
        super().__init__(case, "text", client_email="nobody@nowhere.example")
        self.answers = ""  # of the server to users

    def script(self, *answers: dict[str, Any], endpoint: str = "messages") -> None:
        asked = {"token": None, "endpoint": endpoint, "answers": list(answers)}
        request = Request(
            f"{self.simulator['url']}/control/script",
            json.dumps(asked).encode(),
            {"Content-Type": "application/json"},
        )
        trusted = ssl.create_default_context(cafile=self.simulator["ca"])
        with urlopen(request, timeout=PATIENCE, context=trusted) as answer:
            assert answer.status == 200

    def count(self, name: str, **fields: object) -> int:
        """How many events of this name, and with these fields, there were."""
        *lines, _ = self.events.read_text().split("\n")
        found = [one for one in map(json.loads, lines) if one["event"] == name]
        return sum(all(one[key] == value for key, value in fields.items()) for one in found)

    async def once(self, name: str, **fields: object) -> None:
        what = f"{name} {fields}"
        await eventually(lambda: self.count(name, **fields) > 0 or None, PATIENCE, what)

    async def settled(self, before: int) -> None:
        """One more push is done with."""
        what = "push that is settled"
        await eventually(lambda: self.count("push-settled") > before or None, PATIENCE, what)

    async def fail(self) -> Foreign:
        """Each thing that can go wrong, in turn."""
        phone = await self.fall_asleep()
        await self.write()
        await self.once("provider-alarm")
        self.pushdctl_told("status", code=3)
        self.account.write_text(json.dumps(self.right))
        self.pushdctl("reload")
        await self.pushed()
        refused = {"status": 400, "body": ECHO, "headers": {"X-Echo": TOKEN}}
        self.script(refused, endpoint="tokens")
        self.pushdctl("reload")
        await self.write()
        await self.once("provider-alarm", reason="token endpoint: HTTP 400")
        before = self.count("push-settled")
        self.pushdctl("reload")
        await self.settled(before)
        for answer, outcome in (
            ({"status": 400, "body": ECHO}, "refused"),
            ({"status": 400, "body": json.dumps({"error": {"message": ECHO}})}, "refused"),
            ({"status": 500, "body": ECHO, "retry_after": 0}, "busy"),
            ({"ending": "truncated", "body": ECHO}, "failed"),
        ):
            self.script(answer)
            before = self.count("push-settled")
            await self.write()
            await self.once("provider-answered", outcome=outcome)
            self.pushdctl("reload")  # ends the pause after what is to be tried again
            await self.settled(before)
        return phone

    async def ask(self, who: Foreign, to: str, payload: str) -> None:
        self.answers += serialize(await who.iq("set", to, payload, timeout=PATIENCE)).decode()

    async def tell(self) -> None:
        """What the user and the operator are told; the device's token dies meanwhile."""
        desk = await self.log_in("juliet")
        node, secret = self.secrets["node"], "a wrong secret"
        self.secrets["wrong secret"] = secret
        await self.ask(
            desk,
            "push.example.net",
            f"<pubsub xmlns='{NS_PUBSUB}'><publish node='{node}'><item><notification "
            "xmlns='urn:xmpp:push:0'/></item></publish><publish-options><x xmlns='jabber:x:data' "
            f"type='submit'><field var='secret'><value>{secret}</value></field></x>"
            "</publish-options></pubsub>",
        )
        assert "forbidden" in self.answers
        self.answers = self.answers.replace(node, "")  # which its own request had
        for name, field in (
            ("push-devices", ""),
            ("push-test", ""),
            ("push-test", "device"),
            ("push-decisions", ""),
            ("push-ledger", ""),
            ("push-remove", ""),
        ):
            form = f"<field var='{field}'><value>juliets</value></field>" if field else ""
            form = form and f"<x xmlns='jabber:x:data' type='submit'>{form}</x>"
            command = f"<command xmlns='{NS_COMMANDS}' node='{name}'>{form}</command>"
            await self.ask(desk, JULIET, command)
        assert self.answers.count("status='completed'") >= 4, self.answers
        self.operate()
        self.script({"error": "UNREGISTERED"})
        self.pushdctl_told("push", "test", JULIET, code=3)
        await self.once("device-unregistered")
        self.operate()

    def operate(self) -> None:
        """Everything that an operator may ask of push."""
        for words in (
            ("registrations",),
            ("enablements",),
            ("queue",),
            ("blocked",),
            ("registrations", JULIET),
            ("enablements", JULIET),
            ("decisions", JULIET),
            ("ledger", JULIET),
        ):
            self.pushdctl("push", *words)
            self.pushdctl("push", *words, "--json")

    def pushdctl_told(self, *arguments: str, code: int) -> None:
        done = self.operator.pushdctl("--socket", "data/pushd.sock", *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        self.said += done.stdout + done.stderr

    def scrape(self) -> str:
        with urlopen(f"http://{self.metrics}/metrics", timeout=PATIENCE) as page:
            return str(page.read().decode())

    def kept(self) -> str:
        """What the ledger has on disk."""
        with closing(sqlite3.connect(self.folder / "data" / "pushd.db")) as database:
            return repr(database.execute("SELECT * FROM push_ledger").fetchall())


class SecretsOfPush(TestCase):
    timeout = LONGEST

    async def test_no_secret_is_in_what_tells_of_pushes(self) -> None:
        run = PushRun(self)
        await run.fail()
        await run.tell()
        metrics = run.scrape()
        written = {**run.finish(), "answers": run.answers, "metrics": metrics, "kept": run.kept()}

        assert "removed" in written["kept"]
        assert 'outcome="unregistered"' in written["metrics"]
        found = [
            (what, place)
            for what, secret in {**run.secrets, "echo": "you sent"}.items()
            for place, text in written.items()
            if secret in text
        ]
        assert found == []
