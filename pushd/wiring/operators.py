"""What serves the operators: every operation that can be asked for, and the socket for it."""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from pushd.admin.harness import Journal, PushWaits
from pushd.admin.neighbours import Neighbours as Checks
from pushd.admin.operations import Operations
from pushd.admin.probes import Probes
from pushd.admin.pushes import Pushes, PushRecords, Whose
from pushd.admin.reloads import Reloads, Reread
from pushd.admin.sessions import LiveSessions
from pushd.admin.socket import OperatorFactory
from pushd.admin.status import Status
from pushd.admin.users import Users
from pushd.config.sections import Config
from pushd.net.stranding import Stranded
from pushd.net.tls import CertificateStore
from pushd.providers.dispatch import Dispatcher
from pushd.providers.probing import Prober
from pushd.providers.transport import Scout
from pushd.routing.events import Events
from pushd.routing.host import Host
from pushd.wiring.neighbours import Neighbours
from pushd.wiring.ports import Ports


class Operators:
    """The parts remember what happens from the beginning; they answer once the socket is open."""

    def __init__(self, reactor: Any, events: Events) -> None:
        self.status: Status
        self._reactor = reactor
        self._stranded = Stranded()
        self._journal = Journal(reactor, events)

    def open(
        self,
        config: Config,
        host: Host,
        ports: Ports,
        certificates: CertificateStore | None,
        neighbours: Neighbours,
        dispatcher: Dispatcher,
        in_thread: Callable[..., "Deferred[Any]"],
        reread: Callable[[], Reread | None],
        mistakes: Callable[[], Sequence[str]],
    ) -> None:
        """Take the socket. Raises OSError and CannotListenError.

        That of a killed run may still lie there; the storage's lock says that it is ours.
        """
        sessions = LiveSessions(host, self._stranded)
        users = Users(
            host.domains,
            host.accounts,
            host.database,
            in_thread,
            sessions.end_all,
            sessions.cut_all,
        )
        whose = Whose(host.domains, host.accounts)
        pushes = Pushes(host.clock, whose, host.database, host.push, host.decisions, dispatcher)
        self.status = Status(
            host,
            dispatcher,
            certificates,
            ports.places,
            pushes.backends,
            neighbours.attached,
            mistakes,
        )
        operations = Operations(
            users,
            sessions,
            self.status,
            Reloads(reread),
            Checks(neighbours.peers),
            PushRecords(whose, host.push, host.push, host.ledger),
            pushes,
            Probes(dispatcher, Prober(self._reactor, lambda: Scout(self._reactor))),
            PushWaits(
                host.clock,
                self._journal,
                whose,
                host.push,
                host.domains,
                {backend.pubsub_host for backend in config.app_server.backends},
            ),
        )
        path = config.admin_socket
        if path.is_socket():
            path.unlink()
        port = self._reactor.listenUNIX(str(path), OperatorFactory(operations), mode=0o600)
        port.stopReading()
        ports.add("admin", port)

    def stop(self) -> None:
        """Send away everyone who waits for something to happen."""
        self._journal.close()

    def close(self) -> None:
        """Let go of the connections that were broken on purpose."""
        self._stranded.close()
