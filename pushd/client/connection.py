"""One TCP connection of a client, with TLS and without, and what is said on it.

Negotiation awaits what comes, one thing after the other (`next`); once there is a
session, a listener hears of it instead.
"""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    wrapClientTLS,
)
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.protocol import Factory
from twisted.internet.ssl import optionsForClientTLS, trustRootFromCertificates

from pushd.client.errors import ConnectFailed, Disconnected, TimedOut
from pushd.client.waiting import within
from pushd.net.http import authorities
from pushd.net.tls import end_point
from pushd.net.turn import Turn
from pushd.net.xmlprotocol import CLOSING_TIME, XMLStream
from pushd.wire.element import serialize
from pushd.wire.errors import StreamError
from pushd.wire.framer import Limits, StreamOpened
from pushd.wire.namespaces import NS_STREAMS
from pushd.wire.stanza import Stanza
from pushd.wire.stream import CLOSING

LIMITS = Limits(stanza_bytes=4 << 20)
BACKLOG = 64 << 20  # bytes that may wait to be sent
OnWire = Callable[[str, bytes], None]


def tls_options(domain: str, ca_file: Path | str | None) -> Any:
    """How TLS is spoken with the server of `domain` (RFC 6120 §13.7.2, XEP-0368 §2).

    Its certificate is checked against those in `ca_file`, or against the platform's if
    none is given. Raises ConnectFailed when the file is of no use.
    """
    try:
        trusted = None if ca_file is None else trustRootFromCertificates(authorities(Path(ca_file)))
    except ValueError as error:
        raise ConnectFailed(str(error)) from None
    return optionsForClientTLS(domain, trusted, acceptableProtocols=[b"xmpp-client"])


