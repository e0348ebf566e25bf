"""What is wrong with a configuration, and where: one report of everything found."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple


class Mark(NamedTuple):
    """A place in the configuration file, both counted from 1; line 0 is the file as a whole."""

    line: int
    column: int


WHOLE_FILE = Mark(0, 0)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A mistake: its dotted key, what stands there, and what would be right.

    Neither text ever contains the value of a secret.
    """

    line: int
    column: int
    key: str
    found: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.line}:{self.column}: " if self.line else ""
        key = f"{self.key}: " if self.key else ""
        return f"{place}{key}found {self.found}; expected {self.remedy}"


@dataclass(frozen=True, slots=True, order=True)
class Caution:
    """What an operator should know, though the server starts with it."""

    line: int
    column: int
    key: str
    text: str

    def __str__(self) -> str:
        place = f"{self.line}:{self.column}: " if self.line else ""
        key = f"{self.key}: " if self.key else ""
        return f"{place}{key}warning: {self.text}"


class ConfigErrors(Exception):
    """Every problem of a configuration, in the order of its lines; prints one a line.

    `values` are the sections that can be used all the same, as far as it was read.
    """

    def __init__(
        self,
        path: str,
        problems: Iterable[Problem],
        values: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.path = path
        self.problems = sorted(problems)
        self.values = values
        super().__init__(path, self.problems)

    def __str__(self) -> str:
        return "\n".join(f"{self.path}:{' ' * (not p.line)}{p}" for p in self.problems)


class Report:
    """Gathers problems and cautions while a configuration is read."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.cautions: list[Caution] = []

    def refuse(self, mark: Mark, key: str, found: str, remedy: str) -> None:
        self.problems.append(Problem(mark.line, mark.column, key, found, remedy))

    def warn(self, mark: Mark, key: str, text: str) -> None:
        self.cautions.append(Caution(mark.line, mark.column, key, text))
