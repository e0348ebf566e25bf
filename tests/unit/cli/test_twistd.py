"""The options of `twistd pushd`: which go together, and what is said of those that do not."""

from pathlib import Path
from typing import Any, cast

import pytest

from pushd.cli import twistd
from pushd.cli.twistd import Options

GOOD = "domains: [example.net]\ndata: data\nlisten: {client: ['127.0.0.1:5222'], client_tls: []}\n"


def parsed(*arguments: str) -> Any:
    options: Any = cast(Any, Options)()
    options.parseOptions(list(arguments))
    return options


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What is said on standard error; the exit code is 2."""
    with pytest.raises(SystemExit) as left:
        parsed(*arguments)
    assert left.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "pushd.yml"
    path.write_text(GOOD)
    return path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--frobnicate"], "option --frobnicate not recognized"),
        (["--dev", "--config", "pushd.yml"], "--dev goes without a configuration"),
        (["--dev", "--check-config"], "--dev goes without a configuration"),
        (["--data", "folder"], "--data goes with --dev"),
        (["--listen", "127.0.0.1"], "--listen goes with --dev"),
        (["--free-ports"], "--free-ports goes with --dev"),
        (["--dev", "--trace"], "--trace goes with --events"),
        (["--dev", "--data", ""], "--data: a path is expected"),
        (["--dev", "--listen", "localhost"], "--listen localhost: an IP address is expected"),
    ],
)
def test_options_that_make_no_sense_together_are_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert refused(capsys, *arguments) == f"pushd: {words}; --help shows the options\n"


def test_without_a_configuration_the_way_to_one_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twistd, "DEFAULT_CONFIG", tmp_path / "pushd.yml")

    assert refused(capsys) == (
        f"pushd: there is no {tmp_path}/pushd.yml: give --config FILE, or --dev to try it out; "
        "--help shows the options\n"
    )


def test_paths_mean_the_same_after_the_process_has_changed_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    options = parsed("--dev", "--data", "d", "--events", "e", "--ready-file", "../r")

    assert options["data"] == tmp_path / "d"
    assert options["events"] == tmp_path / "e"
    assert options["ready-file"] == tmp_path / "../r"


def test_a_development_server_listens_on_loopback_unless_told_otherwise() -> None:
    assert parsed("--dev")["listen"] == "127.0.0.1"
    assert parsed("--dev", "--listen", "::1")["listen"] == "::1"


def test_every_mistake_of_a_configuration_is_told_at_once(
    capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    config.write_text(GOOD + "colour: red\npush: {hold: forever}\n")

    said = refused(capsys, "--config", str(config)).splitlines()

    assert len(said) == 2
    assert said[0].startswith(f"{config}:4:1: colour: ")
    assert said[1].startswith(f"{config}:5:14: push.hold: ")


def test_a_good_configuration_is_said_to_be_good(
    capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    with pytest.raises(SystemExit) as left:
        parsed("--config", str(config), "--check-config")

    assert left.value.code == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "the configuration is good"
    assert said.err == ""


def test_the_warnings_of_a_configuration_go_to_standard_error(
    capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    options = parsed("--config", str(config))

    assert set(options["configuration"].domains) == {"example.net"}
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"{config}:1:11: domains")
    assert "warning: no certificate" in said.err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parsed("--version")

    assert left.value.code == 0
    assert capsys.readouterr().out.startswith("pushd ")
