"""Connections that break without a word, on real sockets of this machine."""

import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from pushd.net.stranding import MOST, Stranded, deafen
from tests.patience import PATIENCE

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux drops what comes in")


class Pair:
    """A connection over TCP: the client's end, and the server's."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.client = socket.create_connection(listener.getsockname(), timeout=PATIENCE)
            self.server, _ = listener.accept()
        self.server.setblocking(False)

    def close_server(self) -> None:
        """As a server cuts a connection: closed at once, by RST."""
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.server.close()

    def client_hears(self, seconds: float = 0.0) -> bool:
        """Whether anything comes by then: bytes, FIN or RST. On loopback that is mostly now."""
        waiting = select.poll()
        waiting.register(self.client, select.POLLIN)
        return bool(waiting.poll(seconds * 1e3))

    def unacknowledged(self) -> int:
        """How many segments the server's system has not acknowledged."""
        info = self.client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        return int(struct.unpack_from("I", info, 24)[0])


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    with closing(made.client), closing(made.server):
        yield made


def test_a_connection_that_is_kept_outlives_its_server_s_end(pair: Pair) -> None:
    stranded = Stranded()
    stranded.keep(pair.server.fileno())
    pair.close_server()
    assert not pair.client_hears()
    pair.client.sendall(b"<r/>")
    assert not pair.client_hears()
    assert len(stranded) == 1
    stranded.close()
    with pytest.raises(ConnectionResetError):
        pair.client.recv(1)
    assert len(stranded) == 0


@linux
def test_what_a_client_sends_into_the_dark_is_not_even_acknowledged(pair: Pair) -> None:
    pair.client.sendall(b"before")
    while pair.unacknowledged():
        time.sleep(0.001)  # a busy system has more to do
    stranded = Stranded()
    stranded.keep(pair.server.fileno())
    pair.client.sendall(b"after")
    assert pair.unacknowledged() > 0
    stranded.close()


@linux
def test_a_deaf_server_speaks_and_hears_nothing(pair: Pair) -> None:
    assert deafen(pair.server.fileno())
    pair.server.sendall(b"<message/>")
    assert pair.client.recv(100) == b"<message/>"
    pair.client.sendall(b"<a h='1'/>")
    assert pair.unacknowledged() > 0
    with pytest.raises(BlockingIOError):
        pair.server.recv(100)


def test_elsewhere_than_on_linux_nothing_can_be_dropped(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not deafen(pair.server.fileno())
    stranded = Stranded()
    stranded.keep(pair.server.fileno())
    pair.close_server()
    pair.client.sendall(b"<r/>")
    assert not pair.client_hears()
    stranded.close()


def test_no_more_than_so_many_are_kept(pair: Pair) -> None:
    stranded = Stranded()
    other = Pair()
    with closing(other.client), closing(other.server):
        stranded.keep(pair.server.fileno())
        pair.close_server()
        for _ in range(MOST):
            stranded.keep(other.server.fileno())
        assert len(stranded) == MOST
        assert pair.client_hears(PATIENCE)
        assert not other.client_hears()
        stranded.close()


@pytest.mark.parametrize("act", [deafen, lambda descriptor: Stranded().keep(descriptor)])
def test_what_is_no_socket_is_refused(act: object) -> None:
    assert callable(act)
    with pytest.raises(OSError, match=r"Bad file descriptor|Socket operation"):
        act(-1)
