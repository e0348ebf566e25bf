"""The way to another server, as who looks at it is told."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer

from pushd.net.names import Resolution
from pushd.net.srv import LookupFailed, Record, Target
from pushd.s2s.calling import Caller
from pushd.s2s.faults import Fault
from pushd.s2s.outgoing import Outgoing
from pushd.s2s.pairs import Pair
from pushd.s2s.peers import Peers
from tests.support import result_of
from tests.unit.s2s.house import HERE, House


class Names:
    """Name servers: `services` are SRV records by name, `hosts` addresses."""

    def __init__(self, services: dict[str, list[Record]], hosts: dict[str, list[str]]) -> None:
        self.services, self.hosts = services, hosts

    def records(self, name: str) -> "Deferred[list[Record]]":
        return succeed(self.services.get(name, []))

    def addresses(self, name: str) -> "Deferred[list[str]]":
        if name == "silent.example":
            return fail(LookupFailed())
        return succeed(self.hosts.get(name, []))


NAMES = Names(
    {
        "_xmpp-server._tcp.closed.example": [Record(0, 0, "host.example", 5269)],
        "_xmpp-server._tcp.none.example": [Record(0, 0, "", 0)],
        "_xmpp-server._tcp.lost.example": [Record(0, 0, "nowhere.example", 5269)],
    },
    {"host.example": ["192.0.9.1"], "inside.example": ["127.0.0.2", "10.0.0.1"]},
)
TOLD: dict[str, tuple[str, str, str]] = {
    # of a domain: what is said of its records, the step that fails, why
    "closed.example": (
        "host.example:5269",
        "connect",
        "no connection to host.example:5269: Connection refused",
    ),
    "none.example": ("", "absent", "none.example says that it has no server"),
    "lost.example": ("nowhere.example:5269", "absent", "nowhere.example has no address"),
    "nobody.example": (
        "none, so that the domain itself is tried: nobody.example:5269",
        "absent",
        "nobody.example has no address",
    ),
    "silent.example": (
        "none, so that the domain itself is tried: silent.example:5269",
        "dns",
        "the name servers have no answer for silent.example",
    ),
    "inside.example": (
        "none, so that the domain itself is tried: inside.example:5269",
        "absent",
        "inside.example leads to 127.0.0.2, 10.0.0.1, not of the public internet: "
        "s2s.allow_private has such addresses connected to",
    ),
}


@pytest.mark.parametrize("domain", TOLD)
def test_it_is_told_how_far_it_leads(domain: str) -> None:
    house = House(policy="require")
    reactor: Any = MemoryReactorClock()
    names: Any = NAMES
    told: dict[str, str] = {}
    caller = Caller(reactor, names, names)
    calling = Deferred.fromCoroutine(
        caller.call(house.peers, (HERE, domain), tell=told.__setitem__)
    )
    for _, _, factory, *_ in reactor.tcpClients:
        factory.clientConnectionFailed(None, Failure(Refused(111, "no")))
    reactor.advance(1)
    with pytest.raises(Fault) as raised:
        result_of(calling)
    fault = raised.value
    assert (told.get("records", ""), fault.step, fault.text) == TOLD[domain]


@implementer(IHostnameResolver)
class Unheard:
    """The system's resolver, whose name servers are silent."""

    def resolveHostName(  # type: ignore[override]
        self, receiver: Any, name: str, *rest: Any, **more: Any
    ) -> Resolution:
        resolution = Resolution(name)
        resolution.is_answered = False
        receiver.resolutionBegan(resolution)
        receiver.resolutionComplete()
        return resolution


def test_a_system_without_an_answer_does_not_say_that_there_is_no_such_host() -> None:
    reactor: Any = MemoryReactorClock()
    reactor.installNameResolver(Unheard())
    names: Any = NAMES
    house = House()
    caller = Caller(reactor, names, allow_private=True)
    calling = Deferred.fromCoroutine(caller.call(house.peers, (HERE, "lost.example")))
    with pytest.raises(Fault) as raised:
        result_of(calling)
    fault = raised.value
    assert (fault.step, fault.text) == (
        "dns",
        "the name servers have no answer for nowhere.example",
    )


class Played(Caller):
    """Whose places all come to this fault."""

    def __init__(self, step: str) -> None:
        names: Any = Names(
            {
                "_xmpps-server._tcp.two.example": [Record(1, 0, "first.example", 5270)],
                "_xmpp-server._tcp.two.example": [Record(2, 0, "second.example", 5269)],
            },
            {},
        )
        reactor: Any = MemoryReactorClock()
        super().__init__(reactor, names)
        self.step = step
        self.tried: list[str] = []
        self.house = House()

    async def _try(self, peers: Peers, pair: Pair, target: Target, to_verify: bool) -> Outgoing:
        self.tried.append(target.host)
        if self.step == "closed":
            peers.stop()
        raise Fault(self.step, "a test has it so")

    def call_two(self) -> list[str]:
        calling = Deferred.fromCoroutine(self.call(self.house.peers, (HERE, "two.example")))
        self.house.hall.advance(0)
        calling.addErrback(lambda failure: failure.trap(Fault))
        return self.tried


@pytest.mark.parametrize("step", ["connect", "tls", "certificate", "timeout", "stream-error"])
def test_the_next_place_may_do_better(step: str) -> None:
    assert Played(step).call_two() == ["first.example", "second.example"]


@pytest.mark.parametrize("step", ["refused", "authentication", "dialback"])
def test_a_server_speaks_for_its_domain_at_any_place(step: str) -> None:
    assert Played(step).call_two() == ["first.example"]


def test_a_server_that_stops_tries_no_other_place() -> None:
    assert Played("closed").call_two() == ["first.example"]
