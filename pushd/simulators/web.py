"""Answers over HTTP/1.1 and HTTP/2, whole or broken off as a script has it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, cast

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime, ITCPTransport
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import Request, Site
from zope.interface import implementer

from pushd.simulators.answers import Answer, Ending
from pushd.simulators.http2_web import Channel

BODILESS = (204, 304)  # RFC 9110 §15.3.5, §15.4.5
INTERNAL_ERROR = 2  # RFC 9113 §7
_PAUSE = "retry-after"
_CHUNK = 16_384  # bytes of an endless body that are written at a time


@dataclass(frozen=True, slots=True)
class Reply:
    """A status, a body and the headers beside Content-Length."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, status: int, value: object, **headers: str) -> "Reply":
        """`value` as indented JSON; an underscore in a header's name stands for a hyphen."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return cls(
            status,
            json.dumps(value, indent=2, ensure_ascii=False).encode("utf-8", "replace") + b"\n",
            {"Content-Type": "application/json; charset=UTF-8"} | named,
        )

    @classmethod
    def page(cls, status: int, text: str, **headers: str) -> "Reply":
        """A page as a front end gives it that has no JSON to offer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        page = f"<!DOCTYPE html>\n<html lang=en>\n<title>Error {status}</title>\n<p>{text}\n"
        return cls(status, page.encode(), {"Content-Type": "text/html; charset=UTF-8"} | named)

    def as_scripted(self, answer: Answer | None) -> "Reply":
        """This, or a front end's page when the script wants a status that refuses, and names no
        error."""
        if answer is None or answer.status is None or answer.error or answer.status < 300:
            return self
        return Reply.page(answer.status, "The server could not complete your request.")

    def pause(self, now: float) -> float:
        """Seconds that Retry-After asks for (RFC 9110 §10.2.3); 0 without one."""
        text = next((self.headers[name] for name in self.headers if name.lower() == _PAUSE), "")
        if text.isdecimal() and len(text) < 10:
            return float(text)
        try:
            return max(parsedate_to_datetime(text).timestamp() - now, 0.0) if text else 0.0
        except ValueError:
            return 0.0

    def status_seen(self, answer: Answer | None) -> int | None:
        """The status that the client gets to see, sent as the script has it; None for none."""
        if answer is None:
            return self.status
        if answer.ending in (Ending.STALL, Ending.CUT, Ending.RESET, Ending.GOAWAY):
            return None
        return self.status if answer.status is None else answer.status


def content_of(request: Request) -> bytes:
    """The whole body of a request."""
    return request.content.read() if request.content else b""


def length_of(request: Request) -> int:
    """How many bytes the body has, without reading it."""
    if not request.content:
        return 0
    length: int = request.content.seek(0, 2)
    request.content.seek(0)
    return length


def headers_of(request: Request, name: str) -> list[str]:
    """The values of a header. Bytes beyond ASCII, which HTTP leaves open, are no errors."""
    raw = request.requestHeaders.getRawHeaders(name.encode(), [])
    return [value.decode("utf-8", "replace").strip() for value in raw]


def header_of(request: Request, name: str) -> str:
    """The last value of a header, "" where it is absent."""
    return next(reversed(headers_of(request, name)), "")


def has_header(request: Request, name: str) -> bool:
    return request.requestHeaders.hasHeader(name)


def is_of_type(request: Request, wanted: str) -> bool:
    """Whether a request says that its body is of this media type, whatever its parameters."""
    return header_of(request, "content-type").partition(";")[0].strip().lower() == wanted


class QuietSite(Site):
    """A site without an access log: paths and queries here carry device tokens."""

    noisy = False

    def __init__(self, resource: IResource, clock: IReactorTime) -> None:
        # Nobody asks for the arguments of a form, and reading them is not safe from its sender.
        super().__init__(  # type: ignore[no-untyped-call]
            resource, reactor=clock, parsePOSTFormSubmission=False
        )

    def log(self, request: Any) -> None:
        """Nothing: what is worth a line is logged where it is known what may be said."""


