"""How `pushdctl` reaches a server: by its socket while it runs, else by its storage.

What only the second way needs is imported when it is taken: an answer of a running server
should come at once.
"""

import json
import os
import socket as sockets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from pushd.cli import ready as ready_files
from pushd.cli.places import DEFAULT_CONFIG
from pushd.storage.lock import DATABASE

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from pushd.admin.operations import Group

SOCKET = "pushd.sock"  # in a data folder, unless the configuration has another
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

    def call(
        self, operation: str, arguments: Mapping[str, Any], patience: float = PATIENCE
    ) -> dict[str, Any]:
        """Do an operation of `admin/operations.py`; raises Unreachable with its words.

        `patience` is in seconds, for the answer of a server that runs.
        """


def reach(place: "Place") -> Reach:
    """The running server, or the storage of one that does not run."""
    return Running(place.socket) if place.runs else Stored(place)


def locate(config: Path | None, data: Path | None, socket: Path | None) -> "Place":
    """Where a server is. Without any of the three: the development server that runs, else
    the usual configuration file. Raises Unreachable."""
    if socket is not None:
        return Place(None, socket, None)
    if data is not None:
        return Place(data, data / SOCKET, _development_domains(data))
    running = ready_files.running() if config is None else None
    if running is not None and "admin" in running:
        return Place(None, Path(running["admin"]), None)
    if config is None and not DEFAULT_CONFIG.exists():
        raise Unreachable(
            f"you run no development server, and there is no {DEFAULT_CONFIG}: "
            "give --config, --data or --socket"
        )
    return _configured(config or DEFAULT_CONFIG)


class Place:
    """Where a server is. `domains` are those it serves, None where that is not known.

    `services` are the hosts where servers publish, by the names of backends, as far as known.
    Whoever knows no `data` folder can but ask the server, should it run. `note` is what whoever
    asks should know, or "".
    """

    def __init__(
        self,
        data: Path | None,
        socket: Path,
        domains: frozenset[str] | None,
        services: Mapping[str, str] = MappingProxyType({}),
        note: str = "",
    ) -> None:
        self.data = data
        self.socket = socket
        self.domains = domains
        self.services = services
        self.note = note

    @property
    def runs(self) -> bool:
        """Whether a server answers; taken for granted where nothing else can be asked."""
        return self.data is None or _answers(self.socket)

    @property
    def database(self) -> Path:
        """The file of the database. Raises Unreachable."""
        if self.data is not None:
            return self.data / DATABASE
        with Running(self.socket) as server:
            return Path(server.call("status", {})["database"]["path"])


def stopped(place: Place) -> dict[str, Any]:
    """What can be told of a server that does not run."""
    from pushd.admin.status import database, of_database, software
    from pushd.config.release import RELEASE

    told = database(place.database)
    return {
        "running": False,
        "version": RELEASE,
        "software": software(),
        "database": told,
        "problems": ["the server does not run", *of_database(told)],
    }


def _configured(path: Path) -> Place:
    from pushd.config.load import load
    from pushd.config.problems import ConfigErrors
    from pushd.modules.catalogue import available
    from pushd.providers import catalogue

    try:
        config = load(path, catalogue.all_options(), available(), now=time.time())
    except ConfigErrors as errors:
        running = _running_all_the_same(path, errors.values)
        if running is None:
            raise Unreachable(f"the configuration cannot be used\n{errors}") from None
        return running
    services = {one.name: one.pubsub_host for one in config.app_server.backends}
    return Place(config.data, config.admin_socket, frozenset(config.domains), services)


def _running_all_the_same(path: Path, values: Mapping[str, Any]) -> Place | None:
    """The server that was started before the configuration got its mistakes, if one runs."""
    listen, data = values.get("listen"), values.get("data")
    socket = listen.admin if listen is not None else None
    if socket is None and data is not None:
        socket = data / SOCKET
    if socket is None or not _answers(socket):
        return None
    note = (
        f"{path} has mistakes by now (twistd pushd --check-config tells them); the server that"
        " runs is asked"
    )
    return Place(None, socket, None, note=note)


