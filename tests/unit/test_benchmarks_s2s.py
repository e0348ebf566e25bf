"""The server of elsewhere in the benchmarks: how it proves itself, and what it counts."""

import socket
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.far import FAR, Far, domains, elsewhere
from benchmarks.federated import FEDERATED
from benchmarks.federation import SIZE, Course, Ear, Traffic, faults
from benchmarks.login import LoginError, Session
from benchmarks.servers import SERVERS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks use epoll")


class Way:
    """Two courses over one stream, from an ear to another."""

    def __init__(self) -> None:
        ends = socket.socketpair()
        self.sender, self.hearer = (Ear(Session("u", end, b"", 0)) for end in ends)
        self.courses = [Course(n, self.sender, "a@far.example/x", f"u{n}@here") for n in (0, 7)]
        for course in self.courses:
            self.hearer.hear(course)

    def said(self) -> bytes:
        """What the sender has to say; it does not arrive."""
        said = bytes(self.sender._out)
        self.sender._out.clear()
        return said

    def hear(self, data: bytes) -> int:
        self.hearer._in += data
        return self.hearer.take(1.0, array("d"))


@pytest.fixture
def way() -> Iterator[Way]:
    made = Way()
    yield made
    made.sender.socket.close()
    made.hearer.socket.close()


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Far]:
    with elsewhere(tmp_path, [FAR, *domains(3)]) as made:
        made._calling.check_hostname = False  # it calls itself
        yield made


def test_a_message_has_the_size_that_is_asked_for(way: Way) -> None:
    way.courses[1].say(1, 0.0)

    assert len(way.said()) == SIZE


def test_each_course_counts_for_itself(way: Way) -> None:
    first, second = way.courses
    first.say(2, 0.0)
    second.say(3, 0.0)

    assert way.hear(way.said()) == 5
    assert way.hearer.came == {first: 2, second: 3}
    assert faults([way.hearer]) == ""


def test_what_is_missing_repeated_or_late_is_counted(way: Way) -> None:
    first, second = way.courses
    first.say(1, 0.0)
    one = way.said()
    first.say(1, 0.0)
    two = way.said()
    second.say(1, 0.0)  # and it is lost

    way.hear(two + one + one)

    assert faults([way.hearer]) == "1 lost, 1 duplicated, 1 disordered"


def test_what_has_come_is_followed_by_as_much(way: Way) -> None:
    traffic = Traffic([way.sender, way.hearer])
    traffic.begin(3)

    count = traffic.go_on(0.05)
    traffic.loop.finish()
    traffic.loop.close()

    assert count > 6
    assert sum(len(course.hears) for course in way.courses) >= count + 6
    assert faults([way.hearer]) == ""


def test_it_is_believed_by_its_own_kind(far: Far) -> None:
    (name,) = domains(1)

    call = far.call(far.port, name)
    arrived = far.arrived(1)["bench.example"]  # that is where it calls

    assert call.user == name
    arrived.socket.sendall(b"<iq/>")
    assert call.socket.recv(100) == b"<iq/>"
    call.socket.close()


def test_who_says_nothing_sensible_is_not_waited_for(far: Far) -> None:
    with socket.create_connection(("127.0.0.1", far.port)) as stranger:
        stranger.sendall(b"<stream:error/>")

        with pytest.raises(LoginError, match="0 streams of 1 came"):
            far.arrived(1)


def test_each_server_can_be_tried_among_others() -> None:
    assert FEDERATED.keys() == SERVERS.keys()
    assert all(issubclass(FEDERATED[name], SERVERS[name]) for name in SERVERS)
