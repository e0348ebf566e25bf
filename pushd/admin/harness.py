"""What a test harness asks of a server: has a push arrived, did none come, break this connection.

Everything that happens to a push is a *step* with a *mark*, which is the time in microseconds,
made to grow with each step, over restarts too. Whoever takes a mark first and then does what is
to cause a push can ask for what came since, and misses nothing by asking late.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from pushd.admin.operations import Operation, Refused
from pushd.admin.pushes import Whose
from pushd.routing.events import (
    Events,
    NotificationPublished,
    PublishAnswered,
    PublishReceived,
    PushDecided,
    PushSettled,
)
from pushd.routing.pushing import Pushing, digest

MICROSECONDS = 1_000_000
MOST_STEPS = 10_000  # that are remembered
MOST_TOLD = 200  # steps in one answer
LONGEST = 3_600.0  # seconds of one wait
MOST_PUSHES = 1_000  # that one wait may wait for

# How far a push may get, in this order: it is decided; it leaves for the push service; the
# service has it; its push network has it. Settled is the last one too, however it went.
STAGES = ("decided", "published", "answered", "accepted", "settled")

Happened = PushDecided | NotificationPublished | PublishAnswered | PublishReceived | PushSettled


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened to a push."""

    mark: int
    event: Happened

    @property
    def at(self) -> float:
        """Seconds since the epoch."""
        return self.mark / MICROSECONDS


class Journal:
    """The last steps of all pushes, and those who wait for the next."""

    def __init__(self, clock: IReactorTime, events: Events) -> None:
        self._clock = clock
        self._steps: deque[tuple[int, Happened]] = deque()  # each with its mark
        self._last = 0
        self._forgotten = 0  # the mark of the last step that was forgotten
        self._waiting: list[Deferred[bool]] = []
        self._is_closed = False
        kinds: tuple[type[Any], ...] = get_args(Happened)
        for kind in kinds:
            events.listen(kind, self._keep)

    def mark(self) -> int:
        """The present: later than every step so far, earlier than every one to come."""
        now = int(self._clock.seconds() * MICROSECONDS)
        self._last = now if now > self._last else self._last + 1
        return self._last

    def remembers(self, mark: int) -> bool:
        """Whether no step after this mark was forgotten, of those since the server started."""
        return mark >= self._forgotten

    def since(self, mark: int) -> list[Step]:
        """The steps after a mark, as far as they are remembered, the oldest first."""
        found = []
        for at, event in reversed(self._steps):
            if at <= mark:
                break
            found.append(Step(at, event))
        return found[::-1]

    async def next(self, until: float) -> bool:
        """Wait for a step, until that time at the latest; tells whether one came.

        Raises Refused when the server stops.
        """
        left = until - self._clock.seconds()
        if self._is_closed:
            raise Refused("the server is stopping")
        if left <= 0:
            return False
        waiter: Deferred[bool] = Deferred()
        self._waiting.append(waiter)
        alarm = self._clock.callLater(left, self._over, waiter)
        try:
            return await waiter
        except CancelledError:
            self._waiting.remove(waiter)
            raise
        finally:
            if alarm.active():
                alarm.cancel()

    def close(self) -> None:
        """Send away everyone who waits."""
        self._is_closed = True
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.errback(Refused("the server is stopping"))

    def _over(self, waiter: "Deferred[bool]") -> None:
        self._waiting.remove(waiter)
        waiter.callback(False)

    def _keep(self, event: Happened) -> None:
        self._steps.append((self.mark(), event))
        if len(self._steps) > MOST_STEPS:
            self._forgotten, _ = self._steps.popleft()
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                waiter.callback(True)


