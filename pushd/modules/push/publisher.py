"""Publishing what is new, one publish of an enablement at a time, until its service has it."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from pushd.modules.push.enablements import Enablement, Enablements, Summary
from pushd.modules.push.options import Told
from pushd.modules.push.publish import Verdict, pubsub, verdict
from pushd.routing.events import NotificationPublished, PublishAnswered
from pushd.routing.host import Host
from pushd.routing.requests import Answer, Refusal, Silence
from pushd.storage.errors import StorageError

log = Logger()

FIRST_PAUSE = 10.0  # seconds at most before a publish is tried again; the next ones are longer
LONGEST_PAUSE = 900.0


@dataclass(frozen=True, slots=True)
class PushOptions:
    """How accounts are woken."""

    hold: float = 72 * 3600.0  # seconds for which a session with push waits to be resumed
    max_enablements: int = 10  # of one account
    coalesce: float = 1.0  # seconds after a publish in which what comes goes out as one
    publish_timeout: float = 30.0  # seconds for which an answer is awaited
    stale: float = 86_400.0  # seconds after which nobody wants to know what was new
    notify_on: str = "messages"  # or "all"
    told: Told = Told()  # noqa: RUF009 - a frozen value; what is told where the account is silent


class Publisher:
    """Sends enablements' news. `remove` is called with one that its service has ended, and why."""

    def __init__(
        self,
        host: Host,
        enablements: Enablements,
        options: PushOptions,
        remove: Callable[[Enablement, str], None],
    ) -> None:
        self._host = host
        self._enablements = enablements
        self._options = options
        self._remove = remove
        self._is_open = False
        self._gathering: dict[Enablement, Deferred[None]] = {}

    def open(self) -> None:
        """Everything stands: publish from now on, beginning with what the last run left."""
        self._is_open = True
        for one in self._enablements.everyone():
            self.tell(one)

    def tell(self, one: Enablement) -> None:
        """Publish what is new; if a publish is under way, it goes out after that."""
        if self._is_open and not one.in_flight and one.has_news:
            publishing = Deferred.fromCoroutine(self._fly(one))
            publishing.addErrback(lambda failure: log.failure("a publish broke", failure))
        elif one.queued.urgent and one in self._gathering:
            self._gathering[one].cancel()  # a call waits for nothing

    async def _fly(self, one: Enablement) -> None:
        one.in_flight = True
        try:
            await self._publish(one)
        finally:
            one.in_flight = False

    async def _publish(self, one: Enablement) -> None:
        """Publish until there is no news, or nobody to tell it."""
        pause = FIRST_PAUSE
        while self._enablements.is_current(one) and one.has_news:
            await self._gather(one)
            is_safe = await self._stored()
            queued, visits = one.queued, one.visits
            if queued.counts == one.pushed.counts:
                return  # the device was back meanwhile
            if not self._enablements.is_current(one):
                return
            one.published_at = self._host.clock.seconds()
            answer = await self._ask(one, queued) if is_safe else Silence()
            if not self._enablements.is_current(one):
                return
            now = self._host.clock.seconds()
            match verdict(answer):
                case Verdict.REMOVE:
                    self._remove(one, f"refused by its service: {_condition(answer)}")
                    return
                case Verdict.LATER if now + pause < one.news_at + self._options.stale:
                    await self._rest(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                    continue
                case Verdict.ACCEPTED:
                    one.failures = 0
                    one.used_at = now
                case _:
                    one.failures += 1
            one.settle(queued, visits)
            self._enablements.changed(one)
            pause = FIRST_PAUSE

    async def _gather(self, one: Enablement) -> None:
        """Let what follows a publish closely come together; what is urgent does not wait."""
        left = one.published_at + self._options.coalesce - self._host.clock.seconds()
        if left <= 0 or one.queued.urgent:
            return
        gathering = self._gathering[one] = deferLater(self._host.clock, left)
        try:
            await gathering
        except CancelledError:
            pass
        finally:
            del self._gathering[one]

    async def _stored(self) -> bool:
        """Wait until what a push is about is on disk, before anybody is told of it."""
        try:
            await self._host.database.committed()
        except StorageError:
            return False
        return True

    async def _ask(self, one: Enablement, queued: Summary) -> Answer:
        """Publish once, and tell the listeners."""
        emit = self._host.events.emit
        names = (one.account, one.service, one.node, self._host.requests.new_id())
        emit(NotificationPublished(*names, queued.messages, queued.subscriptions))
        answer = await self._host.requests.ask(
            one.service,
            one.account.rpartition("@")[2],
            pubsub(one, queued, self._enablements.told(one.account, self._options.told)),
            timeout=self._options.publish_timeout,
            id=names[-1],
        )
        outcome = {Refusal: "refused", Silence: "silence"}.get(type(answer), "accepted")
        emit(PublishAnswered(*names, outcome, _condition(answer)))
        return answer

    async def _rest(self, seconds: float) -> None:
        """Wait, but not all together."""
        share = random.uniform(0.5, 1.0)  # noqa: S311
        await deferLater(self._host.clock, share * seconds)


def _condition(answer: Answer) -> str:
    return answer.condition if isinstance(answer, Refusal) else ""
