"""What belongs to the public internet, and that nothing else is connected to."""

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor as the_reactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import DNSLookupError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import TestCase

from pushd.config.proxies import Proxy
from pushd.net.http import Fault, HTTPError, Road, either, http11
from pushd.net.names import Names
from pushd.net.outward import Outward
from pushd.net.proxy import Tunnel
from pushd.net.public import PublicOnly, is_public, may_be_public
from tests.patience import LONGEST, PATIENCE
from tests.unit.net.test_spread import Resolver

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.88.98.1",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2000::1",
    "2001:200::1",
    "2606:4700::1111",
    "2a00:1450::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]
# Each is told by a name or by an address in an endpoint, in some spelling or other.
NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.9",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::1",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_public_internet_is_one(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", [*NOT_PUBLIC, "", "x", "127.1", "push.example.org"])
def test_what_is_special_or_no_address_is_not(address: str) -> None:
    assert not is_public(address)


# The registries' own words, in networks.
SPECIAL = [
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        *("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "100::/64", "2001::/23"),
        *("2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7"),
        *("fe80::/10", "fec0::/10", "ff00::/8"),
    )
]


@st.composite
def special(draw: st.DrawFn) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    network = draw(st.sampled_from(SPECIAL))
    return network[draw(st.integers(0, network.num_addresses - 1))]


def spellings(address: Any) -> list[str]:
    """As texts for `ip_address`; an IPv4 address also within one of IPv6."""
    if address.version == 6:
        return [str(address), address.exploded, address.compressed.upper()]
    within = (f"::ffff:{address}", f"64:ff9b::{address}", f"::{address}", f"::ffff:0:{address}")
    return [
        str(address),
        *within,
        str(ipaddress.IPv6Address((0x2002 << 112) + (int(address) << 80))),
    ]


@given(special())
def test_no_special_address_passes_in_any_spelling(address: Any) -> None:
    assert not any(map(is_public, spellings(address)))


@given(st.ip_addresses())
def test_what_passes_is_what_python_calls_global(address: Any) -> None:
    """Python's table is too wide, and never too narrow for what is public by ours."""
    if is_public(str(address)):
        meant = getattr(address, "ipv4_mapped", None) or address
        is_nat = meant.version == 6 and meant in ipaddress.ip_network("64:ff9b::/96")
        assert is_nat or (meant.is_global and not meant.is_multicast and not meant.is_reserved)


@pytest.mark.parametrize(
    ("host", "may_be"),
    [
        ("push.example.org", True),
        ("8.8.8.8", True),
        ("2a00:1450::1", True),
        ("x.2a", True),
        ("localhost", False),
        ("push.localhost", False),
        ("push.localhost.", False),
        ("intranet", False),
        ("127.1", False),
        ("0x7f.1", False),
        ("127.0.0.0x1", False),
        ("2130706433", False),
        ("8.8.8.8.", True),
        ("10.0.0.1.", False),
        ("0", False),
        ("", False),
        ("::1", False),
    ],
)
def test_a_host_is_looked_at_before_any_name_is_looked_up(host: str, may_be: bool) -> None:
    assert may_be_public(host) is may_be


# Connecting.

GOOD, BAD = IPv4Address("TCP", "8.8.8.8", 443), IPv4Address("TCP", "127.0.0.1", 443)
GOOD_6, BAD_6 = IPv6Address("TCP", "2606:4700::1", 443), IPv6Address("TCP", "::1", 443)


class Net:
    """What a name leads to, and what is connected to for it."""

    def __init__(self, *addresses: Any) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.resolver = Resolver(*addresses)
        self.reactor.installNameResolver(self.resolver)

    def connect(self, endpoint: Any = None) -> list[str]:
        """Every address that is tried, though none answers; what the attempt comes to."""
        failed: list[Any] = []
        if endpoint is None:
            endpoint = HostnameEndpoint(PublicOnly(self.reactor), "push.example.org", 443)
        endpoint.connect(Factory.forProtocol(Protocol)).addErrback(failed.append)
        self.reactor.advance(30.0)
        self.error = failed[0].value if failed else None
        return [client[0] for client in self.reactor.tcpClients]


def test_of_what_a_name_leads_to_only_what_is_public_is_tried() -> None:
    net = Net(BAD, BAD_6, GOOD, GOOD_6)
    endpoint = HostnameEndpoint(PublicOnly(net.reactor), "push.example.org", 443)
    endpoint.connect(Factory.forProtocol(Protocol))
    for _ in range(10):
        net.reactor.advance(0.5)
    assert {client[0] for client in net.reactor.tcpClients} == {"8.8.8.8", "2606:4700::1"}


def test_a_name_that_leads_to_nothing_public_has_no_address() -> None:
    net = Net(BAD, BAD_6)
    assert net.connect() == []
    assert isinstance(net.error, DNSLookupError)


def test_a_name_that_is_bound_anew_is_judged_anew() -> None:
    net = Net(GOOD)
    assert net.connect() == ["8.8.8.8"]
    net.resolver.addresses = (BAD,)
    assert net.connect() == ["8.8.8.8"]  # nothing was added
    assert isinstance(net.error, DNSLookupError)


def test_a_road_of_strangers_leads_to_public_addresses_alone() -> None:
    net = Net(BAD)
    outward = Outward(net.reactor, Road(is_public=True))
    assert net.connect(outward.endpoint("http", "push.example.org", 80)) == []
    assert isinstance(net.error, DNSLookupError)
    other = Outward(net.reactor, Road())
    assert net.connect(other.endpoint("http", "push.example.org", 80)) == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "localhost", "::1", "10.1"])
