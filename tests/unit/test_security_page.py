"""docs/security.rst: every row that a test names is there, and every test that it names exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.rst").read_text()
ROWS = {int(number) for number in re.findall(r"^   \* - (\d+)$", PAGE, re.MULTILINE)}


def test_rows_that_tests_name_are_there() -> None:
    named: set[int] = set()
    for file in (ROOT / "tests/scenarios").glob("test_attacks_*.py"):
        for name in re.findall(r"def test_rows?_([\d_]+)_[a-z]", file.read_text()):
            named.update(int(number) for number in name.split("_"))
    assert named
    assert named <= ROWS


def test_files_that_it_names_exist() -> None:
    files = re.findall(r"``((?:tests/)?(?:unit|scenarios|properties)/[\w/]+\.py)``", PAGE)
    assert len(files) > len(ROWS)
    for file in files:
        assert (ROOT / "tests" / file.removeprefix("tests/")).exists(), file
