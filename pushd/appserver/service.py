"""The app server put together: where devices register, where servers publish, what is sent on."""

from collections.abc import Callable, Sequence

from pushd.appserver.outbox import Outbox
from pushd.appserver.pubsub import PubsubHost
from pushd.appserver.registering import App, Registering, Rules
from pushd.appserver.registrations import Registration, Registrations
from pushd.providers.dispatch import Dispatcher
from pushd.routing.events import AccountRemoved, DeviceUnregistered
from pushd.routing.host import Host
from pushd.wire.element import element
from pushd.wire.namespaces import NS_CLIENT, NS_PUBSUB
from pushd.wire.stanza import Stanza


class AppServer:
    """Both hosts of each app, the registrations, and the outbox to the providers."""

    def __init__(
        self,
        host: Host,
        apps: Sequence[App],
        dispatcher: Dispatcher,
        rules: Rules,
    ) -> None:
        self._host = host
        self._apps = {app.name: app for app in apps}
        self.registrations = Registrations(host.database)
        self.outbox = Outbox(host.clock, host.database, self.registrations, dispatcher, self._gone)
        self._open_hosts(apps)
        for domain in dict.fromkeys(app.pubsub_host for app in apps):
            PubsubHost(host, domain, self.registrations, self.outbox.accept)
        for domain in dict.fromkeys(app.register_host for app in apps):
            here = [app for app in apps if app.register_host == domain]
            Registering(host, domain, here, self.registrations, rules, self.unregister)
        host.events.listen(AccountRemoved, self._account_removed)

    async def load(self) -> None:
        """Read what the last run left; before anything is routed."""
        await self.registrations.load()
        await self.outbox.load()

    def start(self) -> None:
        """Send what still waits."""
        self.outbox.start()

    def unregister(self, registration: Registration, reason: str) -> None:
        """Forget a device, and give its account's server notice (XEP-0357 §8)."""
        if self.registrations.remove(registration.node) is not None:
            self._gone(registration, reason)

    def _open_hosts(self, apps: Sequence[App]) -> None:
        """Serve the hosts that are not served as domains of accounts already."""
        for app in apps:
            for domain in (app.register_host, app.pubsub_host):
                if not self._host.router.is_reachable(domain):
                    self._host.router.add_service(domain)
                    self._host.disco.add_item("server", domain)

    def _gone(self, registration: Registration, reason: str) -> None:
        """A registration has ended: nothing waits for it any more, and its account is told."""
        self.outbox.forget(registration.node)
        app = self._apps.get(registration.backend)
        service = app.pubsub_host if app is not None else ""
        self._host.events.emit(
            DeviceUnregistered(
                registration.account,
                service,
                registration.node,
                registration.type,
                registration.device,
                reason,
            )
        )
        if service:
            self._host.router.route(notice(service, registration.account, registration.node))

    def _account_removed(self, event: AccountRemoved) -> None:
        for registration in self.registrations.of(event.account):
            self.registrations.remove(registration.node)
            self.outbox.forget(registration.node)


def notice(service: str, account: str, node: str) -> Stanza:
    """The message that tells a user's server that a node is no more (XEP-0357 §8)."""
    affiliation = element(NS_PUBSUB, "affiliation", jid=account, affiliation="none")
    pubsub = element(NS_PUBSUB, "pubsub", affiliation, node=node)
    return Stanza.of(element(NS_CLIENT, "message", pubsub, from_=service, to=account))


Unregister = Callable[[Registration, str], None]
