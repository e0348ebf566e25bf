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
from twisted.python.failure import Failure
from zope.interface import implementer

from pushd.net.arranged import Arranged
from pushd.net.names import Resolution
from pushd.net.public import is_public
from pushd.net.srv import LookupFailed, Resolver, address_of

MOST = 8  # addresses of a host that are tried: an answer may hold thousands


class Racing(Arranged):
    """A reactor for endpoints: the one that is given, with the addresses of both families mixed.

    An endpoint tries one after another within a fraction of a second, and takes what stands
    first. Names are looked up by `resolver`, or as the reactor does. `left_out` are the addresses
    that are not of the public internet, where only those are wanted.
    """

    def __init__(
        self, reactor: Any, resolver: Resolver | None = None, only_public: bool = False
    ) -> None:
        self.left_out: list[str] = []

        def arrange(host: str, addresses: list[Any]) -> list[Any]:
            usable = [one for one in addresses if not only_public or is_public(one.host)]
            self.left_out = [one.host for one in addresses if one not in usable][:MOST]
            return mixed(usable)[:MOST]

        own = None if resolver is None else _Own(reactor, resolver)
        super().__init__(reactor, arrange, own)


@implementer(IHostnameResolver)
class _Own:
    """A resolver of our own for endpoints; addresses need no looking up."""

    def __init__(self, reactor: Any, resolver: Resolver) -> None:
        self._reactor = reactor
        self._resolver = resolver

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,  # noqa: N803  named by Twisted
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Sequence[type[IAddress]] | None = None,  # noqa: N803
        transportSemantics: str = "TCP",  # noqa: N803
    ) -> IHostResolution:
        if address_of(hostName) is not None:
            usual: IHostnameResolver = self._reactor.nameResolver
            return usual.resolveHostName(
                resolutionReceiver, hostName, portNumber, addressTypes, transportSemantics
            )
        resolution = Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        asked = self._resolver.addresses(hostName)
        asked.addErrback(_unanswered, resolution)
        asked.addCallback(_tell, resolutionReceiver, portNumber)
        return resolution


def _unanswered(failure: Failure, resolution: Resolution) -> list[str]:
    failure.trap(LookupFailed)
    resolution.is_answered = False
    return []


def _tell(found: list[str], receiver: IResolutionReceiver, port: int) -> None:
    for address in found:
        kind = IPv6Address if ":" in address else IPv4Address
        receiver.addressResolved(kind("TCP", address, port))
    receiver.resolutionComplete()


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
