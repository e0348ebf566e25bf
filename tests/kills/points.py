"""Instants inside a server at which it can die: around each statement and each write.

The server of a kill test is the real one; only the class of its connection to SQLite, and
the functions named in `fit`, first tell a fuse that they are reached. When the fuse has
counted down, the process sends itself SIGKILL. Of push, all that is told as an event is a
point before its listeners hear of it, and so are requests to providers and their answers.
"""

import os
import signal
import socket
import sqlite3
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pushd.service
from pushd.net.xmlprotocol import XMLStream
from pushd.providers.contract import Request
from pushd.providers.transport import HTTPTransport
from pushd.routing import delivery
from pushd.routing.events import Events
from pushd.storage.sqlite import Database

PUSH_EVENTS = frozenset(
    (
        "DeviceRegistered",
        "DeviceUnregistered",
        "NotificationPublished",
        "PublishAnswered",
        "PublishReceived",
        "PushDecided",
        "PushDisabled",
        "PushEnabled",
        "PushSettled",
        "SessionDetached",
    )
)


class Fuse:
    """Burns down by one at each point that is reached; at 0 the process is gone."""

    def __init__(self, diary: Path) -> None:
        self._diary = diary
        self._lock = threading.Lock()
        self._left = 0  # points until the end; 0 while nothing is lit

    def light(self, points: int) -> None:
        with self._lock:
            self._left = points

    def reach(self, point: str) -> None:
        if self._left:
            with self._lock:
                self._burn(point)

    def _burn(self, point: str) -> None:
        if self._left:
            self._left -= 1
            if not self._left:
                self._diary.write_text(point)
                os.kill(os.getpid(), signal.SIGKILL)


class Connection(sqlite3.Connection):
    """A connection with a point before and after each statement."""

    fuse: Fuse

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        name = sql.split(maxsplit=1)[0]
        self.fuse.reach(f"before {name}")
        done = super().execute(sql, parameters)
        self.fuse.reach(f"after {name}")
        return done

    def executemany(self, sql: str, parameters: Any) -> sqlite3.Cursor:
        name = sql.split(maxsplit=1)[0]
        self.fuse.reach(f"before {name}")
        done = super().executemany(sql, parameters)
        self.fuse.reach(f"after {name}")
        return done


def fit(fuse: Fuse) -> None:
    """Build the fuse into this process, before its server is made."""
    Connection.fuse = fuse
    house: Any = pushd.service
    house.Database = partial(Database, connection=Connection)
    _precede(fuse, "before <a/>", delivery, "answer")
    _precede(fuse, "before a write", XMLStream, "flush")
    tell, send = Events.emit, HTTPTransport.send

    def emit(events: Events, event: object) -> None:
        if type(event).__name__ in PUSH_EVENTS:
            fuse.reach(f"before {type(event).__name__}")
        tell(events, event)

    def carry(transport: HTTPTransport, request: Request, timeout: float) -> Any:
        fuse.reach("before a request to a provider")

        def answered(answer: Any) -> Any:
            fuse.reach("after the answer of a provider")
            return answer

        return send(transport, request, timeout).addCallback(answered)

    setattr(Events, "emit", emit)  # noqa: B010 - mypy
    setattr(HTTPTransport, "send", carry)  # noqa: B010


def _precede(fuse: Fuse, point: str, owner: Any, name: str) -> None:
    """Put a point before each call of a function."""
    work = getattr(owner, name)

    def reached(*given: Any) -> Any:
        fuse.reach(point)
        return work(*given)

    setattr(owner, name, reached)


def listen(fuse: Fuse, path: Path) -> None:
    """Let the test light the fuse: a connection that says a number, and is told when it is lit."""
    path.unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(path))
    door.listen()

    def loop() -> None:
        while True:
            lighter, _ = door.accept()
            with lighter:
                fuse.light(int(lighter.recv(64)))
                lighter.sendall(b"lit")

    threading.Thread(target=loop, daemon=True).start()
