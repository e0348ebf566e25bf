"""`pushdctl push probe`: what it tries, says and ends with, whether a server runs or not."""

import json
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pushd.cli import probes
from tests.patience import PATIENCE
from tests.unit.providers.bench import account

STEP = {"step": "tls", "text": "well", "place": "a:1", "ok": True, "remedy": "", "seconds": 0.0123}
BAD = {**STEP, "ok": False, "text": "TLS: it has\x1b expired", "remedy": "renew it"}


def result(*steps: dict[str, Any], trouble: str = "") -> dict[str, Any]:
    is_good = all(step["ok"] for step in steps)
    probe = {
        "backend": "fcm/example.net/any",
        "type": "fcm",
        "ok": is_good,
        "steps": list(steps),
        "trouble": trouble,
    }
    return {"probes": [probe], "ok": is_good}


def test_a_probe_that_went_well_is_a_line_a_step() -> None:
    answer = {**STEP, "step": "answer", "seconds": None, "place": ""}
    assert probes.shown(result(STEP, answer)) == textwrap.dedent("""\
        fcm/example.net/any
                a:1
          ok    tls         well (12 ms)
          ok    answer      well
          pushes would get through""")


def test_what_failed_is_told_with_what_to_do() -> None:
    assert probes.shown(result(STEP, BAD)).splitlines()[-3:] == [
        "  FAIL  tls         TLS: it has? expired (12 ms)",
        "                    -> renew it",
        "  pushes would not get through; see docs/providers/fcm.rst",
    ]


def test_what_helps_with_several_steps_is_said_once() -> None:
    shown = probes.shown(result(BAD, {**BAD, "place": "b:2"}))
    assert shown.count("FAIL") == 2
    assert shown.count("-> renew it") == 1


def test_what_is_good_but_worth_a_look_is_marked() -> None:
    shown = probes.shown(result({**STEP, "remedy": "renew it soon"}))
    assert "  look  tls " in shown
    assert "-> renew it soon" in shown


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("answer", "pushes would get through"),
        ("token", "the credential is taken; more cannot be tried without waking a device"),
        ("credential", "all that can be tried without waking a device is well"),
    ],
)
def test_the_verdict_says_no_more_than_was_tried(step: str, words: str) -> None:
    assert probes.shown(result({**STEP, "step": step})).endswith(f"\n  {words}")


def test_a_backend_that_rests_is_no_surprise() -> None:
    said = probes.shown(result({**STEP, "step": "answer"}, trouble="resting after failures"))
    assert said.endswith("but the backend is resting after failures: pushdctl push resume")


# With no server: a process of its own, since a reactor runs once.


@pytest.fixture
def closed() -> Iterator[str]:
    """Where nobody listens, nor anybody will: the port is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"https://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def config(tmp_path: Path, closed: str) -> Path:
    address = closed
    backend = {"register_host": "example.net", "pubsub_host": "push.example.net"}
    fcm = {
        "type": "fcm",
        "service_account": str(account(tmp_path)),
        "base_url": address,
        "token_uri": address,
    }
    path = tmp_path / "pushd.yml"
    path.write_text(
        json.dumps(
            {
                "domains": ["example.net"],
                "data": "data",
                "listen": {"client": ["127.0.0.1:5222"], "client_tls": []},
                "app_server": {
                    "backends": [
                        {**backend, **fcm},
                        {**backend, "type": "ubuntu", "app_name": "b", "base_url": address},
                    ]
                },
            }
        )
    )
    return path


def pushdctl(config: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pushd.cli.pushdctl", "-c", str(config), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=config.parent
    )


def test_without_a_server_the_configuration_is_tried_from_here(config: Path) -> None:
    done = pushdctl(config, "push", "probe")
    assert done.returncode == 1, done.stderr
    assert done.stdout.count("FAIL  connection  no connection: nothing listens there") == 2
    assert "-> is the address right" in done.stdout
    assert not (config.parent / "data").exists()


def test_one_of_several_is_named_by_its_type(config: Path) -> None:
    done = pushdctl(config, "push", "probe", "ubuntu", "--json")
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert [one["backend"] for one in told["probes"]] == ["ubuntu/example.net/b"]
    assert told["ok"] is False
    assert told["probes"][0]["steps"][-1]["step"] == "connection"


def test_a_backend_that_there_is_not(config: Path) -> None:
    done = pushdctl(config, "push", "probe", "apns")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "pushdctl: there is no backend apns; backends: fcm/example.net/any, ubuntu/example.net/b\n"
    )


def test_a_credential_that_cannot_be_used_is_told_with_its_key(config: Path) -> None:
    (config.parent / "service-account.json").write_text("no JSON")
    done = pushdctl(config, "push", "probe", "fcm")
    assert done.returncode == 1
    assert "the configuration cannot be used" in done.stderr
    assert "service_account" in done.stderr
