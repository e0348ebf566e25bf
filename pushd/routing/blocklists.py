"""Whom an account has blocked (XEP-0191), in memory, since every stanza may be asked about.

An account without a list costs one look into a dictionary. Which stanzas a block stops is the
router's business; who changes a list, and who is told of it, a module's.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pushd.routing.events import AccountRemoved, Events
from pushd.storage.sqlite import Database
from pushd.storage.table import Table
from pushd.wire.element import element
from pushd.wire.errors import StanzaError
from pushd.wire.jid import JID

NS_BLOCKING_ERRORS = "urn:xmpp:blocking:errors"


class Blocked(StanzaError):
    """What an account writes to somebody whom it has blocked goes nowhere (XEP-0191 §3.3)."""

    condition = "not-acceptable"

    def __init__(self) -> None:
        super().__init__(extra=element(NS_BLOCKING_ERRORS, "blocked"))


@dataclass(frozen=True, slots=True)
class _Block:
    account: str
    jid: str


BLOCKS = Table(_Block, key=("account", "jid"), name="blocked")


class BlockLists:
    """The lists of all accounts. `lists` has those that are not empty, and changes here alone."""

    def __init__(self, database: Database, events: Events) -> None:
        self.lists: dict[str, set[str]] = {}
        self._table = BLOCKS.bind(database)
        events.listen(AccountRemoved, lambda event: self.lists.pop(event.account, None))

    async def load(self) -> None:
        """Read all lists; before anything is routed."""
        for block in await self._table.select():
            self.lists.setdefault(block.account, set()).add(block.jid)

    def of(self, account: str) -> list[str]:
        """The blocked addresses of an account, in order."""
        return sorted(self.lists.get(account, ()))

    def add(self, account: str, jids: Iterable[str]) -> None:
        for jid in jids:
            self.lists.setdefault(account, set()).add(jid)
            self._table.put(_Block(account, jid))

    def remove(self, account: str, jids: Iterable[str]) -> None:
        """Take addresses from a list; what is not on it is ignored."""
        blocked = self.lists.get(account, set())
        for jid in blocked.intersection(jids):
            blocked.remove(jid)
            self._table.delete(account, jid)
        if not blocked:
            self.lists.pop(account, None)

    def holds(self, account: str, jid: JID) -> bool:
        """Whether the account has blocked this address.

        A list has full JIDs, bare ones for all their resources, and domains for all that is
        there (§5). The account's own resources, and the server that answers in the name of its
        domain, are never blocked (§4).
        """
        blocked = self.lists.get(account)
        return (
            blocked is not None
            and (jid.full in blocked or jid.bare in blocked or jid.domain in blocked)
            and jid.bare != account
            and jid.full != account.rpartition("@")[2]
        )
