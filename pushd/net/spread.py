"""Connections to a host, spread over its addresses.

Each connection looks the name up, and begins with another of the addresses than the one
before it: several share the servers behind a name, and one that is out of order is not what
is tried first each time. Which kind of address goes first stays the resolver's choice.
No more than a few are tried for each: a stranger's name may lead to thousands, all of which an
endpoint would knock at.
"""

from collections import OrderedDict
from typing import Any

from twisted.internet.interfaces import IAddress

from pushd.net.arranged import Arranged

REMEMBERED = 1000  # hosts
TRIED = 4  # addresses of each kind, for one connection


class Spreading(Arranged):
    """A reactor for endpoints: the one that is given, with its addresses in turns."""

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor, self._in_turn)
        self._turns: OrderedDict[str, int] = OrderedDict()  # by host: connections so far

    def _in_turn(self, host: str, addresses: list[IAddress]) -> list[IAddress]:
        turn = self._turns.get(host, 0)
        self._turns[host] = turn + 1
        self._turns.move_to_end(host)
        if len(self._turns) > REMEMBERED:
            self._turns.popitem(last=False)
        return in_turn(addresses, turn)


def in_turn(addresses: list[IAddress], turn: int) -> list[IAddress]:
    """The addresses of each kind rotated; where one kind stood, that kind stands.

    Of each kind no more than `TRIED`: what is left out now comes first at another turn.
    """
    kinds: dict[type, list[IAddress]] = {}
    for address in addresses:
        kinds.setdefault(type(address), []).append(address)
    rotated = {
        kind: iter((found[turn % len(found) :] + found[: turn % len(found)])[:TRIED])
        for kind, found in kinds.items()
    }
    tried = [next(rotated[type(address)], None) for address in addresses]
    return [address for address in tried if address is not None]
