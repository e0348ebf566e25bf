"""A service that a backend leads to: its lane, its token, its good and bad days."""

from collections import OrderedDict
from collections.abc import Callable
from random import Random
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pushd.providers.contract import (
    Accepted,
    Busy,
    Device,
    Limits,
    Provider,
    Refused,
    Response,
    Token,
    Transport,
)
from pushd.providers.credentials import Got, Keeper
from pushd.providers.health import DeletionGuard
from pushd.providers.lanes import Lane
from pushd.providers.reports import Alarm, Attempt, Health, Recovered, Report
from pushd.providers.sources import Sources

log = Logger()

LONGEST_HOLD = 3600.0  # seconds that one answer may silence a service
REMEMBERED = 1000  # services of one backend that are kept while nothing goes on in them
_ALARMS = 50  # different reasons that are remembered as told
MINUTE = 60.0  # seconds between two lines about hosts that devices chose


class Pausing(Protocol):
    """A push that waits before it is tried again."""

    def wake(self) -> None:
        """The operator says that all is well: wait no more."""

    def hurry(self) -> None:
        """It has become urgent: wait no longer than the service asked, or the floor."""


class Backend:
    """One configured provider, and the services it leads to: one, or one for each lane."""

    def __init__(
        self,
        name: str,
        provider: Provider,
        limits: Limits,
        clock: IReactorTime,
        transport: Transport,
        random: Random,
        report: Report,
    ) -> None:
        self.name = name
        self.provider = provider
        self.limits = limits
        self.clock = clock
        self.transport = transport
        self.random = random
        self.report = report
        self.pending = 0  # pushes without a final answer
        self.pausing: dict[Callable[[], object], Pausing] = {}  # by what says the latest
        self.is_paused = False
        self.sources = Sources(getattr(provider, "options", None))
        self._services: OrderedDict[str, Service] = OrderedDict()  # least recently used first
        self._complained_at = -MINUTE

    def service(self, device: Device) -> "Service":
        """The service that this device's pushes go through."""
        lane = self.provider.lane(device)
        service = self._services.get(lane)
        if service is None:
            self._make_room()
            service = self._services[lane] = Service(self, lane)
        else:
            self._services.move_to_end(lane)
        return service

    def renew(self, provider: Provider) -> None:
        """Go on with another provider of the same type."""
        self.provider = provider
        self.sources = Sources(getattr(provider, "options", None))
        for service in list(self._services.values()):
            service.renew()
        self._wake()

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        """Go on, whatever was the matter."""
        self.is_paused = False
        for service in list(self._services.values()):
            service.reopen()
        self._wake()

    def health(self) -> Health:
        services = self._services.values()
        # Where one of many hosts is left alone, the others are spoken to.
        furthest = min if self.provider.leads_anywhere else max
        opens_at = furthest((service.lane.opens_at for service in services), default=0.0)
        return Health(
            self.pending,
            sum(service.lane.active for service in services),
            self.is_paused,
            opens_at if opens_at > self.clock.seconds() else None,
            tuple(reason for service in services for reason in service.told()),
            self.provider.expires_at,
        )

    def complain(self, lane: str, reason: str) -> None:
        """Have the log tell of an alarm."""
        now = self.clock.seconds()
        if self.provider.leads_anywhere and 0 <= now - self._complained_at < MINUTE:
            return
        self._complained_at = now
        log.error("{service}: {reason}", service=self._called(lane), reason=reason)

    def recovered(self, lane: str) -> None:
        """Say that the alarms of a service are over."""
        self.report(Recovered(self.name, self.provider.type, lane))
        if not self.provider.leads_anywhere:
            log.info("{service} takes pushes again", service=self._called(lane))

    def _called(self, lane: str) -> str:
        return f"{self.name} ({lane})" if lane else self.name

    def _wake(self) -> None:
        """Whatever made pushes pause, it may be over."""
        for push in list(self.pausing.values()):
            push.wake()

    def close(self) -> None:
        for service in self._services.values():
            service.close()

    def _make_room(self) -> None:
        if len(self._services) < REMEMBERED:
            return
        # Hosts that devices choose may all be in trouble: better to forget that than to grow.
        for may_go in (Service.is_idle, Service.is_unused):
            for lane, service in self._services.items():
                if may_go(service):
                    self._services.pop(lane).close()
                    return


