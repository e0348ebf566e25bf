"""The listening side of the door for clients: a stream per connection, and the end of all."""

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from pushd.c2s.arrival import Arrival
from pushd.c2s.options import Door
from pushd.net.admission import Admission
from pushd.net.turn import Turn
from pushd.net.xmlprotocol import Trace, XMLStream
from pushd.routing.requests import IQ
from pushd.wire.element import Element
from pushd.wire.errors import StreamError
from pushd.wire.namespaces import NS_SESSION


class ClientFactory(Factory):
    """Makes an `Arrival` of each connection that `admission` lets in."""

    noisy = False
    trace: Trace | None = None

    def __init__(self, door: Door, turn: Turn, admission: Admission) -> None:
        self._door = door
        self._turn = turn
        self._admission = admission
        for where in ("account", "server"):
            door.host.requests.add("set", NS_SESSION, "session", where, _establish)

    def buildProtocol(self, addr: IAddress | None) -> XMLStream | None:
        guest = self._admission.admit(addr)
        if guest is None:
            return None
        options = self._door.options
        stream = XMLStream(
            self._door.host.clock, self._turn, options.unauthenticated, options.backlog
        )
        stream.guest = guest
        stream.receiver = Arrival(self._door, stream, guest)
        stream.trace = self.trace
        return stream

    def close_all(self) -> None:
        """The server stops: say so to everybody; what can be resumed waits in storage."""
        for client in list(self._door.streams):
            client.offended(StreamError("system-shutdown"))


def _establish(request: IQ) -> Element | None:
    """COMPAT: clients of RFC 3921 §3 ask for a session, which binding makes by itself."""
    return None
