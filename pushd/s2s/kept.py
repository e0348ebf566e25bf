"""What is on its way to other servers, on disk until it is known to have arrived.

A commit takes with it whatever is on its way and not written yet, so that what the `h` of a
sender covers is on disk, or with the server that it was for. After a crash, and after a stop, it
goes on its way again; whoever had acknowledged it after the last commit gets it twice.
"""

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from pushd.routing.delivery import stamped
from pushd.routing.host import Host
from pushd.routing.records import runs
from pushd.s2s.pairs import Waiting
from pushd.storage.sqlite import Database, Row
from pushd.wire.errors import JIDMalformed
from pushd.wire.framer import seal
from pushd.wire.jid import parse

log = Logger()

INSERT = "INSERT INTO remote_queue (id, stanza, at) VALUES (?, ?, ?)"
DELETE = "DELETE FROM remote_queue WHERE id BETWEEN ? AND ?"
DELETE_UP_TO = "DELETE FROM remote_queue WHERE id <= ?"
ALL = "SELECT id, stanza, at FROM remote_queue ORDER BY id"
LOOK = 1.0  # seconds between two looks at what peers' machines have confirmed


class Unsure(Protocol):
    """What was said to a peer that does not count (XEP-0198)."""

    def look(self) -> bool:
        """Drop what its machine has confirmed; tells whether that is all."""


class Kept:
    """The stanzas on their way; those of all routes and streams.

    `give` gets those that have taken room, once they are no longer on their way.
    """

    def __init__(
        self, clock: IReactorTime, database: Database, give: Callable[[Waiting], None]
    ) -> None:
        self._clock = clock
        self._database = database
        self._next_row = 1
        self._fresh: dict[Waiting, None] = {}  # what no commit has taken yet
        self._gone: list[int] = []  # rows
        self._unsure: dict[Unsure, None] = {}
        self._timer: IDelayedCall | None = None
        self._give = give
        database.collect(self._collect)

    def follow(self, rows: list[Row]) -> None:
        """Number what comes behind those of the last run, before anything does."""
        if rows:
            self._next_row = rows[-1][0] + 1

    def add(self, one: Waiting) -> None:
        """It is on its way from now on."""
        if not self._fresh:
            self._database.touch()
        self._fresh[one] = None

    def drop(self, one: Waiting) -> None:
        """It has arrived, or has gone back. Nothing is dropped twice."""
        if one.who is not None:
            self._give(one)
        if one.row:
            if not self._gone:
                self._database.touch()
            self._gone.append(one.row)
        else:
            self._fresh.pop(one, None)

    def has(self, one: Waiting) -> bool:
        """Whether it is on disk, or will be: a question of our own is not."""
        return bool(one.row) or one in self._fresh

    def watch(self, unsure: Unsure) -> None:
        """Have that look now and then, until it has nothing left."""
        self._unsure[unsure] = None
        if self._timer is None:
            self._timer = self._clock.callLater(LOOK, self._look)

    def stop(self) -> None:
        """Nobody is looked at any more."""
        self._unsure.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        self._look_at_all()
        if self._unsure:
            self._timer = self._clock.callLater(LOOK, self._look)

    def _look_at_all(self) -> None:
        for one in list(self._unsure):
            if one.look():
                del self._unsure[one]

    def _collect(self) -> None:
        """A commit begins."""
        if self._unsure and self._fresh:
            self._look_at_all()
        inserts: list[tuple[int, bytes, float]] = []
        for row, one in enumerate(self._fresh, self._next_row):
            one.row = row
            inserts.append((row, one.stanza.raw, one.came_at))
        self._next_row += len(inserts)
        self._fresh.clear()
        self._database.add(INSERT, inserts)
        self._database.add(DELETE, runs(self._gone))
        self._gone.clear()


async def left_over(database: Database) -> list[Row]:
    """What the last run left, in order: what `send_on` takes. Raises StorageError."""
    return await database.read(ALL)


def send_on(host: Host, rows: list[Row]) -> None:
    """Have that go on its way, with the instant at which it came (XEP-0203).

    If there are no other servers any more, it goes back.
    """
    if not rows:
        return
    host.database.write(DELETE_UP_TO, (rows[-1][0],))  # what is sent is written in the same commit
    for _, raw, at in rows:
        try:
            stanza = seal(raw)
            domain = parse(stanza.attributes["from"]).domain
            if stanza.name != "iq":
                stanza = seal(stamped(raw, stanza, domain, at))
        except (ValueError, KeyError, JIDMalformed):
            log.error("an unreadable stanza waits for another server")
        else:
            host.router.route(stanza)