class Service:
    """See the module's text. Made by `Backend.service`."""

    def __init__(self, backend: Backend, name: str) -> None:
        self.lane = Lane(backend.clock, backend.limits, lambda: backend.is_paused)
        self.alarms: dict[str, None] = {}  # reasons that were told and hold
        self._is_to_recover = False  # alarms were told of the provider before this one
        self.keeper = self._make_keeper(backend, name)
        self._backend = backend
        self._name = name
        self._clock = backend.clock

    def _make_keeper(self, backend: Backend, name: str) -> Keeper | None:
        credential = backend.provider.credential(name)
        if credential is None:
            return None

        def answered(got: Got, response: Response | None, seconds: float) -> None:
            if self.keeper is keeper:  # what an old credential comes to is nobody's trouble
                self._credential_answered(got, response, seconds)

        keeper = Keeper(
            credential,
            backend.transport,
            backend.clock,
            backend.random,
            backend.provider.timeout,
            backend.provider.floor,
            answered,
        )
        return keeper

    def is_idle(self) -> bool:
        """Is there nothing to remember of it?"""
        is_in_trouble = self.alarms or self.lane.opens_at > self._clock.seconds()
        return self.is_unused() and not is_in_trouble

    def is_unused(self) -> bool:
        """Is there nobody who has a turn, or waits for one?"""
        return not (self.lane.active or self.lane.waiting)

    def told(self) -> list[str]:
        """The alarms that hold, with the host where that is one of many."""
        prefix = f"{self._name}: " if self._backend.provider.leads_anywhere else ""
        return [prefix + reason for reason in self.alarms]

    async def token(self) -> Token | str | None:
        """The credential to send with; None where the provider has none; why there is none.

        In the last case the lane is held until the service may be asked again.
        """
        while self.keeper is not None:
            keeper = self.keeper
            got = await keeper.token()
            if keeper is not self.keeper:
                continue  # it was the credential of the provider before this one
            if isinstance(got, Token):
                return got
            self.hold(keeper.retry_at - self._clock.seconds())
            return got.reason
        return None

    def discard(self, token: Token) -> bool:
        """It calls this token stale. False when another one would be none the better."""
        return self.keeper is not None and self.keeper.discard(token)

    def accepted(self) -> None:
        """It took a notification."""
        self.lane.guard.accepted(self._clock.seconds())
        self.answered()
        if self.alarms or self._is_to_recover:
            self.alarms.clear()
            self._is_to_recover = False
            self._backend.recovered(self._name)

    def answered(self) -> None:
        """It did its part, whatever it said about device or notification."""
        self.lane.breaker.succeeded(self._backend.limits.concurrency)

    def failed(
        self,
        reason: str,
        alarm: bool = False,
        rest: float = 0.0,
        lost_since: float | None = None,
    ) -> None:
        """It did not do its part, or we did not do ours: no device is to blame.

        After several in a row it is left alone, for `rest` seconds at least. What had no
        connection, or lost it, probably not alone, was sent at `lost_since`.
        """
        has_opened = self.lane.breaker.failed(self._clock.seconds(), rest, lost_since)
        if alarm or (has_opened and not self._backend.provider.leads_anywhere):
            self.alarm(reason)

    def hold(self, seconds: float) -> None:
        """It asked for quiet."""
        self.lane.hold(self._clock.seconds() + min(seconds, LONGEST_HOLD))

    def alarm(self, reason: str) -> None:
        """Tell the operator, once per reason."""
        if reason in self.alarms:
            return
        if len(self.alarms) < _ALARMS:
            self.alarms[reason] = None
        backend = self._backend
        opens_at = self.lane.opens_at
        until = opens_at if opens_at > self._clock.seconds() else None
        backend.report(Alarm(backend.name, backend.provider.type, reason, until, self._name))
        backend.complain(self._name, reason)

    def reopen(self) -> None:
        """The operator says that all is well."""
        if self.keeper is not None:
            self.keeper.retry()
        self.lane.reopen()

    def renew(self) -> None:
        """Another provider has come: its credential, and a fresh start."""
        before, self.keeper = self.keeper, self._make_keeper(self._backend, self._name)
        if before is not None:
            before.retire()
        self._is_to_recover |= bool(self.alarms)
        self.alarms.clear()
        self.lane.guard = DeletionGuard()
        self.lane.reopen()

    def close(self) -> None:
        self.lane.close()
        if self.keeper is not None:
            self.keeper.close()

    def _credential_answered(self, got: Got, response: Response | None, seconds: float) -> None:
        backend = self._backend
        status = response.status if response is not None else None
        outcome = Accepted() if isinstance(got, Token) else got
        backend.report(
            Attempt(backend.name, backend.provider.type, "", 0, status, outcome, seconds)
        )
        match got:
            case Busy():
                self.failed(got.reason)
            case Refused():  # without a token nothing can be sent at all
                self.lane.breaker.trip(self._clock.seconds())
                self.alarm(got.reason)
