"""Imports go down the floors, never up, never sideways.

Every import under pushd/ is read, also inside functions and for type checkers alone. An
offender is named by file and line.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]

FLOORS = {
    **dict.fromkeys(("service", "wiring", "measures", "cli", "__main__"), 5),
    **dict.fromkeys(("modules", "appserver", "admin"), 4),
    **dict.fromkeys(("c2s", "s2s", "components"), 3),
    **dict.fromkeys(("routing", "providers"), 2),
    **dict.fromkeys(("net", "storage"), 1),
    **dict.fromkeys(("wire", "config"), 0),
}
GARDEN = {"simulators", "client"}
GARDEN_MAY_IMPORT = {"wire", "net"}
# The command line starts the server. The configuration is written in the words of the
# wire (addresses, secrets), which itself knows of no configuration.
SIDEWAYS = {
    ("cli", "service"),
    ("cli", "measures"),
    ("service", "wiring"),
    ("service", "measures"),
    ("wiring", "measures"),
    ("__main__", "cli"),
    ("config", "wire"),
}

# The ground has no sockets and no clock.
NOT_ON_THE_GROUND = ("asyncio", "select", "selectors", "socket", "ssl", "time", "twisted.internet")


class Import(NamedTuple):
    line: int
    name: str  # dotted, absolute: a module or a name in one


def imports(tree: ast.Module, package: str) -> Iterator[Import]:
    """Every import in a file of `package`, wherever it stands, in the order of lines."""
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                found += [Import(node.lineno, alias.name) for alias in node.names]
            case ast.ImportFrom():
                base = node.module or ""
                if node.level:
                    parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                    base = ".".join([*parents, *filter(None, [node.module])])
                found += [Import(node.lineno, f"{base}.{alias.name}") for alias in node.names]
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__")
                | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                found.append(Import(node.lineno, name))
    yield from sorted(found)


def is_within(name: str, *modules: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def floor_offence(room: str, other: str) -> str | None:
    """Why `room` may not import `other`, both names of what lies directly in pushd/."""
    if room == other or (room, other) in SIDEWAYS:
        return None
    if other not in FLOORS and other not in GARDEN:
        return f"{other} is on no floor"
    if room in GARDEN:
        return None if other in GARDEN_MAY_IMPORT else "the garden imports only wire and net"
    if other in GARDEN:
        return None if FLOORS[room] == 5 else "only floor 5 goes into the garden"
    if FLOORS[other] > FLOORS[room]:
        return f"up, from floor {FLOORS[room]} to {FLOORS[other]}"
    if FLOORS[other] == FLOORS[room]:
        return f"sideways, on floor {FLOORS[room]}"
    return None


def module_offence(module: str, name: str) -> str | None:
    """Why a file of pushd.modules may not import a name of pushd.modules."""
    if is_within(name, "pushd.modules.base"):
        return None
    if is_within(module, "pushd.modules.push") and is_within(name, "pushd.modules.push"):
        return None
    return "modules import only pushd.modules.base of one another"


def may_import_reactor(module: str) -> bool:
    return is_within(module, "pushd.service", "pushd.cli", "pushd.__main__") or (
        module == "pushd.simulators.__main__"
    )


def is_reactor(name: str) -> bool:
    part = name.removeprefix("twisted.internet.").split(".")[0]
    return name.startswith("twisted.internet.") and part.endswith("reactor")


def file_offences(module: str, package: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    room = module.split(".")[1]
    has_compat = False
    for line, name in imports(tree, package):
        has_compat = has_compat or is_within(name, "pushd.wire.compat")
        reason = None
        if is_within(name, "pushd"):
            other = name.split(".")[1] if "." in name else ""
            if other:
                reason = floor_offence(room, other)
            elif FLOORS.get(room) != 5:
                reason = "import the room, not the house"
            if reason is None and room == other == "modules":
                reason = module_offence(module, name)
        elif is_within(name, "wokkel") and not has_compat and module != "pushd.wire.compat":
            reason = "wokkel comes after pushd.wire.compat"
        elif is_reactor(name) and not may_import_reactor(module):
            reason = "only service.py and the command line import the reactor"
        elif FLOORS.get(room) == 0 and is_within(name, *NOT_ON_THE_GROUND):
            reason = "the ground has no sockets and no clock"
        if reason:
            yield line, f"imports {name}: {reason}"


def has_only_a_docstring(tree: ast.Module) -> bool:
    return ast.get_docstring(tree) is not None and len(tree.body) == 1


def offences(root: Path) -> list[str]:
    """What is wrong with the imports of `root`/pushd, each as file:line: reason."""
    found = []
    for file in sorted((root / "pushd").rglob("*.py")):
        path = file.relative_to(root)
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
        package = ".".join(path.parent.parts)
        if file.name == "__init__.py":
            if not has_only_a_docstring(tree):
                found.append(f"{path}:1: holds more than one docstring, or none")
            continue
        module = f"{package}.{file.stem}"
        room = module.split(".")[1]
        if room not in FLOORS and room not in GARDEN:
            found.append(f"{path}:1: {room} is on no floor")
            continue
        found += [f"{path}:{line}: {why}" for line, why in file_offences(module, package, tree)]
    return found


def test_no_import_leaves_its_floor() -> None:
    assert offences(ROOT) == []


ALLOWED = {
    "pushd/routing/router.py": "from pushd.net.xmlprotocol import Turn\nfrom . import sessions\n",
    "pushd/modules/carbons.py": "from pushd.modules.base import Module\nimport pushd.routing.host",
    "pushd/modules/push/module.py": "from pushd.modules.push import form\nfrom .summary import x",
    "pushd/providers/fcm.py": "from pushd.providers import contract\n",
    "pushd/simulators/fcm.py": "from pushd.net import tls\nfrom twisted.internet.defer import x\n",
    "pushd/simulators/__main__.py": "from twisted.internet import reactor\n",
    "pushd/cli/demo.py": "from pushd.client import stream\nfrom pushd import service\n",
    "pushd/cli/child.py": "import pushd\n",
    "pushd/service.py": "from twisted.internet import reactor\nimport pushd.modules.carbons\n",
    "pushd/appserver/pubsub.py": (
        "def publish():\n    import pushd.wire.compat\n    from wokkel import pubsub\n"
    ),
    "pushd/config/kinds.py": "from pushd.wire.secret import Secret\n",
    "pushd/wire/compat.py": "import wokkel.disco\n",
    "pushd/wire/__init__.py": '"""Words."""\n',
}

FORBIDDEN = {
    "up": ("pushd/wire/a.py", "import pushd.net.tls"),
    "up, two floors": ("pushd/routing/a.py", "from pushd.modules.base import Module"),
    "up, by the package": ("pushd/routing/a.py", "from pushd import c2s"),
    "up, by a relative name": ("pushd/routing/a.py", "from ..c2s import stream"),
    "up, in a function": ("pushd/net/a.py", "def f():\n    import pushd.routing.host"),
    "up, for type checkers": ("pushd/net/a.py", "if TYPE_CHECKING:\n    import pushd.routing.host"),
    "up, by the name of the module": ("pushd/net/a.py", "import_module('pushd.routing.host')"),
    "sideways": ("pushd/net/a.py", "from pushd.storage.sqlite import Database"),
    "sideways on the ground": ("pushd/wire/a.py", "from pushd.config.reader import load"),
    "sideways from the service": ("pushd/service.py", "from pushd.cli import twistd"),
    "another module": ("pushd/modules/a.py", "from pushd.modules.b import B"),
    "another module, by the package": ("pushd/modules/a.py", "from pushd.modules import b"),
    "the push module": ("pushd/modules/a.py", "from pushd.modules.push.form import read"),
    "a module from push": ("pushd/modules/push/a.py", "from pushd.modules.carbons import C"),
    "out of the garden": ("pushd/simulators/a.py", "from pushd.providers.fcm import FCM"),
    "in the garden, sideways": ("pushd/client/a.py", "from pushd.simulators.fcm import FCM"),
    "into the garden": ("pushd/providers/a.py", "from pushd.simulators.fcm import FCM"),
    "the reactor": ("pushd/net/a.py", "from twisted.internet import reactor"),
    "a reactor of a kind": ("pushd/net/a.py", "import twisted.internet.asyncioreactor"),
    "a reactor in the garden": ("pushd/simulators/a.py", "import twisted.internet.reactor"),
    "wokkel": ("pushd/appserver/a.py", "from wokkel import pubsub\nimport pushd.wire.compat"),
    "a socket on the ground": ("pushd/wire/a.py", "from twisted.internet.defer import Deferred"),
    "a clock on the ground": ("pushd/config/a.py", "import time"),
    "the whole house": ("pushd/routing/a.py", "import pushd"),
    "a room on no floor": ("pushd/routing/a.py", "from pushd.attic import box"),
    "a file on no floor": ("pushd/attic/a.py", "import os"),
    "a shortcut": ("pushd/net/__init__.py", '"""Sockets."""\nfrom pushd.net.tls import Store'),
    "a package without a word": ("pushd/net/__init__.py", ""),
}


def write(root: Path, name: str, text: str) -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def test_what_the_design_allows_is_allowed(tmp_path: Path) -> None:
    for name, text in ALLOWED.items():
        write(tmp_path, name, text)

    assert offences(tmp_path) == []


@pytest.mark.parametrize("case", FORBIDDEN)
def test_what_the_design_forbids_is_found(case: str, tmp_path: Path) -> None:
    name, text = FORBIDDEN[case]
    write(tmp_path, name, text)

    found = offences(tmp_path)

    assert len(found) == 1
    assert found[0].startswith(f"{name}:")


def test_an_offender_is_named_by_its_line(tmp_path: Path) -> None:
    write(tmp_path, "pushd/net/a.py", "import os\n\n\ndef f():\n    import pushd.routing.host\n")

    assert offences(tmp_path) == [
        "pushd/net/a.py:5: imports pushd.routing.host: up, from floor 1 to 2"
    ]
