"""Registrations: which node stands for which device of which account, and its secret.

All are held in memory and written behind. A secret is stored as its hash; after a new one
was given, the old one stays valid until the new one is first used, so that a lost answer
strands no phone.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pushd.storage.sqlite import Database
from pushd.wire.secret import Secret

COLUMNS = (
    "node, account, device, device_name, backend, type, app, token, fields, secret_hash, "
    "previous_secret_hash, registered_at, renewed_at, last_push_at"
)
SELECT = f"SELECT {COLUMNS} FROM registrations"  # noqa: S608 - names of our own
REPLACE = (
    f"INSERT INTO registrations ({COLUMNS}) "  # noqa: S608 - names of our own
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (node) DO UPDATE SET "
    "device_name = excluded.device_name, backend = excluded.backend, type = excluded.type, "
    "app = excluded.app, token = excluded.token, fields = excluded.fields, "
    "secret_hash = excluded.secret_hash, previous_secret_hash = excluded.previous_secret_hash, "
    "renewed_at = excluded.renewed_at, last_push_at = excluded.last_push_at"
)
DELETE = "DELETE FROM registrations WHERE node = ?"


@dataclass(frozen=True, slots=True)
class Registration:
    """One device at one backend. Instants are seconds since the epoch."""

    node: str
    account: str  # bare JID
    device: str
    device_name: str | None
    backend: str
    type: str
    app: str
    token: Secret
    fields: Mapping[str, str] = field(repr=False)
    secret_hash: bytes = field(repr=False)
    previous_secret_hash: bytes | None = field(repr=False)
    registered_at: float
    renewed_at: float
    last_push_at: float | None


class Registrations:
    """All registrations, by node and by account."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._nodes: dict[str, Registration] = {}
        self._accounts: dict[str, dict[str, Registration]] = {}

    async def load(self) -> None:
        for row in await self._database.read(SELECT):
            self._keep(_revived(row))

    def get(self, node: str) -> Registration | None:
        return self._nodes.get(node)

    def of(self, account: str) -> list[Registration]:
        """The registrations of a bare JID, the oldest first."""
        known = self._accounts.get(account, {}).values()
        return sorted(known, key=lambda one: one.registered_at)

    def of_device(self, account: str, device: str) -> Registration | None:
        return self._accounts.get(account, {}).get(device)

    def register(
        self,
        account: str,
        device: str,
        device_name: str | None,
        backend: str,
        type: str,
        app: str,
        token: Secret,
        fields: Mapping[str, str],
        now: float,
    ) -> tuple[Registration, Secret]:
        """Register a device, or renew what it had: the node stays, the secret is new.

        Durable with the next commit.
        """
        secret = secrets.token_urlsafe(24)
        old = self.of_device(account, device)
        registration = Registration(
            node=old.node if old is not None else secrets.token_urlsafe(16),
            account=account,
            device=device,
            device_name=device_name,
            backend=backend,
            type=type,
            app=app,
            token=token,
            fields=dict(fields),
            secret_hash=_hash(secret),
            previous_secret_hash=old.secret_hash if old is not None else None,
            registered_at=old.registered_at if old is not None else now,
            renewed_at=now,
            last_push_at=old.last_push_at if old is not None else None,
        )
        self._store(registration)
        return registration, Secret(secret)

    def is_secret(self, registration: Registration, given: str) -> bool:
        """Whether a publisher knows the secret; compared in constant time.

        The first use of a new secret ends the old one.
        """
        hashed = _hash(given)
        previous = registration.previous_secret_hash
        is_new = hmac.compare_digest(hashed, registration.secret_hash)
        is_old = hmac.compare_digest(hashed, previous if previous is not None else bytes(32))
        if is_new and previous is not None:
            self._store(replace(registration, previous_secret_hash=None))
        return is_new or (is_old and previous is not None)

    def pushed(self, node: str, now: float) -> None:
        """A provider took a push for this node."""
        registration = self._nodes.get(node)
        if registration is not None:
            self._store(replace(registration, last_push_at=now))

    def remove(self, node: str) -> Registration | None:
        """Forget a registration; durable with the next commit."""
        registration = self._nodes.pop(node, None)
        if registration is not None:
            known = self._accounts[registration.account]
            known.pop(registration.device, None)
            if not known:
                del self._accounts[registration.account]
            self._database.write(DELETE, (node,))
        return registration

    def _keep(self, registration: Registration) -> None:
        self._nodes[registration.node] = registration
        self._accounts.setdefault(registration.account, {})[registration.device] = registration

    def _store(self, registration: Registration) -> None:
        self._keep(registration)
        self._database.write(
            REPLACE,
            (
                registration.node,
                registration.account,
                registration.device,
                registration.device_name,
                registration.backend,
                registration.type,
                registration.app,
                registration.token.reveal(),
                json.dumps(dict(registration.fields)),
                registration.secret_hash,
                registration.previous_secret_hash,
                registration.registered_at,
                registration.renewed_at,
                registration.last_push_at,
            ),
        )


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _revived(row: tuple[object, ...]) -> Registration:
    (node, account, device, name, backend, type, app, token, fields, *rest) = row
    secret_hash, previous, registered_at, renewed_at, last_push_at = rest
    assert isinstance(secret_hash, bytes)
    assert isinstance(registered_at, float)
    return Registration(
        node=str(node),
        account=str(account),
        device=str(device),
        device_name=None if name is None else str(name),
        backend=str(backend),
        type=str(type),
        app=str(app or "any"),
        token=Secret(str(token)),
        fields=json.loads(str(fields)),
        secret_hash=secret_hash,
        previous_secret_hash=previous if isinstance(previous, bytes) else None,
        registered_at=registered_at,
        renewed_at=renewed_at if isinstance(renewed_at, float) else registered_at,
        last_push_at=last_push_at if isinstance(last_push_at, float) else None,
    )
