"""Processes of pushd without what their imports cost: forked by `tests/zygote.py`.

    born = Born([sys.executable, "-m", "pushd", "--dev"], environment, folder, (0, 1, 2))
    born.send_signal(signal.SIGTERM)
    code = born.wait(20)

They are children of the tests' own process, and do what `python -m pushd --dev` does. Tests that
are about the start of a process start one that is really new.
"""

import atexit
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryFile

from tests.patience import PATIENCE

MODULES = frozenset({"pushd", "pushd.cli.pushdctl", "pushd.simulators"})
ROOT = Path(__file__).parents[1]
PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>

_libc = ctypes.CDLL(None, use_errno=True)
_zygotes: list[socket.socket] = []  # one at most


def bears(command: Sequence[str | Path]) -> bool:
    """Whether this is a command for which a fork does."""
    return command[:2] == [sys.executable, "-m"] and command[2] in MODULES


def fork(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    folder: str | Path,
    descriptors: Sequence[int],
) -> int:
    """The number of a new child of this process, which runs the command in that folder."""
    if not _zygotes:
        _zygotes.append(_zygote())
    _, _, module, *arguments = map(str, command)
    order = {
        "module": module,
        "arguments": arguments,
        "environment": dict(environment),
        "folder": str(folder),
    }
    # Orphans become ours only as long as the zygote gives its child away.
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        socket.send_fds(_zygotes[0], [json.dumps(order).encode()], list(descriptors))
        return int(_zygotes[0].recv(32))
    finally:
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


class Born:
    """A child, with what is usual of `subprocess.Popen`."""

    def __init__(
        self,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        folder: str | Path,
        descriptors: Sequence[int],
    ) -> None:
        self.pid = fork(command, environment, folder, descriptors)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Raises subprocess.TimeoutExpired."""
        if self.poll() is None:
            ends = os.pidfd_open(self.pid)
            try:
                select.select([ends], [], [], timeout)
            finally:
                os.close(ends)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class Heard(Born):
    """One whose `stdout` and `stderr` are read by the test, and which reads what it is `given`."""

    def __init__(
        self,
        command: Sequence[str | Path],
        folder: str | Path = ROOT,
        environment: Mapping[str, str] = os.environ,
        given: str = "",
    ) -> None:
        (out, its_out), (err, its_err) = os.pipe(), os.pipe()
        with TemporaryFile() as said:
            said.write(given.encode())
            said.seek(0)
            try:
                descriptors = (said.fileno(), its_out, its_err)
                super().__init__(command, environment, folder, descriptors)
            finally:
                os.close(its_out)
                os.close(its_err)
        self.stdout, self.stderr = os.fdopen(out), os.fdopen(err)

    def ended(self, timeout: float) -> tuple[int, str, str]:
        """Its exit code, and what it still had to say."""
        with self.stdout, self.stderr, ThreadPoolExecutor(2) as readers:
            said = [readers.submit(one.read) for one in (self.stdout, self.stderr)]
            try:
                code = self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.send_signal(signal.SIGKILL)  # and the readers come to an end
                raise
            return code, said[0].result(), said[1].result()


def _zygote() -> socket.socket:
    """Start it; it ends with this process."""
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.zygote"],
            stdin=its.fileno(),
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    mine.settimeout(PATIENCE)
    assert mine.recv(32) == b"ready"

    def end() -> None:
        mine.close()
        process.wait(PATIENCE)

    atexit.register(end)
    return mine
