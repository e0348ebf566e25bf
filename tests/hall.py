"""A real hall for unit tests: everything of floor 2 over a storage in memory, with no sockets.

    hall = Hall(modules={"ping": None})
    romeo = hall.login("romeo@example.net/orchard", sm=True)
    juliet = hall.login("juliet@example.net/balcony")
    romeo.send("<message to='juliet@example.net'><body>Neither, fair maid</body></message>")
    [message] = juliet.received()
    romeo.cut()  # the connection is lost: the session is detached
    hall.advance(300)

Time is a `task.Clock`; storage commits whenever it is advanced, and after each `send`. The
accounts named are made without keys. Clients are available at once unless told otherwise.
"""

import shutil
import sqlite3
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pushd.modules.base import load
from pushd.net.turn import Turn
from pushd.routing.delivery import QueueLimits
from pushd.routing.host import assemble
from pushd.routing.sessions import Session
from pushd.storage import schema
from pushd.storage.sqlite import Database, InlineRunner
from pushd.wire.element import Element
from pushd.wire.errors import StreamError
from pushd.wire.framer import Framer, Limits, seal
from pushd.wire.jid import JID, parse
from pushd.wire.namespaces import NS_CLIENT, NS_SM, NS_STREAMS
from pushd.wire.stanza import Stanza
from tests.support import result_of

T = TypeVar("T")

START = 1_700_000_000.0  # seconds since the epoch
HEADER = f"<stream:stream xmlns='{NS_CLIENT}' xmlns:stream='{NS_STREAMS}'>".encode()


class Outlet:
    """A stream that keeps what it is sent, until somebody reads it."""

    def __init__(self) -> None:
        self.framer = Framer(Limits())
        self.framer.feed(HEADER)
        self.unread: list[Element] = []
        self.handled = 0  # stanzas that came since counting began
        self.ended: StreamError | None = None
        self.holds = 0
        self.corks = 0
        self.kept = b""  # said while corked
        self.waiting = 0
        self.charged = 0
        self.address = "192.0.2.7"
        self.tls_version = "TLSv1.3"
        self.descriptor = -1
        self.given_up = ""  # why

    def charge(self, size: int) -> None:
        self.charged += size

    def hold(self) -> None:
        self.holds += 1

    def release(self) -> None:
        self.holds -= 1

    def cork(self) -> None:
        self.corks += 1

    def uncork(self) -> None:
        self.corks -= 1
        if not self.corks:
            kept, self.kept = self.kept, b""
            self.send(kept)

    def send(self, data: bytes) -> None:
        if self.corks:
            self.kept += data
            return
        for event in self.framer.feed(data):
            assert isinstance(event, Stanza), event
            self.unread.append(event.tree)
            if event.namespace == NS_CLIENT:
                self.handled += 1

    def give_up(self, reason: str) -> None:
        self.given_up = reason

    def end(self, error: StreamError) -> None:
        self.ended = error


class Client:
    """One bound resource, as its user sees it."""

    def __init__(self, hall: "Hall", session: Session, outlet: Outlet) -> None:
        self.hall = hall
        self.session = session
        self.outlet = outlet

    def send(self, xml: str) -> None:
        """Send one stanza, as a client's stream would hand it to the hall; then commit."""
        self.pass_on(xml)
        self.hall.advance(0)

    def pass_on(self, xml: str) -> None:
        """The same, while the turn goes on."""
        stanza = seal(xml.encode())
        if self.session.handled is not None:
            self.session.handled.count()
            self.hall.host.delivery.touch(self.session)
        stanza.stamp(self.session.full)
        self.hall.host.router.submit(self.session, stanza)

    def ask(self, xml: str) -> Element:
        """Send a request; gives its answer, which must have come. Other stanzas stay unread."""
        self.send(xml)
        id = seal(xml.encode()).id
        [answer] = [
            one for one in self._stanzas() if one.name == "iq" and one.getAttribute("id") == id
        ]
        self.outlet.unread.remove(answer)
        return answer

    def received(self) -> list[Element]:
        """The stanzas that came since the last call; nonzas are left out and forgotten."""
        stanzas = self._stanzas()
        self.outlet.unread.clear()
        return stanzas

    def nonzas(self, name: str) -> list[Element]:
        """What came of XEP-0198 by this name (`r`, `a`), and was not looked at yet."""
        found = [one for one in self.outlet.unread if (one.uri, one.name) == (NS_SM, name)]
        self.outlet.unread = [one for one in self.outlet.unread if one not in found]
        return found

    def acknowledge(self, h: int | None = None) -> None:
        """Tell the server `h`; all that came, if none is given."""
        covered = self.outlet.handled if h is None else h
        self.hall.host.delivery.acknowledged(self.session, covered)
        self.hall.advance(0)

    def inactive(self) -> None:
        """Say that nobody looks (XEP-0352)."""
        if self.session.held is None:
            self.hall.host.delivery.inactive(self.session)
        self.hall.advance(0)

    def active(self) -> None:
        self.session.become_active()
        self.hall.advance(0)

    def cut(self, reason: str = "the connection is lost") -> None:
        """Lose the connection; a session that can be resumed is detached."""
        self.session.stream = None
        self.hall.host.lifecycle.detach(self.session, reason)
        self.hall.advance(0)

    def resume(self, h: int | None = None) -> None:
        """Resume on a new connection, having seen `h` stanzas; what comes again is unread."""
        seen = self.outlet.handled if h is None else h
        settled = self.hall.host.lifecycle.settle(self.session, seen)
        self.hall.advance(0)
        result_of(settled)
        self.outlet = Outlet()
        self.outlet.handled = seen
        self.hall.host.lifecycle.resume(self.session, self.outlet, b"")
        self.hall.advance(0)

    def close(self) -> None:
        """Close the stream: the session ends."""
        self.hall.host.lifecycle.end(self.session, "the client closed its stream")
        self.hall.advance(0)

    def _stanzas(self) -> list[Element]:
        return [one for one in self.outlet.unread if one.uri == NS_CLIENT]


