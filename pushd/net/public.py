"""The public internet, and connections to nothing else.

Where a stranger names a host that we are to speak to, its name may lead into our own house:
to this machine, to its neighbours, to what a cloud keeps for its guests. What a name leads to
is judged when a connection is made, address by address, and only what passed is connected to;
so it does not matter what the name led to before, nor how an address is spelt.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from pushd.net.arranged import Arranged
from pushd.net.names import Names

# `ipaddress.is_global` is another from Python to Python, and true for too much: multicast,
# addresses that have an IPv4 address in them. This is IANA's registries of special purposes.
_SPECIAL_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/3",
        ),
    )
)
_GLOBAL_6 = IPv6Network("2000::/3")
_SPECIAL_6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are where it leads


def is_public(text: str) -> bool:
    """Whether an IP address belongs to the public internet. What is none does not."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        within = _within(address)
        if within is None:
            return address in _GLOBAL_6 and not any(address in network for network in _SPECIAL_6)
        address = within
    return not any(address in network for network in _SPECIAL_4)


def _within(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that is meant by it."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped


def may_be_public(host: str) -> bool:
    """Whether a host, as it stands in a URL, can be one of the public internet.

    That needs no look at the network, and is no more than a first look. IPv4 addresses have
    to be spelt in the usual way: elsewhere `127.1` and `0x7f.1` are loopback as well.
    """
    host = host.lower().rstrip(".")
    last = host.rpartition(".")[2]
    if ":" in host or re.fullmatch(r"0x[0-9a-f]*|[0-9]+", last):
        return is_public(host)
    return "." in host and last != "localhost"


class PublicOnly(Arranged):
    """A reactor for endpoints: the one that is given, without any address but public ones.

    Its names are looked up apart: a stranger's that nobody answers for keep no others waiting.
    """

    def __init__(self, reactor: Any) -> None:
        usual = reactor.nameResolver
        super().__init__(reactor, _public, usual.apart() if isinstance(usual, Names) else usual)


def _public(host: str, addresses: list[Any]) -> list[Any]:
    return [address for address in addresses if is_public(address.host)]
