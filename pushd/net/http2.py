"""HTTP/2 as an agent: exchanges share long-lived connections.

What was certainly not processed is sent again, within its time: what never left, what a
server refused or was too late for (RFC 9113 §8.7). All else that breaks off is a fault.
"""

from collections.abc import Callable
from math import inf
from random import Random, SystemRandom
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, DeferredList, fail
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from pushd.net.client import Whole, origin_of
from pushd.net.http import IDLE_TIMEOUT, Fault, HTTPError
from pushd.net.http2_connection import Connection, Owner
from pushd.net.http2_exchange import Exchange, request_headers
from pushd.net.http2_origin import Origin
from pushd.net.once import Once

ALPN = (b"h2",)
PORTS = {"https": 443, "http": 80}
NOTHING = Whole(b"", inf, fresh=False)

ORIGINS = 64  # of which those that have been quiet are not forgotten

Endpoint = Callable[[str, str, int, tuple[bytes, ...]], IStreamClientEndpoint]


@implementer(IAgent)
class HTTP2Agent:
    """Plain http is HTTP/2 with prior knowledge (RFC 9113 §3.3).

    `endpoint` says how to get to a scheme, host and port with the protocols offered. The
    first connection to an origin stays open for `idle_limit` seconds without an exchange, for
    ever if that is None. A body is a `client.Whole`.
    """

    def __init__(
        self,
        clock: IReactorTime,
        endpoint: Endpoint,
        alpn: tuple[bytes, ...] = ALPN,
        idle_limit: float | None = None,
        random: Random | None = None,
        is_checked: bool = False,
    ) -> None:
        self._clock = clock
        self._endpoint = endpoint
        self._alpn = alpn
        self._idle_limit = idle_limit
        self._random = random or SystemRandom()
        self._is_checked = is_checked
        self._origins: dict[bytes, _Named] = {}

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # noqa: N803  named by Twisted
    ) -> Deferred[IResponse]:
        whole = bodyProducer if bodyProducer is not None else NOTHING
        assert isinstance(whole, Whole), "a body that comes bit by bit"
        base, path = _split(uri)
        try:
            named = self._origins.get(base) or self._named(base)
            fields = request_headers(
                method, named.scheme, named.authority, path, headers, whole.length
            )
        except HTTPError as error:
            return fail(error)
        exchange = Exchange(fields, whole.data, whole.until)
        done: Deferred[IResponse] = exchange.done  # type: ignore[assignment]  # not settled yet
        named.origin.send(exchange, whole.fresh)
        return done

    def close(self) -> Deferred[Any]:
        return DeferredList([named.origin.close() for named in self._origins.values()])

    def make_room(self) -> bool:
        kept = [one for named in self._origins.values() for one in named.origin.kept]
        if not kept:
            return False
        unused = min(kept, key=lambda one: one.used_at)
        unused.give_up(HTTPError(Fault.BROKEN, "the place of the connection was wanted"))
        return True

    def _named(self, base: bytes) -> "_Named":
        scheme, authority, host, port = _parts(base.decode("ascii", "replace"))
        if len(self._origins) >= ORIGINS:
            for name, quiet in list(self._origins.items()):
                if quiet.origin.is_forgettable:
                    del self._origins[name]

        def connect(owner: Owner, is_relief: bool) -> Deferred[Connection]:
            connection = Connection(
                self._clock,
                owner,
                scheme == "https",
                IDLE_TIMEOUT if is_relief else self._idle_limit,
                self._is_checked,
            )
            try:
                endpoint = self._endpoint(scheme, host, port, self._alpn)
            except ValueError:  # no name that TLS could be asked for
                return fail()
            opening: Deferred[Any] = endpoint.connect(Once(connection))
            return opening

        origin = Origin(f"{host}:{port}", self._clock, connect, self._random)
        self._origins[base] = named = _Named(scheme, authority, origin)
        return named


class _Named:
    """An origin, and how requests name it."""

    __slots__ = ("authority", "origin", "scheme")

    def __init__(self, scheme: str, authority: str, origin: Origin) -> None:
        self.scheme = scheme
        self.authority = authority
        self.origin = origin


def _split(uri: bytes) -> tuple[bytes, bytes]:
    """The origin as it is spelt, and the path with its query."""
    base = origin_of(uri)
    return base, uri[len(base) :].partition(b"#")[0] or b"/"


def _parts(base: str) -> tuple[str, str, str, int]:
    """Scheme, authority, host and port of an origin. Raises HTTPError where it is none."""
    try:
        parts = urlsplit(base)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
        if host and scheme in PORTS and not (parts.path or parts.query or parts.username):
            return scheme, parts.netloc, host, port or PORTS[scheme]
    except ValueError:
        pass
    raise HTTPError(Fault.UNREACHABLE, "the address is no web address")