def _development_domains(data: Path) -> frozenset[str] | None:
    """What a development server serves from this folder; None if it is none's."""
    try:
        known = json.loads((data / "development.json").read_bytes())
        return frozenset(account["jid"].rpartition("@")[2] for account in known["accounts"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
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
            self._socket.close()
            reason = error.strerror or error
            raise Unreachable(f"no server answers at {self._path}: {reason}") from None
        return self

    def __exit__(self, *ignored: object) -> None:
        self._socket.close()

    def call(
        self, operation: str, arguments: Mapping[str, Any], patience: float = PATIENCE
    ) -> dict[str, Any]:
        self._socket.settimeout(patience)
        asked = json.dumps({"operation": operation, "arguments": dict(arguments)})
        try:
            self._socket.sendall(asked.encode() + b"\n")
            with self._socket.makefile("rb") as answers:
                line = answers.readline()
        except OSError as error:
            raise Unreachable(f"the server gave no answer: {error}") from None
        try:
            answer = json.loads(line)
        except ValueError:
            raise Unreachable("the server gave no answer; its log may tell why") from None
        if "error" in answer:
            raise Unreachable(answer["error"])
        result: dict[str, Any] = answer["result"]
        return result


class Stored:
    """The storage of a server that does not run, locked for the time of the operation.

    A folder that a configuration names is made, as the server would. Whoever is root acts
    as the folder's owner, lest the server finds files that it may not open.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    def __enter__(self) -> "Stored":
        from twisted.internet.task import Clock

        from pushd.routing.accounts import Accounts
        from pushd.routing.events import Events
        from pushd.storage.errors import StorageError
        from pushd.storage.sqlite import Database, InlineRunner

        data = self._place.data
        assert data is not None
        if self._place.domains is None and not (data / DATABASE).exists():
            raise Unreachable(f"{data} is not the data folder of a server")
        self._was = become_owner(data)
        try:
            self._clock = Clock()
            self._clock.rightNow = time.time()
            self._database = Database(str(data / DATABASE), self._clock, InlineRunner())
            self._database.open()
            self._accounts = Accounts(self._clock, self._database, Events())
            self._wait(self._accounts.load())
        except StorageError as error:
            become(*self._was)
            raise Unreachable(str(error)) from None
        return self

    def __exit__(self, *ignored: object) -> None:
        closing = self._database.close()
        self._clock.advance(0)
        closing.addErrback(lambda failure: None)
        become(*self._was)

    def call(
        self, operation: str, arguments: Mapping[str, Any], patience: float = PATIENCE
    ) -> dict[str, Any]:
        from pushd.admin.operations import Operations, Refused
        from pushd.admin.users import Users
        from pushd.storage.errors import StorageError

        domains = self._place.domains
        if domains is None:
            domains = frozenset(one.jid.rpartition("@")[2] for one in self._accounts.all())
            if not domains:
                raise Unreachable("a data folder alone tells no domains: give --config")
        groups: list[Group] = [Users(domains, self._accounts, self._database, _at_once)]
        try:
            if operation.startswith("push-"):
                groups.append(self._push_records(domains))
            operations = Operations(*groups)
            if not operations.knows(operation):
                raise Unreachable("the server does not run")
            result: dict[str, Any] = self._wait(operations.call(operation, arguments))
        except (Refused, StorageError) as error:
            raise Unreachable(str(error)) from None
        return result

    def _push_records(self, domains: frozenset[str]) -> "Group":
        """What can be read of push; raises StorageError."""
        from pushd.admin.pushes import PushRecords, Whose
        from pushd.appserver.shown import Stored as Registrations
        from pushd.modules.push.enablements import Enablements
        from pushd.modules.push.pausing import PAUSES
        from pushd.modules.push.shown import Stored as Shown
        from pushd.routing.events import Events
        from pushd.routing.ledger import Ledger

        clock, database = self._clock, self._database
        registrations = Registrations(clock, database, self._place.services)
        enablements = Enablements(database)
        self._wait(registrations.load())
        self._wait(enablements.load(clock.seconds()))
        now, pauses = clock.seconds(), self._wait(PAUSES.bind(database).select())
        paused = {one.account: one.until for one in pauses if one.until is None or one.until > now}
        shown = Shown(enablements, paused)
        ledger = Ledger(clock, database, Events(), self._accounts.exists)
        return PushRecords(Whose(domains, self._accounts), shown, registrations, ledger)

    def _wait(self, working: Any) -> Any:
        """Drive a coroutine whose only waits are for the storage."""
        from twisted.internet.defer import Deferred
        from twisted.python.failure import Failure

        results: list[Any] = []
        deferred = Deferred.fromCoroutine(working)
        deferred.addBoth(results.append)
        while not results:
            self._clock.advance(0)
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]


def become_owner(folder: Path) -> tuple[int, int]:
    """Act as the owner of the folder, if that is not root; gives who we were."""
    was = os.geteuid(), os.getegid()
    if was[0] == 0 and folder.exists():
        found = folder.stat()
        become(found.st_uid, found.st_gid)
    return was


def become(user: int, group: int) -> None:
    """Act as this user from now on; back to root, too, for a process that was root's."""
    if os.geteuid() == user:
        return
    if os.geteuid() != 0:
        os.seteuid(0)
    os.setegid(group)
    os.seteuid(user)


def _at_once(work: Callable[..., Any], *given: Any) -> "Deferred[Any]":
    from twisted.internet.defer import succeed

    return succeed(work(*given))
