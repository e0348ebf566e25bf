"""A whole run with everything logged that can be: no secret is in any of it.

Logins right and wrong, a registration, a push with the text of the message, a resumption,
a component, and a new password, at the level debug, with the trace of the stanzas.
"""

import base64
import hashlib
import json
import re
import signal
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from pushd.wire import forms
from pushd.wire.element import Element, child, serialize
from pushd.wire.namespaces import FORM_PUBLISH_OPTIONS, NS_COMMANDS, NS_PUSH
from pushd.wire.secret import Secret
from tests.patience import LONGEST, PATIENCE
from tests.scenarios.foreign import Foreign, ForeignError
from tests.scenarios.process import eventually, folder
from tests.scenarios.raw import Raw
from tests.scenarios.test_starting import PYTHON_M, Operator, free_port

PASSWORD = "open sesame and barley"
NEW_PASSWORD = "open wheat"
WRONG = "guesswork 4711"
TOKEN = "phone:APA91b-device-token"
BODY = "wherefore art thou"
SUBJECT = "balcony business"
SHARED = "component handshake secret"


class Run:
    """One server with all that there is to it, and who uses it."""

    def __init__(self, case: TestCase, form: str, **spoiled: str) -> None:
        """`spoiled` are parts of the service account's file that are wrong at first."""
        self.case = case
        self.operator = Operator(folder(case))
        self.folder = self.operator.folder
        case.addCleanup(lambda: [run.stop(signal.SIGKILL) for run in self.operator.runs])
        self.client, self.component, self.metrics = free_port(), free_port(), free_port()
        self.secrets = {
            "password": PASSWORD,
            "new password": NEW_PASSWORD,
            "wrong password": WRONG,
            "token": TOKEN,
            "body": BODY,
            "subject": SUBJECT,
            "component": SHARED,
            "access token": "ya29.",
            "key": "PRIVATE KEY",
            "PLAIN": base64.b64encode(f"\0romeo\0{PASSWORD}".encode()).decode(),
            "wrong PLAIN": base64.b64encode(f"\0romeo\0{WRONG}".encode()).decode(),
        }
        self._start(form, spoiled)

    def _start(self, form: str, spoiled: dict[str, str]) -> None:
        ready = self.folder / "simulator.json"
        simulator = self.operator.run(
            *PYTHON_M[:2], "pushd.simulators", "fcm", "--listen", "127.0.0.1:0",
            "--ready-file", ready,
        )  # fmt: skip
        told = self.simulator = self.operator.wait(simulator, ready)
        self.account = self.folder / "account.json"
        self.right = json.loads(Path(told["service_account"]).read_bytes())
        self.account.write_text(json.dumps({**self.right, **spoiled}))
        self.account.chmod(0o600)
        backend = {
            "type": "fcm",
            "register_host": "example.net",
            "pubsub_host": "push.example.net",
            "base_url": told["url"],
            "ca_file": told["ca"],
            "service_account": str(self.account),
        }
        self.operator.configure(
            listen={
                "client": [self.client],
                "client_tls": [],
                "component": [self.component],
                "metrics": [self.metrics],
            },
            components={"rooms.example.net": {"secret": SHARED}},
            push={"include_message_bodies": True, "include_senders": True, "coalesce": 0},
            app_server={"backends": [backend]},
            log={"level": "debug", "format": form},
        )
        self.events = self.folder / "events.jsonl"
        server_ready = self.folder / "ready.json"
        self.server = self.operator.run(
            *PYTHON_M, "--config", "pushd.yml", "--ready-file", server_ready,
            "--events", self.events, "--trace",
        )  # fmt: skip
        self.operator.wait(self.server, server_ready)
        self.said = ""
        for user in ("romeo", "juliet"):
            self.pushdctl("user", "add", f"{user}@example.net", given=f"{PASSWORD}\n")

    def pushdctl(self, *arguments: str, given: str = "") -> None:
        done = self.operator.pushdctl("--socket", "data/pushd.sock", *arguments, given=given)
        assert done.returncode == 0, done.stderr
        self.said += done.stdout + done.stderr

    def place(self, text: str) -> tuple[str, int]:
        host, _, port = text.rpartition(":")
        return host, int(port)

    def happened(self, name: str) -> bool:
        return f'"event": "{name}"' in self.events.read_text()

    async def log_in(self, user: str, password: str = PASSWORD, **more: Any) -> Foreign:
        foreign = await Foreign.start(self.case)
        host, port = self.place(self.client)
        where = {"host": host, "port": port, "ca": str(self.folder / "ca.pem")}
        jid = f"{user}@example.net/{user}s"
        await foreign.do("connect", jid=jid, password=password, **where, **more)
        return foreign

    async def command(self, who: Foreign, node: str, form: Element) -> Element:
        payload = (
            f"<command xmlns='{NS_COMMANDS}' node='{node}'>{serialize(form).decode()}</command>"
        )
        answer = await who.iq("set", "example.net", payload)
        found = child(answer, NS_COMMANDS, "command")
        assert found is not None, serialize(answer)
        return found

    async def live(self) -> None:
        """All that a phone and its friend do."""
        phone = await self.fall_asleep()
        await self.write()
        await self.pushed()
        assert (await phone.do("resume"))["resumed"]
        await phone.wait("message", BODY)

    async def fall_asleep(self) -> Foreign:
        """A phone registers, enables push, and loses its connection."""
        phone = await self.log_in("juliet")
        await phone.send("<presence/>")
        form = forms.submit(None, {"token": TOKEN, "device-name": "Juliet's phone"})
        answered = forms.find(await self.command(phone, "register-push-fcm", form))
        assert answered is not None
        node, secret = answered.fields["node"][0], answered.fields["secret"][0]
        self.secrets["secret of the node"] = secret
        self.secrets["node"] = node
        options = serialize(forms.submit(FORM_PUBLISH_OPTIONS, {"secret": secret})).decode()
        enable = (
            f"<enable xmlns='{NS_PUSH}' jid='push.example.net' node='{node}'>{options}</enable>"
        )
        assert (await phone.iq("set", "", enable))["type"] == "result"
        self.secrets["resumption"] = (await phone.do("managed"))["id"]
        await phone.acked()
        await phone.cut()
        await eventually(lambda: self.happened("session-detached") or None, PATIENCE, "cut")
        return phone

    async def write(self) -> None:
        """Its friend has something to say."""
        friend = await self.log_in("romeo", mechanism="PLAIN")
        message = f"<message to='juliet@example.net' type='chat'><subject>{SUBJECT}</subject>"
        await friend.send(f"{message}<body>{BODY}</body></message>")
        await friend.acked()

    async def pushed(self) -> None:
        """The provider has taken a push."""

        def look() -> bool | None:
            *lines, _ = self.events.read_text().split("\n")
            answers = [one for one in map(json.loads, lines) if one["event"] == "provider-answered"]
            # Number 0 is the request for a credential.
            return any(one["number"] and one["outcome"] == "accepted" for one in answers) or None

        await eventually(look, PATIENCE, "push that is taken")

    async def guess(self) -> None:
        """Logins that fail, streams that are wrong, and a component that is right."""
        for mechanism in ("PLAIN", "SCRAM-SHA-256"):
            try:
                await self.log_in("romeo", WRONG, mechanism=mechanism)
            except ForeignError:
                continue
            raise AssertionError("a wrong password was right")
        ca = self.folder / "ca.pem"
        with Raw(self.place(self.client)) as raw:
            raw.log_in(ca, "romeo@example.net", Secret(PASSWORD))
            raw.bind("raw")
            raw.send(f"<message to='juliet@example.net'><body>{BODY}</wrong>")
            assert b"not-well-formed" in raw.read_to_end()
        with Raw(self.place(self.client)) as raw:
            raw.log_in(ca, "romeo@example.net", Secret(PASSWORD))
            raw.send(
                f"<resume xmlns='urn:xmpp:sm:3' previd='{self.secrets['resumption']}x' h='0'/>"
            )
            raw.read_until(rb"</failed>")
        with Raw(self.place(self.component)) as raw:
            raw.send(
                "<stream:stream to='rooms.example.net' xmlns='jabber:component:accept'"
                " xmlns:stream='http://etherx.jabber.org/streams'>"
            )
            header = raw.read_until(rb"<stream:stream[^>]*>").decode()
            found = re.search(r"\sid=['\"]([^'\"]+)", header)
            assert found is not None
            proof = hashlib.sha1((found[1] + SHARED).encode()).hexdigest()
            self.secrets["handshake"] = proof
            raw.send(f"<handshake>{proof}</handshake>")
            raw.read_until(rb"<handshake/>")

    def finish(self) -> dict[str, str]:
        """Change a password, ask for everything, stop; gives all that was written."""
        self.pushdctl("user", "passwd", "romeo@example.net", given=f"{NEW_PASSWORD}\n")
        for words in (["sessions"], ["status"], ["reload"], ["user", "list"]):
            self.pushdctl(*words, "--json")
        assert self.server.stop() == 0
        return {
            "log": self.server.out,
            "standard error": self.server.err,
            "events": self.events.read_text(),
            "pushdctl": self.said,
        }


class Secrets(TestCase):
    timeout = LONGEST

    async def check(self, form: str) -> None:
        run = Run(self, form)
        await run.live()
        await run.guess()
        written = run.finish()

        assert len(written["log"]) > 1000
        assert "stanza-received" in written["events"]
        found = [
            (what, place)
            for what, secret in run.secrets.items()
            for place, text in written.items()
            if secret in text
        ]
        assert found == []
        if form == "json":
            for line in written["log"].splitlines():
                fields = json.loads(line)
                assert not any(isinstance(value, dict | list) for value in fields.values()), line
        for line in written["events"].splitlines():
            assert not any(isinstance(value, dict | list) for value in json.loads(line).values())
        assert Path(run.folder / "data" / "pushd.db").stat().st_mode & 0o777 == 0o600

    async def test_no_secret_is_in_a_log_of_lines(self) -> None:
        await self.check("text")

    async def test_no_secret_is_in_a_log_of_objects(self) -> None:
        await self.check("json")
