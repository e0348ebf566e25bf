"""Starting and stopping, as an operator and a harness see it: processes, exit codes, words.

Each test has a folder of its own, which is also where its servers tell that they run.
"""

import json
import os
import re
import resource
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from benchmarks import ports
from pushd.net.certificates import DevelopmentCA
from tests import nursery
from tests.patience import PATIENCE
from tests.unit.providers import bench

ROOT = Path(__file__).parents[2]
PYTHON_M = (sys.executable, "-m", "pushd")
NEW = ("env", *PYTHON_M)  # where a process that the nursery bears would not do
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
SCRIPT = Path(sys.executable).with_name("twistd")
WITH_US = f"--with-process={os.getpid()}"  # whoever kills the tests leaves no server
PUSHDCTL = (sys.executable, "-m", "pushd.cli.pushdctl")
STORY = re.compile(r"3 messages, [1-3] push(es)?, nothing lost, in \d+\.\d s")


class Run:
    """A process whose output goes to files; it is gone when the test ends."""

    def __init__(self, folder: Path, command: Sequence[str | Path]) -> None:
        number = len(list(folder.glob("*.out")))
        self._out, self._err = folder / f"{number}.out", folder / f"{number}.err"
        self._process: nursery.Born | subprocess.Popen[bytes]
        given = [str(part) for part in command]
        variables = environment(folder)
        with (
            self._out.open("wb") as out,
            self._err.open("wb") as err,
            Path(os.devnull).open("rb") as nothing,
        ):
            files = (nothing, out, err)
            if nursery.bears(given):
                descriptors = [file.fileno() for file in files]
                self._process = nursery.Born(given, variables, folder, descriptors)
            else:
                self._process = subprocess.Popen(given, 0, None, *files, cwd=folder, env=variables)
        self.pid = self._process.pid

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    @property
    def is_over(self) -> bool:
        return self._process.poll() is not None

    def ended(self) -> int:
        return self._process.wait(PATIENCE)

    def stop(self, number: int = signal.SIGTERM) -> int:
        if not self.is_over:
            self._process.send_signal(number)
        return self.ended()


