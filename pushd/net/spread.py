"""Connections to a host, spread over its addresses.

Each connection looks the name up, and begins with another of the addresses than the one
before it: several share the servers behind a name, and one that is out of order is not what
is tried first each time. Which kind of address goes first stays the resolver's choice.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from zope.interface import directlyProvides, implementer, providedBy

REMEMBERED = 1000  # hosts


class Spreading:
    """A reactor for endpoints: the one that is given, with its addresses in turns."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._turns: OrderedDict[str, int] = OrderedDict()  # by host: connections so far
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    @property
    def nameResolver(self) -> IHostnameResolver:
        found: IHostnameResolver = _Resolver(self._reactor.nameResolver, self._turn)
        return found

    def _turn(self, host: str) -> int:
        turn = self._turns.get(host, 0)
        self._turns[host] = turn + 1
        self._turns.move_to_end(host)
        if len(self._turns) > REMEMBERED:
            self._turns.popitem(last=False)
        return turn


@implementer(IHostnameResolver)
class _Resolver:
    def __init__(self, resolver: IHostnameResolver, turn: Any) -> None:
        self._resolver = resolver
        self._turn = turn

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,  # noqa: N803  named by Twisted
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Sequence[type[IAddress]] | None = None,  # noqa: N803
        transportSemantics: str = "TCP",  # noqa: N803
    ) -> IHostResolution:
        receiver: Any = _Receiver(resolutionReceiver, self._turn(hostName))
        return self._resolver.resolveHostName(
            receiver, hostName, portNumber, addressTypes, transportSemantics
        )


@implementer(IResolutionReceiver)
class _Receiver:
    """Keeps the addresses until all have come."""

    def __init__(self, receiver: IResolutionReceiver, turn: int) -> None:
        self._receiver = receiver
        self._turn = turn
        self._addresses: list[IAddress] = []

    def resolutionBegan(self, resolution: IHostResolution) -> None:
        self._receiver.resolutionBegan(resolution)

    def addressResolved(self, address: IAddress) -> None:
        self._addresses.append(address)

    def resolutionComplete(self) -> None:
        for address in in_turn(self._addresses, self._turn):
            self._receiver.addressResolved(address)
        self._receiver.resolutionComplete()


def in_turn(addresses: list[IAddress], turn: int) -> list[IAddress]:
    """The addresses of each kind rotated; where one kind stood, that kind stands."""
    kinds: dict[type, list[IAddress]] = {}
    for address in addresses:
        kinds.setdefault(type(address), []).append(address)
    rotated = {
        kind: iter(found[turn % len(found) :] + found[: turn % len(found)])
        for kind, found in kinds.items()
    }
    return [next(rotated[type(address)]) for address in addresses]
