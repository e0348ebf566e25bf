"""Outbox and dispatcher together: whose request leaves next, and what pauses and restarts leave."""

import json
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred

from pushd.providers.contract import Failed, Limits, Request, Response
from pushd.providers.dispatch import Dispatcher
from pushd.routing.events import DeviceUnregistered, PushSettled
from tests.hall import Hall
from tests.unit.appserver.stage import Pigeon, Post, Stage, notification, register
from tests.unit.appserver.test_outbox import HIGH, killed


class Slow:
    """A provider that answers when told to."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.answers: list[Deferred[Response | Failed]] = []

    def send(self, request: Request, timeout: float) -> Deferred[Response | Failed]:
        self.tokens.append(json.loads(request.body)["to"])
        self.answers.append(Deferred())
        return self.answers[-1]

    def answer(self, status: int = 200) -> None:
        """The oldest request."""
        self.answers.pop(0).callback(Response(status))


class Turns(Stage):
    """Phones whose provider takes one request at a time."""

    def __init__(self, path: Path | str = ":memory:", concurrency: int = 1) -> None:
        self.slow = Slow()
        self.dispatcher: Dispatcher
        self._concurrency = concurrency
        super().__init__(dispatcher=self.make, path=path)
        self.devices: dict[str, tuple[str, str]] = {}

    def make(self, hall: Hall) -> Dispatcher:
        self.dispatcher = Dispatcher(hall.clock, self.slow)
        self.dispatcher.add("post", Post(), Limits(concurrency=self._concurrency))
        self.dispatcher.add("pigeon", Pigeon())
        return self.dispatcher

    def enrol(self, *tokens: str) -> None:
        phone = self.client()
        for token in tokens:
            self.devices[token] = register(phone, device_id=token, token=token)

    def push(self, token: str, more: str = "") -> None:
        node, secret = self.devices[token]
        items = f"<item>{notification({'message-count': '1'}, more)}</item>"
        assert self.publish(node, secret, items=items) == ""

    def drain(self, until: Callable[[], bool] = lambda: False) -> list[str]:
        """Answer each request as it comes; the tokens of all."""
        while self.slow.answers and not until():
            self.slow.answer()
        return self.slow.tokens


def test_what_is_urgent_goes_next_though_its_node_waits_for_a_turn_already() -> None:
    stage = Turns()
    stage.enrol("a", "b", "c")
    for token in "abc":
        stage.push(token)
    assert stage.slow.tokens == ["a"]

    stage.push("c", HIGH)

    assert stage.drain() == ["a", "c", "b"]
    assert len(stage.server.outbox) == 0
    assert stage.dispatcher.pending("post") == 0


def test_a_request_that_has_left_is_not_repeated_because_of_something_urgent() -> None:
    stage = Turns()
    stage.enrol("a", "b")
    stage.push("a")
    stage.push("b")
    stage.push("a", HIGH)

    assert stage.slow.tokens == ["a"]
    assert stage.drain() == ["a", "b", "a"]


def test_what_waits_for_a_paused_backend_goes_when_it_resumes() -> None:
    stage = Turns()
    stage.enrol("a", "b")
    stage.dispatcher.pause("post")
    stage.push("a")
    stage.push("b")
    stage.hall.advance(3600)
    assert stage.slow.tokens == []
    assert len(stage.server.outbox) == 2

    stage.dispatcher.resume("post")
    assert stage.drain() == ["a", "b"]


def test_a_provider_that_answers_nothing_delays_no_other() -> None:
    stage = Turns()
    stage.enrol("a", "b")
    dove, secret = register(
        stage.client(), "pigeon", device_id="dove", token="dove", application_id="x"
    )
    stage.push("a")
    stage.push("b")

    stage.publish(dove, secret)

    assert stage.slow.tokens == ["a", "dove"]


def test_what_was_under_way_at_a_kill_is_sent_again(tmp_path: Path) -> None:
    stage = Turns(tmp_path / "db", concurrency=2)
    stage.enrol("a", "b", "c")
    for token in "abc":
        stage.push(token)
        stage.hall.advance(1)
    stage.slow.answer()  # a is done
    stage.hall.advance(0)

    again = Turns(killed(tmp_path / "db"))

    assert again.drain() == ["b", "c"]
    assert again.hall.rows("SELECT * FROM outbox") == []


def test_a_mass_of_dead_tokens_deletes_nothing_and_keeps_what_waits() -> None:
    stage = Turns()
    tokens = [f"t{number}" for number in range(30)]
    stage.enrol(*tokens[:20])  # as many as an account may have
    for token in tokens[:20]:
        stage.push(token)

    for _ in range(20):
        if stage.slow.answers:
            stage.slow.answer(410)

    gone = stage.hall.events(DeviceUnregistered)
    assert len(gone) == 10
    assert len(stage.nodes()) == 10
    assert len(stage.server.outbox) == 10
    assert any("too many devices" in text for text in stage.dispatcher.health("post").alarms)
    assert {event.outcome for event in stage.hall.events(PushSettled)} == {"unregistered"}