class Operator:
    """Somebody with a folder, who starts things in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: list[Run] = []

    def run(self, *command: str | Path) -> Run:
        self.runs.append(Run(self.folder, command))
        return self.runs[-1]

    def fails(self, *command: str | Path) -> tuple[int, str]:
        """The exit code, and what was said on standard error; no traceback anywhere."""
        run = self.run(*command)
        code = run.ended()
        assert "Traceback" not in run.out + run.err
        return code, run.err

    def develop(self, *options: str | Path, by: Sequence[str] = PYTHON_M) -> tuple[Run, Any]:
        """Start a development server, and wait for its ready file."""
        file = self.folder / f"ready-{len(self.runs)}.json"
        run = self.run(*by, "--dev", "--ready-file", file, *options)
        return run, self.wait(run, file)

    def wait(self, run: Run, file: Path) -> Any:
        until = time.monotonic() + PATIENCE
        while not file.exists():
            assert not run.is_over, f"it ended:\n{run.out}\n{run.err}"
            assert time.monotonic() < until, "not ready in time"
            time.sleep(0.01)
        return json.loads(file.read_text())

    def pushdctl(
        self, *arguments: str | Path, given: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        command = [*PUSHDCTL, *map(str, arguments)]
        variables = environment(self.folder) | variables
        done = nursery.Heard(command, self.folder, variables, given)
        return subprocess.CompletedProcess(command, *done.ended(PATIENCE + 30))

    def configure(self, **sections: Any) -> Path:
        """A good configuration of example.net on free ports, changed by `sections`."""
        issued = DevelopmentCA(self.folder, time.time()).issue(["example.net"], "server")
        entry = {"certificate": str(issued.certificate), "key": str(issued.key)}
        usual: dict[str, Any] = {
            "domains": {"example.net": entry},
            "data": "data",
            "listen": {"client": [free_port()], "client_tls": [free_port()]},
        }
        path = self.folder / "pushd.yml"
        path.write_text(json.dumps(usual | sections, indent=1))  # JSON is YAML, too
        return path


def environment(folder: Path) -> dict[str, str]:
    kept = {**os.environ, "TMPDIR": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


_given: set[int] = set()


def free_port() -> str:
    return f"127.0.0.1:{ports.free_port()}"


def ports_of(ready: Any) -> dict[str, int]:
    ports = {name: ready[name]["port"] for name in ("c2s", "c2s_tls", "component")}
    simulators = ready["simulators"]
    urls = {name: simulator["url"] for name, simulator in simulators.items()}
    urls["apns_sandbox"] = simulators["apns"]["sandbox_url"]
    return ports | {name: int(url.rpartition(":")[2]) for name, url in urls.items()}


@pytest.fixture
def operator() -> Iterator[Operator]:
    with TemporaryDirectory(prefix="pushd-") as folder:  # short: there are sockets in it
        made = Operator(Path(folder))
        yield made
        for run in made.runs:
            run.stop(signal.SIGKILL)


# The first minute.


def test_a_development_server_says_what_listens_where_and_stops_in_order(
    operator: Operator,
) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    server, ready = operator.develop("--free-ports", "--events", "events.jsonl", by=NEW)

    assert ready["pid"] == server.pid
    assert ready["domain"] == "localhost"
    assert [account["jid"] for account in ready["accounts"]] == [
        "romeo@localhost",
        "juliet@localhost",
    ]
    assert ready["events"] == str(operator.folder / "events.jsonl")
    for name in ("c2s", "c2s_tls", "component"):
        place = ready[name]
        assert place["host"] == "127.0.0.1"
        assert f"  127.0.0.1:{place['port']}  " in server.out
        socket.create_connection((place["host"], place["port"]), timeout=PATIENCE).close()
    for account in ready["accounts"]:
        assert f"  account {account['jid']}, password {account['password']}\n" in server.out
    for network in ("fcm", "apns", "ubuntu", "wns", "webpush", "unifiedpush", "webhook"):
        assert f"  {ready['simulators'][network]['url']}  " in server.out
    assert "BEGIN CERTIFICATE" in Path(ready["ca"]).read_text()
    assert "BEGIN PRIVATE KEY" in Path(ready["simulators"]["apns"]["key_file"]).read_text()
    assert len(ready["simulators"]["webpush"]["vapid"]) == 87  # base64url of 65 bytes
    data = Path(ready["data"])
    assert data.is_dir()

    assert server.stop() == 0

    assert server.err == ""
    assert "starting on" not in server.out
    assert not data.exists()
    assert not list(operator.folder.glob("ready-*.json"))
    assert not list(operator.folder.glob("pushd-dev-*"))
    events = (operator.folder / "events.jsonl").read_text().splitlines()
    assert json.loads(events[0])["event"] == "server-started"
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # What keeps a start within a second; wall time would measure the neighbours, too.
    assert spent < 2.5


def test_an_interrupt_stops_in_order_as_well(operator: Operator) -> None:
    server, _ = operator.develop("--free-ports", by=NEW)

    assert server.stop(signal.SIGINT) == 0
    assert "Traceback" not in server.out + server.err


def test_a_server_told_to_stop_while_it_starts_ends_without_a_word(operator: Operator) -> None:
    server = operator.run(*NEW, "--dev", "--free-ports", "--data", "data")
    until = time.monotonic() + PATIENCE
    while not (operator.folder / "data" / "pushd.db").exists():
        assert time.monotonic() < until
        time.sleep(0.001)

    code = server.stop()

    assert code in (0, -signal.SIGTERM)  # by the signal itself before the reactor runs
    assert server.err == ""
    assert "Traceback" not in server.out


def test_two_development_servers_run_side_by_side(operator: Operator) -> None:
    first, one = operator.develop()
    second, other = operator.develop()

    assert not set(ports_of(one).values()) & set(ports_of(other).values())
    assert operator.pushdctl("user", "list").returncode == 0
    # Each has an entry that pushdctl finds; the end of one leaves the other's.
    assert second.stop() == 0
    assert operator.pushdctl("user", "list").stdout == "juliet@localhost\nromeo@localhost\n"
    assert first.stop() == 0
    assert operator.pushdctl("user", "list").returncode == 1


def test_only_the_busy_port_is_replaced(operator: Operator) -> None:
    server, ready = operator.develop("--data", "data", "--free-ports")
    before = ports_of(ready)
    assert server.stop() == 0
    with socket.create_server(("127.0.0.1", before["c2s_tls"])):
        _, ready = operator.develop("--data", "data")

    after = ports_of(ready)
    assert after.pop("c2s_tls") != before.pop("c2s_tls")
    assert after == before


def test_a_restart_on_the_same_folder_keeps_accounts_and_ports(operator: Operator) -> None:
    server, first = operator.develop("--data", "data", "--free-ports")
    added = operator.pushdctl("user", "add", "benvolio@localhost", given="pilot\n")
    assert added.stdout == "added benvolio@localhost\n"
    assert server.stop(signal.SIGKILL) == -signal.SIGKILL

    server, second = operator.develop("--data", "data")

    assert second["accounts"] == first["accounts"]
    assert second["component_secret"] == first["component_secret"]
    assert second["ca"] == first["ca"]
    assert ports_of(second) == ports_of(first)
    assert second["simulators"] == first["simulators"]
    listed = operator.pushdctl("user", "list")
    assert listed.stdout == "benvolio@localhost\njuliet@localhost\nromeo@localhost\n"
    # Logs in with the passwords of the first run.
    file = operator.folder / "ready-1.json"
    shown = operator.pushdctl("demo", "--ready-file", file)
    assert STORY.fullmatch(shown.stdout.splitlines()[-1]), shown.stdout + shown.stderr
    assert server.stop() == 0


def test_what_a_stand_in_kept_and_cannot_read_is_named_with_the_remedy(
    operator: Operator,
) -> None:
    (operator.folder / "data").mkdir(mode=0o700)
    (operator.folder / "data" / "apns-key.json").write_text("[]")

    code, said = operator.fails(*PYTHON_M, "--dev", "--free-ports", "--data", "data")

    assert code == 1
    assert "apns-key.json is not a key of an earlier run: remove it, and a new one" in said


def test_twistd_starts_it_as_the_readme_has_it(operator: Operator) -> None:
    server, ready = operator.develop("--free-ports", by=(*TWISTD, "-n", "--pidfile=", "pushd"))

    assert ready["pid"] == server.pid
    assert server.stop() == 0
    assert not (operator.folder / "twistd.pid").exists()


@pytest.mark.skipif(not SCRIPT.exists(), reason="twistd is not installed beside this Python")
def test_the_installed_script_of_twistd_finds_it(operator: Operator) -> None:
    by = (str(SCRIPT), "-n", "--pidfile=", "pushd")
    server, ready = operator.develop("--free-ports", by=by)

    assert ready["pid"] == server.pid
    assert server.stop() == 0


def test_what_a_server_makes_is_for_its_owner_alone_whatever_the_umask(
    operator: Operator,
) -> None:
    open_to_all = ("sh", "-c", 'umask 0; exec "$@"', "sh", *PYTHON_M)
    _, ready = operator.develop(
        "--free-ports", "--data", "new/data", "--events", "events.jsonl", by=open_to_all
    )
    assert operator.pushdctl("backup", "backup.db").returncode == 0
    data = Path(ready["data"])

    def mode(path: Path) -> int:
        return stat.S_IMODE(path.lstat().st_mode)

    assert mode(data) == 0o700
    made = [*data.glob("pushd.*"), data / "certificates" / "server-key.pem"]
    made += [operator.folder / "events.jsonl", operator.folder / "backup.db"]
    made += [*operator.folder.glob("ready-*.json"), *operator.folder.glob("pushd-dev-*.json")]
    modes = {path.name: oct(mode(path)) for path in made}
    assert {"pushd.db", "pushd.db-wal", "pushd.db-shm", "pushd.db.lock", "pushd.sock"} < set(modes)
    assert len(modes) >= 10
    assert set(modes.values()) == {"0o600"}, modes


def test_events_go_on_on_a_line_of_their_own_after_a_kill(operator: Operator) -> None:
    events = operator.folder / "events.jsonl"
    events.write_text('{"at": 1.0, "event": "server-sta')

    operator.develop("--free-ports", "--events", events)

    assert [json.loads(line)["event"] for line in events.read_text().splitlines()[1:]] == [
        "server-started"
    ]


# The demonstration.


def test_the_demonstration_starts_a_server_of_its_own_and_leaves_nothing(
    operator: Operator,
) -> None:
    shown = operator.pushdctl("demo")

    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert shown.stderr == ""
    assert STORY.fullmatch(shown.stdout.splitlines()[-1])
    assert list(operator.folder.iterdir()) == []


def test_the_demonstration_leaves_a_server_that_ran_as_it_was(operator: Operator) -> None:
    server, _ = operator.develop("--free-ports", "--events", "events.jsonl")

    for options, told in (
        ((), "FCM"),
        (("--network", "apns"), "APNs"),
        (("--network", "webpush"), "Mozilla"),
    ):
        shown = operator.pushdctl("demo", *options)
        assert shown.returncode == 0, shown.stdout + shown.stderr
        assert f"process {server.pid}" in shown.stdout
        assert f"in the place of {told} stands" in shown.stdout
        assert STORY.fullmatch(shown.stdout.splitlines()[-1])

    assert not server.is_over
    lines = (operator.folder / "events.jsonl").read_text().splitlines()
    names = [json.loads(line)["event"] for line in lines]
    for one, other in (
        ("device-registered", "device-unregistered"),
        ("push-enabled", "push-disabled"),
        ("session-bound", "session-ended"),
    ):
        assert names.count(one) == names.count(other) > 0


def test_a_demonstration_that_fails_says_why_and_has_exit_code_1(operator: Operator) -> None:
    (operator.folder / "ready.json").write_text('{"pid": 1}')

    shown = operator.pushdctl("demo", "--ready-file", "ready.json")

    assert shown.returncode == 1
    assert shown.stdout.splitlines()[-1] == (
        "it failed: ready.json is not the ready file of a development server: c2s is missing"
    )


def test_a_demonstration_whose_server_does_not_start_repeats_why(operator: Operator) -> None:
    deep = operator.folder / ("x" * 80)
    deep.mkdir()

    shown = operator.pushdctl("demo", TMPDIR=str(deep))

    assert shown.returncode == 1
    assert shown.stdout.splitlines()[-2] == "it failed: the server did not start:"
    assert re.fullmatch(
        rf"pushd: {deep}/pushd-demo-\w+: the path is too long for the socket in it \(100 bytes\)",
        shown.stdout.splitlines()[-1],
    )
    assert list(deep.iterdir()) == []


def test_a_demonstration_that_is_broken_off_takes_its_server_along(operator: Operator) -> None:
    demo = operator.run(*PUSHDCTL, "demo")
    until = time.monotonic() + PATIENCE
    while "starting one" not in demo.out:
        assert time.monotonic() < until
        time.sleep(0.01)

    assert demo.stop(signal.SIGINT) == 130

    assert demo.out.splitlines()[-1] == "broken off"
    assert demo.err == ""
    left = [path.name for path in operator.folder.iterdir() if path.suffix not in (".out", ".err")]
    assert left == []


def test_a_demonstration_that_is_killed_leaves_no_server(operator: Operator) -> None:
    demo = operator.run(*PUSHDCTL, "demo")
    until = time.monotonic() + PATIENCE
    while "serves localhost" not in demo.out:
        assert time.monotonic() < until
        time.sleep(0.01)

    demo.stop(signal.SIGKILL)

    # In order: the entry by which pushdctl finds it is gone as well.
    until = time.monotonic() + PATIENCE
    while list(operator.folder.glob("pushd-dev-*.json")):
        assert time.monotonic() < until
        time.sleep(0.01)


# With a configuration.


def test_a_configured_server_takes_accounts_down_and_up(operator: Operator) -> None:
    config = operator.configure(log={"format": "json"}, limits={"connections": 500})
    added = operator.pushdctl("-c", config, "user", "add", "romeo@example.net", given="pilot\n")
    assert added.stdout == "added romeo@example.net\n"
    file = operator.folder / "ready.json"
    server = operator.run(*PYTHON_M, "--config", config, "--ready-file", file)
    ready = operator.wait(server, file)

    assert ready["domain"] == "example.net"
    added = operator.pushdctl("-c", config, "user", "add", "juliet@example.net", given="pilot\n")
    assert (added.returncode, added.stdout) == (0, "added juliet@example.net\n")
    again = operator.pushdctl("-c", config, "user", "add", "romeo@example.net", given="pilot\n")
    assert (again.returncode, again.stderr) == (
        1,
        "pushdctl: romeo@example.net: the account exists already\n",
    )
    assert server.stop() == 0

    listed = operator.pushdctl("-c", config, "user", "list")
    assert listed.stdout == "juliet@example.net\nromeo@example.net\n"
    lines = [json.loads(line) for line in server.out.splitlines()]
    texts = [line["text"] for line in lines]
    assert f"clients, STARTTLS: listening on 127.0.0.1:{ready['c2s']['port']}" in texts
    assert f"pushdctl: listening on {operator.folder}/data/pushd.sock" in texts
    assert "stopping: SIGTERM" in texts
    assert {line["level"] for line in lines} == {"info"}


def test_a_log_of_warnings_alone_is_silent_when_all_is_well(operator: Operator) -> None:
    config = operator.configure(log={"level": "warning"}, limits={"connections": 500})
    file = operator.folder / "ready.json"
    server = operator.run(*PYTHON_M, "--config", config, "--ready-file", file)
    operator.wait(server, file)

    assert server.stop() == 0
    assert (server.out, server.err) == ("", "")


def test_a_configuration_is_checked_without_starting(operator: Operator) -> None:
    config = operator.configure()

    checked = operator.run(*PYTHON_M, "--config", config, "--check-config")

    assert checked.ended() == 0
    assert checked.out.splitlines()[-1] == "the configuration is good"
    assert checked.err == ""
    assert not (operator.folder / "data").exists()


def test_every_mistake_of_a_configuration_is_told_with_its_line(operator: Operator) -> None:
    config = operator.configure(colour="red", push={"hold": "forever"})

    for options in ((), ("--check-config",)):
        code, said = operator.fails(*PYTHON_M, "--config", config, *options)

        assert code == 2
        assert [line.split(": ")[1] for line in said.splitlines()] == ["colour", "push.hold"]
        assert all(re.match(rf"{config}:\d+:\d+: ", line) for line in said.splitlines())


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("key of another", "whose key does not belong to the certificate"),
        ("no key", "which holds no private key (PEM, without a passphrase)"),
        ("no certificate", "which holds no certificate (PEM)"),
        ("no file", "which cannot be opened (No such file or directory)"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_told_with_its_line(
    operator: Operator, broken: str, words: str
) -> None:
    config = operator.configure()
    match broken:
        case "key of another":
            issued = DevelopmentCA(operator.folder, time.time()).issue(["example.net"], "other")
            issued.key.replace(operator.folder / "server-key.pem")
        case "no key":
            (operator.folder / "server-key.pem").write_text("a key\n")
        case "no certificate":
            (operator.folder / "server.pem").write_text("a certificate\n")
        case "no file":
            (operator.folder / "server.pem").unlink()

    code, said = operator.fails(*PYTHON_M, "--config", config)

    assert code == 2
    assert words in said
    assert len(said.splitlines()) == 1
    assert re.match(rf"{config}:\d+:\d+: domains\.example\.net", said)


def test_a_data_folder_that_cannot_be_made_is_told_with_its_line(operator: Operator) -> None:
    (operator.folder / "file").touch()
    config = operator.configure(data="file/data")

    code, said = operator.fails(*PYTHON_M, "--config", config)

    assert code == 2
    assert f"where '{operator.folder}/file' is not a folder" in said


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}, "key"),
        ({"private_key": None}, "private_key"),
        ({"type": "authorized_user"}, "not of the type service_account"),
        ("no JSON at all", "which is not JSON"),
    ],
    ids=["key", "part", "type", "text"],
)
def test_credentials_of_a_provider_that_are_of_no_use_are_told_with_their_line(
    operator: Operator, changed: Any, words: str
) -> None:
    file = bench.account(operator.folder, **(changed if isinstance(changed, dict) else {}))
    if isinstance(changed, str):
        file.write_text(changed)
    backend = {
        "type": "fcm",
        "register_host": "example.net",
        "pubsub_host": "push.example.net",
        "service_account": str(file),
    }
    config = operator.configure(app_server={"backends": [backend]})

    code, said = operator.fails(*PYTHON_M, "--config", config)

    assert code == 2
    assert words in said
    assert len(said.splitlines()) == 1
    assert re.match(rf"{config}:\d+:\d+: app_server\.backends\[0\]\.service_account", said)
    assert "AAAA" not in said


# What is in the way on this machine.


def test_a_port_that_is_taken_is_named(operator: Operator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = operator.configure(
            listen={"client": [f"127.0.0.1:{port}"], "client_tls": [free_port()]}
        )
        code, said = operator.fails(*PYTHON_M, "--config", config)

    assert (code, said) == (
        1,
        f"pushd: cannot listen on 127.0.0.1:{port}: Address already in use; "
        "does another server run?\n",
    )


def test_an_address_that_is_not_of_this_machine_is_named(operator: Operator) -> None:
    code, said = operator.fails(*PYTHON_M, "--dev", "--listen", "192.0.2.1", "--data", "data")

    assert code == 1
    assert re.fullmatch(
        r"pushd: cannot listen on 192\.0\.2\.1:\d+: Cannot assign requested address\n", said
    )


def test_a_folder_in_use_is_left_as_it_is(operator: Operator) -> None:
    file = operator.folder / f"ready-{len(operator.runs)}.json"
    server, ready = operator.develop("--free-ports", "--data", "data")
    folder = operator.folder / "data"
    before = {path: path.read_bytes() for path in folder.rglob("*.pem")}

    options = ("--dev", "--free-ports", "--data", "data", "--ready-file", file)
    code, said = operator.fails(*PYTHON_M, *options)

    assert (code, said) == (
        1,
        f"pushd: {folder}/pushd.db is in use by process {server.pid}: only one may serve from it\n",
    )
    assert {path: path.read_bytes() for path in folder.rglob("*.pem")} == before
    assert operator.pushdctl("--data", "data", "user", "list").returncode == 0
    assert ready["pid"] == json.loads(file.read_text())["pid"] == server.pid


def test_a_folder_of_a_newer_release_is_left_as_it_is(operator: Operator) -> None:
    config = operator.configure()
    assert operator.pushdctl("-c", config, "user", "list").returncode == 0
    with sqlite3.connect(operator.folder / "data" / "pushd.db") as database:
        known = database.execute("SELECT max(number) FROM migrations").fetchone()[0]
        database.execute("INSERT INTO migrations VALUES (?, 'wings', 'x', 0)", (known + 1,))
    database.close()

    code, said = operator.fails(*PYTHON_M, "--config", config)

    assert (code, said) == (
        1,
        f"pushd: cannot use {operator.folder}/data/pushd.db: its schema is number {known + 1} "
        f"(wings), this release knows {known}: start the newer release that wrote it\n",
    )


def test_a_file_of_another_program_is_left_as_it_is(operator: Operator) -> None:
    config = operator.configure()
    (operator.folder / "data").mkdir()
    path = operator.folder / "data" / "pushd.db"
    path.write_bytes(b"certainly no database " * 50)

    code, said = operator.fails(*PYTHON_M, "--config", config)

    assert (code, said) == (1, f"pushd: cannot use {path}: file is not a database\n")
    assert path.read_bytes() == b"certainly no database " * 50


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_named(operator: Operator) -> None:
    folder = operator.folder / "data"
    folder.mkdir(mode=0o500)

    code, said = operator.fails(*PYTHON_M, "--dev", "--free-ports", "--data", folder)

    assert (code, said) == (1, f"pushd: cannot open {folder}/pushd.db.lock: Permission denied\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data", "file/data"], "{folder}/file/data: Not a directory"),
        (["--events", "none/events"], "{folder}/none/events: No such file or directory"),
        (["--ready-file", "none/ready"], "{folder}/none: No such file or directory"),
        (
            ["--data", "x" * 100],
            "{folder}/" + "x" * 100 + ": the path is too long for the socket in it (100 bytes)",
        ),
    ],
)
def test_a_path_that_cannot_be_used_is_named_and_nothing_is_left(
    operator: Operator, options: list[str], words: str
) -> None:
    (operator.folder / "file").touch()

    code, said = operator.fails(*PYTHON_M, "--dev", "--free-ports", *options)

    assert (code, said) == (1, f"pushd: {words.format(folder=operator.folder)}\n")
    assert not list(operator.folder.glob("pushd-dev-*"))


def test_a_socket_whose_folder_is_missing_is_named(operator: Operator) -> None:
    listen = {"client": [free_port()], "client_tls": [free_port()], "admin": "run/pushd.sock"}
    config = operator.configure(listen=listen)

    code, said = operator.fails(*PYTHON_M, "--config", config)

    assert (code, said) == (
        1,
        f"pushd: cannot open the socket {operator.folder}/run/pushd.sock: "
        "No such file or directory\n",
    )


def test_a_file_in_place_of_the_socket_is_kept(operator: Operator) -> None:
    listen = {"client": [free_port()], "client_tls": [free_port()], "admin": "precious"}
    config = operator.configure(listen=listen)
    (operator.folder / "precious").write_text("data")

    code, said = operator.fails(*PYTHON_M, "--config", config)

    assert (code, said) == (
        1,
        f"pushd: cannot open the socket {operator.folder}/precious: Address already in use\n",
    )
    assert (operator.folder / "precious").read_text() == "data"


def test_a_daemon_that_does_not_start_says_why_where_it_was_started(operator: Operator) -> None:
    server, _ = operator.develop("--free-ports", "--data", "data")
    daemon = (*TWISTD, "--pidfile=pushd.pid", "--logfile=pushd.log", "pushd")

    code, said = operator.fails(*daemon, "--dev", "--free-ports", "--data", "data")

    assert code == 1
    words = f"{operator.folder}/data/pushd.db is in use by process {server.pid}"
    assert said.startswith(f"pushd: {words}: only one may serve from it\n")
    assert words in (operator.folder / "pushd.log").read_text()
    assert not (operator.folder / "pushd.pid").exists()


def test_storage_that_breaks_while_it_is_read_ends_the_start(operator: Operator) -> None:
    config = operator.configure()
    assert operator.pushdctl("-c", config, "user", "list").returncode == 0
    with sqlite3.connect(operator.folder / "data" / "pushd.db") as database:
        database.execute("DROP TABLE accounts")
    database.close()

    code, said = operator.fails(*PYTHON_M, "--config", config)

    assert code == 1
    assert said.startswith("pushd: ")
    assert "no such table: accounts" in said


def test_a_daemon_runs_until_it_is_told_to_stop(operator: Operator) -> None:
    file = operator.folder / "ready.json"
    started = operator.run(
        *(*TWISTD, "--pidfile=pushd.pid", "--logfile=pushd.log", "pushd"),
        *("--dev", "--free-ports", "--ready-file", file),
    )
    assert started.ended() == 0
    until = time.monotonic() + PATIENCE
    while not file.exists():
        assert time.monotonic() < until, (operator.folder / "pushd.log").read_text()
        time.sleep(0.01)
    pid = int((operator.folder / "pushd.pid").read_text())

    os.kill(pid, signal.SIGTERM)

    while (operator.folder / "pushd.pid").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    assert "stopping: SIGTERM" in (operator.folder / "pushd.log").read_text()
