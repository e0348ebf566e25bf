"""The listening side of the door for other servers."""

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from pushd.net.admission import Admission
from pushd.net.xmlprotocol import Trace, XMLStream
from pushd.s2s.counting import UNREAD
from pushd.s2s.incoming import Incoming
from pushd.s2s.peers import Peers


class ServerFactory(Factory):
    """Makes an `Incoming` of each connection that `admission` lets in."""

    noisy = False
    trace: Trace | None = None

    def __init__(self, peers: Peers, admission: Admission) -> None:
        self._peers = peers
        self._admission = admission

    def buildProtocol(self, addr: IAddress | None) -> XMLStream | None:
        guest = self._admission.admit(addr)
        if guest is None:
            return None
        peers = self._peers
        stream = XMLStream(peers.clock, peers.turn, peers.options.unauthenticated, UNREAD)
        stream.guest = guest
        stream.trace = self.trace
        stream.sluice = peers.sluice
        stream.receiver = Incoming(peers, stream, guest)
        return stream

    def close_all(self) -> None:
        """The server stops: say so to everybody."""
        self._peers.stop()
