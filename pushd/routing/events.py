"""Facts that others may hear: typed, in the past tense, stopped by nobody."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.logger import Logger

from pushd.wire.stanza import Stanza

if TYPE_CHECKING:
    from pushd.routing.rosters import Contact
    from pushd.routing.sessions import Session

log = Logger()
E = TypeVar("E")


class Cause(Enum):
    """Why a stanza did not reach a device (see `Undelivered`)."""

    DETACHED = "detached"  # queued on a session without a stream
    UNACKED = "unacked"  # written, but an acknowledgement is overdue
    ABSENT = "absent"  # stored: the account has no session for it


@dataclass(frozen=True, slots=True)
class ServerStarted:
    """Everything stands, and the sessions of the last run are back."""


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The one door between delivery and push: a stanza waits for a device, and why.

    `session` is the one that it waits on; when it is stored, the one that has ended and had
    it before, or None. What a session had that was detached or overdue was announced by then;
    `told` are the full JIDs of those that have ended so, with it or with copies of it.
    """

    account: str
    session: "Session | None"
    stanza: Stanza
    cause: Cause
    at: float  # seconds since the epoch
    told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionBound:
    session: "Session"


@dataclass(frozen=True, slots=True)
class SessionAvailable:
    """The session sent its first available presence (RFC 6121 §4.2)."""

    session: "Session"


@dataclass(frozen=True, slots=True)
class SessionReceptive:
    """The session takes messages for its account from now on: its priority is not negative.

    (RFC 6121 §8.5.2.1.1.)
    """

    session: "Session"


@dataclass(frozen=True, slots=True)
class SessionUnavailable:
    """The client said that it is there for nobody any more (RFC 6121 §4.5)."""

    session: "Session"
    presence: Stanza


@dataclass(frozen=True, slots=True)
class SessionDetached:
    """The stream is gone; the session waits to be resumed (XEP-0198 §5)."""

    session: "Session"
    reason: str


@dataclass(frozen=True, slots=True)
class SessionResumed:
    session: "Session"


@dataclass(frozen=True, slots=True)
class SessionCaughtUp:
    """An acknowledgement came that was overdue: the client is there after all."""

    session: "Session"


@dataclass(frozen=True, slots=True)
class SessionRecovered:
    """A session of the last run is back, with what it holds and what modules keep with it."""

    session: "Session"


@dataclass(frozen=True, slots=True)
class SessionEnded:
    session: "Session"
    reason: str


@dataclass(frozen=True, slots=True)
class AccountRemoved:
    account: str


@dataclass(frozen=True, slots=True)
class AccountEnabled:
    """It was disabled, and is open again."""

    account: str


@dataclass(frozen=True, slots=True)
class RosterChanged:
    """A contact of the account is new, other than before, or no more (RFC 6121 §2.1.6)."""

    account: str
    contact: "Contact"
    version: str


@dataclass(frozen=True, slots=True)
class ContactRemoved:
    """A contact was deleted, or its account was: as it was before, and whether it had asked."""

    account: str
    contact: "Contact"
    was_asking: bool


@dataclass(frozen=True, slots=True)
class PushEnabled:
    account: str
    service: str
    node: str = field(repr=False)
    session: str  # full JID
    is_new: bool = True  # else it was known, and is bound to this session now


@dataclass(frozen=True, slots=True)
class PushDisabled:
    account: str
    service: str
    node: str = field(repr=False)
    reason: str
    by: str = ""  # the JID of who did it, "operator", or "" for the server itself


@dataclass(frozen=True, slots=True)
class PushDecided:
    """Whether an undelivered stanza wakes a device, and why or why not.

    Service and node are "" where the account has nothing enabled. `sender` is a bare JID, and
    told only where the account lets pushes name senders.
    """

    account: str
    service: str
    node: str = field(repr=False)
    pushed: bool  # a publish tells of it, now or soon
    reason: str  # of a small closed set
    kind: str = ""  # of the stanza: "message", "call", "subscription", "presence", ...
    sender: str = ""


@dataclass(frozen=True, slots=True)
class PushProbed:
    """An enablement is on probation: so many pushes in a row came to nothing.

    From now on it is tried once a day, and removed if nothing comes through for a week.
    """

    account: str
    service: str
    node: str = field(repr=False)
    failures: int


