"""The server's side of an HTTP/2 connection (RFC 9113), which misbehaves as it is told.

`h2` keeps the rules. What a well-behaved server never does goes out beside it: GOAWAY is
written as raw bytes, as `h2` would end its own state with it and refuse the answers that
are still due.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PriorityUpdated,
    RequestReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError, StreamClosedError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113 §3.4
MAX_BODY = 1_048_576  # bytes of a request that are kept; one byte more tells that there were more
MAX_HEADERS = 65_536  # bytes of a header list
HIGH_WATER = 65_536  # bytes of an answer that wait before its producer is asked to pause

Headers = Sequence[tuple[bytes, bytes]]  # each a HeaderTuple, which knows how it was sent


class Stream:
    """One request, whole, and the answer to it."""

    def __init__(self, connection: "Connection", number: int, headers: Headers) -> None:
        self.connection = connection
        self.number = number
        self.headers = headers  # names and values as bytes, pseudo-headers first
        self.body = b""
        self.reader: Reader | None = None  # who answers, and hears of the stream's end
        self._waiting = bytearray()
        self._ends = False
        self._began = False
        self._producer: IPushProducer | None = None
        self._paused = False

    def header(self, name: bytes) -> bytes:
        """The first header of this name, or b""."""
        return next((bytes(value) for key, value in self.headers if key == name), b"")

    def head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Say the status and the headers."""
        self._began = True
        self.connection.send_headers(self.number, [(b":status", b"%d" % status), *headers])

    def write(self, data: bytes) -> None:
        """Say more of the body, as fast as the windows and the socket take it."""
        self._waiting += data
        self.connection.pump(self)
        if self._producer is not None and not self._paused and len(self._waiting) > HIGH_WATER:
            self._paused = True
            self._producer.pauseProducing()

    def end(self) -> None:
        """The body is all there."""
        self._ends = True
        self.connection.pump(self)

    def reset(self, code: int) -> None:
        """End the stream without a (whole) answer (RST_STREAM)."""
        self.connection.reset(self, code)

    def produce(self, producer: IPushProducer | None) -> None:
        """Ask this one to pause when too much waits; None: nobody any more."""
        self._producer, self._paused = producer, False

    # For the connection.

    @property
    def wants(self) -> bool:
        """Whether something is to be sent."""
        return self._began and (bool(self._waiting) or self._ends)

    def take(self, most: int) -> tuple[bytes, bool]:
        """The next bytes of the body, and whether they are the last."""
        piece = bytes(self._waiting[:most])
        del self._waiting[:most]
        return piece, self._ends and not self._waiting

    def drained(self) -> None:
        """Some went out."""
        if self._paused and self._producer is not None and len(self._waiting) <= HIGH_WATER // 2:
            self._paused = False
            self._producer.resumeProducing()


class Reader(Protocol):
    """Who answers a stream."""

    def lost(self, reason: Failure) -> None:
        """The stream is over before its answer was whole."""


class Owner(Protocol):
    """Whose connection it is."""

    def opened(self, connection: "Connection") -> int:
        """It begins; gives the number of streams that the client may open at once."""

    def requested(self, stream: Stream) -> None:
        """A request is there, whole."""

    def closed(self, connection: "Connection", reason: str) -> None:
        """It is over."""

    def noted(self, connection: "Connection", remark: str) -> None:
        """The client did what it should not."""


