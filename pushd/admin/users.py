"""Accounts: made, changed, disabled, removed, listed; with the server up or down."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from twisted.internet.defer import Deferred

from pushd.admin.operations import Operation, Refused, spoken
from pushd.routing.accounts import Accounts
from pushd.storage.sqlite import Database
from pushd.wire.errors import JIDMalformed, StanzaError
from pushd.wire.jid import JID, parse
from pushd.wire.sasl import Hash, derive
from pushd.wire.secret import Secret

HASHES: tuple[Hash, ...] = ("SHA-1", "SHA-256", "SHA-512")

InThread = Callable[..., "Deferred[Any]"]


def _nobody_is_there(account: str, reason: str) -> None:
    """Without a running server no account has a stream."""


class Users:
    """The accounts of these domains.

    `end_sessions` ends all that an account has open, `cut_streams` its connections alone.
    """

    def __init__(
        self,
        domains: frozenset[str],
        accounts: Accounts,
        database: Database,
        in_thread: InThread,
        end_sessions: Callable[[str, str], None] = _nobody_is_there,
        cut_streams: Callable[[str, str], None] = _nobody_is_there,
    ) -> None:
        self._domains = domains
        self._accounts = accounts
        self._database = database
        self._in_thread = in_thread
        self._end_sessions = end_sessions
        self._cut_streams = cut_streams

    def operations(self) -> Mapping[str, Operation]:
        return {
            "user-add": self.add,
            "user-passwd": self.passwd,
            "user-del": self.remove,
            "user-disable": self.disable,
            "user-enable": self.enable,
            "user-list": self.show,
        }

    async def add(self, jid: str, password: Secret) -> dict[str, Any]:
        """Make an account; its keys are derived off the reactor's thread."""
        account = self._account(jid)
        keys = await self._keys(password)
        return await self._done(self._accounts.add(account.bare, keys), account)

    async def passwd(self, jid: str, password: Secret) -> dict[str, Any]:
        """Give an account another password.

        Whoever is logged in with the old one has to log in anew; sessions are held for that.
        """
        account = self._account(jid)
        keys = await self._keys(password)
        done = await self._done(self._accounts.set_keys(account.bare, keys), account)
        self._cut_streams(account.bare, "the password was changed")
        return done

    async def remove(self, jid: str) -> dict[str, Any]:
        """Remove an account, its sessions, and all that is its own."""
        account = self._account(jid)
        if self._accounts.exists(account.bare):
            self._end_sessions(account.bare, "the account was removed")
        return await self._done(self._accounts.remove(account.bare), account)

    async def disable(self, jid: str, reason: str = "") -> dict[str, Any]:
        """Let nobody log in to an account, nor reach it; what it has is kept.

        Its sessions end: what they hold goes to the offline store. Whoever knows the password
        is told the reason.
        """
        account, told = self._account(jid), spoken(reason)
        return await self._done(self._disable(account.bare, told), account)

    async def enable(self, jid: str) -> dict[str, Any]:
        """Undo `disable`."""
        account = self._account(jid)
        return await self._done(self._enable(account.bare), account)

    async def show(self, domain: str = "") -> dict[str, Any]:
        """The accounts, of one domain or of all."""
        found = [
            {
                "jid": one.jid,
                "created_at": one.created_at,
                "disabled": one.disabled,
                "reason": one.reason,
            }
            for one in self._accounts.all()
            if not domain or one.jid.rpartition("@")[2] == domain
        ]
        if domain and not found:
            self._check_served(domain)
        return {"accounts": found}

    async def _disable(self, bare: str, reason: str) -> None:
        self._accounts.disable(bare, reason)
        # After it: what its sessions held is stored, but no push tells of it.
        self._end_sessions(bare, f"the account is disabled{reason and ': '}{reason}")
        await self._database.committed()

    async def _enable(self, bare: str) -> None:
        self._accounts.enable(bare)
        await self._database.committed()

    def _account(self, jid: str) -> JID:
        account = address(jid)
        if not account.local or account.resource:
            raise Refused(f"{jid} is not of the form name@domain")
        self._check_served(account.domain)
        return account

    def _check_served(self, domain: str) -> None:
        if domain not in self._domains:
            served = ", ".join(sorted(self._domains)) or "no domain, as it has no accounts"
            raise Refused(f"{domain} is not served here; served: {served}")

    async def _keys(self, password: Secret) -> dict[str, Any]:
        try:
            return {name: await self._in_thread(derive, name, password) for name in HASHES}
        except ValueError as error:
            raise Refused(f"this password cannot be used: {error}") from None

    async def _done(self, working: Coroutine[Any, Any, None], account: JID) -> dict[str, Any]:
        try:
            await working
        except StanzaError as error:
            raise Refused(f"{account.bare}: {error.text or error.condition}") from None
        return {"jid": account.bare}


def address(text: str) -> JID:
    """An address of somebody here, as an operator writes it. Raises Refused."""
    try:
        read = parse(text)
        return JID.of(read.local, read.domain, read.resource)
    except JIDMalformed as error:
        raise Refused(f"{text} is not an address: {error}") from None
