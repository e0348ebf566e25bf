"""What others may ask of push, in one place: who is woken through what, and who waits for what.

The two halves of push hand down what they know and do; operators and users are served from
here. A device is known twice where it registered with us: an enablement on the side of its
account, a registration on the side of the app server. What joins them are service and node.
Nodes are named by their digests, as logs have them; tokens and secrets do not come this way.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IReactorTime

from pushd.routing.events import Events, PushSettled
from pushd.routing.settling import Settling
from pushd.storage.errors import StorageError
from pushd.wire.secret import Secret

Key = tuple[str, str, str]  # account, service, node


@dataclass(frozen=True, slots=True)
class Enabled:
    """An enablement. Instants are seconds since the epoch."""

    account: str
    service: str
    node: str = field(repr=False)  # "" where the service needs none
    session: str  # full JID of the resource that enabled it last
    created_at: float
    used_at: float  # when it was enabled, or its service took a push, last
    waiting: int = 0  # stanzas that were counted since its device was there
    failures: int = 0  # pushes in a row that came to nothing
    probation_since: float | None = None
    is_paused: bool = False  # as is all of the account
    paused_until: float | None = None  # None for a pause without an end
    device_is: str = ""  # "connected", "detached", "away", or "" where nobody knows
    extensions: tuple[str, ...] = ()  # what it wishes beyond XEP-0357, by name

    @property
    def key(self) -> Key:
        return (self.account, self.service, self.node)

    @property
    def digest(self) -> str:
        return digest(self.node)


@dataclass(frozen=True, slots=True)
class Registered:
    """A registration with our app server. Instants are seconds since the epoch."""

    account: str
    service: str  # "" where its app is configured no more
    node: str = field(repr=False)
    device: str
    name: str
    type: str
    app: str
    backend: str
    registered_at: float
    renewed_at: float
    last_push_at: float | None
    dialect: str = "mod_push"  # the commands that it was registered with
    room: str = ""  # the room that publishes; "" for the account's server

    def is_of(self, enabled: Enabled) -> bool:
        """Whether that enablement has its pushes sent here."""
        return (self.account, self.node) == (enabled.account, enabled.node) and (
            self.service in ("", enabled.service)
        )

    @property
    def called(self) -> str:
        """What its owner calls it, or its device id."""
        return self.name or self.device

    @property
    def key(self) -> Key:
        return (self.account, self.service, self.node)

    @property
    def digest(self) -> str:
        return digest(self.node)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A push that was accepted, and that no provider has taken yet."""

    registered: Registered
    accepted_at: float
    expires_at: float
    urgent_until: float | None


@dataclass(frozen=True, slots=True)
class BlockedPublisher:
    publisher: str  # a domain, or the bare JID of an account
    reason: str
    blocked_at: float
    until: float | None


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a test push, as far as it is known: at the service, then at the provider."""

    published: str = ""  # "accepted", or why not; "" where nothing was published
    settled: str = ""  # the provider's outcome; "waiting" so far, "" where that is not known
    reason: str = ""
    seconds: float = 0.0

    @property
    def has_arrived(self) -> bool:
        """Whether it got as far as can be known."""
        return "accepted" in (self.settled, self.published) and self.settled in ("", "accepted")


@dataclass(frozen=True, slots=True)
class Totals:
    """How much there is of all."""

    enablements: int = 0
    on_probation: int = 0  # of these
    registrations: int = 0
    waiting: int = 0  # pushes that no provider has taken yet
    oldest_at: float | None = None  # when the one of these was accepted that waits longest
    blocked: int = 0  # publishers


class KnownEnablements(Protocol):
    def enabled(self, account: str = "") -> Iterable[Enabled]:
        """The enablements of an account, or of all."""

    def totals(self) -> Totals:
        """As far as they concern enablements."""


class KnownRegistrations(Protocol):
    def registered(self, account: str = "") -> Iterable[Registered]:
        """The registrations of an account, or of all."""

    def waiting(self) -> Iterable[Waiting]:
        """What no provider has taken yet, the oldest first."""

    def blocked(self) -> Iterable[BlockedPublisher]: ...

    def totals(self) -> Totals:
        """As far as they concern registrations."""


class Enablements(KnownEnablements, Protocol):
    """The side of the accounts, as who does push hands it down."""

    def disable(self, one: Enabled, reason: str, by: str) -> None:
        """Wake it no more; durable with the next commit."""

    def test(self, one: Enabled) -> Deferred[str]:
        """Publish a test; fires with "accepted", or with why not."""

    def pause(self, account: str, until: float | None, by: str) -> None:
        """Publish nothing for an account until then, or until `unpause`."""

    def unpause(self, account: str, by: str) -> None: ...

    def paused_until(self, account: str) -> float | None:
        """0 where it is not paused, None where that has no end."""


class Registrations(KnownRegistrations, Protocol):
    """The side of the app server."""

    def unregister(self, one: Registered, reason: str, by: str) -> None:
        """Forget a device, and tell its account's server; durable with the next commit."""

    def test(self, one: Registered) -> Deferred[PushSettled]:
        """Push to a device; fires with what became of it."""

    def block(self, publisher: str, reason: str, until: float | None) -> None:
        """Raises ValueError for what cannot be blocked."""

    def unblock(self, publisher: str) -> bool:
        """Tells whether there was a block. Raises ValueError."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device as its owner sees it: what is known of it on either side."""

    enabled: Enabled | None
    registered: Registered | None

    @property
    def digest(self) -> str:
        found = self.enabled or self.registered
        return found.digest if found is not None else ""

    @property
    def name(self) -> str:
        """What its owner calls it; else its device id, or the resource that enabled it.

        What it has for a room says so besides.
        """
        if self.registered is not None:
            room = self.registered.room
            return f"{self.registered.called}, for {room}" if room else self.registered.called
        return self.enabled.session.partition("/")[2] if self.enabled is not None else ""

    @property
    def service(self) -> str:
        """Where pushes for it are published; "" where that is known no more."""
        found = self.enabled or self.registered
        return found.service if found is not None else ""

    @property
    def last_push_at(self) -> float | None:
        return self.registered.last_push_at if self.registered is not None else None

    @property
    def handle(self) -> str:
        """What it is chosen by: the digest of its node, or its service where it has none."""
        return self.digest or (self.enabled.service if self.enabled is not None else "")

    @property
    def full_handle(self) -> str:
        """The same where a node of that name is at another service, too."""
        return f"{self.handle}@{self.service}" if self.digest else self.handle

    def is_called(self, name: str) -> bool:
        """Whether this is its handle, its node, or its device id, which stands for no room."""
        found = [one.node for one in (self.enabled, self.registered) if one is not None]
        if self.registered is not None and not self.registered.room:
            found.append(self.registered.device)
        return bool(name) and name in (*found, self.handle, self.full_handle)


