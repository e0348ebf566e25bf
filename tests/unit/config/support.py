"""What these tests share: what begins a configuration, its mistakes, and one value by itself."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pushd.config.document import parse
from pushd.config.kinds import Faulty, Kind, Reading
from pushd.config.problems import ConfigErrors, Problem, Report

HEAD = "domains: [localhost]\ndata: .\nlisten: {client: [], client_tls: []}\n"
HOSTS = "register_host: localhost, pubsub_host: push.localhost"


def problems_in(reading: Callable[..., object], *given: Any) -> list[Problem]:
    """Why a configuration is refused."""
    with pytest.raises(ConfigErrors) as caught:
        reading(*given)
    return list(caught.value.problems)


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
