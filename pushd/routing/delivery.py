"""The last step to a session, and what an acknowledgement means (XEP-0198).

A stanza goes to the stream of its session, or waits on the queue of a detached one, or
is stored for an account that has none. At each commit everything that its receiver has
not acknowledged yet is written with it, so that what a sender is told of (`h`) is on disk
or with its receiver; SIGKILL turns live sessions into detached ones and loses nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pushd.net.turn import Turn
from pushd.routing.events import Cause, Events, SessionCaughtUp, Undelivered
from pushd.routing.records import DELETE_ROWS, runs
from pushd.routing.sessions import Session
from pushd.storage.sqlite import Database
from pushd.wire.acks import AckQueue, Copies
from pushd.wire.errors import ResourceConstraint, StanzaError
from pushd.wire.framer import seal
from pushd.wire.namespaces import NS_SM
from pushd.wire.stanza import DELAY, Stanza, delay, with_child

log = Logger()

STUCK = ResourceConstraint("the server cannot store anything at present")
ASK = f"<r xmlns='{NS_SM}'/>".encode()

INSERT_ROW = (
    "INSERT INTO queue (id, session, stanza, at, message, acknowledged) VALUES (?, ?, ?, ?, ?, ?)"
)
ACKNOWLEDGE_COPY = "UPDATE queue SET acknowledged = 1 WHERE id = ?"
UPDATE_ROW = "UPDATE queue SET stanza = ?, at = ? WHERE id = ?"
UPDATE_SESSION = "UPDATE sessions SET handled = ?, acked = ? WHERE id = ?"


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """What a detached session may hold before it ends into offline storage.

    One with a stream may have twice that unacknowledged before it is detached.
    """

    stanzas: int = 5_000
    size: int = 10_000_000  # bytes


class OfflineStore(Protocol):
    """Where messages wait for an account without a session; a module hands it down."""

    def accepts(self, stanza: Stanza) -> bool:
        """Whether a message of this kind is kept (XEP-0160 §3)."""

    def keep(self, account: str, stanza: Stanza, at: float) -> bool:
        """Store a message that came at `at`; False when it cannot be kept (a quota)."""


class Delivery:
    """Stanzas to sessions: plain calls, and one commit for all that came meanwhile."""

    def __init__(
        self,
        clock: IReactorTime,
        events: Events,
        database: Database,
        turn: Turn,
        limits: QueueLimits,
    ) -> None:
        self.overflow: Callable[[Session], None]
        self.refuse: Callable[[Stanza, StanzaError], None]
        self.offline: OfflineStore | None = None
        # The client of a session is inactive (XEP-0352); a module says what that means.
        self.inactive: Callable[[Session], None] = lambda session: None
        # Sessions that are handed what their accounts' offline stores hold, by account.
        self.catching_up: dict[str, Session] = {}
        self.next_row = 1
        self._clock = clock
        self._events = events
        self._database = database
        self._limits = limits
        self._dirty: list[Session] = []
        self._asking: list[Session] = []
        database.collect(self._collect)
        database.while_failing(self._check_queues)
        self._turn = turn
        turn.before_writing(self._ask)

    def limit(self, limits: QueueLimits) -> None:
        """From now on these limits hold."""
        self._limits = limits

    @property
    def is_stuck(self) -> bool:
        """Whether nothing can be stored now, so that what has to be is refused (`STUCK`)."""
        return self._database.failing

    def deliver(self, session: Session, stanza: Stanza, copies: Copies | None = None) -> None:
        """Hand a stanza to a session, whatever state it is in."""
        stream = session.stream
        if stream is None:
            self._wait(session, stanza, copies)
            return
        held = session.held
        if held is not None and held.takes(stanza, copies):
            return
        data = stanza.raw
        queue = session.queue
        if queue is not None:
            queue.append(data, self._clock.seconds(), copies)
            if not session.dirty:
                self.touch(session)
            if not session.asked:
                self._request(session)
            elif session.overdue:
                self._announce(session, queue)
        elif copies is not None:
            copies.acknowledge()
        stream.send(data)

    def move(
        self,
        session: Session,
        stanzas: Iterable[tuple[Stanza, float]],
        copies: Copies | None = None,
    ) -> None:
        """Deliver what storage has elsewhere, once its removal from there is queued.

        Each comes with the instant at which it came first, by which messages keep their order
        wherever they go next. It is said when that is on disk. Else a crash could leave it in
        both places, there and with its receiver, who would have it twice.
        """
        stream = session.stream if session.queue is not None else None
        if stream is not None:
            stream.cork()
        for stanza, at in stanzas:
            if session.stream is None:
                self._wait(session, stanza, copies, at)
            else:
                self.deliver(session, stanza, copies)
                if session.queue is not None:
                    session.queue.date(at)
        if stream is not None:
            self._database.committed().addBoth(lambda ignored: stream.uncork())

    def copies(self) -> Copies:
        """For one message to several sessions: whoever acknowledges it does so for the others.

        This holds after a restart, too.
        """
        return Copies(self._acknowledged_elsewhere)

    def _acknowledged_elsewhere(self, rows: list[int]) -> None:
        for row in rows:
            self._database.write(ACKNOWLEDGE_COPY, (row,))

    def store(
        self,
        account: str,
        stanza: Stanza,
        at: float | None = None,
        held_by: Session | None = None,
        told: tuple[str, ...] = (),
    ) -> bool:
        """Keep a message for an account without a session; tells whether it is dealt with.

        What is not worth keeping (a chat state) is dealt with by dropping it. `held_by` is
        the session that has ended, where the message waited on one; `told` as in `Undelivered`.
        """
        if self.offline is None:
            return False
        if not self.offline.accepts(stanza):
            return True
        came_at = self._clock.seconds() if at is None else at
        if not self.offline.keep(account, stanza, came_at):
            return False
        self._events.emit(Undelivered(account, held_by, stanza, Cause.ABSENT, came_at, told))
        return True

    def store_behind(self, session: Session, stanza: Stanza) -> bool:
        """Let a message wait in the offline store, for a session that has not got all from there.

        Else it would overtake what came before it. Tells whether it waits; what is not worth
        storing, or cannot be, is delivered at once.
        """
        offline, now = self.offline, self._clock.seconds()
        if offline is None or self._database.failing or not offline.accepts(stanza):
            return False
        if not offline.keep(session.account, stanza, now):
            return False
        if session.stream is None:
            self._events.emit(Undelivered(session.account, session, stanza, Cause.DETACHED, now))
        return True

    def acknowledged(self, session: Session, h: int) -> None:
        """The peer acknowledges up to `h`. Raises HandledCountTooHigh (XEP-0198 §4)."""
        queue = session.queue
        assert queue is not None
        dropped = queue.acknowledge(h)
        session.asked = False
        if session.overdue:
            session.overdue = False
            self._events.emit(SessionCaughtUp(session))
        stream = session.stream
        if dropped:
            if session.rows:
                session.forgotten += session.rows[:dropped]
                del session.rows[:dropped]
            if not session.dirty:
                self.touch(session)
        # Only about what was sent since: a client that does not count well would have no rest.
        if (
            queue.entries
            and stream is not None
            and queue.sent - queue.unsent > session.asked_for
            and len(queue.entries) > queue.unsent
        ):
            self._request(session)

    def overdue(self, session: Session) -> None:
        """The client owes an acknowledgement for too long: what it has not confirmed is announced.

        So is what it is sent from now on, until it acknowledges. Its stream goes on.
        """
        queue = session.queue
        assert queue is not None
        session.overdue = True
        self._announce(session, queue)

    def _announce(self, session: Session, queue: AckQueue) -> None:
        """Announce each stanza that was sent and not announced yet."""
        first, session.announced = session.announced, queue.sent - queue.unsent
        for stanza, at in unacknowledged(session, first, session.announced):
            self._events.emit(Undelivered(session.account, session, stanza, Cause.UNACKED, at))

    def touch(self, session: Session) -> None:
        """This session has something for the next commit."""
        if not session.dirty and session.row:
            session.dirty = True
            self._dirty.append(session)
            self._database.touch()

    def ask_again(self, session: Session) -> None:
        """Request an acknowledgement of what is queued at the end of this turn."""
        if session.queue is not None and session.queue.entries:
            self._request(session)

    def _wait(
        self,
        session: Session,
        stanza: Stanza,
        copies: Copies | None,
        came_at: float | None = None,
    ) -> None:
        """Queue a stanza on a detached session, and announce it.

        `came_at` is when it was accepted, if that was before: then it is not refused.
        """
        is_new = came_at is None and copies is None
        if self._database.failing and is_new and may_be_refused(stanza):
            self.refuse(stanza, STUCK)
            return
        queue = session.queue
        assert queue is not None
        now = self._clock.seconds() if came_at is None else came_at
        data = stanza.raw
        if stanza.name != "iq":
            data = stamped(data, stanza, session.jid.domain, now)
        if stanza.name != "presence" or not self._replaces(session, stanza, data, now):
            queue.append(data, now, copies)
            if not session.dirty:
                self.touch(session)
        self._events.emit(Undelivered(session.account, session, stanza, Cause.DETACHED, now))
        if len(queue.entries) > self._limits.stanzas or queue.size > self._limits.size:
            self.overflow(session)

    def _replaces(self, session: Session, stanza: Stanza, data: bytes, now: float) -> bool:
        """Whether presence takes the place of what the same sender said before.

        Of what changes while nobody listens only the newest is told, and the queue does not
        fill with it. What may have been sent already keeps its place.
        """
        queue, sender = session.queue, stanza.attributes.get("from", "")
        assert queue is not None
        if stanza.type not in ("", "unavailable") or self._database.failing:
            return False
        number = session.presences.setdefault(sender, queue.sent)
        place = number - queue.acked
        if place == len(queue.entries):
            return False
        queue.replace(place, data, now)
        if place < len(session.rows):
            self._database.write(UPDATE_ROW, (data, now, session.rows[place]))
        return True

    def _check_queues(self) -> None:
        """Commits fail, and nothing is collected: no live queue grows without end for that."""
        stanzas, size = 2 * self._limits.stanzas, 2 * self._limits.size
        for session in list(self._dirty):
            queue = session.queue
            if (
                queue is not None
                and session.stream is not None
                and (len(queue.entries) > stanzas or queue.size > size)
            ):
                self.overflow(session)

    def _request(self, session: Session) -> None:
        """At the end of this turn, ask the session what it has."""
        session.asked = True
        if not self._asking:
            self._turn.soon()
        self._asking.append(session)

    def _ask(self) -> None:
        """At the end of a turn: one request to each session that has had something."""
        if self._asking:
            asking, self._asking = self._asking, []
            for session in asking:
                if session.stream is not None and session.queue is not None:
                    session.asked_for = session.queue.sent - session.queue.unsent
                    session.stream.send(ASK)

    def _collect(self) -> Callable[[], None] | None:
        """A commit begins: add to it whatever is unacknowledged, and note what it makes safe."""
        if not self._dirty:
            return None
        dirty, self._dirty = self._dirty, []
        inserts: list[tuple[object, ...]] = []
        deletes: list[tuple[int, int]] = []
        committing: list[tuple[Session, int]] = []
        updates: list[tuple[int, int, int]] = []
        full: list[Session] = []
        stanzas, size = 2 * self._limits.stanzas, 2 * self._limits.size
        for session in dirty:
            session.dirty = False
            queue, handled = session.queue, session.handled
            if queue is None or handled is None or not session.row:
                continue
            entries, rows = queue.entries, session.rows
            for place in range(len(rows) - len(entries), 0):
                row, (data, at, copies) = self.next_row, entries[place]
                if copies is None:
                    inserts.append((row, session.row, data, at, None, 0))
                else:
                    copies.rows.append(row)
                    shared = (copies.rows[0], int(copies.acknowledged))
                    inserts.append((row, session.row, data, at, *shared))
                rows.append(row)
                self.next_row = row + 1
            if len(entries) > stanzas or queue.size > size:
                full.append(session)
            number = handled.committable()
            updates.append((number, queue.acked, session.row))
            if number > handled.safe:
                committing.append((session, number))
        for session in dirty:
            if session.forgotten:
                deletes += runs(session.forgotten)
                session.forgotten.clear()
        self._database.add(INSERT_ROW, inserts)
        self._database.add(DELETE_ROWS, deletes)
        self._database.add(UPDATE_SESSION, updates)
        return partial(self._committed, committing, full)

    def _committed(self, committing: list[tuple[Session, int]], full: list[Session]) -> None:
        """Tell the senders what is safe now, without being asked (XEP-0198 §4)."""
        for session, number in committing:
            handled = session.handled
            if handled is not None and handled.commit(number) and session.stream is not None:
                session.stream.send(answer(handled.h))
        for session in full:
            if session.stream is not None:
                self.overflow(session)


def unacknowledged(
    session: Session, first: int = 0, end: int | None = None
) -> Iterator[tuple[Stanza, float]]:
    """What a session holds from stanza `first` on, as `queue.sent` counts, and since when.

    As it is now, whatever becomes of the queue meanwhile.
    """
    queue = session.queue
    if queue is None:
        return
    stop = len(queue) if end is None else max(0, end - queue.acked)
    for data, at, _ in queue.entries[max(0, first - queue.acked) : stop]:
        try:
            stanza = seal(data)
        except ValueError:
            log.error("an unreadable stanza is queued for {session}", session=session.full)
        else:
            yield stanza, at


def may_be_refused(stanza: Stanza) -> bool:
    """Whether its sender learns from an error that it did not arrive."""
    if stanza.name == "message":
        return stanza.type not in ("groupchat", "error")
    return stanza.name == "iq" and stanza.type in ("get", "set")


def answer(h: int) -> bytes:
    """The `<a/>` that acknowledges up to `h`."""
    return f"<a xmlns='{NS_SM}' h='{h}'/>".encode()


def stamped(data: bytes, stanza: Stanza, domain: str, at: float) -> bytes:
    """The bytes with a delay stamp of ours, unless they have one: the first one stays."""
    if (DELAY, domain) in stanza.claims:
        return data
    return with_child(data, delay(domain, at))
