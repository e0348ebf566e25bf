"""Start-up after SIGKILL: from the start of the process until a login is bound, then at rest."""

import statistics
import time

from benchmarks.accounts import PEOPLE
from benchmarks.login import Login, LoginError, Way, log_in
from benchmarks.processes import START, Server, ServerError
from benchmarks.scenario import Bench, Budget, Line, Result, Scenario

RUNS = 3
REST = 5.0  # seconds
BETWEEN = 0.005  # seconds between attempts to log in


def measure(bench: Bench, kind: type[Server]) -> Result:
    """Seconds to the first login, MB and CPU seconds used after five more."""
    names = PEOPLE.names()
    runs = []
    with bench.server(kind) as server:
        for _ in range(1 if bench.is_quick else RUNS):
            for session in log_in(server.port, names[:20], Way()):
                session.socket.close()
            server.kill()
            runs.append(_start(server, names[0]))
    return Result([statistics.median(values) for values in zip(*runs, strict=True)])


def _start(server: Server, user: str) -> tuple[float, float, float]:
    began = time.perf_counter()
    server.launch()
    while True:
        try:
            Login(server.port, user).bound()
            break
        except (OSError, LoginError):
            if time.perf_counter() - began > START or not server.is_running:
                raise ServerError(f"{server.name} lets nobody in: {server.said()}") from None
            time.sleep(BETWEEN)
    seconds = time.perf_counter() - began
    time.sleep(REST)
    server.look_around()
    return seconds, server.memory() / 1e6, server.cost()


SCENARIOS = (
    Scenario(
        "start",
        (
            Line("start to the first login bound", "s", Budget(most=1.0), 2),
            Line("memory at rest", "MB", Budget(most=60), 1),
            Line("CPU used until then", "s", digits=2),
        ),
        measure,
    ),
)
