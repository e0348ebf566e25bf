"""No more connections than a limit: those that are open, and those that are being made."""

from typing import Any

import pytest
from twisted.internet import reactor as the_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import TestCase

from pushd.net.bounded import Bound
from pushd.net.http import Fault, HTTPError, Road, either
from pushd.net.outward import STRANGERS, Outward
from tests.patience import LONGEST

reactor: Any = the_reactor


class Way:
    """An endpoint whose attempts the test ends."""

    def __init__(self) -> None:
        self.attempts: list[tuple[Any, Deferred[Any]]] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        self.attempts.append((factory, Deferred()))
        return self.attempts[-1][1]

    def open(self, number: int) -> Any:
        factory, attempt = self.attempts[number]
        protocol = factory.buildProtocol(None)
        protocol.makeConnection(StringTransport())
        attempt.callback(protocol)
        return protocol


def connect(bound: Bound, way: Any) -> Deferred[Any]:
    return bound.on(way).connect(Factory.forProtocol(Protocol))


def refused(attempt: Deferred[Any]) -> HTTPError:
    found: list[Any] = []
    attempt.addErrback(lambda failure: found.append(failure.value))
    (error,) = found
    assert isinstance(error, HTTPError)
    return error


def test_what_is_being_made_counts() -> None:
    bound, way = Bound(2), Way()
    for _ in range(2):
        connect(bound, way)
    assert refused(connect(bound, way)).fault is Fault.UNREACHABLE
    assert len(way.attempts) == 2


def test_who_comes_late_gets_the_place_of_one_that_is_only_kept() -> None:
    bound, way = Bound(1), Way()
    connect(bound, way)
    kept = [way.open(0)]

    def make_room() -> bool:
        return bool(kept) and kept.pop() is not None

    bound.make_room = make_room
    connect(bound, way)
    assert len(way.attempts) == 2
    assert refused(connect(bound, way)).fault is Fault.UNREACHABLE


def test_what_has_ended_counts_no_more() -> None:
    bound, way = Bound(1), Way()
    connecting = connect(bound, way)
    protocol = way.open(0)
    opened: list[Any] = []
    connecting.addCallback(opened.append)
    assert isinstance(opened[0], Protocol)
    assert bound.taken == 1
    refused(connect(bound, way))
    protocol.connectionLost()
    assert bound.taken == 0
    connect(bound, way)
    assert len(way.attempts) == 2


@pytest.mark.parametrize("times", [1, 5])
def test_what_came_to_nothing_counts_no_more(times: int) -> None:
    bound, way = Bound(1), Way()
    for number in range(times):
        connecting = connect(bound, way)
        way.attempts[number][1].errback(ConnectionRefusedError())
        connecting.addErrback(lambda failure: failure.trap(ConnectionRefusedError))
        assert bound.taken == 0


def test_an_attempt_that_is_given_up_counts_no_more() -> None:
    bound, way = Bound(1), Way()
    connecting = connect(bound, way)
    connecting.addErrback(lambda _: None)
    connecting.cancel()
    assert bound.taken == 0


class RealConnections(TestCase):
    timeout = LONGEST

    async def test_data_goes_through_and_the_end_is_noticed(self) -> None:
        ended: Deferred[None] = Deferred()

        class Echo(Protocol):
            def dataReceived(self, data: bytes) -> None:
                self.transport.write(data)  # type: ignore[union-attr]
                self.transport.loseConnection()  # type: ignore[union-attr]

        class Caller(Protocol):
            said = b""

            def connectionMade(self) -> None:
                self.transport.write(b"hello")  # type: ignore[union-attr]

            def dataReceived(self, data: bytes) -> None:
                self.said += data

            def connectionLost(self, reason: Any = None) -> None:
                ended.callback(None)

        port = reactor.listenTCP(0, Factory.forProtocol(Echo), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        bound = Bound(1)
        way = HostnameEndpoint(reactor, "127.0.0.1", port.getHost().port)
        caller: Any = await bound.on(way).connect(Factory.forProtocol(Caller))
        assert bound.taken == 1
        await ended
        assert (caller.said, bound.taken) == (b"hello", 0)


def test_strangers_have_a_bound_and_others_have_none() -> None:
    open_way = Outward(reactor, Road()).endpoint("http", "push.example.org", 80)
    assert isinstance(open_way, HostnameEndpoint)
    outward = Outward(reactor, Road(is_public=True))
    outward.bound.taken = STRANGERS
    way = outward.endpoint("http", "push.example.org", 80)
    assert refused(way.connect(Factory.forProtocol(Protocol))).text == "500 connections are enough"


def test_hosts_that_strangers_name_make_room_for_each_other() -> None:
    client: Any = either(reactor, Road(is_public=True))
    agent = client._way
    assert agent._http2._endpoint.__self__.bound.make_room == agent.make_room
