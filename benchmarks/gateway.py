"""The push service alone: from a publish to the outbox, and on to a provider.

A component stands for a server of elsewhere: it registers 10,000 devices, each of an account
of its own, and publishes a summary of about 800 bytes to each, with 50 publishes unanswered.
What it costs is counted until the provider has had them all, and the server is idle. Then 200
are published each second, and latency is told: to the answer, or to the provider. What the
stand-ins cost (`benchmarks.stub`) is not counted, but they share the load's core: how many a
core of a server could do, its CPU µs tell better than the rate.
"""

from __future__ import annotations  # array[float] in Python 3.11

import contextlib
import itertools
import re
import time
from array import array
from collections.abc import Callable, Sequence

from benchmarks.accounts import DOMAIN, Population
from benchmarks.clients import LoadError
from benchmarks.component import Component
from benchmarks.load import PATIENCE, Loop, Pace
from benchmarks.processes import Server
from benchmarks.providers import (
    APNS,
    FCM,
    FCM_H2,
    NOWHERE,
    UBUNTU,
    UNIFIEDPUSH,
    WEBHOOK,
    WEBPUSH,
    WNS,
    Kind,
    StandIn,
    backend,
)
from benchmarks.routing import latency
from benchmarks.scenario import Bench, Budget, Line, Result, Scenario
from benchmarks.servers import Pushd

NOBODY = Population()
DEVICES = 10_000
WINDOW = 50
RATE = 200  # publishes a second, paced
FIELDS = re.compile(rb"var=['\"](node|secret)['\"][^>]*><value>([^<]+)")
NS_PUBSUB = "http://jabber.org/protocol/pubsub"
KINDS = {
    "fcm": FCM,
    "fcm-h2": FCM_H2,
    "apns": APNS,
    "webpush": WEBPUSH,
    "unifiedpush": UNIFIEDPUSH,
    "webhook": WEBHOOK,
    "ubuntu": UBUNTU,
    "wns": WNS,
}
MIX = (FCM_H2, APNS, WEBPUSH, WEBHOOK)  # beside one that is stalled
BODY = "Neither, fair saint, if either thee dislike. " * 3


