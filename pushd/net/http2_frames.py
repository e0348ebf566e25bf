"""HTTP/2's frames (RFC 9113 §4.1), cut out of the stream of bytes before h2 gets them.

h2 takes GOAWAY for the end of everything, and calls good answers that follow it a breach of
protocol. So GOAWAY is kept from it: what it means for each stream is decided by whoever owns
the streams.
"""

from typing import NamedTuple

HEAD = 9  # bytes before a frame's payload
GOAWAY = 7  # the type
LARGEST = 16_384  # bytes of payload: what a peer may send unless it is told otherwise
DEBUG_LIMIT = 1024  # bytes of a GOAWAY's debug data that are kept


class FrameError(Exception):
    """The peer breaks the framing."""


class Goaway(NamedTuple):
    """The peer takes no more streams (RFC 9113 §6.8)."""

    last_stream: int  # streams above it were not processed, and never will be
    code: int
    debug: bytes


class Splitter:
    """Cuts bytes into runs of whole frames, and the GOAWAYs between them."""

    def __init__(self) -> None:
        self.frames = 0  # that the last bytes have made complete
        self._rest = b""  # the beginning of a frame

    def feed(self, data: bytes) -> list[bytes | Goaway]:
        """What is complete with these bytes, in its order. Raises FrameError."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        found: list[bytes | Goaway] = []
        start = at = count = 0  # of the run, of the frame
        size = len(data)
        while size - at >= HEAD:
            length = int.from_bytes(data[at : at + 3], "big")
            if length > LARGEST:
                raise FrameError(f"a frame of {length} bytes")
            end = at + HEAD + length
            if end > size:
                break
            if data[at + 3] == GOAWAY:
                if at > start:
                    found.append(data[start:at])
                found.append(_goaway(data[at:end]))
                start = end
            at = end
            count += 1
        self.frames = count
        if at > start:
            found.append(data[start:at])
        self._rest = data[at:]
        return found


def _goaway(frame: bytes) -> Goaway:
    if len(frame) < HEAD + 8 or int.from_bytes(frame[5:9], "big") & 0x7FFF_FFFF:
        raise FrameError("a GOAWAY that is too short, or on a stream")
    return Goaway(
        int.from_bytes(frame[9:13], "big") & 0x7FFF_FFFF,
        int.from_bytes(frame[13:17], "big"),
        frame[17 : 17 + DEBUG_LIMIT],
    )
