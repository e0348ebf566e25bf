"""The log as the configuration wants it: lines for people, or a JSON object a line.

Stands in for the observer that twistd would make of its own, and keeps to what twistd was
told about the file; a `--logger` or `--syslog` of the operator's goes before it.
"""

import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import IO, Any

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    PredicateResult,
    formatEvent,
    textFileLogObserver,
)
from twisted.python.logfile import LogFile
from zope.interface import implementer

from pushd.admin.eventlog import one_line
from pushd.config.sections import Log

LEVELS: Mapping[str, Any] = {
    "debug": LogLevel.debug,
    "info": LogLevel.info,
    "warning": LogLevel.warn,
    "error": LogLevel.error,
}
OF_TWISTED = ("format", "isError", "message", "printed", "system", "time", "why", "failure")


@implementer(ILogObserver)
class Observer:
    """Writes what is grave enough; how grave that is may change at any time."""

    def __init__(self, written: ILogObserver, level: str) -> None:
        self._written = written
        self.set_level(level)

    def set_level(self, level: str) -> None:
        """From now on, this is the least grave that is written."""
        predicates: list[Any] = [LogLevelFilterPredicate(defaultLogLevel=LEVELS[level])]
        if level != "debug":
            predicates.append(_chatter)
        self._filtered = FilteringLogObserver(self._written, predicates)

    def __call__(self, event: LogEvent) -> None:
        self._filtered(event)


def observer(wanted: Log, twistd: Mapping[str, Any]) -> Observer | None:
    """The observer for `log:`, writing where the options of twistd say.

    None where they say that somebody else observes.
    """
    if twistd.get("logger") or twistd.get("syslog"):
        return None
    return observing(wanted, _file(twistd))


def observing(wanted: Log, file: IO[str]) -> Observer:
    """An observer that writes to this file."""
    if wanted.format == "json":
        written: ILogObserver = FileLogObserver(file, as_json)
    else:
        written = textFileLogObserver(file)
    return Observer(written, wanted.level)


def as_json(event: LogEvent) -> str:
    """One event as a line; what it is about stands under the names the log's text has for it."""
    level = event.get("log_level")
    line = {
        "time": datetime.fromtimestamp(event["log_time"], UTC).isoformat(timespec="milliseconds"),
        "level": level.name if level is not None else "info",
        "logger": event.get("log_namespace", ""),
        "text": formatEvent(event),
    }
    for name, value in event.items():
        if not name.startswith("log_") and name not in OF_TWISTED:
            line.setdefault(name, _plain(value))
    failure = event.get("log_failure")
    if failure is not None:
        line["traceback"] = failure.getTraceback()
    return one_line(line)


def _plain(value: object) -> Any:
    if isinstance(value, float) and not isfinite(value):
        return str(value)  # JSON has no word for it
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


def _chatter(event: LogEvent) -> Any:
    """Twisted tells of each port and factory by its old log; who listens where we say ourselves."""
    is_old = event.get("log_namespace") == "log_legacy"
    if is_old and not event.get("isError") and event.get("log_level") is LogLevel.info:
        return PredicateResult.no
    return PredicateResult.maybe


def _file(twistd: Mapping[str, Any]) -> Any:
    """Where twistd would log: standard output in the foreground, else a file that rotates."""
    name = twistd.get("logfile") or ""
    is_foreground = bool(twistd.get("nodaemon"))
    if is_foreground and name in ("", "-"):
        return sys.stdout
    if name == "-":
        raise ValueError("--logfile=-: a daemon has no standard output")
    file = LogFile.fromFullPath(name or "twistd.log")
    if not signal.getsignal(signal.SIGUSR1):
        signal.signal(signal.SIGUSR1, lambda number, frame: _rotate(file))
    return file


def _rotate(file: LogFile) -> None:
    from twisted.internet import reactor

    call: Any = reactor
    call.callFromThread(file.rotate)
