"""Writes the third column of docs/checklist.rst: `python docs/checklist.py`.

With numbers it prints the tests of those lines instead, to be run:
`python docs/checklist.py 43 M7 | xargs pytest`.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).with_name("checklist.rst")
LINES = [str(number) for number in range(1, 151)]
MISTAKES = [f"M{number}" for number in range(1, 23)]
MARKS = {"pytest.mark.line": "", "pytest.mark.mistake": "M"}
SHOWN = 3  # tests of a line; scenarios first
ROW = re.compile(
    r"^   \* - (M?\d+)\n     - (.*?)\n     - (.*?)\n(?=   \* - |\n|\Z)", re.DOTALL | re.M
)

Marked = Mapping[str, list[str]]


def marked() -> Marked:
    """The tests of each line, as pytest names them, found by reading `tests/`."""
    found: dict[str, list[str]] = {}
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    for file in sorted(files, key=lambda file: "scenarios" not in file.parts):
        name = file.relative_to(ROOT).as_posix()
        text = file.read_text(encoding="utf-8")
        if any(mark in text for mark in MARKS):
            for test, numbers in marks_in(ast.parse(text).body):
                for number in numbers:
                    found.setdefault(number, []).append(f"{name}::{test}")
    return found


def marks_in(
    body: Iterable[ast.stmt], path: str = "", inherited: frozenset[str] = frozenset()
) -> Iterator[tuple[str, frozenset[str]]]:
    """Each test in a module or a class, with the numbers that it and its class carry."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            numbers = inherited | _numbers(node.decorator_list)
            if isinstance(node, ast.ClassDef):
                yield from marks_in(node.body, f"{path}{node.name}::", numbers)
            elif node.name.startswith("test"):
                yield f"{path}{node.name}", numbers


def _numbers(decorators: Iterable[ast.expr]) -> frozenset[str]:
    """The arguments of `pytest.mark.line(...)` and its like, of a case in `parametrize` too."""
    return frozenset(
        f"{MARKS[mark]}{ast.literal_eval(argument)}"
        for decorator in decorators
        for call in ast.walk(decorator)
        if isinstance(call, ast.Call) and (mark := ast.unparse(call.func)) in MARKS
        for argument in call.args
    )


def rows(page: str) -> dict[str, tuple[str, list[str]]]:
    """What the page says of each line, and the tests that it names."""
    return {
        number: (" ".join(said.split()), re.findall(r"``([^`]+)``", tests))
        for number, said, tests in ROW.findall(page)
    }


def written(page: str, tests: Marked) -> str:
    """The page with the tests that there are."""

    def row(match: re.Match[str]) -> str:
        number, said = match[1], match[2]
        named = [f"``{test}``" for test in tests.get(number, ())[:SHOWN]]
        none = "none" if said.startswith("Not yet") else "open"
        column = "\n       ".join(named) if named else none
        return f"   * - {number}\n     - {said}\n     - {column}\n"

    return ROW.sub(row, page)


if __name__ == "__main__":
    if sys.argv[1:]:
        everywhere = marked()
        wanted = {test for number in sys.argv[1:] for test in everywhere.get(number, ())}
        print("\n".join(sorted(wanted)))  # noqa: T201
    else:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), marked()), encoding="utf-8")
