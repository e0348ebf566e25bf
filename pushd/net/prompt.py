"""Connections that write at once: most writes fit into the socket, and need not wait for a turn.

Twisted registers a connection with the reactor to be told that it can be written to, writes in
the next turn, and takes it off again. Writing first costs two system calls and one turn less,
also under TLS; what does not fit goes Twisted's way. In the clear, what fits is not even buffered.
"""

from typing import Any

from twisted.internet.tcp import Port, Server


class PromptServer(Server):
    """An accepted connection."""

    _is_waiting = False  # for the reactor to say that the socket can be written to
    _sent: Any = 0  # the bytes that the last attempt wrote, or the exception that it met

    def write(self, data: bytes) -> None:
        if self.TLS or self._is_waiting or self.disconnecting or not self.connected:
            super().write(data)  # type: ignore[no-untyped-call]
            return
        try:
            sent = self.socket.send(data)
        except OSError:  # it is full, or gone: Twisted finds that out once more, and deals with it
            sent = 0
        if sent < len(data):
            super().write(data[sent:])  # type: ignore[no-untyped-call]

    def startWriting(self) -> None:
        """Something is to be written, or the connection is to be closed."""
        if not self._is_waiting:
            self._is_waiting = True
            self._sent = 0
            failed = self.doWrite()  # type: ignore[no-untyped-call]
            if self._sent and failed is None and not self._is_waiting:
                return
        self._is_waiting = True
        super().startWriting()  # type: ignore[no-untyped-call]

    def stopWriting(self) -> None:
        self._is_waiting = False
        super().stopWriting()  # type: ignore[no-untyped-call]

    def writeSomeData(self, data: bytes) -> Any:
        self._sent = super().writeSomeData(data)
        return self._sent


class PromptPort(Port):
    """A listening port whose connections write at once."""

    transport = PromptServer
