"""Rows 37 and 39 to 41 of docs/security.rst: what a stranger can find out, open or provoke."""

import base64
import os
import re
import socket
import stat
from pathlib import Path

from pushd.wire import forms
from pushd.wire.element import child, element
from pushd.wire.namespaces import FORM_PUBLISH_OPTIONS, NS_COMMANDS, NS_PUSH
from tests.patience import PATIENCE
from tests.scenarios.hostile import SASL, SM, STANZAS, Hostile, plain
from tests.scenarios.raw import Raw

UNKNOWN, KNOWN = "nobody@localhost", "romeo@localhost"
SCRAM = ("SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512")
REGISTER = "<query xmlns='jabber:iq:register'>"
TOKEN, BODY, RESOURCE = "a-token-of-a-phone", "a-body-that-is-nobodys", "phone"


def ports_of(pid: int) -> set[int]:
    """The TCP ports that a process listens on, on any address."""
    sockets = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(file))
        except OSError:
            continue
        if found is not None:
            sockets.add(found.group(1))
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


class DoorsTest(Hostile):
    async def test_row_37_nothing_listens_but_what_the_ready_file_tells(self) -> None:
        """No web pages but the metrics, no debugger; the operator's socket is the owner's alone."""
        server = await self.start()
        ready = server.ready
        assert ready.component is not None
        expected = {ready.c2s.port, ready.c2s_tls.port, ready.component.port}
        for simulator in ready.told["simulators"].values():  # only with --dev
            urls = [simulator[key] for key in ("url", "sandbox_url") if key in simulator]
            expected.update(int(url.rpartition(":")[2]) for url in urls)
        expected.add(ready.told["metrics"]["port"])
        assert ports_of(ready.pid) == expected
        mode = ready.admin.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) & 0o077 == 0
        for garbage in (b"\0" * 1_000, b"{" * 70_000, b"GET /../../etc/passwd HTTP/1.1\r\n\r\n"):
            with socket.socket(socket.AF_UNIX) as raw:
                raw.settimeout(PATIENCE)
                raw.connect(str(ready.admin))
                try:
                    raw.sendall(garbage + b"\n")
                    said = raw.recv(1 << 16)
                except ConnectionError:
                    continue
                assert b"root:" not in said
        assert server.child.code is None


