"""HTTPS out: what is asked of a client, and how it can fail.

A client makes one exchange at a time for whoever asks, within limits: no redirects, no
cookies, no compression, a cap on the body, one timeout for the whole exchange. `http11`
gives one that speaks HTTP/1.1; another protocol stands beside it behind the same two
methods. What weighs something is imported when the first client is made.
"""

import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from twisted.internet.ssl import Certificate

BODY_LIMIT = 16_384  # bytes of an answer that are read; the rest is cut off with the connection
CONNECTIONS = 50  # at a time to one origin (scheme, host, port)
CONNECT_TIMEOUT = 10.0  # seconds
IDLE_TIMEOUT = 240  # seconds that a connection is kept for the next request

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class Fault(Enum):
    """Why there was no answer."""

    UNREACHABLE = "unreachable"  # no address, refused, no route
    TIMEOUT = "timeout"
    TLS = "tls"  # the handshake failed, or the certificate is not trusted
    BROKEN = "broken"  # the connection ended or the answer made no sense


class HTTPError(Exception):
    """No answer. The text repeats nothing of the request: paths and headers may be secrets."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault
        self.text = text


class Answer(NamedTuple):
    """What came back: any status, redirects too."""

    status: int
    headers: list[tuple[str, str]]  # names in any spelling, repeated ones one by one
    body: bytes  # cut at BODY_LIMIT


class HTTPClient(Protocol):
    """Makes exchanges."""

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Deferred[Answer]:
        """Make one exchange. Fails with HTTPError, or CancelledError when cancelled.

        `timeout` is seconds from the moment that a connection is allowed to the end of the
        answer.
        """

    def close(self) -> Deferred[None]:
        """Close the connections that are kept for later. Exchanges under way go on."""


def http11(reactor: Any, ca_file: Path | None = None, connections: int = CONNECTIONS) -> HTTPClient:
    """A client that speaks HTTP/1.1 over persistent connections, `connections` an origin.

    Servers are checked against the certificates of `ca_file`, or against the platform's
    where none is given. Raises ValueError when the file is of no use.
    """
    from pushd.net.http11 import HTTP11Client, agent

    trusted = authorities(ca_file) if ca_file is not None else None
    return HTTP11Client(reactor, *agent(reactor, trusted, connections), connections)


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
