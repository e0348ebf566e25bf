"""`twistd pushd`: its options, and the service that twistd starts and stops.

What is wrong with the options or the configuration is said while they are read, with exit
code 2; what is in the way on this machine (a port, a folder) when the service starts, before
anything is answered, with exit code 1. Both in words on standard error, without a traceback.
"""

import atexit
import os
import signal
import sys
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, Logger
from twisted.python import usage
from twisted.python.failure import Failure

from pushd.cli.places import DEFAULT_CONFIG
from pushd.config.load import load
from pushd.config.problems import ConfigErrors
from pushd.config.release import RELEASE
from pushd.config.sections import Config, Log
from pushd.config.summary import summary
from pushd.modules.catalogue import available
from pushd.net import companion
from pushd.providers import catalogue

log = Logger()


LOOPBACK = "127.0.0.1"
PATHS = ("data", "ready-file", "events")


class Options(usage.Options):
    """What follows `twistd pushd`."""

    synopsis = "[options]"
    longdesc = "An XMPP server with push built in. Try --dev, which needs no configuration."

    optParameters = [
        ["config", "c", None, f"The configuration file (default: {DEFAULT_CONFIG})."],
        ["listen", None, None, f"With --dev: the address to listen on (default: {LOOPBACK})."],
        ["data", None, None, "With --dev: a folder to keep; a temporary one otherwise."],
        ["ready-file", None, None, "Write a JSON line here as soon as logins are accepted."],
        ["events", None, None, "Write what happens to this file, as JSON lines."],
        ["with-process", None, None, "Stop when this process ends: its number, or parent."],
    ]
    optFlags = [
        ["check-config", None, "Check the configuration, say what it comes to, and stop."],
        ["dev", None, "Serve localhost with generated certificates, accounts and simulators."],
        ["free-ports", None, "With --dev: take any free ports rather than the usual ones."],
        ["trace", None, "With --events: also every stanza, without its text."],
    ]
    compData = usage.Completions(
        optActions={
            "config": usage.CompleteFiles("*.yml"),
            "data": usage.CompleteDirs(),
            "ready-file": usage.CompleteFiles(),
            "events": usage.CompleteFiles(),
        }
    )

    def parseOptions(self, options: Any = None) -> None:
        """Without the pages of help that twistd prints before it says what is wrong."""
        try:
            usage.Options.parseOptions(self, options)
        except usage.UsageError as error:
            _refuse(f"{error}; --help shows the options")

    def opt_version(self) -> None:
        """Display the version of pushd and stop."""
        sys.stdout.write(f"pushd {RELEASE}\n")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Read the configuration, and stop here with every mistake in it."""
        self._check_company()
        for name in PATHS:
            if self[name] is not None:
                self[name] = Path(self[name]).absolute()
        if self["dev"]:
            self["listen"] = _address(self["listen"] or LOOPBACK)
            self["configuration"] = None
        else:
            self["configuration"] = self._configuration()

    def _check_company(self) -> None:
        """Which options go with which others."""
        if self["dev"] and (self["config"] or self["check-config"]):
            raise usage.UsageError("--dev goes without a configuration")
        for name, other in (
            ("listen", "dev"),
            ("data", "dev"),
            ("free-ports", "dev"),
            ("trace", "events"),
        ):
            if self[name] and not self[other]:
                raise usage.UsageError(f"--{name} goes with --{other}")
        for name in PATHS:
            if self[name] == "":
                raise usage.UsageError(f"--{name}: a path is expected")
        if self["with-process"] is not None:
            if self.parent is not None and not self.parent.get("nodaemon"):
                raise usage.UsageError("--with-process goes with twistd -n: a daemon is alone")
            try:
                self["with-process"] = companion.named(self["with-process"])
            except ValueError as error:
                raise usage.UsageError(f"--with-process: {error}") from None

    def _configuration(self) -> Config:
        if self["config"] is None and not DEFAULT_CONFIG.exists():
            raise usage.UsageError(
                f"there is no {DEFAULT_CONFIG}: give --config FILE, or --dev to try it out"
            )
        path = Path(self["config"] or DEFAULT_CONFIG)
        try:
            config = load(path, catalogue.all_options(), available(), now=time.time())
        except ConfigErrors as errors:
            sys.stderr.write(f"{errors}\n")
            raise SystemExit(2) from None
        if self["check-config"]:
            sys.stdout.write("\n".join([*summary(config), "the configuration is good"]) + "\n")
            raise SystemExit(0)
        for caution in config.warnings:
            sys.stderr.write(f"{config.path}:{'' if caution.line else ' '}{caution}\n")
        return config


def makeService(options: Options) -> Service:
    """The service for these options; nothing is opened before it starts."""
    return PushdService(options)


class PushdService(Service):
    """Starts and stops the server with twistd."""

    name = "pushd"

    def __init__(self, options: Options) -> None:
        from pushd.cli.words import Terminal

        self._options = options
        self._twistd: Any = options.parent  # twistd's own options
        self._terminal = Terminal()
        self._starting: Any = None
        self._observer: Any = None
        self._is_stopping = False

    def setServiceParent(self, parent: Any) -> None:
        """twistd asks the application, our parent, who observes the log."""
        Service.setServiceParent(self, parent)
        from pushd.cli.logs import observer

        config: Config | None = self._options["configuration"]
        try:
            observing = observer(config.log if config is not None else Log(), self._twistd)
        except (OSError, ValueError) as error:
            self._leave(error)
        self._observer = observing
        if observing is not None:
            parent.setComponent(ILogObserver, observing)

    def startService(self) -> None:
        """Open everything, or leave with a line that says what is in the way."""
        from twisted.internet import reactor as the_reactor

        from pushd.cli.starting import Starting

        reactor: Any = the_reactor
        Service.startService(self)
        starting = Starting(self._options, reactor, self._observer)
        try:
            starting.open()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is said
            self._leave(error)
        self._starting = starting
        if self._options["configuration"] is not None:
            hang_up = reactor.callFromThread
            signal.signal(signal.SIGHUP, lambda number, frame: hang_up(starting.hang_up))
        stopping = Stopping(reactor)
        reactor.callWhenRunning(stopping.listen)
        if self._options["with-process"] is not None:
            stopping.watch(self._options["with-process"])
        serving = Deferred.fromCoroutine(starting.serve())
        serving.addCallbacks(
            lambda ignored: self._terminal.close(), self._failed, (), {}, (reactor,)
        )

    def stopService(self) -> "Deferred[None] | None":
        Service.stopService(self)
        self._is_stopping = True
        if self._starting is None:
            return None
        stopping = Deferred.fromCoroutine(self._starting.stop())
        stopping.addErrback(self._not_in_order)
        return stopping

    def _not_in_order(self, failure: Failure) -> None:
        """It ends all the same, but not with code 0."""
        from pushd.cli.words import KNOWN, explain

        if isinstance(failure.value, KNOWN):
            log.critical("not stopped in order: {words}", words=explain(failure.value))
        else:
            log.failure("the stop failed", failure)
        atexit.register(_exit_with_failure)

    def _leave(self, error: Exception) -> None:
        """End the process before the reactor runs. Raises SystemExit."""
        self._say(error)
        if self._twistd.get("pidfile") and self.running:
            Path(self._twistd["pidfile"]).unlink(missing_ok=True)
        waiting = self._twistd.get("statusPipe")
        if waiting is not None:
            # The process that daemonized waits, and takes from the third byte on as the reason.
            os.write(waiting, b"1 pushd did not start")
        raise SystemExit(1)

    def _failed(self, failure: Failure, reactor: Any) -> None:
        """The server cannot answer: stop what runs of it, then exit with code 1."""
        if self._is_stopping:  # told to stop while it was starting
            return
        assert failure.value is not None
        self._say(failure.value)
        atexit.register(_exit_with_failure)
        reactor.callWhenRunning(reactor.stop)

    def _say(self, error: BaseException) -> None:
        from pushd.cli.words import KNOWN, explain

        words = explain(error)
        if not isinstance(error, KNOWN):
            log.failure("the start failed", Failure(error))
        elif not self._twistd.get("nodaemon"):
            log.critical("{words}", words=words)
        self._terminal.say(words)
        self._terminal.close()


def _refuse(words: str) -> None:
    """Leave because of what was asked for. Raises SystemExit."""
    sys.stderr.write(f"pushd: {words}\n")
    raise SystemExit(2)


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise usage.UsageError(f"--listen {text}: an IP address is expected") from None


class Stopping:
    """What stops the server in order: a signal, or the end of the process that it lives with.

    It ends with code 0 then; twistd would die of the signal once more in the end.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._is_stopping = False

    def listen(self) -> None:
        """Take the signals, once the reactor runs."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)

    def watch(self, process: int) -> None:
        """Stop when this process ends."""

        def ended() -> None:
            self._stop(f"process {process} has ended")

        watched = companion.Companion(self._reactor, process, ended)
        self._reactor.callWhenRunning(watched.watch)
        self._reactor.addSystemEventTrigger("before", "shutdown", watched.stop)

    def _signalled(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self._stop, signal.Signals(number).name)

    def _stop(self, why: str) -> None:
        if self._is_stopping:
            log.info("{why}: stopping already", why=why)
        elif self._reactor.running:
            self._is_stopping = True
            log.info("stopping: {why}", why=why)
            self._reactor.stop()


def _exit_with_failure() -> None:
    """twistd itself ends with code 0 once its reactor has stopped."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
