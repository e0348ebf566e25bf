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

    Names are looked up by `resolver`; by the reactor's, if none is given. `is_unanswered` says
    that it did not find out whether there is such a name (if it is one of ours, which tell).
    """

    is_unanswered = False

    def __init__(
        self, reactor: Any, arrange: Arrange, resolver: IHostnameResolver | None = None
    ) -> None:
        self._reactor = reactor
        self._arrange = arrange
        self._resolver = resolver
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def arranged(self, host: str, addresses: list[Any], is_answered: bool) -> list[Any]:
        """The addresses that were found, as they are to be tried."""
        self.is_unanswered = not is_answered
        return self._arrange(host, addresses)

    @property
    def nameResolver(self) -> IHostnameResolver:
        resolver = self._resolver or self._reactor.nameResolver
        found: IHostnameResolver = _Resolver(resolver, self)
        return found


@implementer(IHostnameResolver)
class _Resolver:
    def __init__(self, resolver: IHostnameResolver, owner: Arranged) -> None:
        self._resolver = resolver
        self._owner = owner

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,  # noqa: N803  named by Twisted
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Sequence[type[IAddress]] | None = None,  # noqa: N803
        transportSemantics: str = "TCP",  # noqa: N803
    ) -> IHostResolution:
        receiver: Any = _Receiver(resolutionReceiver, hostName, self._owner)
        return self._resolver.resolveHostName(
            receiver, hostName, portNumber, addressTypes, transportSemantics
        )


@implementer(IResolutionReceiver)
class _Receiver:
    """Keeps the addresses until all have come."""

    def __init__(self, receiver: IResolutionReceiver, host: str, owner: Arranged) -> None:
        self._receiver = receiver
        self._host = host
        self._owner = owner
        self._addresses: list[IAddress] = []
        self._resolution: IHostResolution | None = None

    def resolutionBegan(self, resolution: IHostResolution) -> None:
        self._resolution = resolution
        self._receiver.resolutionBegan(resolution)

    def addressResolved(self, address: IAddress) -> None:
        self._addresses.append(address)

    def resolutionComplete(self) -> None:
        is_answered = getattr(self._resolution, "is_answered", True)
        for address in self._owner.arranged(self._host, self._addresses, is_answered):
            self._receiver.addressResolved(address)
        self._receiver.resolutionComplete()
