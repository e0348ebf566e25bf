"""Other servers: those that are talked with (s2s), and the one whose component we are."""

from typing import Any

from twisted.internet.defer import Deferred, succeed

from pushd import measures
from pushd.components.attachment import Attachment
from pushd.config.sections import Config, ServerToServer
from pushd.net.calling import place
from pushd.net.mutual import Authorities
from pushd.net.srv import Resolver
from pushd.net.turn import Turn
from pushd.net.xmlprotocol import Trace
from pushd.routing.host import Host
from pushd.s2s.calling import Caller
from pushd.s2s.checking import check_all
from pushd.s2s.door import ServerFactory
from pushd.s2s.kept import left_over, send_on
from pushd.s2s.peers import Peers
from pushd.storage.sqlite import Row
from pushd.wire.framer import Limits
from pushd.wire.jid import parse
from pushd.wiring.certificates import Certificates
from pushd.wiring.ports import Ports


class Neighbours:
    """Neither is there unless the configuration says so."""

    def __init__(self, reactor: Any, host: Host, turn: Turn) -> None:
        self.peers: Peers | None = None
        self.attachment: Attachment | None = None
        self._reactor = reactor
        self._host = host
        self._turn = turn
        self._left: list[Row] = []
        self._resolver: Resolver
        self._caller: Caller
        self._door: ServerFactory

    def open(self, config: Config, ports: Ports, certificates: Certificates) -> None:
        """Take the ports. Raises CannotListenError, and what files of certificates do."""
        if config.s2s is not None:
            self._federate(config, config.s2s, ports, certificates)
        one = config.component
        if one is not None:  # after the peers: its domain goes before other servers
            endpoint = place(self._reactor, one.host, one.port)
            limits = Limits(config.limits.stanza_bytes)
            self.attachment = Attachment(
                self._host,
                self._turn,
                one.domain,
                one.secret,
                endpoint,
                f"{one.host} port {one.port}",
                limits,
            )

    def _federate(
        self, config: Config, given: ServerToServer, ports: Ports, certificates: Certificates
    ) -> None:
        store = certificates.for_servers()
        servers = [(one.host or "127.0.0.1", one.port) for one in given.name_servers]
        self._resolver = Resolver(self._reactor, servers)
        asked = self._resolver if servers else None
        self._caller = Caller(self._reactor, self._resolver, asked, given.allow_private)
        self.peers = Peers(
            self._host,
            self._turn,
            measures.s2s_options(config),
            store,
            Authorities(given.ca_file),
            self._caller,
        )
        self._door = ServerFactory(self.peers, ports.admission("server"))
        ports.bind("server", given.listen, self._door)
        ports.bind("server_tls", given.listen_tls, self._door, store.options)

    async def load(self) -> None:
        """See what the last run left to say to other servers. Raises StorageError."""
        self._left = await left_over(self._host.database)
        if self.peers is not None and self._left:
            self.peers.kept.next_row = self._left[-1][0] + 1

    def send_on(self) -> None:
        """Say it, before anybody says more."""
        send_on(self._host, self._left)
        self._left = []

    def start(self) -> None:
        """Go there, and try the push services that users have enabled: the log says who fails."""
        if self.peers is not None:
            self.peers.start()
        if self.attachment is not None:
            self.attachment.start()
        if self.peers is not None:
            domains = {parse(one.service).domain for one in self._host.push.enabled()}
            is_served = self._host.router.is_served
            check_all(self.peers, (domain for domain in domains if not is_served(domain)))

    def limit(self, config: Config) -> None:
        """Have the options and limits of this configuration hold, and the component's secret."""
        if self.attachment is not None and config.component is not None:
            self.attachment.secret = config.component.secret
            self.attachment.limits = Limits(config.limits.stanza_bytes)
        if self.peers is not None:
            self.peers.rule(measures.s2s_options(config))

    def attached(self) -> dict[str, str] | None:
        """How we stand at the server whose component we are; None if we are nobody's."""
        return self.attachment.told() if self.attachment is not None else None

    def trace(self, trace: Trace) -> None:
        """Have what passes on their streams written down."""
        if self.attachment is not None:
            self.attachment.trace = trace
        if self.peers is not None:
            self._door.trace = self._caller.trace = trace

    def seek_nobody(self) -> None:
        """Look up no other server any more."""
        if self.peers is not None:
            self._resolver.close()

    def stop(self) -> "Deferred[None]":
        """Close every stream, with a word; fires when that to the server we are part of is gone."""
        if self.peers is not None:
            self._door.close_all()
        return succeed(None) if self.attachment is None else self.attachment.stop()
