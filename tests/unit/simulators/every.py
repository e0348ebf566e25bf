"""All stand-ins alike: what a well-behaved sender sends to each, and a connection to send it on."""

import base64
import hashlib
import hmac
import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pushd.simulators import webhook_signatures
from pushd.simulators.base import Simulator
from pushd.simulators.fcm_tokens import GRANT_TYPE
from pushd.simulators.ubuntu import UbuntuSimulator
from pushd.simulators.webhook import WebhookSimulator
from pushd.simulators.wns import WNSSimulator
from tests.unit.simulators import apns_bench, bench, webpush_bench
from tests.unit.simulators.apns_bench import NOW, Line, Transport

Headers = dict[str, str]


@dataclass
class Asked:
    """One request, and what came for it over either HTTP."""

    status: int | None = None
    headers: Headers = field(default_factory=dict)
    body: bytes = b""
    is_whole: bool = False


@dataclass
class Sent:
    """A request before it is sent."""

    url: str
    headers: Headers
    body: bytes
    method: str = "POST"


@dataclass
class Peer:
    """A stand-in and who pushes to it. `send` makes a request for a device of this name, which
    is in scripts and on record under `token(name)`."""

    clock: Clock
    simulator: Simulator[Any]
    door: Any
    token: Callable[[str], str]
    send: Callable[[str], Sent]
    accepted: int
    error: str  # one that the vendor has
    error_status: int
    endpoint: str = "messages"
    one_token: bool = False  # requests here are for no token in particular
    garbage: bytes = b"\xff{"  # a body that it refuses

    def wrong(self, name: str) -> Sent:
        """What the vendor does not take."""
        sent = self.send(name)
        sent.body = self.garbage
        return sent


def fcm() -> Peer:
    made = bench.Bench()
    access = made.sign_in()
    made.simulator.forget()

    def send(name: str) -> Sent:
        url = f"{bench.URL}/v1/projects/pushd-simulator/messages:send"
        headers = {"authorization": f"Bearer {access}", "content-type": "application/json"}
        return Sent(url, headers, json.dumps({"message": bench.note(name)}).encode())

    simulator = made.simulator
    return Peer(made.clock, simulator, simulator.door(), str, send, 200, "UNREGISTERED", 404)


def fcm_tokens() -> Peer:
    peer = fcm()
    made = bench.Bench()

    def send(name: str) -> Sent:
        form = {"grant_type": GRANT_TYPE, "assertion": made.assertion()}
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return Sent(f"{bench.URL}/token", headers, urlencode(form).encode())

    peer.send, peer.endpoint, peer.one_token = send, "tokens", True
    peer.error, peer.error_status = "invalid_grant", 400
    return peer


def apns() -> Peer:
    made = apns_bench.Bench()

    def token(name: str) -> str:
        return hashlib.sha256(name.encode()).hexdigest()

    def send(name: str) -> Sent:
        headers = {
            "authorization": made.bearer(),
            "apns-topic": apns_bench.TOPIC,
            "apns-push-type": "alert",
            "apns-priority": "10",
        }
        body = json.dumps(apns_bench.ALERT).encode()
        return Sent(f"https://apns.test/3/device/{token(name)}", headers, body)

    door = made.simulator.door("production")
    return Peer(made.clock, made.simulator, door, token, send, 200, "Unregistered", 410)


def ubuntu() -> Peer:
    clock = _clock()
    simulator = UbuntuSimulator(clock, "https://ubuntu.test")

    def send(name: str) -> Sent:
        content = {
            "appid": "chat.example_chat",
            "token": name,
            "expire_on": "2100-01-01T00:00:00.000Z",
            "data": {"message": {"count": 1}},
        }
        headers = {"content-type": "application/json"}
        return Sent("https://ubuntu.test/notify", headers, json.dumps(content).encode())

    return Peer(clock, simulator, simulator.door(), str, send, 200, "unknown-token", 400)


def wns_tokens() -> Peer:
    clock = _clock()
    simulator = WNSSimulator(clock, "https://wns.test")

    def send(name: str) -> Sent:
        form = {
            "grant_type": "client_credentials",
            "client_id": simulator.client_id,
            "client_secret": simulator.client_secret,
            "scope": "notify.windows.com",
        }
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return Sent("https://wns.test/token", headers, urlencode(form).encode())

    return Peer(
        clock,
        simulator,
        simulator.door(),
        str,
        send,
        200,
        "invalid_client",
        400,
        endpoint="tokens",
        one_token=True,
    )


def wns() -> Peer:
    peer = wns_tokens()
    simulator: Any = peer.simulator
    asked = Connection(peer).ask(peer.send("")).body
    simulator.forget()
    access = json.loads(asked)["access_token"]

    def send(name: str) -> Sent:
        headers = {
            "authorization": f"Bearer {access}",
            "content-type": "application/octet-stream",
            "x-wns-type": "wns/raw",
        }
        return Sent(simulator.channel(name), headers, b'{"message-count":1}')

    peer.send, peer.token, peer.endpoint, peer.one_token = (
        send,
        simulator.channel,
        "messages",
        False,
    )
    peer.error, peer.error_status, peer.garbage = "expired", 410, b""
    return peer