class Publisher(Component):
    """A server of elsewhere, and so many devices of its accounts."""

    def __init__(self, port: int, place: int, kind: Kind, count: int, url: str) -> None:
        super().__init__(port, _elsewhere(place))
        self._host = _host(place)
        self._url = url
        self._kind = kind
        self.count = count
        self.given: dict[int, tuple[str, str]] = {}  # nodes and secrets
        self.said_at: dict[int, float] = {}  # by device, of the publish that is under way
        self.answered = 0
        self.on_answer: Callable[[], None] = lambda: None
        self._next = 0

    def register(self, loop: Loop) -> None:
        """Register all devices. Raises LoadError."""
        command = f"register-push-{self._kind.type}"
        for number in range(self.count):
            fields = "".join(
                f"<field var='{name}'><value>{value}</value></field>"
                for name, value in self._kind.fields(number, self._url).items()
            )
            self.post(
                f"<iq type='set' id='r{number}' from='d{number}@{self.domain}/phone' "
                f"to='{self._host}'><command xmlns='http://jabber.org/protocol/commands' "
                f"node='{command}'><x xmlns='jabber:x:data' type='submit'>{fields}</x>"
                "</command></iq>".encode()
            )
            if number % 200 == 199 or number == self.count - 1:
                loop.flush(self)
                loop.turn(PATIENCE, done=lambda n=number: len(self.given) > n)  # type: ignore[misc]
        if len(self.given) < self.count:
            raise LoadError(f"{self.count - len(self.given)} devices are not registered")

    def all_at_once(self, loop: Loop) -> None:
        """One publish to each device, 50 of them unanswered. Raises LoadError."""
        self.answered = 0
        left = iter(range(self.count - WINDOW))

        def go_on() -> None:
            if next(left, None) is not None:
                self.publish(time.perf_counter())

        for _ in range(min(WINDOW, self.count)):
            self.publish(time.perf_counter())
        loop.flush(self)
        self.on_answer = go_on
        loop.turn(3 * PATIENCE, done=lambda: self.answered >= self.count)
        self.on_answer = lambda: None
        if self.answered < self.count:
            raise LoadError(f"{self.count - self.answered} publishes are not answered")

    def publish(self, now: float) -> None:
        """Publish to the next device."""
        number, self._next = self._next, (self._next + 1) % self.count
        node, secret = self.given[number]
        self.said_at[number] = now
        self.post(
            f"<iq type='set' id='p{number}' from='{self.domain}' to='{self._host}'>"
            f"<pubsub xmlns='{NS_PUBSUB}'><publish node='{node}'><item>"
            "<notification xmlns='urn:xmpp:push:0'><x xmlns='jabber:x:data' type='submit'>"
            "<field var='FORM_TYPE'><value>urn:xmpp:push:summary</value></field>"
            f"<field var='message-count'><value>{1 + number % 7}</value></field>"
            f"<field var='last-message-sender'><value>romeo@{self.domain}/balcony</value></field>"
            f"<field var='last-message-body'><value>{BODY}</value></field>"
            "</x></notification></item></publish>"
            "<publish-options><x xmlns='jabber:x:data' type='submit'>"
            f"<field var='FORM_TYPE'><value>{NS_PUBSUB}#publish-options</value></field>"
            f"<field var='secret'><value>{secret}</value></field></x></publish-options>"
            "</pubsub></iq>".encode()
        )

    def took(
        self, head: dict[bytes, bytes], content: bytes, now: float, latencies: array[float]
    ) -> int:
        kind, number = head[b"id"][:1], int(head[b"id"][1:])
        if head.get(b"type") != b"result":
            raise LoadError(f"{head[b'id'].decode()}: {content[:300].decode()}")
        if kind == b"r":
            given = dict(FIELDS.findall(content))
            self.given[number] = (given[b"node"].decode(), given[b"secret"].decode())
            return 0
        self.answered += 1
        latencies.append(now - self.said_at[number])
        self.on_answer()
        return 1


class Gateway(Pushd):
    """pushd as a push service; `backends` are the lines of its configuration."""

    backends = ""

    def sections(self) -> str:
        return f"app_server:\n  requests_per_domain: 0\n  backends:\n{self.backends}"


