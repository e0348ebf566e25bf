"""The systemd unit and the Dockerfile, held against the code and the tree."""

import json
import re
from pathlib import Path
from typing import NamedTuple

from twisted.python import usage

from pushd.admin.web import Pages
from pushd.cli.development import USUAL_PORTS
from pushd.cli.places import DEFAULT_CONFIG
from pushd.cli.twistd import Options
from pushd.config.sections import Limits, Listen
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


def test_the_clock_is_right_before_the_server_starts() -> None:
    [targets] = unit()["After"]

    assert "time-sync.target" in targets.split()


def test_a_wrong_configuration_is_not_tried_again_and_again() -> None:
    assert unit()["RestartPreventExitStatus"] == ["2"]


class Step(NamedTuple):
    """An instruction of the Dockerfile, and the stage that it is in."""

    stage: int
    word: str
    rest: str

    @property
    def command(self) -> list[str]:
        """What is run, in the form of a list: without a shell."""
        words: list[str] = json.loads(self.rest)
        return words


def dockerfile() -> list[Step]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    steps: list[Step] = []
    for line in filter(None, "\n".join(lines).replace("\\\n", " ").splitlines()):
        word, _, rest = line.partition(" ")
        stage = len([one for one in steps if one.word == "FROM"])
        steps.append(Step(stage + (word == "FROM"), word, rest.strip()))
    return steps


def of(word: str, stage: int = 2) -> list[Step]:
    return [step for step in dockerfile() if (step.word, step.stage) == (word, stage)]


def copied() -> list[str]:
    """What is taken from the tree."""
    return [name for step in of("COPY", 1) for name in step.rest.split()[:-1]]


def test_the_image_is_built_from_files_that_there_are_and_that_are_sent() -> None:
    sent = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }

    assert [name for name in copied() if not (ROOT / name).exists()] == []
    assert set(copied()) == sent
    assert {"pushd", "twisted", "setup.cfg", "requirements/run.txt"} <= sent


def test_what_setup_cfg_reads_is_in_the_image() -> None:
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    read = re.findall(r"^(?:long_description = file: |license_files = )(\S+)$", setup, re.MULTILINE)

    assert set(read) == {"README.rst", "LICENSE"}
    assert set(read) <= set(copied())


def test_the_image_has_a_python_that_pushd_runs_on_and_locked_releases() -> None:
    froms = [step.rest.split() for step in dockerfile() if step.word == "FROM"]
    installs = [step.command for step in of("RUN", 1) if "install" in step.rest]

    assert [words[0] for words in froms] == ["python:3.11-slim", "python:3.11-slim"]
    assert [("--require-hashes" in words, "--no-deps" in words) for words in installs] == [
        (True, False),
        (False, True),
    ]


def test_the_container_runs_as_nobody_in_particular_and_hears_signals() -> None:
    [user], [stop], [entry], [command] = of("USER"), of("STOPSIGNAL"), of("ENTRYPOINT"), of("CMD")
    words = entry.command + command.command

    assert user.rest == "pushd"
    assert stop.rest == "SIGTERM"
    assert words[: words.index("pushd") + 1] == ["twistd", "--nodaemon", "--pidfile=", "pushd"]
    assert words[words.index("pushd") + 1 :] == ["--config", str(DEFAULT_CONFIG)]
    assert dockerfile().index(user) < dockerfile().index(entry)


def test_the_container_has_the_ports_and_folders_of_the_unit_and_the_defaults() -> None:
    listen = Listen()
    [exposed], [volume], [folder] = of("EXPOSE"), of("VOLUME"), of("WORKDIR")

    assert {int(port) for port in exposed.rest.split()} == {
        endpoint.port for endpoint in (*listen.client, *listen.client_tls)
    }
    assert volume.command == [folder.rest] == unit()["WorkingDirectory"]


def test_the_health_check_asks_what_a_server_answers() -> None:
    [check] = of("HEALTHCHECK")
    words = json.loads(check.rest.partition("CMD ")[2])
    asked = re.search(r"http://(127\.0\.0\.1:(\d+))(/\w+)", words[-1])

    assert asked is not None
    compile(words[-1], "HEALTHCHECK", "exec")
    assert int(asked[2]) == USUAL_PORTS["metrics"]
    pages = Pages(lambda accept: (b"", ""), lambda: "")
    assert pages.answer(b"GET", asked[3].encode(), "").code == 200
    assert f'metrics: ["{asked[1]}"]' in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert f'metrics: ["{asked[1]}"]' in (ROOT / "docs" / "operating.rst").read_text("utf-8")
