"""Push as an operator sees it: who is woken through what, what waits, why, and what stops it.

Nodes are named by their digests, as logs have them: where devices need not register, a node is
the very token of one. Whoever has a node, from the log of a client, may give it in place of its
digest. Tokens and secrets do not come this far.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import islice
from typing import Any, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pushd.admin.operations import Operation, Refused, spoken
from pushd.admin.users import address
from pushd.providers.dispatch import Dispatcher
from pushd.routing.accounts import Accounts
from pushd.routing.decisions import Decisions
from pushd.routing.ledger import Ledger, devices
from pushd.routing.pushing import (
    Device,
    Enabled,
    Enablements,
    KnownEnablements,
    KnownRegistrations,
    Pushing,
    Registered,
    Registrations,
    Tried,
    Waiting,
    called,
    handles,
)
from pushd.storage.sqlite import Database

_T = TypeVar("_T")

MOST_ROWS = 1_000  # of an answer that concerns everybody
PATIENCE = 20.0  # seconds for which a test waits for what comes of it
LONGEST = 10 * 365 * 86_400  # seconds that a pause or a block may last
OPERATOR = "operator"


class Whose:
    """Whom an operator means: an account here, or one of anybody who registers devices."""

    def __init__(self, domains: frozenset[str], accounts: Accounts) -> None:
        self._domains = domains
        self._accounts = accounts

    def local(self, text: str) -> str:
        """The bare JID of an account. Raises Refused where there is none."""
        bare = self.any(text)
        if not self.is_here(bare):
            raise Refused(f"{text} is no account here")
        return bare

    def is_here(self, bare: str) -> bool:
        """Whether an account is one of our domains', so that we know what it has enabled."""
        return bare.rpartition("@")[2] in self._domains

    def any(self, text: str) -> str:
        """The same, and other servers' accounts."""
        jid = address(text)
        if not jid.local or jid.resource:
            raise Refused(f"{text} is not of the form name@domain")
        if jid.domain in self._domains and not self._accounts.exists(jid.bare):
            raise Refused(f"there is no account {jid.bare}")
        return jid.bare


class PushRecords:
    """What can be read, of a server that runs or from the storage of one that does not."""

    def __init__(
        self,
        whose: Whose,
        enablements: KnownEnablements,
        registrations: KnownRegistrations,
        ledger: Ledger,
    ) -> None:
        self._whose = whose
        self._enablements = enablements
        self._registrations = registrations
        self._ledger = ledger

    def operations(self) -> Mapping[str, Operation]:
        return {
            "push-registrations": self.registrations,
            "push-enablements": self.enablements,
            "push-queue": self.queue,
            "push-ledger": self.ledger,
            "push-blocked": self.blocked,
        }

    async def registrations(self, account: str = "") -> dict[str, Any]:
        """What is registered with our app server, by an account or by all."""
        bare = self._whose.any(account) if account else ""
        found = _shown(self._registrations.registered(bare), bare)
        enabled = {
            (one.account, one.node): one
            for account in {one.account for one in found}
            for one in self._enablements.enabled(account)
        }
        rows = []
        for one in found:
            mine = enabled.get((one.account, one.node))
            knows = mine is not None or self._whose.is_here(one.account)
            is_enabled = (mine is not None and one.is_of(mine)) if knows else None
            rows.append({**_registered(one), "enabled": is_enabled})
        total = len(rows) if bare else self._registrations.totals().registrations
        return _answer("registrations", rows, total, bare)

    async def enablements(self, account: str = "") -> dict[str, Any]:
        """What is enabled, by an account or by all, and the device where it is one of ours."""
        bare = self._whose.local(account) if account else ""
        found = _shown(self._enablements.enabled(bare), bare)
        known = {
            (one.account, one.node): one
            for account in {one.account for one in found}
            for one in self._registrations.registered(account)
        }
        rows = []
        for one in found:
            mine = known.get((one.account, one.node))
            rows.append(_enabled(one, mine if mine is not None and mine.is_of(one) else None))
        total = len(rows) if bare else self._enablements.totals().enablements
        return _answer("enablements", rows, total, bare)

    async def queue(self) -> dict[str, Any]:
        """The pushes that no provider has taken yet, the oldest first."""
        rows = list(map(_waiting, _shown(self._registrations.waiting())))
        return _answer("queue", rows, self._registrations.totals().waiting)

    async def ledger(self, account: str) -> dict[str, Any]:
        """What became of the enablements and the registrations of an account."""
        bare = self._whose.any(account)
        lines = await self._ledger.of(bare)
        names = devices(lines)
        names.update((one.digest, one.called) for one in self._registrations.registered(bare))
        rows = [{**asdict(one), "device": names.get(one.node, "")} for one in lines]
        return _answer("ledger", rows, len(rows), bare)

    async def blocked(self) -> dict[str, Any]:
        """Who may not publish."""
        return {"blocked": [asdict(one) for one in self._registrations.blocked()]}