FILES: list[Database] = []  # that halls have opened


def close_files() -> None:
    """Close the files that are still open; else they are until somebody collects the garbage."""
    while FILES:
        _close_file(FILES.pop())


def _close_file(database: Database) -> None:
    database._writer._connection.close()
    if database._lock is not None:
        database._lock.release()


class _Made(sqlite3.Connection):
    """A new database that has its tables already: to make them costs more than most tests."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if not self.execute("SELECT 1 FROM sqlite_master").fetchone():
            _tables().backup(self)


@cache
def _tables() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(connection, schema.steps(), START)
    return connection


class Hall:
    """A server without doors. `host` is what modules and the app server see."""

    def __init__(
        self,
        domains: tuple[str, ...] = ("example.net",),
        modules: Mapping[str, Any] | None = None,
        path: Path | str = ":memory:",
        resume_timeout: float = 300.0,
        limits: QueueLimits | None = None,
        at: float = START,
        connection: type[sqlite3.Connection] = _Made,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.clock.rightNow = at
        self._path = Path(path)
        self._again = partial(Hall, domains, modules, resume_timeout=resume_timeout, limits=limits)
        self.turn = Turn(self.clock)
        self.seen: list[object] = []  # every event
        database = Database(str(path), self.clock, InlineRunner(), connection=connection)
        database.open()
        if self._path.name != ":memory:":
            FILES.append(database)
        self.host = assemble(
            self.clock,
            database,
            self.turn,
            frozenset(domains),
            resume_timeout,
            limits or QueueLimits(),
        )
        self.host.events.listen_all(self.seen.append)
        self.has_presence = "presence" in (modules or {})
        self.wait(self.host.ledger.load())
        self.modules = self.wait(load(self.host, modules or {}))
        self.wait(self.host.accounts.load())
        self.wait(self.host.lifecycle.recover())

    def login(
        self,
        address: str,
        *,
        sm: bool = False,
        available: bool = True,
        max_hold: float | None = None,
    ) -> Client:
        """Bind a resource of an account, made if need be; `sm` makes it resumable."""
        jid = parse(address)
        self.add_account(jid.bare)
        outlet = Outlet()
        session = self.host.lifecycle.bind(jid, outlet)
        client = Client(self, session, outlet)
        if sm:
            self.wait(self.host.lifecycle.manage(session, True, max_hold))
            self.host.lifecycle.start_counting(session)
            outlet.handled = 0
        if available and self.has_presence:
            client.send("<presence/>")
            client.received()
        elif available:
            self.host.lifecycle.present(session, seal(b"<presence/>"), 0)
            self.advance(0)
        return client

    def add_account(self, bare: str) -> JID:
        if not self.host.accounts.exists(bare):
            self.wait(self.host.accounts.add(bare, {}))
        return parse(bare)

    def route(self, xml: str) -> None:
        """Let a stanza come from elsewhere: it has its `from` and its `to`."""
        self.host.router.route(seal(xml.encode()))
        self.advance(0)

    def advance(self, seconds: float) -> None:
        """Let time pass; what was written is committed at its end."""
        self.clock.advance(seconds)
        self.clock.advance(0)

    def wait(self, working: Any) -> Any:
        """The result of a coroutine or a Deferred, which a commit brings about."""
        deferred = working if isinstance(working, Deferred) else Deferred.fromCoroutine(working)
        self.advance(0)
        return result_of(deferred)

    def killed(self, after: float = 0.0) -> "Hall":
        """Kill this one, whose storage is a file, and start another on what is left of it.

        What is left are the files as they are now; `after` seconds pass in between.
        """
        left = Path(f"{self._path}+")
        for end in ("", "-wal"):
            source = Path(f"{self._path}{end}")
            if source.exists():
                shutil.copy(source, f"{left}{end}")
        return self._again(path=left, at=self.clock.seconds() + after)

    def cut(self) -> None:
        """Its process is gone: nothing is written any more, and no file is open."""
        _close_file(self.host.database)

    def events(self, kind: type[T]) -> list[T]:
        """The events of this type, so far."""
        return [event for event in self.seen if isinstance(event, kind)]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What storage holds."""
        found: list[tuple[Any, ...]] = self.wait(self.host.database.read(sql))
        return found
