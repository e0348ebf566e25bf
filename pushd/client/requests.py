"""IQ requests: those of the client, and those that it is asked (RFC 6120 §8.2.3)."""

import itertools
import secrets
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from pushd.client.errors import ClientError, Refused
from pushd.client.waiting import within
from pushd.wire.element import Element, child, children, element, serialize
from pushd.wire.errors import ServiceUnavailable, StanzaError
from pushd.wire.namespaces import NS_CLIENT, NS_ROSTER

Handler = Callable[[Element], Element | None]

NS_PING = "urn:xmpp:ping"


def _nothing(request: Element) -> None:
    """The answer to a ping and to a roster push: an empty result."""


class Requests:
    """The requests of one client. `send` takes bytes.

    `handlers` answer what is asked, by "namespace local" of the payload: they give the
    payload of the result, or None for an empty one, or raise a StanzaError.
    """

    def __init__(self, clock: IReactorTime, send: Callable[[bytes], None]) -> None:
        self.handlers: dict[str, Handler] = {
            f"{NS_PING} ping": _nothing,
            f"{NS_ROSTER} query": _nothing,
        }
        self._clock = clock
        self._send = send
        self._prefix = secrets.token_urlsafe(6)
        self._numbers = itertools.count(1)
        self._waiting: dict[str, Deferred[Element]] = {}

    def new_id(self) -> str:
        """An id that no other stanza of this client has."""
        return f"{self._prefix}-{next(self._numbers)}"

    async def ask(self, type: str, to: str, payload: Element, seconds: float) -> Element:
        """Send a request; gives the whole result. Raises Refused, or TimedOut."""
        id = self.new_id()
        request = element(NS_CLIENT, "iq", payload, type=type, id=id)
        if to:
            request["to"] = to
        waiting: Deferred[Element] = Deferred()
        self._waiting[id] = waiting
        try:
            self._send(serialize(request))
            what = f"answer to <{payload.name} xmlns='{payload.uri}'/>"
            answer = await within(seconds, self._clock, what, waiting)
        finally:
            self._waiting.pop(id, None)
        if answer.getAttribute("type") == "result":
            return answer
        error = child(answer, NS_CLIENT, "error")
        raise Refused.read(error if error is not None else element(NS_CLIENT, "error"))

    def answered(self, answer: Element) -> bool:
        """An answer came; tells whether somebody waited for it."""
        waiting = self._waiting.pop(answer.getAttribute("id", ""), None)
        if waiting is None:
            return False
        waiting.callback(answer)
        return True

    def asked(self, request: Element) -> None:
        """A request came: answer it."""
        payload = next(children(request), None)
        answer = element(NS_CLIENT, "iq", type="result", id=request.getAttribute("id", ""))
        if request.hasAttribute("from"):
            answer["to"] = request["from"]
        try:
            handler = self.handlers.get(f"{payload.uri} {payload.name}" if payload else "")
            if handler is None:
                raise ServiceUnavailable
            result = handler(request)
            if result is not None:
                answer.addChild(result)
        except StanzaError as error:
            answer["type"] = "error"
            answer.addChild(error.element())
        self._send(serialize(answer))

    def fail(self, error: ClientError) -> None:
        """No answer will come any more."""
        waiting, self._waiting = self._waiting, {}
        for one in waiting.values():
            one.errback(error)
