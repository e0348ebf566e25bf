"""The way in for a benchmark's client: TLS if wanted, SCRAM, a resource, stream management.

It speaks the little that every server understands, on a blocking socket, and hands the
socket over when the session is up. Nothing here is measured.
"""

import base64
import hashlib
import hmac
import os
import re
import socket
import ssl
from dataclasses import dataclass

DOMAIN = "bench.example"
PASSWORD = "a long enough password"
PATIENCE = 20.0  # seconds for each answer

HASHES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-1": "sha1"}
STARTED = re.compile(rb"<stream:features.*?</stream:features>|<stream:features\s*/>", re.DOTALL)


class LoginError(Exception):
    """A server did not let a client in; says at what, and what it answered."""


@dataclass
class Session:
    """A session that is up, and what is known of it."""

    user: str
    socket: socket.socket
    rest: bytes  # what came after the login's last answer was read
    sent: int  # stanzas sent since stream management was enabled


class Login:
    """One client on its way in."""

    def __init__(self, port: int, user: str, *, tls: bool) -> None:
        self._socket: socket.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._user = user
        self._tls = tls
        self._buffer = b""

    def session(self, *, managed: bool) -> Session:
        """Log in and become available; with stream management when `managed`."""
        features = self._open()
        if self._tls:
            self._send(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            self._await(rb"<proceed[^>]*>", "STARTTLS")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE  # what is measured is the server's work
            self._socket = context.wrap_socket(self._socket, server_hostname=DOMAIN)
            features = self._open()
        self._authenticate(features)
        self._open()
        self._send(
            b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            b"<resource>bench</resource></bind></iq>"
        )
        self._await(rb"<jid>[^<]*</jid>.*?</iq>", "binding a resource")
        if managed:
            self._send(b"<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
            self._await(rb"<enabled[^>]*>(?:</enabled>)?", "stream management")
        before = self._buffer
        self._send(
            b"<presence/><iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>",
        )
        came = self._await(
            rb"<iq[^>]*id=['\"]roster['\"][^>]*?(?:/>|>.*?</iq>)", "the roster", keep=True
        )
        return Session(self._user, self._socket, before + came + self._buffer, 2)

    def _open(self) -> bytes:
        self._buffer = b""
        self._send(
            f"<?xml version='1.0'?><stream:stream to='{DOMAIN}' version='1.0' "
            "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>".encode()
        )
        return self._await(STARTED.pattern, "opening a stream")

    def _authenticate(self, features: bytes) -> None:
        offered = re.findall(rb"<mechanism>([^<]+)</mechanism>", features)
        name = next((name for name in HASHES if name.encode() in offered), None)
        if name is None:
            raise LoginError(f"{self._user}: no SCRAM among {offered}: {features.decode()}")
        digest = HASHES[name]
        nonce = base64.b64encode(os.urandom(18)).decode()
        first = f"n={self._user},r={nonce}"
        self._send(
            b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='%s'>%s</auth>"
            % (name.encode(), base64.b64encode(f"n,,{first}".encode()))
        )
        challenge = self._payload(b"challenge")
        fields = dict(field.split("=", 1) for field in challenge.split(","))
        salted = hashlib.pbkdf2_hmac(
            digest, PASSWORD.encode(), base64.b64decode(fields["s"]), int(fields["i"])
        )
        bare = f"c=biws,r={fields['r']}"
        signed = f"{first},{challenge},{bare}".encode()
        key = hmac.digest(salted, b"Client Key", digest)
        stored = hashlib.new(digest, key).digest()
        signature = hmac.digest(stored, signed, digest)
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        final = f"{bare},p={base64.b64encode(proof).decode()}"
        self._send(
            b"<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</response>"
            % base64.b64encode(final.encode())
        )
        self._await(rb"<success[^>]*(?:/>|>[^<]*</success>)", name)

    def _payload(self, name: bytes) -> str:
        answer = self._await(rb"<%s[^>]*>[^<]*</%s>" % (name, name), "SASL")
        return base64.b64decode(re.sub(rb".*<[^>]*>([^<]*)</[^>]*>$", rb"\1", answer)).decode()

    def _send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def _await(self, pattern: bytes, step: str, *, keep: bool = False) -> bytes:
        """Read until `pattern` is there; what it matched, with what preceded it if `keep`."""
        expected = re.compile(pattern, re.DOTALL)
        while not (match := expected.search(self._buffer)):
            if re.search(rb"<stream:error|<failure|<failed", self._buffer):
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