class Replies:
    """Sends replies, at once or after a delay, as far as an answer's ending lets them get."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._open: set[Request] = set()

    def send(self, request: Request, reply: Reply, answer: Answer | None = None) -> Reply:
        """Answer a request with `reply`, which a script's `answer` may change and cut short; gives
        what it has become."""
        answer = answer or Answer()
        headers = dict(reply.headers) | answer.extra_headers(self._clock.seconds())
        body = reply.body if answer.body is None else answer.body.encode("utf-8", "replace")
        reply = Reply(reply.status if answer.status is None else answer.status, body, headers)
        self._open.add(request)
        later: IDelayedCall | None = None
        if answer.delay:
            later = self._clock.callLater(answer.delay, _write, request, reply, answer, self._clock)

        def over(_: object) -> None:
            self._open.discard(request)
            if later is not None and later.active():  # the client went away first
                later.cancel()

        request.notifyFinish().addBoth(over)
        if later is None:
            _write(request, reply, answer, self._clock)
        return reply

    def close(self) -> None:
        """Break off every connection that still waits for an answer."""
        for request in list(self._open):
            _abort(request)


def _write(request: Request, reply: Reply, answer: Answer, clock: IReactorTime) -> None:
    match answer.ending:
        case Ending.STALL:
            return
        case Ending.CUT:
            _abort(request)
            return
        case Ending.RESET | Ending.GOAWAY | Ending.LAST:
            if not _end_stream(request, answer):
                return
    request.setResponseCode(reply.status)
    for name, value in reply.headers.items():
        request.setHeader(name.encode(), value.encode())
    match answer.ending:
        case Ending.ENDLESS:
            request.registerProducer(_Endless(request, reply.body[:1], clock), True)
        case Ending.TRUNCATED:
            request.setHeader(b"Content-Length", b"%d" % max(len(reply.body), 2))
            request.write(reply.body[: len(reply.body) // 2] or b"{")
            request.loseConnection()  # after what was written
        case _ if reply.status in BODILESS:
            request.finish()
        case _:
            request.setHeader(b"Content-Length", b"%d" % len(reply.body))
            request.write(reply.body)
            request.finish()


def _end_stream(request: Request, answer: Answer) -> bool:
    """RST_STREAM or GOAWAY; gives whether the request is still to be answered."""
    channel = request.channel
    if not isinstance(channel, Channel):
        _abort(request)
        return False
    stream = channel.stream
    if answer.ending == Ending.RESET:
        stream.reset(INTERNAL_ERROR if answer.code is None else answer.code)
        channel.lost(Failure(ConnectionAborted()))
        return False
    is_answered = answer.ending == Ending.LAST
    debug = json.dumps({"reason": answer.error}).encode() if answer.error else b""
    last = stream.number if is_answered else max(stream.number - 2, 0)
    stream.connection.go_away(last, answer.code or 0, debug)
    return is_answered


def _abort(request: Request) -> None:
    channel = request.channel
    if channel is not None:  # None once the connection is lost
        cast(ITCPTransport, channel.transport).abortConnection()


@implementer(IPushProducer)
class _Endless:
    """A body without an end, one piece a turn for as long as the reader takes it."""

    def __init__(self, request: Request, start: bytes, clock: IReactorTime) -> None:
        self._request = request
        self._clock = clock
        self._later: IDelayedCall | None = None
        self._is_over = False
        request.notifyFinish().addBoth(lambda _: self.stopProducing())
        request.write(start + b" ")
        self.resumeProducing()

    def resumeProducing(self) -> None:
        if self._later is None and not self._is_over:
            self._later = self._clock.callLater(0, self._go_on)

    def pauseProducing(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None

    def stopProducing(self) -> None:
        self._is_over = True
        self.pauseProducing()

    def _go_on(self) -> None:
        self._later = self._clock.callLater(0, self._go_on)
        self._request.write(b" " * _CHUNK)  # may pause us