class Stage:
    """A server with backends, the stand-ins behind them, and who publishes to each."""

    def __init__(
        self,
        stack: contextlib.ExitStack,
        bench: Bench,
        kinds: Sequence[tuple[Kind, str]],
        devices: int = DEVICES,
    ) -> None:
        """`kinds` are providers, each "well", "stalled" or "absent", with so many devices."""
        self.stand_ins: list[StandIn | None] = []
        lines = []
        for place, (kind, state) in enumerate(kinds):
            folder = bench.folder / f"provider-{place}"
            stand_in = None
            if state != "absent":
                made = StandIn(folder, kind, is_stalled=state == "stalled")
                stand_in = stack.enter_context(made)
            self.stand_ins.append(stand_in)
            lines.append(backend(folder, kind, _host(place), stand_in))
        own = type("Gateway", (Gateway,), {"backends": "".join(lines)})
        domains = [_elsewhere(place) for place in range(len(kinds))]
        self.server = stack.enter_context(bench.server(own, NOBODY, components=domains))
        count = bench.some(devices)
        self.publishers = [
            Publisher(self.server.component_port, place, kind, count, _url(stand_in))
            for place, ((kind, _), stand_in) in enumerate(zip(kinds, self.stand_ins, strict=True))
        ]
        self.loop = Loop(self.publishers)
        stack.callback(self.loop.close)

    def run(self, bench: Bench) -> tuple[float, float, int]:
        """One publish to each device of the first: CPU µs of each, how many a second, missing."""
        publisher, stand_in = self.publishers[0], self.stand_ins[0]
        began = time.perf_counter()
        with bench.measuring(self.server) as span:
            publisher.all_at_once(self.loop)
            ended = time.perf_counter()
            came = self._await(0, publisher.count) if stand_in is not None else []
        if came:
            ended = max(at for _, at in came)
        missing = publisher.count - len(came) if stand_in is not None else 0
        return span.cost / publisher.count * 1e6, publisher.count / (ended - began), missing

    def all_of(self, publishers: Sequence[Publisher]) -> tuple[float, int]:
        """One publish to each of their devices: how many a second, and missing."""
        began = ended = time.perf_counter()
        for publisher in publishers:
            publisher.all_at_once(self.loop)
        missing = 0
        for place, publisher in enumerate(publishers):
            came = self._await(place, publisher.count)
            missing += publisher.count - len(came)
            ended = max(ended, *(at for _, at in came), began)
        return sum(one.count for one in publishers) / (ended - began), missing

    def paced(self, seconds: float, rate: float = RATE) -> list[float]:
        """Latencies in seconds, sorted: to the provider, where there is one, else to the answer."""
        publisher, stand_in = self.publishers[0], self.stand_ins[0]
        count = int(min(seconds * rate, publisher.count))
        publisher.said_at.clear()
        self.loop.latencies = array("d")
        pace = Pace(rate, lambda due: self._say(publisher, due))
        publisher.answered = 0
        self.loop.turn(count / rate, pace=pace)
        self.loop.turn(PATIENCE, done=lambda: publisher.answered >= len(publisher.said_at))
        if stand_in is None:
            return sorted(self.loop.latencies)
        came = self._await(0, len(publisher.said_at))
        return sorted(at - publisher.said_at[number] for number, at in came)

    def _say(self, publisher: Publisher, now: float) -> None:
        publisher.publish(now)
        self.loop.flush(publisher)

    def _await(self, place: int, count: int) -> list[tuple[int, float]]:
        """What came to a stand-in, once it is so many, or nothing more comes."""
        stand_in = self.stand_ins[place]
        assert stand_in is not None
        came: list[tuple[int, float]] = []
        until = time.monotonic() + PATIENCE
        while len(came) < count and time.monotonic() < until:
            self.loop.turn(0.1)
            more = stand_in.came()
            came += more
            if more:
                until = time.monotonic() + PATIENCE
        return came


def measure(bench: Bench, kind: type[Server], to: str) -> Result:
    """CPU µs per push, pushes a second, p50 and p99 in ms."""
    if kind is not Pushd:
        return Result((None,) * 4)
    with contextlib.ExitStack() as stack:
        stage = Stage(stack, bench, [(KINDS[to], "well")])
        stage.publishers[0].register(stage.loop)
        stage.server.settle()
        stage.paced(0.5)  # credentials, connections
        cost, rate, missing = stage.run(bench)
        latencies = stage.paced(bench.seconds)
        return Result(
            (cost, rate, latency(latencies, 0.5), latency(latencies, 0.99)),
            f"{missing} pushes missing" if missing else "",
        )


def measure_outbox(bench: Bench, kind: type[Server]) -> Result:
    """The same without a provider, with KB for each registration and each push that waits."""
    if kind is not Pushd:
        return Result((None,) * 6)
    with contextlib.ExitStack() as stack:
        stage = Stage(stack, bench, [(FCM, "absent")])
        publisher = stage.publishers[0]
        stage.server.settle()
        memory = [stage.server.memory()]
        publisher.register(stage.loop)
        stage.server.settle()
        memory.append(stage.server.memory())
        cost, rate, _ = stage.run(bench)
        memory.append(stage.server.memory())
        latencies = stage.paced(bench.seconds)
        grown = [
            (after - before) / publisher.count / 1e3 for before, after in itertools.pairwise(memory)
        ]
        return Result((cost, rate, latency(latencies, 0.5), latency(latencies, 0.99), *grown))


def measure_stalled(bench: Bench, kind: type[Server]) -> Result:
    """A healthy provider alone, and beside one that answers nothing."""
    if kind is not Pushd:
        return Result((None,) * 6)
    with contextlib.ExitStack() as stack:
        stage = Stage(stack, bench, [(FCM, "well"), (FCM, "stalled")])
        for publisher in stage.publishers:
            publisher.register(stage.loop)
        stage.paced(0.5)
        values: list[float | None] = []
        missing = 0
        for is_beside in (False, True):
            if is_beside:
                stage.publishers[1].all_at_once(stage.loop)
            latencies = stage.paced(bench.seconds)
            _, rate, lost = stage.run(bench)
            missing += lost
            values += [latency(latencies, 0.5), latency(latencies, 0.99), rate]
        return Result(values, f"{missing} pushes missing" if missing else "")


