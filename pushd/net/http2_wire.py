"""HTTP/2 (RFC 9113) as a client speaks it: header blocks, windows and settings, without sockets.

It hears what a server may say to a client that has pushes switched off, and knows no states of
streams but "not yet opened": what comes for one that is over is nobody's.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from hpack import Decoder, HeaderTuple, HPACKError

from pushd.net.http2_frames import (
    ACK,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Frame,
    FrameError,
    Goaway,
    Splitter,
    frame,
    goaway,
    number,
    unpadded,
)
from pushd.net.http2_headers import HeaderEncoder

HEADER_LIMIT = 16_384  # bytes of an answer's head, as RFC 9113 §6.5.2 counts them
LONGEST_BLOCK = 2 * HEADER_LIMIT  # bytes of it that are kept until it is complete
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WINDOW = 65_535  # bytes that may be under way, unless somebody says something else
GIVE_BACK = WINDOW // 2  # bytes of it that have come before the peer gets them back
LARGEST_WINDOW = 2**31 - 1
LAST_STREAM = 2**31 - 1
FOR_EVER = 2**32  # streams at a time, where the server sets no bound

# Settings (RFC 9113 §6.5.2).
TABLE_SIZE, ENABLE_PUSH, STREAMS, STREAM_WINDOW, FRAME_SIZE, HEAD_SIZE = range(1, 7)


class Hearer(Protocol):
    """Who hears what the server says. Streams are those that were opened, also if long ago."""

    def has_settings(self) -> None:
        """The server has told its settings, for the first time or others."""

    def has_head(self, stream: int, headers: Iterable[HeaderTuple]) -> None:
        """A block of header fields: an answer's head, one before it, or what follows a body."""

    def has_data(self, stream: int, data: bytes) -> None:
        """A part of a body."""

    def has_end(self, stream: int) -> None:
        """Nothing more comes on this stream."""

    def was_reset(self, stream: int, code: int) -> None:
        """The server has broken off a stream."""

    def has_window(self, stream: int, size: int) -> None:
        """It takes so many bytes more on a stream; more on all of them, if that is nought."""

    def has_pong(self) -> None:
        """The answer to a ping."""

    def has_goaway(self, told: Goaway) -> None:
        """The server takes no more streams."""


