"""Enablements: which device of an account is woken through which service and node.

All are held in memory and written behind. What is queued and what was pushed are kept as
numbers that are committed together with the queue itself: after a restart, whoever has
more queued than pushed is pushed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pushd.modules.push.judge import Kind, Worth
from pushd.modules.push.options import NAMES, Told
from pushd.storage.sqlite import Database
from pushd.wire.secret import Secret

INSERT = (
    "INSERT INTO push_enablements (account, service, node, options, session, created_at, used_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account, service, node) DO UPDATE SET "
    "options = excluded.options, session = excluded.session, used_at = excluded.used_at, "
    "failures = 0"
)
UPDATE = (
    "UPDATE push_enablements SET queued_messages = ?, pushed_messages = ?, "
    "queued_subscriptions = ?, pushed_subscriptions = ?, last_sender = ?, last_body = ?, "
    "urgent = ?, used_at = ?, failures = ?, session = ? "
    "WHERE account = ? AND service = ? AND node = ?"
)
SELECT = (
    "SELECT account, service, node, options, session, queued_messages, pushed_messages, "
    "queued_subscriptions, pushed_subscriptions, last_sender, last_body, urgent, created_at, "
    "used_at, failures FROM push_enablements"
)
DELETE = "DELETE FROM push_enablements WHERE account = ? AND service = ? AND node = ?"
DELETE_OPTIONS = "DELETE FROM push_options WHERE account = ?"
SET_OPTIONS = (
    f"INSERT INTO push_options (account, {', '.join(NAMES)}) VALUES (?, ?, ?, ?, ?) "  # noqa: S608
    "ON CONFLICT (account) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in NAMES)
)


@dataclass(frozen=True, slots=True)
class Summary:
    """What waits for a device (XEP-0357 §7): counts since it was last there, and the newest."""

    messages: int = 0
    subscriptions: int = 0
    sender: str = ""
    body: Secret | None = None
    urgent: bool = False
    subscriber: str = ""  # who asked last to subscribe
    wakes: int = 0  # what else wakes it, with `notify_on: all`

    def plus(self, worth: Worth) -> "Summary":
        """One more stanza. Sender and body are of the same message."""
        if worth.kind is Kind.SUBSCRIPTION:
            return replace(self, subscriptions=self.subscriptions + 1, subscriber=worth.sender)
        if worth.kind is not Kind.MESSAGE:
            return replace(self, wakes=self.wakes + 1)
        return replace(
            self,
            messages=self.messages + 1,
            sender=worth.sender,
            body=worth.body,
            urgent=self.urgent or worth.urgent,
        )


class Enablement:
    """One device's way to be woken. `session` is the full JID that enabled it."""

    __slots__ = (
        "account",
        "created_at",
        "dirty",
        "failures",
        "in_flight",
        "node",
        "options",
        "pushed",
        "queued",
        "service",
        "session",
        "used_at",
    )

    def __init__(
        self,
        account: str,
        service: str,
        node: str,
        options: bytes | None,
        session: str,
        created_at: float,
    ) -> None:
        self.account = account
        self.service = service
        self.node = node
        self.options = options  # the publish-options form, as XML
        self.session = session
        self.created_at = created_at
        self.used_at = created_at
        self.queued = Summary()
        self.pushed = Summary()
        self.failures = 0
        self.in_flight = False
        self.dirty = False

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.account, self.service, self.node)

    @property
    def has_news(self) -> bool:
        """Whether more is queued than was pushed."""
        return (self.queued.messages, self.queued.subscriptions, self.queued.wakes) != (
            self.pushed.messages,
            self.pushed.subscriptions,
            self.pushed.wakes,
        )


class Enablements:
    """All enablements, by account, and the accounts' options."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, dict[tuple[str, str], Enablement]] = {}
        self._told: dict[str, Told] = {}
        self._dirty: list[Enablement] = []
        database.collect(self._collect)

    async def load(self) -> None:
        for row in await self._database.read(SELECT):
            self._add(_revived(row))
        columns = ", ".join(NAMES)
        for account, *values in await self._database.read(
            f"SELECT account, {columns} FROM push_options"  # noqa: S608 - names of our own
        ):
            self._told[account] = Told(*(bool(value) for value in values))

    def of(self, account: str) -> list[Enablement]:
        return list(self._known.get(account, {}).values())

    def everyone(self) -> Iterator[Enablement]:
        for known in list(self._known.values()):
            yield from list(known.values())

    def get(self, account: str, service: str, node: str) -> Enablement | None:
        return self._known.get(account, {}).get((service, node))

    def bound_to(self, account: str, session: str) -> list[Enablement]:
        """Those that this resource enabled."""
        return [one for one in self._known.get(account, {}).values() if one.session == session]

    def told(self, account: str, default: Told) -> Told:
        return self._told.get(account, default)

    def set_told(self, account: str, told: Told) -> None:
        self._told[account] = told
        values = (int(getattr(told, name)) for name in NAMES)
        self._database.write(SET_OPTIONS, (account, *values))

    def put(self, enablement: Enablement) -> None:
        """Store a new enablement, or the new options and session of a known one."""
        self._add(enablement)
        self._database.write(
            INSERT,
            (
                *enablement.key,
                enablement.options,
                enablement.session,
                enablement.created_at,
                enablement.used_at,
            ),
        )
        self.changed(enablement)

    def remove(self, enablement: Enablement) -> None:
        """Forget one; with the last of an account its options go."""
        known = self._known.get(enablement.account, {})
        if known.pop((enablement.service, enablement.node), None) is None:
            return
        self._database.write(DELETE, enablement.key)
        if not known:
            self._known.pop(enablement.account, None)
            self._told.pop(enablement.account, None)
            self._database.write(DELETE_OPTIONS, (enablement.account,))

    def changed(self, enablement: Enablement) -> None:
        """Its numbers go into the next commit, with whatever changed them."""
        if not enablement.dirty:
            enablement.dirty = True
            self._dirty.append(enablement)
            self._database.touch()

    def _add(self, enablement: Enablement) -> None:
        known = self._known.setdefault(enablement.account, {})
        known[(enablement.service, enablement.node)] = enablement

    def _collect(self) -> None:
        dirty, self._dirty = self._dirty, []
        for one in dirty:
            one.dirty = False
            queued, pushed = one.queued, one.pushed
            self._database.write(
                UPDATE,
                (
                    queued.messages,
                    pushed.messages,
                    queued.subscriptions,
                    pushed.subscriptions,
                    queued.sender or None,
                    queued.body.reveal() if queued.body is not None else None,
                    int(queued.urgent),
                    one.used_at,
                    one.failures,
                    one.session,
                    *one.key,
                ),
            )


def _revived(row: tuple[object, ...]) -> Enablement:
    account, service, node, options, session, *numbers, sender, body, urgent = row[:12]
    created_at, used_at, failures = row[12:]
    one = Enablement(
        str(account),
        str(service),
        str(node),
        options if isinstance(options, bytes) else None,
        str(session or ""),
        float(str(created_at)),
    )
    queued_messages, pushed_messages, queued_subscriptions, pushed_subscriptions = (
        int(str(number)) for number in numbers
    )
    one.queued = Summary(
        queued_messages,
        queued_subscriptions,
        str(sender or ""),
        Secret(str(body)) if body is not None else None,
        bool(urgent),
    )
    one.pushed = Summary(pushed_messages, pushed_subscriptions)
    one.used_at = float(str(used_at)) if used_at is not None else one.created_at
    one.failures = int(str(failures))
    return one