class HarvestTest(Hostile):
    async def test_row_39_a_login_tells_nobody_who_has_an_account(self) -> None:
        await self.start()
        for mechanism in SCRAM:
            seen = []
            for user in ("romeo", "nobody"):
                salts = {self.challenge(mechanism, user)["s"] for _ in range(3)}
                assert len(salts) == 1, "a salt that changes tells that it is made up"
                told = self.challenge(mechanism, user)
                seen.append((len(base64.b64decode(told["s"])), told["i"]))
            assert seen[0] == seen[1], mechanism
        assert (
            self.challenge("SCRAM-SHA-1", "nobody")["s"]
            != (self.challenge("SCRAM-SHA-1", "somebody")["s"])
        )
        answers = set()
        for user in ("romeo", "nobody"):
            raw = self.secured()
            raw.send(plain(user, "wrong"))
            answers.add(raw.read_until(b"</failure>"))
            for mechanism in SCRAM:
                answers.add(self.wrong_proof(mechanism, user))
        assert answers == {f"<failure xmlns='{SASL}'><not-authorized/></failure>".encode()}

    def challenge(self, mechanism: str, user: str) -> dict[str, str]:
        raw = self.secured()
        said = self.begin(raw, mechanism, user)
        raw.close()
        return said

    def begin(self, raw: Raw, mechanism: str, user: str) -> dict[str, str]:
        first = base64.b64encode(f"n,,n={user},r=abcdefghijkl".encode()).decode()
        raw.send(f"<auth xmlns='{SASL}' mechanism='{mechanism}'>{first}</auth>")
        said = raw.read_until(b"</challenge>").decode()
        message = base64.b64decode(re.sub(r".*>([^<]+)</challenge>", r"\1", said)).decode()
        return dict(part.split("=", 1) for part in message.split(","))

    def wrong_proof(self, mechanism: str, user: str) -> bytes:
        raw = self.secured()
        nonce = self.begin(raw, mechanism, user)["r"]
        size = {"SCRAM-SHA-1": 20, "SCRAM-SHA-256": 32, "SCRAM-SHA-512": 64}[mechanism]
        proof = base64.b64encode(bytes(size)).decode()
        final = base64.b64encode(f"c=biws,r={nonce},p={proof}".encode()).decode()
        raw.send(f"<response xmlns='{SASL}'>{final}</response>")
        return raw.read_until(b"</failure>")

    async def test_row_39_a_stanza_tells_nobody_who_has_an_account(self) -> None:
        """RFC 6120 §13.11: the same answers about who is there not and who never was."""
        await self.start()
        juliet = self.bound("juliet")
        for sent in (
            "<iq type='get' id='1' to='{}'><query xmlns='jabber:iq:version'/></iq>",
            "<iq type='get' id='1' to='{}'><vCard xmlns='vcard-temp'/></iq>",
            "<iq type='get' id='1' to='{}'><query xmlns='jabber:iq:last'/></iq>",
            "<iq type='get' id='1' to='{}'><query xmlns='jabber:iq:roster'/></iq>",
            "<iq type='set' id='1' to='{}'><query xmlns='jabber:iq:roster'/></iq>",
            "<iq type='get' id='1' to='{}'>"
            "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
            "<iq type='get' id='1' to='{}'>"
            "<query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
            "<iq type='get' id='1' to='{}'><ping xmlns='urn:xmpp:ping'/></iq>",
            "<iq type='get' id='1' to='{}/x'><ping xmlns='urn:xmpp:ping'/></iq>",
            "<iq type='get' id='1' to='{}/x'>"
            "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
        ):
            answers = []
            for jid in (KNOWN, UNKNOWN):
                juliet.send(sent.format(jid))
                said = juliet.read_until(rb"<iq[^>]*(/>|>.*?</iq>)")
                answers.append(said.replace(jid.encode(), b"*"))
            assert answers[0] == answers[1], (sent, answers)
        for presence in ("", " type='probe'", " type='subscribe'", " type='unsubscribed'"):
            answers = []
            for jid in (KNOWN, UNKNOWN):
                juliet.send(f"<presence to='{jid}/x'{presence}/><presence to='{jid}/x'/>")
                juliet.send("<iq type='get' id='e' to='localhost'><e xmlns='urn:e'/></iq>")
                said = juliet.read_until(rb"<iq[^>]*id='e'.*?</iq>")
                said = re.sub(rb"<iq type='set'.*?</iq>", b"", said)  # one's own roster changes
                answers.append(said.replace(jid.encode(), b"*"))
            assert answers[0] == answers[1], (presence, answers)

    async def test_row_40_nobody_registers_an_account(self) -> None:
        await self.start()
        form = f"{REGISTER}<username>eve</username><password>x</password></query>"
        for type, payload in (("get", f"{REGISTER}</query>"), ("set", form)):
            for opened in (self.opened, self.secured, self.logged_in):
                sent = f"<iq type='{type}' id='r' to='localhost'>{payload}</iq>"
                assert self.ended_by(opened(), sent) == "not-authorized"
            raw = self.bound()
            for to in ("", " to='localhost'", " to='juliet@localhost'"):
                raw.send(f"<iq type='{type}' id='r'{to}>{payload}</iq>")
                said = raw.read_until(rb"</iq>")
                assert f"<service-unavailable xmlns='{STANZAS}'/>".encode() in said
        features = self.raw().secure(self.server.ready.ca)
        assert b"register" not in features


class SecretTest(Hostile):
    async def test_row_41_no_secret_of_a_user_reaches_a_log_or_an_event(self) -> None:
        server = await self.start()
        juliet, romeo = server.client("juliet", RESOURCE), server.client("romeo", "desk")
        await juliet.connect()
        juliet.presence()
        form = forms.submit(None, {"token": TOKEN})
        command = element(NS_COMMANDS, "command", form, node="register-push-fcm")
        answer = await juliet.iq("set", "localhost", command)
        completed = child(answer, NS_COMMANDS, "command")
        assert completed is not None
        told = forms.find(completed)
        assert told is not None
        secret = told.fields["secret"][0]
        options = forms.submit(FORM_PUBLISH_OPTIONS, {"secret": secret})
        node = told.fields["node"][0]
        enable = element(NS_PUSH, "enable", options, jid=server.ready.push_host, node=node)
        await juliet.iq("set", "", enable)
        await juliet.enable_sm()
        juliet.cut()
        await server.event("session-detached")
        await romeo.connect()
        romeo.message("juliet@localhost", BODY)
        [notification] = await server.simulator_requests(wait=PATIENCE)
        assert BODY not in str(notification)
        assert "romeo" not in str(notification)
        raw = self.secured()
        raw.send(plain("juliet", "a-wrong-password"))
        raw.read_until(b"</failure>")
        raw = self.logged_in()
        raw.send(f"<resume xmlns='{SM}' previd='a-guessed-token' h='0'/>")
        raw.read_until(b"</failed>")
        raw.try_to_send(f"<message><body>{BODY}</nonsense>")
        raw.read_to_end()
        await server.terminate()
        written = server.log + server.events_file.read_text()
        words = [one.reveal() for one in server.ready.passwords.values()]
        words += [TOKEN, BODY, secret, "a-wrong-password", "a-guessed-token"]
        words += [server.ready.component_secret.reveal()]
        # A server for development greets with what is needed to log in, indented.
        written = re.sub(r"(?m)^  .*$", "", written)
        for word in words:
            assert word not in written, word
