"""A bare socket: exactly these bytes, and whatever comes back.

    with Raw(server.ready.c2s) as raw:
        raw.send(b"<stream:stream ...>")
        raw.read_until(b"</stream:features>")

It blocks, each call for `timeout` seconds at most, so the server must be another process.
"""

import base64
import contextlib
import re
import socket
import ssl
import struct
from pathlib import Path
from types import TracebackType

from pushd.wire.secret import Secret
from tests.patience import PATIENCE

CHUNK = 65_536


class Raw:
    """One connection. `ca` makes it direct TLS with `name`, and so does `start_tls` later."""

    def __init__(
        self,
        place: tuple[str, int],
        ca: Path | None = None,
        name: str = "localhost",
        timeout: float = PATIENCE,
    ) -> None:
        self.unread = b""
        self._socket: socket.socket = socket.create_connection(place, timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if ca is not None:
            self.start_tls(ca, name)

    def __enter__(self) -> "Raw":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start_tls(self, ca: Path, name: str = "localhost") -> None:
        """Speak TLS from here on; the certificate is checked."""
        assert not self.unread, self.unread
        context = ssl.create_default_context(cafile=str(ca))
        self._socket = context.wrap_socket(self._socket, server_hostname=name)

    def certificate(self) -> bytes:
        """What the server has shown (DER)."""
        assert isinstance(self._socket, ssl.SSLSocket)
        shown = self._socket.getpeercert(binary_form=True)
        assert shown is not None
        return shown

    def send(self, data: bytes | str) -> None:
        self._socket.sendall(data.encode() if isinstance(data, str) else data)

    def try_to_send(self, data: bytes | str) -> None:
        """The same to a peer that may have closed the connection by now."""
        with contextlib.suppress(OSError):
            self.send(data)

    def read_until(self, pattern: bytes) -> bytes:
        """What came, up to the end of the first match; the rest stays unread.

        Raises AssertionError when the connection ends before, TimeoutError when it waits.
        """
        while (found := re.search(pattern, self.unread, re.DOTALL)) is None:
            data = self._receive()
            assert data, f"the connection ended without {pattern!r} after {self.unread!r}"
            self.unread += data
        read, self.unread = self.unread[: found.end()], self.unread[found.end() :]
        return read

    def read_to_end(self) -> bytes:
        """Everything until the connection ends, in whatever way."""
        while data := self._receive():
            self.unread += data
        read, self.unread = self.unread, b""
        return read

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(CHUNK)
        except (ConnectionError, ssl.SSLEOFError):
            return b""

    def settimeout(self, seconds: float) -> None:
        """How long any one call may wait from now on."""
        self._socket.settimeout(seconds)

    def close(self) -> None:
        self._socket.close()

    def reset(self) -> None:
        """End the connection with a reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    # What most conversations begin with.

    def open(self, domain: str = "localhost") -> bytes:
        """Open a stream; gives the server's header and features."""
        self.send(
            f"<?xml version='1.0'?><stream:stream to='{domain}' version='1.0'"
            " xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        )
        return self.read_until(rb"</stream:features>|<stream:features/>")

    def secure(self, ca: Path, domain: str = "localhost") -> bytes:
        """Open a stream and go on under TLS; gives the header and features then."""
        self.open(domain)
        self.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        self.read_until(rb"<proceed[^>]*>")
        self.start_tls(ca, domain)
        return self.open(domain)

    def log_in(self, ca: Path, jid: str, password: Secret) -> bytes:
        """TLS and PLAIN; gives the header and features of the authenticated stream."""
        user, _, domain = jid.partition("@")
        self.secure(ca, domain)
        message = base64.b64encode(f"\0{user}\0{password.reveal()}".encode()).decode()
        self.send(
            f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{message}</auth>"
        )
        self.read_until(rb"<success[^>]*>(</success>)?")
        return self.open(domain)

    def bind(self, resource: str) -> bytes:
        """Bind a resource; gives the answer."""
        self.send(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            f"<resource>{resource}</resource></bind></iq>"
        )
        return self.read_until(rb"</iq>")
