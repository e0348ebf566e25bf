"""A stand-in for any provider that costs little, in a process of its own.

    python -m benchmarks.stub CERTIFICATE KEY ALPN [stalled]

It listens on a free port of the loopback address, prints the port, and answers every push
at once: 200, with all that a provider could want to read there, whatever was sent; and every
request for a token. Stalled, it takes pushes and says nothing. `report` on its standard input
has it print what came since the last one: a line of JSON with the number of each device and the
instant (`time.perf_counter`, which is the same clock in all processes of a machine).

A device's number is the last seven decimal digits of its token, or of the path.
"""

import asyncio
import json
import re
import ssl
import sys
import time
from asyncio import Protocol, Transport
from typing import Any

from hpack import Decoder, Encoder

TOKEN = re.compile(rb'"token": ?"[^"]*?(\d{7})"')
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
GRANT = b'{"access_token": "ya29.bench", "expires_in": 3600, "token_type": "Bearer"}'
TAKEN = b'{"name": "projects/bench/messages/1", "ok": true}'
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
END_STREAM, END_HEADERS, PADDED, PRIORITY = 1, 4, 8, 32
LARGE = 2**31 - 1 - 65_535


class Record:
    """What came, and when."""

    def __init__(self, is_stalled: bool) -> None:
        self.is_stalled = is_stalled
        self.came: list[tuple[int, float]] = []

    def report(self) -> str:
        came, self.came = self.came, []
        return json.dumps(came)


class HTTP11(Protocol):
    """One connection, with one request at a time."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._buffer = b""
        self._transport: Transport

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (head := self._buffer.find(b"\r\n\r\n")) >= 0:
            found = LENGTH.search(self._buffer, 0, head + 2)
            end = head + 4 + (int(found.group(1)) if found else 0)
            if len(self._buffer) < end:
                return
            request, self._buffer = self._buffer[:end], self._buffer[end:]
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        body = TAKEN
        path = request.split(b" ", 2)[1]
        if path.endswith(b"/token"):
            body = GRANT
        else:
            found = TOKEN.search(request)
            number = int(found.group(1) if found else path[-7:])
            self._record.came.append((number, time.perf_counter()))
            if self._record.is_stalled:
                return
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )


class HTTP2(Protocol):
    """One connection with many requests (RFC 9113), as far as a stand-in needs it."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._buffer = b""
        self._decoder = Decoder()
        self._transport: Transport
        self._paths: dict[int, str] = {}
        self._bodies: dict[int, bytes] = {}
        encoder = Encoder()
        encoder.header_table_size = 0  # so that a block is the same each time
        self._head = encoder.encode([(":status", "200"), ("content-type", "application/json")])

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        settings = b"".join(
            key.to_bytes(2, "big") + value.to_bytes(4, "big")
            for key, value in ((3, 1_000), (4, 1 << 24))  # streams at a time, their windows
        )
        more = LARGE.to_bytes(4, "big")
        transport.write(_frame(SETTINGS, 0, 0, settings) + _frame(WINDOW_UPDATE, 0, 0, more))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._buffer.startswith(PREFACE[: len(self._buffer)]):
            if len(self._buffer) < len(PREFACE):
                return
            self._buffer = self._buffer[len(PREFACE) :]
        out: list[bytes] = []
        place = 0
        while len(self._buffer) >= place + 9:
            size = int.from_bytes(self._buffer[place : place + 3], "big")
            if len(self._buffer) < place + 9 + size:
                break
            kind, flags = self._buffer[place + 3], self._buffer[place + 4]
            stream = int.from_bytes(self._buffer[place + 5 : place + 9], "big")
            self._take(kind, flags, stream, self._buffer[place + 9 : place + 9 + size], out)
            place += 9 + size
        self._buffer = self._buffer[place:]
        if out:
            self._transport.write(b"".join(out))

    def _take(self, kind: int, flags: int, stream: int, payload: bytes, out: list[bytes]) -> None:
        if kind == SETTINGS and not flags & 1:
            out.append(_frame(SETTINGS, 1, 0, b""))
        elif kind == PING and not flags & 1:
            out.append(_frame(PING, 1, 0, payload))
        elif kind == HEADERS:
            if flags & PADDED:
                payload = payload[1 : len(payload) - payload[0]]
            block = payload[5:] if flags & PRIORITY else payload
            headers: dict[Any, Any] = dict(self._decoder.decode(block))
            self._paths[stream] = headers[":path"]
        elif kind == DATA:
            self._bodies[stream] = self._bodies.get(stream, b"") + payload
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self._answer(stream, out)

    def _answer(self, stream: int, out: list[bytes]) -> None:
        path, body = self._paths.pop(stream), self._bodies.pop(stream, b"")
        if path.endswith("/token"):
            out.append(_frame(HEADERS, END_HEADERS, stream, self._head))
            out.append(_frame(DATA, END_STREAM, stream, GRANT))
            return
        found = TOKEN.search(body)
        number = int(found.group(1) if found else path[-7:])
        self._record.came.append((number, time.perf_counter()))
        if self._record.is_stalled:
            return
        if found:
            out.append(_frame(HEADERS, END_HEADERS, stream, self._head))
            out.append(_frame(DATA, END_STREAM, stream, TAKEN))
        else:  # APNs says nothing more
            out.append(_frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\x88"))


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return b"%b%c%c%b%b" % (
        len(payload).to_bytes(3, "big"),
        kind,
        flags,
        stream.to_bytes(4, "big"),
        payload,
    )


async def serve(certificate: str, key: str, alpn: str, is_stalled: bool) -> None:
    """Serve until the standard input ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols([alpn])
    record = Record(is_stalled)
    loop = asyncio.get_running_loop()
    kind: type[HTTP11 | HTTP2] = HTTP2 if alpn == "h2" else HTTP11
    server = await loop.create_server(lambda: kind(record), "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(record.report(), flush=True)


if __name__ == "__main__":
    given = sys.argv[1:]
    asyncio.run(serve(given[0], given[1], given[2], "stalled" in given[3:]))
