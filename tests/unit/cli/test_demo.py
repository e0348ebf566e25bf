"""The demonstration: how it reads a push, and a ready file. The play itself is a scenario."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pushd.cli.demo import Demo
from pushd.cli.demopushes import APNS, FCM, NETWORKS, Failed, Registration, Watch
from pushd.cli.pushdctl import NETWORK
from pushd.wire.secret import Secret
from tests.support import result_of

REGISTERED = Registration("push.localhost", "n1", Secret("s"))
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
    return Watch(FCM, "https://127.0.0.1:1/control", "token", REGISTERED)


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


def an_apple_push(**changes: Any) -> Any:
    """A request as the stand-in for APNs has it on record."""
    message = {"aps": {"alert": "New"}, "node": "n1", "message-count": 3}
    usual = {"number": 4, "status": 200, "error": "", "priority": 10, "remarks": []}
    return usual | {"message": message} | changes


def test_pushes_of_apple_s_are_read_as_well() -> None:
    watch = Watch(APNS, "https://127.0.0.1:1/control", "token", REGISTERED)
    assert watch.take(an_apple_push()) == "accepted push 1: 3 messages wait, priority 10"
    for push, words in (
        (an_apple_push(status=410, error="Unregistered"), "APNs refused a push: 410 Unregistered"),
        (an_apple_push(remarks=["apns-push-type is missing"]), "APNs frowns at a push: apns-push"),
        (an_apple_push(message={"node": "n2"}), "a push names another node than the phone's"),
    ):
        with pytest.raises(Failed, match=words):
            watch.take(push)
    assert (watch.pushes, watch.told) == (1, 3)


def a_request(**more: Any) -> Any:
    return {"number": 1, "status": 200, "error": "", **more}


SUMMARY = {"node": "n1", "message-count": 3}


@pytest.mark.parametrize(
    ("network", "request_", "priority"),
    [
        ("webpush", {"status": 201, "message": SUMMARY, "urgency": "high"}, "high"),
        ("unifiedpush", {"message": SUMMARY, "urgency": "normal"}, "normal"),
        ("wns", {"message": SUMMARY, "priority": "1"}, "1"),
        ("ubuntu", {"data": {"message": SUMMARY}}, "normal"),
        (
            "webhook",
            {
                "status": 204,
                "message": {"node": "n1", "summary": {"message-count": 3}, "urgent": True},
            },
            "urgent",
        ),
    ],
)
def test_pushes_of_every_network_are_read(network: str, request_: Any, priority: str) -> None:
    watch = Watch(NETWORKS[network], "https://127.0.0.1:1/control", "token", REGISTERED)
    told = watch.take(a_request(**request_))
    assert told == f"accepted push 1: 3 messages wait, priority {priority}"


def test_the_command_line_offers_every_network() -> None:
    assert set(NETWORK.how["choices"]) == set(NETWORKS)


def test_a_phone_registers_what_its_network_wants() -> None:
    subscription = {"endpoint": "https://push.test/1", "p256dh": "B", "auth": "a", "name": ""}
    assert set(NETWORKS["webpush"].fields(subscription)) == {"endpoint", "p256dh", "auth"}
    assert set(NETWORKS["ubuntu"].fields({})) == {"token", "application-id"}
    channel = NETWORKS["wns"].fields({"channel": "https://wns.test/channel/?token=NAME"})["token"]
    assert channel.startswith("https://wns.test/channel/?token=")


def test_tokens_are_such_as_the_networks_take() -> None:
    assert len(bytes.fromhex(APNS.fields({})["token"])) == 32
    assert FCM.fields({}) != FCM.fields({})


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
