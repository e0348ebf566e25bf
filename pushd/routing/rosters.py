"""Rosters: who is whose contact, in memory while it is needed, and durable (RFC 6121 §2).

What is asked on the way of a stanza is asked here without waiting; what needs a roster
that is still on disk waits in order (`when`). What the states mean, and who is told of a
change, is the business of modules, which hear of it by events.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pushd.routing.delivery import Delivery
from pushd.routing.events import AccountRemoved, ContactRemoved, Events, RosterChanged
from pushd.routing.sessions import Session, Sessions
from pushd.storage.sqlite import Database
from pushd.storage.table import Table

log = Logger()

CAPACITY = 2_000  # contacts of one account, unless a module says otherwise
IDLE = 1_000  # rosters of accounts without a session that stay in memory
SWEEP = 256  # reads between looking for those that are too many
REMEMBERED = 500  # changes of a roster in memory that are told one by one
INTERESTED = "roster"  # the note on a session that asked for its roster


@dataclass(frozen=True, slots=True)
class Contact:
    """An item of a roster (RFC 6121 §2.1.2).

    `subscription` is none, to, from or both, and `remove` for an item that is no more;
    `ask` says that a request of ours is out, `approved` that theirs is granted beforehand.
    """

    jid: str
    name: str = ""
    subscription: str = "none"
    ask: bool = False
    approved: bool = False
    groups: tuple[str, ...] = ()

    @property
    def sees(self) -> bool:
        """Whether the account gets the contact's presence."""
        return self.subscription in ("to", "both")

    @property
    def is_seen(self) -> bool:
        """Whether the contact gets the account's presence."""
        return self.subscription in ("from", "both")


@dataclass(slots=True)
class Roster:
    """What is known of an account's contacts. Only `Rosters` changes it.

    `requests` are those that wait for an answer, with the stanza that brought each; they
    are not part of the roster that the account's clients see (RFC 6121 §3.1.3).
    """

    account: str
    version: int
    contacts: dict[str, Contact]
    requests: dict[str, bytes]
    since: int = 0  # the version from which on `changes` tells all
    changes: list[tuple[int, str]] = field(default_factory=list)  # version, JID

    def missed(self, version: int) -> dict[str, int] | None:
        """Who has changed since this version, each with the version of its last change.

        In the order of these; None for a version that is not known to have been this roster's.
        """
        if version != self.since and all(version != known for known, _ in self.changes):
            return None
        found: dict[str, int] = {}
        for changed, jid in self.changes:
            if changed > version:
                found.pop(jid, None)
                found[jid] = changed
        return found

    def get(self, jid: str) -> Contact:
        """The contact of a bare JID; an empty one when there is none."""
        return self.contacts.get(jid) or Contact(jid)

    def may_see(self, jid: str) -> bool:
        """Whether this bare JID gets the presence of the account."""
        contact = self.contacts.get(jid)
        return jid == self.account or (contact is not None and contact.is_seen)


@dataclass(frozen=True, slots=True)
class _Item:
    account: str
    jid: str
    name: str | None
    subscription: str
    ask: bool
    approved: bool
    groups: str  # JSON


@dataclass(frozen=True, slots=True)
class _Version:
    account: str
    version: int


@dataclass(frozen=True, slots=True)
class _Request:
    account: str
    jid: str
    stanza: bytes = field(repr=False)


ITEMS = Table(_Item, key=("account", "jid"), name="roster")
VERSIONS = Table(_Version, name="roster_versions")
REQUESTS = Table(_Request, key=("account", "jid"), name="subscription_requests")


@dataclass(eq=False, slots=True)
class _Waiting:
    """What is done once the rosters of these accounts are there."""

    accounts: frozenset[str]
    act: Callable[[], object]
    session: Session | None = None
    number: int = 0  # of the session's stanza that this is about
    failed: "Deferred[Roster] | None" = None


