"""Enablements: which device of an account is woken through which service and node.

All are held in memory and written behind. What is queued and what was pushed are kept as
numbers that are committed together with the queue itself: after a restart, whoever has
more queued than pushed is pushed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace

from twisted.internet.interfaces import IDelayedCall

from pushd.modules.push import details as about
from pushd.modules.push import extensions as wishing
from pushd.modules.push.details import Details
from pushd.modules.push.extensions import Extensions
from pushd.modules.push.judge import Kind, Worth
from pushd.modules.push.options import Told
from pushd.storage.sqlite import Database
from pushd.storage.table import Table
from pushd.wire.secret import Secret

Key = tuple[str, str, str]  # account, service, node

RINGS = 60.0  # seconds for which somebody who calls waits


@dataclass(frozen=True, slots=True)
class Summary:
    """What waits for a device (XEP-0357 §7): counts since it was last there, and the newest.

    `sender` and `body` are of the same message; `calls` are among the messages; `others` is
    what else wakes the device, and has nothing to tell. Of the newest message or request, and
    of the newest call, are `newest` and `call`, where the device has details told.
    """

    messages: int = 0
    subscriptions: int = 0
    others: int = 0
    sender: str = ""
    body: Secret | None = None
    subscriber: str = ""  # who asked last to subscribe
    calls: int = 0
    newest: Details | None = None
    call: Details | None = None

    @property
    def counts(self) -> tuple[int, int, int]:
        return (self.messages, self.subscriptions, self.others)

    def plus(self, worth: Worth, details: Details | None = None) -> "Summary":
        """One more stanza."""
        if worth.kind is Kind.MESSAGE:
            return Summary(
                self.messages + 1,
                self.subscriptions,
                self.others,
                worth.sender,
                worth.body,
                self.subscriber,
                self.calls + worth.urgent,
                details,
                details if worth.urgent else self.call,
            )
        if worth.kind is Kind.SUBSCRIPTION:
            return replace(
                self,
                subscriptions=self.subscriptions + 1,
                subscriber=worth.sender,
                newest=details,
            )
        return replace(self, others=self.others + 1)


NOTHING = Summary()


@dataclass(slots=True, eq=False)
class Flight:
    """A publish under way. `queued` is what it tells; None until that is on disk."""

    queued: Summary | None = None
    visits: int = 0
    since: float = 0.0  # when the oldest news of it came


@dataclass(slots=True, eq=False)
class Enablement:
    """One device's way to be woken. Whoever changes it tells `Enablements`.

    Instants are seconds since the epoch.
    """

    account: str
    service: str
    node: str = field(repr=False)  # "" where the service needs none
    options: bytes | None = field(repr=False)  # the publish-options form, as XML
    session: str  # the full JID that enabled it
    created_at: float
    used_at: float
    wishes: Extensions | None = None  # Tigase's extensions, if it has any
    news_at: float = 0.0  # when a stanza was last counted
    called_at: float = 0.0  # when the last of them was a call
    since: float = 0.0  # when the oldest was counted that no publish tells of yet; 0: none
    queued: Summary = NOTHING
    stored: Summary = NOTHING  # what storage has of that
    pushed: Summary = NOTHING
    failures: int = 0  # pushes in a row that came to nothing
    probed_at: float = 0.0  # when it went on probation; 0 if it is not
    tried_at: float = 0.0  # when it was last published for, while on probation
    # Of this run only:
    is_enabled: bool = False  # now; else it was disabled, or is another since it was enabled anew
    visits: int = 0  # how often its device was back
    published_at: float = 0.0  # when its service was last told
    called: int = 0  # of how many calls
    flight: Flight | None = field(default=None, repr=False)
    timer: IDelayedCall | None = field(
        default=None, repr=False
    )  # until it is time for the next publish
    pause: float = 0.0  # seconds before a publish that came to nothing is tried again
    rests_until: float = 0.0
    failing_at: float = 0.0  # since when nothing came through, or when that was counted last
    is_dirty: bool = False

    @property
    def key(self) -> Key:
        return (self.account, self.service, self.node)

    @property
    def has_news(self) -> bool:
        """Whether more is queued than was pushed."""
        return self.queued.counts != self.pushed.counts

    def count(self, worth: Worth, now: float, details: Details | None = None) -> None:
        self.queued = self.queued.plus(worth, details)
        self.news_at = now
        self.since = self.since or now
        if worth.urgent:
            self.called_at = now

    def withdraw(self, before: Summary, after: Summary) -> None:
        """A call that made `after` of `before` is over, and nobody was told: forget it.

        What is being told now stays counted.
        """
        queued = self.queued
        is_leaving = self.flight is not None and self.flight.queued is not None
        if is_leaving or queued.calls <= self.pushed.calls:
            return
        if queued is after:
            self.queued = before
        else:
            call = before.call if queued.call is after.call else queued.call
            self.queued = replace(
                queued, messages=queued.messages - 1, calls=queued.calls - 1, call=call
            )
        self.called = min(self.called, self.queued.calls)

    def is_urgent(self, now: float) -> bool:
        """Whether somebody is calling, and no publish has left that tells of it."""
        return self.queued.calls > self.called and self.rings(now)

    @property
    def untold_call_at(self) -> float | None:
        """When a call came that no push has told of, if it may still ring."""
        return self.called_at or None if self.queued.calls > self.pushed.calls else None

    def rings(self, now: float) -> bool:
        """Whether the last call was so short a time ago that somebody may still be calling."""
        return now < self.called_at + RINGS

    def reset(self) -> bool:
        """The device is back, and learns by itself what waits. Tells whether anything did."""
        waited = self.queued is not NOTHING
        self.queued = self.stored = self.pushed = NOTHING
        self.since = self.rests_until = self.pause = 0.0
        self.called = 0
        self.visits += 1
        return waited

    def correct(self, now: float) -> None:
        """Believe in nothing that is still to come: a clock that was wrong noted it.

        So a clock that is set back has nobody wait for the time that it was ahead.
        """
        if self.published_at > now:
            self.published_at = now
        if self.rests_until > now + self.pause:
            self.rests_until = now + self.pause
        if self.tried_at > now:
            self.tried_at = now
        if self.called_at > now:
            self.called_at = now

    def settle(self, flight: Flight) -> None:
        """A push is done with; if the device was back since, that says nothing."""
        told = flight.queued
        if self.visits == flight.visits and told and told.counts >= self.pushed.counts:
            self.pushed = told


class Enablements:
    """All enablements, by account, and the accounts' options."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows = ROWS.bind(database)
        self._switches = SWITCHES.bind(database)
        self._known: dict[str, dict[tuple[str, str], Enablement]] = {}
        self._told: dict[str, Told] = {}
        self._dirty: list[Enablement] = []
        database.collect(self._collect)

    async def load(self, now: float) -> None:
        """Read all; what waits unpushed is as fresh as `now`."""
        for row in await self._rows.select():
            self._add(row.enablement(now))
        for switches in await self._switches.select():
            self._told[switches.account] = switches.told()

    def of(self, account: str) -> list[Enablement]:
        return list(self._known.get(account, _NONE).values())

    def has_any(self, account: str) -> bool:
        return account in self._known

    def everyone(self) -> Iterator[Enablement]:
        for known in list(self._known.values()):
            yield from list(known.values())

    def get(self, account: str, service: str, node: str) -> Enablement | None:
        return self._known.get(account, _NONE).get((service, node))

    def is_current(self, one: Enablement) -> bool:
        """Whether it is still enabled, and was not disabled and enabled anew."""
        return one.is_enabled

    def bound_to(self, account: str, session: str) -> list[Enablement]:
        """Those that this resource enabled."""
        return [one for one in self._known.get(account, _NONE).values() if one.session == session]

    def told(self, account: str, default: Told) -> Told:
        return self._told.get(account, default)

    def set_told(self, account: str, told: Told) -> None:
        self._told[account] = told
        self._switches.put(_Switches(account, **asdict(told)))

    def put(self, one: Enablement) -> None:
        """Store a new enablement, or what is new of a known one."""
        self._add(one)
        self._rows.put(_row(one))
        one.stored = one.queued

    def remove(self, one: Enablement) -> None:
        """Forget one; with the last of an account its options go."""
        if not self.is_current(one):
            return
        one.is_enabled = False
        known = self._known[one.account]
        del known[one.service, one.node]
        self._rows.delete(*one.key)
        if not known:
            del self._known[one.account]
            self._told.pop(one.account, None)
            self._switches.delete(one.account)

    def changed(self, one: Enablement) -> None:
        """Its numbers go into the next commit, with whatever changed them."""
        if not one.is_dirty:
            one.is_dirty = True
            self._dirty.append(one)
            self._database.touch()

    def _add(self, one: Enablement) -> None:
        known = self._known.setdefault(one.account, {})
        before = known.get((one.service, one.node))
        if before is not None:
            before.is_enabled = False
        known[one.service, one.node] = one
        one.is_enabled = True

    def _collect(self) -> None:
        dirty, self._dirty = self._dirty, []
        for one in dirty:
            one.is_dirty = False
            if self.is_current(one):
                self._database.write(UPDATE_NUMBERS, _numbers(one))
                one.stored = one.queued


