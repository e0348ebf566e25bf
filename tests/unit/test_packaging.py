"""What setup.cfg promises, held against the tree: nothing is left at home when pushd travels."""

import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]


def read_setup() -> ConfigParser:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    return setup


def lines(value: str) -> list[str]:
    return [line for line in value.splitlines() if line and not line.startswith("#")]


def locked(name: str) -> dict[str, Version]:
    """The versions a requirements file names."""
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    pins = re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE)
    return {canonicalize_name(project): Version(version) for project, version in pins}


def unmet(requirements: list[str], pins: dict[str, Version]) -> list[str]:
    wanted = [Requirement(line) for line in requirements]
    return [
        str(requirement)
        for requirement in wanted
        if (pin := pins.get(canonicalize_name(requirement.name))) is None
        or pin not in requirement.specifier
    ]


def test_every_package_is_listed_in_setup_cfg() -> None:
    packages = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for file in (ROOT / "pushd").rglob("__init__.py")
    }
    listed = lines(read_setup()["options"]["packages"])

    assert sorted(packages | {"twisted.plugins"}) == sorted(listed)


def test_every_folder_with_code_is_a_package() -> None:
    folders = {file.parent for file in (ROOT / "pushd").rglob("*.py")}

    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_the_plugin_s_folders_are_no_packages() -> None:
    # With an __init__.py they would hide Twisted itself.
    assert list((ROOT / "twisted").rglob("__init__.py")) == []


def test_files_that_are_not_code_travel_along() -> None:
    setup = read_setup()
    declared = {
        file
        for package, patterns in setup["options.package_data"].items()
        for pattern in lines(patterns)
        for file in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    present = {
        file
        for file in (ROOT / "pushd").rglob("*")
        if file.is_file() and file.suffix not in {".py", ".pyc"}
    }

    assert sorted(present - declared) == []


def test_the_locks_meet_what_setup_cfg_requires() -> None:
    setup = read_setup()
    run = lines(setup["options"]["install_requires"])
    extras = [line for extra in setup["options.extras_require"].values() for line in lines(extra)]

    assert unmet(run, locked("run.txt")) == []
    assert unmet(run + extras, locked("test.txt")) == []


def test_the_tests_run_with_what_the_server_runs_with() -> None:
    assert locked("run.txt").items() <= locked("test.txt").items()


def test_every_locked_release_has_a_hash_and_no_index_is_named() -> None:
    for name in ("run.txt", "test.txt"):
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
        entries = re.split(r"^(?=[\w-]+==)", text, flags=re.MULTILINE)[1:]

        assert entries
        assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
        assert re.findall(r"https?:|--(?:extra-)?index|--find-links|--trusted", text) == []


def test_twistd_lists_pushd_without_loading_it() -> None:
    script = (
        "import sys\n"
        "from twisted.application.service import IServiceMaker\n"
        "from twisted.plugin import getPlugins\n"
        "makers = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == 'pushd']\n"
        "print([maker.module for maker in makers])\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'pushd'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines() == ["['pushd.cli.twistd']", "[]"]
