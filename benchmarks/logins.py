"""Logins: connection, authentication, a resource, stream management, presence.

Each user logs in once, several at a time, and stays: what is measured ends when all have
seen their own presence and the server is idle. Passwords are stored hashed.
"""

import contextlib
from functools import partial

from benchmarks.accounts import PEOPLE
from benchmarks.login import Way, log_in
from benchmarks.processes import Server
from benchmarks.scenario import Bench, Budget, Line, Result, Scenario, sessions

WARM_UP = 20  # logins before those that count
COUNT = 600


def measure(bench: Bench, kind: type[Server], way: Way) -> Result:
    """CPU µs per login, logins a second."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(bench.server(kind, tls=way.tls))
        names = PEOPLE.names()
        count = bench.some(COUNT)
        sessions(stack, server, names[:WARM_UP], way)
        server.settle()
        with bench.measuring(server) as span:
            found = log_in(server.port, names[WARM_UP : WARM_UP + count], way)
        for session in found:
            stack.callback(session.socket.close)
        return Result((span.cost / count * 1e6, count / span.seconds))


def _scenario(name: str, label: str, way: Way, budget: Budget | None) -> Scenario:
    return Scenario(
        name,
        (Line(f"login, {label}", "CPU µs", budget), Line(f"login, {label}: rate", "1/s")),
        partial(measure, way=way),
    )


SCRAM = Way(roster=False)
SCENARIOS = (
    _scenario("login-nosm", "SCRAM-SHA-1", Way(managed=False, roster=False), Budget(ratio=0.6)),
    _scenario("login", "SCRAM-SHA-1 + SM", SCRAM, Budget(ratio=0.6)),
    _scenario(
        "login-tls", "SCRAM-SHA-1 + SM + TLS", Way(tls=True, roster=False), Budget(ratio=0.7)
    ),
    _scenario(
        "login-plain",
        "PLAIN + SM + TLS",
        Way(tls=True, roster=False, mechanism="PLAIN"),
        Budget(ratio=0.7),
    ),
)
