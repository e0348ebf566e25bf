"""The listening side of the door for components."""

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from pushd.components.stream import Components, ComponentStream
from pushd.net.admission import Admission
from pushd.net.turn import Turn
from pushd.net.xmlprotocol import Trace, XMLStream
from pushd.wire.errors import StreamError


class ComponentFactory(Factory):
    """Makes a `ComponentStream` of each connection that `admission` lets in."""

    noisy = False
    trace: Trace | None = None

    def __init__(self, components: Components, turn: Turn, admission: Admission) -> None:
        self._components = components
        self._turn = turn
        self._admission = admission
        self._open: set[ComponentStream] = set()

    def buildProtocol(self, addr: IAddress | None) -> XMLStream | None:
        guest = self._admission.admit(addr)
        if guest is None:
            return None
        components = self._components
        stream = XMLStream(
            components.host.clock, self._turn, components.unauthenticated, components.backlog
        )
        stream.guest = guest
        component = ComponentStream(components, stream, guest, self._open.discard)
        stream.receiver = component
        stream.trace = self.trace
        self._open.add(component)
        return stream

    def close_all(self) -> None:
        """The server stops: say so to everybody."""
        for component in list(self._open):
            component.offended(StreamError("system-shutdown"))
