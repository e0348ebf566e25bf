"""A process that systemd would start: what it is told, and when."""

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.patience import PATIENCE
from tests.scenarios.test_starting import PYTHON_M, Operator


class Told:
    """The words that came, in order."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(PATIENCE)

    def next(self) -> str:
        """What comes next; the watchdog's words are passed over."""
        while (words := self._socket.recv(4096).decode()) == "WATCHDOG=1":
            pass
        return words

    def watchdog(self) -> str:
        return self._socket.recv(4096).decode()

    def close(self) -> None:
        self._socket.close()


def test_systemd_hears_of_the_start_of_a_reload_and_of_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = Operator(tmp_path)
    told = Told(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    path = operator.configure()
    run = operator.run(*PYTHON_M, "--config", path, "--ready-file", "ready.json")
    try:
        assert told.watchdog() == "WATCHDOG=1"
        assert told.next() == "READY=1\nSTATUS=serving example.net"
        assert (tmp_path / "ready.json").exists()

        os.kill(run.pid, signal.SIGHUP)
        assert told.next().startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert told.next() == "READY=1"

        path.write_text("nonsense: true\n")
        assert operator.pushdctl("--socket", "data/pushd.sock", "reload").returncode == 1
        assert told.next().startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert told.next() == "READY=1"

        os.kill(run.pid, signal.SIGTERM)
        assert told.next() == "STOPPING=1\nSTATUS=stopping"
        assert run.ended() == 0
    finally:
        run.stop(signal.SIGKILL)
        told.close()