class PushWaits:
    """Waits for pushes, and for none."""

    waits = frozenset(("wait-push", "assert-no-push"))  # that end when nobody listens any more

    def __init__(
        self,
        clock: IReactorTime,
        journal: Journal,
        whose: Whose,
        push: Pushing,
        domains: Collection[str],
        services: Collection[str],
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._whose = whose
        self._push = push
        self._domains = domains
        self._services = services  # those of our own app server

    def operations(self) -> Mapping[str, Operation]:
        return {
            "push-mark": self.mark,
            "wait-push": self.wait,
            "assert-no-push": self.refute,
        }

    async def mark(self) -> dict[str, Any]:
        """The present, for who wants to know later what came since."""
        return {"mark": self._journal.mark()}

    async def wait(
        self,
        account: str,
        timeout: str = "10",
        count: str = "1",
        since: str = "",
        stage: str = "accepted",
        device: str = "",
    ) -> dict[str, Any]:
        """Wait until so many pushes have got so far; tells how far they got in any case."""
        if stage not in STAGES:
            raise Refused(f"stage: one of {', '.join(STAGES)} is expected")
        wanted = _whole("count", count, MOST_PUSHES)
        got_there = self._reaches(stage)
        search = self._search(account, since, device)
        until = self._clock.seconds() + _seconds("timeout", timeout)
        began, goals = self._clock.seconds(), list[Step]()
        while True:
            goals += [step for step in search.more() if got_there(step.event)]
            if len(goals) >= wanted or not await self._journal.next(until):
                break
        is_there = len(goals) >= wanted
        goals = goals[:wanted]
        return {
            "account": search.account,
            "arrived": is_there,
            "stage": stage if is_there else search.furthest(self._stage_of),
            "wanted": wanted,
            "waited": self._clock.seconds() - began,
            "mark": goals[-1].mark if is_there else search.began_at,
            "pushes": [self._told(step) for step in goals],
            "steps": [self._told(step) for step in search.seen[-MOST_TOLD:]],
        }

    async def refute(
        self, account: str, seconds: str = "5", since: str = "", device: str = ""
    ) -> dict[str, Any]:
        """Watch for so long that no push comes; ends at once when one is decided."""
        search = self._search(account, since, device)
        until = self._clock.seconds() + _seconds("seconds", seconds)
        began, pushes = self._clock.seconds(), list[Step]()
        while True:
            pushes += [step for step in search.more() if self._is_push(step.event)]
            if pushes or not await self._journal.next(until):
                break
        return {
            "account": search.account,
            "came": bool(pushes),
            "waited": self._clock.seconds() - began,
            "mark": self._journal.mark() if not pushes else search.began_at,
            "pushes": [self._told(step) for step in pushes],
            "steps": [self._told(step) for step in search.seen[-MOST_TOLD:]],
        }

    def _search(self, account: str, since: str, device: str) -> "Search":
        bare = self._whose.any(account)
        began_at = self._since(since)
        if began_at and not self._journal.remembers(began_at):
            raise Refused("since: some of what came since then is forgotten; 0 is all there is")
        chosen = self._of_device(bare, device)
        return Search(
            self._journal, began_at, bare, lambda event: self._is_of(bare, event) and chosen(event)
        )

    def _is_of(self, account: str, event: Happened) -> bool:
        """Whether a step is about the account; the end of a push to who never registered is
        about all that enabled its node."""
        if event.account or not isinstance(event, PushSettled):
            return event.account == account
        called = digest(event.node)
        return any(
            one.enabled is not None
            and one.enabled.service == event.service
            and one.enabled.digest == called
            for one in self._push.devices(account)
        )

    def _since(self, text: str) -> int:
        """A mark, or a time before now, such as 5s."""
        if not text:
            return self._journal.mark()
        if text.isascii() and text.isdigit() and len(text) < 20:
            if int(text) > self._journal.mark():
                raise Refused("since: this mark is still to come; was the clock set back?")
            return int(text)
        if not text.endswith("s"):
            raise Refused("since: a mark, or a time before now, such as 5s, is expected")
        return self._journal.mark() - int(_seconds("since", text[:-1]) * 1_000_000)

    def _of_device(self, account: str, name: str) -> Callable[[Happened], bool]:
        """Whether a step is about the device of that name. It may come to be later."""
        if not name:
            return lambda event: True

        def is_about(event: Happened) -> bool:
            called = digest(event.node)
            if name in (event.node, called):
                return True
            return any(
                one.digest == called and (one.is_called(name) or one.name == name)
                for one in self._push.devices(account)
            )

        return is_about

    def _reaches(self, stage: str) -> Callable[[Happened], bool]:
        """Whether an event says that a push has got so far."""
        return lambda event: stage in self._stages_of(event)

    def _is_push(self, event: Happened) -> bool:
        """Whether an event is the first that tells of a push."""
        return bool({"decided", "published"} & self._stages_of(event))

    def _stage_of(self, event: Happened) -> str:
        """The furthest stage that an event tells of; "" for none."""
        told = self._stages_of(event) - {"settled"}
        return max(told, key=STAGES.index, default="")

    def _stages_of(self, event: Happened) -> frozenset[str]:
        is_ours = event.service in self._services
        match event:
            case PushDecided(pushed=True):
                return frozenset(("decided",))
            case NotificationPublished():
                return frozenset(("published",))
            case PublishReceived(outcome="accepted"):
                # Of our own accounts it is told by the side that publishes.
                is_foreign = event.account.rpartition("@")[2] not in self._domains
                return frozenset(("published", "answered")) if is_foreign else frozenset()
            case PublishAnswered(outcome="accepted"):
                # What another's service does with it, nobody tells us.
                rest = () if is_ours else ("accepted", "settled")
                return frozenset(("answered", *rest))
            case PublishAnswered() if not is_ours:
                return frozenset(("settled",))
            case PushSettled(outcome="accepted"):
                return frozenset(("accepted", "settled"))
            case PushSettled():
                return frozenset(("settled",))
        return frozenset()

    def _told(self, step: Step) -> dict[str, Any]:
        """A step as data. Nodes are digests here, too."""
        event = step.event
        called = digest(event.node)
        names = [one.name for one in self._push.devices(event.account) if one.digest == called]
        told: dict[str, Any] = {
            "mark": step.mark,
            "at": step.at,
            "service": event.service,
            "node": called,
            "device": names[0] if names else "",
        }
        match event:
            case PushDecided():
                what = "push" if event.pushed else "no push"
                return told | {"what": what, "why": event.reason, "kind": event.kind}
            case NotificationPublished():
                counts = {"messages": event.message_count, "requests": event.subscription_count}
                return told | {"what": "published", **counts}
            case PublishAnswered():
                why = {"why": event.condition, "seconds": event.seconds}
                return told | {"what": f"publish {event.outcome}", **why}
            case PublishReceived():
                return told | {"what": f"publish {event.outcome} here", "why": event.reason}
            case PushSettled():
                rest = {"why": event.reason, "backend": event.backend, "seconds": event.seconds}
                return told | {"what": f"provider {event.outcome}", **rest}


class Search:
    """The steps of one account since a mark, as they come."""

    def __init__(
        self, journal: Journal, began_at: int, account: str, chosen: Callable[[Happened], bool]
    ) -> None:
        self.account = account
        self.began_at = began_at
        self.seen: list[Step] = []
        self._journal = journal
        self._chosen = chosen
        self._mark = began_at

    def more(self) -> Iterator[Step]:
        """Those that were not seen yet."""
        steps = self._journal.since(self._mark)
        if steps:
            self._mark = steps[-1].mark
        for step in steps:
            if self._chosen(step.event):
                self.seen.append(step)
                yield step

    def furthest(self, stage_of: Callable[[Happened], str]) -> str:
        """How far any push has got; "" when there was none."""
        found = [stage_of(step.event) for step in self.seen]
        return max(filter(None, found), key=STAGES.index, default="")


def _seconds(name: str, text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= LONGEST:
        raise Refused(f"{name}: seconds from 0 to {LONGEST:.0f} are expected")
    return found


def _whole(name: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= most):
        raise Refused(f"{name}: a whole number from 1 to {most} is expected")
    return int(text)
