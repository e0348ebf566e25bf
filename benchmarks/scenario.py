"""What a scenario is, and the bench on which it is measured."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.accounts import PEOPLE, Population
from benchmarks.login import Session, Way, log_in
from benchmarks.processes import Server, copy_folder
from benchmarks.profiled import START_SIGNAL, STOP_SIGNAL, send, summary

SUMMARY = 30  # functions of a profile that are shown


@dataclass(frozen=True)
class Budget:
    """What pushd may need: at most `ratio` of what ejabberd does, at most `most`, or both."""

    ratio: float | None = None
    most: float | None = None

    def is_kept(self, value: float, ratio: float | None) -> bool | None:
        """None when it cannot be told, as ejabberd was not measured."""
        if self.ratio is not None and ratio is None:
            return None
        return (self.ratio is None or (ratio or 0.0) <= self.ratio) and (
            self.most is None or value <= self.most
        )


@dataclass(frozen=True)
class Line:
    """One figure of a scenario: a line of the table."""

    label: str
    unit: str
    budget: Budget | None = None
    digits: int = 0


@dataclass(frozen=True)
class Result:
    """The figures of one run in the order of the scenario's lines; None is not measured.

    `faults` says what went wrong with stanzas: nothing may, or the figures count for nothing.
    """

    values: Sequence[float | None]
    faults: str = ""


@dataclass
class Span:
    """What was used between two instants: seconds of the server's CPU, of our own, of time."""

    cost: float = 0.0
    own: float = 0.0
    seconds: float = 0.0


@dataclass
class Bench:
    """Where servers are started and measured, each on a core of its own.

    `seconds` says how long something is measured that could go on for ever, after as much
    of it as `warm_up` says.
    """

    folder: Path
    seconds: float = 5.0
    warm_up: float = 1.5
    is_quick: bool = False
    profile: bool = False
    server_core: int = 0
    _templates: dict[tuple[str, Population], Path] = field(default_factory=dict)

    def some(self, count: int) -> int:
        """`count`, or a third of it when things have to be quick."""
        return max(1, count // 3) if self.is_quick else count

    @contextlib.contextmanager
    def server(
        self,
        kind: type[Server],
        population: Population = PEOPLE,
        *,
        tls: bool = False,
        components: Sequence[str] = (),
        make: Callable[..., Server] | None = None,
    ) -> Iterator[Server]:
        """A fresh server with these accounts, which runs and then has ended.

        `make` makes it instead of `kind`, whose accounts it has.
        """
        folder = self.folder / "run" / kind.name
        copy_folder(self._template(kind, population), folder)
        made, profiler = make or kind, self._profiler(kind)
        server = made(folder, self.server_core, tls=tls, profiler=profiler)
        server.components = components
        with server:
            yield server

    @contextlib.contextmanager
    def measuring(self, server: Server, *, settle: bool = True) -> Iterator[Span]:
        """Fill the span with what is used inside; with `settle` until the server is idle again."""
        if server.profiler:
            send(server.pids, START_SIGNAL)
        span = Span()
        cost, own, began = server.cost(), time.process_time(), time.perf_counter()
        yield span
        span.seconds = time.perf_counter() - began
        span.own = time.process_time() - own
        if settle:
            server.settle()
        span.cost = server.cost() - cost
        if server.profiler:
            send(server.pids, STOP_SIGNAL)
            print(summary(self._profile_file, SUMMARY), file=sys.stderr)

    def _template(self, kind: type[Server], population: Population) -> Path:
        key = (kind.name, population)
        if key not in self._templates:
            folder = self.folder / f"accounts-{len(self._templates)}"
            folder.mkdir()
            kind(folder, self.server_core, tls=False).populate(population)
            self._templates[key] = folder
        return self._templates[key]

    def _profiler(self, kind: type[Server]) -> Sequence[str]:
        if not self.profile or kind.name != "pushd":
            return ()
        return (sys.executable, "-m", "benchmarks.profiled", str(self._profile_file))

    @property
    def _profile_file(self) -> Path:
        return self.folder / "profile"


@dataclass(frozen=True)
class Scenario:
    """Something to measure: `run` gives what the lines ask for, of one server."""

    name: str
    lines: Sequence[Line]
    run: Callable[[Bench, type[Server]], Result]


def sessions(
    stack: contextlib.ExitStack, server: Server, users: Sequence[str], way: Way
) -> list[Session]:
    """Sessions of these users, whose sockets are closed with the stack."""
    found = log_in(server.port, users, way)
    for session in found:
        stack.callback(session.socket.close)
    return found
