"""Telling systemd how the server is (sd_notify(3)): ready, reading anew, stopping, alive.

Without ``NOTIFY_SOCKET`` in the environment nothing is said. A word that does not get through
is lost: the server is there for clients, and goes on.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

log = Logger()


class ServiceManager:
    """Who started this process, if that wants to know how it is.

    `monotonic` gives the seconds of CLOCK_MONOTONIC, which are what systemd compares.
    """

    def __init__(
        self,
        clock: IReactorTime,
        environment: Mapping[str, str] = os.environ,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._patience = _patience(environment)
        self._beating = LoopingCall(self._say, "WATCHDOG=1")
        self._beating.clock = clock
        self._is_ready = False
        self._is_stopping = False

    def begin(self) -> None:
        """The reactor turns: say so from now on, twice as often as the watchdog asks for.

        It is the reactor that says it, so that one that is stuck says nothing.
        """
        if self._address and self._patience:
            self._beating.start(self._patience / 2)

    def ready(self, words: str) -> None:
        """Logins are accepted. `words` are shown by ``systemctl status``."""
        self._is_ready = True
        self._say("READY=1", f"STATUS={_one_line(words)}")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """The configuration is read again within this; ready again afterwards, come what may."""
        if not self._is_ready or self._is_stopping:
            yield
            return
        self._say("RELOADING=1", f"MONOTONIC_USEC={int(self._monotonic() * 1_000_000)}")
        try:
            yield
        finally:
            self._say("READY=1")

    def stopping(self) -> None:
        """The stop has begun. The watchdog goes on: the stop takes a bounded time, too."""
        if not self._is_stopping:
            self._is_stopping = True
            self._say("STOPPING=1", "STATUS=stopping")

    def end(self) -> None:
        """Everything is done; nothing more is said."""
        if self._beating.running:
            self._beating.stop()

    def _say(self, *words: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as speaking:
            try:
                speaking.sendto("\n".join(words).encode(), self._address)
            except OSError as error:
                log.warn("systemd was not told {words}: {reason}", words=words[0], reason=error)


def _address(text: str) -> str:
    """A path, or a name in the abstract namespace, which is written with an @."""
    if text.startswith("@"):
        return f"\0{text[1:]}"
    return text if text.startswith("/") else ""


def _patience(environment: Mapping[str, str]) -> float:
    """Seconds within which the watchdog of this very process wants a word; 0 without one."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1_000_000 if text.isascii() and text.isdigit() else 0.0


def _one_line(words: str) -> str:
    return " ".join(words.split())
