"""The listening side of the door for components."""

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from pushd.components.stream import Components, ComponentStream
from pushd.net.xmlprotocol import Trace, Turn, XMLStream
from pushd.wire.errors import StreamError
from pushd.wire.framer import Limits


class ComponentFactory(Factory):
    """Makes a `ComponentStream` of each connection."""

    noisy = False
    trace: Trace | None = None

    def __init__(self, components: Components, turn: Turn, limits: Limits) -> None:
        self._components = components
        self._turn = turn
        self._limits = limits
        self._open: set[ComponentStream] = set()

    def buildProtocol(self, addr: IAddress | None) -> XMLStream:
        stream = XMLStream(self._components.host.clock, self._turn, self._limits)
        component = ComponentStream(self._components, stream, self._open.discard)
        stream.receiver = component
        stream.trace = self.trace
        self._open.add(component)
        return stream

    def close_all(self) -> None:
        """The server stops: say so to everybody."""
        for component in list(self._open):
            component.offended(StreamError("system-shutdown"))