def webpush(service: str) -> Callable[[], Peer]:
    def make() -> Peer:
        made = webpush_bench.Bench()

        def token(name: str) -> str:
            return str(made.subscribe(service, name)["endpoint"])

        def send(name: str) -> Sent:
            phone = made.subscribe(service, name)
            headers = {
                "ttl": "60",
                "content-encoding": "aes128gcm",
                "authorization": made.authorization(),
            }
            return Sent(phone["endpoint"], headers, webpush_bench.encrypt(b"{}", phone))

        accepted = 200 if service == "ntfy" else 201
        simulator = made.simulator
        return Peer(made.clock, simulator, simulator.door(), token, send, accepted, "gone", 410)

    return make


def webhook() -> Peer:
    clock = _clock()
    simulator = WebhookSimulator(clock, "https://hook.test")
    count = itertools.count()

    def send(name: str) -> Sent:
        content = {"type": "push.message", "timestamp": "2026-11-18T11:06:40Z", "token": name}
        body = json.dumps(content).encode()
        id, timestamp = f"msg_{next(count)}", str(int(clock.seconds()))
        key = webhook_signatures.key(simulator.secrets[0])
        digest = hmac.digest(key, f"{id}.{timestamp}.".encode() + body, "sha256")
        headers = {
            "content-type": "application/json",
            "webhook-id": id,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        }
        return Sent(simulator.url, headers, body)

    return Peer(clock, simulator, simulator.door(), str, send, 204, "unregistered", 404)


EVERY: dict[str, Callable[[], Peer]] = {
    "fcm": fcm,
    "fcm tokens": fcm_tokens,
    "apns": apns,
    "ubuntu": ubuntu,
    "wns": wns,
    "wns tokens": wns_tokens,
    "mozilla": webpush("mozilla"),
    "google": webpush("google"),
    "apple": webpush("apple"),
    "ntfy": webpush("ntfy"),
    "webhook": webhook,
}


def _clock() -> Clock:
    clock = Clock()
    clock.advance(NOW)
    return clock


class Narrow(Transport):
    """A socket that takes so many bytes until they are read. A protocol hears of the end when
    it has returned (`settle`), as it does from a reactor."""

    room = 65_536
    has_settled = False

    def write(self, data: bytes) -> None:
        super().write(data)  # type: ignore[no-untyped-call]
        self._choke()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        super().writeSequence(data)  # type: ignore[no-untyped-call]
        self._choke()

    def read(self) -> bytes:
        """What came, and room for more."""
        came = bytes(self.value())  # type: ignore[no-untyped-call]
        self.clear()  # type: ignore[no-untyped-call]
        if self.producer is not None and came:
            self.producer.resumeProducing()
        return came

    def loseConnection(self) -> None:
        self.disconnected_at = self.disconnected_at or "closed"
        self.connected, self.disconnecting = False, True

    def unregisterProducer(self) -> None:
        if self.producer is not None:  # sockets do not mind
            super().unregisterProducer()  # type: ignore[no-untyped-call]

    def settle(self) -> None:
        if not self.connected and not self.has_settled:
            self.has_settled = True
            self.protocol.connectionLost(Failure(ConnectionDone()))

    def _choke(self) -> None:
        if self.producer is not None and len(self.value()) > self.room:  # type: ignore[no-untyped-call]
            self.producer.pauseProducing()


class Connection:
    """To a stand-in, without a socket, over HTTP/2 or over HTTP/1.1."""

    def __init__(self, peer: Peer, version: str = "2") -> None:
        self._peer = peer
        self._asked = Asked()
        self._answer: Any = None
        if version == "2":
            self._line: Line | None = Line(peer, "", door=peer.door)
            self.transport = self._line.transport
            return
        self._line = None
        protocol = peer.door.buildProtocol(None)
        self._narrow = self.transport = Narrow()  # type: ignore[no-untyped-call]
        self.transport.protocol = protocol
        protocol.makeConnection(self.transport)
        self._protocol = protocol
        self._came = b""

    @property
    def is_open(self) -> bool:
        return bool(self.transport.connected)

    @property
    def was_aborted(self) -> bool:
        return self.transport.disconnected_at == "aborted"

    def ask(self, sent: Sent) -> Asked:
        """Send a request; `see` again for what comes later."""
        parts = urlsplit(sent.url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        if self._line is not None:
            pseudo = [
                (":method", sent.method),
                (":scheme", "https"),
                (":path", path),
                (":authority", parts.netloc),
            ]
            _, self._answer = self._line.request([*pseudo, *sent.headers.items()], sent.body)
        else:
            head = {"host": parts.netloc, "content-length": str(len(sent.body))} | sent.headers
            lines = [f"{sent.method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in head.items())]
            self._protocol.dataReceived("\r\n".join(lines).encode() + b"\r\n\r\n" + sent.body)
            self._narrow.settle()
        return self.see()

    def see(self) -> Asked:
        """What came by now."""
        if self._line is not None:
            self._line.exchange()
            got = self._answer
            return Asked(got.status, got.headers, got.body, got.is_whole)
        self._came += self._narrow.read()
        self._narrow.settle()
        head, end, body = self._came.partition(b"\r\n\r\n")
        if not end:
            return Asked()
        first, *rest = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (one.split(": ", 1) for one in rest)}
        length = headers.get("content-length")
        is_whole = length is not None and len(body) == int(length)
        status = int(first.split(" ")[1])
        return Asked(status, headers, body, is_whole or status == 204)

    def leave(self) -> None:
        """The client goes away."""
        self.transport.loseConnection()
        if self._line is None:
            self._narrow.settle()
