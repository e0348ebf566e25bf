"""The examples of docs/harness.rst, run as they stand there."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.patience import LONGEST

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "harness.rst").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent


def example(name: str) -> str:
    """The block of code behind the comment of this name."""
    found = re.search(
        rf"^\.\. {name}\n\n\.\. code-block:: \w+\n\n((?:   .*\n|\n)+)", PAGE, re.MULTILINE
    )
    assert found is not None, name
    return textwrap.dedent(found[1]).strip() + "\n"


def environment(folder: Path) -> dict[str, str]:
    apart = {"TMPDIR": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    path = f"{BIN}:{os.environ['PATH']}"
    return {**os.environ, **apart, "PATH": path, "PYTHONPATH": str(ROOT)}


def run(folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=LONGEST,
    )


@pytest.mark.skipif(not (BIN / "pushdctl").exists(), reason="pushdctl is not installed")
def test_the_example_for_a_shell_works(tmp_path: Path) -> None:
    done = run(tmp_path, "sh", "-e", "-c", example("shell"))

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("provider accepted  push.localhost") == 2
    assert re.search(r"no push for juliet@localhost in \d+\.\d s\n$", done.stdout), done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_example_for_pytest_works(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(example("conftest"))
    (tmp_path / "test_push.py").write_text(example("test"))
    base = tmp_path / "base"

    pytest_itself = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    done = run(tmp_path, *pytest_itself, f"--basetemp={base}", "-q", ".")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    assert "Warning" not in done.stdout
    log = base / "pushd0" / "log"
    assert "Traceback" not in log.read_text()


def test_the_examples_are_formatted_as_the_code_is(tmp_path: Path) -> None:
    longest = max(len(line) for name in ("conftest", "test") for line in example(name).split("\n"))
    assert longest <= 100
    for name in ("conftest", "test"):
        compile(example(name), name, "exec")
