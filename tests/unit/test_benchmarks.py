"""The load generator of the benchmarks, whose word on lost messages must be right."""

import socket
import sys
from array import array
from collections.abc import Iterator

import pytest

from benchmarks.load import Client, Faults
from benchmarks.login import Session

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks use epoll")

MESSAGE = (
    b"<message from='a@bench.example/bench' to='b@bench.example' id='m-%08d'>"
    b"<body>%08d words</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>"
)


class Pair:
    """A client under test, the one that writes to it, and the server's ends of both."""

    def __init__(self, *, managed: bool) -> None:
        pairs = [socket.socketpair() for _ in range(2)]
        self.servers = [server for server, _ in pairs]
        ends = [end for _, end in pairs]
        self.sender, self.client = (
            Client(Session(user, end, b"", 0), 390, managed=managed)
            for user, end in zip(("a", "b"), ends, strict=True)
        )
        self.sender.pair_with(self.client)
        self.client.pair_with(self.sender)
        for end in (*self.servers, *ends):
            end.setblocking(False)
        self.latencies = array("d")

    def deliver(self, *pieces: bytes) -> int:
        """Hand bytes to the client as reads of their own; how many messages it saw."""
        seen = 0
        for piece in pieces:
            self.servers[1].send(piece)
            seen += self.client.read(2.0, self.latencies)
        return seen

    def answer(self) -> bytes:
        assert self.client.flush()
        return self.servers[1].recv(65536)

    def close(self) -> None:
        for each in (*self.servers, self.sender.socket, self.client.socket):
            each.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair(managed=True)
    yield made
    made.close()


def test_a_message_has_the_size_that_is_asked_for(pair: Pair) -> None:
    pair.client.say(1, 0.0)

    assert len(pair.answer()) == 390


def test_messages_are_seen_however_the_bytes_are_split(pair: Pair) -> None:
    stream = b"".join(MESSAGE % (number, number) for number in range(3)) + b"<r xmlns='x'/>"
    pair.sender.say(3 * len(stream), 1.0)

    for cut in range(len(stream)):
        base = 3 * cut
        whole = b"".join(MESSAGE % (base + number, base + number) for number in range(3))
        whole += b"<r xmlns='x'/>"

        assert pair.deliver(whole[:cut], whole[cut:]) == 3
        assert pair.answer() == b"<a xmlns='urn:xmpp:sm:3' h='%d'/>" % (base + 3)

    assert pair.client.faults == Faults()
    assert set(pair.latencies) == {1.0}


def test_what_is_missing_repeated_or_late_is_counted(pair: Pair) -> None:
    pair.sender.say(6, 1.0)

    pair.deliver(*(MESSAGE % (number, number) for number in (0, 2, 2, 4, 3)))

    assert pair.client.faults == Faults(duplicated=1, disordered=1)
    assert pair.client.awaits() == 2  # 1 and 5


def test_every_fifth_message_asks_for_an_acknowledgement(pair: Pair) -> None:
    pair.client.say(10, 0.0)

    assert pair.answer().count(b"</message><r xmlns='urn:xmpp:sm:3'/>") == 2

    pair.deliver(b"<a xmlns='urn:xmpp:sm:3' h='10'/>")

    assert pair.client.handled == pair.client.stanzas_sent == 10


def test_without_stream_management_nothing_is_asked() -> None:
    pair = Pair(managed=False)
    pair.client.say(10, 0.0)

    assert b"urn:xmpp:sm:3" not in pair.answer()
    pair.close()
