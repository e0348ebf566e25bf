"""The pages that tell of the command line and the code, held against both."""

import inspect
import re
import textwrap
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from pushd.admin import status
from pushd.admin.eventlog import name_of
from pushd.cli import commands, pushdctl
from pushd.cli.starting import DOORS
from pushd.cli.twistd import Options
from pushd.config.checks import SOON
from pushd.providers import reports
from pushd.routing import events

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
DEVELOPMENT = (DOCS / "development-mode.rst").read_text(encoding="utf-8")
OPERATING = (DOCS / "operating.rst").read_text(encoding="utf-8")
DESIGN = (DOCS / "design.rst").read_text(encoding="utf-8")
COMPLIANCE = (DOCS / "compliance.rst").read_text(encoding="utf-8")
README = (ROOT / "README.rst").read_text(encoding="utf-8")
CODE_BLOCK = re.compile(r"^\.\. code-block:: python\n\n((?:   .*\n|\n)+)", re.MULTILINE)


def event_kinds() -> list[type]:
    """What the event log can show of floor 2."""
    found = [
        kind
        for _, kind in inspect.getmembers(events, inspect.isclass)
        if is_dataclass(kind) and kind.__module__ == events.__name__
    ]
    return [*found, reports.Attempt, reports.Alarm, reports.Recovered]


@pytest.mark.parametrize("kind", event_kinds())
def test_every_event_is_in_the_table_with_its_fields(kind: type) -> None:
    # A row goes on until the next line that begins with a word.
    row = re.search(rf"^{name_of(kind)}\b.*\n(?: .*\n)*", DEVELOPMENT, re.MULTILINE)

    assert row is not None, name_of(kind)
    assert is_dataclass(kind)
    for field in fields(kind):
        if field.name != "at":
            assert re.search(rf"\b{field.name}\b", row[0]), field.name


def test_every_option_of_a_development_server_is_explained() -> None:
    names = {str(option[0]) for option in (*Options.optParameters, *Options.optFlags)}
    elsewhere = {"config", "check-config", "dev"}

    assert [name for name in sorted(names - elsewhere) if f"\n``--{name}" not in DEVELOPMENT] == []
    for name in elsewhere:
        assert f"--{name}" in README


def test_the_commands_of_pushdctl_are_those_that_the_page_has() -> None:
    named = re.findall(r"^``(pushdctl .+)``$", OPERATING, re.MULTILINE)
    usages = [usage for line in named for usage in line.split("``, ``")]
    shown = {usage.removeprefix("pushdctl ").partition(" [--")[0] for usage in usages}

    assert shown == {command.usage for command in pushdctl.COMMANDS}


@pytest.mark.parametrize("page", [*sorted(path.name for path in DOCS.glob("*.rst")), "README"])
def test_every_command_that_a_page_names_is_there(page: str) -> None:
    words = {command.words for command in pushdctl.COMMANDS}
    known = words | {word.partition(" ")[0] for word in words}
    text = README if page == "README" else (DOCS / page).read_text(encoding="utf-8")

    for line in re.findall(r"pushdctl ((?:-[^\s`]+ [^\s`]+ )*[a-z][^`\n]*)", text):
        command = re.sub(r"^(-\S+ \S+ )*", "", line).split()
        if command[0] in ("is", "finds", "and", "will"):
            continue  # about it, not of it
        assert command[0] in known or " ".join(command[:2]) in words, line


def test_every_option_of_a_command_is_explained() -> None:
    options = {
        argument.name
        for command in pushdctl.COMMANDS
        for argument in command.takes
        if argument.name.startswith("--")
    }
    every = {name for names, _ in pushdctl.OPTIONS for name in names if name.startswith("--")}

    assert [name for name in sorted(options | every) if name not in OPERATING + DEVELOPMENT] == []


def test_the_exit_codes_are_those_that_the_page_has() -> None:
    codes = {0, 2, commands.REFUSED, commands.WRONG, commands.INTERRUPTED}
    table = OPERATING[OPERATING.index("of ``pushdctl``") :]
    shown = re.findall(r"^(\d+) {2,}", table[: table.index("A disabled account")], re.MULTILINE)

    assert {int(code) for code in shown} == codes


def test_what_the_status_calls_wrong_is_what_the_page_says() -> None:
    days, megabytes = int(status.ENDS_SOON / status.DAY), status.LEAST_SPACE >> 20

    said = " ".join(OPERATING.split())
    assert f"less than {days} days left" in said
    assert f"less than {megabytes} MB free" in said
    assert f"more than {status.SLOW:.0f} s" in said
    assert f"for more than {status.OVERDUE / 60:.0f} minutes" in said
    assert f"less than {SOON.days} days left" in said


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "index.rst").read_text(encoding="utf-8")
    pages = {page.name for page in DOCS.glob("*.rst")} - {"index.rst"}

    assert [page for page in sorted(pages) if f"``{page}``" not in index] == []


def test_the_files_that_the_pages_name_are_there() -> None:
    pages = DESIGN + README + COMPLIANCE
    named = set(re.findall(r"(?<![\w/])((?:pushd|tests|docs|etc)/[\w/.-]+\.\w+)", pages))

    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_rooms_that_the_design_names_are_there() -> None:
    rooms = DESIGN.partition("The rooms of each package.")[2].partition("A *stream* is")[0]
    by_package = dict(re.findall(r"^``(\w+)``\n((?:    .*\n|\n)+)", rooms, re.MULTILINE))

    assert set(by_package) == {
        path.name for path in (ROOT / "pushd").iterdir() if (path / "__init__.py").exists()
    } - {"simulators", "client"}
    for package, told in by_package.items():
        paths = (ROOT / "pushd" / package).rglob("*")
        known = {path.stem for path in paths} | {"measures", "service"}
        named = set(re.findall(r"``(\w+)(?:/|\.py)?``", told))
        assert named <= known, package


def test_every_door_is_among_the_keys_of_the_ready_file() -> None:
    for key, _ in DOORS.values():
        assert re.search(rf"^``.*\b{key}``", DEVELOPMENT, re.MULTILINE), key


def test_every_sample_is_in_the_index() -> None:
    index = (DOCS / "index.rst").read_text(encoding="utf-8")

    assert [one.name for one in (ROOT / "etc").iterdir() if f"``{one.name}``" not in index] == []


def test_the_code_that_the_design_shows_is_in_the_tree() -> None:
    shown = [textwrap.dedent(block).strip() for block in CODE_BLOCK.findall(DESIGN)]
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "pushd").rglob("*.py")]
    plain = ["\n".join(line.strip() for line in source.splitlines()) for source in sources]

    assert shown
    for block in shown:
        code = "\n".join(line.strip() for line in block.splitlines())
        assert any(code in source for source in plain), block
