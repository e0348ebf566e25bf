"""What pushdctl takes from and says to test harnesses."""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pushd.cli import harness, pushdctl
from tests.unit.cli.test_pushdctl import Server

JULIET = "juliet@localhost"
STEP = {
    "mark": 7,
    "at": 10.5,
    "service": "push.localhost",
    "node": "3f9a1c",
    "device": "phone",
    "what": "provider accepted",
    "why": "",
    "backend": "fcm",
    "seconds": 0.25,
}
NO_PUSH = {**STEP, "at": 10.0, "what": "no push", "why": "chat state", "kind": "state"}
del NO_PUSH["seconds"], NO_PUSH["backend"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5), ("0", 0), ("0.5s", 0.5), ("300ms", 0.3), ("2m", 120), ("1h", 3600)],
)
def test_lengths_have_units(text: str, seconds: float) -> None:
    assert harness.length(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5d", "-1", "1h1", "61m", "3601", "ms", "1.2.3", "\u0665"])
def test_what_is_no_length_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        harness.length(text)


@pytest.mark.parametrize(
    ("text", "said"), [("0", "0"), ("1795678699831331", "1795678699831331"), ("5s", "5.000000s")]
)
def test_a_beginning_is_a_mark_or_a_time_ago(text: str, said: str) -> None:
    assert harness.since(text) == said


@pytest.mark.parametrize("text", ["", "dawn", "-5s", "5d", "²", "2h"])
def test_what_is_no_beginning_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        harness.since(text)


@pytest.fixture
def answer() -> Iterator[Callable[[Any], tuple[str, Server]]]:
    """A server that has one answer."""
    servers = []
    with tempfile.TemporaryDirectory() as folder:

        def serve(result: Any) -> tuple[str, Server]:
            path = Path(folder) / "s"
            servers.append(Server(path, json.dumps({"result": result}).encode() + b"\n"))
            return str(path), servers[-1]

        yield serve
        for one in servers:
            one.stop()


Answer = Callable[[Any], tuple[str, Server]]


def test_a_push_that_arrived_is_a_line_and_a_mark(
    answer: Answer, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"account": JULIET, "arrived": True, "mark": 7, "pushes": [STEP], "steps": [STEP]}
    path, server = answer(told)
    options = ["--socket", path, "wait-push", "--account", JULIET]

    assert pushdctl.main([*options, "--timeout", "2m", "--count", "2", "--node", "3f9a1c"]) == 0

    assert capsys.readouterr().out == (
        "provider accepted  push.localhost 3f9a1c phone (fcm), after 0.25 s\nmark 7\n"
    )
    assert server.asked == {
        "operation": "wait-push",
        "arguments": {
            "account": JULIET,
            "timeout": "120.0",
            "count": "2",
            "since": "",
            "stage": "accepted",
            "device": "3f9a1c",
        },
    }


@pytest.mark.parametrize(
    ("wanted", "stage", "first"),
    [
        (1, "", f"no push for {JULIET} in 2.0 s"),
        (1, "answered", f"no push for {JULIET} in 2.0 s; the furthest was answered"),
        (3, "accepted", f"1 of 3 pushes for {JULIET} in 2.0 s; the furthest was accepted"),
    ],
)
def test_a_push_that_did_not_arrive_is_told_with_its_steps(
    answer: Answer, capsys: pytest.CaptureFixture[str], wanted: int, stage: str, first: str
) -> None:
    told = {"account": JULIET, "arrived": False, "stage": stage, "wanted": wanted, "waited": 2.0}
    pushes = [STEP] if wanted > 1 else []
    path, _ = answer(told | {"pushes": pushes, "steps": [NO_PUSH, STEP] if stage else []})

    assert pushdctl.main(["--socket", path, "wait-push", "--account", JULIET]) == 3

    said = capsys.readouterr().out.splitlines()
    assert said[0] == first
    assert said[1:] == (
        [
            "WHEN     WHAT",
            "+0.00 s  no push: chat state  push.localhost 3f9a1c phone",
            "+0.50 s  provider accepted  push.localhost 3f9a1c phone (fcm), after 0.25 s",
        ]
        if stage
        else []
    )


@pytest.mark.parametrize(
    ("came", "code", "words"),
    [(False, 0, f"no push for {JULIET} in 1.0 s"), (True, 3, f"a push for {JULIET} after 1.0 s")],
)
def test_whether_no_push_came_is_the_exit_code(
    answer: Answer, capsys: pytest.CaptureFixture[str], came: bool, code: int, words: str
) -> None:
    told = {"account": JULIET, "came": came, "waited": 1.0, "steps": [NO_PUSH], "pushes": []}
    path, server = answer(told)
    options = ["--socket", path, "assert-no-push", "--account", JULIET]

    assert pushdctl.main([*options, "--for", "1", "--since", "5s", "--device", "phone"]) == code

    assert capsys.readouterr().out.startswith(f"{words}\nWHEN")
    assert server.asked["arguments"] == {
        "account": JULIET,
        "seconds": "1.0",
        "since": "5.000000s",
        "device": "phone",
    }


@pytest.mark.parametrize(
    ("options", "arguments", "words"),
    [
        ([], {}, f"cut {JULIET}/phone: detached\n"),
        (["--withhold-acks"], {"withhold": "yes"}, f"heard no more {JULIET}/phone: detached\n"),
    ],
)
def test_what_was_cut_is_told(
    answer: Answer,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    arguments: dict[str, str],
    words: str,
) -> None:
    path, server = answer({"sessions": [{"jid": f"{JULIET}/phone", "state": "detached"}]})

    assert pushdctl.main(["--socket", path, "cut", JULIET, *options]) == 0

    assert capsys.readouterr().out == words
    assert server.asked["arguments"] == {"jid": JULIET} | arguments


def test_what_a_stranger_has_worded_is_one_line(
    answer: Answer, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = STEP | {"device": "a\x1b[2J\u202e" + 60 * "b", "why": "x\ny", "service": "s\x07"}
    path, _ = answer({"account": JULIET, "arrived": True, "mark": 7, "pushes": [hostile]})

    assert pushdctl.main(["--socket", path, "wait-push", "--account", JULIET]) == 0

    said = f"provider accepted: x?y  s? 3f9a1c a?[2J?{41 * 'b'}… (fcm), after 0.25 s"
    assert capsys.readouterr().out == f"{said}\nmark 7\n"


def test_a_mark_is_a_number_alone(answer: Answer, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = answer({"mark": 1795678699831331})
    assert pushdctl.main(["--socket", path, "push", "mark"]) == 0
    assert capsys.readouterr().out == "1795678699831331\n"
