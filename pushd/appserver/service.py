"""The app server put together: where devices register, where servers publish, what is sent on."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from pushd.appserver.apps import App
from pushd.appserver.blocked import Publishers
from pushd.appserver.desk import Desk, Place
from pushd.appserver.dialects.conversations import Conversations
from pushd.appserver.dialects.fpush import Fpush
from pushd.appserver.dialects.mod_push import ModPush
from pushd.appserver.dialects.mongooseim import MongooseIM
from pushd.appserver.dialects.tigase import Tigase
from pushd.appserver.dialects.v1 import V1
from pushd.appserver.limits import Limiter, Rules
from pushd.appserver.outbox import Outbox
from pushd.appserver.passing import NAME as PASSING
from pushd.appserver.passing import Passing
from pushd.appserver.pubsub import PubsubHost
from pushd.appserver.registrations import Registration, Registrations
from pushd.appserver.trials import Trials
from pushd.config.checks import SOON
from pushd.providers.contract import Provider
from pushd.providers.dispatch import Dispatcher
from pushd.routing.events import (
    AccountRemoved,
    DeviceTokenForgotten,
    DeviceUnregistered,
    PushSettled,
)
from pushd.routing.host import Host
from pushd.wire.element import Element, element
from pushd.wire.namespaces import NS_CLIENT, NS_PUBSUB
from pushd.wire.stanza import Stanza

log = Logger()

DAY = 86_400.0
SOON_AFTER = 3_600.0  # seconds after a start in which a clock that was wrong is set right
DIALECTS = (
    Conversations,
    ModPush,
    V1,
)  # asked in this order who understands what two of them offer
# Their clients may know one address, which they register at and then enable push with, whatever
# an answer calls the pubsub_host: Conversations since July 2025, yaxim.
OF_ONE_ADDRESS = (Conversations, V1)


class AppServer:
    """Both hosts of each app, the registrations, and the outbox to the providers."""

    def __init__(
        self, host: Host, apps: Sequence[App], dispatcher: Dispatcher, rules: Rules
    ) -> None:
        self._host = host
        self._apps = {app.name: app for app in apps}
        self.registrations = Registrations(host.database)
        self.passing = Passing(host.clock, host.database)
        self._limiter = Limiter(rules, host.domains)
        self.publishers = Publishers(host.clock, host.database)
        self.outbox = Outbox(
            host.clock,
            host.database,
            self.registrations,
            self.passing,
            dispatcher,
            self._limiter,
            partial(self.unregister, by="provider"),
            self._settled,
            self._token_forgotten,
        )
        self.desk = Desk(host, self.registrations, self._limiter, self.unregister)
        self._trials = Trials(host.events, self.outbox)
        self._tomorrow: IDelayedCall | None = None
        self._open_hosts(apps)
        registering = dict.fromkeys(app.register_host for app in apps)
        for domain in dict.fromkeys(app.pubsub_host for app in apps):
            place = Place(domain, tuple(app for app in apps if app.pubsub_host == domain))
            self._open_pubsub(place)
            for one in () if domain in registering else OF_ONE_ADDRESS:
                one(self.desk, place)
        for domain in registering:
            here = tuple(app for app in apps if app.register_host == domain)
            for dialect in DIALECTS:
                dialect(self.desk, Place(domain, here))
        host.events.listen(AccountRemoved, self._account_removed)

    def _open_pubsub(self, place: Place) -> None:
        PubsubHost(
            self._host,
            place.domain,
            self._apps,
            self.registrations,
            self.publishers,
            self._limiter,
            self.outbox.accept,
            Fpush(self.desk, place.apps, self.passing),
            MongooseIM(self.desk, place),
        )
        Tigase(self.desk, place)

    async def load(self) -> None:
        """Read what the last run left; before anything is routed."""
        await self.registrations.load()
        await self.publishers.load()
        await self.outbox.load()
        await self.passing.load(push.node for push in self.outbox.waiting())

    def start(self) -> None:
        """Send what still waits; what nobody uses is forgotten later, and each day."""
        self.outbox.start()
        self._wait(SOON_AFTER)

    def stop(self) -> None:
        """Send nothing more; before the dispatcher is closed."""
        self.outbox.stop()
        if self._tomorrow is not None and self._tomorrow.active():
            self._tomorrow.cancel()

    def rule(self, rules: Rules) -> None:
        """Have these rules hold from now on."""
        self._limiter.rule(rules)
        self.outbox.reconsider()

    def renew(self, name: str, provider: Provider, topic: str = "") -> None:
        """Have devices of this app checked by another provider of the same type."""
        app = self._apps[name]
        app.provider, app.topic = provider, topic

    def test(self, registration: Registration) -> "Deferred[PushSettled]":
        """Send a device a test push; fires with what became of it, which may take a day.

        See `Trials.send`.
        """
        return Deferred.fromCoroutine(
            self._trials.send(registration, self.service_of(registration))
        )

    def unregister(self, registration: Registration, reason: str, by: str = "") -> None:
        """Forget a device, and give notice to who published there (XEP-0357 §8).

        That is its account, or a room.

        Durable with the next commit. `by` is as in `DeviceUnregistered`. Who never registered
        is nobody's: his token is remembered as dead.
        """
        if registration.dialect == PASSING:
            self.passing.bury(registration)
            self.outbox.forget(registration, reason)
            return
        self._forget(registration, reason, by)
        service = self.service_of(registration)
        if service:
            message = notice(service, registration.publisher, registration.called)
            message.attributes["id"] = self._host.requests.new_id()
            self._host.router.route(Stanza.of(message))

    def _open_hosts(self, apps: Sequence[App]) -> None:
        """Serve the hosts that are not served as domains of accounts already."""
        for app in apps:
            for domain in (app.register_host, app.pubsub_host):
                if not self._host.router.is_served(domain):
                    self._host.router.add_service(domain)
                    self._host.disco.add_item("server", domain)

    def _wait(self, seconds: float) -> None:
        self._tomorrow = self._host.clock.callLater(seconds, self._begin_a_day)

    def _begin_a_day(self) -> None:
        self._wait(DAY)
        self._forget_unused()
        self._warn_of_ends()

    def _warn_of_ends(self) -> None:
        """Of credentials, as the start does, for those that come within reach later."""
        now = self._host.clock.seconds()
        for app in self._apps.values():
            ends_at = app.provider.expires_at
            if ends_at is not None and ends_at <= now + SOON.total_seconds():
                day = f"{datetime.fromtimestamp(ends_at, UTC):%Y-%m-%d}"
                verb = "expires" if ends_at > now else "expired"
                log.warn(
                    "{backend}: the certificate for the provider {verb} on {day}",
                    backend=app.name,
                    verb=verb,
                    day=day,
                )

    def _forget_unused(self) -> None:
        """What was neither renewed nor pushed for long is nobody's any more."""
        lifetime = self._limiter.rules.forget_after
        oldest = self._host.clock.seconds() - lifetime
        for registration in self.registrations.everyone() if lifetime else ():
            if registration.used_at <= oldest:
                self.unregister(registration, "it was not used for long")

    def _forget(self, registration: Registration, reason: str, by: str = "") -> None:
        self.registrations.remove(registration.node)
        self.outbox.forget(registration, reason)
        self._host.events.emit(
            DeviceUnregistered(
                registration.account,
                self.service_of(registration),
                registration.called,
                registration.type,
                registration.device,
                reason,
                by,
                registration.room,
            )
        )

    def _settled(
        self, registration: Registration, outcome: str, reason: str, seconds: float
    ) -> None:
        """Say what became of a push."""
        self._host.events.emit(
            PushSettled(
                registration.account,
                self.service_of(registration),
                registration.called,
                registration.backend,
                outcome,
                reason,
                max(0.0, seconds),  # whatever the clock has done meanwhile
            )
        )

    def _token_forgotten(self, registration: Registration, field: str, reason: str) -> None:
        self._host.events.emit(
            DeviceTokenForgotten(
                registration.account,
                self.service_of(registration),
                registration.called,
                registration.type,
                registration.device,
                field,
                reason,
            )
        )

    def service_of(self, registration: Registration) -> str:
        """Where servers publish for it; "" when its app is configured no more."""
        app = self._apps.get(registration.backend)
        return app.pubsub_host if app is not None else ""

    def _account_removed(self, event: AccountRemoved) -> None:
        for registration in self.registrations.of(event.account):
            self._forget(registration, "the account was removed")


def notice(service: str, publisher: str, node: str) -> Element:
    """The message that tells a user's server, or a room, that a node is no more (XEP-0357 §8)."""
    affiliation = element(NS_PUBSUB, "affiliation", jid=publisher, affiliation="none")
    pubsub = element(NS_PUBSUB, "pubsub", affiliation, node=node)
    return element(NS_CLIENT, "message", pubsub, from_=service, to=publisher)
