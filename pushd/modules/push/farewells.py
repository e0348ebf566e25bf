"""What clients still have to be told: that an enablement of theirs is no more.

A device that is away hears of it when it is next there. Whether it is the one is known by the
full JID that enabled; a resource that nobody has push for may be the same device under another
name, and is told as well, but then the other one is still waited for.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet.interfaces import IReactorTime

from pushd.storage.sqlite import Database
from pushd.storage.table import Table

KEPT = 7 * 86_400.0  # seconds for which a device is waited for
MOST = 10  # for an account; the oldest go


@dataclass(frozen=True, slots=True)
class Farewell:
    account: str
    service: str
    node: str = field(repr=False)
    session: str  # full JID
    at: float  # seconds since the epoch


FAREWELLS = Table(Farewell, key=("account", "service", "node"), name="push_farewells")


class Farewells:
    """All that is to be said, in memory and in storage."""

    def __init__(self, clock: IReactorTime, database: Database) -> None:
        self._clock = clock
        self._rows = FAREWELLS.bind(database)
        self._known: dict[str, dict[tuple[str, str], Farewell]] = {}

    async def load(self) -> None:
        """Read what the last run left unsaid, but for what is too old."""
        for row in sorted(await self._rows.select(), key=lambda row: row.at):
            self._known.setdefault(row.account, {})[row.service, row.node] = row
        for account in list(self._known):
            self._forget_old(account)

    def keep(self, account: str, service: str, node: str, session: str) -> None:
        """Have the device that enabled this from that full JID told when it is there."""
        one = Farewell(account, service, node, session, self._clock.seconds())
        known = self._known.setdefault(account, {})
        known.pop((service, node), None)
        known[service, node] = one
        self._rows.put(one)
        self._forget_old(account)

    def forget(self, account: str, service: str, node: str) -> None:
        """It was told, or has enabled anew."""
        known = self._known.get(account, {})
        if known.pop((service, node), None) is not None:
            self._rows.delete(account, service, node)
            if not known:
                del self._known[account]

    def forget_all(self, account: str) -> None:
        if self._known.pop(account, None) is not None:
            self._rows.delete(account)

    def say(
        self, account: str, full: str, is_other: bool, tell: Callable[[Farewell], None]
    ) -> None:
        """Somebody of the account is there: `tell` what concerns him.

        `is_other` says that this resource is known for a device of its own.
        """
        if account not in self._known:
            return
        self._forget_old(account)
        for one in list(self._known.get(account, {}).values()):
            if one.session == full:
                tell(one)
                self.forget(account, one.service, one.node)
            elif not is_other:
                tell(one)

    def _forget_old(self, account: str) -> None:
        known = list(self._known.get(account, {}).values())
        too_old = self._clock.seconds() - KEPT
        for place, one in enumerate(known):
            if one.at <= too_old or place < len(known) - MOST:
                self.forget(account, one.service, one.node)
