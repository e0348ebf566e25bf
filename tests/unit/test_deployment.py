"""What stands in etc/ for the start at boot, held against the code."""

import re
from pathlib import Path

from twisted.python import usage

from pushd.cli.reaching import DEFAULT_CONFIG
from pushd.cli.twistd import Options
from pushd.config.sections import Limits
from pushd.net.descriptors import RESERVE

ROOT = Path(__file__).parents[2]


def unit() -> dict[str, list[str]]:
    """The settings of etc/pushd.service, each with its values in order."""
    settings: dict[str, list[str]] = {}
    for line in (ROOT / "etc" / "pushd.service").read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#[":
            name, equals, value = line.partition("=")
            assert equals, line
            settings.setdefault(name, []).append(value)
    return settings


def test_the_unit_starts_what_there_is_with_options_that_there_are() -> None:
    settings = unit()

    for name in ("ExecStart", "ExecStartPre"):
        [command] = settings[name]
        words = command.partition(" pushd ")[2].split()
        options = {re.sub("^--", "", word) for word in words if word.startswith("--")}
        known = usage.Options.__dict__.keys() | {row[0] for row in Options.optParameters}
        assert options <= known | {row[0] for row in Options.optFlags}
        assert words[words.index("--config") + 1] == str(DEFAULT_CONFIG)
    assert "--nodaemon --pidfile= pushd" in settings["ExecStart"][0]


def test_the_unit_gives_the_server_its_folders_and_nothing_else() -> None:
    settings = unit()

    assert settings["Type"] == ["notify"]
    assert settings["StateDirectory"] == ["pushd"]
    assert settings["StateDirectoryMode"] == ["0700"]
    assert settings["ConfigurationDirectory"] == [DEFAULT_CONFIG.parent.name]
    assert settings["ProtectSystem"] == ["strict"]
    assert settings["NoNewPrivileges"] == ["yes"]
    assert settings["CapabilityBoundingSet"] == [""]
    assert settings["WorkingDirectory"] == ["/var/lib/pushd"]
    assert "data: /var/lib/pushd\n" in (ROOT / "README.rst").read_text(encoding="utf-8")


def test_the_unit_lets_as_many_connections_in_as_the_configuration() -> None:
    [files] = unit()["LimitNOFILE"]

    assert int(files) >= Limits().connections + RESERVE


def test_a_wrong_configuration_is_not_tried_again_and_again() -> None:
    assert unit()["RestartPreventExitStatus"] == ["2"]
