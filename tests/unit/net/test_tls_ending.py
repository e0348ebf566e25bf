"""A connection that began TLS, over real sockets: once it is lost, all of it is freed at once.

What waits for the collection of the oldest garbage would be memory in a stranger's hands.
"""

import gc
import time
import weakref
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet import reactor as the_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from pushd.net.certificates import DevelopmentCA
from pushd.net.tls import CertificateFiles, CertificateStore, DirectTLS, Front
from pushd.net.turn import Turn
from pushd.net.xmlprotocol import XMLStream
from pushd.wire.errors import StreamError
from pushd.wire.framer import Limits, StreamOpened
from pushd.wire.stanza import Stanza
from tests.patience import LONGEST

reactor: Any = the_reactor
DOMAIN = "example.net"
HEADER = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01"  # the first eight bytes of one
NO_TLS = b"GET / HTTP/1.1\r\n\r\n"


class Door:
    """It begins TLS with whatever comes, and cuts the connection on demand."""

    def __init__(self, stream: XMLStream, front: Front) -> None:
        self.stream = stream
        self.front = front
        self.is_lost: Deferred[str] = Deferred()

    def connected(self) -> None: ...

    def opened(self, header: StreamOpened) -> None: ...

    def received(self, stanza: Stanza) -> None:
        self.stream.start_tls(self.front, b"<proceed/>")

    def closed(self) -> None: ...

    def offended(self, error: StreamError) -> None: ...

    def lost(self, reason: str) -> None:
        self.is_lost.callback(reason)


class Doors(Factory):
    """Keeps the last door; `gone` is nothing as soon as its stream is freed."""

    noisy = False

    def __init__(self, front: Front) -> None:
        self.front = front

    def buildProtocol(self, addr: object) -> XMLStream:
        stream = XMLStream(reactor, Turn(reactor), Limits())
        stream.receiver = self.door = Door(stream, self.front)
        self.gone = weakref.ref(stream)
        return stream


class Peer(Protocol):
    """What it hears, and when its connection ends."""

    def __init__(self) -> None:
        self.heard = b""
        self.waiting: Deferred[None] | None = None
        self.is_lost: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            waiting.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_lost.callback(None)


class EndingTest(TestCase):
    timeout = LONGEST

    def setUp(self) -> None:
        folder = TemporaryDirectory(prefix="pushd-test-")
        self.addCleanup(folder.cleanup)
        issued = DevelopmentCA(Path(folder.name), time.time()).issue([DOMAIN])
        files = CertificateFiles(issued.certificate, issued.key)
        self.front = CertificateStore({DOMAIN: files}).options
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)

    async def check(self, *, direct: bool, said: bytes, cut: bool) -> None:
        """Say this instead of a handshake; then the server cuts the connection, or the peer."""
        doors = Doors(self.front)
        listener = DirectTLS(self.front, doors) if direct else doors
        port = reactor.listenTCP(0, listener, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        peer = await connectProtocol(endpoint, Peer())
        assert peer.transport is not None
        if not direct:
            peer.waiting = Deferred()
            peer.transport.write(HEADER + b"<starttls/>")
            await peer.waiting
            assert peer.heard == b"<proceed/>"
        peer.transport.write(said)
        await deferLater(reactor, 0.01, lambda: None)  # for it to be read
        door = doors.door
        if cut:
            door.stream.abort()
        elif not door.is_lost.called:
            peer.transport.abortConnection()
        await door.is_lost
        await peer.is_lost
        door.stream = None  # type: ignore[assignment]
        await deferLater(reactor, 0, lambda: None)
        assert doors.gone() is None

    async def test_half_a_handshake_that_the_server_cuts(self) -> None:
        for direct in (True, False):
            await self.check(direct=direct, said=CLIENT_HELLO, cut=True)

    async def test_half_a_handshake_that_the_peer_cuts(self) -> None:
        for direct in (True, False):
            await self.check(direct=direct, said=CLIENT_HELLO, cut=False)

    async def test_what_is_no_handshake(self) -> None:
        for direct in (True, False):
            await self.check(direct=direct, said=NO_TLS, cut=False)
