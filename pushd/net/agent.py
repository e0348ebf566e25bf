"""An HTTP client of ours as an `IAgent`, for what drives agents: treq, and whatever uses it.

Providers do not go this way, which costs twice as much as an exchange over HTTP/2 itself;
it is for modules that speak to the web now and then.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IProtocol
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import RESPONSES
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from pushd.net.http import Answer, HTTPClient

TIMEOUT = 30.0  # seconds for an exchange


@implementer(IAgent)
class ClientAgent:
    """Each request is one exchange of `client`: cut, bounded and timed as that says.

    Fails with HTTPError; can be cancelled.
    """

    def __init__(self, client: HTTPClient, timeout: float = TIMEOUT) -> None:
        self._client = client
        self._timeout = timeout

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # noqa: N803  named by Twisted
    ) -> Deferred[IResponse]:
        return Deferred.fromCoroutine(self._request(method, uri, headers, bodyProducer))

    async def _request(
        self, method: bytes, uri: bytes, headers: Headers | None, producer: IBodyProducer | None
    ) -> IResponse:
        body = _Body()
        if producer is not None:
            await producer.startProducing(body)
        said = {
            name.decode("latin-1"): b", ".join(values).decode("latin-1")
            for name, values in (headers or Headers()).getAllRawHeaders()
        }
        answer = await self._client.send(
            method.decode(), uri.decode(), said, bytes(body.data), self._timeout
        )
        response: IResponse = _Response(answer)
        return response


@implementer(IConsumer)
class _Body:
    """What a producer of a body writes."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """It writes as it likes."""

    def unregisterProducer(self) -> None:
        """It has written."""


@implementer(IResponse)
class _Response:
    """An answer that has come whole."""

    version = (b"HTTP", 2, 0)
    request = None
    previousResponse = None

    def __init__(self, answer: Answer) -> None:
        self.code = answer.status
        self.phrase = RESPONSES.get(answer.status, b"")
        self.headers = Headers()
        for name, value in answer.headers:
            self.headers.addRawHeader(name.encode("latin-1"), value.encode("latin-1"))
        self.length = len(answer.body) or UNKNOWN_LENGTH
        self._body = answer.body

    def deliverBody(self, protocol: IProtocol) -> None:
        body, self._body = self._body, b""
        if body:
            protocol.dataReceived(body)
        protocol.connectionLost(Failure(ResponseDone()))

    def setPreviousResponse(self, response: IResponse) -> None:
        self.previousResponse = response
