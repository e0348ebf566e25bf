"""Sessions: bound resources, with a stream or waiting to be resumed (RFC 6120 §7, XEP-0198 §5)."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from twisted.internet.interfaces import IDelayedCall

from pushd.wire.acks import AckQueue, Copies, Handled
from pushd.wire.errors import StreamError
from pushd.wire.jid import JID
from pushd.wire.stanza import Stanza

T = TypeVar("T")


class Outlet(Protocol):
    """The stream of a session, as the hall sees it."""

    @property
    def send(self) -> Any:
        """Say these bytes at the end of the turn."""

    @property
    def waiting(self) -> int:
        """How many bytes wait for a client that does not read."""

    @property
    def address(self) -> str:
        """Where the client connects from."""

    @property
    def descriptor(self) -> int:
        """The descriptor of its socket; -1 where there is none."""

    @property
    def tls_version(self) -> str:
        """The version of TLS; empty without."""

    @property
    def charge(self) -> Callable[[int], None]:
        """Its client has asked for so many bytes of work."""

    def cork(self) -> None:
        """Say nothing until as many calls of `uncork`, and then all of it."""

    def uncork(self) -> None:
        """See `cork`."""

    @property
    def hold(self) -> Callable[[], None]:
        """Read nothing more until as many calls of `release`."""

    @property
    def release(self) -> Callable[[], None]:
        """Read on."""

    def end(self, error: StreamError) -> None:
        """The session is taken from this stream: close it with an error."""

    def give_up(self, reason: str) -> None:
        """The client is gone: its session is detached, and the connection is cut."""


class Held(Protocol):
    """What a session keeps from a client that is inactive; there is none while it is active."""

    def takes(self, stanza: Stanza, copies: Copies | None) -> bool:
        """Whether the stanza is held. Otherwise all that was held has just been sent."""

    def flush(self) -> None:
        """Send what is held."""

    def leave(self) -> None:
        """The session has lost its stream: what is held is as any of a detached session."""


class Session:
    """One bound resource. Nobody but the hall writes on it; modules do in `notes`."""

    __slots__ = (
        "__weakref__",
        "account",
        "announced",
        "asked",
        "asked_for",
        "bound_at",
        "detached_at",
        "dirty",
        "expiry",
        "forgotten",
        "full",
        "handled",
        "held",
        "hold",
        "jid",
        "notes",
        "outstanding",
        "overdue",
        "presence",
        "presences",
        "priority",
        "promised",
        "queue",
        "resumable",
        "row",
        "rows",
        "stream",
        "token",
    )

    def __init__(self, jid: JID, stream: Outlet | None) -> None:
        self.jid = jid
        self.full = jid.full
        self.account = jid.bare
        self.stream = stream
        self.bound_at: float | None = None  # seconds since the epoch, where that is known
        self.presence: Stanza | None = None  # the last available presence
        self.priority = 0
        self.notes: dict[str, Any] = {}  # what modules keep with it (`Lifecycle.note`)
        self.outstanding = 0  # requests that are being answered
        self.held: Held | None = None  # while its client is inactive (XEP-0352)
        # Stream management; `queue` is None while it is not enabled.
        self.queue: AckQueue | None = None
        self.handled: Handled | None = None
        self.asked = False  # an <r/> is unanswered
        self.asked_for = 0  # what it asks about: so many stanzas were sent
        self.overdue = False  # its answer is, and what is sent is announced as undelivered
        self.announced = 0  # so many stanzas of the queue (as `sent` counts) were, up to now
        self.token = ""  # the id that <resume/> names; "" without resumption
        self.promised = 0.0  # seconds for which the client was told that it is held, at least
        self.hold = 0.0  # seconds from the detaching to the end
        self.detached_at: float | None = None  # seconds since the epoch
        self.expiry: IDelayedCall | None = None
        # Storage: the session's own row, the rows of the queue's oldest entries, and
        # the rows that are acknowledged but still to be deleted.
        self.row = 0
        self.rows: list[int] = []
        self.forgotten: list[int] = []
        self.dirty = False
        # Where presence waits that was never sent, by its sender: numbers of the queue.
        self.presences: dict[str, int] = {}

    @property
    def is_available(self) -> bool:
        return self.presence is not None

    @property
    def is_detached(self) -> bool:
        return self.stream is None

    def become_active(self) -> None:
        """Its client is there again: it is sent what was held."""
        held, self.held = self.held, None
        if held is not None:
            held.flush()

    def lose_stream(self) -> None:
        """From now on what it is sent waits, if it is resumable; its client's state is over."""
        self.stream = None
        self.asked = self.overdue = False
        held, self.held = self.held, None
        if held is not None:
            held.leave()

    def __repr__(self) -> str:
        state = "detached" if self.is_detached else "live"
        return f"<Session {self.full} {state}>"


class Sessions:
    """All sessions of this server, by account and resource: the one narrow place for it."""

    def __init__(self) -> None:
        self._accounts: dict[str, dict[str, Session]] = {}
        self._tokens: dict[str, Session] = {}

    def of(self, account: str) -> dict[str, Session]:
        """The sessions of a bare JID by resource; empty when there are none. Not to be changed."""
        return self._accounts.get(account, _NONE)

    def get(self, jid: JID) -> Session | None:
        """The session of a full JID."""
        return self._accounts.get(jid.bare, _NONE).get(jid.resource)

    def by_token(self, token: str) -> Session | None:
        """The resumable session with this id (XEP-0198 §5)."""
        return self._tokens.get(token)

    def everyone(self) -> Iterator[Session]:
        for sessions in list(self._accounts.values()):
            yield from list(sessions.values())

    def add(self, session: Session) -> None:
        self._accounts.setdefault(session.account, {})[session.jid.resource] = session

    def name(self, session: Session, token: str) -> None:
        """Make the session resumable by this id."""
        session.token = token
        self._tokens[token] = session

    def remove(self, session: Session) -> bool:
        """Forget a session; tells whether it was known."""
        known = self._accounts.get(session.account, _NONE)
        if known.get(session.jid.resource) is not session:
            return False
        del known[session.jid.resource]
        if not known:
            del self._accounts[session.account]
        self._tokens.pop(session.token, None)
        return True


_NONE: dict[str, Session] = {}
