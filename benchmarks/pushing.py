"""Stanza to publish: how soon a push service hears of what waits for a sleeping phone.

Devices enable push at an external component, and go away: by RST, so that their sessions are
detached, or logged out. Ten senders write one message of 400 bytes to each. The component
accepts every publish at once. First 50 messages are under way, once to warm up; then, when no
server holds anything back any more, 200 are written each second, from which latency is told.
"""

import contextlib
import itertools
import time
from array import array
from collections.abc import Sequence

from benchmarks.accounts import DOMAIN, ONLINE, PEOPLE
from benchmarks.clients import Client, LoadError
from benchmarks.component import PushService
from benchmarks.load import PATIENCE, Loop, Pace
from benchmarks.login import Session, Way, cut, together
from benchmarks.processes import Server
from benchmarks.routing import latency
from benchmarks.scenario import Bench, Budget, Line, Result, Scenario, sessions

SERVICE = f"push.{DOMAIN}"
SENDERS = 10
WINDOW = 50
RATE = 200  # messages a second, paced
SIZE = 400
PAUSE = 1.5  # seconds after which nobody gathers any more what is for one device


def measure(bench: Bench, kind: type[Server], logged_out: bool) -> Result:
    """CPU µs per push, pushes a second, p50 and p99 in ms."""
    if not kind.can_push():
        return Result((None,) * 4)
    count = bench.some(ONLINE)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(bench.server(kind, components=(SERVICE,)))
        names = PEOPLE.names()
        service = PushService(server.component_port, SERVICE, count)
        writers = [
            Client(one, managed=True)
            for one in sessions(stack, server, names[ONLINE : ONLINE + SENDERS], Way())
        ]
        loop = Loop([service, *writers])
        stack.callback(loop.close)
        found = sessions(stack, server, names[:count], Way())
        together(_enable, list(enumerate(found)))
        for one in found:
            _leave(one, logged_out)
        server.settle()
        loop.turn(PAUSE)
        service.told = [0] * count  # some servers push that there is nothing to be told
        talk = _Talk(loop, service, writers, names[:count])
        talk.at_once()
        loop.turn(PAUSE)
        with bench.measuring(server) as span:
            talk.at_once()
        loop.turn(PAUSE)
        loop.latencies = array("d")
        talk.paced(min(bench.seconds, count / RATE))
        latencies = sorted(loop.latencies)
        cost, rate = span.cost / count * 1e6, count / talk.seconds
        missing = talk.missing
        return Result(
            (cost, rate, latency(latencies, 0.5), latency(latencies, 0.99)),
            f"{missing} pushes missing" if missing else "",
        )


class _Talk:
    """Messages to those who are away, one after the other."""

    def __init__(
        self, loop: Loop, service: PushService, writers: Sequence[Client], names: Sequence[str]
    ) -> None:
        self._loop = loop
        self._service = service
        self._writers = itertools.cycle(writers)
        self._names = names
        self.written = [0] * len(names)
        self.seconds = 0.0  # that the last of them took to be published

    @property
    def missing(self) -> int:
        """How many messages were not published."""
        pairs = zip(self.written, self._service.told, strict=True)
        return sum(max(0, written - told) for written, told in pairs)

    @property
    def told(self) -> int:
        """How many publishes there were."""
        return sum(self._service.told)

    def at_once(self) -> None:
        """One to each, with so many under way. Raises LoadError."""
        turns = iter(range(len(self._names)))
        began = time.perf_counter()
        before = self.told

        def next_one(_: int) -> None:
            number = next(turns, None)
            if number is not None:
                self._write(number, time.perf_counter())

        self._service.on_publish = next_one
        for _ in range(WINDOW):
            next_one(0)
        self._loop.turn(3 * PATIENCE, done=lambda: self.told >= before + len(self._names))
        self.seconds = time.perf_counter() - began
        self._service.on_publish = lambda number: None
        if self.missing:
            raise LoadError(f"{self.missing} messages were not pushed")

    def paced(self, seconds: float) -> None:
        """One to each, so many a second, for so long."""
        turns = itertools.cycle(range(len(self._names)))
        pace = Pace(RATE, lambda due: self._write(next(turns), due))
        self._loop.turn(seconds, pace=pace)
        self._loop.turn(PATIENCE, done=lambda: not self.missing)

    def _write(self, number: int, now: float) -> None:
        writer = next(self._writers)
        self._service.said_at[number] = now
        self.written[number] += 1
        head = f"<message to='{self._names[number]}@{DOMAIN}' type='chat'><body>".encode()
        tail = b"</body></message>"
        writer.write(head + b"x" * (SIZE - len(head) - len(tail)) + tail, now)
        self._loop.flush(writer)


def _enable(numbered: tuple[int, Session]) -> None:
    number, session = numbered
    session.socket.setblocking(True)
    session.socket.sendall(
        b"<iq type='set' id='push'><enable xmlns='urn:xmpp:push:0' jid='%b' node='node-%07d'>"
        b"<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>"
        b"<value>http://jabber.org/protocol/pubsub#publish-options</value></field>"
        b"<field var='secret'><value>an unguessable secret</value></field></x></enable></iq>"
        % (SERVICE.encode(), number)
    )
    came = session.rest
    while b"id='push'" not in came and b'id="push"' not in came:
        data = session.socket.recv(1 << 16)
        if not data:
            raise LoadError(f"{session.user}: push cannot be enabled: {came[-400:]!r}")
        came += data
    if b"error" in came:
        raise LoadError(f"{session.user}: push is refused: {came[-400:]!r}")


def _leave(session: Session, logged_out: bool) -> None:
    if logged_out:
        session.socket.sendall(b"<presence type='unavailable'/></stream:stream>")
        with contextlib.suppress(OSError):
            while session.socket.recv(1 << 16):
                pass
        session.socket.close()
    else:
        cut(session.socket)


def _scenario(name: str, what: str, logged_out: bool) -> Scenario:
    return Scenario(
        name,
        (
            Line(f"push, {what}: stanza to publish", "CPU µs", Budget(ratio=0.4)),
            Line(f"push, {what}: rate", "1/s"),
            Line(f"push, {what}: p50", "ms", Budget(most=0.5), 2),
            Line(f"push, {what}: p99", "ms", digits=2),
        ),
        lambda bench, server: measure(bench, server, logged_out),
    )


SCENARIOS = (
    _scenario("push-detached", "session detached", logged_out=False),
    _scenario("push-offline", "logged out", logged_out=True),
)
