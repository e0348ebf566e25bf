"""The demonstration: how it reads a push, and a ready file. The play itself is a scenario."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pushd.cli.demo import Demo, Failed, Registration, Watch
from pushd.wire.secret import Secret
from tests.support import result_of

READY = '{"c2s": {}, "ca": "", "accounts": [], "push": {}}'


def a_push(number: int = 1, node: str = "n1", count: str = "1", status: int = 200) -> Any:
    """A request as the stand-in for FCM has it on record."""
    return {
        "number": number,
        "status": status,
        "error": "" if status == 200 else "UNREGISTERED",
        "message": {
            "data": {"node": node, "message-count": count},
            "android": {"priority": "HIGH"},
        },
    }


@pytest.fixture
def watch() -> Watch:
    registered = Registration("push.localhost", "n1", Secret("s"))
    return Watch("https://127.0.0.1:1/control", "token", registered)


def test_pushes_are_counted_and_told_in_words(watch: Watch) -> None:
    assert watch.take(a_push(7)) == "accepted push 1: 1 message waits, priority HIGH"
    assert watch.take(a_push(9, count="3")) == "accepted push 2: 3 messages wait, priority HIGH"

    assert (watch.pushes, watch.told, watch.since) == (2, 3, 9)


@pytest.mark.parametrize(
    ("push", "words"),
    [
        (a_push(status=404), "FCM refused a push: 404 UNREGISTERED"),
        (a_push(node="n2"), "a push names another node than the phone's"),
    ],
)
def test_a_push_that_is_not_as_it_should_be_fails(watch: Watch, push: Any, words: str) -> None:
    with pytest.raises(Failed, match=words):
        watch.take(push)

    assert watch.pushes == 0


class Reactor:
    """Tells the time; nothing else is asked of it before a server is found."""

    def seconds(self) -> float:
        return 0.0


@pytest.fixture
def play(tmp_path: Path) -> Callable[[str | None], list[str]]:
    """Plays with a ready file of this content, or of none; gives what was said."""

    def run(content: str | None) -> list[str]:
        said: list[str] = []
        file = tmp_path / "ready.json"
        if content is not None:
            file.write_text(content)
        assert result_of(Demo(Reactor(), said.append).play(file)) == 1
        return [line.replace(str(file), "FILE") for line in said]

    return run


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "FILE: No such file or directory"),
        ("", "FILE is no ready file"),
        ("7", "FILE is no ready file"),
        (READY, "FILE is not the ready file of a development server: simulators is missing"),
    ],
)
def test_a_ready_file_that_is_none_ends_the_play_with_words(
    play: Callable[[str | None], list[str]], content: str | None, words: str
) -> None:
    assert play(content)[-1] == f"\nit failed: {words}"
