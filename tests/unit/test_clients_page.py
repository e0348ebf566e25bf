"""docs/clients.rst, held against the dialects there are."""

import re
from dataclasses import fields
from pathlib import Path

from pushd.config.sections import Dialects

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "clients.rst").read_text("utf-8")
DEVICES = ROOT / "tests" / "scenarios" / "devices"


def test_every_dialect_has_a_row_and_is_in_the_configuration() -> None:
    for dialect in fields(Dialects):
        assert re.search(rf"^``{dialect.name}`` ", PAGE, re.M), dialect.name
        assert re.search(rf"^       {dialect.name}: yes", PAGE, re.M), dialect.name
        assert f"``{dialect.name}``" in PAGE[PAGE.index("\nclient  ") :]


def test_no_dialect_is_named_that_there_is_not() -> None:
    named = set(re.findall(r"dialects: \{(\w+): yes\}", PAGE))
    assert named <= {dialect.name for dialect in fields(Dialects)}


def test_only_one_is_on_by_default() -> None:
    assert [one.name for one in fields(Dialects) if getattr(Dialects(), one.name)] == ["mod_push"]
    assert "the only one that is on by default" in PAGE


def test_the_scripted_devices_are_where_the_page_says() -> None:
    scripted = "".join(path.read_text("utf-8") for path in DEVICES.glob("*.py"))
    for dialect in fields(Dialects):
        assert dialect.name in scripted
