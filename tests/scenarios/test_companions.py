"""Servers that end with who started them, and several of them beside each other."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE

ROOT = Path(__file__).parents[2]
SERVER = [sys.executable, "-m", "pushd", "--dev", "--free-ports"]
STAND_IN = [sys.executable, "-m", "pushd.simulators", "apns"]
PUSHDCTL = [sys.executable, "-m", "pushd.cli.pushdctl"]

# Starts the command in its arguments with pipes, as a harness may do, and waits to be killed.
HARNESS = """
import subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
for line in child.stdout:
    pass
"""


class Started:
    """A harness that has started a server, and the server's ready file."""

    def __init__(self, folder: Path, *command: str, shell: str = "") -> None:
        self.folder = folder
        self.file = folder / "ready.json"
        arguments = [*command, f"--ready-file={self.file}"]
        if shell:
            begin = ["sh", "-c", shell, "sh", *arguments]
        else:
            begin = [sys.executable, "-c", HARNESS, *arguments]
        self.harness = subprocess.Popen(begin, cwd=folder, env=environment(folder))

    def ready(self) -> Any:
        wait_for(self.file.exists, "ready file")
        return json.loads(self.file.read_text())


def environment(folder: Path) -> dict[str, str]:
    apart = {"TMPDIR": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    return {**os.environ, **apart, "PYTHONPATH": str(ROOT)}


def wait_for(look: Any, what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < until, f"no {what} in time"
        time.sleep(0.01)


def is_over(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has asked for its exit code yet."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Any]:
    """Starts harnesses; neither they nor their servers outlive the test."""
    made: list[Started] = []

    def start(*command: str, shell: str = "") -> Started:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Started(folder, *command, shell=shell))
        return made[-1]

    yield start
    for one in made:
        one.harness.kill()
        one.harness.wait(PATIENCE)
        if one.file.exists():
            pid = json.loads(one.file.read_text())["pid"]
            if not is_over(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells whether a process has ended")
@pytest.mark.parametrize("command", [SERVER, STAND_IN], ids=["server", "stand-in"])
def test_a_server_stops_in_order_when_its_harness_is_killed(
    started: Any, command: list[str]
) -> None:
    one = started(*command, "--with-process", "parent")
    ready = one.ready()
    assert not is_over(ready["pid"])

    one.harness.send_signal(signal.SIGKILL)

    wait_for(lambda: is_over(ready["pid"]), "end of the server")
    # What it made for this run is gone: it was not just killed along.
    left = [path.name for path in one.folder.iterdir() if path != one.file]
    assert left == []
    assert command is STAND_IN or not one.file.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells whether a process has ended")
def test_a_server_may_live_with_a_process_that_did_not_start_it(started: Any) -> None:
    one = started(*SERVER, shell='( "$@" --with-process $$ >log 2>&1 & ); sleep 1000')
    ready = one.ready()

    one.harness.send_signal(signal.SIGKILL)

    wait_for(lambda: is_over(ready["pid"]), "end of the server")
    log = (one.folder / "log").read_text()
    assert f"stopping: process {one.harness.pid} has ended" in log
    assert "Traceback" not in log
    assert not one.file.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--with-process", "mother"], "'mother': the number of a process, or parent, is expected"),
        (["--with-process", "2147483647"], "there is no process 2147483647"),
    ],
)
@pytest.mark.parametrize("command", [SERVER, STAND_IN], ids=["server", "stand-in"])
def test_a_process_that_is_none_is_refused(
    tmp_path: Path, command: list[str], arguments: list[str], words: str
) -> None:
    done = subprocess.run(
        [*command, *arguments],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_daemon_lives_with_nobody(tmp_path: Path) -> None:
    begin = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "pushd"]
    done = subprocess.run(
        [*begin, "--dev", "--with-process", "parent"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 2
    assert "--with-process goes with twistd -n: a daemon is alone" in done.stderr


def test_four_servers_at_once_are_apart(tmp_path: Path, started: Any) -> None:
    """Started in the same instant, with the same folder for their temporary files."""
    common = f"TMPDIR={tmp_path}"
    ones = [
        started("env", common, *SERVER, "--with-process", "parent", "--events", "events.jsonl")
        for _ in range(4)
    ]
    readies = [one.ready() for one in ones]

    places = []
    for ready in readies:
        apns, fcm = ready["simulators"]["apns"], ready["simulators"]["fcm"]
        places += [apns["url"], apns["sandbox_url"], fcm["url"], ready["admin"], ready["data"]]
        names = ("c2s", "c2s_tls", "component", "metrics")
        places += [f"{ready[name]['host']}:{ready[name]['port']}" for name in names]
    assert len(set(places)) == len(places)
    assert len({ready["accounts"][0]["password"] for ready in readies}) == 4

    # Each is asked over its own socket, and knows nothing of the others.
    for number, ready in enumerate(readies):
        given: dict[str, Any] = {
            "input": "pilot\n",
            "text": True,
            "capture_output": True,
            "timeout": PATIENCE,
        }
        at = [*PUSHDCTL, "--socket", ready["admin"]]
        jid = f"user-{number}@localhost"
        done = subprocess.run([*at, "user", "add", jid], cwd=ROOT, **given)
        assert (done.returncode, done.stdout) == (0, f"added {jid}\n")
        listed = subprocess.run([*at, "user", "list"], cwd=ROOT, **given).stdout.split()
        assert listed == ["juliet@localhost", "romeo@localhost", jid]

    ones[0].harness.kill()
    wait_for(lambda: is_over(readies[0]["pid"]), "end of the first server")
    assert not any(is_over(ready["pid"]) for ready in readies[1:])
