"""The outbox: accepted pushes, on disk before the publish is answered, sent until they are stale.

One row per node: a newer publish is merged into one that still waits. What goes faster than a
node's limit waits too, and goes as one. What the provider says of a device is told to the
account, never to the publisher.
"""

from collections.abc import Callable
from dataclasses import replace

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from pushd.appserver.dialects.told import told
from pushd.appserver.limits import Limiter
from pushd.appserver.lines import Delays, Key, Lines
from pushd.appserver.passing import NAME as PASSING
from pushd.appserver.passing import Passing
from pushd.appserver.publishes import Published
from pushd.appserver.pushes import ROWS, Push, merged
from pushd.appserver.registrations import Registration, Registrations
from pushd.providers.attempts import Expired, Result, Withdrawn
from pushd.providers.contract import Accepted, Device, Notification, Refused, Unregistered
from pushd.providers.dispatch import Dispatcher
from pushd.storage.sqlite import Database

log = Logger()

SWEEP = 600.0  # seconds between two looks for what is stale


class Outbox:
    """What was accepted and is not delivered yet.

    `gone` is called with a registration whose device is no more, and why; it forgets it.
    `settled` is told what became of a push: of which registration, the outcome in one word, a
    reason, and the seconds since it was accepted. `forgotten` is told of a field of a
    registration that is no more, as it was a second token that is dead, and why.
    """

    def __init__(
        self,
        clock: IReactorTime,
        database: Database,
        registrations: Registrations,
        passing: Passing,
        dispatcher: Dispatcher,
        limiter: Limiter,
        gone: Callable[[Registration, str], None],
        settled: Callable[[Registration, str, str, float], None],
        forgotten: Callable[[Registration, str, str], None],
    ) -> None:
        self._clock = clock
        self._database = database
        self._rows = ROWS.bind(database)
        self._registrations = registrations
        self._passing = passing
        self._dispatcher = dispatcher
        self._limiter = limiter
        self._gone = gone
        self._settled = settled
        self._forgotten = forgotten
        self._waiting: dict[str, Push] = {}
        # Of those: who may not go yet, who waits for a turn, whom the dispatcher has.
        self._delays = Delays(clock, self._queue)
        self._lines = Lines(self._begin)
        self._under_way: dict[str, _Sending] = {}
        self._made: tuple[Registration, Device] | None = None
        self._sweeping: IDelayedCall | None = None
        self._is_open = False

    def __len__(self) -> int:
        """How many pushes wait."""
        return len(self._waiting)

    def __contains__(self, node: object) -> bool:
        """Whether something waits for this node."""
        return node in self._waiting

    @property
    def oldest_at(self) -> float | None:
        """When the push was accepted that waits longest; None where none does.

        What waits for a host that its device chose is not meant: that may be away for good.
        """
        waiting = (push.accepted_at for push in self._waiting.values() if self._is_ours(push.node))
        return min(waiting, default=None)

    def _is_ours(self, node: str) -> bool:
        registration = self._whose(node)
        return registration is None or not self._dispatcher.leads_anywhere(registration.backend)

    def waiting(self) -> list[Push]:
        """What no provider has taken yet, the oldest first."""
        return sorted(self._waiting.values(), key=lambda push: push.accepted_at)

    async def load(self) -> None:
        """Take up what the last run left; sent by `start`."""
        for push in await self._rows.select():
            self._waiting[push.node] = push

    def start(self) -> None:
        """Send what waits, what is urgent first and then the oldest."""
        self._is_open = True
        self._sweep()

    def stop(self) -> None:
        """Send nothing more; what waits stays on disk."""
        self._is_open = False
        self._delays.close()
        if self._sweeping is not None and self._sweeping.active():
            self._sweeping.cancel()
        for sending in list(self._under_way.values()):
            sending.answer.cancel()

    async def accept(self, registration: Registration, published: Published) -> bool:
        """Keep a push; returns once it is on disk, and tells whether it may go at once.

        Raises StorageError when it cannot be kept.
        """
        node = registration.node
        push = merged(node, self._waiting.get(node), published, self._clock.seconds())
        self._waiting[node] = push
        if registration.dialect == PASSING:
            self._passing.keep(registration)
        self._rows.put(push)
        try:
            await self._database.committed(hurry=True)
        finally:
            self._queue(node)
        return node not in self._delays

    def reconsider(self) -> None:
        """The limits are others: who waits for the old ones may go earlier, or later."""
        for node in self._delays:
            self._queue(node)

    def forget(self, registration: Registration, reason: str) -> None:
        """The registration is gone: what waits for it is pointless."""
        push = self._waiting.get(registration.node)
        if push is not None:
            self._done(push)
            waited = self._clock.seconds() - push.accepted_at
            self._settled(registration, "unregistered", reason, waited)

    def _whose(self, node: str) -> Registration | None:
        """The device that is meant by a node, whether it registered or not."""
        return self._registrations.get(node) or self._passing.get(node)

    # The way out.

    def _queue(self, node: str) -> None:
        """Let what waits for a node go when its time and its turn have come."""
        push = self._waiting.get(node)
        if push is None or not self._is_open:
            return
        now = self._clock.seconds()
        urgent = push.is_urgent(now)
        sending = self._under_way.get(node)
        if sending is not None and urgent:
            if sending.is_overtaken:
                sending.answer.cancel()
            else:
                self._dispatcher.hurry(sending.registration.backend, sending.latest)
        if node in self._under_way:
            return  # it is looked at again when that ends
        registration = self._whose(node)
        if registration is None:
            self._done(push)
            return
        if registration.backend not in self._dispatcher.backends:
            return  # kept, lest its app be served again while it is worth sending
        ready_at = self._limiter.push_at(node, urgent, now)
        if ready_at > now and node not in self._lines:
            self._delays.put(node, ready_at)
            return
        self._delays.drop(node)
        self._lines.join((registration.backend, self._lane(registration)), node, urgent)

    def _lane(self, registration: Registration) -> str:
        try:
            return self._dispatcher.lane(registration.backend, self._device(registration))
        except Exception:  # noqa: BLE001 - one device that cannot be placed hinders no other
            log.failure("a provider failed to say where a device stands")
            return ""

    def _device(self, registration: Registration) -> Device:
        """What it is to its provider: asked for twice in a row, as it mostly goes at once."""
        if self._made is None or self._made[0] is not registration:
            self._made = (registration, device(registration))
        return self._made[1]

    def _begin(self, node: str, key: Key) -> None:
        """Its turn has come: hand it to the dispatcher."""
        push, registration = self._waiting[node], self._whose(node)
        now = self._clock.seconds()
        if registration is None or push.expires_at <= now:
            self._lines.end(key)
            self._expire(push, registration)
            return
        self._limiter.push(node, push.is_urgent(now), now)
        sending = _Sending(self, push, registration, key, push.is_urgent(now))
        self._under_way[node] = sending
        sending.answer = Deferred.fromCoroutine(
            self._dispatcher.push(
                registration.backend, sending.latest, sending.device, sending.lost
            )
        )
        sending.answer.addCallbacks(self._answered, self._broken, (sending,), {}, (sending,), {})

    def _answered(self, result: Result, sending: "_Sending") -> None:
        self._end(sending)
        self._settle(sending, result)
        self._queue(sending.push.node)  # what came meanwhile

    def _broken(self, failure: Failure, sending: "_Sending") -> None:
        """Cancelled; or a mistake of ours, after which the next sweep tries again."""
        self._end(sending)
        if not failure.check(CancelledError):
            log.failure("sending a push broke", failure)

    def _end(self, sending: "_Sending") -> None:
        del self._under_way[sending.push.node]
        if self._is_open:
            self._lines.end(sending.key)

    def _settle(self, sending: "_Sending", result: Result) -> None:
        if isinstance(result, Withdrawn):
            return  # there is nothing left to send, or another backend to send it
        if self._whose(sending.push.node) is None:
            return  # which was told when it went
        now = self._clock.seconds()
        reason = ""
        match result:
            case Unregistered(reason=reason):
                self._bury(sending.registration, reason)
                return
            case Accepted():
                self._registrations.pushed(sending.push.node, now)
            case Refused(reason=reason) | Expired(reason=reason):
                log.info(
                    "a push for {account} came to nothing: {result}: {reason}",
                    account=sending.registration.account,
                    result=type(result).__name__.lower(),
                    reason=reason,
                )
        self._done(sending.push)
        outcome = type(result).__name__.lower()
        self._settled(sending.registration, outcome, reason, now - sending.push.accepted_at)

    def _bury(self, used: Registration, reason: str) -> None:
        """Forget the device; if it registered anew since the push left, that is sent again."""
        current = self._whose(used.node)
        if (
            current is not None
            and current.token == used.token
            and current.renewed_at == used.renewed_at
        ):
            said = f": {reason}" if reason else ""
            self._gone(current, f"the provider no longer knows the token{said}")

    def lost(self, sending: "_Sending", used: Device, field: str, reason: str) -> None:
        """A second token of the device is dead: it is forgotten, the device is not."""
        node = sending.push.node
        changed = self._registrations.forget_field(node, field, used.fields.get(field, ""))
        if changed is not None:
            self._forgotten(changed, field, reason)

    # The end of a push.

    def _sweep(self) -> None:
        """Drop what is stale, and send what does not wait for anything."""
        self._sweeping = self._clock.callLater(SWEEP, self._sweep)
        now = self._clock.seconds()
        busy, lines, delays = self._under_way, self._lines, self._delays
        left = [push for push in self._waiting.values() if push.node not in busy]
        for push in [push for push in left if push.expires_at <= now]:
            self._expire(push, self._whose(push.node))
        idle = [
            push
            for push in left
            if push.expires_at > now and push.node not in lines and push.node not in delays
        ]
        for push in sorted(idle, key=lambda push: (not push.is_urgent(now), push.accepted_at)):
            self._queue(push.node)

    def _expire(self, push: Push, registration: Registration | None) -> None:
        """Nobody wants to know any more, or there is nobody."""
        self._done(push)
        if registration is not None:
            waited = self._clock.seconds() - push.accepted_at
            self._settled(registration, "expired", "its turn never came", waited)

    def _done(self, push: Push) -> None:
        current = self._waiting.get(push.node)
        if current is not None and current.version == push.version:
            del self._waiting[push.node]
            self._delays.drop(push.node)
            self._lines.leave(push.node)
            self._rows.delete(push.node)
            self._passing.drop(push.node)

    # What the dispatcher looks at.

    def latest(self, sending: "_Sending") -> Notification | None:
        """What to say at this moment."""
        push = self._waiting.get(sending.push.node)
        if push is None:
            return None
        sending.looks += 1
        if sending.note is not None and push is sending.push and push.urgent_until is None:
            return sending.note  # which tells the same at any time
        sending.push = push
        note = push.notification(self._clock.seconds())
        if sending.registration.dialect == "tigase":
            note = replace(note, account=sending.registration.account)
        sending.note = note
        return note

    def device(self, sending: "_Sending") -> Device | None:
        """To whom; None when it is another backend's business by now."""
        current = self._whose(sending.push.node)
        if current is None or current.backend != sending.registration.backend:
            return None
        if sending.seen is None or current is not sending.registration:
            sending.registration = current
            sending.seen = self._device(current)
        return sending.seen