class Connection:
    """The receiver of an `XMLStream`, from the first byte to the last.

    `on_wire` is told what is said in each direction ("in", "out"), TLS removed; not so
    while `is_hushed`.
    """

    def __init__(self, reactor: Any, on_wire: OnWire | None = None) -> None:
        self.on_end: Callable[[Disconnected], None] | None = None
        self.ended: Disconnected | None = None  # why there is no stream any more
        self.is_connected = False
        self.is_hushed = False
        self._reactor = reactor
        self._on_wire = on_wire
        self._stream = _Stream(self._hear, reactor, Turn(reactor), LIMITS, BACKLOG)
        self._stream.receiver = self
        self._came: deque[Stanza | StreamOpened] = deque()
        self._next: Deferred[Stanza | StreamOpened] | None = None
        self._listener: Callable[[Stanza], None] | None = None
        self._waiting: list[Deferred[None]] = []  # for the connection to be gone
        self._is_closing = False
        self._is_silent = False

    async def open(self, host: str, port: int, tls: Any = None) -> None:
        """Connect; by direct TLS, if there are `tls` options. Raises ConnectFailed."""
        endpoint: Any
        if isIPAddress(host):
            endpoint = TCP4ClientEndpoint(self._reactor, host, port)
        elif isIPv6Address(host):
            endpoint = TCP6ClientEndpoint(self._reactor, host, port)
        else:
            endpoint = HostnameEndpoint(self._reactor, host, port)
        if tls is not None:
            endpoint = wrapClientTLS(tls, endpoint)
        try:
            await endpoint.connect(Factory.forProtocol(lambda: self._stream))
        except (ConnectError, DNSLookupError) as error:
            raise ConnectFailed(f"{host} port {port}: {error}") from None

    # What is said and heard.

    def send(self, data: bytes) -> None:
        """Say this; in vain if the connection is gone."""
        if not self.is_connected or self._is_silent:
            return
        if self._on_wire is not None and not self.is_hushed:
            self._on_wire("out", data)
        self._stream.send(data)

    async def next(self) -> Stanza | StreamOpened:
        """What comes next. Raises Disconnected once nothing can come any more."""
        if self._came:
            return self._came.popleft()
        if self.ended is not None:
            raise self.ended
        self._next = Deferred()
        return await self._next

    def listen(self, listener: Callable[[Stanza], None]) -> None:
        """Negotiation is over: hand what came, and what comes, to the listener."""
        self._listener = listener
        while self._came:
            event = self._came.popleft()
            if isinstance(event, Stanza):
                listener(event)

    def _hear(self, data: bytes) -> None:
        if self._on_wire is not None and not self.is_hushed:
            self._on_wire("in", data)

    # TLS and restarts.

    @property
    def is_secure(self) -> bool:
        return self._stream.is_secure

    def start_tls(self, options: Any) -> None:
        """Go on under TLS, while `<proceed/>` is what came last (RFC 6120 §5.4.3.3)."""
        self._stream.start_tls(options)

    def restart(self) -> None:
        """Begin a new stream, while `<success/>` is what came last (RFC 6120 §6.4.6)."""
        self._stream.restart()

    def channel_binding(self, offered: Sequence[str]) -> tuple[str, bytes] | None:
        """The first type of channel binding that is offered and can be done, with its data."""
        connection = self._stream.connection()
        if connection is None:
            return None
        for kind in offered:
            if kind == "tls-exporter" and connection.get_protocol_version_name() == "TLSv1.3":
                data = connection.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")
                return kind, data
            if kind == "tls-server-end-point":
                certificate = connection.get_peer_certificate(as_cryptography=True)
                if certificate is not None:
                    return kind, end_point(certificate)
        return None

    # Endings.

    def abort(self) -> None:
        """Cut the connection: no farewell, and a reset instead of an orderly end."""
        if self.is_connected:
            self._stream.abort()

    def fall_silent(self) -> None:
        """Read nothing and say nothing any more, on a connection that stays open."""
        self._is_silent = True
        self._stream.hold()

    async def close(self) -> None:
        """Close the stream, wait for the server to close its own, and end the connection."""
        if self._is_silent:
            self.abort()
        elif not self._is_closing:
            self._is_closing = True
            self.send(CLOSING)
        try:
            await within(CLOSING_TIME, self._reactor, "end of the connection", self.gone())
        except TimedOut:
            self.abort()
            await self.gone()

    def gone(self) -> "Deferred[None]":
        """Fires when the connection is gone; at once if there is none."""
        waiting: Deferred[None] = Deferred()
        if self.is_connected:
            self._waiting.append(waiting)
        else:
            waiting.callback(None)
        return waiting

    def _end(self, error: Disconnected) -> None:
        if self.ended is not None:
            return
        self.ended = error
        waiting, self._next = self._next, None
        if waiting is not None:
            waiting.errback(error)
        if self.on_end is not None:
            self.on_end(error)

    # What the stream tells.

    def connected(self) -> None:
        self.is_connected = True

    def opened(self, header: StreamOpened) -> None:
        self._arrived(header)

    def received(self, stanza: Stanza) -> None:
        if stanza.namespace == NS_STREAMS and stanza.name == "error":
            self._end(Disconnected.read(stanza.tree))
            self._finish()
        elif self._listener is not None:
            self._listener(stanza)
        else:
            self._arrived(stanza)

    def closed(self) -> None:
        self._end(Disconnected(""))
        self._finish()

    def offended(self, error: StreamError) -> None:
        """The server sent what no stream may carry, or what makes no sense on this one."""
        self._end(Disconnected(error.condition, error.text))
        self._stream.close(serialize(error.element()) + CLOSING)

    def lost(self, reason: str) -> None:
        self.is_connected = False
        self._end(Disconnected("", reason))
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.called:
                one.callback(None)

    def _arrived(self, event: Stanza | StreamOpened) -> None:
        waiting, self._next = self._next, None
        if waiting is None:
            self._came.append(event)
        else:
            waiting.callback(event)

    def _finish(self) -> None:
        """The server is done: so are we."""
        self._stream.close(b"" if self._is_closing else CLOSING)


class _Stream(XMLStream):
    """An XML stream that tells what it hears."""

    def __init__(self, heard: Callable[[bytes], None], *rest: Any) -> None:
        super().__init__(*rest)
        self._heard = heard

    def dataReceived(self, data: bytes) -> None:
        self._heard(data)
        super().dataReceived(data)