def test_a_proxy_is_asked_for_no_host_that_cannot_be_public(host: str) -> None:
    net = Net(BAD)
    proxy = Proxy("proxy.example.net", 3128)
    outward = Outward(net.reactor, Road(proxy=proxy, is_public=True))
    assert net.connect(outward.endpoint("http", host, 80)) == []
    assert isinstance(net.error, DNSLookupError)


def test_a_proxy_may_be_in_the_house() -> None:
    net = Net(BAD)
    proxy = Proxy("proxy.example.net", 3128)
    way = Outward(net.reactor, Road(proxy=proxy, is_public=True)).way("a.example", 80)
    assert isinstance(way, Tunnel)
    assert net.connect(way) == ["127.0.0.1"]


STRANGERS = Road(is_public=True)
SPELT = (
    *("127.0.0.1", "127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0"),
    *("localhost", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]"),
)


class TestRealNames(TestCase):
    """With the system's resolver, which reads odd spellings as addresses."""

    timeout = LONGEST

    async def test_no_spelling_of_this_machine_is_reached_by_either_http(self) -> None:
        reactor: Any = the_reactor
        before = reactor.installNameResolver(Names(reactor))
        self.addCleanup(reactor.installNameResolver, before)
        heard: list[str] = []

        class Door(Protocol):
            def connectionMade(self) -> None:
                heard.append("a connection")

        port = reactor.listenTCP(0, Factory.forProtocol(Door), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number = port.getHost().port
        for host in SPELT:  # as if nobody had looked at it before
            way = HostnameEndpoint(PublicOnly(reactor), host.strip("[]"), number)
            with pytest.raises(DNSLookupError):
                await way.connect(Factory.forProtocol(Protocol))
        for client in (http11(reactor, STRANGERS), either(reactor, STRANGERS)):
            self.addCleanup(client.close)
            for url in (
                f"{way}://{host}:{number}/x" for host in SPELT for way in ("http", "https")
            ):
                with pytest.raises(HTTPError, match="the host has no address") as raised:
                    await client.send("POST", url, {}, b"x", PATIENCE)
                assert raised.value.fault is Fault.UNREACHABLE
        assert heard == []