class _Sending:
    """One call of the dispatcher: what it was told last, and of which registration."""

    __slots__ = (
        "_outbox",
        "answer",
        "key",
        "looks",
        "note",
        "push",
        "registration",
        "seen",
        "urgent",
    )

    def __init__(
        self, outbox: Outbox, push: Push, registration: Registration, key: Key, urgent: bool
    ) -> None:
        self._outbox = outbox
        self.push = push
        self.registration = registration
        self.key = key
        self.urgent = urgent  # as it was begun
        self.looks = 0
        self.note: Notification | None = None  # what it was told last
        self.seen: Device | None = None  # what the registration is to the provider
        self.answer: Deferred[Result]

    @property
    def is_overtaken(self) -> bool:
        """Whether what is urgent had better begin anew, instead of waiting among the others.

        The dispatcher looks before it waits for a turn, and again before each request: who was
        looked at once has sent nothing.
        """
        return not self.urgent and self.looks < 2

    def latest(self) -> Notification | None:
        return self._outbox.latest(self)

    def device(self) -> Device | None:
        return self._outbox.device(self)

    def lost(self, used: Device, field: str, reason: str) -> None:
        self._outbox.lost(self, used, field, reason)


def device(registration: Registration) -> Device:
    """A registration, as its provider sees it."""
    return Device(
        token=registration.token,
        app=registration.app,
        fields=registration.provider_fields(),
        renewed_at=registration.renewed_at,
        told=told(registration),
    )
