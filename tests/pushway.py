"""The way of a push without sockets: what it calls and what it takes, as `tests.way` for messages.

    python -m tests.pushway                  calls and time per push, by scenario
    python -m tests.pushway --profile apns   the functions on the way

Between the bytes of a stanza and those that a push service or a provider reads, all is the
server's own, but for TLS; what the others say is at hand. `tests/unit/test_way_of_push.py` keeps
the counts from growing.
"""

import cProfile
import hashlib
import itertools
import pstats
import re
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.task import Clock
from zope.interface import implementer

from pushd.appserver.apps import App
from pushd.appserver.limits import Rules
from pushd.appserver.registrations import Wanted
from pushd.appserver.service import AppServer
from pushd.c2s.options import Door, DoorOptions
from pushd.components.door import ComponentFactory
from pushd.components.stream import Components
from pushd.modules.push.module import PushOptions
from pushd.net.admission import Admission, Quota
from pushd.net.client import Client
from pushd.net.http import HTTPClient
from pushd.net.http2 import HTTP2Agent
from pushd.net.xmlprotocol import XMLStream
from pushd.providers.contract import Link
from pushd.providers.dispatch import Dispatcher
from pushd.providers.transport import HTTPTransport
from pushd.routing.events import ServerStarted
from pushd.wire.framer import Limits
from pushd.wire.namespaces import NS_COMPONENT, NS_PUBSUB, NS_STREAMS
from pushd.wire.secret import Secret
from tests.hall import Hall
from tests.unit.net.http2_house import secured
from tests.unit.providers.samples import SAMPLES, made
from tests.way import BODY, MODULES, Phone, Socket, Turns, calls, seconds

PUBSUB, ELSEWHERE, SERVICE = "push.example.net", "elsewhere.example.net", "far.example.net"
HEADER = f"<stream:stream to='%b' xmlns='{NS_COMPONENT}' xmlns:stream='{NS_STREAMS}'>".encode()
WINDOW = 50  # pushes that come in one turn
OPTIONS = {"webpush": {"requests_per_host": 0}}  # all devices are at one host here
NODES = 400  # so that no device is pushed more than it may
DATA, HEADERS, SETTINGS, WINDOW_UPDATE = 0, 1, 4, 8  # frames of HTTP/2
END_STREAM, END_HEADERS = 1, 4
# All that anybody asks here: FCM and who gives out its tokens.
GRANTED = b'{"name": "projects/p/messages/1", "access_token": "t", "expires_in": 3600, '
GRANTED += b'"token_type": "Bearer"}'
ID = re.compile(rb"<iq [^>]*id='([^']+)'")


class Peer:
    """A component at the other end of a stream, which has proved itself."""

    def __init__(self, hall: Hall, domain: str) -> None:
        self.socket = Socket()
        components = Components(hall.host, {domain: Secret("between us")}, Limits(100_000))
        admission = Admission(hall.clock, Quota(1, 1), Quota(1, 1))
        stream = ComponentFactory(components, hall.turn, admission).buildProtocol(None)
        assert isinstance(stream, XMLStream)
        stream.makeConnection(self.socket)  # type: ignore[no-untyped-call]
        self.hear = stream.dataReceived
        self.hear(HEADER % domain.encode())
        hall.advance(0)
        [id] = re.findall(rb"id='([^']+)'", self.socket.said)
        proof = hashlib.sha1(id + b"between us").hexdigest()  # XEP-0114 §3
        self.hear(f"<handshake>{proof}</handshake>".encode())
        assert components.is_connected(domain)


