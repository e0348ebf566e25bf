"""Carries providers' requests over `net`: one HTTP client for each kind of link."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from pushd.net.http import HTTPClient, HTTPError, http11
from pushd.providers.contract import Failed, Link, Request, Response

USER_AGENT = "pushd"


class HTTPTransport:
    """A `contract.Transport`. Clients are made when the first request wants them."""

    def __init__(self, open_client: Callable[[Link], HTTPClient]) -> None:
        self._open = open_client
        self._clients: dict[Link, HTTPClient] = {}

    def send(self, request: Request, timeout: float) -> Deferred[Response | Failed]:
        return Deferred.fromCoroutine(self._send(request, timeout))

    def close(self) -> Deferred[Any]:
        """Close the connections that are kept for later."""
        clients, self._clients = self._clients, {}
        return DeferredList([client.close() for client in clients.values()])

    async def _send(self, request: Request, timeout: float) -> Response | Failed:
        client = self._clients.get(request.link)
        if client is None:
            client = self._clients[request.link] = self._open(request.link)
        headers = {"user-agent": USER_AGENT} | request.headers
        try:
            answer = await client.send(request.method, request.url, headers, request.body, timeout)
        except HTTPError as error:
            return Failed(error.fault, error.text)
        return Response(answer.status, dict(answer.headers), answer.body)


def over_http11(reactor: Any) -> HTTPTransport:
    """The transport of a server: HTTP/1.1 over TLS."""
    return HTTPTransport(lambda link: http11(reactor, link.ca_file))
