"""Resumption (XEP-0198 §5): connections of chatting clients are cut, and then all are back.

Two hundred pairs chat in both directions. While messages are under way, one client of each
pair loses its connection by RST; the other goes on, so that about 30 messages wait for it.
What is measured is the return of all: connection, authentication, resumption, what waited,
and its acknowledgement. Clients send again what the server has not counted.
"""

import contextlib

from benchmarks.accounts import PEOPLE
from benchmarks.clients import Chatter, Faults, LoadError, pairs
from benchmarks.load import PATIENCE, Loop
from benchmarks.login import Login, Session, Way, cut, together
from benchmarks.processes import Server
from benchmarks.scenario import Bench, Budget, Line, Result, Scenario, sessions

COUNT = 200
BEFORE = 10  # messages of each client before the cut
AWAY = 25  # messages to each client while it is away
SIZE = 390


def measure(bench: Bench, kind: type[Server]) -> Result:
    """CPU µs per resumption with what waited, resumptions a second, messages that waited."""
    count = bench.some(COUNT)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(bench.server(kind))
        found = sessions(stack, server, PEOPLE.names()[: 2 * count], Way())
        clients = pairs(found, SIZE, managed=True)
        loop = Loop(clients)
        stack.callback(loop.close)
        gone, others = clients[::2], clients[1::2]
        _cut_under_load(loop, gone)
        _say(loop, others, AWAY)
        if not loop.acknowledged():
            raise LoadError("messages to those who are away are not acknowledged")
        server.settle()
        waited = sum(client.awaits() for client in gone) / count
        with bench.measuring(server) as span:
            for client, (session, handled) in zip(
                gone, together(lambda client: _resume(server, client), gone), strict=True
            ):
                client.come_back(session, handled)
                loop.add(client)
            loop.turn(PATIENCE, done=lambda: not any(client.awaits() for client in clients))
        loop.finish()
        return Result(
            (span.cost / count * 1e6, count / span.seconds, waited), str(Faults.of(clients))
        )


def _say(loop: Loop, clients: list[Chatter], count: int) -> None:
    for client in clients:
        client.say(count, 0.0)
        loop.flush(client)


def _cut_under_load(loop: Loop, gone: list[Chatter]) -> None:
    """Cut the connections of these when about half of what all have said has come."""
    everybody = [client for client in loop.clients if isinstance(client, Chatter)]
    _say(loop, everybody, BEFORE)
    half = len(everybody) * BEFORE // 2
    loop.turn(
        PATIENCE,
        done=lambda: sum(client.expected for client in everybody) >= half,
    )
    for client in gone:
        loop.remove(client)
        cut(client.socket)


def _resume(server: Server, client: Chatter) -> tuple[Session, int]:
    return Login(server.port, client.user).resume(client.token, client.stanzas_received)


SCENARIOS = (
    Scenario(
        "resume",
        (
            Line("resumption with what waits", "CPU µs", Budget(ratio=0.4)),
            Line("resumption: rate", "1/s"),
            Line("resumption: messages that wait for each", "count", digits=1),
        ),
        measure,
    ),
)
