"""Other servers: those that are talked with (s2s), and the one whose component we are."""

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed

from pushd.config.sections import Config
from pushd.net.turn import Turn
from pushd.net.xmlprotocol import Trace
from pushd.routing.host import Host
from pushd.s2s.kept import left_over, send_on
from pushd.storage.sqlite import Row
from pushd.wire.framer import Limits
from pushd.wiring.certificates import Certificates
from pushd.wiring.ports import Ports

if TYPE_CHECKING:
    from pushd.components.attachment import Attachment
    from pushd.s2s.peers import Peers
    from pushd.wiring.federation import Federation


class Neighbours:
    """Neither is there unless the configuration says so; what is for it is imported then alone."""

    def __init__(self, reactor: Any, host: Host, turn: Turn) -> None:
        self.attachment: Attachment | None = None
        self._federation: Federation | None = None
        self._reactor = reactor
        self._host = host
        self._turn = turn
        self._left: list[Row] = []

    @property
    def peers(self) -> "Peers | None":
        return None if self._federation is None else self._federation.peers

    def open(self, config: Config, ports: Ports, certificates: Certificates) -> None:
        """Take the ports. Raises CannotListenError, and what files of certificates do."""
        if config.s2s is not None:
            from pushd.wiring.federation import Federation

            self._federation = Federation(
                self._reactor, self._host, self._turn, config, config.s2s, ports, certificates
            )
        one = config.component
        if one is not None:  # after the peers: its domain goes before other servers
            from pushd.components.attachment import Attachment
            from pushd.net.calling import place

            self.attachment = Attachment(
                self._host,
                self._turn,
                one.domain,
                one.secret,
                place(self._reactor, one.host, one.port),
                f"{one.host} port {one.port}",
                Limits(config.limits.stanza_bytes),
            )

    async def load(self) -> None:
        """See what the last run left to say to other servers. Raises StorageError."""
        self._left = await left_over(self._host.database)
        if self.peers is not None:
            self.peers.kept.follow(self._left)

    def send_on(self) -> None:
        """Say it, before anybody says more."""
        send_on(self._host, self._left)
        self._left = []

    def start(self) -> None:
        """Go there, and try the push services that users have enabled: the log says who fails."""
        if self.attachment is not None:
            self.attachment.start()
        if self._federation is not None:
            self._federation.start()

    def limit(self, config: Config) -> None:
        """Have the options and limits of this configuration hold, and the component's secret."""
        if self.attachment is not None and config.component is not None:
            self.attachment.secret = config.component.secret
            self.attachment.limits = Limits(config.limits.stanza_bytes)
        if self._federation is not None:
            self._federation.limit(config)

    def attached(self) -> dict[str, str] | None:
        """How we stand at the server whose component we are; None if we are nobody's."""
        return self.attachment.told() if self.attachment is not None else None

    def trace(self, trace: Trace) -> None:
        """Have what passes on their streams written down."""
        if self.attachment is not None:
            self.attachment.trace = trace
        if self._federation is not None:
            self._federation.trace(trace)

    def seek_nobody(self) -> None:
        """Look up no other server any more."""
        if self._federation is not None:
            self._federation.seek_nobody()

    def stop(self) -> "Deferred[None]":
        """Close every stream, with a word; fires when that to the server we are part of is gone."""
        if self._federation is not None:
            self._federation.stop()
        return succeed(None) if self.attachment is None else self.attachment.stop()
