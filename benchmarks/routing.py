"""What a routed message costs: CPU of the server, and the time that the message takes.

    python -m benchmarks.routing --servers pushd,ejabberd,prosody --scenarios w50,w1 --seconds 10

Pairs of clients chat, in both directions, with a number of messages under way in each
that is never exceeded: 50 in w50, 1 in w1. There is stream management (XEP-0198) unless
the scenario's name ends in -nosm; w1-tls and the like run over TLS. The server has one
core for itself, the clients another. Each run has a fresh server process.
"""

import argparse
import contextlib
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import Load, LoadError, Measured, connect_pairs
from benchmarks.login import Login, LoginError
from benchmarks.servers import SERVERS, Server, ServerError


@dataclass(frozen=True)
class Scenario:
    """How the pairs chat."""

    window: int
    managed: bool = True
    tls: bool = False

    @classmethod
    def parse(cls, text: str) -> "Scenario":
        """Read `wN`, `wN-nosm`, `wN-tls`; raises ValueError."""
        window, *rest = text.lower().split("-")
        if not window.startswith("w") or not set(rest) <= {"nosm", "tls"}:
            raise ValueError(text)
        count = int(window[1:])
        if not 1 <= count <= 1000:
            raise ValueError(text)
        return cls(count, "nosm" not in rest, "tls" in rest)

    def __str__(self) -> str:
        parts = [f"W{self.window}", *(["SM"] * self.managed), *(["TLS"] * self.tls)]
        return " + ".join(parts)


@dataclass(frozen=True)
class Row:
    """The runs of one scenario on one server."""

    scenario: Scenario
    server: str
    runs: Sequence[Measured]

    @property
    def costs(self) -> list[float]:
        """CPU microseconds per message, of each run."""
        return [run.cost / run.messages * 1e6 for run in self.runs]

    @property
    def cost(self) -> float:
        return statistics.median(self.costs)


def measure(kind: type[Server], scenario: Scenario, options: argparse.Namespace) -> Measured:
    """One run, on a server that is started for it and ended after it."""
    users = [f"u{number:02}" for number in range(2 * options.pairs)]
    with contextlib.ExitStack() as stack:
        server = kind(Path(options.folder), options.server_core, tls=scenario.tls)
        stack.enter_context(server)
        server.add_accounts(users)
        sessions = [
            Login(server.port, user, tls=scenario.tls).session(managed=scenario.managed)
            for user in users
        ]
        clients = connect_pairs(sessions, options.size, managed=scenario.managed)
        load = Load(clients, scenario.window)
        stack.callback(load.close)
        return load.run(options.warm_up, options.seconds, server.cost)


def table(rows: Sequence[Row]) -> str:
    """The figures as a table of reStructuredText."""
    head = ("scenario", "server", "CPU µs", "ratio", "messages/s", "p50 ms", "p99 ms", "faults")
    lines = [head, *(tuple(cells(row, rows)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    rule = "  ".join("=" * width for width in widths)
    body = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([rule, body[0], rule, *body[1:], rule])


def cells(row: Row, rows: Sequence[Row]) -> Iterable[str]:
    yield str(row.scenario)
    yield row.server
    spread = f" [{min(row.costs):.0f}-{max(row.costs):.0f}]" if len(row.runs) > 1 else ""
    yield f"{row.cost:.0f}{spread}"
    same = [other for other in rows if other.scenario == row.scenario]
    base = next((other.cost for other in same if other.server == "ejabberd"), None)
    yield f"{row.cost / base:.2f}" if base else "-"
    yield f"{statistics.median(run.messages / run.seconds for run in row.runs):.0f}"
    yield f"{statistics.median(run.latency(0.5) for run in row.runs) * 1e3:.2f}"
    yield f"{statistics.median(run.latency(0.99) for run in row.runs) * 1e3:.2f}"
    yield str(sum(sum(vars(run.faults).values()) for run in row.runs))


def names_of(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in SERVERS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(SERVERS)}")
    return names


def scenarios_of(text: str) -> list[Scenario]:
    try:
        return [Scenario.parse(name) for name in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error} is no scenario like w50 or w1-tls") from None


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.routing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    installed = [name for name, server in SERVERS.items() if server.is_installed()]
    add = parser.add_argument
    add("--servers", type=names_of, default=installed, help="of " + ",".join(SERVERS))
    add("--scenarios", type=scenarios_of, default=scenarios_of("w50,w1"))
    add("--seconds", type=float, default=10.0, help="to measure for (10)")
    add("--warm-up", type=float, default=2.0, help="seconds before that (2)")
    add("--runs", type=int, default=1, help="of each scenario; the median is shown (1)")
    add("--pairs", type=int, default=10, help="of clients (10)")
    add("--size", type=int, default=390, help="bytes of a message (390)")
    add("--server-core", type=int, default=0)
    add("--load-core", type=int, default=1)
    options = parser.parse_args(arguments)
    if not 0 < options.seconds <= 300 or not 0 <= options.warm_up <= 60:
        parser.error("--seconds is at most 300, --warm-up at most 60")
    if not 1 <= options.pairs <= 200 or not 1 <= options.runs <= 20:
        parser.error("--pairs is at most 200, --runs at most 20")
    if not 350 <= options.size <= 9000:
        parser.error("--size is between 350 and 9000")
    return options


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for, print the table; 1 when a message met a fault."""
    options = parse_options(arguments)
    os.sched_setaffinity(0, {options.load_core})
    rows = []
    with tempfile.TemporaryDirectory(prefix="pushd-benchmark-") as options.folder:
        for scenario in options.scenarios:
            for name in options.servers:
                runs = []
                for number in range(options.runs):
                    print(f"{scenario}, {name}, run {number + 1}", file=sys.stderr, flush=True)
                    try:
                        runs.append(measure(SERVERS[name], scenario, options))
                    except (LoadError, LoginError, ServerError) as error:
                        print(f"{name}: {error}", file=sys.stderr)
                        return 1
                    if runs[-1].is_limited_by_load:
                        print("the generator was busy throughout: rates are its", file=sys.stderr)
                    if runs[-1].faults:
                        print(f"{scenario}, {name}: {runs[-1].faults}", file=sys.stderr)
                rows.append(Row(scenario, name, runs))
    print(table(rows))
    versions = [f"{name} {SERVERS[name].version()}" for name in options.servers]
    print(f"\n{', '.join(versions)}; Python {platform.python_version()}; {os.cpu_count()} cores")
    return int(any(run.faults for row in rows for run in row.runs))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
