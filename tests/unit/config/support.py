"""What tests of kinds share: one value, read by itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pushd.config.document import parse
from pushd.config.kinds import Faulty, Kind, Reading
from pushd.config.problems import Report


def value_of(
    kind: Kind, yaml: str, folder: Path = Path("/nowhere"), environment: Mapping[str, str] = {}
) -> Any:
    """What `kind` makes of a value in YAML, or the text of its refusal."""
    report = Report()
    node = parse(f"x: {yaml}", "pushd.yml", report).at("x")
    try:
        value = kind.read(node, Reading(report, folder, environment, {}, {}))
    except Faulty:
        (problem,) = report.problems
        return str(problem)
    assert report.problems == []
    return value


def is_refused(kind: Kind, yaml: str) -> bool:
    return isinstance(value := value_of(kind, yaml), str) and "; expected " in value