class Rosters:
    """The rosters of all accounts."""

    def __init__(
        self,
        clock: IReactorTime,
        events: Events,
        database: Database,
        sessions: Sessions,
        delivery: Delivery,
    ) -> None:
        self.capacity = CAPACITY
        self._clock = clock
        self._events = events
        self._database = database
        self._sessions = sessions
        self._delivery = delivery
        self._reads = 0
        self._items = ITEMS.bind(database)
        self._versions = VERSIONS.bind(database)
        self._requests = REQUESTS.bind(database)
        self._loaded: OrderedDict[str, Roster] = OrderedDict()  # the one asked for last at the end
        self._loading: set[str] = set()
        self._waiting: list[_Waiting] = []
        self._acting: frozenset[str] = frozenset()
        events.listen(AccountRemoved, self._account_removed)

    def when(
        self,
        accounts: Iterable[str],
        act: Callable[[], object],
        session: Session | None = None,
    ) -> None:
        """Call `act` with the rosters of these accounts in memory: now, if they are.

        Calls that share an account are made in the order of asking; one made within another,
        about the same accounts, is made at once. Until it is made, the `h` of `session` does
        not cover the stanza that it sent last.
        """
        self._enter(_Waiting(frozenset(accounts), act, session))

    def load(self, account: str) -> "Deferred[Roster]":
        """The roster of an account. Errbacks with StorageError."""
        told: Deferred[Roster] = Deferred()

        def tell() -> None:
            told.callback(self[account])

        self._enter(_Waiting(frozenset((account,)), tell, failed=told))
        return told

    def __getitem__(self, account: str) -> Roster:
        """The roster of an account; only where `when` or `load` has it loaded."""
        return self._loaded[account]

    def has_room(self, account: str, jid: str) -> bool:
        """Whether `put` may store this contact: a known one, or one that still fits in."""
        contacts = self[account].contacts
        return jid in contacts or len(contacts) < self.capacity

    async def may_see(self, account: str, jid: str) -> bool:
        """Whether `jid`, a bare one, gets the presence of the account."""
        return (await self.load(account)).may_see(jid)

    def put(self, account: str, contact: Contact) -> None:
        """Store a contact in place of the one with its JID, and tell who listens."""
        self[account].contacts[contact.jid] = contact
        self._items.put(
            _Item(
                account,
                contact.jid,
                contact.name or None,
                contact.subscription,
                contact.ask,
                contact.approved,
                json.dumps(contact.groups),
            )
        )
        self._changed(account, contact)

    def remove(self, account: str, jid: str) -> None:
        """Delete a contact that there is, and tell who listens."""
        contact = self[account].contacts.pop(jid)
        self._items.delete(account, jid)
        self._changed(account, replace(contact, subscription="remove"))
        self._events.emit(ContactRemoved(account, contact, was_asking=False))

    def add_request(self, account: str, jid: str, stanza: bytes) -> None:
        """Keep a request for a subscription until it is answered."""
        self[account].requests[jid] = stanza
        self._requests.put(_Request(account, jid, stanza))

    def drop_request(self, account: str, jid: str) -> None:
        if self[account].requests.pop(jid, None) is not None:
            self._requests.delete(account, jid)

    def interested(self, account: str) -> list[Session]:
        """The sessions that asked for their roster, and so are told of changes (§2.1.6)."""
        return [
            session
            for session in self._sessions.of(account).values()
            if session.notes.get(INTERESTED)
        ]

    def _changed(self, account: str, contact: Contact) -> None:
        """A new version. It grows with time, so that an account made anew repeats none."""
        roster = self[account]
        roster.version = max(roster.version + 1, int(self._clock.seconds()))
        roster.changes.append((roster.version, contact.jid))
        if len(roster.changes) > REMEMBERED:
            roster.since, _ = roster.changes.pop(0)
        self._versions.put(_Version(account, roster.version))
        self._events.emit(RosterChanged(account, contact, str(roster.version)))

    def _account_removed(self, event: AccountRemoved) -> None:
        """Tell who listens of each contact and request that goes; then forget them all."""
        self.when((event.account,), partial(self._erase, event.account))

    def _erase(self, account: str) -> None:
        roster = self[account]
        for jid in sorted(roster.contacts.keys() | roster.requests.keys()):
            was_asking = jid in roster.requests
            self._events.emit(ContactRemoved(account, roster.get(jid), was_asking))
        for table in (self._items, self._versions, self._requests):
            table.delete(account)
        del self._loaded[account]

    # Loading, and what waits for it.

    def _enter(self, one: _Waiting) -> None:
        needed = one.accounts
        is_free = needed <= self._acting or not any(
            needed & other.accounts for other in self._waiting
        )
        if is_free and self._have(needed):
            self._act(one)
            return
        if one.session is not None and one.session.handled is not None:
            one.number = one.session.handled.received
            one.session.handled.hold(one.number)
        self._waiting.append(one)
        self._fetch(needed)

    def _have(self, accounts: frozenset[str]) -> bool:
        return all(account in self._loaded for account in accounts)

    def _fetch(self, accounts: frozenset[str]) -> None:
        for account in accounts:
            if account not in self._loaded and account not in self._loading:
                self._loading.add(account)
                reading: Deferred[Any] = gatherResults(
                    [
                        self._database.read(*table.question(account))
                        for table in (self._items, self._versions, self._requests)
                    ],
                    consumeErrors=True,
                )
                reading.addCallback(self._read, account)
                reading.addErrback(self._not_read, account)

    def _read(self, found: Any, account: str) -> None:
        items = self._items.rows(found[0])
        versions = self._versions.rows(found[1])
        requests = self._requests.rows(found[2])
        self._loading.discard(account)
        version = versions[0].version if versions else 0
        self._loaded[account] = Roster(
            account,
            version,
            {item.jid: _contact(item) for item in items},
            {request.jid: request.stanza for request in requests},
            since=version,
        )
        self._advance()
        self._evict()

    def _not_read(self, failure: Failure, account: str) -> None:
        """Storage fails: nothing that needs this roster is done, nor ever acknowledged."""
        if isinstance(failure.value, FirstError):
            failure = failure.value.subFailure
        log.error("cannot read the roster of {account}: {why}", account=account, why=failure.value)
        self._loading.discard(account)
        for one in list(self._waiting):
            if account in one.accounts:
                self._waiting.remove(one)
                if one.failed is not None:
                    one.failed.errback(failure)
        self._advance()

    def _advance(self) -> None:
        """Do what waits and may be done now, in order."""
        done = True
        while done:
            done = False
            blocked: set[str] = set()
            for one in list(self._waiting):
                if one.accounts & blocked or not self._have(one.accounts):
                    blocked |= one.accounts
                    self._fetch(one.accounts)
                else:
                    self._waiting.remove(one)
                    self._act(one)
                    self._release(one)
                    done = True

    def _act(self, one: _Waiting) -> None:
        for account in one.accounts:
            self._loaded.move_to_end(account)
        before, self._acting = self._acting, one.accounts
        try:
            one.act()
        except Exception:  # noqa: BLE001  one that fails is logged alone
            log.failure("what waited for a roster failed")
        finally:
            self._acting = before

    def _release(self, one: _Waiting) -> None:
        if one.number and one.session is not None and one.session.handled is not None:
            one.session.handled.release(one.number)
            self._delivery.touch(one.session)

    def _evict(self) -> None:
        """Now and then: forget the rosters asked for longest ago, of accounts without a session."""
        self._reads += 1
        if self._reads % SWEEP == 0:
            idle = [account for account in self._loaded if not self._sessions.of(account)]
            for account in idle[: max(0, len(idle) - IDLE)]:
                del self._loaded[account]


def _contact(item: _Item) -> Contact:
    return Contact(
        item.jid,
        item.name or "",
        item.subscription,
        item.ask,
        item.approved,
        tuple(json.loads(item.groups)),
    )
