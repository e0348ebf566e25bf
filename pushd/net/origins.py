"""Where a connection comes from, as far as limits for an address go."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

LOOPBACK: tuple[IPv4Network | IPv6Network, ...] = (
    IPv4Network("127.0.0.0/8"),
    IPv6Network("::1/128"),
)

REMEMBERED = 4_096  # addresses, as whoever comes from one mostly comes again


class Origins:
    """Which addresses are taken together, and which have no limit of their own.

    An IPv6 network of 64 bits is one origin, as anyone has so many addresses. `exempt` are
    networks of which a single address may speak for many: those of proxies.
    """

    def __init__(self, exempt: Iterable[IPv4Network | IPv6Network] = LOOPBACK) -> None:
        self._exempt = tuple(exempt)
        self.of = lru_cache(REMEMBERED)(self._of)

    def _of(self, host: str) -> str:
        """The origin of an IP address; empty for one that is exempt, and for what is none."""
        try:
            address = ip_address(host.partition("%")[0])
        except ValueError:
            return ""
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped  # on a socket that takes both kinds
        if any(address in network for network in self._exempt):
            return ""
        if isinstance(address, IPv6Address):
            return str(IPv6Address(int(address) >> 64 << 64))
        return str(address)
