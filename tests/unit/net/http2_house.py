"""HTTP/2 without a network: a client of ours, and servers on h2, joined by hand."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
)
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import INegotiated, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

from pushd.net.client import Client
from pushd.net.http import Answer, Fault, HTTPError
from pushd.net.http2 import HTTP2Agent

URL = "http://push.example.net"
HEADERS = {"authorization": "bearer x.y.z", "apns-topic": "com.example.chat"}


@dataclass
class Asked:
    """A request as a server has it so far."""

    stream: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    is_whole: bool = False
    reset: int | None = None

    def header(self, name: str) -> str:
        return dict(self.headers)[name]

    @property
    def path(self) -> str:
        return self.header(":path")


class Server:
    """The server's side of a connection. h2 checks every header of the client's."""

    def __init__(self, **settings: int) -> None:
        config = H2Configuration(client_side=False, header_encoding="utf-8")
        self.h2 = H2Connection(config)
        values = {SettingCodes[name]: value for name, value in settings.items()}
        self.h2.local_settings = Settings(client=False, initial_values=values)
        self.h2.initiate_connection()
        self.asked: dict[int, Asked] = {}
        self.pings: list[bytes] = []
        self.farewell: ConnectionTerminated | None = None
        self.answers_pings = True
        self.raw = b""  # said besides

    def receive(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            self._react(event)

    def to_send(self) -> bytes:
        data, self.raw = self.h2.data_to_send() + self.raw, b""
        return data

    def _react(self, event: Event) -> None:
        match event:
            case RequestReceived():
                assert event.stream_id is not None
                headers: Any = event.headers
                self.asked[event.stream_id] = Asked(event.stream_id, list(headers))
            case DataReceived():
                self.asked[event.stream_id or 0].body += event.data or b""
            case StreamEnded():
                self.asked[event.stream_id or 0].is_whole = True
            case StreamReset():
                self.asked[event.stream_id or 0].reset = int(event.error_code or 0)
            case PingReceived():
                self.pings.append(event.ping_data or b"")
                if not self.answers_pings:
                    self.h2.clear_outbound_data_buffer()
            case ConnectionTerminated():
                self.farewell = event

    def answer(self, stream: int, status: int = 200, body: bytes = b"", **headers: str) -> None:
        fields = [(":status", str(status))]
        fields += [(name.replace("_", "-"), value) for name, value in headers.items()]
        self.h2.send_headers(stream, fields, end_stream=not body)
        while body:
            part, body = body[:16_384], body[16_384:]
            self.h2.send_data(stream, part, end_stream=not body)

    def read(self, asked: Asked) -> None:
        """Give back the window that the body has taken."""
        self.h2.acknowledge_received_data(len(asked.body), asked.stream)

    def settings(self, **settings: int) -> None:
        self.h2.update_settings({SettingCodes[name]: value for name, value in settings.items()})

    def goaway(self, last: int, code: int = 0, debug: bytes = b"") -> None:
        frame = GoAwayFrame(0, last_stream_id=last, error_code=code, additional_data=debug)
        self.raw = self.h2.data_to_send() + self.raw + frame.serialize()


class Wire(StringTransport):
    """The client's transport."""

    negotiatedProtocol: bytes | None = b"h2"

    was_aborted = False
    is_prompt = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.is_prompt = enabled

    def abortConnection(self) -> None:
        self.was_aborted = self.disconnecting = True


def secured() -> Any:
    """A transport that could tell what ALPN has agreed upon."""
    wire = Wire()  # type: ignore[no-untyped-call]
    alsoProvides(wire, INegotiated)
    return wire


@dataclass
class Line:
    """A connection: the client's end, and the server's."""

    client: Any
    server: Server
    wire: Any = field(default_factory=secured)
    is_cut: bool = False

    def open(self) -> None:
        self.client.makeConnection(self.wire)
        self.client.handshakeCompleted()  # which says nothing without TLS

    def carry(self) -> bool:
        """Bring what each has said to the other. Was there anything?"""
        if self.is_cut:
            return False
        sent = self.wire.value()
        self.wire.clear()
        if sent:
            self.server.receive(sent)
        said = self.server.to_send()
        if said and not self.wire.disconnecting:
            self.client.dataReceived(said)
        if self.wire.disconnecting and not self.is_cut:
            self.cut(ConnectionDone())
        return bool(sent or said)

    def cut(self, reason: Exception | None = None) -> None:
        self.is_cut = True
        self.client.connectionLost(Failure(reason or ConnectionLost()))


@implementer(IStreamClientEndpoint)
class Door:
    """An endpoint; whoever connects waits until the house lets him in."""

    def __init__(self, house: "House") -> None:
        self._house = house

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:  # noqa: N803
        waiting: Deferred[Any] = Deferred()
        self._house.knocking.append((waiting, protocolFactory))
        return waiting


class House:
    """A client, its clock, and the connections that it has opened."""

    def __init__(self, idle_limit: float | None = None, **settings: int) -> None:
        self.clock = Clock()
        self.settings: dict[str, int] = {"MAX_CONCURRENT_STREAMS": 100, **settings}
        self.knocking: list[tuple[Deferred[Any], IProtocolFactory]] = []
        self.lines: list[Line] = []
        self.asked_for: list[tuple[str, str, int, tuple[bytes, ...]]] = []
        self.agent = HTTP2Agent(
            self.clock, self._endpoint, (b"h2",), idle_limit, Random(1), is_checked=True
        )
        self.client = Client(self.clock, self.agent)

    def _endpoint(self, scheme: str, host: str, port: int, alpn: tuple[bytes, ...]) -> Door:
        self.asked_for.append((scheme, host, port, alpn))
        return Door(self)

    def let_in(self, prepare: Callable[[Line], None] | None = None) -> Line:
        """Let the first who knocks connect, and both sides say what they have to say."""
        waiting, factory = self.knocking.pop(0)
        protocol: Any = factory.buildProtocol(None)  # type: ignore[arg-type]
        line = Line(protocol, Server(**self.settings))
        self.lines.append(line)
        if prepare is not None:
            prepare(line)
        line.open()
        waiting.callback(protocol)
        self.pump()
        return line

    def turn_away(self, error: Exception) -> None:
        self.knocking.pop(0)[0].errback(error)

    def pump(self) -> None:
        """Let everybody say what there is to say, in no time."""
        for _ in range(100):
            self.clock.advance(0)
            has_moved = [line.carry() for line in self.lines]
            if not any(has_moved):
                return
        raise AssertionError("they talk for ever")

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.pump()

    def post(
        self, path: str = "/3/device/00ff", body: bytes = b"{}", timeout: float = 30.0, **more: Any
    ) -> "Outcome":
        return Outcome(self.client.send("POST", URL + path, HEADERS, body, timeout, **more))


class Outcome:
    """What has become of a request."""

    def __init__(self, sending: Deferred[Answer]) -> None:
        self.sending = sending
        self._found: list[Any] = []
        sending.addBoth(self._found.append)

    @property
    def is_open(self) -> bool:
        return not self._found

    @property
    def answer(self) -> Answer:
        (found,) = self._found
        assert isinstance(found, Answer), found
        return found

    @property
    def failure(self) -> Exception:
        (found,) = self._found
        assert isinstance(found, Failure)
        assert isinstance(found.value, Exception)
        return found.value

    @property
    def fault(self) -> Fault:
        error = self.failure
        assert isinstance(error, HTTPError)
        return error.fault
