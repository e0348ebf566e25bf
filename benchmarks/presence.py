"""Presence: one user's changes, told to 200 contacts and itself, all of them online.

The next change is made when all have seen the one before. Rosters are in the servers'
stores before they start.
"""

import contextlib
import time
from functools import partial

from benchmarks.accounts import STAR, Population
from benchmarks.clients import Client, Faults, LoadError, Star
from benchmarks.load import Loop
from benchmarks.login import Way
from benchmarks.processes import Server
from benchmarks.routing import latency
from benchmarks.scenario import Bench, Budget, Line, Result, Scenario, sessions

COUNT = 200
FANS = Population(contacts=COUNT)


def measure(bench: Bench, kind: type[Server], managed: bool) -> Result:
    """CPU µs per presence delivered; p50 and p99 of the ms until the last one has it."""
    way = Way(managed=managed)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(bench.server(kind, FANS))
        found = sessions(stack, server, FANS.fans(), way)
        star = Star(sessions(stack, server, [STAR], way)[0], managed=managed)
        fans = [Client(session, managed=managed) for session in found]
        for fan in fans:
            fan.hears = star.sent_at
        loop = Loop([star, *fans])
        stack.callback(loop.close)
        waiting = 0

        def announce(now: float) -> None:
            nonlocal waiting
            waiting += COUNT + 1
            star.announce(now)
            loop.flush(star)

        def heard(client: Client, count: int, now: float) -> None:
            nonlocal waiting
            waiting -= count
            if not waiting:
                times.append(now - star.sent_at[-1])
                announce(now)

        times: list[float] = []
        server.settle()
        loop.turn(0.5)
        announce(time.perf_counter())
        loop.turn(bench.warm_up, heard)
        times.clear()
        with bench.measuring(server, settle=False) as span:
            delivered = loop.turn(bench.seconds, heard)
        loop.finish()
        if not times:
            raise LoadError("no presence reached everybody while measuring")
        times.sort()
        cost = span.cost / delivered * 1e6
        faults = str(Faults.of(loop.clients))
        return Result((cost, latency(times, 0.5), latency(times, 0.99)), faults)


def _scenario(name: str, label: str, *, managed: bool) -> Scenario:
    return Scenario(
        name,
        (
            Line(label, "CPU µs", Budget(ratio=0.4)),
            Line(f"{label}: p50 to the last", "ms", digits=1),
            Line(f"{label}: p99", "ms", digits=1),
        ),
        partial(measure, managed=managed),
    )


SCENARIOS = (
    _scenario("presence", "presence to 200 + SM", managed=True),
    _scenario("presence-nosm", "presence to 200", managed=False),
)
