"""The door of the provider that speaks HTTP/2: APNs' answers, one connection a thread.

It answers one request after the other, on the h2 library, so that a slow answer holds up
those behind it. What it decides, and has on record, is the provider's business.
"""

import json
import socket
import socketserver
import ssl
from collections.abc import Callable
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.exceptions import ProtocolError

WIDTH = 32  # bytes of a device token
REASONS = {
    "busy": (503, "ServiceUnavailable"),
    "quota": (429, "TooManyRequests"),
    "unknown": (403, "ExpiredProviderToken"),
    "dead": (410, "Unregistered"),
}
Decide = Callable[[str, dict[str, Any]], str]


def hexadecimal(token: str) -> str:
    """A device token of ours as APNs has them."""
    return token.encode().ljust(WIDTH, b"\0").hex()


class Door(socketserver.ThreadingTCPServer):
    """A port of the loopback address. `decide` gives the verdict on a token and a payload.

    `when_dead` tells when a token died, in seconds since the epoch; `answered` is called
    when an answer has left.
    """

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(
        self,
        context: ssl.SSLContext,
        decide: Decide,
        when_dead: Callable[[str], float],
        answered: Callable[[], None],
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.context = context
        self.decide = decide
        self.when_dead = when_dead
        self.answered = answered

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: servers are killed while they speak to it."""


class _Handler(socketserver.BaseRequestHandler):
    server: Door

    def handle(self) -> None:
        self.request.settimeout(60.0)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = self.server.context.wrap_socket(self.request, server_side=True)
        link.settimeout(120.0)
        connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        paths: dict[int, str] = {}
        bodies: dict[int, bytes] = {}
        with link:
            link.sendall(connection.data_to_send())
            while data := link.recv(1 << 16):
                for event in connection.receive_data(data):
                    if isinstance(event, RequestReceived):
                        headers: dict[str, str] = dict(event.headers)  # type: ignore[arg-type]
                        paths[event.stream_id] = headers[":path"]
                        bodies[event.stream_id] = b""
                    elif isinstance(event, DataReceived):
                        bodies[event.stream_id] += event.data
                        size = event.flow_controlled_length
                        connection.acknowledge_received_data(size, event.stream_id)
                    elif isinstance(event, StreamEnded):
                        stream = event.stream_id
                        if not self._answer(
                            connection, stream, paths.pop(stream), bodies.pop(stream)
                        ):
                            link.sendall(connection.data_to_send())
                            return
                        link.sendall(connection.data_to_send())
                        self.server.answered()
                link.sendall(connection.data_to_send())

    def _answer(self, connection: H2Connection, stream: int, path: str, body: bytes) -> bool:
        """Answer one request; whether the connection goes on."""
        name = bytes.fromhex(path.rpartition("/")[2]).rstrip(b"\0").decode()
        verdict = self.server.decide(name, json.loads(body))
        try:
            if verdict == "torn":
                return False
            if verdict == "leaving":
                connection.close_connection(last_stream_id=max(0, stream - 2))
                return False
            if verdict == "refused":
                connection.reset_stream(stream, ErrorCodes.REFUSED_STREAM)
            elif verdict == "taken":
                connection.send_headers(stream, [(":status", "200")], end_stream=True)
            else:
                self._refuse(connection, stream, name, verdict)
        except ProtocolError:
            pass  # nobody waits for this one any more
        return True

    def _refuse(self, connection: H2Connection, stream: int, name: str, verdict: str) -> None:
        status, reason = REASONS[verdict]
        said: dict[str, Any] = {"reason": reason}
        if verdict == "dead":
            said["timestamp"] = int(self.server.when_dead(name) * 1000)
        headers = [(":status", f"{status}"), ("content-type", "application/json")]
        connection.send_headers(stream, headers)
        connection.send_data(stream, json.dumps(said).encode(), end_stream=True)
