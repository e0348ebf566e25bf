"""The way in for a benchmark's client: TLS if wanted, SASL, a resource or a resumption.

It speaks the little that every server understands, on a blocking socket, and hands the
socket over when the session is up. Many come in at once in threads.
"""

import base64
import contextlib
import hashlib
import hmac
import os
import re
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar

from benchmarks.accounts import DOMAIN, PASSWORD, salted

PATIENCE = 20.0  # seconds for each answer
AT_ONCE = 16  # who come in together

Mechanism = Literal["SCRAM-SHA-1", "PLAIN"]
STARTED = re.compile(rb"<stream:features.*?</stream:features>|<stream:features\s*/>", re.DOTALL)
FAILED = re.compile(rb"<stream:error|<failure|<failed")
ROSTER = (
    b"<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>",
    re.compile(rb"<iq[^>]*id=['\"]roster['\"][^>]*?(?:/>|>.*?</iq>)", re.DOTALL),
)
OWN_PRESENCE = re.compile(rb"<presence[^>]*?(?:/>|>.*?</presence>)", re.DOTALL)

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class LoginError(Exception):
    """A server did not let a client in; says at what, and what it answered."""


@dataclass
class Session:
    """A session that is up, and what is known of it."""

    user: str
    socket: socket.socket
    rest: bytes  # what came after stream management was enabled, or the session resumed
    sent: int  # stanzas sent since then
    token: str = ""  # with which it can be resumed


@dataclass(frozen=True)
class Way:
    """How clients come in."""

    managed: bool = True  # with stream management, and resumable
    tls: bool = False
    mechanism: Mechanism = "SCRAM-SHA-1"
    roster: bool = True


