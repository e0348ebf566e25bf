"""How many connections may be open that have not said who they are (RFC 6120 §13.12).

Each costs memory and a timer, and strangers can open as many as they like.
"""

from ipaddress import IPv6Address, ip_address

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.logger import Logger

log = Logger()

SILENCE = 60.0  # seconds between two lines in the log about refusals


class Admission:
    """Counts strangers, in all and from one address; an IPv6 network of 64 bits is one.

    Loopback addresses are only counted in all: whoever comes from there through a proxy
    comes from one address.
    """

    def __init__(self, clock: IReactorTime, total: int, per_address: int) -> None:
        self._clock = clock
        self._total = total
        self._per_address = per_address
        self._strangers: dict[str, int] = {}
        self._count = 0
        self._silent_until = 0.0

    def __len__(self) -> int:
        return self._count

    def admit(self, address: IAddress | None) -> "Guest | None":
        """Let one in, until it leaves; None when there are too many."""
        host = str(getattr(address, "host", ""))
        origin = _origin(host)
        known = self._strangers.get(origin, 0)
        if self._count >= self._total or (origin and known >= self._per_address):
            self._tell(host)
            return None
        self._count += 1
        self._strangers[origin] = known + 1
        return Guest(self, origin)

    def leave(self, origin: str) -> None:
        self._count -= 1
        self._strangers[origin] -= 1
        if not self._strangers[origin]:
            del self._strangers[origin]

    def _tell(self, host: str) -> None:
        now = self._clock.seconds()
        if now >= self._silent_until:
            self._silent_until = now + SILENCE
            log.warn(
                "refusing connections, such as one from {host}: {count} are not logged in",
                host=host,
                count=self._count,
            )


class Guest:
    """One who was let in, and is a stranger until `leave`."""

    __slots__ = ("_admission", "_origin")

    def __init__(self, admission: Admission, origin: str) -> None:
        self._admission: Admission | None = admission
        self._origin = origin

    def leave(self) -> None:
        """No stranger any more, or gone; more than once is fine."""
        if self._admission is not None:
            self._admission.leave(self._origin)
            self._admission = None


def _origin(host: str) -> str:
    """What counts as one address; empty for one that is not limited."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:  # on a socket that takes both kinds
            address = address.ipv4_mapped
        elif not address.is_loopback:
            return str(IPv6Address(int(address) >> 64 << 64))
    return "" if address.is_loopback else str(address)