class Pushing:
    """The room itself. A half that is not there, as without its module, knows nothing."""

    def __init__(self, clock: IReactorTime, events: Events) -> None:
        self.enablements: Enablements | None = None
        self.registrations: Registrations | None = None
        self._clock = clock
        self._settling = Settling(events)

    def enabled(self, account: str = "") -> Iterable[Enabled]:
        """The enablements of an account, or of all."""
        return self.enablements.enabled(account) if self.enablements is not None else ()

    def registered(self, account: str = "") -> Iterable[Registered]:
        """The registrations of an account, or of all."""
        return self.registrations.registered(account) if self.registrations is not None else ()

    def waiting(self) -> Iterable[Waiting]:
        """What no provider has taken yet, the oldest first."""
        return self.registrations.waiting() if self.registrations is not None else ()

    def blocked(self) -> Iterable[BlockedPublisher]:
        """Who may not publish."""
        return self.registrations.blocked() if self.registrations is not None else ()

    def totals(self) -> Totals:
        mine = self.enablements.totals() if self.enablements is not None else Totals()
        ours = self.registrations.totals() if self.registrations is not None else Totals()
        return replace(ours, enablements=mine.enablements, on_probation=mine.on_probation)

    def devices(self, account: str) -> list[Device]:
        """The devices of an account, those that are known longest first."""
        known = {one.node: one for one in self.registered(account)}
        found = []
        for one in self.enabled(account):
            mine = known.get(one.node)
            if mine is not None and mine.is_of(one):
                del known[one.node]
                found.append(Device(one, mine))
            else:
                found.append(Device(one, None))
        found += [Device(None, one) for one in known.values()]
        return sorted(found, key=_since)

    def remove(self, device: Device, reason: str, by: str) -> None:
        """Forget it on both sides; durable with the next commit."""
        if device.enabled is not None and self.enablements is not None:
            self.enablements.disable(device.enabled, reason, by)
        if device.registered is not None and self.registrations is not None:
            self.registrations.unregister(device.registered, reason, by)

    async def test(self, devices: Sequence[Device], patience: float) -> list[Tried]:
        """Send each a test push, the way of any other, and see for so many seconds what comes."""
        trials = [Deferred.fromCoroutine(self._test(one, patience)) for one in devices]
        return [await one for one in trials]

    async def _test(self, device: Device, patience: float) -> Tried:
        started_at = self._clock.seconds()
        try:
            tried = await self._tried(device, patience)
        except StorageError:
            tried = Tried(settled="refused", reason="storage fails")
        return replace(tried, seconds=self._clock.seconds() - started_at)

    async def _tried(self, device: Device, patience: float) -> Tried:
        one, registered = device.enabled, device.registered
        if one is None or self.enablements is None:
            if registered is None or self.registrations is None:
                return Tried()
            trial = self.registrations.test(registered)
            return _as_settled("", await _within(patience, trial, self._clock))
        ends_at = self._clock.seconds() + patience
        with self._settling.expecting(one.account, one.node) as settled:
            answer = await _within(patience, self.enablements.test(one), self._clock)
            if answer != "accepted" or registered is None:
                return Tried(answer or "no answer yet")
            left = max(0.0, ends_at - self._clock.seconds())
            return _as_settled(answer, await _within(left, settled, self._clock))


def called(devices: Sequence[Device], name: str) -> list[Device]:
    """Those that are called so, first by what only one should be, then by their owner."""
    return [one for one in devices if one.is_called(name)] or [
        one for one in devices if name and one.name == name
    ]


def handles(devices: Sequence[Device]) -> list[str]:
    """What each is chosen by among the others."""
    known = [one.handle for one in devices]
    return [one.handle if known.count(one.handle) == 1 else one.full_handle for one in devices]


def digest(node: str) -> str:
    """What a node is called where others read it; "" for none."""
    return Secret(node).digest


def _as_settled(published: str, event: PushSettled | None) -> Tried:
    if event is None:
        return Tried(published, "waiting")
    return Tried(published, event.outcome, event.reason)


def _since(device: Device) -> float:
    if device.registered is not None:
        return device.registered.registered_at
    return device.enabled.created_at if device.enabled is not None else 0.0


async def _within(seconds: float, waiting: "Deferred[Any]", clock: IReactorTime) -> Any:
    """What comes of it within that time; else None."""
    try:
        return await waiting.addTimeout(seconds, clock)
    except TookTooLong:
        return None
