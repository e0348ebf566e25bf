"""XEP-0160: messages wait in storage for an account that has no session for them.

A message leaves storage in the commit that puts it into the queue of a session, so that it
is always in one of the two places (without XEP-0198 there is no queue, and it just goes).
Hints of XEP-0334 are honoured; when it came is said as XEP-0203 asks.
"""

from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from pushd.modules.base import Module, on
from pushd.routing.delivery import stamped
from pushd.routing.events import (
    SessionEnded,
    SessionReceptive,
    SessionRecovered,
    SessionResumed,
)
from pushd.routing.offline import PICKING, batches
from pushd.routing.sessions import Session
from pushd.storage.errors import StorageError
from pushd.wire.fleeting import are_fleeting
from pushd.wire.framer import seal
from pushd.wire.namespaces import NS_HINTS
from pushd.wire.stanza import Stanza

log = Logger()

# COMPAT: `no-storage` was this hint's name in the first version of XEP-0334.
NO_STORE = frozenset((f"{NS_HINTS} no-store", f"{NS_HINTS} no-storage"))
LATER = 2.0  # seconds after which storage that failed is asked again


@dataclass(frozen=True, slots=True)
class OfflineOptions:
    """What is kept."""

    messages: int = 100_000  # of one account; what comes beyond is refused


class Offline(Module):
    """The offline store of the hall (`OfflineStore`), and the delivery of what it holds."""

    xep = 160
    features = frozenset({"msgoffline"})
    options: OfflineOptions

    async def start(self) -> None:
        self._handing_out: dict[str, Session] = {}  # to the session that came last
        await self.host.offline.load()
        self.host.delivery.offline = self
        self._catching_up = self.host.delivery.catching_up
        self.host.offline.emptied = self._emptied

    def accepts(self, stanza: Stanza) -> bool:
        """Whether a message of type normal or chat has something that is worth waiting for."""
        names = stanza.children
        if not NO_STORE.isdisjoint(names):
            return False
        return not are_fleeting(names)

    def keep(self, account: str, stanza: Stanza, at: float) -> bool:
        """Store a message that came at `at`; False beyond the quota, or without an account."""
        messages = self.host.offline
        if messages.count(account) >= self.options.messages:
            return False
        if not self.host.accounts.exists(account):
            return False
        raw = stamped(stanza.raw, stanza, account.rpartition("@")[2], at)
        messages.add(account, raw, at)
        return True

    @on(SessionReceptive)
    def welcome(self, event: SessionReceptive) -> None:
        """The first session that takes messages gets those that wait, oldest first."""
        self._hand_out(event.session)

    @on(SessionResumed)
    def go_on(self, event: SessionResumed) -> None:
        """Handing out stopped when the session was detached."""
        self._hand_out(event.session)

    @on(SessionRecovered)
    def remember(self, event: SessionRecovered) -> None:
        """What was not handed out before the last stop is older than what is still to come."""
        session = event.session
        if (
            self.host.offline.count(session.account)
            and _is_receptive(session)
            and PICKING not in session.notes
        ):
            self._catching_up[session.account] = session

    @on(SessionEnded)
    def let_go(self, event: SessionEnded) -> None:
        if self._catching_up.get(event.session.account) is event.session:
            del self._catching_up[event.session.account]

    def _hand_out(self, session: Session) -> None:
        account = session.account
        if not self.host.offline.count(account) or self._is_picking(account):
            return
        is_under_way = account in self._handing_out
        self._handing_out[account] = self._catching_up[account] = session
        if not is_under_way:
            working = Deferred.fromCoroutine(self._empty(account))
            working.addErrback(self._failed, account)
            working.addBoth(lambda ignored: self._handing_out.pop(account, None))

    async def _empty(self, account: str) -> None:
        """Hand out all that waits, as long as there is a session to take it."""
        while self.host.offline.count(account) and self._receiver(account) is not None:
            try:
                await self._hand_out_once(account)
            except StorageError:  # it says so itself, and what was handed out is not read again
                await self.host.offline.wait(LATER)

    async def _hand_out_once(self, account: str) -> None:
        for numbers in batches(await self.host.offline.listed(account)):
            await self._hand_over(account, numbers)
            await self.host.offline.until_read(lambda: self._receiver(account))
            if self._receiver(account) is None:
                return

    async def _hand_over(self, account: str, numbers: list[int]) -> None:
        """Move messages from storage to a session, if there still is one, in one commit."""
        messages = self.host.offline
        async with messages.alone(account):
            found = await messages.read_dated(account, numbers)
            session = self._receiver(account)
            if session is None:
                return
            messages.drop(account, found)
            self.host.delivery.move(session, [(seal(raw), at) for raw, at in found.values()])
        await self.host.database.committed()

    def _emptied(self, account: str) -> None:
        """Nothing waits any more: what comes is delivered at once."""
        self._catching_up.pop(account, None)

    def _receiver(self, account: str) -> Session | None:
        """A session that takes messages and has a stream: the one that came last, if it may be.

        None while there is one that fetches them by itself (XEP-0013 §2.2).
        """
        if self._is_picking(account):
            return None
        sessions = self.host.sessions.of(account).values()
        able = [one for one in sessions if _is_receptive(one) and not one.is_detached]
        latest = self._handing_out.get(account)
        return latest if latest in able else next(iter(able), None)

    def _is_picking(self, account: str) -> bool:
        return any(
            PICKING in session.notes and not session.is_detached
            for session in self.host.sessions.of(account).values()
        )

    def _failed(self, failure: Failure, account: str) -> None:
        self._catching_up.pop(account, None)  # or new messages would wait for nothing
        log.error(
            "handing out the messages of {account} failed: {why}",
            account=account,
            why=failure.value,
        )


def _is_receptive(session: Session) -> bool:
    return session.is_available and session.priority >= 0