class Wire:
    """Both directions of one connection."""

    def __init__(self, hearer: Hearer) -> None:
        self.streams = FOR_EVER  # that the server allows at a time
        self.stream_window = WINDOW  # bytes that a new stream may send
        self.window = WINDOW  # bytes that all of them may send now
        self.frame_size = 16_384  # bytes that a frame may have
        self.next_stream = 1
        self._hearer = hearer
        self._out: list[bytes] = []
        self._encoder = HeaderEncoder()
        self._decoder = Decoder(HEADER_LIMIT)
        self._splitter = Splitter()
        self._has_settings = False
        self._consumed = 0  # bytes that the peer may not send again yet
        # A block of headers that is not complete: its stream, and whether it is the end of it.
        self._block: bytes | None = None
        self._block_stream = 0
        self._block_ends = False

    # What is said.

    def begin(self) -> None:
        settings = b"".join(
            key.to_bytes(2, "big") + number(value)
            for key, value in ((ENABLE_PUSH, 0), (HEAD_SIZE, HEADER_LIMIT))
        )
        self._out.append(PREFACE + frame(SETTINGS, 0, 0, settings))

    def open(self, headers: Iterable[HeaderTuple | tuple[bytes, bytes]], ends: bool) -> int:
        """Open a stream with these fields; nought when there are no more numbers for one."""
        stream = self.next_stream
        if stream > LAST_STREAM:
            return 0
        self.next_stream = stream + 2
        block, size = self._encoder.encode(headers), self.frame_size
        flags = END_STREAM if ends else 0
        if len(block) <= size:
            self._out.append(frame(HEADERS, flags | END_HEADERS, stream, block))
            return stream
        parts = [block[start : start + size] for start in range(0, len(block), size)]
        self._out.append(frame(HEADERS, flags, stream, parts[0]))
        for part in parts[1:]:
            flags = END_HEADERS if part is parts[-1] else 0
            self._out.append(frame(CONTINUATION, flags, stream, part))
        return stream

    def send(self, stream: int, data: bytes, ends: bool) -> None:
        """A part of a body, for which there is room in all windows and in a frame."""
        self.window -= len(data)
        self._out.append(frame(DATA, END_STREAM if ends else 0, stream, data))

    def reset(self, stream: int, code: int) -> None:
        self._out.append(frame(RST_STREAM, 0, stream, number(code)))

    def ping(self, data: bytes) -> None:
        self._out.append(frame(PING, 0, 0, data))

    def end(self, code: int) -> None:
        """Nothing more is taken from the server."""
        self._out.append(frame(GOAWAY, 0, 0, number(0) + number(code)))

    def to_write(self) -> bytes:
        """All that was said since the last call."""
        said, self._out = b"".join(self._out), []
        return said

    # What is heard.

    def split(self, data: bytes) -> list[Frame]:
        """Cut bytes as they came. Raises FrameError."""
        return self._splitter.feed(data)

    def hear(self, one: Frame) -> None:
        """Take a frame. Raises FrameError."""
        kind, flags, stream, payload = one
        if self._block is not None and (kind, stream) != (CONTINUATION, self._block_stream):
            raise FrameError("a head that is not continued")
        if not self._has_settings and kind != SETTINGS:
            raise FrameError("settings are the first to be said")
        hear = _FRAMES.get(kind)
        if hear is not None:
            hear(self, flags, stream, payload)

    def _is_ours(self, stream: int) -> None:
        """Raise FrameError for a stream that we have not opened."""
        if not stream & 1 or stream >= self.next_stream:
            raise FrameError("a stream that nobody has opened")

    def _data(self, flags: int, stream: int, payload: bytes) -> None:
        self._is_ours(stream)
        data, size = unpadded(flags, payload), len(payload)
        self._consumed += size
        if self._consumed >= GIVE_BACK:
            self._out.append(frame(WINDOW_UPDATE, 0, 0, number(self._consumed)))
            self._consumed = 0
        # An exchange takes less than a stream's window, so that it never closes, but for this.
        if size > len(data) and not flags & END_STREAM:
            self._out.append(frame(WINDOW_UPDATE, 0, stream, number(size - len(data))))
        self._hearer.has_data(stream, data)
        if flags & END_STREAM:
            self._hearer.has_end(stream)

    def _headers(self, flags: int, stream: int, payload: bytes) -> None:
        self._is_ours(stream)
        block = unpadded(flags, payload)
        if flags & HAS_PRIORITY:
            if len(block) < 5:
                raise FrameError("a priority that is cut off", FRAME_SIZE_ERROR)
            block = block[5:]
        self._block_stream, self._block_ends = stream, bool(flags & END_STREAM)
        self._add(flags, block)

    def _continuation(self, flags: int, stream: int, payload: bytes) -> None:
        if self._block is None or not payload:
            raise FrameError("a continuation of nothing, or by nothing")
        self._add(flags, self._block + payload)

    def _add(self, flags: int, block: bytes) -> None:
        if len(block) > LONGEST_BLOCK:
            raise FrameError("a head that is too long")
        if not flags & END_HEADERS:
            self._block = block
            return
        self._block = None
        try:
            headers = self._decoder.decode(block, raw=True)
        except (HPACKError, IndexError, TypeError) as error:
            raise FrameError("a head that cannot be read", COMPRESSION_ERROR) from error
        self._hearer.has_head(self._block_stream, headers)
        if self._block_ends:
            self._hearer.has_end(self._block_stream)

    def _priority(self, flags: int, stream: int, payload: bytes) -> None:
        if len(payload) != 5 or not stream:
            raise FrameError("a priority that is none", FRAME_SIZE_ERROR)

    def _reset(self, flags: int, stream: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise FrameError("a reset that is none", FRAME_SIZE_ERROR)
        self._hearer.was_reset(stream, int.from_bytes(payload, "big"))

    def _settings(self, flags: int, stream: int, payload: bytes) -> None:
        if stream:
            raise FrameError("settings of a stream")
        if len(payload) % 6 or (flags & ACK and payload):
            raise FrameError("settings that are cut off", FRAME_SIZE_ERROR)
        if flags & ACK:
            return
        self._has_settings = True
        for at in range(0, len(payload), 6):
            key = int.from_bytes(payload[at : at + 2], "big")
            self._set(key, int.from_bytes(payload[at + 2 : at + 6], "big"))
        self._out.append(frame(SETTINGS, ACK, 0, b""))
        self._hearer.has_settings()

    def _set(self, key: int, value: int) -> None:
        if key == TABLE_SIZE:
            self._encoder.header_table_size = value
        elif key == STREAMS:
            self.streams = value
        elif key == STREAM_WINDOW:
            if value > LARGEST_WINDOW:
                raise FrameError("a window that is too large", FLOW_CONTROL_ERROR)
            self.stream_window = value
        elif key == FRAME_SIZE:
            if not 16_384 <= value < 2**24:
                raise FrameError("a size that no frame has")
            self.frame_size = value
        elif key == ENABLE_PUSH and value:
            raise FrameError("a server that wants pushes")

    def _ping(self, flags: int, stream: int, payload: bytes) -> None:
        if len(payload) != 8 or stream:
            raise FrameError("a ping that is none", FRAME_SIZE_ERROR)
        if flags & ACK:
            self._hearer.has_pong()
        else:
            self._out.append(frame(PING, ACK, 0, payload))

    def _goaway(self, flags: int, stream: int, payload: bytes) -> None:
        self._hearer.has_goaway(goaway(stream, payload))

    def _window(self, flags: int, stream: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise FrameError("a window that is none", FRAME_SIZE_ERROR)
        size = int.from_bytes(payload, "big") & 0x7FFF_FFFF
        if not size:
            raise FrameError("a window that opens by nothing")
        if stream:
            self._is_ours(stream)
        else:
            self.window += size
            if self.window > LARGEST_WINDOW:
                raise FrameError("a window that is too large", FLOW_CONTROL_ERROR)
        self._hearer.has_window(stream, size)

    def _promise(self, flags: int, stream: int, payload: bytes) -> None:
        raise FrameError("a push", PROTOCOL_ERROR)


_FRAMES: dict[int, Callable[[Wire, int, int, bytes], None]] = {
    DATA: Wire._data,
    HEADERS: Wire._headers,
    PRIORITY: Wire._priority,
    RST_STREAM: Wire._reset,
    SETTINGS: Wire._settings,
    PUSH_PROMISE: Wire._promise,
    PING: Wire._ping,
    GOAWAY: Wire._goaway,
    WINDOW_UPDATE: Wire._window,
    CONTINUATION: Wire._continuation,
}
