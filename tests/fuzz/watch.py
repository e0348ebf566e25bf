"""What must not happen behind a target's back: errors in the log, hangs, memory that grows."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, cast

from twisted.logger import ILogObserver, LogLevel, eventAsText, globalLogPublisher


class Finding(AssertionError):
    """A target behaved as it never should."""


class Hang(Finding):
    """An input took more time than any should."""


LOGS: "list[Log]" = []


class Log:
    """Collects what is logged as an error: an unexpected exception, swallowed or not."""

    def __init__(self) -> None:
        self._errors: list[str] = []
        LOGS.append(self)
        globalLogPublisher.addObserver(cast(ILogObserver, self._observe))

    def _observe(self, event: Any) -> None:
        if event.get("log_level", LogLevel.info) >= LogLevel.error:
            self._errors.append(eventAsText(event))

    def check(self) -> None:
        """Raises Finding for errors since the last time."""
        if self._errors:
            errors, self._errors = self._errors, []
            raise Finding("logged as an error: " + "\n".join(errors))

    def forget(self) -> None:
        """What was logged before is no matter of what comes: other tests log errors, too."""
        self._errors.clear()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises Hang in what takes more processor time than this."""

    def hung(number: int, frame: FrameType | None) -> None:
        raise Hang(f"more than {seconds} seconds")

    before = signal.signal(signal.SIGPROF, hung)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def memory() -> int:
    """Bytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096
