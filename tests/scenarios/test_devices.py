"""Whose phone did not ring asks, with a client of another make; so does the operator."""

from twisted.trial.unittest import TestCase

from pushd.wire import forms
from pushd.wire.element import Element, child, children, serialize
from pushd.wire.namespaces import FORM_PUBLISH_OPTIONS, NS_COMMANDS, NS_PUSH
from tests.patience import LONGEST, PATIENCE
from tests.scenarios.foreign import Foreign
from tests.scenarios.harness import Server
from tests.scenarios.test_operating import told

ADHOC = "xep_0050"
TOKEN = "juliets-phone:" + "A" * 140


class DevicesTest(TestCase):
    timeout = LONGEST

    async def setting(self) -> None:
        """Juliet's phone is registered and asleep; she asks from her desk."""
        self.server = await Server.start(self)
        self.juliet = self.server.jid("juliet")
        self.phone, self.desk = await Foreign.start(self), await Foreign.start(self)
        await self.phone.connect(self.server, "juliet", "phone")
        await self.phone.send("<presence/>")
        given = {"token": TOKEN, "device-name": "Juliet's phone"}
        answer = await self.submit(
            self.phone, self.server.ready.register_host, "register-push-fcm", given
        )
        form = forms.find(answer)
        assert form is not None
        self.node, secret = form.fields["node"][0], form.fields["secret"][0]
        options = serialize(forms.submit(FORM_PUBLISH_OPTIONS, {"secret": secret})).decode()
        enable = f"<enable xmlns='{NS_PUSH}' jid='{form.fields['jid'][0]}' node='{self.node}'>"
        await self.phone.iq("set", "", f"{enable}{options}</enable>")
        await self.phone.acked()
        await self.phone.cut()
        await self.server.event("session-detached")
        await self.desk.connect(self.server, "juliet", "desk")
        self.romeo = self.server.client("romeo", "orchard")
        await self.romeo.connect()

    async def submit(self, who: Foreign, to: str, node: str, fields: dict[str, str]) -> Element:
        form = serialize(forms.submit(None, fields)).decode()
        command = f"<command xmlns='{NS_COMMANDS}' node='{node}' action='complete'>{form}</command>"
        answer = await who.iq("set", to, command, timeout=PATIENCE)
        found = child(answer, NS_COMMANDS, "command")
        assert found is not None, serialize(answer)
        assert found["status"] == "completed"
        return found

    async def rows(self, node: str) -> list[dict[str, str]]:
        """A table, as slixmpp's own plugin asks for it."""
        answer = await self.desk.call(ADHOC, "send_command", self.juliet, node)
        found = child(answer, NS_COMMANDS, "command")
        assert found is not None, serialize(answer)
        form = forms.find(found)
        assert form is not None, serialize(answer)
        return [{name: values[0] for name, values in row.items()} for row in form.items]

    async def done(self, node: str, **fields: str) -> list[str]:
        """Submit a form; gives what is noted."""
        answer = await self.submit(self.desk, self.juliet, node, fields)
        return [str(one) for one in children(answer) if one.name == "note"]

    async def test_the_owner_of_a_phone_asks_why_it_rang_or_not(self) -> None:
        await self.setting()
        self.romeo.message(self.juliet, "wherefore")
        await self.server.event("push-settled")

        listed = await self.desk.call(ADHOC, "get_commands", self.juliet)
        [query] = children(listed)
        nodes = [item["node"] for item in children(query)]
        assert nodes[:3] == ["push-devices", "push-test", "push-remove"]

        [device] = await self.rows("push-devices")
        assert (device["name"], device["state"]) == ("Juliet's phone", "ok")
        assert device["last-push"]
        assert self.node not in str(device)
        told = {row["what"] for row in await self.rows("push-decisions")}
        assert {"push", "publish accepted", "provider: accepted"} <= told
        ledger = {(row["of"], row["what"]) for row in await self.rows("push-ledger")}
        assert ledger >= {("registration", "created"), ("enablement", "pushed")}

        [note] = await self.done("push-test", device=device["node"])
        assert "the push network took it" in note
        assert len(await self.server.simulator_requests(TOKEN)) == 2

        [note] = await self.done("push-pause", **{"for": "3600"})
        assert "Push is paused until" in note
        self.romeo.message(self.juliet, "art thou")
        await self.server.event("push-decided", lambda event: event["reason"] == "paused")
        told = {row["why"] for row in await self.rows("push-decisions") if "why" in row}
        assert "paused" in told
        assert await self.done("push-resume") == ["Push goes on."]
        await self.server.simulator_requests(TOKEN, since=2, wait=PATIENCE)

        [note] = await self.done("push-remove", device=device["node"])
        assert note.endswith("is removed.")
        event = await self.server.event("push-disabled")
        assert event["by"] == self.desk.jid

    async def test_an_operator_asks_and_a_killed_server_remembers(self) -> None:
        await self.setting()
        self.romeo.message(self.juliet, "wherefore")
        await self.server.event("push-settled")

        [device] = told(self.server, "push", "enablements", self.juliet)["enablements"]
        [tried] = told(self.server, "push", "test", self.juliet, device["node"])["tests"]
        assert (tried["arrived"], tried["settled"]) == (True, "accepted")
        told(self.server, "push", "pause", self.juliet)
        await self.server.kill()
        await self.server.restart()

        ledger = told(self.server, "push", "ledger", self.juliet)["ledger"]
        assert [(one["side"], one["what"]) for one in ledger if one["what"] != "pushed"] == [
            ("registration", "created"),
            ("enablement", "created"),
            ("account", "paused"),
        ]
        [device] = told(self.server, "push", "enablements", self.juliet)["enablements"]
        assert device["is_paused"]
        backend = "fcm/localhost/any"
        assert told(self.server, "push", "pause", backend, "--for", "1h")["paused"] == backend
        assert told(self.server, "push", "resume", backend)["resumed"] == backend
