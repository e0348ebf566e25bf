"""HTTP/2 (RFC 9113) over one connection, from the client's side, on the h2 library.

A connection carries as many exchanges as its server allows, and belongs to an `Owner`, who
gives it exchanges and takes back those that it could not carry.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    PingAckReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import NoAvailableStreamIDError, ProtocolError
from twisted.internet.interfaces import (
    IHandshakeListener,
    INegotiated,
    IPushProducer,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from pushd.net.faults import fault
from pushd.net.http import CONNECT_TIMEOUT, FAREWELL, Fault, HTTPError
from pushd.net.http2_exchange import Exchange
from pushd.net.http2_frames import FrameError, Goaway, Splitter
from pushd.net.http2_library import goodbye, library, name_of
from pushd.net.http2_pulse import Pulse

STREAMS = 1000  # at a time, if the server allows that many


class Declined(HTTPError):
    """The server does not speak HTTP/2, or not for this. Nothing was processed."""

    def __init__(self) -> None:
        super().__init__(Fault.BROKEN, "the server does not speak HTTP/2")

    def copy(self) -> HTTPError:
        return Declined()


class Owner(Protocol):
    """Who has connections, and exchanges for them."""

    def has_room(self, connection: "Connection") -> None:
        """It can take exchanges, for the first time or again."""

    def again(self, exchanges: list[Exchange]) -> None:
        """These were certainly not processed. They came in this order."""

    def leaves(self, connection: "Connection") -> None:
        """It takes no more exchanges; those it has go on."""

    def ended(self, connection: "Connection", error: HTTPError) -> None:
        """It is no more. What it had is given back or fails after this."""


@implementer(IHandshakeListener, IPushProducer)
class Connection(TwistedProtocol):
    """See the module's text. Without TLS (`is_secure`), the server is known to speak HTTP/2."""

    def __init__(
        self,
        clock: IReactorTime,
        owner: Owner,
        is_secure: bool = True,
        idle_limit: float | None = None,  # seconds without an exchange before it ends
        is_checked: bool = False,  # have h2 look at every header
    ) -> None:
        self.is_ready = False  # the server has told its settings
        self.is_leaving = False
        self.opened_at = 0.0  # when it became ready
        self.answers = 0  # that have come
        self.goodbye = ""  # what the server said with its GOAWAY
        self._clock = clock
        self._owner = owner
        self._is_secure = is_secure
        self._splitter = Splitter()
        self._h2 = library(is_checked)
        self._streams: dict[int, Exchange] = {}
        self._unsent: list[Exchange] = []  # those begun since the last write
        self._bodies: dict[int, memoryview] = {}  # what the server's windows keep back
        self._has_paused = False  # the network takes no more
        self._is_writing = False  # in this turn, later
        self._has_ended = False
        self._trouble: HTTPError | None = None  # why it is about to end
        self._pulse = Pulse(clock, self, idle_limit)

    # What its owner asks.

    @property
    def is_promising(self) -> bool:
        """Is it about to take exchanges?"""
        return not self.is_leaving and (not self.is_ready or self._pulse.is_doubtful)

    @property
    def is_kept(self) -> bool:
        """Is it there for later alone?"""
        return self._has_room and not self._streams

    @property
    def used_at(self) -> float:
        """When its last exchange ended."""
        return self._pulse.used_at

    @property
    def limit(self) -> int:
        """How many exchanges at a time the server allows."""
        return min(STREAMS, self._h2.remote_settings.max_concurrent_streams)

    @property
    def load(self) -> int:
        """How many it has."""
        return len(self._streams)

    def takes(self, exchange: Exchange) -> bool:
        """Could it be started now? To be asked may make it look whether its peer is there."""
        load = len(self._streams)
        if not self._has_room or load >= self.limit:
            return False
        if not load:
            return self._pulse.is_sure()
        # A body that the windows hold back would be neither safe to send again nor under way.
        # With nothing else under way it goes as far as it gets: the rest follows.
        return self._h2.outbound_flow_control_window >= len(exchange.body)

    @property
    def _has_room(self) -> bool:
        """As far as it is not a matter of numbers."""
        return not (
            self.is_leaving or not self.is_ready or self._pulse.is_doubtful or self._has_paused
        )

    def start(self, exchange: Exchange) -> None:
        """Carry it; `takes` said yes."""
        h2 = self._h2
        try:
            stream = h2.get_next_available_stream_id()
        except NoAvailableStreamIDError:
            self.leave()
            self._owner.again([exchange])
            return
        body = exchange.body
        h2.send_headers(stream, exchange.headers, not body)
        exchange.stream = stream
        exchange.place = self
        exchange.sent_at = self._clock.seconds()
        self._streams[stream] = exchange
        self._unsent.append(exchange)
        if body:
            self._send_body(stream, memoryview(body))
        self._write_soon()

    def withdraw(self, exchange: Exchange) -> None:
        """Nobody waits for its answer any more: its stream is reset."""
        stream, exchange.stream = exchange.stream, 0
        self._forget(stream)
        if self._trouble is not None:
            return  # it ends anyway
        self._reset(stream, ErrorCodes.CANCEL)
        if self.is_ready and not self._pulse.has_heard_since(exchange.sent_at):
            self._pulse.ask()  # is anyone there?
        self._settle()

    def leave(self) -> None:
        """Take no more, and end with the last exchange."""
        if not self.is_leaving:
            self.is_leaving = True
            self._owner.leaves(self)
            self._settle()

    # What its pulse asks.

    def ping(self) -> None:
        """Ask whether anybody is there."""
        self._h2.ping(b"pushd at")
        self._write_soon()

    def give_up(self, error: HTTPError) -> None:
        """Cut it; what is under way fails with this error."""
        if self._trouble is not None:
            return
        self._trouble = error
        self.is_leaving = True
        self._write()
        self.transport.abortConnection()  # type: ignore[union-attr]

    # What the network says.

    def connectionMade(self) -> None:
        assert self.transport is not None
        text = f"no HTTP/2 within {CONNECT_TIMEOUT:g} s"
        self._pulse.expect(HTTPError(Fault.UNREACHABLE, text), CONNECT_TIMEOUT)
        if ITCPTransport.providedBy(self.transport):
            # A request does not wait until the one before it is acknowledged.
            self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)  # type: ignore[attr-defined]
        if not self._is_secure:
            self._begin()

    def handshakeCompleted(self) -> None:
        if not self._is_secure:
            return
        if INegotiated(self.transport).negotiatedProtocol == b"h2":
            self._begin()
        else:
            self.give_up(Declined())

    def dataReceived(self, data: bytes) -> None:
        if self._has_ended or self._trouble is not None:
            return
        try:
            parts = self._splitter.feed(data)
            self._pulse.heard(self._splitter.frames)
            for part in parts:
                if self._trouble is not None:
                    return
                if isinstance(part, Goaway):
                    self._goaway(part)
                else:
                    for event in self._h2.receive_data(part):
                        react = _REACTIONS.get(event.__class__)
                        if react is not None:
                            react(self, event)
        except (ProtocolError, FrameError, ValueError) as error:
            name = type(error).__name__
            self.give_up(HTTPError(Fault.BROKEN, f"the server breaks HTTP/2: {name}"))
            return
        self._write_soon()
        self._settle()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._has_ended = self.is_leaving = True
        self._pulse.stop()
        error = self._trouble or self._explained(reason)
        streams, self._streams = self._streams, {}
        unsent = {exchange.stream for exchange in self._unsent}
        self._bodies.clear()
        self._owner.ended(self, error)
        self._owner.again([one for stream, one in streams.items() if stream in unsent])
        for stream, exchange in streams.items():
            if stream not in unsent:
                exchange.fail(error)

    def pauseProducing(self) -> None:
        """The network is slow: start nothing more, and read nothing that wants an answer."""
        self._has_paused = True
        self.transport.pauseProducing()  # type: ignore[union-attr]

    def resumeProducing(self) -> None:
        self._has_paused = False
        self.transport.resumeProducing()  # type: ignore[union-attr]
        self._settle()

    def stopProducing(self) -> None:
        """The connection has ended, as `connectionLost` will say."""

    # What comes of it.

    def _begin(self) -> None:
        self._h2.initiate_connection()
        self._write_soon()

    def _settings(self, event: RemoteSettingsChanged) -> None:
        if not self.is_ready:
            self.is_ready = True
            self.opened_at = self._clock.seconds()
            self._pulse.start()
        self._go_on()

    def _head(self, event: ResponseReceived) -> None:
        exchange = self._streams.get(event.stream_id)
        if exchange is not None and not exchange.head(event.headers):
            self._forget(event.stream_id)
            self._reset(event.stream_id, ErrorCodes.PROTOCOL_ERROR)
            exchange.fail(HTTPError(Fault.BROKEN, "an answer without a status"))

    def _data(self, event: DataReceived) -> None:
        stream = event.stream_id
        self._h2.acknowledge_received_data(event.flow_controlled_length, stream)
        exchange = self._streams.get(stream)
        if exchange is not None and not exchange.data(event.data):
            self._forget(stream)
            self._reset(stream, ErrorCodes.CANCEL)
            exchange.finish()

    def _end(self, event: StreamEnded) -> None:
        stream = event.stream_id
        exchange = self._streams.get(stream)
        if exchange is None:
            return
        self.answers += 1
        if stream in self._bodies:  # it has heard enough
            self._reset(stream, ErrorCodes.NO_ERROR)
        self._forget(stream)
        exchange.finish()

    def _was_reset(self, event: StreamReset) -> None:
        exchange = self._streams.get(event.stream_id)
        if exchange is None:
            return
        self._forget(event.stream_id)
        if event.error_code == ErrorCodes.REFUSED_STREAM and exchange.resends:
            exchange.resends -= 1
            self._owner.again([exchange])
            return
        if event.error_code == ErrorCodes.HTTP_1_1_REQUIRED:
            exchange.fail(Declined())
            return
        text = f"the server broke the exchange off ({name_of(event.error_code or 0)})"
        exchange.fail(HTTPError(Fault.BROKEN, text))

    def _window(self, event: WindowUpdated) -> None:
        self._go_on(event.stream_id)

    def _pong(self, event: PingAckReceived) -> None:
        self._pulse.answered()

    def _goaway(self, told: Goaway) -> None:
        self.goodbye = goodbye(told)
        self.leave()
        lost = [stream for stream in self._streams if stream > told.last_stream]
        exchanges = [self._streams[stream] for stream in lost]
        for stream in lost:
            self._forget(stream)
        self._owner.again(exchanges)

    # Doing.

    def _go_on(self, stream: int = 0) -> None:
        """A window, or all of them, may be open again."""
        for waiting in [stream] if stream else list(self._bodies):
            if waiting in self._bodies:
                self._send_body(waiting, self._bodies[waiting])

    def _send_body(self, stream: int, body: memoryview) -> None:
        h2 = self._h2
        while True:
            size = min(len(body), h2.local_flow_control_window(stream), h2.max_outbound_frame_size)
            if size <= 0:
                self._bodies[stream] = body
                return
            is_last = size == len(body)
            h2.send_data(stream, body[:size], is_last)
            if is_last:
                self._bodies.pop(stream, None)
                return
            body = body[size:]

    def _forget(self, stream: int) -> None:
        del self._streams[stream]
        self._bodies.pop(stream, None)
        self._pulse.used()

    def _reset(self, stream: int, code: ErrorCodes) -> None:
        with suppress(ProtocolError):  # the server was faster
            self._h2.reset_stream(stream, code)
        self._write_soon()

    def _settle(self) -> None:
        """Say that there is room; end where nothing is left to do."""
        if self._has_ended:
            return
        if not self.is_leaving:
            if self._has_room:
                self._owner.has_room(self)
        elif not self._streams and self._trouble is None:
            self._farewell()

    def _write_soon(self) -> None:
        if not self._is_writing:
            self._is_writing = True
            self._clock.callLater(0, self._write)

    def _write(self) -> None:
        self._is_writing = False
        if self._has_ended:
            return
        data = self._h2.data_to_send()
        if data:
            self._unsent.clear()
            self.transport.write(data)  # type: ignore[union-attr]

    # Ending.

    def _farewell(self) -> None:
        """End it properly."""
        self._trouble = self._said(HTTPError(Fault.BROKEN, "the connection was closed"))
        self._pulse.relax()
        if self.is_ready:
            self._h2.close_connection()
        self._write()
        transport: Any = self.transport
        self._pulse.wait(FAREWELL, transport.abortConnection)
        transport.unregisterProducer()  # TLS is not ended while anyone may produce
        transport.loseConnection()

    def _explained(self, reason: Failure) -> HTTPError:
        error = fault(reason.value) if isinstance(reason.value, Exception) else None
        if not isinstance(error, HTTPError):
            error = HTTPError(Fault.BROKEN, "the connection ended before the answer did")
        return self._said(error)

    def _said(self, error: HTTPError) -> HTTPError:
        """With what the server said about it."""
        return HTTPError(error.fault, f"{error.text} ({self.goodbye})") if self.goodbye else error


_REACTIONS: dict[type[Event], Callable[[Connection, Any], None]] = {
    DataReceived: Connection._data,
    PingAckReceived: Connection._pong,
    RemoteSettingsChanged: Connection._settings,
    ResponseReceived: Connection._head,
    StreamEnded: Connection._end,
    StreamReset: Connection._was_reset,
    WindowUpdated: Connection._window,
}
