"""What an operator may do and ask: plain operations that answer with data.

The command line and the socket are faces of these. An operation that cannot be done
raises `Refused` with words for the operator.
"""

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from twisted.internet.defer import Deferred

from pushd.routing.accounts import Accounts
from pushd.wire.errors import JIDMalformed, StanzaError
from pushd.wire.jid import JID, parse
from pushd.wire.sasl import Hash, derive
from pushd.wire.secret import Secret

HASHES: tuple[Hash, ...] = ("SHA-1", "SHA-256", "SHA-512")

InThread = Callable[..., "Deferred[Any]"]


class Refused(Exception):
    """The operation cannot be done, and why; said to the operator as it is."""


class Operations:
    """The operations of one server. `end_sessions` closes what a removed account has open."""

    def __init__(
        self,
        domains: frozenset[str],
        accounts: Accounts,
        in_thread: InThread,
        end_sessions: Callable[[str, str], None] = lambda account, reason: None,
    ) -> None:
        self._domains = domains
        self._accounts = accounts
        self._in_thread = in_thread
        self._end_sessions = end_sessions

    async def user_add(self, jid: str, password: Secret) -> dict[str, Any]:
        """Make an account; its keys are derived off the reactor's thread."""
        account = self._account(jid)
        keys = await self._keys(password)
        return await self._done(self._accounts.add(account.bare, keys), account)

    async def user_passwd(self, jid: str, password: Secret) -> dict[str, Any]:
        """Give an account another password."""
        account = self._account(jid)
        keys = await self._keys(password)
        return await self._done(self._accounts.set_keys(account.bare, keys), account)

    async def user_del(self, jid: str) -> dict[str, Any]:
        """Remove an account, its sessions, and all that is its own."""
        account = self._account(jid)
        if self._accounts.exists(account.bare):
            self._end_sessions(account.bare, "the account was removed")
        return await self._done(self._accounts.remove(account.bare), account)

    async def user_list(self, domain: str = "") -> dict[str, Any]:
        """The accounts, of one domain or of all."""
        found = [
            {"jid": one.jid, "created_at": one.created_at, "disabled": one.disabled}
            for one in self._accounts.all()
            if not domain or one.jid.rpartition("@")[2] == domain
        ]
        if domain and not found:
            self._check_served(domain)
        return {"accounts": found}

    async def call(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Do an operation by its name, with texts as its arguments.

        Raises Refused for an operation or for arguments that there are not.
        """
        operation = _BY_NAME.get(name)
        if operation is None:
            raise Refused(f"there is no operation {name}")
        takes = signature(operation)
        given = {key: _argument(key, value) for key, value in arguments.items()}
        try:
            takes.bind(self, **given)
        except TypeError as error:
            raise Refused(f"the operation {name}: {error}") from None
        result: dict[str, Any] = await operation(self, **given)
        return result

    def _account(self, jid: str) -> JID:
        try:
            account = parse(jid)
        except JIDMalformed as error:
            raise Refused(f"{jid} is not an address: {error}") from None
        if not account.local or account.resource:
            raise Refused(f"{jid} is not of the form name@domain")
        self._check_served(account.domain)
        return account

    def _check_served(self, domain: str) -> None:
        if domain not in self._domains:
            served = ", ".join(sorted(self._domains))
            raise Refused(f"{domain} is not served here; served: {served}")

    async def _keys(self, password: Secret) -> dict[str, Any]:
        try:
            return {name: await self._in_thread(derive, name, password) for name in HASHES}
        except ValueError as error:
            raise Refused(f"this password cannot be used: {error}") from None

    async def _done(self, working: Any, account: JID) -> dict[str, Any]:
        try:
            await working
        except StanzaError as error:
            raise Refused(f"{account.bare}: {error.text or error.condition}") from None
        return {"jid": account.bare}


def _argument(name: str, value: object) -> str | Secret:
    if not isinstance(value, str):
        raise Refused(f"{name}: a text is expected")
    return Secret(value) if name == "password" else value


_BY_NAME: dict[str, Callable[..., Any]] = {
    "user-add": Operations.user_add,
    "user-passwd": Operations.user_passwd,
    "user-del": Operations.user_del,
    "user-list": Operations.user_list,
}
