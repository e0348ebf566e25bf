"""The stand-in for APNs on a bench: no sockets, and a client that is `h2` alone."""

import json
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import uuid4

import jwt
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.settings import SettingCodes
from hpack import NeverIndexedHeaderTuple
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.python.failure import Failure

from pushd.simulators.apns import APNsSimulator
from pushd.simulators.apns_tokens import PRODUCTION, Key

NOW = float(int(time.time()))  # client certificates are checked by the clock of the stand-in
TOKEN = "af7aa91ca9b36478d82986c6ef22387e163e0d62aa15913964910cf0ffa50c3a"
TOPIC = "net.example.messenger"
ALERT = {"aps": {"alert": {"title": "Messenger", "body": "New"}, "mutable-content": 1}}
SILENT = {"aps": {"content-available": 1}}


@cache
def key() -> Key:
    return Key.made_up("PUSHDTEAM1")


@dataclass
class Answer:
    """What came for one request."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_whole: bool = False
    reset: int | None = None  # the code of RST_STREAM

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        return str(self.json["reason"])


class Transport(StringTransportWithDisconnection):
    """A socket without TLS, or with a TLS that has shown a client certificate."""

    disconnected_at: str = ""
    peer: Any = None

    def getPeerCertificate(self) -> Any:
        return self.peer

    def abortConnection(self) -> None:
        self.disconnected_at = "aborted"
        self.loseConnection()

    def loseConnection(self) -> None:
        if self.connected:
            self.disconnected_at = self.disconnected_at or "closed"
            self.connected = False
            self.protocol.connectionLost(Failure(ConnectionDone()))


class Line:
    """One connection of a client to the stand-in."""

    def __init__(
        self, bench: Any, environment: str, certificate: Any = None, door: Any = None
    ) -> None:
        self.bench = bench
        self.answers: dict[int, Answer] = {}
        self.order: list[int] = []  # in which answers were whole
        self.goaways: list[tuple[int | None, int, bytes]] = []
        self.limits: list[int] = []  # that the server has set, in order
        self.unread: list[bytes] | None = None  # what came, for who reads it by hand
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        protocol = (door or bench.doors[environment]).buildProtocol(None)
        self.transport = Transport()  # type: ignore[no-untyped-call]
        self.transport.protocol = protocol
        self.transport.peer = certificate
        protocol.makeConnection(self.transport)
        self.protocol = protocol
        self.exchange()

    @property
    def is_open(self) -> bool:
        return bool(self.transport.connected)

    def exchange(self) -> None:
        """Carry bytes both ways until nobody has any."""
        while True:
            out = self.h2.data_to_send()
            if out and self.is_open:
                self.protocol.dataReceived(out)
            back = self.transport.value()  # type: ignore[no-untyped-call]
            self.transport.clear()  # type: ignore[no-untyped-call]
            if back:
                self.take(back)
            elif not out:
                return

    def take(self, data: bytes) -> None:
        if self.unread is not None:
            self.unread.append(data)
            return
        for event in self.h2.receive_data(data):
            match event:
                case ResponseReceived(stream_id=int(number), headers=headers):
                    answer = self.answers[number]
                    answer.headers = {str(name): str(value) for name, value in headers or []}
                    answer.status = int(answer.headers.pop(":status"))
                case DataReceived(stream_id=int(number)):
                    self.answers[number].body += event.data or b""
                    self.h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
                case StreamEnded(stream_id=int(number)):
                    self.answers[number].is_whole = True
                    self.order.append(number)
                case StreamReset(stream_id=int(number)):
                    self.answers[number].reset = int(event.error_code or 0)
                case RemoteSettingsChanged():
                    changed = event.changed_settings.get(SettingCodes.MAX_CONCURRENT_STREAMS)
                    if changed is not None:
                        self.limits.append(changed.new_value)
                case ConnectionTerminated():
                    debug = event.additional_data or b""
                    self.goaways.append((event.last_stream_id, int(event.error_code or 0), debug))

    def request(
        self, headers: list[tuple[str, str]], body: bytes, *, ends: bool = True
    ) -> tuple[int, Answer]:
        """Send any request; gives its stream and what comes for it."""
        number = self.h2.get_next_available_stream_id()
        answer = self.answers[number] = Answer()
        self.h2.send_headers(number, headers, end_stream=ends and not body)
        if body:
            self.h2.send_data(number, body, end_stream=ends)
        self.exchange()
        return number, answer

    def ask(
        self,
        payload: Any = ALERT,
        token: str = TOKEN,
        *,
        path: str | None = None,
        method: str = "POST",
        authorization: str | None = "",
        extra: tuple[tuple[str, str], ...] = (),
        **headers: str | None,
    ) -> tuple[int, Answer]:
        """Push as a well-behaved provider does, but for what is given: None leaves one out."""
        path = f"/3/device/{token}" if path is None else path
        authorization = self.bench.bearer() if authorization == "" else authorization
        usual: dict[str, str | None] = {
            "apns_topic": TOPIC,
            "apns_push_type": "alert",
            "apns_priority": "10",
            "apns_expiration": str(int(self.bench.clock.seconds()) + 86_400),
            "apns_id": str(uuid4()),
        }
        sent: list[Any] = [
            (":method", method),
            (":scheme", "https"),
            NeverIndexedHeaderTuple(":path", path),
            (":authority", "api.push.apple.com"),
        ]
        if authorization is not None:
            sent.append(NeverIndexedHeaderTuple("authorization", authorization))
        sent += [
            (name.replace("_", "-"), value)
            for name, value in (usual | headers).items()
            if value is not None
        ]
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return self.request([*sent, *extra], body)

    def push(self, payload: Any = ALERT, token: str = TOKEN, **options: Any) -> Answer:
        """Push, and have the answer at once."""
        _, answer = self.ask(payload, token, **options)
        assert answer.is_whole, answer
        return answer


class Bench:
    """The stand-in with everything that belongs to it."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.simulator = APNsSimulator(
            self.clock, "https://apns.test", "https://sandbox.apns.test", **{"key": key()} | options
        )
        self.doors = {name: self.simulator.door(name) for name in ("production", "sandbox", "")}
        self._bearer = ""

    def line(self, environment: str = PRODUCTION, certificate: Any = None) -> Line:
        return Line(self, environment, certificate)

    def token(self, signer: Key | None = None, **changes: Any) -> str:
        """A provider token; None as a change leaves a claim or the key id out."""
        signer = signer or key()
        given: dict[str, Any] = {"iss": signer.team, "iat": int(self.clock.seconds())}
        header = {"alg": "ES256", "kid": signer.id} | changes.pop("header", {})
        claims = {name: value for name, value in (given | changes).items() if value is not None}
        return jwt.encode(
            claims,
            signer.private,
            algorithm="ES256",
            headers={name: value for name, value in header.items() if value is not None},
        )

    def bearer(self) -> str:
        """An Authorization header, the same each time."""
        self._bearer = self._bearer or f"bearer {self.token()}"
        return self._bearer
