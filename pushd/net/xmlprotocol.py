"""A connection that carries an XML stream: bytes in and out, restarts, TLS, pressure.

Per read of the socket everything is parsed and handled, and then each stream that has
something to say gets one write (`Turn`). What the stream means is its receiver's
business.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import (
    IDelayedCall,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from pushd.wire.errors import StreamError
from pushd.wire.framer import Event, Framer, Limits, StreamClosed, StreamOpened
from pushd.wire.stanza import Stanza

log = Logger()

Trace = Callable[[str, str, bytes], None]  # "sent" or "received", the peer, the bytes

CLOSING_TIME = 5.0  # seconds a peer has to close its side before the connection is cut


class Receiver(Protocol):
    """What a stream tells the door that it belongs to."""

    def connected(self) -> None:
        """The connection stands; nothing was read yet."""

    def opened(self, header: StreamOpened) -> None:
        """The peer's stream header came, the first one or one after a restart."""

    def received(self, stanza: Stanza) -> None:
        """A stanza or nonza came."""

    def closed(self) -> None:
        """The peer closed its stream; ours is still open."""

    def offended(self, error: StreamError) -> None:
        """The peer sent what no stream may carry; the receiver closes the stream with it."""

    def lost(self, reason: str) -> None:
        """The connection is gone. Said once, and nothing follows."""


