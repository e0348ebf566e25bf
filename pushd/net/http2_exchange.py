"""One request and its answer, on their way through HTTP/2."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol

from hpack import HeaderTuple, NeverIndexedHeaderTuple
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from pushd.net.http import BODY_LIMIT, Answer, Fault, HTTPError

RESENDS = 5  # times that what was certainly not processed is sent again

Header = HeaderTuple | tuple[bytes, bytes]

_NEVER_INDEXED = frozenset({b":path", b"authorization", b"proxy-authorization", b"cookie"})
_FORBIDDEN = re.compile(r"[\x00\r\n]")


class Place(Protocol):
    """Where an exchange is at a time: a queue, or a stream of a connection."""

    def withdraw(self, exchange: "Exchange") -> None:
        """Nobody waits for its answer any more."""


class Exchange:
    """What was asked, and what has come back so far. It is settled once.

    `until` is when it is given up. Whoever has it says so by `place`.
    """

    __slots__ = (
        "_pairs",
        "_parts",
        "_room",
        "_status",
        "body",
        "done",
        "headers",
        "place",
        "resends",
        "sent_at",
        "stream",
        "timer",
        "until",
    )

    def __init__(self, headers: list[Header], body: bytes, until: float) -> None:
        self.headers = headers
        self.body = body
        self.until = until
        self.done: Deferred[Answer] | None = Deferred(self._cancelled)
        self.timer: IDelayedCall | None = None
        self.place: Place | None = None
        self.resends = RESENDS
        self.stream = 0  # nought while it waits for one
        self.sent_at = 0.0
        self._status = 0
        self._pairs: list[tuple[str, str]] = []
        self._parts: list[bytes] = []
        self._room = BODY_LIMIT

    def head(self, headers: list[tuple[bytes, bytes]]) -> bool:
        """The answer's head has come. False if it is none."""
        self._pairs = [(_text(name), value.decode("latin-1")) for name, value in headers]
        if not self._pairs or self._pairs[0][0] != ":status":
            return False
        status = self._pairs.pop(0)[1]
        if len(status) != 3 or not status.isdecimal() or not status.isascii():
            return False
        self._status = int(status)
        return True

    def data(self, data: bytes) -> bool:
        """A part of the body has come. False when there is no room for more."""
        self._parts.append(data[: self._room])
        self._room -= len(data)
        return self._room >= 0

    def finish(self) -> None:
        """The answer is complete, or as much of it as anyone wants."""
        if not self._status:
            self.fail(HTTPError(Fault.BROKEN, "an answer without a head"))
            return
        done = self._settle()
        if done is not None:
            done.callback(Answer(self._status, self._pairs, b"".join(self._parts)))

    def fail(self, error: HTTPError) -> None:
        done = self._settle()
        if done is not None:
            done.errback(error.copy())

    def expire(self, timeout: float) -> None:
        """Its time is over."""
        text = f"no answer within {timeout:g} s"
        if not self.stream:
            text = f"no connection, or none with room, within {timeout:g} s"
        self._withdraw()
        self.fail(HTTPError(Fault.TIMEOUT, text))

    def _cancelled(self, _: object) -> None:
        self._withdraw()
        self._settle()

    def _withdraw(self) -> None:
        place, self.place = self.place, None
        if place is not None:
            place.withdraw(self)

    def _settle(self) -> Deferred[Answer] | None:
        """Whom to tell; nobody but once. Nothing is held any more by what it held."""
        done, self.done = self.done, None
        self.place = None
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        self.timer = None
        return done


def request_headers(
    method: str, scheme: str, authority: str, path: str, headers: Mapping[str, str], body: bytes
) -> list[Header]:
    """A request's header fields (RFC 9113 §8.3.1). Raises HTTPError where one cannot be sent."""
    if _FORBIDDEN.search(path) or not path.isascii():
        raise HTTPError(Fault.BROKEN, "a path that cannot be sent")
    fields: list[Header] = [
        (b":method", method.encode()),
        NeverIndexedHeaderTuple(b":path", path.encode()),
        (b":scheme", scheme.encode()),
        (b":authority", authority.encode()),
    ]
    for name, value in headers.items():
        if _FORBIDDEN.search(value):
            raise HTTPError(Fault.BROKEN, f"a header that cannot be sent: {name}")
        lowered = _bytes(name)
        if lowered in _NEVER_INDEXED:
            fields.append(NeverIndexedHeaderTuple(lowered, value.encode("latin-1", "replace")))
        else:
            fields.append((lowered, value.encode("latin-1", "replace")))
    if body or method in ("POST", "PUT", "PATCH"):
        fields.append((b"content-length", b"%d" % len(body)))
    return fields


@lru_cache(256)
def _bytes(name: str) -> bytes:
    return name.lower().encode("latin-1", "replace")


@lru_cache(256)
def _text(name: bytes) -> str:
    return name.decode("latin-1")
