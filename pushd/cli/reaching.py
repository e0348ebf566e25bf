"""How `pushdctl` reaches a server: by its socket while it runs, else by its storage."""

import json
import os
import socket as sockets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from pushd.admin.operations import Operations, Refused
from pushd.cli.starting import default_ready_file
from pushd.cli.twistd import DEFAULT_CONFIG
from pushd.config.load import load
from pushd.config.problems import ConfigErrors
from pushd.modules.base import available
from pushd.providers import catalogue
from pushd.routing.accounts import Accounts
from pushd.routing.events import Events
from pushd.service import DATABASE
from pushd.storage.errors import StorageError
from pushd.storage.sqlite import Database, InlineRunner

PATIENCE = 30.0  # seconds to wait for the server's answer


class Unreachable(Exception):
    """Neither server nor storage can be reached, or what was asked is refused; says why."""


class Reach(Protocol):
    """A server to operate on, for the time of a `with`."""

    def __enter__(self) -> "Reach": ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Do an operation of `admin/operations.py`; raises Unreachable with its words."""


def reach(config: Path | None, data: Path | None, socket: Path | None) -> Reach:
    """The running server, or the storage of one that does not run.

    Without any of the three: the development server that runs, else the usual file.
    """
    if socket is not None:
        return Running(socket)
    domains: frozenset[str] | None = None
    if data is None:
        if config is None and (running := _development()) is not None:
            return Running(running)
        data, socket, domains = _configured(config or DEFAULT_CONFIG)
    path = socket or data / "pushd.sock"
    if _answers(path):
        return Running(path)
    return Stored(data, domains)


def _configured(path: Path) -> tuple[Path, Path, frozenset[str]]:
    try:
        config = load(path, catalogue.all_options(), available(), now=time.time())
    except ConfigErrors as errors:
        raise Unreachable(f"the configuration has mistakes:\n{errors}") from None
    return config.data, config.admin_socket, frozenset(config.domains)


def _development() -> Path | None:
    """The socket of a development server of this user, if one runs."""
    try:
        ready = json.loads(default_ready_file().read_text())
        os.kill(int(ready["pid"]), 0)
        return Path(ready["admin"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _answers(path: Path) -> bool:
    try:
        with sockets.socket(sockets.AF_UNIX) as connection:
            connection.connect(str(path))
    except OSError:
        return False
    return True


class Running:
    """A server that runs, asked over its socket."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> "Running":
        self._socket = sockets.socket(sockets.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        try:
            self._socket.connect(str(self._path))
        except OSError as error:
            raise Unreachable(f"no server answers at {self._path}: {error.strerror}") from None
        return self

    def __exit__(self, *ignored: object) -> None:
        self._socket.close()

    def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        asked = json.dumps({"operation": operation, "arguments": dict(arguments)})
        try:
            self._socket.sendall(asked.encode() + b"\n")
            line = self._socket.makefile("rb").readline()
            answer = json.loads(line)
        except (OSError, ValueError) as error:
            raise Unreachable(f"the server gave no answer: {error}") from None
        if "error" in answer:
            raise Unreachable(answer["error"])
        result: dict[str, Any] = answer["result"]
        return result


class Stored:
    """The storage of a server that does not run, locked for the time of the operation."""

    def __init__(self, data: Path, domains: frozenset[str] | None) -> None:
        self._data = data
        self._domains = domains

    def __enter__(self) -> "Stored":
        if not self._data.is_dir():
            raise Unreachable(f"{self._data}: there is no such folder")
        self._clock = Clock()
        self._clock.rightNow = time.time()
        self._database = Database(str(self._data / DATABASE), self._clock, InlineRunner())
        try:
            self._database.open()
        except StorageError as error:
            raise Unreachable(str(error)) from None
        self._accounts = Accounts(self._clock, self._database, Events())
        self._wait(self._accounts.load())
        return self

    def __exit__(self, *ignored: object) -> None:
        closing = self._database.close()
        self._clock.advance(0)
        closing.addErrback(lambda failure: None)

    def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        domains = self._domains
        if domains is None:
            domains = frozenset([str(arguments.get("jid", "")).rpartition("@")[2]])
        operations = Operations(domains, self._accounts, _at_once)
        try:
            result: dict[str, Any] = self._wait(operations.call(operation, arguments))
        except (Refused, StorageError) as error:
            raise Unreachable(str(error)) from None
        return result

    def _wait(self, working: Any) -> Any:
        """Drive a coroutine whose only waits are for the storage."""
        results: list[Any] = []
        deferred = Deferred.fromCoroutine(working)
        deferred.addBoth(results.append)
        while not results:
            self._clock.advance(0)
        if hasattr(results[0], "raiseException"):
            results[0].raiseException()
        return results[0]


def _at_once(work: Callable[..., Any], *given: Any) -> "Deferred[Any]":
    return succeed(work(*given))
