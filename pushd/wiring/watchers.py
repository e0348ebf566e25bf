"""What serves who watches the server: metrics, whether it is alive, and whether it is ready."""

from functools import cache
from typing import TYPE_CHECKING, Any

from pushd.admin.status import Status
from pushd.admin.tallies import Lag, Tallies
from pushd.c2s.options import Door
from pushd.config.kinds import Endpoint
from pushd.routing.host import Host
from pushd.wiring.ports import BACKLOG, Ports

if TYPE_CHECKING:
    from pushd.admin.metrics import Metrics
    from pushd.admin.web import Obstacle, WatchFactory
    from pushd.s2s.peers import Peers


class Watchers:
    """They are answered until everything is on disk: a server that does not serve says why."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._lag = Lag(reactor)
        self._factory: WatchFactory | None = None

    def open(
        self,
        endpoints: tuple[Endpoint, ...],
        ports: Ports,
        host: Host,
        status: Status,
        door: Door,
        peers: "Peers | None",
        obstacle: "Obstacle",
    ) -> None:
        """Take the ports, if there are any, and answer at once. Raises CannotListenError."""
        if not endpoints:
            return
        from pushd.admin.web import Pages, WatchFactory

        tallies = Tallies(host.events)

        @cache
        def metrics() -> "Metrics":
            from pushd.admin.metrics import Metrics, Sources  # its library takes a megabyte

            return Metrics(Sources(host, status, door, ports.admissions, tallies, self._lag, peers))

        pages = Pages(lambda accept: metrics().page(accept), obstacle)
        factory = self._factory = WatchFactory(self._reactor, pages)
        for endpoint in endpoints:
            port = self._reactor.listenTCP(
                endpoint.port, factory, BACKLOG, interface=endpoint.host or "::"
            )
            ports.add("metrics", port)
        self._lag.start()

    def close(self, ports: Ports) -> None:
        """The last to go."""
        self._lag.stop()
        ports.close_metrics()
        if self._factory is not None:
            self._factory.close_all()
