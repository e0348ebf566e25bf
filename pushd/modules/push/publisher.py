"""Publishing what is new, one publish of an enablement at a time, until its service has it."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from pushd.modules.push import probation
from pushd.modules.push.enablements import Enablement, Enablements, Flight, Summary
from pushd.modules.push.options import Told
from pushd.modules.push.pausing import Pauses
from pushd.modules.push.publish import Verdict, publication, verdict
from pushd.routing.events import NotificationPublished, PublishAnswered, PushProbed
from pushd.routing.host import Host
from pushd.routing.requests import Answer, Refusal, Silence
from pushd.storage.errors import StorageError

log = Logger()

FIRST_PAUSE = 10.0  # seconds at most before a publish is tried again; the next ones are longer
LONGEST_PAUSE = 900.0

PORTION = 200  # publishes that leave in one turn

# Why news does not go out at once.
COALESCED = "coalesced"  # but soon, as one with what else is new
PAUSED = "paused"
ON_PROBATION = "on probation"


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
        pauses: Pauses,
        options: PushOptions,
        remove: Callable[[Enablement, str], None],
    ) -> None:
        self._host = host
        self._clock = host.clock
        self._enablements = enablements
        self._pauses = pauses
        self._options = options
        self._remove = remove
        self._is_open = False
        self._leaving: list[Enablement] = []  # with the next commit
        self._waits = False  # for that

    def open(self) -> None:
        """Everything stands: publish from now on, beginning with what the last run left."""
        self._is_open = True
        for one in self._enablements.everyone():
            self.tell(one)

    def tell(self, one: Enablement) -> None:
        """Publish what is new, now or as soon as that may be; urgent news waits for nothing.

        One publish is under way at a time. A call that comes meanwhile does not wait for its
        answer, which then says nothing any more but that the enablement is at its end.
        """
        if not self._is_open or not one.has_news or not self._may_be_told(one):
            return
        now = self._clock.seconds()
        is_urgent = one.is_urgent(now)
        flight = one.flight
        if flight is not None and (flight.queued is None or not is_urgent):
            return
        due = self._due_at(one, is_urgent, now)
        if due <= now:
            if flight is not None:  # of what it tells, the next one tells again
                one.since = flight.since or one.since
            self.forget(one)
            self._launch(one)
        elif one.timer is None or due < one.timer.getTime():
            self.forget(one)
            one.timer = self._clock.callLater(due - now, self._ring, one)

    def _may_be_told(self, one: Enablement) -> bool:
        """Whether push is neither paused for the account nor is that disabled."""
        return one.account not in self._pauses and self._host.accounts.is_open(one.account)

    def forget(self, one: Enablement) -> None:
        """Wait no more for the time of its next publish."""
        timer, one.timer = one.timer, None
        if timer is not None:
            timer.cancel()

    def obstacle(self, one: Enablement, *, urgent: bool) -> str:
        """Why something new will not be published at once; "" if it will."""
        now = self._clock.seconds()
        if one.account in self._pauses:
            return PAUSED
        due = self._due_at(one, urgent, now)
        if one.probed_at and now < due:
            return ON_PROBATION
        is_waited_for = one.flight is not None or one.has_news
        if not urgent and (is_waited_for or now < due):
            return COALESCED
        return ""

    async def test(self, one: Enablement) -> Answer:
        """Publish what stands, new or not, once; what it means for the enablement is the same."""
        flight = Flight(one.queued, one.visits)
        answer = await self._ask(one, flight, one.queued, urgent=True)
        outcome = verdict(answer)
        if self._enablements.is_current(one):
            if outcome is Verdict.REMOVE:
                self._remove(one, _fatal(answer))
            elif outcome is Verdict.ACCEPTED:
                self._accepted(one, flight)
                self._enablements.changed(one)
        return answer

    def _due_at(self, one: Enablement, is_urgent: bool, now: float) -> float:
        """When the next publish may leave; seconds since the epoch."""
        one.correct(now)
        if one.probed_at:
            return probation.next_attempt(one)
        if is_urgent:
            return 0.0
        return max(one.rests_until, one.published_at + self._options.coalesce)

    def _ring(self, one: Enablement) -> None:
        one.timer = None
        if self._enablements.is_current(one):
            self.tell(one)

    def _launch(self, one: Enablement) -> None:
        """Publish as soon as that of which it tells is on disk, with whatever leaves then.

        From here on these are plain calls: a push costs little more than its stanzas.
        """
        one.flight = Flight()
        self._leaving.append(one)
        if not self._waits:
            self._wait()

    def _wait(self) -> None:
        self._waits = True
        committed = self._host.database.committed(hurry=True)
        committed.addCallbacks(self._depart, self._stay)

    def _depart(self, ignored: None) -> None:
        """A commit is done: what it holds may be told."""
        leaving, self._leaving = self._leaving, []
        self._publish_all(leaving)
        self._waits = False
        if self._leaving:
            self._wait()

    def _publish_all(self, leaving: list[Enablement]) -> None:
        """Not all in one turn, where a start finds a lot of them."""
        for one in leaving[:PORTION]:
            if one.is_dirty:  # counted since that commit began: with the next one
                self._leaving.append(one)
                if not self._waits:
                    self._wait()
            else:
                self._publish(one)
        if len(leaving) > PORTION:
            self._clock.callLater(0, self._publish_all, leaving[PORTION:])

    def _stay(self, failure: Failure) -> None:
        """Nothing can be stored now."""
        if failure.check(StorageError) is None:
            log.failure("no publish can leave", failure)
        leaving, self._leaving = self._leaving, []
        self._waits = False
        for one in leaving:
            if self._enablements.is_current(one):
                self._rest(one)
            self._landed(one, one.flight)

    def _publish(self, one: Enablement) -> None:
        flight, queued = one.flight, one.stored
        if (
            flight is None
            or not self._enablements.is_current(one)
            or queued.counts == one.pushed.counts  # the device was back meanwhile
            or not self._may_be_told(one)
        ):
            self._landed(one, flight)
            return
        now = self._clock.seconds()
        urgent = queued.calls > one.pushed.calls and one.rings(now)
        flight.queued, flight.visits = queued, one.visits
        flight.since, one.since = one.since, 0.0
        one.published_at, one.called = now, queued.calls
        try:
            asked = self._ask(one, flight, queued, urgent=urgent, calling=urgent)
        except Exception:  # noqa: BLE001 - something is wrong with this one; others leave
            self._broke(Failure(), one, flight)
        else:
            asked.addCallback(self._answered, one, flight)
            asked.addErrback(self._broke, one, flight)

    def _answered(self, answer: Answer, one: Enablement, flight: Flight) -> None:
        if self._enablements.is_current(one):
            outcome = verdict(answer)
            if outcome is Verdict.REMOVE:
                self._remove(one, _fatal(answer))
            elif one.flight is flight:  # else a call has overtaken it
                self._heard(one, flight, outcome)
                self._enablements.changed(one)
        self._landed(one, flight)

    def _landed(self, one: Enablement, flight: Flight | None) -> None:
        """A publish is over: go on with what came meanwhile."""
        if one.flight is flight:
            one.flight = None
            if self._enablements.is_current(one):
                self.tell(one)

    def _broke(self, failure: Failure, one: Enablement, flight: Flight) -> None:
        """Something is wrong with us. It is tried with the next news."""
        log.failure("a publish broke", failure)
        if one.flight is flight:
            one.flight = None

    def _heard(self, one: Enablement, flight: Flight, outcome: Verdict) -> None:
        """The service answered, or did not, and lives on with the enablement."""
        now = self._clock.seconds()
        if outcome is Verdict.ACCEPTED:
            self._accepted(one, flight)
            return
        one.since = flight.since or one.since
        goes_on = outcome is Verdict.LATER and not one.probed_at and self._is_fresh(one, now)
        if goes_on:
            self._rest(one)
            if not self._lasts(one, now):
                return
        else:
            one.pause = one.failing_at = 0.0
        if probation.failed(one, now):
            names = (one.account, one.service, one.node)
            self._host.events.emit(PushProbed(*names, one.failures))
        if not one.probed_at:
            if not goes_on:
                one.settle(flight)  # the next news tells of it, too
        elif outcome is not Verdict.OURS and probation.is_over(one, now):
            self._remove(one, "nothing came through for a week")

    def _is_fresh(self, one: Enablement, now: float) -> bool:
        """Whether somebody will still want to know when it is tried again."""
        return now + (one.pause or FIRST_PAUSE) < one.news_at + self._options.stale

    def _lasts(self, one: Enablement, now: float) -> bool:
        """Whether a day has passed in which nothing came through: that is counted, too.

        Else who is written to each day would have a service tried for ever that is no more.
        """
        one.failing_at = one.failing_at or now
        if now < one.failing_at + self._options.stale:
            return False
        one.failing_at = now
        return True

    def _accepted(self, one: Enablement, flight: Flight) -> None:
        probation.passed(one)
        one.used_at = self._clock.seconds()
        one.pause = one.rests_until = one.failing_at = 0.0
        one.settle(flight)

    def _rest(self, one: Enablement) -> None:
        """Wait before it is tried again, each time for longer, but not all together."""
        pause = one.pause or FIRST_PAUSE
        share = random.uniform(0.5, 1.0)  # noqa: S311
        one.rests_until = self._clock.seconds() + share * pause
        one.pause = min(2 * pause, LONGEST_PAUSE)

    def _ask(
        self,
        one: Enablement,
        flight: Flight,
        queued: Summary,
        *,
        urgent: bool,
        calling: bool = False,
    ) -> "Deferred[Answer]":
        """Publish once, and tell the listeners."""
        host = self._host
        names = (one.account, one.service, one.node, host.requests.new_id())
        told = self._enablements.told(one.account, self._options.told)
        sender = one.account.rpartition("@")[2]
        question = publication(
            one, queued, told, urgent=urgent, sender=sender, id=names[-1], calling=calling
        )
        host.events.emit(NotificationPublished(*names, queued.messages, queued.subscriptions))
        asked = host.requests.send(question, self._options.publish_timeout)
        return asked.addCallback(self._tell_answer, names, flight.since)

    def _tell_answer(
        self, answer: Answer, names: tuple[str, str, str, str], since: float
    ) -> Answer:
        outcome = _OUTCOMES.get(type(answer), "accepted")
        took = max(0.0, self._clock.seconds() - since) if since else 0.0
        self._host.events.emit(PublishAnswered(*names, outcome, _condition(answer), took))
        return answer


_OUTCOMES = {Refusal: "refused", Silence: "silence"}


def _condition(answer: Answer) -> str:
    return answer.condition if isinstance(answer, Refusal) else ""


def _fatal(answer: Answer) -> str:
    return f"refused by its service: {_condition(answer)}"
