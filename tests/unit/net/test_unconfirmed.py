"""How much the other machine has not confirmed, over real sockets."""

import socket
from collections.abc import Iterator

import pytest

from pushd.net.unconfirmed import in_kernel, tcp, unconfirmed
from tests.support import Transport


class Connection:
    """What Twisted has of a connection, as far as it matters here."""

    def __init__(self, handle: socket.socket) -> None:
        self.socket = handle
        self.dataBuffer = b""
        self.offset = 0
        self._tempDataLen = 0


class Secured:
    """TLS over a connection."""

    def __init__(self, below: Connection) -> None:
        self.transport = below
        self._appSendBuffer = [b"abc", b"de"]


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection; the second one reads nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        with socket.create_connection(listening.getsockname()) as ours:
            theirs, _ = listening.accept()
            with theirs:
                ours.setblocking(False)
                yield ours, theirs


def fill(ours: socket.socket) -> int:
    size = 0
    while True:
        try:
            size += ours.send(bytes(65_536))
        except BlockingIOError:
            return size


def test_what_the_other_machine_has_no_room_for_is_unconfirmed(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, _ = ends
    assert in_kernel(ours) == 0
    size = fill(ours)
    assert 0 < in_kernel(ours) <= size


def test_what_waits_above_the_system_counts(ends: tuple[socket.socket, socket.socket]) -> None:
    connection = Connection(ends[0])
    assert unconfirmed(connection) == 0
    connection.dataBuffer, connection.offset, connection._tempDataLen = b"12345", 2, 7
    assert unconfirmed(connection) == 10
    secured = Secured(connection)
    assert tcp(secured) is connection
    assert unconfirmed(secured) == 15


def test_where_there_is_no_socket_nothing_is_unconfirmed(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    assert unconfirmed(Transport()) == 0
    ends[0].close()
    assert in_kernel(ends[0]) == 0