_NONE: Mapping[tuple[str, str], Enablement] = {}


# What storage holds.


@dataclass(frozen=True, slots=True)
class _Row:
    account: str
    service: str
    node: str = field(repr=False)
    options: bytes | None = field(repr=False)
    session: str | None
    queued_messages: int
    pushed_messages: int
    queued_subscriptions: int
    pushed_subscriptions: int
    queued_others: int
    pushed_others: int
    last_sender: str | None
    last_body: Secret | None
    last_subscriber: str | None
    called_at: float | None  # None where no call is untold
    created_at: float
    used_at: float | None
    failures: int
    probed_at: float | None
    tried_at: float | None
    extensions: str | None = field(repr=False)
    encryption_key: Secret | None = field(repr=False)
    details: Secret | None = field(repr=False)

    def enablement(self, now: float) -> Enablement:
        queued = Summary(
            self.queued_messages,
            self.queued_subscriptions,
            self.queued_others,
            self.last_sender or "",
            self.last_body,
            self.last_subscriber or "",
            int(self.called_at is not None),
            *about.stored(self.details),
        )
        pushed = Summary(self.pushed_messages, self.pushed_subscriptions, self.pushed_others)
        return Enablement(
            self.account,
            self.service,
            self.node,
            self.options,
            self.session or "",
            self.created_at,
            self.used_at or self.created_at,
            wishes=None
            if self.extensions is None
            else wishing.stored(self.extensions, self.encryption_key),
            news_at=now,
            called_at=self.called_at or 0.0,
            since=now if queued.counts != pushed.counts else 0.0,
            queued=queued,
            stored=queued,
            pushed=pushed,
            failures=self.failures,
            probed_at=self.probed_at or 0.0,
            tried_at=self.tried_at or 0.0,
        )


