"""The doors for clients, where there are domains for them, and for external components."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from pushd import measures
from pushd.c2s.guard import Guard
from pushd.c2s.login import Logins
from pushd.c2s.options import Door
from pushd.c2s.watch import Watch
from pushd.components.door import ComponentFactory
from pushd.components.stream import Components
from pushd.config.sections import Config, Listen
from pushd.net.pace import Budgets
from pushd.net.turn import Turn
from pushd.net.xmlprotocol import Trace
from pushd.routing.host import Host
from pushd.wire.framer import Limits
from pushd.wiring.certificates import Certificates
from pushd.wiring.ports import Ports

if TYPE_CHECKING:
    from pushd.c2s.door import ClientFactory


class Doors:
    """Raises what CertificateStore does. `in_thread` does heavy sums off the reactor's thread."""

    def __init__(
        self,
        reactor: Any,
        config: Config,
        host: Host,
        turn: Turn,
        ports: Ports,
        certificates: Certificates,
        in_thread: Callable[..., Deferred[Any]],
    ) -> None:
        guard = Guard(reactor, measures.patience(config))
        self._logins = Logins(host.accounts, b"", in_thread, guard)
        store = certificates.for_clients()
        budgets = Budgets(measures.rate(config))
        self.clients = Door(host, self._logins, store, measures.door_options(config), budgets)
        self._watch = Watch(self.clients)
        self._components = Components(
            host,
            {domain: one.secret for domain, one in config.components.items()},
            Limits(config.limits.stanza_bytes),
        )
        self._for_clients = self._for_domains(turn, ports) if config.domains else None
        self._for_components = ComponentFactory(
            self._components, turn, ports.admission("component")
        )

    def _for_domains(self, turn: Turn, ports: Ports) -> "ClientFactory":
        from pushd.c2s.door import ClientFactory

        return ClientFactory(self.clients, turn, ports.admission("client"))

    def open(self, listen: Listen, ports: Ports) -> None:
        """Take the ports. Raises CannotListenError."""
        store = self.clients.certificates
        if self._for_clients is not None:
            ports.bind("client", listen.client, self._for_clients)
            if store is not None:
                ports.bind("client_tls", listen.client_tls, self._for_clients, store.options)
        ports.bind("component", listen.component, self._for_components)

    def start(self, secret: bytes) -> None:
        """Watch who is there. By `secret` logins answer for accounts that do not exist."""
        self._logins.secret = secret
        self._watch.start()

    def limit(self, config: Config) -> None:
        """Have the options and limits of this configuration hold, and its components' secrets."""
        self.clients.options = measures.door_options(config)
        self.clients.budgets.rate = measures.rate(config)
        self._logins.guard.patience = measures.patience(config)
        self._components.limits = Limits(config.limits.stanza_bytes)
        self._components.renew({name: one.secret for name, one in config.components.items()})

    def trace(self, trace: Trace) -> None:
        """Have what passes on their streams written down."""
        self._for_components.trace = trace
        if self._for_clients is not None:
            self._for_clients.trace = trace

    def stop(self) -> None:
        """Close every stream, with a word."""
        self._watch.stop()
        if self._for_clients is not None:
            self._for_clients.close_all()
        self._for_components.close_all()
