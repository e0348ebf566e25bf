"""A connection that carries an XML stream: bytes in and out, restarts, TLS, pressure.

Per read of a socket everything is parsed and handled; at the end of the reactor's turn each
stream that has something to say gets one write (`Turn`). What the stream means is its receiver's
business.
"""

import socket
import sys
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IHandshakeListener,
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

from pushd.net.admission import Guest
from pushd.net.pace import Budget, Pace
from pushd.net.sluice import Sluice
from pushd.net.tls import forget, tend
from pushd.net.turn import Turn
from pushd.net.unconfirmed import tcp, unconfirmed
from pushd.wire.errors import StreamError
from pushd.wire.framer import Event, Framer, Limits, StreamClosed, StreamOpened
from pushd.wire.stanza import Stanza

log = Logger()

Trace = Callable[[str, str, bytes], None]  # "sent" or "received", the peer, the bytes

INTERNET = (socket.AF_INET, socket.AF_INET6)
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


@implementer(IPushProducer, IHandshakeListener)
class XMLStream(TwistedProtocol):
    """One connection. `send` collects; the turn writes. Errors end in `offended` or `lost`.

    `backlog` is how many bytes may wait for a peer that does not read: with more, the
    connection is cut.
    """

    transport: Any  # a TCP or TLS transport: no interface of Twisted covers both
    receiver: Receiver

    def __init__(
        self, clock: IReactorTime, turn: Turn, limits: Limits, backlog: int = 4 << 20
    ) -> None:
        self._clock = clock
        self._turn = turn
        self._limits = limits
        self._framer = Framer(limits)
        self._events: list[Event] = []  # the next one last; a deque takes 600 bytes
        self._current: Event | None = None
        self._inbox = b""
        self._out: list[bytes] = []
        self._out_size = 0
        self._backlog = backlog
        self.allowance: float = float("inf")  # bytes that may still be read before `_full`
        self.parsed = 0  # stanzas and other events of the stream, since somebody set it to 0
        self._full: Callable[[], None] = _nothing
        self._pace: Pace | None = None
        self.is_heard = True  # something came since this was last set to False
        self._holds = 0
        self._handling = False
        self._shaking_hands = False
        self._stalled = False
        self._corks = 0  # nothing is written before as many calls of `uncork`
        self._ended = False
        self._lost = False
        self._timer: IDelayedCall | None = None  # to cut the connection
        self.guest: Guest | None = None  # its place among the connections
        self.trace: Trace | None = None
        self.sluice: Sluice | None = None  # with others, whose turn it may be

    # What Twisted calls.

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        self._shaking_hands = self.is_secure
        self.transport.registerProducer(self, True)
        self.receiver.connected()

    def handshakeCompleted(self) -> None:
        self._shaking_hands = False

    def dataReceived(self, data: bytes) -> None:
        if self._ended:
            return
        self._inbox = self._inbox + data if self._inbox else data
        self.allowance -= len(data)
        self.is_heard = True
        if self._handling or self._holds:
            return
        if self.sluice is not None and not self.sluice.lets_in(self):
            return
        self._handle()
        if self.allowance < 0 and not self._ended:
            self._full()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ended = self._lost = True
        self._framer.release()
        self._events.clear()
        self._current = None
        self._inbox = b""
        self._out.clear()
        self._stop_timers()
        try:
            self.receiver.lost(reason.getErrorMessage())
        finally:
            # Nothing refers in a circle, so that all of it is freed at once.
            del self.receiver
            if self.guest is not None:
                self.guest.leave()
            self._full = _nothing
            self._pace = None
            forget(self.transport)
            self.transport = None

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
        """Whether it is under TLS."""
        return bool(ISSLTransport.providedBy(self.transport))

    def connection(self) -> Any:
        """The TLS connection (pyOpenSSL), for channel bindings; None without TLS."""
        return self.transport.getHandle() if self.is_secure else None

    def peer(self) -> str:
        """The address of the other side, for logs and limits."""
        return str(getattr(self.transport.getPeer(), "host", "")) if self.transport else ""

    @property
    def waiting(self) -> int:
        """How many bytes wait for a peer that does not read."""
        return self._out_size

    @property
    def unconfirmed(self) -> int:
        """How many bytes the other machine has not confirmed: all, once the connection is lost.

        Where the system does not tell, what it has taken counts as confirmed.
        """
        return sys.maxsize if self._lost else self._out_size + unconfirmed(self.transport)

    def keep_alive(self, seconds: int) -> None:
        """Notice within some three times this that the other machine is gone."""
        handle = self._socket()
        if handle is None:
            return
        for option in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
            if hasattr(socket, option):
                handle.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)
        if hasattr(socket, "TCP_KEEPCNT"):
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)

    def give_up_after(self, seconds: float) -> None:
        """End the connection when the other machine confirms nothing for so long, if TCP can."""
        handle = self._socket()
        if handle is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = int(1_000 * seconds)
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    @property
    def descriptor(self) -> int:
        """The descriptor of the socket; -1 where there is none."""
        handle = self._socket()
        return -1 if handle is None else int(handle.fileno())

    def _socket(self) -> Any:
        """The socket, below TLS too; None where there is none, as in tests."""
        handle = getattr(tcp(self.transport), "socket", None)
        return handle if getattr(handle, "family", None) in INTERNET else None

    def meter(self, size: int, full: Callable[[], None]) -> None:
        """Call `full` after so many more bytes are read; it may meter anew."""
        self.allowance = size
        self._full = full

    def pace(
        self, size: int, settled: "Callable[[], Deferred[None]]", budget: Budget | None = None
    ) -> None:
        """After so many bytes read, and again and again, read on only when `settled()` fires.

        When it fails, a second later; and not before `budget` allows for what was read.
        """
        self._pace = Pace(self._clock, self, size, settled, budget)

    def charge(self, size: int) -> None:
        """Count so many bytes as if the peer had sent them: it has asked for as much work.

        Once that is as much as may be read at a time, the others have their turn, whatever
        else has come already.
        """
        self.allowance -= size
        if self.allowance < 0 and not self._ended:
            self._full()

    @property
    def unhandled(self) -> int:
        """How many bytes have come that are not handled."""
        return len(self._inbox)

    @property
    def is_held(self) -> bool:
        """Whether nothing is read at present."""
        return self._holds > 0

    @property
    def is_handling(self) -> bool:
        """Whether what was read is being handled at this moment."""
        return self._handling

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is said or heard."""
        return self._ended

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

    def bound(self, backlog: int) -> None:
        """From now on so much may wait for a peer that does not read."""
        self._backlog = backlog

    def flush(self) -> None:
        """Write what was said, unless the socket is full or somebody has corked it."""
        if self._out and not self._stalled and not self._corks and not self._lost:
            data = b"".join(self._out)
            self._out.clear()
            self._out_size = 0
            self.transport.write(data)

    def rest(self) -> None:
        """Nothing has come for a while: keep no more than what the next byte needs."""
        if not (self._inbox or self._events or self._handling or self._holds or self._ended):
            self._current = None
            self._framer.rest()

    def rest_if_quiet(self) -> None:
        """The same, if nothing has come since the last call."""
        if not self.is_heard:
            self.rest()
        self.is_heard = False

    def restart(self, limits: Limits | None = None) -> None:
        """From the next byte on, the peer speaks a new stream (RFC 6120 §4.3.3)."""
        self._limits = limits or self._limits
        self._renew_framer()

    def limit(self, limits: Limits) -> None:
        """From now on these limits hold, on the stream that is open."""
        self._limits = limits
        self._framer.limit(limits)

    def start_tls(self, context: Any, proceed: bytes = b"") -> None:
        """Say `proceed`, and go on under TLS.

        Bytes that came in the clear behind the request are a StreamError, and nothing is said.
        """
        self._renew_framer()
        if self._inbox.strip():
            raise StreamError("policy-violation", "data behind <starttls/>")
        self._inbox = b""
        if proceed:
            self.send(proceed)
        self._stalled = False
        self.flush()
        self._shaking_hands = True
        self.transport.startTLS(context)
        tend(self.transport)

    def hold(self) -> None:
        """Handle nothing more until as many calls of `release`: something is worked out."""
        self._holds += 1
        if self._holds == 1 and self.transport is not None and not self._ended:
            self.transport.pauseProducing()

    def release(self) -> None:
        """One `hold` less: with the last one, what came meanwhile is handled."""
        self._holds -= 1
        if not self._holds and not self._ended:
            self.transport.resumeProducing()
            if not self._handling:
                self._handle()

    def cork(self) -> None:
        """Keep what is said, in order, until as many calls of `uncork`."""
        self._corks += 1

    def uncork(self) -> None:
        """One `cork` less: with the last one, what was said is written in this turn."""
        self._corks = max(0, self._corks - 1)
        if self._out and not self._corks:
            self._turn.add(self)

    def part(self, farewell: bytes) -> None:
        """End our side, and hear what is under way until the peer ends its own (RFC 6120 §4.4).

        It has as long as after `close`, which comes by itself then. Nothing more is said.
        """
        self.send(farewell)
        self.send = _unsaid  # type: ignore[method-assign]
        self._timer = self._clock.callLater(CLOSING_TIME, self.close)

    def close(self, farewell: bytes = b"") -> None:
        """End our side: the last words, then the connection, by force if the peer lingers."""
        if self._ended:
            return
        if self._shaking_hands:
            self.abort()  # nothing can be said yet
            return
        self.send(farewell)
        self._corks = 0
        self._stalled = False
        self.flush()
        self._ended = True
        if self._holds:
            self.transport.resumeProducing()  # for its end to be noticed
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self._stop_timers()
        self._timer = self._clock.callLater(CLOSING_TIME, self.abort)

    def abort(self) -> None:
        """Cut the connection at once; what was not written yet is not."""
        self._ended = True
        self._out.clear()
        if not self._lost:
            self.transport.abortConnection()

    def _stop_timers(self) -> None:
        if self._pace is not None:
            self._pace.stop()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    # The loop.

    def _renew_framer(self) -> None:
        """Leave the framer at the event being handled; the bytes behind it are still to come."""
        old, self._framer = self._framer, Framer(self._limits)
        rest = old.unread(self._current) if isinstance(self._current, Stanza) else b""
        old.release()
        self._events.clear()
        self._inbox = rest + self._inbox

    def _handle(self) -> None:
        self._handling = True
        events = self._events
        try:
            while not self._holds and not self._ended:
                if events:
                    event = self._current = events.pop()
                    if type(event) is Stanza:
                        if self.trace is not None:
                            self.trace("received", self.peer(), event.raw)
                        self.receiver.received(event)
                    else:
                        self._tell(event)
                elif self._inbox:
                    data, self._inbox = self._inbox, b""
                    found = self._framer.feed(data)
                    self.parsed += len(found)
                    found.reverse()
                    events += found
                else:
                    break
        except StreamError as error:
            self._offend(error)
        except Exception:  # noqa: BLE001 - one broken stream is not the server's end
            log.failure("a stream's receiver failed")
            self._offend(StreamError("internal-server-error"))
        finally:
            if not events:
                self._framer.settle()
            self._handling = False

    def _offend(self, error: StreamError) -> None:
        if not self._lost:
            self.receiver.offended(error)

    def _tell(self, event: Event) -> None:
        """Hand over what is no stanza."""
        if isinstance(event, StreamOpened):
            self.receiver.opened(event)
        elif isinstance(event, StreamClosed):
            self.receiver.closed()
        elif isinstance(event, StreamError):
            self.receiver.offended(event)


def _unsaid(data: bytes) -> None:
    """Our side has ended."""


def _nothing() -> None:
    """Nobody minds how much is read."""
