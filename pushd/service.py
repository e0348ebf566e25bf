"""The house put together: every part made, handed what it needs, started and stopped in order.

Nothing here decides anything. What is made of what stands in `wiring`, a room for each side of the
house; here is the order in which they open, serve, take over another configuration, and stop.
"""

import gc
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from pushd import measures
from pushd.admin.reloads import Reread
from pushd.admin.status import of_writer, writer
from pushd.appserver.service import AppServer
from pushd.appserver.shown import Shown
from pushd.config.changes import differences, taken_over
from pushd.config.sections import Config
from pushd.modules import base as modules
from pushd.net.memory import give_back
from pushd.net.names import Names
from pushd.net.turn import Turn
from pushd.net.xmlprotocol import Trace
from pushd.routing.events import Events, ServerStarted
from pushd.routing.host import Host, assemble
from pushd.storage.errors import StorageError
from pushd.storage.lock import DATABASE
from pushd.storage.sqlite import Database, ThreadRunner
from pushd.wiring.backends import Backends
from pushd.wiring.certificates import Certificates
from pushd.wiring.doors import Doors
from pushd.wiring.neighbours import Neighbours
from pushd.wiring.operators import Operators
from pushd.wiring.ports import Ports
from pushd.wiring.secrets import own_secret
from pushd.wiring.watchers import Watchers

log = Logger()

LINGER = 0.01  # seconds for which what nobody waits for may wait for company in a commit
FAREWELLS = 8.0  # seconds for connections to end, some longer than each takes to be cut
LAST_COMMIT = 30.0  # seconds
YOUNG_OBJECTS = 20_000  # allocations between the garbage collections of the youngest


class Reloaded(NamedTuple):
    """The options that were taken over, and those that wait for a restart, by their names."""

    changed: list[str]
    pending: list[str]


