"""Addresses of hosts: looked up in threads of their own, once for all who ask at a time.

The system's resolver blocks its thread, for half a minute where a name server is silent.
Twisted lends it the threads that others need as well: ten that wait for one silent server
would keep every other name, and every password, waiting with them.
"""

import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorFromThreads,
    IResolutionReceiver,
)
from zope.interface import implementer

THREADS = 16  # names that are looked up at a time
# What the system says where there is no such name, or no address of it; all else is no answer.
NOTHING = (socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_ADDRFAMILY)

Key = tuple[str, int, frozenset[type[IAddress]]]
Lookup = Callable[..., Sequence[tuple[Any, ...]]]

_TYPES: dict[Any, Any] = {socket.AF_INET: IPv4Address, socket.AF_INET6: IPv6Address}


@implementer(IHostnameResolver)
class Names:
    """A resolver for `reactor.installNameResolver`.

    Its threads exist while they look something up, and nobody waits for them in the end.
    """

    def __init__(self, reactor: IReactorFromThreads, lookup: Lookup = socket.getaddrinfo) -> None:
        self._reactor = reactor
        self._lookup = lookup
        self._asking: dict[Key, list[tuple[Resolution, IResolutionReceiver]]] = {}
        self._queue: deque[Key] = deque()  # of these, whose turn has not come
        self._threads = 0

    def apart(self) -> "Names":
        """Another one, with threads of its own: who asks here does not wait for who asks there."""
        return Names(self._reactor, self._lookup)

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,  # noqa: N803
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Sequence[type[IAddress]] | None = None,  # noqa: N803
        transportSemantics: str = "TCP",  # noqa: N803
    ) -> IHostResolution:
        """Tell the receiver the addresses for TCP, or none where there are none."""
        resolution = Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        key = (hostName, portNumber, frozenset(addressTypes or _TYPES.values()))
        if key in self._asking:
            self._asking[key].append((resolution, resolutionReceiver))
        else:
            self._asking[key] = [(resolution, resolutionReceiver)]
            self._queue.append(key)
            self._work()
        return resolution

    def _work(self) -> None:
        while self._queue and self._threads < THREADS:
            self._threads += 1
            threading.Thread(
                target=self._look_up, args=(self._queue.popleft(),), name="names", daemon=True
            ).start()

    def _look_up(self, key: Key) -> None:
        """In a thread of its own."""
        host, port, types = key
        found = []
        is_answered = True
        try:
            for family, _, _, _, place in self._lookup(host, port, type=socket.SOCK_STREAM):
                kind = _TYPES.get(family)
                if kind in types:
                    found.append(kind("TCP", *place))
        except UnicodeError:  # what cannot be a name
            pass
        except OSError as error:
            is_answered = error.errno in NOTHING
        self._reactor.callFromThread(self._tell, key, found, is_answered)

    def _tell(self, key: Key, addresses: list[IAddress], is_answered: bool) -> None:
        self._threads -= 1
        for resolution, receiver in self._asking.pop(key):
            resolution.is_answered = is_answered
            for address in addresses:
                receiver.addressResolved(address)
            receiver.resolutionComplete()
        self._work()


@implementer(IHostResolution)
class Resolution:
    """A lookup under way. It cannot be cancelled: who asked hears of it once more."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_answered = True  # at the end: False where nobody knows whether there is such a name

    def cancel(self) -> None:
        raise NotImplementedError
