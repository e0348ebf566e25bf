"""The server of a kill test: a folder made from a template, and one process after the other."""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from benchmarks.ports import free_port
from pushd.routing.accounts import Accounts
from pushd.routing.events import Events
from pushd.simulators.fcm_tokens import ServiceAccount
from pushd.storage.lock import DATABASE
from pushd.storage.sqlite import Database, InlineRunner
from pushd.wire.scram import derive
from pushd.wire.secret import Secret

ROOT = Path(__file__).parents[2]
DOMAIN = "localhost"
PUSH_HOST = "push.localhost"
PASSWORD = Secret("a password of tests")
PATIENCE = 60.0  # seconds for anything that a server does, however busy the machine is

NOWHERE = "https://127.0.0.1:9"  # where nobody listens: what is for a provider there stays here
CONFIGURATION = """
domains: [{domain}]
data: data
listen:
  client: ["127.0.0.1:{port}"]
  client_tls: []
app_server:
  backends:
    - type: fcm
      register_host: {domain}
      pubsub_host: {push_host}
      base_url: {base_url}
      service_account: account.json
"""


class Zygote:
    """The process that forks servers; one for all of a run."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kills.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )

    def ask(self, **order: Any) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()
        answer: dict[str, Any] = json.loads(stdout.readline())
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


class Template:
    """A folder with a database of some accounts, which each episode gets a copy of.

    `more` is added to the configuration, at the end of its only backend; `files` are laid
    beside it, for nobody else to read.
    """

    def __init__(
        self,
        *users: str,
        base_url: str = NOWHERE,
        more: str = "",
        files: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        self.base_url = base_url
        self.more = more  # after the configuration's only backend
        self._folder = tempfile.TemporaryDirectory(prefix="pushd-kills-")
        self.folder = Path(self._folder.name)
        data = self.folder / "data"
        data.mkdir(mode=0o700)
        account = ServiceAccount.made_up("kills").as_file(base_url)
        for name, content in {"account.json": json.dumps(account).encode(), **files}.items():
            (self.folder / name).write_bytes(content)
            (self.folder / name).chmod(0o600)
        clock = Clock()
        database = Database(str(data / DATABASE), clock, InlineRunner())
        database.open()
        accounts = Accounts(clock, database, Events())
        keys = {"SHA-1": derive("SHA-1", PASSWORD, iterations=4_096)}
        for user in users:
            Deferred.fromCoroutine(accounts.add(f"{user}@{DOMAIN}", keys))
        database.close()
        clock.advance(0)

    def copy(self, folder: Path) -> None:
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)

    def close(self) -> None:
        self._folder.cleanup()


class Server:
    """One server's folder. `start` after each end; `has_ended` tells, when a connection is lost."""

    def __init__(self, zygote: Zygote, template: Template) -> None:
        self._zygote = zygote
        self._folder = tempfile.TemporaryDirectory(prefix="pushd-kills-")
        self.folder = Path(self._folder.name)
        template.copy(self.folder)
        self.database = self.folder / "data" / DATABASE
        self._pid = 0
        self.code: int | None = 0
        self.place = ("127.0.0.1", free_port())
        text = CONFIGURATION.format(
            domain=DOMAIN, push_host=PUSH_HOST, port=self.place[1], base_url=template.base_url
        )
        (self.folder / "pushd.yml").write_text(text + template.more)
        self._diary = self.folder / "died-at"

    def start(self, points: int = 0) -> bool:
        """Start, to die at the so-manieth point; tells whether it lives to answer."""
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        self._diary.unlink(missing_ok=True)
        arguments = [f"--config={self.folder / 'pushd.yml'}", f"--ready-file={ready}"]
        answer = self._zygote.ask(start=arguments, folder=str(self.folder), points=points)
        self._pid, self.code = answer["pid"], None
        until = time.monotonic() + PATIENCE
        while not ready.exists():
            if self.has_ended():
                return False
            assert time.monotonic() < until, f"no start:\n{self.log()}"
            time.sleep(0.002)
        return True

    def limit_files(self, size: int) -> None:
        """From now on no file grows beyond so many bytes, as on a full disk; -1 is any size."""
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def light(self, points: int) -> bool:
        """Let it die at the so-manieth point from now (0: live on); tells whether it lived to."""
        with socket.socket(socket.AF_UNIX) as lighter:
            lighter.settimeout(PATIENCE)
            try:
                lighter.connect(str(self.folder / "fuse"))
                lighter.sendall(str(points).encode())
                lit = lighter.recv(16) == b"lit"
            except ConnectionError:
                lit = False
        return lit and not self.has_ended()

    def kill(self) -> None:
        """SIGKILL, unless it is dead already."""
        if not self.has_ended():
            os.kill(self._pid, signal.SIGKILL)
            self._wait()

    def shoot(self) -> None:
        """SIGKILL from any thread; `has_ended` is still to be asked."""
        if self.code is None:
            os.kill(self._pid, signal.SIGKILL)

    def stop(self, listen: Callable[[], None]) -> None:
        """SIGTERM: it stops in order, for which clients have to `listen` and to close."""
        if not self.has_ended():
            os.kill(self._pid, signal.SIGTERM)
            listen()
            self._wait()
            assert self.code == 0, f"the stop ended with {self.code}:\n{self.log()}"

    def has_ended(self) -> bool:
        if self.code is None:
            self.code = self._zygote.ask(look=self._pid)["code"]
        return self.code is not None

    def expect_end(self) -> None:
        """A connection was lost, which is right only if the server is dead or dying."""
        until = time.monotonic() + PATIENCE
        while not self.has_ended():
            assert time.monotonic() < until, f"the server closed a connection:\n{self.log()}"
            time.sleep(0.001)

    def _wait(self) -> None:
        self.code = self._zygote.ask(wait=self._pid)["code"]

    @property
    def died_at(self) -> str:
        """The point at which it died by its fuse, or nothing."""
        return self._diary.read_text() if self._diary.exists() else ""

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def close(self) -> None:
        self.kill()
        self._folder.cleanup()


def address(place: str) -> str:
    """The address of a user, or of one of his devices: "user/resource"."""
    user, slash, resource = place.partition("/")
    return f"{user}@{DOMAIN}{slash}{resource}"
