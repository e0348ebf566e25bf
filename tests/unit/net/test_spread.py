"""Which of a host's addresses is tried first."""

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from zope.interface import implementer

from pushd.net.spread import REMEMBERED, Spreading, in_turn

ONE, TWO, THREE = (IPv4Address("TCP", f"192.0.2.{number}", 443) for number in (1, 2, 3))
SIX, SEVEN = (IPv6Address("TCP", f"2001:db8::{number}", 443) for number in (6, 7))


def test_addresses_of_a_kind_take_turns() -> None:
    firsts = [in_turn([ONE, TWO, THREE], turn)[0] for turn in range(4)]
    assert firsts == [ONE, TWO, THREE, ONE]


def test_of_a_few_addresses_none_is_lost_and_kinds_stay_where_they_were() -> None:
    assert in_turn([SIX, ONE, SEVEN, TWO, THREE], 1) == [SEVEN, TWO, SIX, THREE, ONE]
    assert in_turn([], 5) == []


def test_a_few_of_very_many_are_tried_and_each_has_its_turn() -> None:
    fours = [IPv4Address("TCP", f"198.51.100.{number}", 443) for number in range(200)]
    sixes = [IPv6Address("TCP", f"2001:db8::{number}", 443) for number in range(200)]
    assert in_turn([*sixes, *fours], 199) == [sixes[199], *sixes[:3], fours[199], *fours[:3]]
    assert {in_turn([*fours], turn)[0] for turn in range(200)} == {*fours}


@implementer(IHostnameResolver)
class Resolver:
    """Knows the same addresses for every name, and remembers how often it was asked."""

    def __init__(self, *addresses: Any) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    def resolveHostName(
        self,
        resolutionReceiver: Any,  # noqa: N803
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Any = None,  # noqa: N803
        transportSemantics: str = "TCP",  # noqa: N803
    ) -> Any:
        self.asked.append(hostName)
        resolutionReceiver.resolutionBegan(None)
        for address in self.addresses:
            resolutionReceiver.addressResolved(address)
        resolutionReceiver.resolutionComplete()


class Net:
    def __init__(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.resolver = Resolver(ONE, TWO)
        self.reactor.installNameResolver(self.resolver)
        self.spreading = Spreading(self.reactor)

    def connect(self, host: str) -> str:
        """Where a connection to the host is tried first."""
        before = len(self.reactor.tcpClients)
        HostnameEndpoint(self.spreading, host, 443).connect(Factory.forProtocol(Protocol))
        found: str = self.reactor.tcpClients[before][0]
        return found


def test_each_connection_looks_the_name_up_and_begins_with_another_address() -> None:
    net = Net()
    places = [net.connect("api.example.net") for _ in range(3)]
    assert places == ["192.0.2.1", "192.0.2.2", "192.0.2.1"]
    assert net.resolver.asked == ["api.example.net"] * 3


def test_hosts_take_turns_each_for_itself() -> None:
    net = Net()
    assert net.connect("a.example.net") == net.connect("b.example.net") == "192.0.2.1"


def test_no_more_hosts_are_remembered_than_a_limit() -> None:
    net = Net()
    for number in range(REMEMBERED + 10):
        net.connect(f"{number}.example.net")
    assert len(net.spreading._turns) == REMEMBERED
