"""The table of what was measured: a line for each figure, a column for each server."""

import json
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.scenario import Line, Result, Scenario

BASE = "ejabberd"  # whom the budgets compare with
OURS = "pushd"
FIRST, LAST = ".. figures begin", ".. figures end"


@dataclass(frozen=True)
class Row:
    """A scenario's results by server; a text is why there is none."""

    scenario: Scenario
    results: Mapping[str, Result | str]

    def value(self, server: str, place: int) -> float | None:
        """The figure of a line, if it was measured."""
        result = self.results.get(server)
        return result.values[place] if isinstance(result, Result) else None

    def ratio(self, place: int) -> float | None:
        """What pushd needs, compared with ejabberd."""
        ours, base = self.value(OURS, place), self.value(BASE, place)
        return ours / base if ours is not None and base else None

    def is_sound(self, server: str) -> bool:
        """Whether the server was measured, and no stanza met a fault."""
        result = self.results.get(server)
        return isinstance(result, Result) and not result.faults


def table(rows: Sequence[Row], servers: Sequence[str]) -> str:
    """The figures as a table of reStructuredText, and below it what went wrong."""
    head = ("what", "unit", *servers, "ratio", "budget")
    lines = [head, *(cells for row in rows for cells in _cells(row, servers))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    rule = "  ".join("=" * width for width in widths)
    body = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    text = "\n".join([rule, body[0], rule, *body[1:], rule])
    faults = list(_faults(rows))
    return "\n".join([text, "", *faults]) if faults else text


def _cells(row: Row, servers: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for place, line in enumerate(row.scenario.lines):
        ratio = row.ratio(place)
        yield (
            line.label,
            line.unit,
            *(_figure(row, server, place) for server in servers),
            f"{ratio:.2f}" if ratio is not None else "-",
            _verdict(line, row.value(OURS, place), ratio),
        )


def _figure(row: Row, server: str, place: int) -> str:
    value = row.value(server, place)
    if value is None:
        return "failed" if isinstance(row.results.get(server), str) else "-"
    return f"{value:.{row.scenario.lines[place].digits}f}{'' if row.is_sound(server) else ' (!)'}"


def _verdict(line: Line, value: float | None, ratio: float | None) -> str:
    if line.budget is None:
        return "-"
    limits = (
        f"{line.budget.ratio:.2f}" if line.budget.ratio is not None else "",
        f"{line.budget.most:g} {line.unit}" if line.budget.most is not None else "",
    )
    kept = None if value is None else line.budget.is_kept(value, ratio)
    return ", ".join(filter(None, limits)) + {True: "", False: " missed", None: " ?"}[kept]


def _faults(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        for server, result in row.results.items():
            why = result if isinstance(result, str) else result.faults
            if why:
                yield f"- {row.scenario.name}, {server}: {' '.join(why.split())[:300]}"


def about(versions: Mapping[str, str], options: str) -> str:
    """What the figures are of."""
    names = ", ".join(f"{name} {version}" for name, version in versions.items())
    day = time.strftime("%d %B %Y", time.gmtime())
    return (
        f"{day}, {os.cpu_count()} cores, Python {platform.python_version()}; {names}; "
        f"``python -m benchmarks{options}``."
    )


def as_json(rows: Sequence[Row], versions: Mapping[str, str]) -> str:
    """The same for programs: every figure with its ratio and what went wrong."""
    figures = [
        {
            "scenario": row.scenario.name,
            "label": line.label,
            "unit": line.unit,
            "values": {server: row.value(server, place) for server in row.results},
            "faults": {
                server: result if isinstance(result, str) else result.faults
                for server, result in row.results.items()
            },
            "ratio": row.ratio(place),
            "budget": line.budget and {"ratio": line.budget.ratio, "most": line.budget.most},
        }
        for row in rows
        for place, line in enumerate(row.scenario.lines)
    ]
    told = {"at": time.time(), "versions": dict(versions), "figures": figures}
    return json.dumps(told, indent=1, ensure_ascii=False)


def replace_figures(file: Path, text: str) -> None:
    """Put the text between the two marks of a page. Raises ValueError when they are not there."""
    page = file.read_text()
    before, begin, rest = page.partition(f"{FIRST}\n")
    _, end, after = rest.partition(f"{LAST}\n")
    if not begin or not end:
        raise ValueError(f"{file} has no place between {FIRST!r} and {LAST!r}")
    file.write_text(f"{before}{begin}\n{text}\n\n{end}{after}")