@implementer(IPushProducer)
class Connection(TwistedProtocol):
    """One connection. `state` is its owner's to use."""

    transport: Any

    def __init__(self, owner: Owner) -> None:
        self.state: Any = None
        self.last_processed: int | None = None  # the last stream of a GOAWAY that was sent
        self._owner = owner
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self._streams: dict[int, Stream] = {}
        self._highest = 0  # the last stream that the client opened
        self._owed: dict[int, int] | None = None  # bytes not credited by stream; None: none are
        self._is_stalled = self._is_choked = self._is_over = False
        self._why = ""

    # The transport's.

    def connectionMade(self) -> None:
        allowed = self._owner.opened(self)
        initial = {
            SettingCodes.MAX_CONCURRENT_STREAMS: allowed,
            SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEADERS,
        }
        # Set before, not updated after: only so is it said in the first SETTINGS.
        self._h2.local_settings = Settings(client=False, initial_values=initial)
        self._h2.initiate_connection()
        self.transport.registerProducer(self, True)
        self._flush()

    def dataReceived(self, data: bytes) -> None:
        if self._is_over:
            return
        try:
            events = self._h2.receive_data(data)
        except ProtocolError as error:  # a GOAWAY that says so is in the buffer
            self._why = f"{type(error).__name__}: {error}"
            self._owner.noted(self, self._why)
            self._flush()
            self.close()
            return
        for event in events:
            self._happened(event)
            if self._is_over:
                return
        self._pump_all()
        self._flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._is_over = True
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            if stream.reader is not None:
                stream.reader.lost(reason)
        self._owner.closed(self, self._why or reason.getErrorMessage())
        self.transport = None

    def pauseProducing(self) -> None:
        self._is_choked = True

    def resumeProducing(self) -> None:
        self._is_choked = False
        self._pump_all()
        self._flush()

    def stopProducing(self) -> None:
        self._is_choked = True

    # The answers'.

    def send_headers(self, number: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Say the headers of an answer, unless its stream is over."""
        if number in self._streams:
            # It may be, in what was read at once with the request: the event is yet to come.
            with suppress(StreamClosedError):
                self._h2.send_headers(number, headers)
                self._flush()

    def pump(self, stream: Stream) -> None:
        """Send what may be sent of an answer."""
        with suppress(StreamClosedError):
            self._pump(stream)
        self._flush()

    def reset(self, stream: Stream, code: int) -> None:
        """RST_STREAM (RFC 9113 §6.4)."""
        if self._streams.pop(stream.number, None) is not None:
            with suppress(StreamClosedError):
                self._h2.reset_stream(stream.number, code)
            self._flush()
            self._end_if_drained()

    # The owner's: what may happen to a connection.

    def allow(self, streams: int) -> None:
        """Let the client have so many streams at once, from its acknowledgement on."""
        if not self._is_over:
            self._h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: streams})
            self._flush()

    def go_away(self, last: int | None = None, code: int = 0, debug: bytes = b"") -> None:
        """GOAWAY (RFC 9113 §6.8): streams above `last` (None: above those there are) are not
        processed, those up to it are answered, and then the connection is closed."""
        if self._is_over:
            return
        last = self._highest if last is None else last
        if self.last_processed is not None:
            last = min(last, self.last_processed)  # it may not grow
        self.last_processed = last
        frame = GoAwayFrame(0, last_stream_id=last, error_code=code, additional_data=debug)
        self._flush()
        self._write(frame.serialize())
        for number in [number for number in self._streams if number > last]:
            stream = self._streams.pop(number)
            if stream.reader is not None:
                stream.reader.lost(Failure(ConnectionAborted()))
        self._end_if_drained()

    def withhold_windows(self, withheld: bool) -> None:
        """Give the client no more room for bodies, or what it is owed of it."""
        if withheld:
            self._owed = {} if self._owed is None else self._owed
        elif self._owed is not None:
            owed, self._owed = self._owed, None
            for number, size in owed.items():
                self._credit(number, size)
            self._flush()

    def stall(self, stalled: bool) -> None:
        """Read and say nothing, as a machine that hangs, or go on."""
        if self._is_over or self._is_stalled == stalled:
            return
        self._is_stalled = stalled
        if stalled:
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()
            self._flush()

    def close(self) -> None:
        """Close in order once everything is said, without a GOAWAY."""
        if not self._is_over:
            self._is_over = True
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def abort(self) -> None:
        """Gone at once: RST of TCP, nothing is said."""
        self._is_over = True
        if self.transport is not None:
            self.transport.abortConnection()

    # Inside.

    def _happened(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=int(number), headers=headers):
                self._highest = max(self._highest, number)
                # One that comes after GOAWAY was under way before the client heard of that.
                if not self._is_refused(number):
                    self._streams[number] = Stream(self, number, headers or [])
            case DataReceived(stream_id=int(number)):
                self._received(event)
            case StreamEnded(stream_id=int(number)):
                ended = self._streams.get(number)
                if ended is not None:
                    self._owner.requested(ended)
            case StreamReset(stream_id=int(number)):
                lost = self._streams.pop(number, None)
                if lost is not None and lost.reader is not None:
                    lost.reader.lost(Failure(ConnectionAborted()))
            case PriorityUpdated():
                self._owner.noted(self, "PRIORITY is ignored here")
            case ConnectionTerminated(error_code=code):
                self._why = f"the client ended it with GOAWAY, code {code}"
                self._flush()
                self.close()

    def _received(self, event: DataReceived) -> None:
        number, data = event.stream_id, event.data or b""
        stream = self._streams.get(number)
        if stream is not None and len(stream.body) <= MAX_BODY:
            stream.body += data[: MAX_BODY + 1 - len(stream.body)]
        size = event.flow_controlled_length or 0
        if self._owed is not None:
            self._owed[number] = self._owed.get(number, 0) + size
        elif size:
            self._credit(number, size)

    def _credit(self, number: int, size: int) -> None:
        if not self._is_over:
            self._h2.acknowledge_received_data(size, number)

    def _is_refused(self, number: int) -> bool:
        return self.last_processed is not None and number > self.last_processed

    def _pump_all(self) -> None:
        for stream in [stream for stream in self._streams.values() if stream.wants]:
            with suppress(StreamClosedError):
                self._pump(stream)

    def _pump(self, stream: Stream) -> None:
        while stream.number in self._streams and stream.wants and not self._is_choked:
            room = min(
                self._h2.local_flow_control_window(stream.number),
                self._h2.max_outbound_frame_size,
            )
            piece, is_last = stream.take(max(room, 0))
            if not piece and not is_last:
                return
            self._h2.send_data(stream.number, piece, end_stream=is_last)
            stream.drained()
            if is_last:
                del self._streams[stream.number]
                self._flush()
                self._end_if_drained()

    def _end_if_drained(self) -> None:
        """After GOAWAY it is closed once all are answered that will be."""
        if self.last_processed is not None and not self._streams:
            self._why = self._why or "GOAWAY"
            self.close()

    def _flush(self) -> None:
        if not self._is_stalled:
            self._write(self._h2.data_to_send())

    def _write(self, data: bytes) -> None:
        if data and self.transport is not None:
            self.transport.write(data)


def is_preface(data: bytes) -> bool | None:
    """Whether a connection begins as HTTP/2 (RFC 9113 §3.4); None: too early to say."""
    if data.startswith(PREFACE[:14]):
        return True
    return None if PREFACE.startswith(data) else False