def measure_mix(bench: Bench, kind: type[Server]) -> Result:
    """Healthy providers of several kinds, alone and beside one that answers nothing."""
    if kind is not Pushd:
        return Result((None,) * 4)
    with contextlib.ExitStack() as stack:
        kinds = [*((one, "well") for one in MIX), (FCM, "stalled")]
        stage = Stage(stack, bench, kinds, DEVICES // len(MIX))
        *well, stalled = stage.publishers
        for publisher in stage.publishers:
            publisher.register(stage.loop)
        stage.server.settle()
        values: list[float | None] = []
        missing = 0
        stage.all_of(well)  # credentials, connections
        for is_beside in (False, True):
            if is_beside:
                stalled.all_at_once(stage.loop)
            with bench.measuring(stage.server) as span:
                rate, lost = stage.all_of(well)
            missing += lost
            values += [span.cost / sum(one.count for one in well) * 1e6, rate]
        return Result(values, f"{missing} pushes missing" if missing else "")


def _scenario(to: str, what: str, budget: float) -> Scenario:
    return Scenario(
        f"gateway-{to}",
        (
            Line(f"publish to {what}", "CPU µs", Budget(most=budget)),
            Line(f"publish to {what}: rate", "1/s"),
            Line(f"publish to {what}: p50", "ms", digits=2),
            Line(f"publish to {what}: p99", "ms", digits=2),
        ),
        lambda bench, server: measure(bench, server, to),
    )


SCENARIOS = (
    Scenario(
        "gateway-outbox",
        (
            Line("publish to outbox", "CPU µs", Budget(most=125)),  # 8,000 a second and core
            Line("publish to outbox: rate", "1/s"),
            Line("publish to outbox: p50", "ms", digits=2),
            Line("publish to outbox: p99", "ms", digits=2),
            Line("registration", "KB", digits=1),
            Line("push that waits", "KB", digits=1),
        ),
        measure_outbox,
    ),
    # A quarter of what Sygnal needs, but for HTTP/1.1: 1,200 a second and core.
    _scenario("fcm", "FCM, HTTP/1.1", 833),
    _scenario("fcm-h2", "FCM, HTTP/2", 278),
    _scenario("apns", "APNs", 233),
    # What is sealed costs two keys and three hashes more (RFC 8291): 1,300 a second and core.
    _scenario("webpush", "Web Push", 769),
    _scenario("unifiedpush", "UnifiedPush", 769),
    _scenario("webhook", "webhook", 278),
    _scenario("ubuntu", "Ubuntu Push", 278),
    _scenario("wns", "WNS", 278),
    Scenario(
        "gateway-stalled",
        (
            Line("publish to FCM, nobody else: p50", "ms", digits=2),
            Line("publish to FCM, nobody else: p99", "ms", digits=2),
            Line("publish to FCM, nobody else: rate", "1/s"),
            Line("publish to FCM, another provider stalled: p50", "ms", digits=2),
            Line("publish to FCM, another provider stalled: p99", "ms", digits=2),
            Line("publish to FCM, another provider stalled: rate", "1/s"),
        ),
        measure_stalled,
    ),
    Scenario(
        "gateway-mix",
        (
            Line("publish to four providers", "CPU µs"),
            Line("publish to four providers: rate", "1/s"),
            Line("publish to four providers, another stalled", "CPU µs"),
            Line("publish to four providers, another stalled: rate", "1/s"),
        ),
        measure_mix,
    ),
)


def _url(stand_in: StandIn | None) -> str:
    return stand_in.base_url if stand_in is not None else NOWHERE


def _host(place: int) -> str:
    return f"push{place}.{DOMAIN}"


def _elsewhere(place: int) -> str:
    return f"elsewhere{place}.example"
