"""How the server is: what it serves, what waits, and what is wrong, in words.

Everything is asked of memory and of the file system, so that there is an answer even while
the storage gives none.
"""

import os
import platform
import pyexpat
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from OpenSSL import SSL

import twisted
from pushd.admin.operations import Operation
from pushd.admin.sessions import totals
from pushd.config.checks import SOON
from pushd.config.release import RELEASE
from pushd.net.tls import CertificateStore, Loaded
from pushd.providers.dispatch import Dispatcher
from pushd.routing.host import Host
from pushd.storage.sqlite import Database

DAY = 86_400.0
ENDS_SOON = 14 * DAY  # whoever renews certificates by himself has done so long before
LEAST_SPACE = 100 << 20  # bytes
SLOW = 10.0  # seconds that a commit may take
OVERDUE = 1_800.0  # seconds that a push may wait for its provider
TOLD = 5  # mistakes of a configuration, of perhaps a hundred

Places = Callable[[], Mapping[str, list[str]]]
Pauses = Callable[[], Mapping[str, float | None]]


class Status:
    """The state of a running server.

    `listeners` tells where it listens, by the kind of door, and `pauses` which backends the
    operator has paused until when; `component` how we stand at the server whose component we
    are: `domain` and `obstacle`, which is "" where there is none; `mistakes` why the configuration
    was not taken over when it was last read again.
    """

    def __init__(
        self,
        host: Host,
        dispatcher: Dispatcher,
        certificates: CertificateStore | None,
        listeners: Places,
        pauses: Pauses = dict,
        component: Callable[[], Mapping[str, str] | None] = lambda: None,
        mistakes: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._host = host
        self._dispatcher = dispatcher
        self._pauses = pauses
        self._component = component
        self._mistakes = mistakes
        self._certificates = certificates
        self._listeners = listeners
        self._started_at = host.clock.seconds()

    def operations(self) -> Mapping[str, Operation]:
        return {"status": self.show}

    async def show(self) -> dict[str, Any]:
        """See `told`."""
        return self.told()

    def told(self) -> dict[str, Any]:
        """Everything; `problems` is empty when all is well."""
        now = self._host.clock.seconds()
        told = {
            "running": True,
            "version": RELEASE,
            "pid": os.getpid(),
            "started_at": self._started_at,
            "uptime": now - self._started_at,
            "software": software(),
            "domains": self._domains(now),
            "component": self._component(),
            "sessions": totals(self._host.sessions.everyone()),
            "push": self._push(now),
            "providers": {
                name: self._provider(name, now) for name in sorted(self._dispatcher.backends)
            },
            "database": database(self._host.database.path) | writer(self._host.database, now),
            "listeners": dict(self._listeners()),
            "mistakes": list(self._mistakes()),
        }
        return {**told, "problems": list(problems(told))}

    def _domains(self, now: float) -> dict[str, Any]:
        loaded = self._certificates.loaded() if self._certificates is not None else {}
        return {
            domain: _certificate(loaded[domain], now) if domain in loaded else None
            for domain in sorted(self._host.domains)
        }

    def _provider(self, name: str, now: float) -> dict[str, Any]:
        health = self._dispatcher.health(name)
        ends_at = health.expires_at
        return asdict(health) | {
            "days_left": None if ends_at is None else (ends_at - now) / DAY,
            "paused_until": self._pauses().get(name),
            "changed": [str(path) for path in self._dispatcher.changed(name)],
        }

    def _push(self, now: float) -> dict[str, Any]:
        totals = self._host.push.totals()
        oldest = 0.0 if totals.oldest_at is None else max(0.0, now - totals.oldest_at)
        return asdict(totals) | {"oldest": oldest}


def software() -> dict[str, str]:
    """The versions of what pushd stands on."""
    return {
        "python": platform.python_version(),
        "twisted": twisted.__version__,
        "openssl": SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode().split()[1],
        "expat": pyexpat.EXPAT_VERSION.removeprefix("expat_"),
        "sqlite": sqlite3.sqlite_version,
    }


def database(path: str | Path) -> dict[str, Any]:
    """The size of a database with its log, and the space that is free beside it; in bytes."""
    file, log = Path(path), Path(f"{path}-wal")
    try:
        size = file.stat().st_size + (log.stat().st_size if log.exists() else 0)
        free = os.statvfs(file.parent)
    except OSError as error:
        return {"path": str(file), "bytes": 0, "free": 0, "fault": error.strerror}
    return {
        "path": str(file.absolute()),
        "bytes": size,
        "free": free.f_bavail * free.f_frsize,
        "fault": "",
    }


def problems(told: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong, for an operator to act upon."""
    yield from of_database(told["database"])
    for domain, certificate in told["domains"].items():
        if certificate is not None:
            yield from _of_certificate(domain, certificate)
    component = told["component"]
    if component is not None and component["obstacle"]:
        yield f"the component {component['domain']} is away: {component['obstacle']}"
    for name, provider in told["providers"].items():
        for reason in provider["alarms"]:
            yield f"provider {name}: {reason}"
        if provider["is_paused"]:
            yield f"provider {name}: it is paused{_until(provider.get('paused_until'))}"
        yield from _of_credential(name, provider.get("days_left"))
        for path in provider.get("changed", ()):
            yield f"provider {name}: {path} has changed since it was read: pushdctl reload"
    for mistake in told["mistakes"][:TOLD]:
        yield f"the configuration was not taken over: {mistake}"
    waits = told["push"]["oldest"]
    if waits > OVERDUE:
        yield f"a push waits for its provider since {waits / 60:.0f} minutes"


def _until(at: float | None) -> str:
    if at is None:
        return ""
    return f" until {datetime.fromtimestamp(at).astimezone().isoformat(' ', 'seconds')}"


def of_database(told: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the storage, and with the room for it."""
    if told["fault"]:
        yield f"the database {told['path']}: {told['fault']}"
    elif told["free"] < LEAST_SPACE:
        yield f"only {told['free'] >> 20} MB are free beside {told['path']}"
    yield from of_writer(told)


def of_writer(told: Mapping[str, Any]) -> Iterator[str]:
    """Why nothing that has to be kept can be accepted."""
    if told.get("writer") == "failing":
        yield f"commits fail: {told['why']}"
    elif told.get("busy", 0.0) > SLOW:
        yield f"a commit takes {told['busy']:.0f} s by now"


def _of_credential(name: str, days: float | None) -> Iterator[str]:
    """Apple, say, gives a certificate by hand, so that there is more to do than to wait."""
    if days is not None and days < 0:
        yield f"provider {name}: its certificate has expired"
    elif days is not None and days * DAY < SOON.total_seconds():
        yield f"provider {name}: its certificate expires in {days:.0f} days"


def _of_certificate(domain: str, told: Mapping[str, Any]) -> Iterator[str]:
    days = told["days_left"]
    if days < 0:
        yield f"the certificate of {domain} has expired"
    elif days * DAY < ENDS_SOON:
        yield f"the certificate of {domain} expires in {days:.0f} days"
    if told["fault"]:
        yield f"the renewed certificate of {domain} cannot be used: {told['fault']}"


def _certificate(loaded: Loaded, now: float) -> dict[str, Any]:
    return {
        "certificate": str(loaded.files.certificate),
        "expires_at": loaded.expires_at,
        "days_left": (loaded.expires_at - now) / DAY,
        "fault": loaded.fault,
    }


def writer(storage: Database, now: float) -> dict[str, Any]:
    """What the storage does at the moment, and since when it has been at it."""
    since = storage.busy_since
    state = "failing" if storage.fault else "idle" if since is None else "writing"
    return {"writer": state, "why": storage.fault, "busy": 0.0 if since is None else now - since}
