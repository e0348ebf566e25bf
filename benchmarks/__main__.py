"""What the server costs beside two others, on this machine and in one run.

    python -m benchmarks                          everything, within twenty minutes
    python -m benchmarks --quick                  the same with smaller loads
    python -m benchmarks --only 'w*,detached'     some scenarios (--list names them)
    python -m benchmarks --servers pushd --only presence --profile

Servers are pinned to one core, the load to another. Each scenario has a fresh process with
data of its own, on loopback and a free port; all that was started is ended.
"""

import argparse
import fnmatch
import os
import re
import resource
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import (
    attached,
    detached,
    federation,
    gateway,
    logins,
    memory,
    presence,
    pushing,
    resumption,
    routing,
    startup,
)
from benchmarks.clients import LoadError
from benchmarks.login import LoginError
from benchmarks.processes import ServerError
from benchmarks.report import OURS, Row, about, as_json, replace_figures, table
from benchmarks.scenario import Bench, Result, Scenario
from benchmarks.servers import SERVERS

SCENARIOS: Sequence[Scenario] = [
    scenario
    for module in (
        routing,
        logins,
        resumption,
        presence,
        detached,
        pushing,
        federation,
        gateway,
        memory,
        startup,
        attached,
    )
    for scenario in module.SCENARIOS
]
FILES = 8_192  # that the load and each server may have open


def names_of(text: str) -> list[str]:
    """Servers by name; raises what argparse expects."""
    names = text.split(",")
    if unknown := [name for name in names if name not in SERVERS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(SERVERS)}")
    return names


def scenarios_of(text: str) -> list[Scenario]:
    """Scenarios whose name one of the patterns fits; raises what argparse expects."""
    found = []
    for pattern in text.split(","):
        fitting = [one for one in SCENARIOS if fnmatch.fnmatch(one.name, pattern)]
        if not fitting:
            raise argparse.ArgumentTypeError(f"{pattern}: no such scenario, see --list")
        found += [one for one in fitting if one not in found]
    return found


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    """What the command line asks for, within bounds."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    installed = [name for name, server in SERVERS.items() if server.is_installed()]
    add = parser.add_argument
    add("--servers", type=names_of, default=installed, help="of " + ",".join(SERVERS))
    add("--only", type=scenarios_of, default=SCENARIOS, help="names or patterns of scenarios")
    add("--quick", action="store_true", help="shorter, with fewer sessions")
    add("--seconds", type=float, help="to measure what could go on (5, or 2 with --quick)")
    add("--minutes", type=float, help="for all of it (20, or 10 with --quick)")
    add("--profile", action="store_true", help="a cProfile of pushd, while it is measured")
    add("--json", type=Path, metavar="FILE", help="write the figures there as well")
    add("--rst", type=Path, metavar="FILE", help="put them between the marks of a page")
    add("--list", action="store_true", help="name the scenarios, and do nothing")
    add("--server-core", type=int, default=0)
    add("--load-core", type=int, default=1)
    options = parser.parse_args(arguments)
    if options.seconds is None:
        options.seconds = 2.0 if options.quick else 5.0
    if options.minutes is None:
        options.minutes = 10.0 if options.quick else 20.0
    if not 0.5 <= options.seconds <= 300:
        parser.error("--seconds is between 0.5 and 300")
    return options


def asked(arguments: Sequence[str]) -> str:
    """The options that say what was measured, and not where it is written."""
    words = shlex.join(arguments)
    return re.sub(r"(^| )--(?:rst|json)[= ](?:'[^']*'|\S+)", "", f" {words}" if words else "")


def measure(
    bench: Bench, scenarios: Sequence[Scenario], servers: Sequence[str], minutes: float
) -> list[Row]:
    """Every scenario on every server; one that fails is told, and the next one goes on.

    None is begun in the last minute, or after it.
    """
    rows = []
    until = time.monotonic() + 60 * (minutes - 1)
    for scenario in scenarios:
        results: dict[str, Result | str] = {}
        for name in servers:
            began = time.monotonic()
            if began > until:
                results[name] = "the time was up"
                continue
            try:
                results[name] = scenario.run(bench, SERVERS[name])
            except (LoadError, LoginError, ServerError, OSError) as error:
                results[name] = f"{type(error).__name__}: {error}"
            took = time.monotonic() - began
            print(f"{scenario.name}, {name}: {took:.0f} s, {results[name]}", file=sys.stderr)
        rows.append(Row(scenario, results))
    return rows


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for, print the table; 1 when pushd failed or a stanza met a fault."""
    options = parse_options(arguments)
    if options.list:
        for scenario in SCENARIOS:
            print(f"{scenario.name:14} {', '.join(line.label for line in scenario.lines)}")
        return 0
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most != resource.RLIM_INFINITY and most < FILES:
        print(f"only {most} files may be open; {FILES} are needed", file=sys.stderr)
        return 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, most))
    os.sched_setaffinity(0, {options.load_core})
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="pushd-benchmark-") as folder:
        bench = Bench(
            Path(folder),
            seconds=options.seconds,
            warm_up=0.5 if options.quick else 1.5,
            is_quick=options.quick,
            profile=options.profile,
            server_core=options.server_core,
        )
        rows = measure(bench, options.only, options.servers, options.minutes)
    versions = {name: SERVERS[name].version() for name in options.servers}
    text = f"{about(versions, asked(arguments))}\n\n{table(rows, options.servers)}"
    print(text)
    if options.json:
        options.json.write_text(as_json(rows, versions))
    if options.rst:
        replace_figures(options.rst, text)
    return int(OURS in options.servers and not all(row.is_sound(OURS) for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
