"""Exchanges, driven by treq, over whatever agent is given: HTTP/1.1, HTTP/2, or either.

treq is made for browsing. What is switched off here: redirects, cookies, gzip (what inflates
has no bound), the body producer that takes turns of the reactor. What is added: one timeout
for the whole exchange, a cap on the body, and our words for what goes wrong.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Protocol

from hyperlink import EncodedURL
from treq.client import HTTPClient as Treq
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from pushd.net.faults import fault
from pushd.net.fields import Fields, lowered
from pushd.net.http import BODY_LIMIT, Answer, Fault, HTTPError

_FORBIDDEN = re.compile(r"[\x00\r\n]")
_ADDRESS = re.compile(r"https?://[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")  # RFC 3986 §2


class Unsent(CancelledError):
    """The exchange was cancelled before any of it was said."""


class Way(Protocol):
    """An IAgent that may be closed."""

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # noqa: N803  named by Twisted
    ) -> Deferred[IResponse]:
        """As IAgent's. What `Whole` says besides is heeded. Its Deferred may be cancelled."""

    def close(self) -> Deferred[Any]:
        """Close the connections that are kept for later. Exchanges under way go on."""

    def make_room(self) -> bool:
        """Cut the connection that was kept for longest without a use; False where none is kept."""


@implementer(IBodyProducer)
class Whole:
    """A body that is written in one piece, at once; it may be written again.

    `until` is when nobody waits for the answer any more, `fresh` asks for a connection that
    is not used yet, or hardly.
    """

    __slots__ = ("data", "fresh", "length", "until")

    def __init__(self, data: bytes, until: float, fresh: bool) -> None:
        self.data = data
        self.length = len(data)
        self.until = until
        self.fresh = fresh

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self.data)
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    def pauseProducing(self) -> None:
        """Nothing is left to pause."""

    def resumeProducing(self) -> None:
        """Nothing is left to resume."""

    def stopProducing(self) -> None:
        """Nothing is left to stop."""


def origin_of(uri: bytes) -> bytes:
    """Scheme, host and port, as they are spelt."""
    start = uri.find(b"/", 8)
    return uri if start < 0 else uri[:start]


class Client:
    """See `http.HTTPClient`."""

    def __init__(self, clock: Any, way: Way) -> None:
        self._clock = clock
        self._way = way
        self._no_cookies = _NoCookies()
        self._treq = Treq(_Plain(way), self._no_cookies, _as_it_is)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout: float,
        fresh: bool = False,
    ) -> Deferred[Answer]:
        try:
            exchange: Deferred[Any] = self._treq.request(
                method,
                _Spelt(url) if _ADDRESS.fullmatch(url) else url,
                headers=_headers(headers),
                data=Whole(body, self._clock.seconds() + timeout, fresh),
                cookies=self._no_cookies,
                allow_redirects=False,
                unbuffered=True,
                reactor=self._clock,
            )
        except ValueError:
            return fail(HTTPError(Fault.UNREACHABLE, "the address is no web address"))
        except HTTPError as error:
            return fail(error)
        exchange.addCallback(_read)
        exchange.addTimeout(timeout, self._clock, _timed_out)
        return exchange.addErrback(_explain)

    def close(self) -> Deferred[Any]:
        return self._way.close()


def _as_it_is(whole: Whole) -> Whole:
    return whole


class _Spelt(EncodedURL):
    """An address that needs no escapes, and is said as it is spelt.

    To take it apart and put it together again would be a third of the cost of an exchange.
    """

    __slots__ = ("_spelling",)

    def __init__(self, spelling: str) -> None:
        self._spelling = spelling

    def to_uri(self) -> "_Spelt":
        return self

    def to_text(self, with_password: bool = False) -> str:
        return self._spelling


class _NoCookies(IndexableCookieJar):
    """None are kept, and none are looked for."""

    def add_cookie_header(self, request: Any) -> None:
        """There is none."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """They are not wanted."""


@implementer(IAgent)
class _Plain:
    """An agent that does not pass on treq's offer of gzip, nor unpacks what comes packed."""

    def __init__(self, way: Way) -> None:
        self._way = way

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # noqa: N803
    ) -> Deferred[IResponse]:
        if headers is not None:
            headers.removeHeader(b"accept-encoding")
        answer = self._way.request(method, uri, headers, bodyProducer)
        return answer.addCallback(_as_it_came)


def _as_it_came(response: IResponse) -> IResponse:
    response.headers.removeHeader(b"content-encoding")
    return response


def _headers(given: Mapping[str, str]) -> Headers:
    """Raises HTTPError where one could be read as two; Twisted would write another one."""
    if _FORBIDDEN.search("".join(given.values())):
        name = next(name for name, value in given.items() if _FORBIDDEN.search(value))
        raise HTTPError(Fault.BROKEN, f"a header that cannot be sent: {name}")
    return Fields({lowered(name): [value.strip().encode()] for name, value in given.items()})


# The answer.


def _read(response: Any) -> Deferred[Answer] | Answer:
    code, headers = response.code, response.headers
    whole = getattr(response.original, "whole", None)
    if whole is not None:
        return Answer(code, _pairs(headers), whole)
    reader = _Reader()
    response.original.deliverBody(reader)
    return reader.done.addCallback(lambda body: Answer(code, _pairs(headers), body))


class _Reader(TwistedProtocol):
    """Collects a body. `done` fires with it, cut at the limit, or fails as the connection did."""

    def __init__(self) -> None:
        self.done: Deferred[Any] = Deferred(lambda _: self._drop())
        self._parts: list[bytes] = []
        self._room = BODY_LIMIT

    def dataReceived(self, data: bytes) -> None:
        if self._room < 0:
            return
        self._parts.append(data[: self._room])
        self._room -= len(data)
        if self._room < 0:
            self._drop()
            self._finish()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self._finish()
        else:
            self.done.errback(reason)

    def _finish(self) -> None:
        if not self.done.called:
            self.done.callback(b"".join(self._parts))

    def _drop(self) -> None:
        # `loseConnection` would go on reading until the peer has agreed to end the TLS
        # session; this ends the socket below it.
        if self.transport is not None:
            self.transport.stopProducing()  # type: ignore[attr-defined]


def _pairs(headers: Headers) -> list[tuple[str, str]]:
    return [
        (_text(name), value.decode("latin-1"))
        for name, values in headers.getAllRawHeaders()
        if lowered(name) != b"content-encoding"  # treq leaves an empty one
        for value in values
    ]


@lru_cache(256)
def _text(name: bytes) -> str:
    return name.decode("latin-1").lower()


# What goes wrong.


def _timed_out(cancelled: Any, timeout: float) -> Failure:
    text = f"no answer within {timeout:g} s"
    if isinstance(cancelled, Failure) and cancelled.check(Unsent):
        text = f"no connection, or none with room, within {timeout:g} s"
    return Failure(HTTPError(Fault.TIMEOUT, text))


def _explain(failure: Failure) -> Failure:
    error = failure.value
    return Failure(fault(error) if isinstance(error, Exception) else error)
