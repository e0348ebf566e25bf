"""A server under measurement: a process with its descendants, on one core, in one folder.

What it costs is read from /proc: CPU of all its threads, user and system, and the memory
that is resident. Whatever is started here is ended here, after a failure too.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.accounts import DOMAIN, Population
from benchmarks.ports import free_port
from pushd.net.certificates import DevelopmentCA, IssuedCertificate

START = 120.0  # seconds that a server may take to listen
STOP = 60.0  # seconds that it may take to end, before it is killed
QUIET = 0.2  # seconds in which an idle server uses less than two ticks of CPU
TICKS = os.sysconf("SC_CLK_TCK")


class ServerError(Exception):
    """A server did not start, or its command failed; holds what it said."""


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


def resident_bytes(pids: Sequence[int]) -> int:
    """The memory of processes that is resident."""
    pages = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def a_core() -> int:
    """One that this process may use; not the same for all that run beside it."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[os.getpid() % len(cores)]


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
    """A server in a folder, on one core; used as a context, it runs and then has ended.

    `tls` has it require TLS where it knows how to, `profiler` is a command that runs a
    Python module under a profiler. `components` are domains that external components may
    come for, at `component_port`.
    """

    name: str
    components: Sequence[str] = ()

    def __init__(self, folder: Path, core: int, *, tls: bool, profiler: Sequence[str] = ()) -> None:
        self.folder = folder
        self.port = self.component_port = 0
        self.profiler = profiler
        self.pids: list[int] = []
        self._core = core
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @abstractmethod
    def is_installed(cls) -> bool: ...

    @classmethod
    @abstractmethod
    def version(cls) -> str: ...

    @classmethod
    def can_push(cls) -> bool:
        """Whether it has XEP-0357, the user's side."""
        return True

    @abstractmethod
    def configure(self) -> None:
        """Write the configuration into the folder."""

    @abstractmethod
    def command(self) -> list[str]:
        """What runs the server in the foreground."""

    @abstractmethod
    def populate(self, population: Population) -> None:
        """Make accounts and rosters in the folder, while the server does not run."""

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self) -> None:
        """Start the server on a free port, and wait until it listens."""
        self.launch()
        try:
            self._await_port()
        except BaseException:
            self.end()
            raise
        assert self._process is not None
        self.pids = family(self._process.pid)

    def launch(self) -> None:
        """Start the process and wait for nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self.component_port = free_port(), free_port()
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

    def end(self) -> None:
        """Have the server end in its own way, or by force when that takes too long."""
        process, self._process = self._process, None
        if process is None:
            return
        pids = family(process.pid)
        self.stop(process)
        deadline = time.monotonic() + STOP
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.02)
        _kill(pids[1:] if process.returncode is not None else pids)
        process.wait()

    def kill(self) -> None:
        """SIGKILL for the whole family, at once."""
        process, self._process = self._process, None
        if process is not None:
            _kill(family(process.pid))
            process.wait()

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Ask the server to end."""
        process.terminate()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def look_around(self) -> None:
        """Find the processes that the server consists of by now."""
        if self._process is not None:
            self.pids = family(self._process.pid)

    def cost(self) -> float:
        """CPU seconds used so far."""
        return cpu_seconds(self.pids)

    def memory(self) -> int:
        """Bytes that are resident."""
        return resident_bytes(self.pids)

    def settle(self, longest: float = 10.0) -> None:
        """Wait until the server has nothing to do."""
        deadline = time.monotonic() + longest
        before = self.cost()
        while time.monotonic() < deadline:
            time.sleep(QUIET)
            now = self.cost()
            if now - before < 1.5 / TICKS:
                return
            before = now

    def certificate(self) -> IssuedCertificate:
        """A P-256 certificate of an authority of the folder's own."""
        authority = DevelopmentCA(self.folder / "certificates", time.time())
        return authority.issue([DOMAIN], "server")

    def _run(self, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START,
            check=False,
        )

    def run(self, *command: str) -> str:
        """Run one of the server's own commands to its end; what it printed."""
        try:
            done = self._run(command)
        except subprocess.TimeoutExpired:  # ejabberd's hangs now and then, on a busy machine
            done = self._run(command)
        if done.returncode:
            raise ServerError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def environment(self) -> Mapping[str, str]:
        """What the server's environment has beside the usual."""
        return {}

    def said(self) -> str:
        """The end of what the server printed."""
        with contextlib.suppress(OSError):
            return (self.folder / "output.log").read_text(errors="replace")[-2000:]
        return ""

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.folder), **self.environment()}

    def _await_port(self) -> None:
        deadline = time.monotonic() + START
        while time.monotonic() < deadline and self.is_running:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1),
            ):
                return
            time.sleep(0.05)
        raise ServerError(f"{self.name} does not listen on port {self.port}: {self.said()}")


def copy_folder(origin: Path, target: Path) -> None:
    """A copy of what a server keeps on disk, in place of an older one."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(origin, target, symlinks=True)


def _kill(pids: Sequence[int]) -> None:
    """Kill processes, and wait until their memory is free."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + STOP
    while resident_bytes(pids) and time.monotonic() < deadline:
        time.sleep(0.01)
