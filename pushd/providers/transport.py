"""Carries providers' requests over `net`: one HTTP client for each link."""

from collections.abc import Callable, Collection
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from pushd.net.http import Answer, Fault, HTTPClient, HTTPError, Road, either, http2
from pushd.providers.contract import Failed, Link, Request, Response

if TYPE_CHECKING:
    from pushd.net.survey import Survey

log = Logger()

USER_AGENT = "pushd"
AWAY = "the host of the endpoint does not answer"


class HTTPTransport:
    """A `contract.Transport`. Clients are made when the first request wants them."""

    def __init__(self, open_client: Callable[[Link], HTTPClient]) -> None:
        self._open = open_client
        self._clients: dict[Link, HTTPClient] = {}
        self._files: dict[Link, tuple[bytes, ...]] = {}  # as they were when each was opened
        self._ending: set[Deferred[Any]] = set()

    def send(self, request: Request, timeout: float) -> Deferred[Response | Failed]:
        link = request.link
        try:
            client = self._clients.get(link) or self._opened(link)
            sending = client.send(
                request.method,
                request.url,
                {"user-agent": USER_AGENT, **request.headers},
                request.body,
                timeout,
                request.fresh,
            )
        except HTTPError as error:
            return succeed(_failed(error))
        if link.is_public:
            sending.addErrback(_away, urlsplit(request.url).netloc)
        return sending.addCallbacks(_response, _no_response)

    def close(self) -> Deferred[Any]:
        """Close the connections that are kept for later."""
        self.keep(())
        return DeferredList(list(self._ending))

    def keep(self, links: Collection[Link]) -> None:
        """Go on with these links alone, and with their files as they are now.

        What is under way elsewhere goes on, and each other connection ends with the last of
        that.
        """
        for link in list(self._clients):
            if link not in links or self._files[link] != _digests(link):
                ending = self._clients.pop(link).close()
                self._ending.add(ending)
                ending.addBoth(self._ended, ending)

    def _ended(self, result: object, ending: Deferred[Any]) -> None:
        self._ending.discard(ending)

    def _opened(self, link: Link) -> HTTPClient:
        try:
            self._files[link] = _digests(link)
            client = self._clients[link] = self._open(link)
        except ValueError as error:  # its text names the file
            raise HTTPError(Fault.TLS, str(error)) from None
        return client


def over_https(reactor: Any) -> HTTPTransport:
    """The transport of a server: HTTP/2, or HTTP/1.1 where a link and its server allow that."""

    def open_client(link: Link) -> HTTPClient:
        return http2(reactor, _road(link)) if link.http2 else either(reactor, _road(link))

    return HTTPTransport(open_client)


def _digests(link: Link) -> tuple[bytes, ...]:
    """What the files of a link hold; nothing for those that cannot be read."""
    return tuple(_digest(path) for path in (link.ca_file, link.certificate, link.key) if path)


def _digest(path: Path) -> bytes:
    try:
        return sha256(path.read_bytes()).digest()
    except OSError:
        return b""


def _road(link: Link) -> Road:
    return Road(link.ca_file, link.certificate, link.key, link.proxy, link.is_public)


class Scout:
    """A `probing.Way`: the transport of a server, that can look at the way before it goes."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._transport = over_https(reactor)
        self.send = self._transport.send
        self.close = self._transport.close

    async def survey(self, request: Request) -> "Survey":
        """Look at the way that this request would take; never fails, may be cancelled."""
        from pushd.net.survey import Sight, Survey, Surveyor  # it weighs, and is rarely wanted

        link = request.link
        try:
            surveyor = Surveyor(self._reactor, _road(link), request.url, link.http2)
        except ValueError as error:  # its text names the file
            place = urlsplit(request.url).netloc
            return Survey(place, [Sight("tls", str(error), 0.0, Fault.TLS)])
        return await surveyor.go()


def _response(answer: Answer) -> Response | Failed:
    return Response(answer.status, dict(answer.headers), answer.body)


def _away(failure: Failure, host: str) -> Failure:
    """What went wrong with a host that a device chose is told in the same words, whatever it was.

    Accounts are told why a push failed: they are not to learn what there is, and is not, where
    they have us look. It is no fault for the operator to act upon, unless it is the proxy's.
    """
    error = failure.value
    if not isinstance(error, HTTPError) or error.fault is Fault.PROXY:
        return failure
    log.debug("{host}: {why}", host=host, why=error.text)
    kept = Fault.TIMEOUT if error.fault is Fault.TIMEOUT else Fault.UNREACHABLE
    return Failure(HTTPError(kept, AWAY))


def _no_response(failure: Failure) -> Failed | Failure:
    if isinstance(failure.value, HTTPError):
        return _failed(failure.value)
    return failure  # it was cancelled


def _failed(error: HTTPError) -> Failed:
    return Failed(error.fault, error.text)
