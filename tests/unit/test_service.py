"""What of the house put together needs no sockets to be tested."""

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from pushd.service import Server
from tests.support import result_of


def test_a_stop_waits_for_nobody_longer_than_it_says() -> None:
    clock = Clock()
    server = Server.__new__(Server)
    server._reactor = clock
    never: Deferred[None] = Deferred()

    waiting = Deferred.fromCoroutine(server._within(8.0, never, "some connections"))
    clock.advance(8.0)

    assert result_of(waiting) is False
    assert result_of(server._within(8.0, succeed(None), "some connections")) is True
