"""A server of elsewhere, for one domain or many, as far as others need it to exchange stanzas.

It is found at one port of the loopback address, takes whom it knows by SASL EXTERNAL, and proves
itself in the same way. TLS is 1.3, and both sides show certificates of one authority.
"""

import base64
import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.accounts import DOMAIN
from benchmarks.login import AT_ONCE, PATIENCE, LoginError, Session, Talk
from tests.papers import Office
from tests.scenarios.zone import Zone

FAR = "far.example"
HEADER = re.compile(rb"<stream:stream[^>]*>")
FEATURES = re.compile(
    rb"<(?:stream:)?features.*?</(?:stream:)?features>|<(?:stream:)?features[^>]*/>", re.DOTALL
)
TO = re.compile(rb"\bto=['\"]([^'\"]+)")
TLS = "urn:ietf:params:xml:ns:xmpp-tls"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"


def domains(count: int) -> list[str]:
    """So many that one certificate is good for."""
    return [f"d{number:04}.{FAR}" for number in range(count)]


class Far:
    """Listens for `names` in threads of its own, and calls."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.names = list(names)
        self.office = Office(folder)
        paper = self.office.issue(FAR, f"*.{FAR}")
        self.ours = self.office.issue(DOMAIN)  # for the server that is measured
        self._listening = _context(ssl.PROTOCOL_TLS_SERVER, self.office.path)
        self._calling = _context(ssl.PROTOCOL_TLS_CLIENT, self.office.path)
        for context in (self._listening, self._calling):
            context.load_cert_chain(paper.certificate, paper.key)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.zone = Zone()
        for name in self.names:  # ejabberd leaves all but SRV to the system, which knows this one
            self.zone.service(name, "127.0.0.1", self.port)
        self._arrived: dict[str, Session] = {}
        self._failed: Exception | None = None
        self._changed = threading.Condition()
        self._pool = ThreadPoolExecutor(AT_ONCE)
        threading.Thread(target=self._listen, name="far", daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits for connections
        self._listener.close()
        self._pool.shutdown(cancel_futures=True)
        self.zone.close()
        for session in self._arrived.values():
            session.socket.close()

    def call(self, port: int, name: str) -> Session:
        """A stream from `name` to the server that is measured. Raises LoginError."""
        connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
        return Calling(connection, name).session(self._calling)

    def arrived(self, count: int, patience: float = 2 * PATIENCE) -> dict[str, Session]:
        """The streams that came for each domain, once there are so many. Raises LoginError."""
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._arrived) >= count or self._failed is not None, patience
            )
            if len(self._arrived) < count:
                reason = self._failed or "the others do not come"
                raise LoginError(f"{len(self._arrived)} streams of {count} came: {reason}")
            return dict(self._arrived)

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
                self._pool.submit(self._take, connection)
            except (OSError, RuntimeError):
                return  # it is closed

    def _take(self, connection: socket.socket) -> None:
        try:
            session = Called(connection, FAR).session(self._listening)
        except (LoginError, OSError) as error:
            with self._changed:
                self._failed = error
                self._changed.notify_all()
            return
        with self._changed:
            self._arrived[session.user] = session
            self._changed.notify_all()


class Calling(Talk):
    """A stream of ours to the server that is measured."""

    def session(self, context: ssl.SSLContext) -> Session:
        with self._closed_after_failure():
            self._open()
            self._send(f"<starttls xmlns='{TLS}'/>".encode())
            self._await(rb"<proceed[^>]*>", "STARTTLS")
            self._socket = context.wrap_socket(self._socket, server_hostname=DOMAIN)
            if b"EXTERNAL" not in self._open():
                raise LoginError(f"{self._user}: no EXTERNAL: {self._buffer!r}")
            name = base64.b64encode(self._user.encode()).decode()
            self._send(f"<auth xmlns='{SASL}' mechanism='EXTERNAL'>{name}</auth>".encode())
            self._await(rb"<success[^>]*(?:/>|></success>)", "EXTERNAL")
            self._open()
            return Session(self._user, self._socket, self._buffer, 0)

    def _open(self) -> bytes:
        self._buffer = b""
        self._send(_header(self._user, DOMAIN))
        self._await(HEADER, "opening a stream")
        return self._await(FEATURES, "features")


class Called(Talk):
    """A stream of the server that is measured to one of our domains, which it names."""

    def session(self, context: ssl.SSLContext) -> Session:
        with self._closed_after_failure():
            self._greet(f"<starttls xmlns='{TLS}'><required/></starttls>")
            self._await(rb"<starttls[^>]*?(?:/>|></starttls>)", "STARTTLS")
            self._send(f"<proceed xmlns='{TLS}'/>".encode())
            self._socket = context.wrap_socket(self._socket, server_side=True)
            mechanism = "<mechanism>EXTERNAL</mechanism>"
            self._greet(f"<mechanisms xmlns='{SASL}'>{mechanism}</mechanisms>")
            self._await(rb"<auth[^>]*?(?:/>|>[^<]*</auth>)", "EXTERNAL")
            self._send(f"<success xmlns='{SASL}'/>".encode())
            self._greet("")
            return Session(self._user, self._socket, self._buffer, 0)

    def _greet(self, features: str) -> None:
        header = self._await(HEADER, "a header")
        if found := TO.search(header):
            self._user = found.group(1).decode()
        features = f"<stream:features>{features}</stream:features>"
        self._send(_header(self._user, DOMAIN, "far") + features.encode())


def _header(sender: str, to: str, id: str = "") -> bytes:
    named = f" id='{id}'" if id else ""
    return (
        f"<?xml version='1.0'?><stream:stream from='{sender}' to='{to}'{named} version='1.0' "
        "xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>"
    ).encode()


def _context(protocol: int, authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextlib.contextmanager
def elsewhere(folder: Path, names: Sequence[str]) -> Iterator[Far]:
    """Such a server, which has ended afterwards."""
    far = Far(folder, names)
    try:
        yield far
    finally:
        far.close()
