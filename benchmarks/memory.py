"""What an idle session holds in memory: the growth of a freshly started server's RSS."""

import contextlib
from functools import partial

from benchmarks.accounts import ONLINE, PEOPLE
from benchmarks.login import Way
from benchmarks.processes import Server
from benchmarks.scenario import Bench, Budget, Line, Result, Scenario, sessions

FIRST = 10  # sessions with which the server gets what it loads on demand


def measure(bench: Bench, kind: type[Server], way: Way) -> Result:
    """KB per session."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(bench.server(kind, tls=way.tls))
        names = PEOPLE.names()
        sessions(stack, server, names[ONLINE : ONLINE + FIRST], way)
        server.settle()
        before = server.memory()
        sessions(stack, server, names[:ONLINE], way)
        server.settle()
        return Result(((server.memory() - before) / ONLINE / 1e3,))


SCENARIOS = (
    Scenario(
        "memory",
        (Line("idle session + SM", "KB", Budget(most=20), 1),),
        partial(measure, way=Way()),
    ),
    Scenario(
        "memory-tls",
        (Line("idle session + SM + TLS", "KB", Budget(most=45), 1),),
        partial(measure, way=Way(tls=True)),
    ),
)
