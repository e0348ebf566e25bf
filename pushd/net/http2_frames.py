"""HTTP/2's frames (RFC 9113 §4.1 and §6), cut out of the stream of bytes, and made."""

from typing import NamedTuple

HEAD = 9  # bytes before a frame's payload
LARGEST = 16_384  # bytes of payload: what a peer may send unless it is told otherwise
DEBUG_LIMIT = 1024  # bytes of a GOAWAY's debug data that are kept

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = range(5)
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(5, 10)

# Flags.
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

# Codes (RFC 9113 §7) by their numbers.
CODES = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
)
NO_ERROR, PROTOCOL_ERROR = 0, 1
FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 3, 6, 7, 8
COMPRESSION_ERROR, HTTP_1_1_REQUIRED = 9, 13

Frame = tuple[int, int, int, bytes]  # type, flags, stream, payload


class FrameError(Exception):
    """The peer breaks HTTP/2, and the connection ends with this code."""

    def __init__(self, text: str, code: int = PROTOCOL_ERROR) -> None:
        super().__init__(text)
        self.code = code


class Goaway(NamedTuple):
    """The peer takes no more streams (RFC 9113 §6.8)."""

    last_stream: int  # streams above it were not processed, and never will be
    code: int
    debug: bytes


class Splitter:
    """Cuts bytes into frames."""

    def __init__(self) -> None:
        self._rest = b""  # the beginning of a frame

    def feed(self, data: bytes) -> list[Frame]:
        """What is complete with these bytes, in its order. Raises FrameError."""
        if self._rest:
            data = self._rest + data
        found: list[Frame] = []
        at, size = 0, len(data)
        while size - at >= HEAD:
            length = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            if length > LARGEST:
                raise FrameError(f"a frame of {length} bytes", FRAME_SIZE_ERROR)
            payload = at + HEAD
            end = payload + length
            if end > size:
                break
            stream = int.from_bytes(data[at + 5 : payload], "big") & 0x7FFF_FFFF
            found.append((data[at + 3], data[at + 4], stream, data[payload:end]))
            at = end
        self._rest = data[at:]
        return found


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """The bytes of a frame."""
    head = len(payload) << 48 | kind << 40 | flags << 32 | stream
    return head.to_bytes(HEAD, "big") + payload


def number(value: int) -> bytes:
    """As payloads have them, in four bytes."""
    return value.to_bytes(4, "big")


def unpadded(flags: int, payload: bytes) -> bytes:
    """What is left without its padding (RFC 9113 §6.1). Raises FrameError."""
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise FrameError("more padding than there is room for")
    return payload[1 : len(payload) - payload[0]]


def goaway(stream: int, payload: bytes) -> Goaway:
    """Read one. Raises FrameError."""
    if len(payload) < 8 or stream:
        raise FrameError("a GOAWAY that is too short, or on a stream")
    return Goaway(
        int.from_bytes(payload[:4], "big") & 0x7FFF_FFFF,
        int.from_bytes(payload[4:8], "big"),
        payload[8 : 8 + DEBUG_LIMIT],
    )