class Server:
    """A whole pushd. First `open`, then `serve`; `stop` fires once everything is on disk."""

    def __init__(self, config: Config, reactor: Any) -> None:
        self.config = config
        self.events = Events()
        self.host: Host
        self.reread: Reread | None = None  # reads the configuration anew, and calls `reload`
        self.mistakes: Sequence[str] = ()  # for which it was not taken over the last time
        self._reactor = reactor
        self._stage = "is starting"  # "" while it serves
        self._names_before: Any = None  # the resolver of whoever had the reactor before
        self._turn = Turn(reactor)
        self._database = Database(
            str(config.data / DATABASE), reactor, ThreadRunner(reactor), linger=LINGER
        )
        self._ports = Ports(reactor, config)
        self.ports = self._ports.by_name  # what listens, by the names of `listen:`
        self._certificates = Certificates(reactor, config)
        self._operators = Operators(reactor, self.events)
        self._backends = Backends(reactor, self.events)
        self._watchers = Watchers(reactor)
        self._app_server: AppServer
        self._doors: Doors
        self._neighbours: Neighbours

    def open(self) -> None:
        """Take the ports and the storage, so that whatever is wrong is known at once.

        Nobody is answered before `serve`. Raises StorageError, OSError, BadOption, what a
        CertificateStore raises, or Twisted's CannotListenError.
        """
        config, ports = self.config, self._ports
        ports.make_room()
        self._names_before = self._reactor.installNameResolver(Names(self._reactor))
        host = self.host = self._hall()
        self._doors = Doors(
            self._reactor, config, host, self._turn, ports, self._certificates, self.in_thread
        )
        self._neighbours = Neighbours(self._reactor, host, self._turn)
        self._app_server = self._made_app_server()
        host.push.registrations = Shown(self._app_server)
        try:
            self._doors.open(config.doors, ports)
            self._neighbours.open(config, ports, self._certificates)
            self._database.open()
            self._operators.open(
                config,
                host,
                ports,
                self._doors.clients.certificates,
                self._neighbours,
                self._backends.dispatcher,
                self.in_thread,
                lambda: self.reread,
                lambda: self.mistakes,
            )
            self._watchers.open(
                config.listen.metrics,
                ports,
                host,
                self._operators.status,
                self._doors.clients,
                self._neighbours.peers,
                self.obstacle,
            )
        except BaseException:
            ports.close()
            self._watchers.close(ports)
            raise

    def _hall(self) -> Host:
        return assemble(
            self._reactor,
            self._database,
            self._turn,
            frozenset(self.config.domains),
            self.config.sessions.resume_timeout,
            measures.queue_limits(self.config),
            self.events,
        )

    def _made_app_server(self) -> AppServer:
        backends, rules = self._backends, measures.rules(self.config)
        backends.open(self.config)
        return AppServer(self.host, backends.apps, backends.dispatcher, rules)

    async def serve(self) -> None:
        """Bring back the last run, and answer. Raises ModuleError."""
        host, secret = self.host, partial(own_secret, self._database)
        await host.accounts.load()
        await host.ledger.load()
        await self._app_server.load()
        await modules.load(host, measures.module_options(self.config))
        fake_salt = await secret("fake-salt")
        await self._backends.make_secrets(secret)
        await self._neighbours.load()
        await host.lifecycle.recover()
        self._neighbours.send_on()
        self._app_server.start()
        self.events.emit(ServerStarted())
        self._ports.start()
        if self._stage == "is starting":  # else it was told to stop meanwhile
            self._stage = ""
        self._certificates.watch()
        self._doors.start(fake_salt)
        self._neighbours.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, 20, 20)
        give_back()

    async def stop(self) -> None:
        """Stop in order: no new connections, a word to the old ones, everything committed.

        Takes a bounded time, whatever clients, providers and disks do. Raises StorageError
        when what nobody was promised yet could not be committed.
        """
        self._stage = "is stopping"
        self._ports.close()
        self._operators.stop()
        self._certificates.unwatch()
        self._neighbours.seek_nobody()
        self._doors.stop()
        detached = self._neighbours.stop()
        self.host.lifecycle.stop()
        self._app_server.stop()
        self._backends.stop()
        self.host.ledger.stop()
        await self._within(FAREWELLS, detached, "the other server")
        for admission in self._ports.admissions.values():
            await self._within(FAREWELLS, admission.emptied(), "some connections")
        self._operators.close()
        await self._within(FAREWELLS, self._backends.close(), "the push networks")
        try:
            if not await self._within(LAST_COMMIT, self._database.close(), "the storage"):
                raise StorageError("the last commit takes too long")
        finally:
            self._watchers.close(self._ports)
            if self._names_before is not None:
                self._reactor.installNameResolver(self._names_before)

    async def _within(self, seconds: float, ending: "Deferred[None]", what: str) -> bool:
        """Wait for an end, but no longer than that; tells whether it came."""
        try:
            await ending.addTimeout(seconds, self._reactor)
        except TookTooLong:
            log.warn("{what} did not end in time", what=what)
            return False
        return True

    def reload(self, wanted: Config) -> Reloaded:
        """Take over what needs no restart, and read credentials anew; no stream is dropped.

        Raises BadOption or CertificateError, and then changes nothing.
        """
        running, config = self.config, taken_over(self.config, wanted)
        providers = self._backends.renewed(config)
        self._certificates.replace(config)
        self.config = config
        self._backends.renew(providers, self._app_server)
        self._ports.limit(config)
        self._certificates.limit(config)
        self._doors.limit(config)
        self._neighbours.limit(config)
        self.host.delivery.limit(measures.queue_limits(config))
        self.host.lifecycle.resume_within(config.sessions.resume_timeout)
        self._app_server.rule(measures.rules(config))
        return Reloaded(list(differences(running, config)), list(differences(config, wanted)))

    # What the command line asks for besides.

    def shown(self, provider: str) -> dict[str, str]:
        """What the provider of this type shows devices before they register."""
        return self._backends.shown(provider)

    def in_thread(self, work: Any, *given: Any) -> "Deferred[Any]":
        """Do heavy sums off the reactor's thread."""
        pool = self._reactor.getThreadPool()
        return deferToThreadPool(self._reactor, pool, work, *given)

    def obstacle(self) -> str:
        """Why logins are not accepted, or nothing can be committed; empty when all is well."""
        if self._stage:
            return f"the server {self._stage}"
        now = self._reactor.seconds()
        return next(of_writer(writer(self._database, now)), "")

    def trace(self, trace: Trace) -> None:
        """Have everything that passes on streams from now on written down."""
        self._doors.trace(trace)
        self._neighbours.trace(trace)
