"""Connections to a host of both IP families, of which the fastest is taken (RFC 8305).

Names are looked up by a resolver of our own, or as the reactor does. Others choose where theirs
lead: what is not of the public internet is left out unless that is meant to be reached.
"""

from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from zope.interface import directlyProvides, implementer, providedBy

from pushd.net.public import is_public
from pushd.net.srv import Resolver, address_of


class Racing:
    """A reactor for endpoints: the one that is given, with the addresses of both families mixed.

    An endpoint tries one after another within a fraction of a second, and takes what stands
    first. Names are looked up by `resolver`, or as the reactor does.
    """

    def __init__(
        self, reactor: Any, resolver: Resolver | None = None, only_public: bool = False
    ) -> None:
        self._reactor = reactor
        self._resolver = resolver
        self._only_public = only_public
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    @property
    def nameResolver(self) -> IHostnameResolver:
        found: IHostnameResolver = _Mixing(
            self._reactor.nameResolver, self._resolver, self._only_public
        )
        return found


@implementer(IHostnameResolver)
class _Mixing:
    def __init__(
        self, usual: IHostnameResolver, resolver: Resolver | None, only_public: bool
    ) -> None:
        self._only_public = only_public
        self._usual = usual
        self._resolver = resolver

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,  # noqa: N803  named by Twisted
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Sequence[type[IAddress]] | None = None,  # noqa: N803
        transportSemantics: str = "TCP",  # noqa: N803
    ) -> IHostResolution:
        receiver: Any = _Receiver(resolutionReceiver, self._only_public)
        if self._resolver is None or address_of(hostName) is not None:
            return self._usual.resolveHostName(
                receiver, hostName, portNumber, addressTypes, transportSemantics
            )
        resolution = _Resolution(hostName)
        receiver.resolutionBegan(resolution)
        asked = self._resolver.addresses(hostName)
        asked.addCallback(_tell, receiver, portNumber)
        return resolution


def _tell(found: list[str], receiver: Any, port: int) -> None:
    for address in found:
        kind = IPv6Address if ":" in address else IPv4Address
        receiver.addressResolved(kind("TCP", address, port))
    receiver.resolutionComplete()


@implementer(IHostResolution)
class _Resolution:
    """A lookup under way; it ends by itself."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        raise NotImplementedError


@implementer(IResolutionReceiver)
class _Receiver:
    """Keeps the addresses until all have come."""

    def __init__(self, receiver: IResolutionReceiver, only_public: bool) -> None:
        self._receiver = receiver
        self._only_public = only_public
        self._addresses: list[IAddress] = []

    def resolutionBegan(self, resolution: IHostResolution) -> None:
        self._receiver.resolutionBegan(resolution)

    def addressResolved(self, address: Any) -> None:
        if not self._only_public or is_public(address.host):
            self._addresses.append(address)

    def resolutionComplete(self) -> None:
        for address in mixed(self._addresses):
            self._receiver.addressResolved(address)
        self._receiver.resolutionComplete()


def mixed(addresses: Sequence[IAddress]) -> list[IAddress]:
    """One of each family by turns, beginning with the one that stood first (RFC 8305 §4)."""
    if not addresses:
        return []
    first = [one for one in addresses if type(one) is type(addresses[0])]
    others = [one for one in addresses if type(one) is not type(addresses[0])]
    found = []
    for place in range(max(len(first), len(others))):
        found += first[place : place + 1] + others[place : place + 1]
    return found
