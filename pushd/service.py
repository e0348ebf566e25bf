"""The house put together: every part made, handed what it needs, started and stopped in order.

The one place that sees all floors. Nothing here decides anything; it says who is given what.
"""

import gc
import os
import secrets
from typing import Any, NamedTuple

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from pushd import measures
from pushd.admin.harness import Journal, PushWaits
from pushd.admin.neighbours import Neighbours
from pushd.admin.operations import Operations
from pushd.admin.probes import Probes
from pushd.admin.pushes import Pushes, PushRecords, Whose
from pushd.admin.reloads import Reloads, Reread
from pushd.admin.sessions import LiveSessions
from pushd.admin.socket import OperatorFactory
from pushd.admin.status import Status, of_writer, writer
from pushd.admin.tallies import Lag, Tallies
from pushd.admin.users import Users
from pushd.admin.web import Pages, WatchFactory
from pushd.appserver.apps import App
from pushd.appserver.service import AppServer
from pushd.appserver.shown import Shown
from pushd.c2s.door import ClientFactory
from pushd.c2s.guard import Guard
from pushd.c2s.login import Logins
from pushd.c2s.options import Door
from pushd.c2s.watch import Watch
from pushd.components.attachment import Attachment
from pushd.components.door import ComponentFactory
from pushd.components.stream import Components
from pushd.config.changes import differences, taken_over
from pushd.config.kinds import Endpoint
from pushd.config.sections import Config
from pushd.modules import base as modules
from pushd.net.admission import Admission
from pushd.net.calling import place
from pushd.net.descriptors import RESERVE, make_room
from pushd.net.handshakes import Handshakes
from pushd.net.mutual import ALPN, Authorities, ask_for_certificates
from pushd.net.names import Names
from pushd.net.origins import Origins
from pushd.net.pace import Budgets
from pushd.net.prompt import PromptPort
from pushd.net.srv import Resolver
from pushd.net.stranding import Stranded
from pushd.net.tls import CertificateStore, DirectTLS, Front
from pushd.net.turn import Turn
from pushd.net.xmlprotocol import Trace
from pushd.providers.contract import Provider
from pushd.providers.dispatch import Dispatcher
from pushd.providers.probing import Prober
from pushd.providers.transport import Scout, over_https
from pushd.routing.events import Events, ServerStarted
from pushd.routing.host import Host, assemble
from pushd.s2s.calling import Caller
from pushd.s2s.checking import check_all
from pushd.s2s.door import ServerFactory
from pushd.s2s.peers import Peers
from pushd.storage.errors import StorageError
from pushd.storage.lock import DATABASE
from pushd.storage.sqlite import Database, ThreadRunner
from pushd.wire.framer import Limits
from pushd.wire.jid import parse

log = Logger()

