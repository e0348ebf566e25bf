"""Accounts: who has one, and the keys with which a login is checked (RFC 5802).

Names are held in memory, so that routing asks without waiting; keys are read when needed.
Passwords are never stored.
"""

from dataclasses import dataclass, replace

from twisted.internet.interfaces import IReactorTime

from pushd.routing.events import AccountEnabled, AccountRemoved, Events
from pushd.storage.sqlite import Database, StorageError
from pushd.wire.errors import Conflict, ItemNotFound, ResourceConstraint
from pushd.wire.sasl import ScramKeys

UPSERT_KEYS = (
    "INSERT INTO credentials (account, hash, salt, iterations, stored_key, server_key) "
    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (account, hash) DO UPDATE SET "
    "salt = excluded.salt, iterations = excluded.iterations, "
    "stored_key = excluded.stored_key, server_key = excluded.server_key"
)


@dataclass(frozen=True, slots=True)
class Account:
    number: int
    jid: str  # bare
    created_at: float
    disabled: bool = False
    reason: str = ""  # why it is disabled, as its owner is told


class Accounts:
    """The accounts of all virtual hosts."""

    def __init__(self, clock: IReactorTime, database: Database, events: Events) -> None:
        self._clock = clock
        self._database = database
        self._events = events
        self._known: dict[str, Account] = {}
        self._next = 1

    async def load(self) -> None:
        """Read the names; before anything is routed."""
        rows = await self._database.read(
            "SELECT id, jid, created_at, disabled, disabled_reason FROM accounts"
        )
        for number, jid, created_at, disabled, reason in rows:
            self._known[jid] = Account(number, jid, created_at, bool(disabled), reason)
            self._next = max(self._next, number + 1)

    def exists(self, bare: str) -> bool:
        return bare in self._known

    def is_open(self, bare: str) -> bool:
        """Whether there is this account, and it is not disabled."""
        account = self._known.get(bare)
        return account is not None and not account.disabled

    def get(self, bare: str) -> Account | None:
        return self._known.get(bare)

    def all(self) -> list[Account]:
        return sorted(self._known.values(), key=lambda account: account.jid)

    async def add(self, bare: str, keys: dict[str, ScramKeys]) -> None:
        """Make an account with its keys by hash name; raises Conflict when it exists.

        This and the other changes raise ResourceConstraint while nothing can be stored, and
        StorageError when that turns out meanwhile.
        """
        if bare in self._known:
            raise Conflict("the account exists already")
        self._check_storage()
        account = Account(self._next, bare, self._clock.seconds())
        self._next += 1
        self._known[bare] = account
        self._database.write(
            "INSERT INTO accounts (id, jid, created_at, disabled) VALUES (?, ?, ?, 0)",
            (account.number, bare, account.created_at),
        )
        try:
            await self.set_keys(bare, keys)
        except StorageError:  # refused, so it does not appear when storage works again
            del self._known[bare]
            self._database.write("DELETE FROM accounts WHERE id = ?", (account.number,))
            raise

    async def set_keys(self, bare: str, keys: dict[str, ScramKeys]) -> None:
        """Replace the keys of an account; raises ItemNotFound when there is none."""
        account = self._known.get(bare)
        if account is None:
            raise ItemNotFound("no such account")
        self._check_storage()
        for name, key in keys.items():
            self._database.write(
                UPSERT_KEYS,
                (
                    account.number,
                    name,
                    key.salt,
                    key.iterations,
                    key.stored_key,
                    key.server_key,
                ),
            )
        await self._database.committed()

    async def keys(self, bare: str, hash_name: str) -> ScramKeys | None:
        """The keys of an account for one hash; None when it has none.

        Storage is asked in either case, so that the time tells nothing. A disabled account
        has its keys, too: whoever knows the password is told that it is disabled.
        """
        account = self._known.get(bare)
        number = 0 if account is None else account.number
        rows = await self._database.read(
            "SELECT salt, iterations, stored_key, server_key FROM credentials "
            "WHERE account = ? AND hash = ?",
            (number, hash_name),
        )
        return ScramKeys(*rows[0]) if rows else None

    def disable(self, bare: str, reason: str) -> None:
        """Let nobody log in or be reached there; durable with the next commit.

        Raises ItemNotFound when there is no such account.
        """
        self._change(bare, disabled=True, reason=reason)

    def enable(self, bare: str) -> None:
        """Undo `disable`; raises ItemNotFound when there is no such account."""
        self._change(bare, disabled=False, reason="")
        self._events.emit(AccountEnabled(bare))

    def _change(self, bare: str, *, disabled: bool, reason: str) -> None:
        account = self._known.get(bare)
        if account is None:
            raise ItemNotFound("no such account")
        self._known[bare] = replace(account, disabled=disabled, reason=reason)
        self._database.write(
            "UPDATE accounts SET disabled = ?, disabled_reason = ? WHERE id = ?",
            (int(disabled), reason, account.number),
        )

    async def remove(self, bare: str) -> None:
        """Delete an account and all that is its own; raises ItemNotFound when there is none."""
        if bare not in self._known:
            raise ItemNotFound("no such account")
        self._check_storage()
        account = self._known.pop(bare)
        self._events.emit(AccountRemoved(bare))
        # A trigger of the storage takes along whatever names the account.
        self._database.write("DELETE FROM accounts WHERE id = ?", (account.number,))
        await self._database.committed()

    def _check_storage(self) -> None:
        if self._database.failing:
            raise ResourceConstraint("the server cannot store anything at present")