class Pushes:
    """What only a server that runs can tell, and what an operator does to it."""

    def __init__(
        self,
        clock: IReactorTime,
        whose: Whose,
        database: Database,
        push: Pushing,
        decisions: Decisions,
        dispatcher: Dispatcher,
    ) -> None:
        self._clock = clock
        self._whose = whose
        self._database = database
        self._push = push
        self._decisions = decisions
        self._dispatcher = dispatcher
        self._ends: dict[str, IDelayedCall] = {}  # of the pauses of backends

    def operations(self) -> Mapping[str, Operation]:
        return {
            "push-decisions": self.decisions,
            "push-test": self.test,
            "push-pause": self.pause,
            "push-resume": self.resume,
            "push-block": self.block,
            "push-unblock": self.unblock,
        }

    async def decisions(self, account: str) -> dict[str, Any]:
        """Why the devices of an account were woken or not, and what came of it."""
        bare = self._whose.any(account)
        names = {one.digest: one.name for one in self._push.devices(bare)}
        found = self._decisions.of(bare)
        rows = [{**asdict(one), "device": names.get(one.node, "")} for one in found]
        return _answer("decisions", rows, len(rows), bare)

    async def test(self, account: str, node: str = "") -> dict[str, Any]:
        """Send a test push to a device, or to all of an account; tells what came of it."""
        bare = self._whose.any(account)
        found = self._push.devices(bare) if not node else [self._device(bare, node)]
        if not found:
            raise Refused(f"{bare} has no device that could be woken")
        tried = await self._push.test(found, PATIENCE)
        is_here = self._whose.is_here(bare)
        rows = [_tried(one, what, is_here) for one, what in zip(found, tried, strict=True)]
        for one, row in zip(found, rows, strict=True):
            if row["settled"] == "waiting" and one.registered is not None:
                row["reason"] = self._trouble(one.registered.backend)
        return {"account": bare, "tests": rows}

    async def pause(self, what: str, seconds: str = "") -> dict[str, Any]:
        """Send nothing through a backend, or publish nothing for an account, for a while."""
        length = _seconds(seconds)
        until = None if length is None else self._clock.seconds() + length
        if what in self._dispatcher.backends:
            self._dispatcher.pause(what)
            self._end(what, length)
        else:
            bare = self._paused(what)
            self._enablements.pause(bare, until, OPERATOR)
            await self._database.committed()
            what = bare
        return {"paused": what, "until": until}

    async def resume(self, what: str) -> dict[str, Any]:
        """Undo `pause`; a backend is tried at once, whatever was the matter with it."""
        if what in self._dispatcher.backends:
            self._end(what, None)
            self._dispatcher.resume(what)
        else:
            bare = self._paused(what)
            if self._enablements.paused_until(bare) == 0:
                raise Refused(f"{bare} is not paused")
            self._enablements.unpause(bare, OPERATOR)
            await self._database.committed()
            what = bare
        return {"resumed": what}

    async def block(self, domain: str, reason: str = "", seconds: str = "") -> dict[str, Any]:
        """Take no publish of a domain, or for an account, for a while."""
        length = _seconds(seconds)
        until = None if length is None else self._clock.seconds() + length
        try:
            self._registrations.block(domain, spoken(reason), until)
        except ValueError as error:
            raise Refused(str(error)) from None
        await self._database.committed()
        return {"blocked": domain, "until": until}

    async def unblock(self, domain: str) -> dict[str, Any]:
        """Undo `block`."""
        try:
            was_blocked = self._registrations.unblock(domain)
        except ValueError as error:
            raise Refused(str(error)) from None
        if not was_blocked:
            raise Refused(f"{domain} is not blocked")
        await self._database.committed()
        return {"unblocked": domain}

    def backends(self) -> dict[str, float | None]:
        """The backends that are paused, and until when; None for as long as nobody resumes them."""
        return {
            name: self._ends[name].getTime() if name in self._ends else None
            for name in self._dispatcher.backends
            if self._dispatcher.health(name).is_paused
        }

    @property
    def _enablements(self) -> Enablements:
        if self._push.enablements is None:
            raise Refused("no account of this server can enable push: see modules, and push")
        return self._push.enablements

    @property
    def _registrations(self) -> Registrations:
        if self._push.registrations is None:
            raise Refused("this server has no app server")
        return self._push.registrations

    def _device(self, bare: str, name: str) -> Device:
        known = self._push.devices(bare)
        found = called(known, name)
        if not found:
            raise Refused(f"{bare} has no device {name}: see push enablements, push registrations")
        if len(found) > 1:
            choice = ", ".join(
                handle for one, handle in zip(known, handles(known), strict=True) if one in found
            )
            raise Refused(f"{bare} has several devices {name}: say which, by one of {choice}")
        return found[0]

    def _trouble(self, backend: str) -> str:
        """Why a backend takes nothing at the moment; "" where nothing is known."""
        if backend not in self._dispatcher.backends:
            return "its backend is configured no more"
        health = self._dispatcher.health(backend)
        if health.is_paused:
            return "its backend is paused"
        if health.alarms:
            return health.alarms[-1]
        return "its provider is not asked at the moment" if health.opens_at is not None else ""

    def _paused(self, text: str) -> str:
        """The account that is meant, where no backend is."""
        if "@" not in text:
            known = ", ".join(sorted(self._dispatcher.backends)) or "there are none"
            raise Refused(f"{text} is neither an account nor a backend; backends: {known}")
        return self._whose.local(text)

    def _end(self, backend: str, length: float | None) -> None:
        """End a backend's pause after that time, and not as it was said before."""
        before = self._ends.pop(backend, None)
        if before is not None:
            before.cancel()
        if length is not None:
            self._ends[backend] = self._clock.callLater(length, self._over, backend)

    def _over(self, backend: str) -> None:
        del self._ends[backend]
        self._dispatcher.resume(backend)


