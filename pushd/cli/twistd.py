"""`twistd pushd`: its options, and the service that twistd starts and stops.

Whatever is wrong with the configuration is said while the options are read, in words and
with exit code 2; what is wrong with the machine (a port, a folder) when the service
starts, before anything is answered, with exit code 1. Neither shows a traceback.
"""

import sys
import time
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python import usage

from pushd.cli.starting import Starting
from pushd.config.load import load
from pushd.config.problems import ConfigErrors
from pushd.config.sections import Config
from pushd.config.summary import summary
from pushd.modules.base import available
from pushd.providers import catalogue
from pushd.storage.errors import StorageError

log = Logger()

DEFAULT_CONFIG = Path("/etc/pushd/pushd.yml")


class Options(usage.Options):
    """What follows `twistd pushd`."""

    synopsis = "[options]"
    longdesc = "An XMPP server with push built in. Try --dev, which needs no configuration."

    optParameters = [
        ["config", "c", None, f"The configuration file (default: {DEFAULT_CONFIG})."],
        ["listen", None, "127.0.0.1", "With --dev: the address to listen on."],
        ["data", None, None, "With --dev: a folder to keep; a temporary one otherwise."],
        ["ready-file", None, None, "Write a JSON line here as soon as logins are accepted."],
        ["events", None, None, "Write what happens to this file, as JSON lines."],
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

    def postOptions(self) -> None:
        """Read the configuration, and stop here with every mistake in it."""
        if self["dev"]:
            if self["config"] is not None or self["check-config"]:
                raise usage.UsageError("--dev goes without a configuration")
            return
        for name in ("data", "free-ports"):
            if self[name]:
                raise usage.UsageError(f"--{name} goes with --dev")
        self["configuration"] = config = _read(Path(self["config"] or DEFAULT_CONFIG))
        if self["check-config"]:
            sys.stdout.write("\n".join([*summary(config), "the configuration is good"]) + "\n")
            raise SystemExit(0)
        for caution in config.warnings:
            sys.stderr.write(f"{config.path}:{caution}\n")


def _read(path: Path) -> Config:
    try:
        return load(path, catalogue.all_options(), available(), now=time.time())
    except ConfigErrors as errors:
        sys.stderr.write(f"{errors}\n")
        raise SystemExit(2) from None


def makeService(options: Options) -> Service:
    """The service for these options; nothing is opened before it starts."""
    return PushdService(options)


class PushdService(Service):
    """Starts and stops the server with twistd."""

    name = "pushd"

    def __init__(self, options: Options) -> None:
        self._options = options
        self._starting: Starting | None = None

    def startService(self) -> None:
        """Open everything, or leave with a line that says what is in the way."""
        from twisted.internet import reactor

        Service.startService(self)
        starting = Starting(self._options, reactor)
        try:
            starting.open()
        except (StorageError, OSError, ValueError) as error:
            raise SystemExit(f"pushd: {error}") from None
        except CannotListenError as error:
            raise SystemExit(f"pushd: {_port_taken(error)}") from None
        self._starting = starting
        serving = Deferred.fromCoroutine(starting.serve())
        serving.addErrback(self._failed, reactor)

    def stopService(self) -> "Deferred[None] | None":
        Service.stopService(self)
        if self._starting is None:
            return None
        return Deferred.fromCoroutine(self._starting.stop())

    def _failed(self, failure: Any, reactor: Any) -> None:
        log.failure("pushd cannot start", failure)
        sys.stderr.write(f"pushd: {failure.getErrorMessage()}\n")
        reactor.stop()


def _port_taken(error: CannotListenError) -> str:
    reason = getattr(error.socketError, "strerror", None) or error.socketError
    where = f"{error.interface or '[::]'}:{error.port}"
    return f"cannot listen on {where}: {reason}; is another server running?"
