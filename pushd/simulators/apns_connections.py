"""The connections of providers to the stand-in for APNs, and what may be done to them.

Apple takes reconnecting in haste for an attack, so how many connections there were, and for
what, is as much on record as the notifications.
"""

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.interfaces import IReactorTime

from pushd.simulators.answers import ScriptError
from pushd.simulators.apns_tokens import Changes
from pushd.simulators.http2 import Connection

KEPT = 1_000  # connections that are over and remembered
MOST_REMARKS = 20  # of a connection
MOST_STREAMS = 1_000  # at once, once it is known who pushes


@dataclass(slots=True)
class Visit:
    """One connection, from its first byte on."""

    number: int
    environment: str  # "" where it depends on the host of each request
    opened_at: float  # seconds since the epoch
    certificate: Any = field(default=None, repr=False)  # the client's, an x509.Certificate
    closed_at: float | None = None
    ended: str = ""  # how, in words
    requests: int = 0
    streams: int = 1  # that it may have at once
    is_welcome: bool = False  # it is known who pushes
    is_control: bool = False  # nobody pushes here
    changes: Changes = field(default_factory=Changes)
    remarks: list[str] = field(default_factory=list)

    def remark(self, words: str) -> None:
        if words not in self.remarks and len(self.remarks) < MOST_REMARKS:
            self.remarks.append(words)

    def as_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "environment": self.environment,
            "opened_at": self.opened_at,
            "closed_at": self.closed_at,
            "ended": self.ended,
            "requests": self.requests,
            "streams": self.streams,
            "team": self.changes.team,
            "provider_tokens": self.changes.count,
            "client_certificate": self.certificate is not None,
            "remarks": list(self.remarks),
        }


class Connections:
    """Those that are open and those that were."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._open: dict[Connection, Visit] = {}
        self._visits: deque[Visit] = deque(maxlen=KEPT)
        self._last = 0
        self.streams = MOST_STREAMS  # that are allowed at once, with a good credential
        self._withholds = False

    def opened(self, connection: Connection, visit: Visit) -> None:
        self._open[connection] = visit
        self._visits.append(visit)
        connection.withhold_windows(self._withholds)

    def next_number(self) -> int:
        self._last += 1
        return self._last

    def closed(self, connection: Connection, reason: str) -> None:
        visit = self._open.pop(connection)
        visit.closed_at, visit.ended = self._clock.seconds(), reason

    def welcome(self, connection: Connection, visit: Visit) -> None:
        """It is known who pushes: more streams may be opened (by SETTINGS)."""
        if not visit.is_welcome:
            visit.is_welcome = True
            visit.streams = self.streams
            connection.allow(self.streams)

    def all(self) -> list[Visit]:
        """The connections of providers, oldest first."""
        return [visit for visit in self._visits if not visit.is_control]

    def clear(self) -> None:
        """Forget the connections that are over."""
        self._visits = deque(self._open.values(), maxlen=KEPT)

    def close(self) -> None:
        """End all of them, without a word."""
        for connection in list(self._open):
            connection.abort()

    # What may be done to all that carried a notification.

    def go_away(self, reason: str = "", last: int | None = None) -> int:
        """GOAWAY: what is under way is answered, up to stream `last` if it is given."""
        debug = json.dumps({"reason": reason}).encode() if reason else b""
        return self._each(lambda one: one.go_away(last, 0, debug))

    def cut(self) -> int:
        """Close without a GOAWAY."""
        return self._each(Connection.abort)

    def limit(self, streams: int) -> int:
        """Let each have so many streams at once: those there are, and those to come."""
        self.streams = streams
        affected = 0
        for connection, visit in list(self._open.items()):
            if visit.is_welcome and visit.requests:
                visit.streams = streams
                connection.allow(streams)
                affected += 1
        return affected

    def withhold_windows(self, withheld: bool) -> int:
        """Send no WINDOW_UPDATE, to those there are and to those to come; False: again."""
        self._withholds = withheld
        return self._each(lambda one: one.withhold_windows(withheld))

    def stall(self, stalled: bool) -> int:
        """Read and say nothing on those there are; False: go on."""
        return self._each(lambda one: one.stall(stalled))

    def _each(self, act: Any) -> int:
        chosen = [connection for connection, visit in self._open.items() if visit.requests]
        for connection in chosen:
            act(connection)
        return len(chosen)

    def order(self, order: Mapping[str, Any]) -> int:
        """Do what a JSON object says; gives how many connections it reached. Raises ScriptError."""
        rest = dict(order)
        do = rest.pop("do", None)
        if not isinstance(do, str) or do not in ORDERS:
            raise ScriptError(f"do must be one of {', '.join(ORDERS)}")
        for name in rest:
            if name not in ORDERS[do]:
                takes = ", ".join(ORDERS[do]) or "nothing"
                raise ScriptError(f"{do} takes {takes}, but no {name!r}")
        reason, last = rest.get("reason", ""), rest.get("last")
        count, on = rest.get("count", MOST_STREAMS), rest.get("on", True)
        if not isinstance(reason, str):
            raise ScriptError("reason must be text")
        if not (last is None or _is_number(last)) or not _is_number(count):
            raise ScriptError("last and count must be whole numbers below 2 to the 31st")
        if not isinstance(on, bool):
            raise ScriptError("on must be true or false")
        match do:
            case "goaway":
                return self.go_away(reason, last)
            case "cut":
                return self.cut()
            case "streams":
                return self.limit(count)
            case "windows":
                return self.withhold_windows(not on)
            case _:
                return self.stall(on)


# What can be ordered, and with what.
ORDERS: dict[str, tuple[str, ...]] = {
    "goaway": ("reason", "last"),
    "cut": (),
    "streams": ("count",),
    "windows": ("on",),
    "stall": ("on",),
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31
