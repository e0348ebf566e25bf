"""The configuration read again while the server runs: at SIGHUP, or by `pushdctl reload`."""

import time
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from pushd.admin.operations import Refused
from pushd.cli.logs import Observer
from pushd.cli.words import KNOWN, explain
from pushd.config.load import load
from pushd.config.problems import ConfigErrors
from pushd.modules.catalogue import available
from pushd.providers import catalogue
from pushd.service import Server

log = Logger()


class Rereading:
    """Each call reads the file and has the server take it over, or changes nothing."""

    def __init__(self, server: Server, path: Path, observer: Observer | None) -> None:
        self._server = server
        self._path = path
        self._observer = observer

    def __call__(self) -> dict[str, Any]:
        """The options that changed, those that wait for a restart, and warnings.

        Raises Refused with every mistake there is; the log has it, too.
        """
        try:
            wanted = load(self._path, catalogue.all_options(), available(), now=time.time())
            done = self._server.reload(wanted)
        except ConfigErrors as errors:
            raise self._refused(str(errors)) from None
        except KNOWN as error:
            raise self._refused(explain(error)) from None
        self._server.mistakes = ()
        if self._observer is not None:
            self._observer.set_level(self._server.config.log.level)
        warnings = [f"{wanted.path}:{'' if one.line else ' '}{one}" for one in wanted.warnings]
        for warning in warnings:
            log.warn("{warning}", warning=warning)
        log.info(
            "the configuration was read again; changed: {changed}",
            changed=", ".join(done.changed) or "nothing",
        )
        if done.pending:
            log.warn("a restart is needed for {options}", options=", ".join(done.pending))
        return {"changed": done.changed, "restart": done.pending, "warnings": warnings}

    def _refused(self, words: str) -> Refused:
        self._server.mistakes = words.splitlines()
        refused = f"nothing was changed, as the configuration cannot be used\n{words}"
        for line in refused.splitlines():
            log.error("{line}", line=line)
        return Refused(refused)
