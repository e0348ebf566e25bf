"""Handshakes that come all at once, never end, or fail."""

import contextlib
import gc
import ssl
import time
import weakref
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from pushd.net.certificates import DevelopmentCA
from pushd.net.handshakes import AT_ONCE, DONE, MOST_BYTES, Handshakes
from pushd.net.tls import CertificateFiles, CertificateStore, DirectTLS
from tests.support import Transport


class Handle:
    def __init__(self, state: bytes) -> None:
        self.state = state

    def get_state_string(self) -> bytes:
        return self.state


class Stand:
    """What `Handshakes` sees of a connection under TLS; done once it has read "end"."""

    connected = True
    aborted = False

    def __init__(self, seen: list[tuple["Stand", bytes]]) -> None:
        self.seen = seen
        self.handle: Handle | None = Handle(b"before")

    def dataReceived(self, data: bytes) -> None:
        self.seen.append((self, data))
        if data == b"bad":
            raise ValueError(data)
        if data.endswith(b"end"):
            self.handle = Handle(DONE)

    def getHandle(self) -> Handle | None:
        return self.handle

    def abortConnection(self) -> None:
        self.aborted, self.connected = True, False


class Hall:
    def __init__(self) -> None:
        self.clock = Clock()
        self.handshakes = Handshakes(self.clock)
        self.seen: list[tuple[Stand, bytes]] = []

    def connect(self) -> Any:
        stand = Stand(self.seen)
        self.handshakes.attend(stand)  # type: ignore[arg-type]
        return stand

    def turn(self) -> list[Any]:
        """Whose bytes were worked on since the last turn; then comes the next."""
        seen = [stand for stand, _ in self.seen]
        self.seen.clear()
        now = self.clock.seconds()
        due = [call for call in self.clock.getDelayedCalls() if call.getTime() <= now]
        for call in due:  # but not what these ask for, as the clock would
            work: Any = call.func  # type: ignore[attr-defined]
            call.cancel()
            work()
        return seen


def test_so_many_are_worked_on_in_a_turn_and_the_others_in_their_order() -> None:
    hall = Hall()
    stands = [hall.connect() for _ in range(2 * AT_ONCE + 3)]

    for stand in stands:
        stand.dataReceived(b"hello")

    assert hall.turn() == stands[:AT_ONCE]
    assert hall.turn() == stands[AT_ONCE : 2 * AT_ONCE]
    assert hall.turn() == stands[2 * AT_ONCE :]
    assert hall.turn() == []


def test_bytes_that_wait_stay_in_order() -> None:
    hall = Hall()
    stands = [hall.connect() for _ in range(AT_ONCE + 1)]
    for stand in stands:
        stand.dataReceived(b"1")
    stands[-1].dataReceived(b"2")
    stands[0].dataReceived(b"3")
    hall.turn()

    assert hall.seen == [(stands[-1], b"12"), (stands[0], b"3")]


def test_who_has_a_session_waits_for_no_handshake() -> None:
    hall = Hall()
    settled = hall.connect()
    settled.dataReceived(b"end")
    hall.turn()
    for _ in range(2 * AT_ONCE):
        hall.connect().dataReceived(b"hello")

    settled.dataReceived(b"<message/>")

    assert hall.seen[-1] == (settled, b"<message/>")


def test_a_handshake_that_is_not_done_in_time_is_cut() -> None:
    hall = Hall()
    silent, slow, done = (hall.connect() for _ in range(3))
    done.dataReceived(b"end")
    hall.clock.advance(5)
    slow.dataReceived(b"h")
    late = hall.connect()

    hall.clock.advance(4.9)
    assert not silent.aborted
    hall.clock.advance(0.1)

    assert [one.aborted for one in (silent, slow, done, late)] == [True, True, False, False]
    hall.clock.advance(5)
    assert late.aborted
    assert hall.clock.getDelayedCalls() == []


def test_who_says_too_much_before_its_turn_is_cut() -> None:
    hall = Hall()
    stands = [hall.connect() for _ in range(AT_ONCE + 1)]
    for stand in stands:
        stand.dataReceived(b"hello")

    stands[-1].dataReceived(b"x" * MOST_BYTES)

    assert stands[-1].aborted
    hall.turn()
    assert hall.turn() == []


def test_a_connection_that_is_lost_while_it_waits_is_let_be() -> None:
    hall = Hall()
    stands = [hall.connect() for _ in range(AT_ONCE + 2)]
    for stand in stands:
        stand.dataReceived(b"hello")
    stands[-2].connected = False
    hall.turn()

    assert hall.turn() == [stands[-1]]


def test_a_handshake_that_breaks_stops_no_other() -> None:
    hall = Hall()
    stands = [hall.connect() for _ in range(AT_ONCE + 2)]
    for stand in stands[:AT_ONCE]:
        stand.dataReceived(b"hello")
    stands[-2].dataReceived(b"bad")
    stands[-1].dataReceived(b"hello")
    with capturedLogs() as lines:
        hall.turn()

    assert hall.turn() == stands[-2:]
    assert (stands[-2].aborted, len(lines)) == (True, 1)


# With TLS as it is.


class Ears(Protocol):
    def __init__(self, heard: list[bytes]) -> None:
        self.heard = heard

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data)

    def connectionLost(self, reason: object = None) -> None:
        self.transport = None


class Client:
    """A client of the standard library at a listener for direct TLS, in memory."""

    def __init__(self, folder: Path) -> None:
        authority = DevelopmentCA(folder, time.time())
        issued = authority.issue(["example.net"])
        self.clock = Clock()
        files = {"example.net": CertificateFiles(issued.certificate, issued.key)}
        self.store = CertificateStore(files, handshakes=Handshakes(self.clock))
        self.heard: list[bytes] = []
        listener = DirectTLS(self.store.options, self)  # type: ignore[arg-type]
        self.server: TLSMemoryBIOProtocol = listener.buildProtocol(IPv4Address("TCP", "::", 1))
        self.transport = Transport()
        self.server.makeConnection(self.transport)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cafile=str(authority.path))
        self.tls = context.wrap_bio(self._in, self._out, server_hostname="example.net")

    def buildProtocol(self, addr: Any) -> Protocol:
        return Ears(self.heard)

    doStart = doStop = Factory.doStart

    def shake_hands(self) -> None:
        for _ in range(3):
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
            self.pump()

    def pump(self) -> None:
        if data := self._out.read():
            self.server.dataReceived(data)
        self._in.write(self.transport.take())


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


def test_once_a_handshake_is_done_nothing_stands_in_the_way(client: Client) -> None:
    assert "dataReceived" in vars(client.server)
    client.shake_hands()
    assert "dataReceived" not in vars(client.server)

    client.tls.write(b"<stream>")
    client.pump()

    assert b"".join(client.heard) == b"<stream>"
    client.clock.advance(10)
    assert client.transport.ended == ""


def test_a_half_open_handshake_is_cut(client: Client) -> None:
    client.server.dataReceived(b"\x16\x03\x01\x02\x00\x01")

    client.clock.advance(10)

    assert client.transport.ended == "abort"


def test_nobody_keeps_a_connection_that_is_lost(client: Client) -> None:
    client.server.dataReceived(b"\x16\x03\x01\x02\x00\x01")
    client.server.connectionLost(Failure(ConnectionLost()))
    server = weakref.ref(client.server)

    del client.server
    gc.collect()

    assert server() is None
    client.clock.advance(10)
    assert client.clock.getDelayedCalls() == []
