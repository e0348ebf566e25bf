"""What a start imports, whatever the configuration: no more than each server needs.

Rooms that are for one kind of server, and large libraries, are imported where that is known.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIRST = ("pushd.cli.twistd", "pushd.cli.starting", "pushd.service")
APART = (
    *("pushd.admin.metrics", "pushd.admin.web", "pushd.c2s.door", "pushd.components.attachment"),
    *("pushd.net.client", "pushd.net.mutual", "pushd.net.srv", "pushd.s2s.peers"),
    *("pushd.modules.push", "pushd.modules.roster", "pushd.providers.apns", "pushd.client"),
    *("pushd.simulators", "pushd.wiring.federation", "pushd.cli.development"),
    *("pushd.cli.reaching", "difflib", "importlib.metadata"),
    *("h2", "jwt", "prometheus_client", "treq", "twisted.names", "twisted.web", "wokkel"),
)


def at_once(tree: ast.AST) -> Iterator[str]:
    """The modules, and names in modules, that a file imports when it is imported itself."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.FunctionDef():
                pass
            case ast.AsyncFunctionDef():
                pass
            case _:
                yield from at_once(node)


def file_of(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split("."))
    return next(
        (one for one in (path.with_suffix(".py"), path / "__init__.py") if one.exists()), None
    )


@cache
def imported() -> frozenset[str]:
    """All that comes along, by names as they are imported."""
    found: set[str] = set()
    waiting = list(FIRST)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        file = file_of(name)
        if file is None:  # somebody else's, or a name in a module of ours
            if name.startswith("pushd."):
                waiting.append(name.rpartition(".")[0])
            continue
        waiting += at_once(ast.parse(file.read_text()))
    return frozenset(found)


@pytest.mark.parametrize("name", APART)
def test_this_is_imported_where_it_is_needed(name: str) -> None:
    assert not [one for one in imported() if one == name or one.startswith(f"{name}.")]


def test_what_all_need_is_there() -> None:
    """Else the above would find nothing, whatever was imported."""
    assert {"pushd.routing.router", "pushd.appserver.outbox", "pushd.s2s.kept"} <= imported()
