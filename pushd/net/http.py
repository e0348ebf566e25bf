"""HTTPS out: what is asked of a client, and how it can fail.

A client makes one exchange at a time for whoever asks, within limits: no redirects, no
cookies, no compression, a cap on head and body, one timeout for the whole exchange. All are
treq over an agent (`client`): `http11` gives one that speaks HTTP/1.1, `http2` one that speaks
HTTP/2, `either` one whose servers choose. What weighs something is imported when the first
client is made.
"""

import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from twisted.internet.defer import Deferred

from pushd.config.proxies import Proxy

if TYPE_CHECKING:
    from twisted.internet.ssl import Certificate

BODY_LIMIT = 16_384  # bytes of an answer that are read; the rest is cut off with the connection
CONNECTIONS = 50  # at a time to one origin (scheme, host, port)
CONNECT_TIMEOUT = 10.0  # seconds
KEPT = 86_400.0  # seconds that a connection is kept to a server that takes HTTP/2 alone
FAREWELL = 5.0  # seconds for a connection to end properly
IDLE_TIMEOUT = 240.0  # seconds that a connection is kept for the next request

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class Fault(Enum):
    """Why there was no answer."""

    UNREACHABLE = "unreachable"  # no address, refused, no route
    TIMEOUT = "timeout"
    TLS = "tls"  # the handshake failed, or the certificate is not trusted
    BROKEN = "broken"  # the connection ended or the answer made no sense
    PROXY = "proxy"  # it cannot be reached, or knows us not
    BEYOND = "beyond"  # the proxy does not get, or lead, to the host


class HTTPError(Exception):
    """No answer. The text repeats nothing of the request: paths and headers may be secrets."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault
        self.text = text

    def copy(self) -> "HTTPError":
        """For another who is to be told the same: each that raises it hangs its frames on it."""
        return HTTPError(self.fault, self.text)


class Answer(NamedTuple):
    """What came back: any status, redirects too."""

    status: int
    headers: list[tuple[str, str]]  # names in lower case, repeated ones one by one
    body: bytes  # cut at BODY_LIMIT


class HTTPClient(Protocol):
    """Makes exchanges."""

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout: float,
        fresh: bool = False,
    ) -> Deferred[Answer]:
        """Make one exchange. Fails with HTTPError, or CancelledError when cancelled.

        `timeout` is seconds to the end of the answer. With `fresh` the connections that there
        are take no more exchanges, and a new one is opened.
        """

    def close(self) -> Deferred[Any]:
        """Close the connections that are kept for later. Exchanges under way go on."""


class Road(NamedTuple):
    """How to get to servers. The files are PEM."""

    ca_file: Path | None = None  # whose certificates are trusted. None: the platform's
    certificate: Path | None = None  # who we are, to a server that asks
    key: Path | None = None  # of that certificate. None: it is in the same file
    proxy: Proxy | None = None
    is_public: bool = False  # strangers name its hosts: to the public internet alone


STRAIGHT = Road()


def http11(reactor: Any, road: Road = STRAIGHT, connections: int = CONNECTIONS) -> HTTPClient:
    """A client that speaks HTTP/1.1 over persistent connections, `connections` an origin.

    Raises ValueError when a file of the road is of no use.
    """
    from pushd.net.client import Client
    from pushd.net.http11 import HTTP11Agent
    from pushd.net.outward import Outward

    return Client(reactor, HTTP11Agent(reactor, Outward(reactor, road), connections))


def http2(reactor: Any, road: Road = STRAIGHT) -> HTTPClient:
    """A client that speaks HTTP/2 alone, over connections that stay open for a day of silence.

    Raises ValueError when a file of the road is of no use.
    """
    from pushd.net.client import Client
    from pushd.net.http2 import HTTP2Agent
    from pushd.net.outward import Outward

    endpoint = Outward(reactor, road).endpoint
    return Client(reactor, HTTP2Agent(reactor, endpoint, idle_limit=KEPT))


def either(reactor: Any, road: Road = STRAIGHT) -> HTTPClient:
    """A client that speaks what the server chooses, HTTP/2 first.

    Raises ValueError when a file of the road is of no use.
    """
    from pushd.net.client import Client
    from pushd.net.either import EitherAgent
    from pushd.net.http2 import HTTP2Agent
    from pushd.net.outward import Outward

    outward = Outward(reactor, road)

    def old() -> Any:
        from pushd.net.http11 import HTTP11Agent

        return HTTP11Agent(reactor, outward, CONNECTIONS)

    new = HTTP2Agent(reactor, outward.endpoint, (b"h2", b"http/1.1"), IDLE_TIMEOUT)
    agent = EitherAgent(reactor, new, old)
    outward.bound.make_room = agent.make_room
    return Client(reactor, agent)


def authorities(path: Path) -> "list[Certificate]":
    """The certificates of a PEM file. Raises ValueError naming the file and what is wrong."""
    from OpenSSL.crypto import Error as CryptoError
    from twisted.internet.ssl import Certificate

    try:
        blocks = _PEM.findall(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    if not blocks:
        raise ValueError(f"{path}: no certificate in PEM form")
    try:
        return [Certificate.loadPEM(block) for block in blocks]
    except (CryptoError, ValueError):
        raise ValueError(f"{path}: a certificate that cannot be read") from None