class Turn:
    """One read of a socket, and all that it causes: written when it is over.

    Outside of a read (a timer, a commit) the writes go out in the next turn of the reactor.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: list[XMLStream] = []
        self._closing: list[Callable[[], None]] = []
        self._depth = 0
        self._scheduled = False

    def begin(self) -> None:
        self._depth += 1

    def end(self) -> None:
        self._depth -= 1
        if not self._depth:
            self.flush()

    def before_writing(self, say: Callable[[], None]) -> None:
        """Have `say` called at the end of each turn, before anything is written."""
        self._closing.append(say)

    def add(self, stream: "XMLStream") -> None:
        """This stream has something to write."""
        self._waiting.append(stream)
        if not self._depth and not self._scheduled:
            self._scheduled = True
            self._clock.callLater(0, self.flush)

    def flush(self) -> None:
        self._scheduled = False
        for say in self._closing:
            say()
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            for stream in waiting:
                stream.flush()


@implementer(IPushProducer)
class XMLStream(TwistedProtocol):
    """One connection. `send` collects; the turn writes. Errors end in `offended` or `lost`."""

    transport: Any  # a TCP or TLS transport: no interface of Twisted covers both
    receiver: Receiver

    def __init__(
        self, clock: IReactorTime, turn: Turn, limits: Limits, backlog: int = 4 << 20
    ) -> None:
        self._clock = clock
        self._turn = turn
        self._limits = limits
        self._framer = Framer(limits)
        self._events: deque[Event] = deque()
        self._inbox = b""
        self._out: list[bytes] = []
        self._out_size = 0
        self._backlog = backlog  # bytes that may wait for a peer that does not read
        self._handling = False
        self._held = False
        self._stalled = False
        self._ended = False
        self._lost = False
        self._cut: IDelayedCall | None = None
        self._current: Event | None = None
        self.trace: Trace | None = None

    # What Twisted calls.

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        self.receiver.connected()

    def dataReceived(self, data: bytes) -> None:
        if self._ended:
            return
        self._inbox = self._inbox + data if self._inbox else data
        if not self._handling and not self._held:
            self._handle()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ended = self._lost = True
        self._framer.release()
        self._events.clear()
        self._inbox = b""
        self._out.clear()
        if self._cut is not None and self._cut.active():
            self._cut.cancel()
        self._turn.begin()
        try:
            self.receiver.lost(reason.getErrorMessage())
        finally:
            self._turn.end()

    def pauseProducing(self) -> None:
        self._stalled = True

    def resumeProducing(self) -> None:
        self._stalled = False
        self.flush()

    def stopProducing(self) -> None:
        self._stalled = True

    # What the door calls.

    @property
    def is_secure(self) -> bool:
        return bool(ISSLTransport.providedBy(self.transport))

    def connection(self) -> Any:
        """The TLS connection (pyOpenSSL), for channel bindings; None without TLS."""
        return self.transport.getHandle() if self.is_secure else None

    def peer(self) -> str:
        """The address of the other side, for logs and limits."""
        return str(getattr(self.transport.getPeer(), "host", "")) if self.transport else ""

    def send(self, data: bytes) -> None:
        """Say these bytes at the end of the turn; dropped once the stream has ended."""
        if self._ended:
            return
        if self.trace is not None:
            self.trace("sent", self.peer(), data)
        if not self._out:
            self._turn.add(self)
        self._out.append(data)
        self._out_size += len(data)
        if self._out_size > self._backlog:
            log.info("cutting {peer}: it does not read what it is sent", peer=self.peer())
            self.abort()

    def flush(self) -> None:
        if self._out and not self._stalled and not self._lost:
            data = b"".join(self._out)
            self._out.clear()
            self._out_size = 0
            self.transport.write(data)

    def restart(self, limits: Limits | None = None) -> None:
        """From the next byte on, the peer speaks a new stream (RFC 6120 §4.3.3)."""
        self._limits = limits or self._limits
        self._renew_framer()

    def start_tls(self, context: Any) -> None:
        """Go on under TLS. Bytes that came in the clear behind the request end the stream."""
        rest = self._renew_framer()
        if rest.strip():
            raise StreamError("policy-violation", "data behind <starttls/>")
        self._inbox = b""
        self.flush()
        self.transport.startTLS(context)

    def hold(self) -> None:
        """Handle nothing more until `release`: an answer is being worked out."""
        if not self._held:
            self._held = True
            if self.transport is not None and not self._ended:
                self.transport.pauseProducing()

    def release(self) -> None:
        if self._held:
            self._held = False
            if not self._ended:
                self.transport.resumeProducing()
                if not self._handling:
                    self._handle()

    def watch_pressure(self) -> None:
        """Ask the transport to tell when the peer stops reading; once negotiation is over."""
        if not self._ended:
            self.transport.registerProducer(self, True)

    def close(self, farewell: bytes = b"") -> None:
        """End our side: the last words, then the connection, by force if the peer lingers."""
        if self._ended:
            return
        self.send(farewell)
        self._stalled = False
        self.flush()
        self._ended = True
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self._cut = self._clock.callLater(CLOSING_TIME, self.abort)

    def abort(self) -> None:
        """Cut the connection at once."""
        self._ended = True
        if not self._lost:
            self.transport.abortConnection()

    # The loop.

    def _renew_framer(self) -> bytes:
        """Leave the framer at the event being handled; give the bytes behind it."""
        old, self._framer = self._framer, Framer(self._limits)
        rest = old.unread(self._current) if isinstance(self._current, Stanza) else b""
        old.release()
        self._events.clear()
        self._inbox = rest + self._inbox
        return rest

    def _handle(self) -> None:
        self._handling = True
        self._turn.begin()
        try:
            events = self._events
            while not self._held and not self._ended:
                if events:
                    self._dispatch(events.popleft())
                elif self._inbox:
                    data, self._inbox = self._inbox, b""
                    events.extend(self._framer.feed(data))
                else:
                    break
            if not events:
                self._framer.settle()
        finally:
            self._handling = False
            self._turn.end()

    def _dispatch(self, event: Event) -> None:
        self._current = event
        try:
            if isinstance(event, Stanza):
                if self.trace is not None:
                    self.trace("received", self.peer(), event.raw)
                self.receiver.received(event)
            elif isinstance(event, StreamOpened):
                self.receiver.opened(event)
            elif isinstance(event, StreamClosed):
                self.receiver.closed()
            else:
                self.receiver.offended(event)
        except StreamError as error:
            self.receiver.offended(error)
        except Exception:  # noqa: BLE001 - one broken stream is not the server's end
            log.failure("a stream's receiver failed")
            self.receiver.offended(StreamError("internal-server-error"))