def _shown(found: Iterable[_T], account: str = "") -> list[_T]:
    """All that there is of an account; of everybody, so many and no more."""
    return list(found if account else islice(found, MOST_ROWS))


def _answer(name: str, rows: list[dict[str, Any]], total: int, account: str = "") -> dict[str, Any]:
    whose = {"account": account} if account else {}
    return {**whose, name: rows, "total": total}


def _registered(one: Registered) -> dict[str, Any]:
    return {
        "account": one.account,
        "service": one.service,
        "node": one.digest,
        "device": one.device,
        "name": one.name,
        "type": one.type,
        "app": one.app,
        "backend": one.backend,
        "dialect": one.dialect,
        "room": one.room,
        "registered_at": one.registered_at,
        "renewed_at": one.renewed_at,
        "last_push_at": one.last_push_at,
    }


def _enabled(one: Enabled, registered: Registered | None) -> dict[str, Any]:
    return {
        "account": one.account,
        "service": one.service,
        "node": one.digest,
        "session": one.session,
        "device": registered.called if registered is not None else "",
        "created_at": one.created_at,
        "used_at": one.used_at,
        "last_push_at": registered.last_push_at if registered is not None else None,
        "device_is": one.device_is,
        "extensions": list(one.extensions),
        "waiting": one.waiting,
        "failures": one.failures,
        "probation_since": one.probation_since,
        "is_paused": one.is_paused,
        "paused_until": one.paused_until,
    }


def _waiting(one: Waiting) -> dict[str, Any]:
    return {
        "account": one.registered.account,
        "node": one.registered.digest,
        "device": one.registered.called,
        "backend": one.registered.backend,
        "accepted_at": one.accepted_at,
        "expires_at": one.expires_at,
        "urgent_until": one.urgent_until,
    }


def _tried(one: Device, tried: Tried, is_here: bool) -> dict[str, Any]:
    return {
        "node": one.digest,
        "device": one.name,
        "service": one.service,
        "enabled": one.enabled is not None if is_here else None,
        "arrived": tried.has_arrived,
        **asdict(tried),
    }


def _seconds(text: str) -> float | None:
    """How long, as an operator says it; None for no end."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text[:12]) <= LONGEST):
        raise Refused(f"for how long: whole seconds from 1 to {LONGEST} are expected")
    return float(text)
