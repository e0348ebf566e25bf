"""Connections that write at once, over real sockets."""

import select
import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from pushd.net.prompt import PromptPort, PromptServer
from tests.patience import LONGEST, PATIENCE

BIG = bytes(range(256)) * 40_000  # far more than a socket takes at once


class Ours(Protocol):
    """The accepted side."""

    def __init__(self) -> None:
        self.arrived: Deferred[Ours] = Deferred()
        self.lost: Deferred[None] = Deferred()
        self.paused: list[bool] = []

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)  # type: ignore[union-attr]
        self.arrived.callback(self)

    def pauseProducing(self) -> None:
        self.paused.append(True)

    def resumeProducing(self) -> None:
        self.paused.append(False)

    def stopProducing(self) -> None: ...

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


def received(theirs: socket.socket) -> bytes:
    """What comes without the reactor doing anything for it; on loopback that is mostly now."""
    select.select([theirs], [], [], PATIENCE)
    return theirs.recv(100)


class PromptTest(TestCase):
    timeout = LONGEST

    async def connect(self) -> tuple[Any, socket.socket]:
        ours = Ours()
        factory = Factory.forProtocol(lambda: ours)
        port = PromptPort(0, factory, 5, "127.0.0.1", reactor)
        port.startListening()
        self.addCleanup(port.stopListening)
        theirs = socket.create_connection(("127.0.0.1", port.getHost().port))  # type: ignore[no-untyped-call]
        self.addCleanup(theirs.close)
        theirs.setblocking(False)
        await ours.arrived
        assert isinstance(ours.transport, PromptServer)
        return ours, theirs

    async def read(self, theirs: socket.socket, size: int) -> bytes:
        """So many bytes, or all until the end."""
        came = b""
        while len(came) < size:
            try:
                data = theirs.recv(1 << 20)
            except BlockingIOError:
                await deferLater(reactor, 0)
                continue
            if not data:
                break
            came += data
        return came

    async def test_what_fits_is_there_before_the_turn_is_over(self) -> None:
        ours, theirs = await self.connect()

        for said in (b"one", b"two"):
            ours.transport.write(said)
            assert received(theirs) == said

        assert reactor.getWriters() == []

    async def test_what_does_not_fit_follows_in_order(self) -> None:
        ours, theirs = await self.connect()

        ours.transport.write(BIG)
        ours.transport.write(b"and more")
        assert ours.transport in reactor.getWriters()

        assert await self.read(theirs, len(BIG) + 8) == BIG + b"and more"
        assert ours.paused[0]
        assert not ours.paused[-1]
        ours.transport.write(b"again")
        assert received(theirs) == b"again"

    async def test_a_connection_is_closed_once_all_is_written(self) -> None:
        for said in (b"", b"a word", BIG):
            ours, theirs = await self.connect()

            ours.transport.write(said)
            ours.transport.unregisterProducer()
            ours.transport.loseConnection()

            assert await self.read(theirs, len(said) + 1) == said
            await ours.lost

    async def test_a_connection_that_is_gone_is_lost_though_written_to(self) -> None:
        ours, theirs = await self.connect()

        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        theirs.close()
        for _ in range(3):
            ours.transport.write(b"a word")

        await ours.lost