LINGER = 0.01  # seconds for which what nobody waits for may wait for company in a commit
BACKLOG = 512  # connections that may wait to be accepted
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
        self.ports: dict[str, list[Any]] = {}  # what listens, by the names of `listen:`
        self.host: Host
        self.app_server: AppServer
        self.components: Components
        self.attachment: Attachment | None = None
        self._reactor = reactor
        self._room = 0  # connections that the system has descriptors for
        self._turn = Turn(reactor)
        self._origins = Origins(config.limits.exempt_networks)
        self._handshakes = Handshakes(reactor)
        self._database = Database(
            str(config.data / DATABASE), reactor, ThreadRunner(reactor), linger=LINGER
        )
        self._transport = over_https(reactor)
        self._stranded = Stranded()
        self._journal = Journal(reactor, self.events)
        self._dispatcher = Dispatcher(reactor, self._transport, self.events.emit)
        self._apps: list[App] = []
        self._secrets: dict[str, bytes] = {}  # of our own, by name
        self._factories: list[ClientFactory | ComponentFactory | ServerFactory] = []
        self._admissions: list[Admission] = []
        self._door: Door
        self.peers: Peers | None = None  # other servers, where they are talked with
        self._resolver: Resolver | None = None
        self._caller: Caller | None = None
        self._watch: Watch
        self._certificates: CertificateStore | None = None
        self._stores: list[CertificateStore] = []  # for clients, and for servers
        self._status: Status
        self._lag = Lag(reactor)
        self._watched: WatchFactory | None = None
        self._names_before: Any = None  # the resolver of whoever had the reactor before
        self._stage = "is starting"  # "" while it serves
        self.reread: Reread | None = None  # reads the configuration anew, and calls `reload`

    def open(self) -> None:
        """Take the ports and the storage, so that whatever is wrong is known at once.

        Nobody is answered before `serve`. Raises StorageError, OSError, or Twisted's
        CannotListenError.
        """
        self._make_room()
        self._names_before = self._reactor.installNameResolver(Names(self._reactor))
        self.host = self._hall()
        self.components = Components(
            self.host,
            {domain: one.secret for domain, one in self.config.components.items()},
            Limits(self.config.limits.stanza_bytes),
        )
        self.app_server = self._app_server()
        self.host.push.registrations = Shown(self.app_server)
        try:
            self._listen()
            self._listen_for_servers()
            self.attachment = self._attachment()  # whose domain goes before other servers
            self._database.open()
            self._listen_for_operators()
            self._listen_for_watchers()
        except BaseException:
            self._close_ports()
            self._close_metrics()
            raise

    async def serve(self) -> None:
        """Bring back the last run, and answer. Raises ModuleError."""
        await self.host.accounts.load()
        await self.host.ledger.load()
        await self.app_server.load()
        await modules.load(self.host, measures.module_options(self.config))
        self._logins.secret = await self._own_secret("fake-salt")
        await self._make_secrets()
        await self.host.lifecycle.recover()
        self.app_server.start()
        self.events.emit(ServerStarted())
        for ports in self.ports.values():
            for port in ports:
                port.startReading()
        if self._stage == "is starting":  # else it was told to stop meanwhile
            self._stage = ""
        for store in self._stores:
            store.watch(self._reactor)
        if self.peers is not None:
            self.peers.start()
        self._watch.start()
        if self.attachment is not None:
            self.attachment.start()
        self._check_push_services()
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, 20, 20)

    def _check_push_services(self) -> None:
        """Those of other servers that our users have enabled: the log says who is not reached."""
        if self.peers is not None:
            domains = {parse(one.service).domain for one in self.host.push.enabled()}
            is_served = self.host.router.is_served
            check_all(self.peers, (domain for domain in domains if not is_served(domain)))

    async def stop(self) -> None:
        """Stop in order: no new connections, a word to the old ones, everything committed.

        Takes a bounded time, whatever clients, providers and disks do. Raises StorageError
        when what nobody was promised yet could not be committed.
        """
        self._stage = "is stopping"
        self._close_ports()
        self._journal.close()
        for store in self._stores:
            store.unwatch()
        if self._resolver is not None:
            self._resolver.close()
        self._watch.stop()
        for factory in self._factories:
            factory.close_all()
        detached = succeed(None) if self.attachment is None else self.attachment.stop()
        self.host.lifecycle.stop()
        self.app_server.stop()
        self._dispatcher.close()
        self.host.ledger.stop()
        await self._within(FAREWELLS, detached, "the other server")
        for admission in self._admissions:
            await self._within(FAREWELLS, admission.emptied(), "some connections")
        self._stranded.close()
        await self._within(FAREWELLS, self._transport.close(), "the push networks")
        try:
            if not await self._within(LAST_COMMIT, self._database.close(), "the storage"):
                raise StorageError("the last commit takes too long")
        finally:
            self._close_metrics()
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
        running, self.config = self.config, taken_over(self.config, wanted)
        try:
            providers = {
                one.name: measures.provider(one, self.config.app_server.proxy)
                for one in self.config.app_server.backends
            }
            for store in self._stores:
                store.replace(measures.certificate_files(self.config))
        except BaseException:
            self.config = running
            raise
        for name, provider in providers.items():
            self._hand_secret(provider)
            self._dispatcher.renew(name, provider)
            self.app_server.renew(name, provider)
        self._transport.keep({link for one in providers.values() for link in one.links})
        self._limit()
        return Reloaded(
            list(differences(running, self.config)), list(differences(self.config, wanted))
        )

    def _limit(self) -> None:
        """Have the limits of the configuration hold."""
        config = self.config
        self._make_room()
        self._origins = Origins(config.limits.exempt_networks)
        self._door.options = measures.door_options(self.config)
        self._door.budgets.rate = measures.rate(self.config)
        self._logins.guard.patience = measures.patience(self.config)
        self._handshakes.timeout = config.limits.tls_handshake_timeout
        for admission in self._admissions:
            admission.limit(*measures.quotas(self.config, self._room), self._origins)
        self.components.limits = Limits(config.limits.stanza_bytes)
        self.components.renew({name: one.secret for name, one in config.components.items()})
        if self.attachment is not None and config.component is not None:
            self.attachment.secret = config.component.secret
            self.attachment.limits = Limits(config.limits.stanza_bytes)
        if self.peers is not None:
            self.peers.rule(measures.s2s_options(config))
        self.host.delivery.limit(measures.queue_limits(self.config))
        self.host.lifecycle.resume_within(config.sessions.resume_timeout)
        self.app_server.rule(measures.rules(self.config))

    def _make_room(self) -> None:
        """So many files may be open; say so where that bounds the connections."""
        wanted = self.config.limits.connections
        self._room = make_room(wanted)
        if self._room < wanted:
            log.warn(
                "no more than {room} connections instead of {wanted} (limits.connections): the "
                "system allows {files} open files; raise that by LimitNOFILE= or ulimit -n, or "
                "lower the option",
                room=self._room,
                wanted=wanted,
                files=self._room + RESERVE,
            )

    def _hall(self) -> Host:
        sessions = self.config.sessions
        return assemble(
            self._reactor,
            self._database,
            self._turn,
            frozenset(self.config.domains),
            sessions.resume_timeout,
            measures.queue_limits(self.config),
            self.events,
        )

    def _app_server(self) -> AppServer:
        apps = self._apps
        for backend in self.config.app_server.backends:
            provider = measures.provider(backend, self.config.app_server.proxy)
            name = backend.name
            self._dispatcher.add(name, provider)
            apps.append(
                App(
                    name,
                    provider,
                    backend.register_host,
                    backend.pubsub_host,
                    backend.app_name,
                    backend.tigase_names,
                    backend.push_modules,
                    getattr(backend.options, "topic", None) or "",
                )
            )
        return AppServer(self.host, apps, self._dispatcher, measures.rules(self.config))

    def _attachment(self) -> Attachment | None:
        """Our place at another server, if we are its component."""
        one = self.config.component
        if one is None:
            return None
        endpoint = place(self._reactor, one.host, one.port)
        limits = Limits(self.config.limits.stanza_bytes)
        return Attachment(self.host, self._turn, one.domain, one.secret, endpoint, limits)

    def _make_door(self) -> Door:
        self._logins = Logins(
            self.host.accounts,
            b"",
            self.in_thread,
            Guard(self._reactor, measures.patience(self.config)),
        )
        files = measures.certificate_files(self.config)
        self._handshakes.timeout = self.config.limits.tls_handshake_timeout
        if files:
            self._certificates = CertificateStore(files, handshakes=self._handshakes)
            self._stores.append(self._certificates)
        budgets = Budgets(measures.rate(self.config))
        return Door(
            self.host, self._logins, self._certificates, measures.door_options(self.config), budgets
        )

    def shown(self, provider: str) -> dict[str, str]:
        """What the provider of this type shows devices before they register."""
        found = (app.provider for app in self._apps if app.provider.type == provider)
        return next((dict(one.shown()) for one in found), {})

    def in_thread(self, work: Any, *given: Any) -> "Deferred[Any]":
        """Do heavy sums off the reactor's thread."""
        pool = self._reactor.getThreadPool()
        return deferToThreadPool(self._reactor, pool, work, *given)

    async def _own_secret(self, name: str) -> bytes:
        """A secret of this server's own, made at the first start."""
        rows = await self._database.read("SELECT value FROM settings WHERE name = ?", (name,))
        if rows:
            return bytes(rows[0][0])
        secret = secrets.token_bytes(32)
        self._database.write("INSERT INTO settings (name, value) VALUES (?, ?)", (name, secret))
        return secret

    async def _make_secrets(self) -> None:
        """Those that providers want; they are the same after a restart."""
        for app in self._apps:
            name = app.provider.own_secret
            if name and name not in self._secrets:
                self._secrets[name] = await self._own_secret(name)
            self._hand_secret(app.provider)

    def _hand_secret(self, provider: Provider) -> None:
        if provider.own_secret in self._secrets:
            provider.keep(self._secrets[provider.own_secret])

    def _listen(self) -> None:
        door = self._door = self._make_door()
        self._watch = Watch(door)
        clients = ClientFactory(door, self._turn, self._admission())
        components = ComponentFactory(self.components, self._turn, self._admission())
        self._factories = [clients, components]
        listen = self.config.doors
        self._open("client", listen.client, clients)
        if door.certificates is not None:
            self._open("client_tls", listen.client_tls, clients, door.certificates.options)
        self._open("component", listen.component, components)

    def _listen_for_servers(self) -> None:
        """Other servers, if they are talked with at all."""
        given = self.config.s2s
        if given is None:
            return
        files = measures.certificate_files(self.config)
        store = CertificateStore(files, ALPN, self._handshakes, ask_for_certificates)
        self._stores.append(store)
        servers = [(one.host or "127.0.0.1", one.port) for one in given.name_servers]
        self._resolver = Resolver(self._reactor, servers)
        self._caller = Caller(
            self._reactor,
            self._resolver,
            self._resolver if servers else None,
            given.allow_private,
        )
        peers = self.peers = Peers(
            self.host,
            self._turn,
            measures.s2s_options(self.config),
            store,
            Authorities(given.ca_file),
            self._caller,
        )
        door = ServerFactory(peers, self._admission())
        self._factories.append(door)
        self._open("server", given.listen, door)
        self._open("server_tls", given.listen_tls, door, store.options)

    def _admission(self) -> Admission:
        """Each door has its own count: clients keep no component out, nor the other way."""
        admission = Admission(
            self._reactor, *measures.quotas(self.config, self._room), self._origins
        )
        self._admissions.append(admission)
        return admission

    def _open(
        self, name: str, endpoints: tuple[Endpoint, ...], factory: Factory, tls: Front | None = None
    ) -> None:
        """Bind, but accept nothing yet."""
        served = factory if tls is None else DirectTLS(tls, factory)
        for endpoint in endpoints:
            port = PromptPort(endpoint.port, served, BACKLOG, endpoint.host or "::", self._reactor)
            port.startListening()
            port.stopReading()  # type: ignore[no-untyped-call]
            self.ports.setdefault(name, []).append(port)

    def _listen_for_operators(self) -> None:
        """The socket of a killed run may still lie there; the storage's lock says it is ours."""
        path = self.config.admin_socket
        if path.is_socket():
            path.unlink()
        operations = self._operations()
        port = self._reactor.listenUNIX(str(path), OperatorFactory(operations), mode=0o600)
        self.ports["admin"] = [port]
        port.stopReading()

    def _operations(self) -> Operations:
        host = self.host
        sessions = LiveSessions(host, self._stranded)
        users = Users(
            host.domains,
            host.accounts,
            host.database,
            self.in_thread,
            sessions.end_all,
            sessions.cut_all,
        )
        whose = Whose(host.domains, host.accounts)
        pushes = Pushes(
            host.clock, whose, host.database, host.push, host.decisions, self._dispatcher
        )
        self._status = Status(
            host,
            self._dispatcher,
            self._certificates,
            self.places,
            pushes.backends,
            lambda: self.attachment.told() if self.attachment is not None else None,
        )
        return Operations(
            users,
            sessions,
            self._status,
            Reloads(lambda: self.reread),
            Neighbours(self.peers),
            PushRecords(whose, host.push, host.push, host.ledger),
            pushes,
            Probes(self._dispatcher, Prober(self._reactor, lambda: Scout(self._reactor))),
            PushWaits(
                host.clock,
                self._journal,
                whose,
                host.push,
                host.domains,
                {backend.pubsub_host for backend in self.config.app_server.backends},
            ),
        )

    def _listen_for_watchers(self) -> None:
        """From now on until everything is on disk: a server that does not serve says why."""
        if not self.config.listen.metrics:
            return
        from pushd.admin.metrics import Metrics, Sources  # its library is large

        doors = dict(zip(("client", "component", "server"), self._admissions, strict=False))
        tallies = Tallies(self.events)
        sources = Sources(
            self.host, self._status, self._door, doors, tallies, self._lag, self.peers
        )
        watched = self._watched = WatchFactory(
            self._reactor, Pages(Metrics(sources).page, self.obstacle)
        )
        for endpoint in self.config.listen.metrics:
            port = self._reactor.listenTCP(
                endpoint.port, watched, BACKLOG, interface=endpoint.host or "::"
            )
            self.ports.setdefault("metrics", []).append(port)
        self._lag.start()

    def obstacle(self) -> str:
        """Why logins are not accepted, or nothing can be committed; empty when all is well."""
        if self._stage:
            return f"the server {self._stage}"
        now = self._reactor.seconds()
        return next(of_writer(writer(self._database, now)), "")

    def places(self) -> dict[str, list[str]]:
        """Where the server listens at this moment, by the names of `listen:`."""
        return {
            name: [_place(port.getHost()) for port in ports if port.connected]
            for name, ports in self.ports.items()
        }

    def trace(self, trace: Trace) -> None:
        """Have everything that passes on streams from now on written down."""
        for factory in self._factories:
            factory.trace = trace
        if self.attachment is not None:
            self.attachment.trace = trace
        if self._caller is not None:
            self._caller.trace = trace

    def _close_ports(self) -> None:
        """All but the one that tells that the server stops."""
        for name, ports in self.ports.items():
            for port in ports if name != "metrics" else ():
                port.stopListening()

    def _close_metrics(self) -> None:
        self._lag.stop()
        for port in self.ports.get("metrics", ()):
            port.stopListening()
        if self._watched is not None:
            self._watched.close_all()


def _place(address: Any) -> str:
    """Where a port listens, as text."""
    if isinstance(address, UNIXAddress):
        return os.fsdecode(address.name or b"")
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"
