"""The push networks: a provider for each backend of the configuration, and what carries it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred

from pushd import measures
from pushd.appserver.apps import App
from pushd.appserver.service import AppServer
from pushd.config.sections import Config
from pushd.providers.contract import Provider
from pushd.providers.dispatch import Dispatcher
from pushd.providers.transport import over_https
from pushd.routing.events import Events


class Backends:
    """The backends, as the app server and the dispatcher know them."""

    def __init__(self, reactor: Any, events: Events) -> None:
        self.apps: list[App] = []  # as the app server serves them
        self._transport = over_https(reactor)
        self.dispatcher = Dispatcher(reactor, self._transport, events.emit)
        self._secrets: dict[str, bytes] = {}  # that were made for providers, by name

    def open(self, config: Config) -> None:
        """Make those of the configuration. Raises BadOption."""
        for backend in config.app_server.backends:
            provider = measures.provider(backend, config.app_server.proxy)
            self.dispatcher.add(backend.name, provider)
            self.apps.append(
                App(
                    backend.name,
                    provider,
                    backend.register_host,
                    backend.pubsub_host,
                    backend.app_name,
                    backend.tigase_names,
                    backend.push_modules,
                    _topic(provider),
                )
            )

    async def make_secrets(self, own_secret: Callable[[str], Awaitable[bytes]]) -> None:
        """Those that providers want; `own_secret` has them by name."""
        for app in self.apps:
            name = app.provider.own_secret
            if name and name not in self._secrets:
                self._secrets[name] = await own_secret(name)
            self._hand_secret(app.provider)

    def shown(self, kind: str) -> dict[str, str]:
        """What the provider of this type shows devices before they register."""
        found = (app.provider for app in self.apps if app.provider.type == kind)
        return next((dict(one.shown()) for one in found), {})

    def renewed(self, config: Config) -> dict[str, Provider]:
        """New providers by the names of the backends, not in use yet. Raises BadOption."""
        return {
            one.name: measures.provider(one, config.app_server.proxy)
            for one in config.app_server.backends
        }

    def renew(self, providers: Mapping[str, Provider], app_server: AppServer) -> None:
        """Use these, and end the connections of credentials that nobody uses any more."""
        for name, provider in providers.items():
            self._hand_secret(provider)
            self.dispatcher.renew(name, provider)
            app_server.renew(name, provider, _topic(provider))
        self._transport.keep({link for one in providers.values() for link in one.links})

    def stop(self) -> None:
        """Send nothing any more."""
        self.dispatcher.close()

    def close(self) -> "Deferred[None]":
        """Fires when all connections are gone."""
        return self._transport.close()

    def _hand_secret(self, provider: Provider) -> None:
        if provider.own_secret in self._secrets:
            provider.keep(self._secrets[provider.own_secret])


def _topic(provider: Provider) -> str:
    """What it was told to push to, where it has such an option."""
    return getattr(getattr(provider, "options", None), "topic", None) or ""