def _row(one: Enablement) -> _Row:
    queued, pushed, wishes = one.queued, one.pushed, one.wishes
    return _Row(
        account=one.account,
        service=one.service,
        node=one.node,
        options=one.options,
        session=one.session,
        queued_messages=queued.messages,
        pushed_messages=pushed.messages,
        queued_subscriptions=queued.subscriptions,
        pushed_subscriptions=pushed.subscriptions,
        queued_others=queued.others,
        pushed_others=pushed.others,
        last_sender=queued.sender or None,
        last_body=queued.body,
        last_subscriber=queued.subscriber or None,
        called_at=one.untold_call_at,
        created_at=one.created_at,
        used_at=one.used_at,
        failures=one.failures,
        probed_at=one.probed_at or None,
        tried_at=one.tried_at or None,
        extensions=None if wishes is None else wishes.written(),
        encryption_key=None if wishes is None else wishes.key,
        details=about.written(queued.newest, queued.call),
    )


# What changes with each push; a whole row costs several times as much.
UPDATE_NUMBERS = """
UPDATE push_enablements SET
    queued_messages = ?, pushed_messages = ?, queued_subscriptions = ?, pushed_subscriptions = ?,
    queued_others = ?, pushed_others = ?, last_sender = ?, last_body = ?, last_subscriber = ?,
    called_at = ?, used_at = ?, failures = ?, probed_at = ?, tried_at = ?, details = ?
WHERE account = ? AND service = ? AND node = ?
"""


def _numbers(one: Enablement) -> tuple[object, ...]:
    queued, pushed = one.queued, one.pushed
    details = about.written(queued.newest, queued.call)
    return (
        queued.messages,
        pushed.messages,
        queued.subscriptions,
        pushed.subscriptions,
        queued.others,
        pushed.others,
        queued.sender or None,
        None if queued.body is None else queued.body.reveal(),
        queued.subscriber or None,
        one.untold_call_at,
        one.used_at,
        one.failures,
        one.probed_at or None,
        one.tried_at or None,
        None if details is None else details.reveal(),
        one.account,
        one.service,
        one.node,
    )


@dataclass(frozen=True, slots=True)
class _Switches:
    account: str
    include_senders: bool
    include_message_count: bool
    include_subscription_count: bool
    include_message_bodies: bool

    def told(self) -> Told:
        return Told(
            self.include_senders,
            self.include_message_count,
            self.include_subscription_count,
            self.include_message_bodies,
        )


ROWS = Table(_Row, key=("account", "service", "node"), name="push_enablements")
SWITCHES = Table(_Switches, name="push_options")
