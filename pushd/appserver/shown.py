"""The app server as the hall shows it to operators and to users (`routing/pushing`)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from pushd.appserver.blocked import Block, Publishers
from pushd.appserver.pushes import ROWS, Push
from pushd.appserver.registrations import Registration, Registrations
from pushd.appserver.service import AppServer
from pushd.routing.events import PushSettled
from pushd.routing.pushing import BlockedPublisher, Registered, Totals, Waiting
from pushd.storage.sqlite import Database

NAMELESS = "never registered"


class Shown:
    """A running app server. Implements `routing/pushing.Registrations`."""

    def __init__(self, server: AppServer) -> None:
        self._server = server

    def registered(self, account: str = "") -> Iterator[Registered]:
        known = self._server.registrations
        found: Iterable[Registration] = known.of(account) if account else known.everyone()
        return (self._shown(one) for one in found)

    def waiting(self) -> Iterator[Waiting]:
        for push in self._server.outbox.waiting():
            registration = self._server.registrations.get(push.node)
            passer = self._server.passing.get(push.node)
            if registration is not None:
                yield shown_push(push, self._shown(registration))
            elif passer is not None:
                # Whose it is, nobody knows but its publisher.
                shown = replace(self._shown(passer), account=passer.publisher, name=NAMELESS)
                yield shown_push(push, replace(shown, room=""))

    def blocked(self) -> Iterator[BlockedPublisher]:
        return map(shown_block, self._server.publishers.blocked())

    def totals(self) -> Totals:
        outbox = self._server.outbox
        return Totals(
            registrations=len(self._server.registrations),
            waiting=len(outbox),
            oldest_at=outbox.oldest_at,
            blocked=len(self._server.publishers.blocked()),
        )

    def unregister(self, one: Registered, reason: str, by: str) -> None:
        registration = self._find(one)
        if registration is not None:
            self._server.unregister(registration, reason, by)

    def test(self, one: Registered) -> "Deferred[PushSettled]":
        """Raises KeyError for who is not registered any more."""
        registration = self._find(one)
        if registration is None:
            raise KeyError(one.node)
        return self._server.test(registration)

    def block(self, publisher: str, reason: str, until: float | None) -> None:
        self._server.publishers.block(publisher, reason, until)

    def unblock(self, publisher: str) -> bool:
        return self._server.publishers.unblock(publisher)

    def _find(self, one: Registered) -> Registration | None:
        found = self._server.registrations.called(one.node)
        return next((each for each in found if each.account == one.account), None)

    def _shown(self, one: Registration) -> Registered:
        return shown_registration(one, self._server.service_of(one))


class Stored:
    """What the storage of an app server holds that does not run.

    `services` are the hosts where servers publish, by the names of the backends. Implements
    `routing/pushing.KnownRegistrations`.
    """

    def __init__(
        self, clock: IReactorTime, database: Database, services: Mapping[str, str]
    ) -> None:
        self._registrations = Registrations(database)
        self._publishers = Publishers(clock, database)
        self._outbox = ROWS.bind(database)
        self._services = services
        self._waiting: list[Push] = []

    async def load(self) -> None:
        """Raises StorageError."""
        await self._registrations.load()
        await self._publishers.load()
        waiting = await self._outbox.select()
        self._waiting = sorted(waiting, key=lambda push: push.accepted_at)

    def registered(self, account: str = "") -> Iterator[Registered]:
        known = self._registrations
        return map(self._shown, known.of(account) if account else known.everyone())

    def waiting(self) -> Iterator[Waiting]:
        for push in self._waiting:
            registration = self._registrations.get(push.node)
            if registration is not None:
                yield shown_push(push, self._shown(registration))

    def blocked(self) -> Iterator[BlockedPublisher]:
        return map(shown_block, self._publishers.blocked())

    def totals(self) -> Totals:
        return Totals(
            registrations=len(self._registrations),
            waiting=len(self._waiting),
            oldest_at=self._waiting[0].accepted_at if self._waiting else None,
            blocked=len(self._publishers.blocked()),
        )

    def _shown(self, one: Registration) -> Registered:
        return shown_registration(one, self._services.get(one.backend, ""))


def shown_registration(one: Registration, service: str) -> Registered:
    """A registration, but for what is secret."""
    return Registered(
        account=one.account,
        service=service,
        node=one.called,
        device=one.device,
        name=one.device_name or "",
        type=one.type,
        app=one.app,
        backend=one.backend,
        registered_at=one.registered_at,
        renewed_at=one.renewed_at,
        last_push_at=one.last_push_at,
        dialect=one.dialect,
        room=one.room,
    )


def shown_push(push: Push, registered: Registered) -> Waiting:
    """A push that waits, but for what it says."""
    return Waiting(registered, push.accepted_at, push.expires_at, push.urgent_until)


def shown_block(block: Block) -> BlockedPublisher:
    """A block, as the hall shows it."""
    return BlockedPublisher(block.publisher, block.reason, block.blocked_at, block.until)
