"""The life of a session: bound, managed, detached, resumed, ended, and recovered after a crash.

XEP-0198 §3 and §5, RFC 6120 §7.7. `leftovers` says where what a session holds goes when it ends.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pushd.routing.delivery import Delivery
from pushd.routing.events import (
    Events,
    SessionBound,
    SessionDetached,
    SessionEnded,
    SessionRecovered,
    SessionResumed,
)
from pushd.routing.leftovers import Leftovers
from pushd.routing.records import DELETE_ROWS, Records
from pushd.routing.router import Router
from pushd.routing.sessions import Outlet, Session, Sessions
from pushd.storage.sqlite import Database
from pushd.wire.acks import AckQueue, Copies, Handled
from pushd.wire.errors import StreamError
from pushd.wire.jid import JID
from pushd.wire.stanza import Stanza

log = Logger()

QUEUED = (
    "SELECT id, session, stanza, at, message, acknowledged FROM queue WHERE id > ? "
    "ORDER BY id LIMIT ?"
)
BATCH = 1_000  # rows that are read at once: all of them would be in memory twice
ALIVE = "alive_at"
REMEMBERED = 4_096  # ended sessions whose last count is still told
ANSWERING = 10.0  # seconds for which a resumption waits for requests that are being answered
BEAT = 60.0  # seconds between the notes of being alive


class Lifecycle:
    """Everything that begins, suspends or ends a session."""

    def __init__(
        self,
        clock: IReactorTime,
        events: Events,
        database: Database,
        sessions: Sessions,
        delivery: Delivery,
        router: Router,
        resume_timeout: float,
    ) -> None:
        self._clock = clock
        self._events = events
        self._database = database
        self._sessions = sessions
        self._delivery = delivery
        self._router = router
        self._resume_timeout = resume_timeout
        self._holds: list[Callable[[Session], float]] = []
        self._records = Records(database)
        self._leftovers = Leftovers(sessions, delivery, router)
        self._ended: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._taken: set[Session] = set()  # from a live stream, for one that is to resume them
        self._stopping = False
        delivery.overflow = self._overflow

    @property
    def can_resume(self) -> bool:
        """Whether sessions are held at all (`resume_timeout` is not 0)."""
        return self._resume_timeout > 0

    def resume_within(self, seconds: float) -> None:
        """Promise this to clients that enable resumption from now on.

        What was promised stays; 0 stays 0, and nothing else becomes that.
        """
        assert bool(seconds) == self.can_resume
        self._resume_timeout = seconds

    def hold_for(self, ask: Callable[[Session], float]) -> None:
        """Ask this, too, how long (seconds) a detached session is held; the longest wins."""
        self._holds.append(ask)

    def bind(self, jid: JID, stream: Outlet) -> Session:
        """Bind a resource; a session that has it already ends with `conflict`.

        (RFC 6120 §7.7.2.2.)
        """
        old = self._sessions.get(jid)
        session = Session(jid, stream)
        session.bound_at = self._clock.seconds()
        if old is not None:
            if old.stream is not None:
                old.stream.end(StreamError("conflict", "this resource was bound anew"))
            self.end(old, "replaced by a new session", heir=session)
        self._sessions.add(session)
        self._events.emit(SessionBound(session))
        return session

    def manage(self, session: Session, resume: bool, max_hold: float | None) -> "Deferred[None]":
        """Begin stream management (XEP-0198 §3); fires when a resumption would find the session.

        Counting begins at once for what the client sends, and with the caller's
        `<enabled/>` for what it receives (`start_counting`).
        """
        asked = self._resume_timeout if max_hold is None else min(max_hold, self._resume_timeout)
        session.promised = asked
        session.promised = self.hold_of(session)
        session.handled = Handled()
        token = secrets.token_urlsafe(18) if resume and self.can_resume else ""
        if token:
            self._sessions.name(session, token)
        self._records.begin(session, token)
        return self._database.committed()

    def start_counting(self, session: Session) -> None:
        """From now on, what the session is sent waits for an acknowledgement."""
        if session.held is not None:
            session.held.flush()
        session.queue = AckQueue()

    def hold_of(self, session: Session) -> float:
        """Seconds for which this session is held once it is detached: what was promised or more."""
        return max([session.promised, *(ask(session) for ask in self._holds)])

    def present(self, session: Session, presence: Stanza | None, priority: int) -> None:
        """The session's own presence changed; None is unavailable (RFC 6121 §4)."""
        session.presence = presence
        session.priority = priority
        self._records.changed(session)

    def note(self, session: Session, key: str, value: Any) -> None:
        """Keep what JSON can say with a session, through restarts; None takes it away."""
        if value is None:
            session.notes.pop(key, None)
        else:
            session.notes[key] = value
        self._records.changed(session)

    def detach(self, session: Session, reason: str) -> None:
        """The stream is lost without a farewell: hold the session, or end it."""
        session.lose_stream()
        if session.queue is None or not session.token:
            self.end(session, reason)
            return
        self._begin_hold(session)
        self._events.emit(SessionDetached(session, reason))

    def settle(self, session: Session, h: int) -> "Deferred[None]":
        """Prepare a resumption (XEP-0198 §5); fires when all that came is handled and safe.

        Raises HandledCountTooHigh and changes nothing when `h` is more than was sent. The
        old stream, where it still looks open, is closed.
        """
        assert session.queue is not None
        was_uncertain = session.queue.uncertain is not None
        self._delivery.acknowledged(session, h)
        session.presences.clear()  # numbers may mean others from now on
        if was_uncertain:
            self._records.changed(session)  # from now on all is certain, after another crash too
        if session.stream is not None:
            session.stream.end(StreamError("conflict", "this session was resumed elsewhere"))
            session.lose_stream()
            self._begin_hold(session)  # the new stream, too, may be lost before it has the session
            self._taken.add(session)
        return self._made_safe(session)

    def _made_safe(self, session: Session) -> "Deferred[None]":
        """Fires once all that came from the client is answered, and that is on disk.

        A client that is told of a request does not send it again, though a crash would lose
        the answer; one that is not told would have it done twice.
        """
        handled = session.handled
        assert handled is not None
        safe: Deferred[None] = Deferred()
        late = self._clock.callLater(ANSWERING, handled.waive)

        def answered() -> None:
            if late.active():
                late.cancel()
            self._delivery.touch(session)
            self._database.committed().chainDeferred(safe)

        handled.when_answered(answered)
        return safe

    def resume(self, session: Session, stream: Outlet, greeting: bytes) -> None:
        """Give a settled session its new stream: the greeting, and what is unacknowledged."""
        if session.expiry is not None and session.expiry.active():
            session.expiry.cancel()
        session.expiry = None
        self._taken.discard(session)
        session.stream = stream
        session.detached_at = None
        session.asked = False
        session.announced = 0  # it is sent all of it again
        session.presences.clear()
        self._records.changed(session)
        stream.send(greeting)
        assert session.queue is not None
        for data, _, _ in session.queue:
            stream.send(data)
        self._delivery.ask_again(session)
        self._events.emit(SessionResumed(session))

    def abandon(self, session: Session, reason: str) -> None:
        """The stream that was to resume a settled session never got it: it is detached now."""
        if session in self._taken:
            self._taken.remove(session)
            self._events.emit(SessionDetached(session, reason))

    def _overflow(self, session: Session) -> None:
        """Its queue is full: what waits on it goes elsewhere, or its client has to come back."""
        if session.stream is None:
            self.end(session, "its queue is full")
        else:
            session.stream.end(StreamError("policy-violation", "too much is unacknowledged"))
            self.detach(session, "its client acknowledges nothing")

    def is_alive(self, session: Session) -> bool:
        return self._sessions.get(session.jid) is session

    def last_count(self, token: str, account: str) -> int | None:
        """The `h` of a session of this account that has ended (XEP-0198 §5), if remembered."""
        known = self._ended.get(token)
        return known[1] if known is not None and known[0] == account else None

    def end(self, session: Session, reason: str, heir: Session | None = None) -> None:
        """End a session for good, and give what it holds to whoever should have it."""
        if not self._sessions.remove(session):
            return
        self._taken.discard(session)
        session.lose_stream()
        if session.expiry is not None and session.expiry.active():
            session.expiry.cancel()
        self._remember_end(session)
        self._records.forget(session)
        entries = list(session.queue) if session.queue is not None else []
        announced = session.announced - session.queue.acked if session.queue is not None else 0
        self._events.emit(SessionEnded(session, reason))
        for number, entry in enumerate(entries):
            self._leftovers.pass_on(session, entry, heir, number < announced)

    def expire(self, session: Session) -> None:
        self.end(session, "not resumed in time")

    async def recover(self) -> int:
        """Bring back what the last run left: every session detached, with its queue.

        Time in which the server was down does not count against a hold. Gives the number
        of sessions that can be resumed.
        """
        now = self._clock.seconds()
        alive = await self._database.read("SELECT value FROM settings WHERE name = ?", (ALIVE,))
        down = max(0.0, now - float(str(alive[0][0]))) if alive else 0.0
        found = await self._records.read()
        for one in found:
            self._sessions.add(one.session)
            if one.token:
                self._sessions.name(one.session, one.token)
            began_at = now if one.detached_at is None else one.detached_at + down
            one.session.detached_at = min(began_at, now)  # the clock may have been wrong
        await self._fill_queues({one.session.row: one.session for one in found})
        for one in found:
            # What came after an earlier crash, and waits since, was not sent to anybody.
            queue = one.session.queue
            assert queue is not None
            known = len(queue) if one.sent is None else one.sent - queue.acked
            queue.uncertain = min(max(known, 0), len(queue))
        for one in found:
            if self._router.is_account(one.session.account):
                self._events.emit(SessionRecovered(one.session))
        for one in found:
            self._take_up(one.session, one.detached_at is None)
        self.beat()
        return sum(1 for one in found if one.token)

    def _take_up(self, session: Session, was_live: bool) -> None:
        """A session of the last run waits on, or ends."""
        if not self._router.is_account(session.account):
            self._sessions.remove(session)
            self._records.forget(session)
        elif not self._router.is_open(session.account):
            self.end(session, "the account was disabled")
        elif not session.token:
            session.detached_at = None  # it never was: what it holds is news to listeners
            self.end(session, "not resumable after a restart")
        else:
            if was_live:
                session.hold = self.hold_of(session)  # the row's is of an earlier time
            self._records.changed(session)  # with the time that the server was down
            self._schedule(session)
            if was_live:
                self._events.emit(SessionDetached(session, "the server stopped"))

    async def _fill_queues(self, by_row: dict[int, Session]) -> None:
        """Give revived sessions what they held; copies of one message share again what they did."""
        shared: dict[int, Copies] = {}
        last = 0
        while rows := await self._database.read(QUEUED, (last, BATCH)):
            for row, number, data, at, message, acknowledged in rows:
                last = row
                session = by_row.get(number)
                if session is None or session.queue is None:
                    self._database.write(DELETE_ROWS, (row, row))
                    continue
                copies = None
                if message is not None:
                    copies = shared.setdefault(message, self._delivery.copies())
                    copies.rows.append(row)
                    copies.acknowledged = copies.acknowledged or bool(acknowledged)
                session.queue.append(data, at, copies)
                session.rows.append(row)
        self._delivery.next_row = max(self._delivery.next_row, last + 1)

    def beat(self) -> None:
        """Note that the server is alive, now and then until it stops."""
        if self._stopping:
            return
        self._note_alive()
        self._clock.callLater(BEAT, self.beat)

    def stop(self) -> None:
        """The server stops: sessions stay in storage, as detached from this moment on."""
        self._stopping = True
        self._note_alive()

    def _note_alive(self) -> None:
        self._database.write(
            "INSERT INTO settings (name, value) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (ALIVE, repr(self._clock.seconds())),
        )

    def _begin_hold(self, session: Session) -> None:
        session.detached_at = self._clock.seconds()
        session.hold = self.hold_of(session)
        self._records.changed(session)
        self._schedule(session)

    def release(self, session: Session, reason: str) -> None:
        """Hold a detached session no longer than was promised, or somebody still asks for.

        What is over by then ends at once, for this reason.
        """
        if session.detached_at is None or session.expiry is None:
            return
        session.hold = self.hold_of(session)
        if session.detached_at + session.hold <= self._clock.seconds():
            self.end(session, reason)
            return
        session.expiry.cancel()
        self._records.changed(session)
        self._schedule(session)

    def _schedule(self, session: Session) -> None:
        assert session.detached_at is not None
        left = session.detached_at + session.hold - self._clock.seconds()
        session.expiry = self._clock.callLater(max(0.0, left), self.expire, session)

    def _remember_end(self, session: Session) -> None:
        if session.token and session.handled is not None:
            self._ended[session.token] = (session.account, session.handled.h)
            if len(self._ended) > REMEMBERED:
                self._ended.popitem(last=False)
