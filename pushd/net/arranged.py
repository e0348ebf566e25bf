"""Connections to a host at those of its addresses that are wanted, in the order that is wanted.

An endpoint tries the addresses of a name one after another, as its reactor's resolver tells
them; so the place to choose is between the two.
"""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from zope.interface import directlyProvides, implementer, providedBy

Arrange = Callable[[str, list[Any]], list[Any]]  # a host and its addresses; those to try, in order


class Arranged:
    """A reactor for endpoints: the one that is given, with the addresses of hosts arranged.

    Names are looked up by `resolver`; by the reactor's, if none is given.
    """

    def __init__(
        self, reactor: Any, arrange: Arrange, resolver: IHostnameResolver | None = None
    ) -> None:
        self._reactor = reactor
        self._arrange = arrange
        self._resolver = resolver
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    @property
    def nameResolver(self) -> IHostnameResolver:
        resolver = self._resolver or self._reactor.nameResolver
        found: IHostnameResolver = _Resolver(resolver, self._arrange)
        return found


@implementer(IHostnameResolver)
class _Resolver:
    def __init__(self, resolver: IHostnameResolver, arrange: Arrange) -> None:
        self._resolver = resolver
        self._arrange = arrange

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,  # noqa: N803  named by Twisted
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Sequence[type[IAddress]] | None = None,  # noqa: N803
        transportSemantics: str = "TCP",  # noqa: N803
    ) -> IHostResolution:
        receiver: Any = _Receiver(resolutionReceiver, hostName, self._arrange)
        return self._resolver.resolveHostName(
            receiver, hostName, portNumber, addressTypes, transportSemantics
        )


@implementer(IResolutionReceiver)
class _Receiver:
    """Keeps the addresses until all have come."""

    def __init__(self, receiver: IResolutionReceiver, host: str, arrange: Arrange) -> None:
        self._receiver = receiver
        self._host = host
        self._arrange = arrange
        self._addresses: list[IAddress] = []

    def resolutionBegan(self, resolution: IHostResolution) -> None:
        self._receiver.resolutionBegan(resolution)

    def addressResolved(self, address: IAddress) -> None:
        self._addresses.append(address)

    def resolutionComplete(self) -> None:
        for address in self._arrange(self._host, self._addresses):
            self._receiver.addressResolved(address)
        self._receiver.resolutionComplete()
