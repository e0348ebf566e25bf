"""The servers that are compared: each as a process of its own, with its own folder.

A driver writes a configuration for loopback alone, starts the server on one core, makes
the accounts with the server's own command, and ends what it started. No service of the
system is touched. Where a driver differs from its server's defaults is said in it.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.login import DOMAIN, PASSWORD
from pushd.net.certificates import DevelopmentCA, IssuedCertificate

START = 60.0  # seconds that a server may take to listen
STOP = 20.0  # seconds that it may take to end, before it is killed
TICKS = os.sysconf("SC_CLK_TCK")


class ServerError(Exception):
    """A server did not start, or its command failed; holds what it said."""


def free_port() -> int:
    """A port of the loopback address that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def family(pid: int) -> list[int]:
    """The process `pid` and all that descend from it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU time of processes and all their threads, user and system, from /proc/PID/stat."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started in this context runs on `core`, and so does all that it starts."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Server(ABC):
    """A server in a folder, on one core; used as a context, it runs and then has ended."""

    name: str

    def __init__(self, folder: Path, core: int, *, tls: bool) -> None:
        self.folder = folder / self.name
        self.port = free_port()
        self._core = core
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        self._pids: list[int] = []
        self._has_accounts = self.folder.exists()

    @classmethod
    @abstractmethod
    def is_installed(cls) -> bool: ...

    @classmethod
    @abstractmethod
    def version(cls) -> str: ...

    @abstractmethod
    def configure(self) -> None:
        """Write the configuration into the folder."""

    @abstractmethod
    def command(self) -> list[str]:
        """What runs the server in the foreground."""

    @abstractmethod
    def register(self, user: str) -> None:
        """Make an account, with the server up."""

    def __enter__(self) -> "Server":
        self.folder.mkdir(parents=True, exist_ok=True)
        self.configure()
        with (self.folder / "output.log").open("ab") as log, on_core(self._core):
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._await_port()
        except BaseException:
            self.__exit__()
            raise
        self._pids = family(self._process.pid)
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is None:
            return
        pids = family(process.pid)
        self.stop(process)
        deadline = time.monotonic() + STOP
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        for pid in pids[1:] if process.poll() is not None else pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Ask the server to end."""
        process.terminate()

    def add_accounts(self, users: Sequence[str]) -> None:
        """Make the accounts, unless an earlier run in this folder did."""
        if not self._has_accounts:
            for user in users:
                self.register(user)
            self._has_accounts = True

    def cost(self) -> float:
        """CPU seconds used so far."""
        return cpu_seconds(self._pids)

    def certificate(self) -> IssuedCertificate:
        authority = DevelopmentCA(self.folder / "certificates", time.time())
        return authority.issue([DOMAIN], "server")

    def run(self, *command: str, feed: str = "") -> str:
        """Run one of the server's own commands to its end; what it printed."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment(),
            input=feed,
            capture_output=True,
            text=True,
            timeout=START,
            check=False,
        )
        if done.returncode:
            raise ServerError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def environment(self) -> Mapping[str, str]:
        """What the server's environment has beside the usual."""
        return {}

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.folder), **self.environment()}

    def _await_port(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1),
            ):
                return
            time.sleep(0.05)
        said = (self.folder / "output.log").read_text(errors="replace")[-2000:]
        raise ServerError(f"{self.name} does not listen on port {self.port}: {said}")


class Pushd(Server):
    """pushd of this tree. Without TLS it lets clients in on loopback addresses alone."""

    name = "pushd"

    @classmethod
    def is_installed(cls) -> bool:
        return True

    @classmethod
    def version(cls) -> str:
        setup = Path(__file__).parents[1] / "setup.cfg"
        found = re.search(r"^version = (.*)$", setup.read_text(), re.MULTILINE)
        return found.group(1) if found else ""

    def configure(self) -> None:
        host = "{}"
        if self._tls:
            issued = self.certificate()
            host = f"{{certificate: {issued.certificate}, key: {issued.key}}}"
        (self.folder / "data").mkdir(exist_ok=True)
        self._file.write_text(
            f"domains:\n  {DOMAIN}: {host}\n"
            f"data: {self.folder / 'data'}\n"
            f"listen:\n  client: ['127.0.0.1:{self.port}']\n  client_tls: []\n"
            "log:\n  level: warning\n"
        )

    def command(self) -> list[str]:
        return [sys.executable, "-m", "pushd", "--config", str(self._file)]

    def environment(self) -> Mapping[str, str]:
        return {"PYTHONPATH": str(Path(__file__).parents[1])}

    def register(self, user: str) -> None:
        self.run(
            *(sys.executable, "-m", "pushd.cli.pushdctl", "--config", str(self._file)),
            *("user", "add", f"{user}@{DOMAIN}"),
            feed=f"{PASSWORD}\n",
        )

    @property
    def _file(self) -> Path:
        return self.folder / "pushd.yml"


