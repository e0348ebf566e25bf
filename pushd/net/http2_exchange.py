"""One request and its answer, on their way through HTTP/2."""

import re
from typing import Protocol

from hpack import HeaderTuple, NeverIndexedHeaderTuple
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from zope.interface import implementer

from pushd.net.client import Unsent
from pushd.net.fields import Fields, lowered
from pushd.net.http import BODY_LIMIT, Fault, HTTPError

RESENDS = 5  # times that a stream is refused and the exchange tried again all the same

Header = HeaderTuple | tuple[bytes, bytes]

_NEVER_INDEXED = frozenset({b":path", b"authorization", b"proxy-authorization", b"cookie"})
_FORBIDDEN = re.compile(rb"[\x00\r\n]")


class Place(Protocol):
    """Where an exchange is at a time: a queue, or a stream of a connection."""

    def withdraw(self, exchange: "Exchange") -> None:
        """Nobody waits for its answer any more."""


class Exchange:
    """What was asked, and what has come back so far. It is settled once.

    `until` is when it is given up. Whoever has it says so by `place`.
    """

    __slots__ = (
        "_headers",
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
        "until",
    )

    def __init__(self, headers: list[Header], body: bytes, until: float) -> None:
        self.headers = headers
        self.body = body
        self.until = until
        self.done: Deferred[IResponse] | None = Deferred(self._cancelled)
        self.place: Place | None = None
        self.resends = RESENDS
        self.stream = 0  # nought while it waits for one
        self.sent_at = 0.0
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._room = BODY_LIMIT

    def head(self, headers: list[tuple[bytes, bytes]]) -> bool:
        """The answer's head has come. False if it is none."""
        if not headers or headers[0][0] != b":status":
            return False
        status = headers[0][1]
        if len(status) != 3 or not status.isdigit():
            return False
        self._status = int(status)
        self._headers = headers[1:]
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
            done.callback(_Response(self._status, self._headers, b"".join(self._parts)))

    def fail(self, error: HTTPError) -> None:
        """There is no answer. `done` fails with a copy, as others may fail with it, too."""
        done = self._settle()
        if done is not None:
            done.errback(error.copy())

    def _cancelled(self, done: Deferred[IResponse]) -> None:
        place, self.place = self.place, None
        was_sent = bool(self.stream)
        if place is not None:
            place.withdraw(self)
        self._settle()
        if not was_sent:
            done.errback(Unsent())

    def _settle(self) -> Deferred[IResponse] | None:
        """Whom to tell; nobody but once. Nothing is held any more by what it held."""
        done, self.done = self.done, None
        self.place = None
        return done


def request_headers(
    method: bytes, scheme: str, authority: str, path: bytes, headers: Headers | None, length: int
) -> list[Header]:
    """A request's header fields (RFC 9113 §8.3.1). Raises HTTPError where one cannot be sent."""
    if _FORBIDDEN.search(path) or not path.isascii():
        raise HTTPError(Fault.BROKEN, "a path that cannot be sent")
    fields: list[Header] = [
        (b":method", method),
        NeverIndexedHeaderTuple(b":path", path),
        (b":scheme", scheme.encode()),
        (b":authority", authority.encode()),
    ]
    for name, values in headers.getAllRawHeaders() if headers is not None else ():
        name = lowered(name)
        for value in values:
            is_secret = name in _NEVER_INDEXED
            fields.append(NeverIndexedHeaderTuple(name, value) if is_secret else (name, value))
    if length or method in (b"POST", b"PUT", b"PATCH"):
        fields.append((b"content-length", b"%d" % length))
    return fields


@implementer(IResponse)
class _Response:
    """An answer that has come; `whole` is its body, for who knows to ask."""

    version = (b"HTTP", 2, 0)
    phrase = b""
    request = None
    previousResponse = None

    def __init__(self, code: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.code = code
        fields: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            fields.setdefault(name, []).append(value)
        self.headers = Fields(fields)
        self.length = len(body)
        self.whole = body

    def deliverBody(self, protocol: IProtocol) -> None:
        if self.whole:
            protocol.dataReceived(self.whole)
        protocol.connectionLost(_DONE)

    def setPreviousResponse(self, response: IResponse) -> None:
        """HTTP/2 has no such thing here: redirects are not followed."""


_DONE = Failure(ResponseDone())