@dataclass(frozen=True, slots=True)
class PushPaused:
    """Nothing is published for the account until then (seconds since the epoch).

    None is for as long as nobody ends that.
    """

    account: str
    until: float | None
    by: str = ""  # the JID of who did it, or "operator"


@dataclass(frozen=True, slots=True)
class PushUnpaused:
    """A pause is over, or was ended: what is new goes out."""

    account: str
    by: str = ""  # the JID of who ended it, "operator", or "" when its time was over


@dataclass(frozen=True, slots=True)
class NotificationPublished:
    account: str
    service: str
    node: str = field(repr=False)
    id: str
    message_count: int
    subscription_count: int


@dataclass(frozen=True, slots=True)
class PublishAnswered:
    account: str
    service: str
    node: str = field(repr=False)
    id: str
    outcome: str  # "accepted", "refused" or "silence"
    condition: str
    seconds: float = 0.0  # since the oldest news that it tells


@dataclass(frozen=True, slots=True)
class DeviceRegistered:
    account: str
    service: str
    node: str = field(repr=False)
    type: str
    device: str
    by: str = ""  # the full JID that registered it
    is_new: bool = True  # else it was known, and has another token or secret now
    dialect: str = "mod_push"  # the commands that it used
    room: str = ""  # the room that shall publish; "" for the account's server


@dataclass(frozen=True, slots=True)
class DeviceUnregistered:
    account: str
    service: str
    node: str = field(repr=False)
    type: str
    device: str
    reason: str
    by: str = ""  # the JID of who did it, "operator", "provider", or "" for the server itself
    room: str = ""  # the room that published; "" for the account's server


@dataclass(frozen=True, slots=True)
class DeviceTokenForgotten:
    """A second token of a device is dead; the device is still registered by its first."""

    account: str
    service: str
    node: str = field(repr=False)
    type: str
    device: str
    forgotten: str  # the field that had it, such as "voip-token"
    reason: str


@dataclass(frozen=True, slots=True)
class PublishReceived:
    """Somebody published to a node of ours. `account` is "" where there is no such node."""

    account: str
    service: str  # the host that was published to
    node: str = field(repr=False)
    publisher: str  # the address that published
    outcome: str  # "accepted", "refused" or "blocked"; "limited": sent later, or not taken now
    reason: str  # the error's condition, or which limit; "" for what was accepted


@dataclass(frozen=True, slots=True)
class PushSettled:
    """Nothing more is to be sent of a push that was accepted."""

    account: str
    service: str
    node: str = field(repr=False)
    backend: str
    outcome: str  # "accepted", "unregistered", "refused" or "expired"
    reason: str
    seconds: float  # since it was accepted


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A stream stands between a domain of ours and another server's."""

    local: str
    remote: str
    outgoing: bool  # we opened it
    method: str  # "EXTERNAL" or "dialback": how who opened it has proved himself


@dataclass(frozen=True, slots=True)
class PeerLost:
    """It is gone."""

    local: str
    remote: str
    outgoing: bool
    reason: str


@dataclass(frozen=True, slots=True)
class PeerUnreachable:
    """We could not open one; `step` is where that failed, of a small closed set."""

    local: str
    remote: str
    step: str


class Events:
    """Who listens to what. A listener that fails is logged alone."""

    def __init__(self) -> None:
        self._listeners: dict[type, list[Callable[[Any], object]]] = {}
        self._everything: list[Callable[[object], object]] = []
        self._heard: dict[type, tuple[Callable[[Any], object], ...]] = {}  # both, as they stand

    def listen(self, kind: type[E], listener: Callable[[E], object]) -> None:
        """Have `listener` called with each event of exactly this type, in the order of asking."""
        self._listeners.setdefault(kind, []).append(listener)
        self._heard.clear()

    def listen_all(self, listener: Callable[[object], object]) -> None:
        self._everything.append(listener)
        self._heard.clear()

    def emit(self, event: object) -> None:
        kind = type(event)
        listeners = self._heard.get(kind)
        if listeners is None:
            listeners = (*self._listeners.get(kind, ()), *self._everything)
            self._heard[kind] = listeners
        for listener in listeners:
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - the other listeners still hear it
                log.failure("a listener of {kind} failed", kind=kind.__name__)
