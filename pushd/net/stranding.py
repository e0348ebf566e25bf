"""Connections broken as a network breaks them: without a word to the other side.

Nothing here is needed to serve. Whoever tests a client wants to see what it does when its
server is gone and no FIN and no RST says so.
"""

import ctypes
import os
import socket
import struct
import sys
from collections import deque

MOST = 100  # connections that are kept in the dark; the longest there is let go for one more

_ATTACH_FILTER = 26  # SO_ATTACH_FILTER of Linux; the socket module does not name it
_TAKE_NOTHING = struct.pack("=HBBI", 0x06, 0, 0, 0)  # one instruction for BPF: return 0


class Stranded:
    """Keeps connections that nobody serves any more from being closed."""

    def __init__(self) -> None:
        self._kept: deque[socket.socket] = deque()

    def keep(self, descriptor: int) -> None:
        """Hold a connection open in silence, whatever becomes of this descriptor.

        What its client sends is not even acknowledged by the system (on Linux; elsewhere it
        is, until no more fits). Raises OSError.
        """
        kept = socket.socket(fileno=os.dup(descriptor))
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
        if hasattr(socket, "TCP_USER_TIMEOUT") and kept.family != socket.AF_UNIX:
            kept.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
        deafen(descriptor)
        self._kept.append(kept)
        if len(self._kept) > MOST:
            _drop(self._kept.popleft())

    def __len__(self) -> int:
        return len(self._kept)

    def close(self) -> None:
        """Let all of them go; what their clients send from now on is answered by RST."""
        while self._kept:
            _drop(self._kept.popleft())


def deafen(descriptor: int) -> bool:
    """Have the system drop whatever comes in there, as if it had been lost on the way.

    Tells whether it can: only Linux does, and needs no rights for it. Raises OSError.
    """
    if sys.platform != "linux":
        return False
    program = ctypes.create_string_buffer(_TAKE_NOTHING)
    described = struct.pack("HP", 1, ctypes.addressof(program))
    borrowed = socket.socket(fileno=os.dup(descriptor))
    try:
        borrowed.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, described)
    finally:
        borrowed.close()
    return True


def _drop(kept: socket.socket) -> None:
    try:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    finally:
        kept.close()