class Provider:
    """The far end of a connection of HTTP/2: it answers all that has come when it is told to."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._wire = secured()

    def open(self) -> None:
        """All that has to be done before the first request."""
        connection = self._connection
        limits = b"\x00\x03\x00\x00\x03\xe8\x00\x04\x01\x00\x00\x00"  # streams, their windows
        connection.makeConnection(self._wire)
        connection.handshakeCompleted()
        connection.dataReceived(
            _frame(SETTINGS, 0, 0, limits) + _frame(WINDOW_UPDATE, 0, 0, b"\x40\x00\x00\x00")
        )

    def answer(self) -> None:
        self._wire.clear()
        said = b""
        for stream in self._connection._streams:
            said += _frame(HEADERS, END_HEADERS, stream, b"\x88")
            said += _frame(DATA, END_STREAM, stream, GRANTED)
        if said:
            self._connection.dataReceived(said)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags])
    return head + stream.to_bytes(4, "big") + payload


class Timers(Turns):
    """A clock that makes as little of what may be cancelled, as the reactor does."""

    def __init__(self) -> None:
        super().__init__()
        self._pending: dict[DelayedCall, None] = {}

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> IDelayedCall:
        if not delay:
            return super().callLater(delay, callable, *args, **kw)
        at = self.rightNow + delay
        call = DelayedCall(at, callable, args, kw, self._pending.pop, _nothing, self.seconds)
        self._pending[call] = None
        return call

    def advance(self, amount: float) -> None:
        self.rightNow += amount
        for call in [one for one in self._pending if one.time + one.delayed_time <= self.rightNow]:
            if self._pending.pop(call, call) is None:
                call.called = 1
                call.func(*call.args, **call.kw)
        self.turn()


def _nothing(call: DelayedCall) -> None:
    """It is looked at when time has passed."""


class Publishes:
    """A server of elsewhere publishes; a provider of this `type` takes it.

    Without one, nothing leaves the outbox.
    """

    window = WINDOW

    def __init__(self, type: str = "") -> None:
        self.providers: list[Provider] = []
        hall = self.hall = Hall(clock=Timers())
        kind = type or "webhook"
        with TemporaryDirectory() as folder:
            provider = made(kind, Path(folder), **OPTIONS.get(kind, {}))
        dispatcher = Dispatcher(hall.clock, HTTPTransport(self._client), hall.host.events.emit)
        dispatcher.add(kind, provider)
        app = App(kind, provider, "example.net", PUBSUB, "any")
        server = self.server = AppServer(hall.host, (app,), dispatcher, Rules())
        if type:
            server.start()
        self.peer = Peer(hall, ELSEWHERE)
        fields = provider.stored(SAMPLES[kind].fields)
        letters = []
        for number in range(NODES):
            account, token = f"d{number}@{ELSEWHERE}", Secret(fields["token"])
            wanted = Wanted(account, "phone", kind, kind, "any", token, fields)
            known, secret = server.registrations.register(wanted, hall.clock.seconds())
            letters.append(_publish(number, known.node, secret.reveal()))
        self._batches = itertools.cycle(
            b"".join(batch) for batch in zip(*[iter(letters)] * WINDOW, strict=True)
        )
        self.run(2)  # connections, credentials

    def run(self, turns: int) -> int:
        """Let them be published; gives their number."""
        hall, outbox, said = self.hall, self.server.outbox, self.peer.socket
        for _ in range(turns):
            self.peer.hear(next(self._batches))
            hall.clock.advance(1)
            assert said.said.count(b"<item ") == WINDOW, said.said
            if not self.server.outbox._is_open:
                outbox._waiting.clear()
                continue
            while outbox:
                for one in self.providers:
                    one.answer()
                hall.clock.advance(0)
        return turns * WINDOW

    def _client(self, link: Link) -> HTTPClient:
        agent = HTTP2Agent(self.hall.clock, lambda *where: _Door(self.hall.clock, self.providers))
        return Client(self.hall.clock, agent)


@implementer(IStreamClientEndpoint)
class _Door:
    """Where a connection to a provider ends."""

    def __init__(self, clock: Clock, providers: list[Provider]) -> None:
        self._clock = clock
        self._providers = providers

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:  # noqa: N803
        connection: Any = protocolFactory.buildProtocol(None)  # type: ignore[arg-type]
        provider = Provider(connection)
        self._providers.append(provider)
        self._clock.callLater(0, provider.open)
        return succeed(connection)


def _publish(number: int, node: str, secret: str) -> bytes:
    return (
        f"<iq type='set' id='p{number}' from='{ELSEWHERE}' to='{PUBSUB}'>"
        f"<pubsub xmlns='{NS_PUBSUB}'><publish node='{node}'><item>"
        "<notification xmlns='urn:xmpp:push:0'><x xmlns='jabber:x:data' type='submit'>"
        "<field var='FORM_TYPE'><value>urn:xmpp:push:summary</value></field>"
        f"<field var='message-count'><value>{1 + number % 7}</value></field>"
        f"<field var='last-message-sender'><value>romeo@{ELSEWHERE}/balcony</value></field>"
        f"<field var='last-message-body'><value>{BODY}</value></field>"
        "</x></notification></item></publish>"
        "<publish-options><x xmlns='jabber:x:data' type='submit'>"
        f"<field var='FORM_TYPE'><value>{NS_PUBSUB}#publish-options</value></field>"
        f"<field var='secret'><value>{secret}</value></field></x></publish-options>"
        "</pubsub></iq>"
    ).encode()


class Wakes:
    """Romeo writes to many who are away, and a push service of elsewhere is told."""

    window = WINDOW

    def __init__(self, *, detached: bool) -> None:
        modules = {**MODULES, "push": PushOptions(coalesce=0.0)}
        hall = self.hall = Hall(modules=modules, clock=Timers(), resume_timeout=1e6)
        self.peer = Peer(hall, SERVICE)
        hall.host.events.emit(ServerStarted())
        letters = []
        for number in range(WINDOW):
            away = hall.login(f"d{number}@example.net/phone", sm=True)
            enable = f"<enable xmlns='urn:xmpp:push:0' jid='{SERVICE}' node='n{number}'/>"
            away.ask(f"<iq type='set' id='e'>{enable}</iq>")
            away.acknowledge()
            if detached:
                away.cut()
            else:
                away.close()
            letters.append(
                f"<message to='d{number}@example.net' type='chat' id='m'><body>{BODY}</body>"
                "</message>".encode()
            )
        door = Door(hall.host, None, None, DoorOptions())  # type: ignore[arg-type]
        self.romeo = Phone(hall, door, "romeo@example.net/orchard", managed=True)
        self._letters = b"".join(letters)
        self.run(4)

    def run(self, turns: int) -> int:
        """Let him write; gives the number of messages."""
        for _ in range(turns):
            self.romeo.hear(self._letters)
            self.hall.clock.advance(1)
            asked = ID.findall(self.peer.socket.said)
            assert len(asked) == WINDOW
            self.peer.hear(
                b"".join(
                    b"<iq type='result' id='%b' from='%b' to='example.net'/>"
                    % (id, SERVICE.encode())
                    for id in asked
                )
            )
            self.hall.clock.advance(0)
        return turns * WINDOW


SCENARIOS: dict[str, Callable[[], Publishes | Wakes]] = {
    "detached": lambda: Wakes(detached=True),
    "logged-out": lambda: Wakes(detached=False),
    "outbox": Publishes,
    "fcm": lambda: Publishes("fcm"),
    "apns": lambda: Publishes("apns"),
    "webhook": lambda: Publishes("webhook"),
    "webpush": lambda: Publishes("webpush"),
}


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--profile"]:
        way = SCENARIOS[arguments[1]]()
        with cProfile.Profile() as profile:
            way.run(40)
        pstats.Stats(profile).sort_stats("tottime").print_stats(70)
        return
    for name in arguments or SCENARIOS:
        count = calls(SCENARIOS[name](), 8).total() / (8 * WINDOW)
        took = seconds(SCENARIOS[name](), 10, 10)
        print(f"{name:10} {count:6.1f} calls, {took * 1e6:6.1f} us")


if __name__ == "__main__":
    main(sys.argv[1:])
