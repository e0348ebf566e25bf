"""What a connection has been given to say, and the other machine has not confirmed."""

import struct
import termios
from fcntl import ioctl
from typing import Any

NONE = struct.pack("i", 0)


def tcp(transport: Any) -> Any:
    """The TCP connection that a transport is, or that is below its TLS; None if there is none."""
    while transport is not None and not hasattr(transport, "socket"):
        transport = getattr(transport, "transport", None)
    return transport


def unconfirmed(transport: Any) -> int:
    """Bytes that wait in TLS, in Twisted's buffers, and in the system for a confirmation."""
    connection = tcp(transport)
    if connection is None:
        return 0
    waiting = 0
    if transport is not connection:
        waiting = sum(map(len, getattr(transport, "_appSendBuffer", ())))
    waiting += len(connection.dataBuffer) - connection.offset + connection._tempDataLen
    return int(waiting + in_kernel(connection.socket))


def in_kernel(handle: Any) -> int:
    """Bytes that the system holds until they are confirmed; 0 if it does not tell."""
    try:
        return int(struct.unpack("i", ioctl(handle.fileno(), termios.TIOCOUTQ, NONE))[0])
    except (OSError, ValueError):  # it is closed, or the system has no such count
        return 0
