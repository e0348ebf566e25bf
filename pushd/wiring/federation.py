"""The other servers that are talked with (s2s): the door for them, and the way to them."""

from typing import Any

from pushd import measures
from pushd.config.sections import Config, ServerToServer
from pushd.net.mutual import Authorities
from pushd.net.srv import Resolver
from pushd.net.turn import Turn
from pushd.net.xmlprotocol import Trace
from pushd.routing.host import Host
from pushd.s2s.calling import Caller
from pushd.s2s.checking import check_all
from pushd.s2s.door import ServerFactory
from pushd.s2s.peers import Peers
from pushd.wire.jid import parse
from pushd.wiring.certificates import Certificates
from pushd.wiring.ports import Ports


class Federation:
    """Takes its ports. Raises CannotListenError, and what files of certificates do."""

    def __init__(
        self,
        reactor: Any,
        host: Host,
        turn: Turn,
        config: Config,
        given: ServerToServer,
        ports: Ports,
        certificates: Certificates,
    ) -> None:
        store = certificates.for_servers()
        servers = [(one.host or "127.0.0.1", one.port) for one in given.name_servers]
        self._host = host
        self._resolver = Resolver(reactor, servers)
        asked = self._resolver if servers else None
        self._caller = Caller(reactor, self._resolver, asked, given.allow_private)
        self.peers = Peers(
            host,
            turn,
            measures.s2s_options(config),
            store,
            Authorities(given.ca_file),
            self._caller,
        )
        self._door = ServerFactory(self.peers, ports.admission("server"))
        ports.bind("server", given.listen, self._door)
        ports.bind("server_tls", given.listen_tls, self._door, store.options)

    def start(self) -> None:
        """Try the push services that users have enabled: the log says who fails."""
        self.peers.start()
        domains = {parse(one.service).domain for one in self._host.push.enabled()}
        is_served = self._host.router.is_served
        check_all(self.peers, (domain for domain in domains if not is_served(domain)))

    def limit(self, config: Config) -> None:
        """Have the options and limits of this configuration hold, and read whom we believe."""
        given = config.s2s
        if given is not None:
            self._caller.only_public = not given.allow_private
            self.peers.authorities = Authorities(given.ca_file)
        self.peers.rule(measures.s2s_options(config))

    def trace(self, trace: Trace) -> None:
        """Have what passes on the streams written down."""
        self._door.trace = self._caller.trace = trace

    def seek_nobody(self) -> None:
        """Look up no other server any more."""
        self._resolver.close()

    def stop(self) -> None:
        """Close every stream, with a word."""
        self._door.close_all()
