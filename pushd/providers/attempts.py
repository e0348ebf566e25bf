"""One push, from its turn to its end: attempts, pauses, and what each answer means for it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from uuid import uuid4

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from pushd.providers.contract import (
    Accepted,
    BadField,
    Busy,
    Device,
    Failed,
    Fault,
    Notification,
    Outcome,
    Provider,
    Refused,
    Request,
    Response,
    Scope,
    Secret,
    Sending,
    Token,
    Unregistered,
    by_status,
)
from pushd.providers.reports import Attempt
from pushd.providers.services import Backend, Service

log = Logger()

LIFETIME = 86_400.0  # seconds that a notification without an end of its own is tried
LONGEST_PAUSE = 900.0  # seconds; how far the pauses of our own choice grow


@dataclass(frozen=True, slots=True)
class Expired:
    """Nobody wants to know any more. `reason` is the last trouble; "" if there was none."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """There was nothing left to tell, or nobody to tell it."""


Result = Accepted | Unregistered | Refused | Expired | Withdrawn


ACTED_ON = (Fault.TLS, Fault.PROXY, Fault.BEYOND)  # faults that wait for the operator


class _Next(Enum):
    """What follows an answer that is not final."""

    LATER = "later"  # give the turn back, wait until `next_at`
    AGAIN = "again"  # say it once more, in the same turn


class Push:
    """One call of `push`."""

    def __init__(
        self,
        backend: Backend,
        latest: Callable[[], Notification | None],
        device: Callable[[], Device | None],
        lost: Callable[[Device, str, str], None],
    ) -> None:
        self._backend = backend
        self._clock = backend.clock
        self._latest = latest
        self._device = device
        self._lost = lost
        self._started_at = backend.clock.seconds()
        self._next_at = 0.0  # not to be tried before
        self._soonest = 0.0  # the same, if it is urgent
        self._alarm: IDelayedCall | None = None  # at the end of a pause
        self._number = 0  # of requests
        self._failures = 0  # of those that are followed by a pause
        self._reason = ""  # of the last one
        self._content: Notification | None = None  # what `_id` names
        self._id = ""
        self._content_at = 0.0
        self._shrink = False
        self._remedies: frozenset[str] = frozenset()
        self._without: frozenset[str] = frozenset()

    @property
    def _provider(self) -> Provider:
        return self._backend.provider

    async def run(self) -> Result:
        while True:
            service = await self._turn()
            if not isinstance(service, Service):
                return service
            try:
                result = await self._attempt(service)
            finally:
                service.lane.leave()
            if not isinstance(result, _Next):
                return result

    def _look(self) -> tuple[Notification, Device] | Expired | Withdrawn:
        """What is to be said at this moment, and to whom."""
        note, device = self._latest(), self._device()
        if note is None or device is None:
            return Withdrawn()
        if self._clock.seconds() >= self._deadline(note):
            return Expired(self._reason)
        return note, device

    def _deadline(self, note: Notification) -> float:
        return note.expires_at if note.expires_at is not None else self._started_at + LIFETIME

    async def _turn(self) -> Service | Expired | Withdrawn:
        """Wait: for the end of the pause, then for a turn. The deadline may move meanwhile."""
        while True:
            seen = self._look()
            if not isinstance(seen, tuple):
                return seen
            note, device = seen
            deadline = self._deadline(note)
            now = self._clock.seconds()
            if self._next_at > now:
                await self._pause(min(self._next_at, deadline))
                continue
            service = self._backend.service(device)
            lane = service.lane
            if lane.enter() or await lane.wait(note.urgent, self._failures, deadline):
                return service

    async def _pause(self, until: float) -> None:
        """Wait, but not when the operator says that all is well."""
        over: Deferred[None] = Deferred()
        alarm = self._clock.callLater(until - self._clock.seconds(), over.callback, None)
        self._alarm = alarm
        self._backend.pausing[self._latest] = self
        try:
            await over
        finally:
            del self._backend.pausing[self._latest]
            if alarm.active():
                alarm.cancel()

    def wake(self) -> None:
        self._end_pause(0.0)

    def hurry(self) -> None:
        self._end_pause(self._soonest)

    def _end_pause(self, at: float) -> None:
        if at < self._next_at and self._alarm is not None:
            self._next_at = at
            self._alarm.reset(max(0.0, at - self._clock.seconds()))

    async def _attempt(self, service: Service) -> Result | _Next:
        """Use a turn: mostly one request, and more where the answer asks for one at once."""
        has_renewed = is_fresh = False
        while True:
            token = await service.token()
            if isinstance(token, str):
                self._reason = token
                return _Next.LATER
            seen = self._look()
            if not isinstance(seen, tuple):
                return seen
            note, device = seen
            if self._backend.service(device) is not service:
                return _Next.LATER
            provider = self._provider
            request = self._build(note, device, token)
            if isinstance(request, Refused):
                return request
            request.fresh = is_fresh
            sent_at = self._clock.seconds()
            outcome = await self._exchange(request, note)
            if provider is not self._provider and _is_of_the_credential(outcome):
                continue  # which is another one by now
            if isinstance(outcome, Refused) and outcome.renew_credential:
                if token is None or has_renewed or not service.discard(token):
                    if self._is_the_devices_own(service, outcome):
                        service.answered()
                        return outcome
                    service.failed(outcome.reason, alarm=True)
                    return self._later(outcome.reason)
                has_renewed = True
                continue
            if isinstance(outcome, Busy | Refused) and outcome.fresh and not is_fresh:
                is_fresh = True
                continue
            result = self._judge(service, outcome, device, sent_at, request.field)
            if result is not _Next.AGAIN:
                return result

    # One exchange.

    def _build(self, note: Notification, device: Device, token: Token | None) -> Request | Refused:
        if note != self._content:
            self._content, self._id = note, str(uuid4())
            self._content_at = self._clock.seconds()
        credential = token.value if token is not None else None
        sending = Sending(
            self._id, credential, self._shrink, self._remedies, self._without, self._content_at
        )
        try:
            return self._provider.request(note, device, self._clock.seconds(), sending)
        except BadField as error:  # it was registered under another configuration
            return Refused(f"the registration is of no use here: {error}")
        except Exception:  # noqa: BLE001  one notification that cannot be built ends alone
            log.failure("a provider failed to build a request")
            return Refused("a notification that cannot be built: see the log")

    async def _exchange(self, request: Request, note: Notification) -> Outcome | Failed:
        started_at = self._clock.seconds()
        answer = await self._carry(request)
        outcome = answer if isinstance(answer, Failed) else self._read(answer)
        self._number += 1
        backend = self._backend
        backend.report(
            Attempt(
                backend.name,
                self._provider.type,
                Secret(note.node).digest,
                self._number,
                answer.status if isinstance(answer, Response) else None,
                outcome,
                self._clock.seconds() - started_at,
            )
        )
        return outcome

    async def _carry(self, request: Request) -> Response | Failed:
        try:
            return await self._backend.transport.send(request, self._provider.timeout)
        except CancelledError:
            raise
        except Exception:  # noqa: BLE001  as if the network had failed: it will be tried again
            log.failure("a transport failed")
            return Failed(Fault.BROKEN, "a transport that fails: see the log")

    def _read(self, response: Response) -> Outcome:
        now = self._clock.seconds()
        try:
            return self._provider.outcome(response, now)
        except Exception:  # noqa: BLE001  the answer counts, though not all of it was understood
            log.failure("a provider failed to read an answer")
            return by_status(response, now)

    # What follows from it.

    def _judge(
        self,
        service: Service,
        outcome: Outcome | Failed,
        device: Device,
        sent_at: float,
        field: str,
    ) -> Result | _Next:
        match outcome:
            case Accepted():
                service.accepted()
                return outcome
            case Unregistered() if field:
                return self._bury_field(service, outcome, device, field)
            case Unregistered():
                return self._bury(service, outcome, device)
            case Failed():
                lost_since = sent_at if outcome.fault is not Fault.TIMEOUT else None
                service.failed(outcome.reason, outcome.fault in ACTED_ON, lost_since=lost_since)
                return self._later(outcome.reason)
            case Busy(scope=Scope.BACKEND):
                if outcome.after:
                    service.hold(outcome.after)
                service.failed(outcome.reason, rest=self._provider.rest)
                return self._later(outcome.reason, outcome.after)
            case Busy():
                service.answered()
                return self._later(outcome.reason, outcome.after)
            case Refused():
                return self._refused(service, outcome, field)

    def _refused(self, service: Service, outcome: Refused, field: str) -> Result | _Next:
        if outcome.shrink and not self._shrink:
            self._shrink = True
        elif outcome.remedy and outcome.remedy not in self._remedies:
            self._remedies |= {outcome.remedy}
        elif field:  # the first token may be taken all the same
            log.warn(
                "{backend}: {field}: {reason}; sent without it",
                backend=self._backend.name,
                field=field,
                reason=outcome.reason,
            )
            self._without |= {field}
        elif outcome.alarm and not self._is_the_devices_own(service, outcome):
            # Not this notification's fault: it is kept until the operator has acted, or
            # nobody wants it any more.
            service.failed(outcome.reason, alarm=True)
            return self._later(outcome.reason)
        else:
            service.answered()
            return outcome
        service.answered()
        return _Next.AGAIN

    def _is_the_devices_own(self, service: Service, outcome: Refused) -> bool:
        """Is an alarm about one device of another app, say, where others are served?"""
        return outcome.guarded and service.lane.guard.is_proven

    def _bury(self, service: Service, outcome: Unregistered, sent_to: Device) -> Result | _Next:
        """Is the device dead? Not if it has registered since, nor if too many seem to be."""
        device = self._device()
        now = self._clock.seconds()
        reason = outcome.reason or "unregistered"
        if device is None or _has_renewed(device, sent_to):
            service.answered()
            return _Next.AGAIN  # where there is nobody any more, the look before it says so
        if outcome.since is not None and device.renewed_at >= outcome.since:
            service.answered()
            return Refused(f"{reason}, but the device has registered since")
        guard = service.lane.guard
        if guard.may_delete(hash(device.token), now):
            service.answered()
            return outcome
        doubt = "a wrong project, key or environment?" if outcome.guarded else "why so many?"
        reason = f"{reason}, said of too many devices; they are kept ({doubt})"
        if guard.is_proven:  # it knows us, so that others can be told
            service.answered()
            service.alarm(reason)
            return Refused(reason, alarm=True)
        service.failed(reason, alarm=True)
        return self._later(reason)

    def _bury_field(
        self, service: Service, outcome: Unregistered, sent_to: Device, field: str
    ) -> _Next:
        """The device's second token is dead, by the same rules; the push goes on without it."""
        service.answered()
        device = self._device()
        value = sent_to.fields.get(field, "")
        if device is None or device.fields.get(field) != value or _has_renewed(device, sent_to):
            return _Next.AGAIN
        self._without |= {field}
        reason = outcome.reason or "unregistered"
        if outcome.since is None or device.renewed_at < outcome.since:
            if service.lane.guard.may_delete(hash(value), self._clock.seconds()):
                self._lost(device, field, reason)
            else:
                service.alarm(f"{field}: {reason}, said of too many devices; they are kept")
        return _Next.AGAIN

    def _later(self, reason: str, after: float | None = None) -> _Next:
        """Pause: as long as the service says, else longer each time, with full jitter."""
        floor = self._provider.floor
        spread = min(LONGEST_PAUSE, floor * 2 ** min(self._failures, 16))
        if after:  # what is newer by then has a deadline of its own
            after = min(after, LIFETIME)
        pause = after or floor + self._backend.random.uniform(0, spread)
        now = self._clock.seconds()
        self._reason = reason
        self._failures += 1
        self._next_at = now + pause
        self._soonest = now + (after or floor)
        return _Next.LATER


def _has_renewed(device: Device, sent_to: Device) -> bool:
    """Has it registered since the request left? By no clock, which may have been set meanwhile."""
    return device.renewed_at != sent_to.renewed_at or device.token != sent_to.token


def _is_of_the_credential(outcome: Outcome | Failed) -> bool:
    """Is it perhaps ours that is at fault: key, certificate, project, secret, address?"""
    match outcome:
        case Refused():
            return outcome.alarm or outcome.renew_credential
        case Unregistered():
            return outcome.guarded
    return isinstance(outcome, Failed) and outcome.fault in ACTED_ON
