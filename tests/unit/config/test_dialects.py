"""The ways to register: each a switch, and nothing but mod_push unless it is wanted."""

from dataclasses import fields
from pathlib import Path

from pushd.config.sections import Config, Dialects
from tests.unit.config.test_backends import config_of, problems_of


def test_mod_push_alone_is_spoken_unless_more_is_wanted(tmp_path: Path) -> None:
    assert config_of("", tmp_path).app_server.dialects.names() == {"mod_push"}
    text = "app_server: {dialects: {conversations: yes, v1: no}}"
    assert config_of(text, tmp_path).app_server.dialects.names() == {"mod_push", "conversations"}
    text = "app_server: {dialects: {mod_push: no, v1: yes}}"
    assert config_of(text, tmp_path).app_server.dialects.names() == {"v1"}


def test_a_dialect_that_nobody_speaks_is_named_with_one_like_it(tmp_path: Path) -> None:
    text = "app_server: {dialects: {conversation: yes, v1: perhaps}}"
    problems = "\n".join(problems_of(text, tmp_path))
    assert "app_server.dialects.conversation: found an unknown key" in problems
    assert "conversations" in problems
    assert "app_server.dialects.v1: found 'perhaps'" in problems


def test_for_development_every_dialect_is_spoken(tmp_path: Path) -> None:
    spoken = Config.for_development(tmp_path).app_server.dialects
    assert spoken == Dialects.every()
    assert spoken.names() == {option.name for option in fields(Dialects)}
