"""`python -m pushd` is twistd, with one plugin."""

from pushd.__main__ import Options


def test_no_other_plugin_is_looked_for() -> None:
    assert [name for name, *_ in Options().subCommands] == ["pushd"]
