"""Registrations: which node stands for which device of which account, and its secret.

A device is known by the id that it calls itself in its dialect. It may have registered for
rooms too: then it has a node and a secret for each, and these are the room's to use.

All are held in memory and written behind. Of a secret only its hash is kept. After a new
one was given, the one before stays valid until the new one is first used, so that a lost
answer strands no phone.
"""

import hashlib
import hmac
import json
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from pushd.storage.sqlite import Database
from pushd.storage.table import Table
from pushd.wire.secret import Secret

UNUSED = 8  # new secrets that may go unused before the oldest one is forgotten
MINUTE = 60.0
WITHOUT_SECRET = frozenset(
    {"tigase", "mongooseim"}
)  # dialects whose publishers know the node alone
DIGEST = hashlib.sha256().digest_size


@dataclass(slots=True)
class Registration:
    """One device at one backend, as it is stored. Instants are seconds since the epoch.

    It is not changed, but for `last_push_at`.
    """

    node: str = field(repr=False)  # known to us alone where there is an alias
    account: str  # bare JID
    device: str
    device_name: str | None
    backend: str
    type: str
    app: str
    dialect: str  # the commands that it was registered with
    room: str  # bare JID of the room that publishes; "" where the account's server does
    token: Secret
    fields: Secret  # what else the provider asks for: a JSON object
    secret_hash: bytes = field(repr=False)
    previous_secret_hash: bytes | None = field(repr=False)  # several in a row, the oldest first
    registered_at: float
    renewed_at: float
    last_push_at: float | None
    alias: str = field(default="", repr=False)  # the node, as its device has chosen it
    allowed: str = ""  # who else may publish: bare JIDs, set apart by spaces

    def provider_fields(self) -> dict[str, str]:
        """What else the provider asks for, by its names."""
        found: dict[str, str] = json.loads(self.fields.reveal())
        return found

    @property
    def place(self) -> "Place":
        """No two registrations of an account have the same."""
        return (self.dialect, self.room, self.device)

    @property
    def called(self) -> str:
        """The node, as servers and the device know it; of one account, no two are the same."""
        return self.alias or self.node

    @property
    def publishers(self) -> tuple[str, ...]:
        """The bare JIDs that may publish besides `publisher`."""
        return tuple(self.allowed.split())

    @property
    def publisher(self) -> str:
        """The bare JID for which is published here: it and its domain may do so."""
        return self.room or self.account

    @property
    def used_at(self) -> float:
        """When its device registered last, or was pushed."""
        return max(self.renewed_at, self.last_push_at or 0.0)

    def is_of(self, wanted: "Wanted | Registration") -> bool:
        """Whether it is the same device that asks, whatever it is called."""
        if self.backend != wanted.backend or not wanted.token:
            return False
        return self.token.reveal() == wanted.token.reveal()  # no secret between these two

    def hashes(self) -> list[bytes]:
        """Of all secrets that are valid, the oldest first."""
        joined = (self.previous_secret_hash or b"") + self.secret_hash
        return [joined[start : start + DIGEST] for start in range(0, len(joined), DIGEST)]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a device asks for when it registers."""

    account: str  # bare JID
    device: str
    backend: str
    type: str
    app: str
    token: Secret
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    device_name: str | None = None
    dialect: str = "mod_push"
    room: str = ""  # as in `Registration`
    alias: str = field(default="", repr=False)  # as in `Registration`

    @property
    def place(self) -> "Place":
        """As in `Registration`."""
        return (self.dialect, self.room, self.device)


Place = tuple[str, str, str]  # of an account: dialect, room, device

ROWS = Table(Registration, key=("node",), name="registrations")
_PUSHED = "UPDATE registrations SET last_push_at = ? WHERE node = ?"


class Registrations:
    """All registrations, by node and by account. What changes is durable with the next commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows = ROWS.bind(database)
        self._nodes: dict[str, Registration] = {}
        self._accounts: dict[str, dict[Place, Registration]] = {}
        self._domains: Counter[str] = Counter()
        self._aliases: dict[str, set[str]] = {}  # nodes

    async def load(self) -> None:
        """Read all of them. Raises StorageError."""
        for registration in await self._rows.select():
            self._keep(registration)

    def get(self, node: str) -> Registration | None:
        """By our own name of the node, whatever alias it has."""
        return self._nodes.get(node)

    def called(self, node: str) -> list[Registration]:
        """Those that servers may mean by this node: only who chose it himself shares it."""
        found = map(self._nodes.get, (node, *self._aliases.get(node, ())))
        return [one for one in found if one is not None and one.called == node]

    def of(self, account: str) -> list[Registration]:
        """The registrations of a bare JID, the oldest first."""
        known = self._accounts.get(account, {}).values()
        return sorted(known, key=lambda one: one.registered_at)

    def __len__(self) -> int:
        return len(self._nodes)

    def count_of(self, domain: str) -> int:
        """How many the accounts of a domain have."""
        return self._domains[domain]

    def everyone(self) -> Iterator[Registration]:
        """All of them."""
        yield from list(self._nodes.values())

    def of_device(
        self, account: str, device: str, dialect: str = "mod_push", room: str = ""
    ) -> Registration | None:
        """What this device of a bare JID has registered by a dialect, for a room if for one."""
        return self._accounts.get(account, {}).get((dialect, room, device))

    def find(self, wanted: Wanted) -> tuple[Registration | None, list[Registration]]:
        """What a device has registered already, and what else of its account is the same device.

        It is known by its id; else by its token, as where a resource stood for the id and the
        client has another one today. What it has for other rooms is its own as well, and is
        neither.
        """
        known = self._accounts.get(wanted.account, {})
        old = known.get(wanted.place)
        twins = [one for one in known.values() if one.room == wanted.room and one.is_of(wanted)]
        if old is None:
            old = next((one for one in twins if one.dialect == wanted.dialect), None)
        return old, [one for one in twins if one is not old]

    def register(self, wanted: Wanted, now: float) -> tuple[Registration, Secret]:
        """Register a device, or renew what it had: the node stays, the secret is new.

        What else `find` gives is to be removed before.
        """
        secret = secrets.token_urlsafe(24)
        old, _ = self.find(wanted)
        if old is not None:
            del self._accounts[wanted.account][old.place]
        registration = Registration(
            node=old.node if old is not None else secrets.token_urlsafe(16),
            account=wanted.account,
            device=wanted.device,
            device_name=wanted.device_name,
            backend=wanted.backend,
            type=wanted.type,
            app=wanted.app,
            dialect=wanted.dialect,
            room=wanted.room,
            token=wanted.token,
            fields=Secret(json.dumps(dict(wanted.fields))),
            secret_hash=_hash(secret),
            previous_secret_hash=b"".join(old.hashes()[-UNUSED:]) if old is not None else None,
            registered_at=old.registered_at if old is not None else now,
            renewed_at=now,
            last_push_at=old.last_push_at if old is not None else None,
            alias=wanted.alias,
            allowed=old.allowed if old is not None else "",
        )
        self._store(registration)
        return registration, Secret(secret)

    def admits(self, registration: Registration, secret: str) -> bool:
        """Whether a publisher knows the secret; compared in constant time.

        The use of a secret ends those that were given before it. Some dialects know none.
        """
        if registration.dialect in WITHOUT_SECRET:
            return True
        given = _hash(secret)
        if registration.previous_secret_hash is None:
            return hmac.compare_digest(registration.secret_hash, given)
        valid = registration.hashes()
        places = [place for place, one in enumerate(valid) if hmac.compare_digest(one, given)]
        if places and places[0] > 0:
            previous = b"".join(valid[places[0] : -1])
            self._store(replace(registration, previous_secret_hash=previous or None))
        return bool(places)

    def pushed(self, node: str, now: float) -> None:
        """A provider took a push for this node; storage learns of the first in each minute."""
        registration = self._nodes.get(node)
        if registration is not None:
            last, registration.last_push_at = registration.last_push_at, now
            if last is None or now // MINUTE > last // MINUTE:
                self._database.write(_PUSHED, (now, node))

    def forget_field(self, node: str, field: str, value: str) -> Registration | None:
        """A second token is dead: go on without it; gives what is registered now.

        None where the device has another one, or is another one, by now.
        """
        registration = self._nodes.get(node)
        fields = registration.provider_fields() if registration is not None else {}
        if registration is None or not value or fields.get(field) != value:
            return None
        del fields[field]
        changed = replace(registration, fields=Secret(json.dumps(fields)))
        self._store(changed)
        return changed

    def let_publish(self, node: str, publishers: Iterable[str]) -> None:
        """These may publish there besides the account and its server, and no others."""
        self._store(replace(self._nodes[node], allowed=" ".join(publishers)))

    def aim(
        self,
        node: str,
        backend: str,
        type: str,
        app: str,
        token: Secret,
        fields: Mapping[str, str],
        now: float,
    ) -> Registration:
        """Have a node stand for this device, as who publishes there says."""
        registration = self._nodes[node]
        aimed = replace(
            registration,
            backend=backend,
            type=type,
            app=app,
            token=token,
            fields=Secret(json.dumps(dict(fields))),
        )
        if aimed != registration:
            aimed = replace(aimed, renewed_at=now)
            self._store(aimed)
        return aimed

    def remove(self, node: str) -> Registration | None:
        """Forget a registration, and tell which it was."""
        registration = self._nodes.pop(node, None)
        if registration is not None:
            known = self._accounts[registration.account]
            del known[registration.place]
            if not known:
                del self._accounts[registration.account]
            self._count(registration, -1)
            self._drop_alias(registration)
            self._rows.delete(node)
        return registration

    def _count(self, registration: Registration, change: int) -> None:
        domain = registration.account.rpartition("@")[2]
        self._domains[domain] += change
        if not self._domains[domain]:
            del self._domains[domain]

    def _drop_alias(self, registration: Registration) -> None:
        nodes = self._aliases.get(registration.alias)
        if nodes is not None:
            nodes.discard(registration.node)
            if not nodes:
                del self._aliases[registration.alias]

    def _keep(self, registration: Registration) -> None:
        known = self._nodes.get(registration.node)
        if known is None:
            self._count(registration, 1)
        elif known.alias != registration.alias:
            self._drop_alias(known)
        if registration.alias:
            self._aliases.setdefault(registration.alias, set()).add(registration.node)
        self._nodes[registration.node] = registration
        self._accounts.setdefault(registration.account, {})[registration.place] = registration

    def _store(self, registration: Registration) -> None:
        self._keep(registration)
        self._rows.put(registration)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