class Talk:
    """Questions and answers on a blocking socket, with whom `user` names."""

    def __init__(self, connection: socket.socket, user: str) -> None:
        self._socket = connection
        self._socket.settimeout(PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._user = user
        self._buffer = b""

    @contextlib.contextmanager
    def _closed_after_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._socket.close()
            if isinstance(error, OSError):
                raise LoginError(f"{self._user}: {error}") from None
            raise

    def _send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def _await(self, pattern: bytes | re.Pattern[bytes], step: str, *, keep: bool = False) -> bytes:
        """Read until `pattern` is there; what it matched, with what preceded it if `keep`."""
        expected = re.compile(pattern, re.DOTALL) if isinstance(pattern, bytes) else pattern
        while not (match := expected.search(self._buffer)):
            if FAILED.search(self._buffer):
                raise LoginError(f"{self._user}: {step}: {self._buffer.decode()}")
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                data = b""
            if not data:
                raise LoginError(f"{self._user}: {step}: no answer after {self._buffer.decode()!r}")
            self._buffer += data
        came = self._buffer[: match.end()] if keep else match.group()
        self._buffer = self._buffer[match.end() :]
        return came


class Login(Talk):
    """One client on its way in."""

    def __init__(self, port: int, user: str, *, tls: bool = False) -> None:
        super().__init__(socket.create_connection(("127.0.0.1", port), PATIENCE), user)
        self._tls = tls

    def session(self, way: Way) -> Session:
        """Log in and become available. Raises LoginError, and closes the socket."""
        with self._closed_after_failure():
            self._authenticate(way.mechanism)
            self._bind()
            token = self._enable() if way.managed else ""
            before = self._buffer
            said, answer = ROSTER if way.roster else (b"", OWN_PRESENCE)
            self._send(b"<presence/>" + said)
            came = self._await(answer, "the roster, or presence", keep=True)
            rest = before + came + self._buffer
            return Session(self._user, self._socket, rest, 1 + bool(said), token)

    def bound(self) -> None:
        """Log in as far as a resource, and leave."""
        with self._closed_after_failure():
            self._authenticate("SCRAM-SHA-1")
            self._bind()
        self._socket.close()

    def resume(self, token: str, h: int) -> tuple[Session, int]:
        """Resume a session; gives it with the count of what the server handled."""
        with self._closed_after_failure():
            self._authenticate("SCRAM-SHA-1")
            self._send(f"<resume xmlns='urn:xmpp:sm:3' previd='{token}' h='{h}'/>".encode())
            resumed = self._await(rb"<resumed[^>]*>(?:</resumed>)?", "resumption")
            found = re.search(rb"h=['\"](\d+)", resumed)
            handled = int(found.group(1)) if found else 0
            return Session(self._user, self._socket, self._buffer, 0, token), handled

    def _authenticate(self, mechanism: Mechanism) -> None:
        features = self._open()
        if self._tls:
            self._send(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            self._await(rb"<proceed[^>]*>", "STARTTLS")
            self._socket = TLS.wrap_socket(self._socket, server_hostname=DOMAIN)
            features = self._open()
        offered = re.findall(rb"<mechanism>([^<]+)</mechanism>", features)
        if mechanism.encode() not in offered:
            raise LoginError(f"{self._user}: no {mechanism} among {offered}")
        if mechanism == "PLAIN":
            self._auth(mechanism, f"\0{self._user}\0{PASSWORD}".encode())
        else:
            self._scram(mechanism)
        self._await(rb"<success[^>]*(?:/>|>[^<]*</success>)", mechanism)
        self._open()

    def _auth(self, mechanism: str, data: bytes) -> None:
        self._send(
            b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='%s'>%s</auth>"
            % (mechanism.encode(), base64.b64encode(data))
        )

    def _scram(self, mechanism: str) -> None:
        digest = "sha1"
        nonce = base64.b64encode(os.urandom(18)).decode()
        first = f"n={self._user},r={nonce}"
        self._auth(mechanism, f"n,,{first}".encode())
        answer = self._await(rb"<challenge[^>]*>[^<]*</challenge>", "SASL")
        coded = re.sub(rb".*<[^>]*>([^<]*)</[^>]*>$", rb"\1", answer)
        challenge = base64.b64decode(coded).decode()
        fields = dict(field.split("=", 1) for field in challenge.split(","))
        password = salted(digest, base64.b64decode(fields["s"]), int(fields["i"]))
        bare = f"c=biws,r={fields['r']}"
        signed = f"{first},{challenge},{bare}".encode()
        key = hmac.digest(password, b"Client Key", digest)
        stored = hashlib.new(digest, key).digest()
        signature = hmac.digest(stored, signed, digest)
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        final = f"{bare},p={base64.b64encode(proof).decode()}"
        self._send(
            b"<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</response>"
            % base64.b64encode(final.encode())
        )

    def _open(self) -> bytes:
        self._buffer = b""
        self._send(
            f"<?xml version='1.0'?><stream:stream to='{DOMAIN}' version='1.0' "
            "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>".encode()
        )
        return self._await(STARTED, "opening a stream")

    def _bind(self) -> None:
        self._send(
            b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            b"<resource>bench</resource></bind></iq>"
        )
        self._await(rb"<jid>[^<]*</jid>.*?</iq>", "binding a resource")

    def _enable(self) -> str:
        self._send(b"<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        enabled = self._await(rb"<enabled[^>]*>(?:</enabled>)?", "stream management")
        found = re.search(rb"\bid=['\"]([^'\"]+)", enabled)
        if not found:
            raise LoginError(f"{self._user}: not resumable: {enabled.decode()}")
        return found.group(1).decode()


def _tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # what is measured is the server's work
    return context


TLS = _tls()


def together(act: Callable[[_In], _Out], items: Sequence[_In]) -> list[_Out]:
    """What `act` gives for each item, AT_ONCE at a time; the first error is raised."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            return list(pool.map(act, items))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def log_in(port: int, users: Sequence[str], way: Way) -> list[Session]:
    """A session for each user, in their order."""
    return together(lambda user: Login(port, user, tls=way.tls).session(way), users)


def cut(connection: socket.socket) -> None:
    """End a connection as a dead network does when the peer is back: by RST, without a word."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
