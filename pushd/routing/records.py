"""What storage keeps of sessions, besides their queues: a row each, for the next run.

What changes often (presence, notes, the state of a hold) is written when a commit begins, and
then as it is by that time: what changes again and again is written once.
"""

import json
from dataclasses import dataclass, field

from pushd.routing.sessions import Session
from pushd.storage.sqlite import Database
from pushd.wire.acks import AckQueue, Handled
from pushd.wire.framer import seal
from pushd.wire.jid import parse

INSERT = (
    "INSERT INTO sessions (id, token, jid, handled, acked, hold, held_for, priority, bound_at) "
    "VALUES (?, ?, ?, 0, 0, ?, ?, 0, ?)"
)
UPDATE = (
    "UPDATE sessions SET presence = ?, priority = ?, state = ?, detached_at = ?, hold = ?, "
    "sent = ? WHERE id = ?"
)
DELETE = "DELETE FROM sessions WHERE id = ?"
DELETE_ROWS = "DELETE FROM queue WHERE id BETWEEN ? AND ?"
SELECT = (
    "SELECT id, token, jid, handled, acked, hold, held_for, presence, priority, state, bound_at, "
    "detached_at, sent FROM sessions ORDER BY id"
)
UNNAMED = "!"  # begins what is stored for the token of a session that cannot be resumed


@dataclass(frozen=True, slots=True)
class Revived:
    """A session of the last run, detached and with an empty queue.

    `detached_at` is None if it had a stream when that run ended. `sent` is how many stanzas its
    client had been sent by an earlier crash, without wrapping; None if the last one is all there
    was.
    """

    session: Session
    token: str = field(repr=False)
    detached_at: float | None
    sent: int | None


class Records:
    """The rows of sessions under stream management, written behind."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._next = 1
        self._changed: dict[Session, None] = {}
        database.collect(self._collect)

    def begin(self, session: Session, token: str) -> None:
        """A row for a session; without a token it is only for what its queue leaves."""
        session.row = self._next
        self._next += 1
        stored = token or f"{UNNAMED}{session.row}"
        hold, full = session.promised, session.full
        self._database.write(INSERT, (session.row, stored, full, hold, hold, session.bound_at))
        self.changed(session)

    def changed(self, session: Session) -> None:
        """What the row tells is new."""
        if session.row and session not in self._changed:
            self._changed[session] = None
            self._database.touch()

    def forget(self, session: Session) -> None:
        """Delete all rows of a session, in the commit that stores what it held elsewhere."""
        if session.row:
            self._database.add(DELETE_ROWS, runs([*session.rows, *session.forgotten]))
            session.rows.clear()
            session.forgotten.clear()
            self._database.write(DELETE, (session.row,))
            session.row = 0

    async def read(self) -> list[Revived]:
        """The sessions that the last run left, in the order of their beginning."""
        found = [_revived(row) for row in await self._database.read(SELECT)]
        self._next = max([self._next, *(one.session.row + 1 for one in found)])
        return found

    def _collect(self) -> None:
        changed, self._changed = self._changed, {}
        for session in changed:
            if session.row:
                self._database.write(UPDATE, _values(session))


def runs(rows: list[int]) -> list[tuple[int, int]]:
    """The same numbers as pairs, each the first and the last of some that follow each other.

    What one commit writes for a session follows each other, and mostly goes at once, too.
    """
    found: list[tuple[int, int]] = []
    if rows:
        rows.sort()
        first = last = rows[0]
        for row in rows:
            if row > last + 1:
                found.append((first, last))
                first = row
            last = row
        found.append((first, last))
    return found


def _values(session: Session) -> tuple[object, ...]:
    raw = session.presence.raw if session.presence is not None else None
    notes = json.dumps(session.notes) if session.notes else None
    queue, sent = session.queue, None
    if queue is not None and queue.uncertain is not None:
        sent = queue.acked + queue.uncertain
    hold = session.hold or session.promised
    return (raw, session.priority, notes, session.detached_at, hold, sent, session.row)


def _revived(row: tuple[object, ...]) -> Revived:
    number, token, jid, handled, acked, hold, promised, presence, priority, *rest = row
    notes, bound_at, detached_at, sent = rest
    session = Session(parse(str(jid)), None)
    session.row = int(str(number))
    session.queue = AckQueue(int(str(acked)))
    session.handled = Handled(int(str(handled)))
    session.hold = float(str(hold))
    session.promised = session.hold if promised is None else float(str(promised))
    if isinstance(presence, bytes):
        session.presence = seal(presence)
        session.priority = int(str(priority))
    session.notes = json.loads(str(notes)) if notes else {}
    session.bound_at = None if bound_at is None else float(str(bound_at))
    return Revived(
        session,
        "" if str(token).startswith(UNNAMED) else str(token),
        None if detached_at is None else float(str(detached_at)),
        None if sent is None else int(str(sent)),
    )
