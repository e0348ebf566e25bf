"""A configuration that changes under a server at work: nobody's stream drops."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from cryptography import x509
from twisted.trial.unittest import TestCase

from pushd.net.certificates import DevelopmentCA
from tests.patience import LONGEST, PATIENCE
from tests.scenarios.foreign import Foreign
from tests.scenarios.process import eventually, folder, reactor
from tests.scenarios.raw import Raw
from tests.scenarios.test_secrets import Run as WholeRun
from tests.scenarios.test_starting import PYTHON_M, Operator, Run, free_port
from tests.unit.providers.bench import pem, rsa_key

PING = "<ping xmlns='urn:xmpp:ping'/>"


class House:
    """A configured server of example.net with one account, and its operator."""

    def __init__(self, case: TestCase) -> None:
        self.operator = Operator(folder(case))
        self.folder = self.operator.folder
        self.client, self.tls = free_port(), free_port()
        case.addCleanup(lambda: [run.stop(signal.SIGKILL) for run in self.operator.runs])
        self.configure()
        added = self.operator.pushdctl(
            "-c", "pushd.yml", "user", "add", "romeo@example.net", given="pilot\n"
        )
        assert added.returncode == 0, added.stderr
        self.server = self.start()

    def configure(self, **sections: Any) -> Path:
        """Write the configuration anew, with a new certificate."""
        listen = {"client": [self.client], "client_tls": [self.tls]}
        return self.operator.configure(**{"listen": listen, **sections})

    def start(self, *options: str) -> Run:
        ready = self.folder / "ready.json"
        run = self.operator.run(*PYTHON_M, "--config", "pushd.yml", "--ready-file", ready, *options)
        self.operator.wait(run, ready)
        return run

    def pushdctl(self, *arguments: str) -> Any:
        return self.operator.pushdctl("-c", "pushd.yml", *arguments)

    async def hang_up(self) -> str:
        """SIGHUP; gives what the log has to say about it."""
        before = len(self.server.out)
        os.kill(self.server.pid, signal.SIGHUP)

        def look() -> str | None:
            said = self.server.out[before:]
            return said if "was read again" in said or "nothing was changed" in said else None

        await eventually(look, PATIENCE, "reload in the log")
        return self.server.out[before:]

    def serial(self) -> int:
        """The number of the certificate that a new connection is shown."""
        with Raw(self.place(self.tls), self.folder / "ca.pem", "example.net") as raw:
            return x509.load_der_x509_certificate(raw.certificate()).serial_number

    @property
    def on_disk(self) -> int:
        found = x509.load_pem_x509_certificate((self.folder / "server.pem").read_bytes())
        return found.serial_number

    def place(self, text: str) -> tuple[str, int]:
        host, _, port = text.rpartition(":")
        return host, int(port)

    async def log_in(self, case: TestCase) -> Foreign:
        foreign = await Foreign.start(case)
        host, port = self.place(self.client)
        given = {"jid": "romeo@example.net/orchard", "password": "pilot"}
        where = {"host": host, "port": port, "ca": str(self.folder / "ca.pem")}
        await foreign.do("connect", **given, **where)
        return foreign


class Reloading(TestCase):
    timeout = LONGEST

    async def test_a_session_lives_through_what_new_connections_see(self) -> None:
        house = House(self)
        romeo = await house.log_in(self)
        first = house.serial()
        assert first == house.on_disk

        house.configure(limits={"stanza_bytes": 20_000}, log={"level": "debug"})
        said = await house.hang_up()

        assert "changed: limits.stanza_bytes, log.level" in said
        assert house.on_disk != first
        assert house.serial() == house.on_disk
        answer = await romeo.iq("get", "example.net", PING)
        assert answer["type"] == "result"
        [session] = house.operator.pushdctl("-c", "pushd.yml", "sessions").stdout.splitlines()[1:]
        assert session.startswith("romeo@example.net/orchard")
        again = await house.log_in(self)
        await again.iq("get", "example.net", PING)

    async def test_mistakes_are_all_told_and_change_nothing(self) -> None:
        house = House(self)
        romeo = await house.log_in(self)
        first = house.serial()

        path = house.configure(limits={"stanza_bytes": 7, "speed": 1}, log={"level": "loud"})
        said = await house.hang_up()
        refused = house.pushdctl("reload")
        by_socket = house.operator.pushdctl("--socket", "data/pushd.sock", "reload")

        words = ["limits.stanza_bytes", "limits.speed", "log.level"]
        for text in (said, by_socket.stderr, refused.stderr):
            assert [word for word in words if word not in text] == []
        assert by_socket.returncode == refused.returncode == 1
        assert by_socket.stderr.startswith("pushdctl: nothing was changed, as the configuration")
        assert refused.stderr.endswith(by_socket.stderr)
        assert "Traceback" not in house.server.out
        # The renewed certificate was noticed all the same: its files were of use.
        assert house.serial() == house.on_disk != first
        await romeo.iq("get", "example.net", PING)

        path.unlink()
        gone = house.operator.pushdctl("--socket", "data/pushd.sock", "reload")
        assert gone.returncode == 1
        assert "which cannot be opened" in gone.stderr

    async def test_what_needs_a_restart_is_named(self) -> None:
        house = House(self)
        listen = {"client": [house.client], "client_tls": [free_port()]}

        house.configure(listen=listen, log={"level": "warning", "format": "json"})
        done = house.pushdctl("reload")

        assert done.returncode == 0, done.stderr
        assert done.stdout == (
            "certificates and credentials were read again\n"
            "changed: log.level\na restart is needed for: listen.client_tls, log.format\n"
        )
        assert house.serial() == house.on_disk  # at the old port

    async def test_a_certificate_of_no_use_is_told_by_itself_and_the_old_one_stays(self) -> None:
        house = House(self)
        first = house.serial()
        key = house.folder / "server-key.pem"
        good = key.read_bytes()

        key.write_bytes(b"nonsense")

        assert house.serial() == first
        await eventually(
            lambda: (
                "the renewed certificate of example.net cannot be used" in house.server.out or None
            ),
            PATIENCE,
            "warning in the log",
        )
        refused = house.pushdctl("reload")
        assert refused.returncode == 1
        assert house.serial() == first
        key.write_bytes(good)
        DevelopmentCA(house.folder, reactor.seconds()).issue(["example.net"], "server")
        assert house.serial() == house.on_disk != first

    async def test_the_event_log_goes_on_in_a_new_file(self) -> None:
        house = House(self)
        assert house.server.stop() == 0
        house.server = house.start("--events", "events.jsonl")
        events = house.folder / "events.jsonl"
        events.rename(house.folder / "events.1")

        await house.hang_up()
        await house.log_in(self)

        assert "session-bound" in events.read_text()
        assert "server-started" in (house.folder / "events.1").read_text()


class WithoutConfiguration(TestCase):
    timeout = LONGEST

    async def test_a_server_for_development_has_nothing_to_read_again(self) -> None:
        operator = Operator(folder(self))
        self.addCleanup(lambda: [run.stop(signal.SIGKILL) for run in operator.runs])
        operator.develop("--free-ports")

        refused = operator.pushdctl("reload")

        assert (refused.returncode, refused.stderr) == (
            1,
            "pushdctl: this server has no configuration file to read again\n",
        )


class Credentials(TestCase):
    timeout = LONGEST

    async def test_what_waits_for_a_provider_is_sent_with_other_credentials(self) -> None:
        run = WholeRun(self, "text", private_key=pem(rsa_key()))
        await run.fall_asleep()
        await run.write()
        await eventually(lambda: run.happened("provider-alarm") or None, PATIENCE, "alarm")
        wrong = run.operator.pushdctl("--socket", "data/pushd.sock", "status")
        assert wrong.returncode == 3
        assert "WRONG: provider fcm/example.net/any: token endpoint: HTTP 4" in wrong.stdout

        run.account.write_text(json.dumps({**run.right, "private_key": "no key"}))
        refused = run.operator.pushdctl("--socket", "data/pushd.sock", "reload")
        assert refused.returncode == 1
        assert "app_server.backends[0].service_account" in refused.stderr
        wrong = run.operator.pushdctl("--socket", "data/pushd.sock", "status")
        assert "WRONG: the configuration was not taken over: " in wrong.stdout
        assert "app_server.backends[0].service_account: found " in wrong.stdout
        run.account.write_text(json.dumps(run.right))
        done = run.operator.pushdctl("--socket", "data/pushd.sock", "reload")

        assert (done.returncode, done.stdout) == (
            0,
            "certificates and credentials were read again\n",
        )
        await run.pushed()
        well = run.operator.pushdctl("--socket", "data/pushd.sock", "status")
        assert well.returncode == 0, well.stdout
