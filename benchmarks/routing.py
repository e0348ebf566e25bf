"""Routed messages: ten pairs chat in both directions, each client to the other's bare JID.

In W50 each direction has 50 messages under way, in W1 one; the next is written when one has
arrived. Paced, a thousand messages a second are written whatever becomes of them.
"""

import contextlib
import time
from itertools import cycle

from benchmarks.accounts import PEOPLE
from benchmarks.clients import Chatter, Client, Faults, LoadError, pairs
from benchmarks.load import Loop, Pace
from benchmarks.login import Way
from benchmarks.processes import Server
from benchmarks.scenario import Bench, Budget, Line, Result, Scenario, sessions

PAIRS = 10
SIZE = 390  # bytes of a message
RATE = 1_000  # messages a second, paced


def latency(latencies: list[float], share: float) -> float:
    """Within how many ms so many of the messages came; the latencies are in seconds, sorted."""
    return latencies[min(len(latencies) - 1, int(share * len(latencies)))] * 1e3


def measure(bench: Bench, kind: type[Server], window: int, way: Way) -> Result:
    """CPU µs per message, messages a second, p50 and p99 in ms. Window 0 is paced."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(bench.server(kind, tls=way.tls))
        users = PEOPLE.names()[: 2 * PAIRS]
        clients = pairs(sessions(stack, server, users, way), SIZE, managed=way.managed)
        loop = Loop(clients)
        stack.callback(loop.close)

        def say(client: Chatter, count: int, now: float) -> None:
            client.say(count, now)
            loop.flush(client)

        def refill(client: Client, count: int, now: float) -> None:
            assert isinstance(client, Chatter)
            say(client.peer, count, now)

        turns = cycle(clients)
        pace = None if window else Pace(RATE, lambda due: say(next(turns), 1, due))
        heard = refill if window else None
        for client in clients:
            say(client, window, time.perf_counter())
        loop.turn(bench.warm_up, heard, pace=pace)
        loop.latencies = type(loop.latencies)("d")
        with bench.measuring(server, settle=False) as span:
            count = loop.turn(bench.seconds, heard, pace=pace)
        latencies = sorted(loop.latencies)
        loop.finish()
        if not latencies:
            raise LoadError("no message arrived while measuring")
        values = (span.cost / count * 1e6, count / span.seconds)
        return Result(
            (*values, latency(latencies, 0.5), latency(latencies, 0.99)),
            str(Faults.of(clients)),
        )


def _scenario(window: int, way: Way, budget: Budget | None) -> Scenario:
    kind = f"W{window}" if window else f"paced {RATE}/s"
    also = " + SM" * way.managed + " + TLS" * way.tls
    name = (f"w{window}" if window else "paced") + "-nosm" * (not way.managed) + "-tls" * way.tls
    label = f"message, {kind}{also}"
    return Scenario(
        name,
        (
            Line(label, "CPU µs", budget),
            Line(f"{label}: rate", "1/s"),
            Line(f"{label}: p50", "ms", digits=2),
            Line(f"{label}: p99", "ms", digits=2),
        ),
        lambda bench, server: measure(bench, server, window, way),
    )


BUDGETS = {
    (50, False): Budget(ratio=0.25),
    (1, False): Budget(ratio=0.25),
    (1, True): Budget(ratio=0.33),
    (0, False): Budget(ratio=0.5),
}

SCENARIOS = tuple(
    _scenario(window, way, BUDGETS.get((window, way.tls)) if way.managed else None)
    for window in (50, 1, 0)
    for way in (Way(), Way(managed=False), Way(tls=True))
)
