"""The ledger of push: what became of each enablement and each registration, by whom and why.

It only listens. A line that says the same as an earlier one of the same enablement or
registration is that line with a count, as long as its state has not changed since, so that
the ledger of a phone that is woken each minute stays as short as that of one that sleeps.
Lines outlive what they tell of; they go with the account. Nodes are kept as digests, as the
logs have them: where devices need not register, a node is the very token of one.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from pushd.routing.events import (
    AccountRemoved,
    DeviceRegistered,
    DeviceTokenForgotten,
    DeviceUnregistered,
    Events,
    PublishAnswered,
    PublishReceived,
    PushDisabled,
    PushEnabled,
    PushPaused,
    PushProbed,
    PushSettled,
    PushUnpaused,
)
from pushd.routing.pushing import digest
from pushd.storage.errors import StorageError
from pushd.storage.sqlite import Database
from pushd.storage.table import Table
from pushd.wire.jid import parse

log = Logger()

DAY = 86_400.0
MOST_LINES = 100  # of an account; the oldest go
KEPT = 365 * DAY  # seconds after which a line is of no use any more; looked at once a day
LINGER = 10.0  # seconds for which what is merely counted waits in memory
PORTION = 200  # lines that are written at once
BREAK = 0.1  # seconds until the next ones
MOST_OPEN = 50_000  # enablements and registrations whose last lines are in memory
MOST_KINDS = 16  # lines of one of them that go on being counted
MOST_WAITING = 20_000  # lines that wait while storage fails
LONGEST_WHY = 200  # characters

ENABLEMENT = "enablement"
REGISTRATION = "registration"
ACCOUNT = "account"

ANSWERS = {"accepted": "pushed", "refused": "refused", "silence": "unanswered"}
SETTLED = {"accepted": "pushed", "refused": "refused", "expired": "expired"}

DELETE_OLDEST = (
    "DELETE FROM push_ledger WHERE number IN (SELECT number FROM push_ledger "
    "WHERE account = ? ORDER BY last_at DESC, number DESC LIMIT -1 OFFSET ?)"
)


@dataclass(frozen=True, slots=True)
class Line:
    """What is stored. Instants are seconds since the epoch."""

    number: int  # ascending
    account: str  # bare JID
    side: str  # "enablement", "registration", or "account" for what concerns all of it
    service: str
    node: str  # its digest; "" where there is none
    what: str  # "created", "bound", "pushed", "removed", ...
    who: str  # a JID, "operator", "provider", or "" for the server itself
    why: str
    times: int
    first_at: float
    last_at: float


LINES = Table(Line, key=("number",), name="push_ledger")
OF_ACCOUNT = f"SELECT {', '.join(LINES.fields)} FROM push_ledger WHERE account = ? ORDER BY number"  # noqa: S608

_Key = tuple[str, str, str, str]  # account, side, service, node


def devices(lines: Iterable[Line]) -> dict[str, str]:
    """What devices are called that are known no more, by the digests of their nodes.

    That is the resource that enabled or registered them last.
    """
    found: dict[str, str] = {}
    for one in lines:
        resource = one.who.partition("/")[2]
        if one.node and resource and one.what in ("created", "bound", "renewed"):
            found[one.node] = resource
    return found


@dataclass(slots=True)
class _Counted:
    """A line that is counted further."""

    number: int
    key: _Key
    what: str
    who: str
    why: str
    times: int
    first_at: float
    last_at: float
    is_stored: bool = False

    def line(self) -> Line:
        account, side, service, node = self.key
        said = (self.what, self.who, self.why, self.times, self.first_at, self.last_at)
        return Line(self.number, account, side, service, digest(node), *said)


class Ledger:
    """The ledgers of all accounts. `is_known` tells whether there is such an account here."""

    def __init__(
        self,
        clock: IReactorTime,
        database: Database,
        events: Events,
        is_known: Callable[[str], bool],
    ) -> None:
        self._clock = clock
        self._database = database
        self._lines = LINES.bind(database)
        self._is_known = is_known
        self._next = 1
        self._dropped_at = 0.0
        # What each of them said since its state last changed.
        self._open: OrderedDict[_Key, dict[tuple[str, str, str], _Counted]] = OrderedDict()
        self._waiting: OrderedDict[int, _Counted] = OrderedDict()  # to be written, by number
        self._call: IDelayedCall | None = None
        self._listen(events)

    async def load(self) -> None:
        """Go on where the last run ended; before anything is told."""
        rows = await self._database.read("SELECT MAX(number) FROM push_ledger")
        self._next = (rows[0][0] or 0) + 1
        self._drop_old(self._clock.seconds())

    def stop(self) -> None:
        """Have everything written with the last commit."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._write(len(self._waiting))

    async def of(self, account: str) -> list[Line]:
        """The lines of a bare JID, the oldest first. Raises StorageError."""
        for one in [one for one in self._waiting.values() if one.key[0] == account]:
            del self._waiting[one.number]
            self._put(one)
        return LINES.rows(await self._database.read(OF_ACCOUNT, (account,)))

    def _listen(self, events: Events) -> None:
        events.listen(PushEnabled, self._enabled)
        events.listen(PushDisabled, self._disabled)
        events.listen(PushProbed, self._probed)
        events.listen(PushPaused, self._paused)
        events.listen(PushUnpaused, self._unpaused)
        events.listen(PublishAnswered, self._answered)
        events.listen(DeviceRegistered, self._registered)
        events.listen(DeviceUnregistered, self._unregistered)
        events.listen(DeviceTokenForgotten, self._token_forgotten)
        events.listen(PublishReceived, self._received)
        events.listen(PushSettled, self._settled)
        events.listen(AccountRemoved, self._forget)

    # What is told.

    def _enabled(self, event: PushEnabled) -> None:
        key = (event.account, ENABLEMENT, event.service, event.node)
        if event.is_new:
            self._change(key, "created", event.session)
        else:
            self._count(key, "bound", event.session)

    def _disabled(self, event: PushDisabled) -> None:
        key = (event.account, ENABLEMENT, event.service, event.node)
        self._change(key, "removed", event.by, event.reason)

    def _probed(self, event: PushProbed) -> None:
        key = (event.account, ENABLEMENT, event.service, event.node)
        why = f"{event.failures} pushes in a row came to nothing"
        self._change(key, "put on probation", "", why)

    def _paused(self, event: PushPaused) -> None:
        key = (event.account, ACCOUNT, "", "")
        left = None if event.until is None else event.until - self._clock.seconds()
        self._change(key, "paused", event.by, "" if left is None else f"for {left:.0f} s")

    def _unpaused(self, event: PushUnpaused) -> None:
        self._change((event.account, ACCOUNT, "", ""), "resumed", event.by)

    def _answered(self, event: PublishAnswered) -> None:
        key = (event.account, ENABLEMENT, event.service, event.node)
        self._count(key, ANSWERS.get(event.outcome, event.outcome), "", event.condition)

    def _registered(self, event: DeviceRegistered) -> None:
        key = (event.account, REGISTRATION, event.service, event.node)
        if event.is_new:
            room = f"for {event.room}, " if event.room else ""
            what = f"{room}{event.type}, device {event.device}, by {event.dialect}"
            self._change(key, "created", event.by, what)
        else:
            self._count(key, "renewed", event.by, event.type)

    def _unregistered(self, event: DeviceUnregistered) -> None:
        key = (event.account, REGISTRATION, event.service, event.node)
        self._change(key, "removed", event.by, event.reason)

    def _token_forgotten(self, event: DeviceTokenForgotten) -> None:
        key = (event.account, REGISTRATION, event.service, event.node)
        self._change(key, "changed", "provider", f"{event.forgotten}: {event.reason}")

    def _received(self, event: PublishReceived) -> None:
        """Who published right is told of when that is settled."""
        if event.account and event.outcome != "accepted":
            key = (event.account, REGISTRATION, event.service, event.node)
            # A stranger has as many addresses as he likes, but few domains.
            self._count(key, event.outcome, parse(event.publisher).domain, event.reason)

    def _settled(self, event: PushSettled) -> None:
        what = SETTLED.get(event.outcome)  # what a dead token comes to is told by its end
        if what is not None and event.account:
            key = (event.account, REGISTRATION, event.service, event.node)
            self._count(key, what, "", event.reason)

    def _forget(self, event: AccountRemoved) -> None:
        """A trigger of the storage takes along what is written."""
        for key in [key for key in self._open if key[0] == event.account]:
            del self._open[key]
        for one in [one for one in self._waiting.values() if one.key[0] == event.account]:
            del self._waiting[one.number]

    # How it is kept.

    def _change(self, key: _Key, what: str, who: str = "", why: str = "") -> None:
        """The state is another: what is said from now on stands in lines of its own."""
        if not self._is_known(key[0]):
            return
        self._open.pop(key, None)
        one = self._new(key, what, who, why)
        if self._database.failing:
            self._wait_for(one)
        else:
            self._put(one)

    def _count(self, key: _Key, what: str, who: str = "", why: str = "") -> None:
        if not self._is_known(key[0]):
            return
        said = self._open.get(key)
        if said is None:
            said = self._open[key] = {}
            if len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
        else:
            self._open.move_to_end(key)
        one = said.get((what, who, why))
        if one is None:
            if len(said) >= MOST_KINDS:
                said.clear()
            one = said[what, who, why] = self._new(key, what, who, why)
        else:
            one.times += 1
            one.last_at = self._clock.seconds()
        self._wait_for(one)

    def _new(self, key: _Key, what: str, who: str, why: str) -> _Counted:
        number, now = self._next, self._clock.seconds()
        self._next += 1
        return _Counted(number, key, what, who, why[:LONGEST_WHY], 1, now, now)

    def _wait_for(self, one: _Counted) -> None:
        self._waiting[one.number] = one
        if len(self._waiting) > MOST_WAITING:
            self._waiting.popitem(last=False)
        if self._call is None:
            self._call = self._clock.callLater(LINGER, self._look)

    def _look(self) -> None:
        """Write what waits, a portion at a time; while storage fails, later."""
        self._call = None
        if not self._database.failing:
            self._write(PORTION)
        if self._waiting:
            pause = LINGER if self._database.failing else BREAK
            self._call = self._clock.callLater(pause, self._look)

    def _write(self, most: int) -> None:
        for _ in range(min(most, len(self._waiting))):
            _, one = self._waiting.popitem(last=False)
            self._put(one)

    def _drop_old(self, now: float) -> None:
        self._dropped_at = now
        self._database.write("DELETE FROM push_ledger WHERE last_at < ?", (now - KEPT,))

    def _put(self, one: _Counted) -> None:
        try:
            self._lines.put(one.line())
            if not one.is_stored:
                one.is_stored = True
                self._database.write(DELETE_OLDEST, (one.key[0], MOST_LINES))
                if one.last_at > self._dropped_at + DAY:
                    self._drop_old(one.last_at)
        except (StorageError, ValueError) as error:
            log.error("a line of the ledger is lost: {error}", error=error)
