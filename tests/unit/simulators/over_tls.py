"""A provider over real sockets, which waits: TLS, HTTP/2 by ALPN, one request at a time."""

import json
import socket
import ssl
import time
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded

from tests.patience import PATIENCE

TOKEN = "af7aa91ca9b36478d82986c6ef22387e163e0d62aa15913964910cf0ffa50c3a"


class H2Client:
    """One connection. `certificate` is a PEM file with a certificate and its key."""

    def __init__(self, url: str, ca: str | None, certificate: Path | None = None) -> None:
        place = urllib.parse.urlsplit(url)
        self._authority = place.netloc
        self._scheme = place.scheme
        plain = socket.create_connection((place.hostname, place.port), timeout=PATIENCE)
        self.socket: socket.socket = plain
        if place.scheme == "https":
            context = ssl.create_default_context(cafile=ca)
            context.set_alpn_protocols(["h2"])
            if certificate is not None:
                context.load_cert_chain(certificate)
            shown = context.wrap_socket(plain, server_hostname=place.hostname)
            assert shown.selected_alpn_protocol() == "h2"
            self.socket = shown
        self._h2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        self._h2.initiate_connection()

    def ask(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
    ) -> tuple[int, bytes]:
        number = self._h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", self._scheme), (":path", path)]
        sent = [*pseudo, (":authority", self._authority), *headers.items()]
        self._h2.send_headers(number, sent, end_stream=not body)
        if body:
            self._h2.send_data(number, body, end_stream=True)
        return self._answer()

    def finish(self) -> int:
        """The status of a request whose answer was not there in time."""
        return self._answer()[0]

    def rest(self) -> bytes:
        """What comes as bytes, until the connection ends."""
        read = b""
        while data := self.socket.recv(65_536):
            read += data
        return read

    def _answer(self) -> tuple[int, bytes]:
        status, said = 0, b""
        while True:
            self.socket.sendall(self._h2.data_to_send())
            data = self.socket.recv(65_536)
            assert data, "the connection is closed"
            for event in self._h2.receive_data(data):
                match event:
                    case ResponseReceived():
                        got: Any = event.headers
                        status = int(dict(got)[":status"])
                    case DataReceived():
                        said += event.data or b""
                    case StreamEnded():
                        self.socket.sendall(self._h2.data_to_send())
                        return status, said

    def push(self, authorization: str | None, token: str = TOKEN) -> tuple[int, Any]:
        """One notification to APNs."""
        headers = {"apns-topic": "net.example.messenger", "apns-push-type": "alert"}
        if authorization is not None:
            headers["authorization"] = authorization
        body = json.dumps({"aps": {"alert": "New"}}).encode()
        status, said = self.ask("POST", f"/3/device/{token}", headers, body)
        return status, json.loads(said or b"null")

    def close(self) -> None:
        self.socket.close()


def bearer(key_file: str, key_id: str, team_id: str) -> str:
    """A provider token, with what a ready file says."""
    claims = {"iss": team_id, "iat": int(time.time())}
    key = Path(key_file).read_text()
    return f"bearer {jwt.encode(claims, key, algorithm='ES256', headers={'kid': key_id})}"