class Ejabberd(Server):
    """ejabberd: Debian's configuration less what is not compared, and without its rate limit."""

    name = "ejabberd"

    @classmethod
    def is_installed(cls) -> bool:
        return shutil.which("ejabberdctl") is not None

    @classmethod
    def version(cls) -> str:
        return _debian_version("ejabberd")

    def configure(self) -> None:
        pem = self.folder / "server.pem"
        issued = self.certificate()
        pem.write_bytes(issued.certificate.read_bytes() + issued.key.read_bytes())
        (self.folder / "ejabberd.yml").write_text(f"""\
hosts: [{DOMAIN}]
loglevel: warning
certfiles: ["{pem}"]
listen:
  - port: {self.port}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    max_stanza_size: 262144
    access: all
    starttls: {str(self._tls).lower()}
auth_password_format: scram
api_permissions:
  "console commands": {{from: [ejabberd_ctl], who: all, what: "*"}}
modules:
  mod_adhoc: {{}}
  mod_carboncopy: {{}}
  mod_client_state: {{}}
  mod_disco: {{}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_push: {{}}
  mod_push_keepalive: {{}}
  mod_roster: {{versioning: true}}
  mod_stream_mgmt: {{resend_on_timeout: if_offline}}
""")
        # Read by ejabberdctl: as who it was started, and distribution on loopback without
        # a daemon that would outlive it.
        port = free_port()
        (self.folder / "ejabberdctl.cfg").write_text(
            f"EXEC_CMD=as_current_user\nERL_DIST_PORT={port}\nINET_DIST_INTERFACE=127.0.0.1\n"
        )
        (self.folder / "inetrc").touch()

    def command(self) -> list[str]:
        return [*self._control, "foreground"]

    def register(self, user: str) -> None:
        self.run(*self._control, "register", user, DOMAIN, PASSWORD)

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        for pid in family(process.pid):
            with contextlib.suppress(OSError):
                if "beam" in Path(f"/proc/{pid}/comm").read_text():
                    os.kill(pid, signal.SIGTERM)

    @property
    def _control(self) -> list[str]:
        return [
            "ejabberdctl",
            *("--config-dir", str(self.folder), "--config", str(self.folder / "ejabberd.yml")),
            *("--ctl-config", str(self.folder / "ejabberdctl.cfg")),
            *("--logs", str(self.folder), "--spool", str(self.folder / "spool")),
            *("--node", "bench@localhost"),
        ]


class Prosody(Server):
    """Prosody: Debian's modules less what is not compared, and without its rate limit."""

    name = "prosody"

    @classmethod
    def is_installed(cls) -> bool:
        return shutil.which("prosodyctl") is not None

    @classmethod
    def version(cls) -> str:
        return _debian_version("prosody")

    def configure(self) -> None:
        issued = self.certificate()
        modules = ["disco", "roster", "saslauth", "smacks", "ping", "carbons", "csi_simple"]
        if self._tls:
            modules.append("tls")
        (self.folder / "data").mkdir(exist_ok=True)
        self._file.write_text(f"""\
run_as_root = true
prosody_user = "{_user_name()}"
prosody_group = "{_user_name()}"
pidfile = "{self.folder / "prosody.pid"}"
data_path = "{self.folder / "data"}"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {self.port} }}
c2s_direct_tls_ports = {{ }}
s2s_ports = {{ }}
modules_enabled = {{ {", ".join(f'"{name}"' for name in modules)} }}
modules_disabled = {{ "s2s" }}
c2s_require_encryption = false
authentication = "internal_hashed"
ssl = {{ certificate = "{issued.certificate}", key = "{issued.key}" }}
log = {{ warn = "{self.folder / "prosody.log"}" }}
VirtualHost "{DOMAIN}"
""")

    def command(self) -> list[str]:
        return ["prosody", "-F", "--config", str(self._file)]

    def register(self, user: str) -> None:
        self.run("prosodyctl", "--config", str(self._file), "register", user, DOMAIN, PASSWORD)

    @property
    def _file(self) -> Path:
        return self.folder / "prosody.cfg.lua"


SERVERS: Mapping[str, type[Server]] = {server.name: server for server in (Pushd, Ejabberd, Prosody)}


def _debian_version(package: str) -> str:
    done = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Version}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


def _user_name() -> str:
    return Path(f"/proc/{os.getpid()}").owner()
