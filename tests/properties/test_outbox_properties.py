"""Whatever is published, answered, cut short and killed: every device learns the newest."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from pushd.appserver import lines
from pushd.appserver.limits import Rate, Rules
from pushd.providers.contract import Failed, Limits, Request, Response
from pushd.providers.dispatch import Dispatcher
from pushd.routing.events import PushSettled
from tests.effort import examples
from tests.hall import Hall
from tests.unit.appserver.stage import Post, Stage, notification, register
from tests.unit.appserver.test_outbox import HIGH, killed

DEVICES = ("a", "b", "c", "d")
RULES = Rules(pushes=Rate(20.0, 2), urgent_pushes=Rate(5.0, 1))


class Network:
    """A provider's service: requests that wait for their answers, and what devices were told."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, int, Deferred[Response | Failed]]] = []
        self.told: dict[str, int] = {}
        self.most = 0  # under way at a time

    def send(self, request: Request, timeout: float) -> Deferred[Response | Failed]:
        body = json.loads(request.body)
        answer: Deferred[Response | Failed] = Deferred()
        self.waiting.append((body["to"], body["message-count"], answer))
        self.most = max(self.most, len(self.waiting))
        return answer

    def answer(self, place: int, status: int) -> tuple[str, int] | None:
        if not self.waiting:
            return None
        token, count, answer = self.waiting.pop(place % len(self.waiting))
        if status == 200:
            self.told[token] = count
        answer.callback(Response(status))
        return token, count


class Wire:
    """What one process has of the network: nothing, once it is killed.

    What a killed process leaves is collected at some time, and its coroutines end then: whatever
    they still try must not be seen.
    """

    def __init__(self, network: Network) -> None:
        self._network: Network | None = network

    def send(self, request: Request, timeout: float) -> Deferred[Response | Failed]:
        return Deferred() if self._network is None else self._network.send(request, timeout)

    def cut(self) -> None:
        self._network = None


class House:
    """A push service with four devices, which may be killed."""

    def __init__(self, path: Path) -> None:
        self.network = Network()
        self.stage = self._open(path)
        self._path = path
        phone = self.stage.client()
        self.given = {name: register(phone, device_id=name, token=name) for name in DEVICES}
        self.newest: dict[str, int] = {}  # what each device is to learn in the end
        self._count = 0

    def _open(self, path: Path) -> Stage:
        def make(hall: Hall) -> Dispatcher:
            self.wire = Wire(self.network)
            dispatcher = Dispatcher(hall.clock, self.wire)
            dispatcher.add("post", Post(), Limits(concurrency=2))
            dispatcher.add("pigeon", Post())
            self.dispatcher = dispatcher
            return dispatcher

        return Stage(path=path, dispatcher=make, rules=RULES)

    def publish(self, device: str, urgent: bool) -> None:
        self._count += 1
        node, secret = self.given[device]
        note = notification({"message-count": str(self._count)}, HIGH if urgent else "")
        assert self.stage.publish(node, secret, items=f"<item>{note}</item>") == ""
        self.newest[device] = self._count

    def answer(self, place: int, status: int) -> None:
        answered = self.network.answer(place, status)
        if answered is not None and status == 400 and self.newest.get(answered[0]) == answered[1]:
            del self.newest[answered[0]]  # refused for good
        self.stage.hall.advance(0)

    def renew(self, device: str) -> None:
        phone = self.stage.client()
        self.given[device] = register(phone, device_id=device, token=device)

    def kill(self) -> None:
        self._path = killed(self._path)
        self.wire.cut()
        self.stage.hall.cut()
        for *_, answer in self.network.waiting:
            answer.addErrback(lambda failure: None)
        self.network.waiting.clear()
        self.stage.server.stop()  # lest what is under way there ends at any later time
        self.stage = self._open(self._path)

    def do(self, step: tuple[str, Any, Any]) -> None:
        match step:
            case ("publish", device, urgent):
                self.publish(device, urgent)
            case ("answer", place, status):
                self.answer(place, status)
            case ("renew", device, _):
                self.renew(device)
            case ("pause", is_paused, _):
                (self.dispatcher.pause if is_paused else self.dispatcher.resume)("post")
            case ("time", seconds, _):
                self.stage.hall.advance(seconds)
            case ("kill", _, _):
                self.kill()

    def check(self) -> None:
        """What is in memory is on disk, and nothing is in two places."""
        outbox = self.stage.server.outbox
        rows = self.stage.hall.rows("SELECT node FROM outbox")
        assert {node for (node,) in rows} == {push.node for push in outbox.waiting()}
        places = [set(outbox._under_way), set(outbox._delays), set(outbox._lines._places)]
        assert sum(map(len, places)) == len(set().union(*places)) == len(outbox)
        assert self.network.most <= 2

    def drain(self) -> None:
        """All goes well from now on."""
        self.dispatcher.resume("post")
        for _ in range(200):
            while self.network.waiting:
                self.answer(0, 200)
            if not len(self.stage.server.outbox):
                return
            self.stage.hall.advance(20)
        raise AssertionError("something never leaves")


@contextmanager
def house() -> Iterator[House]:
    with tempfile.TemporaryDirectory() as folder:
        yield House(Path(folder) / "db")


STEPS = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from(DEVICES), st.booleans()),
    st.tuples(st.just("answer"), st.integers(0, 3), st.sampled_from((200, 200, 503, 400))),
    st.tuples(st.just("renew"), st.sampled_from(DEVICES), st.none()),
    st.tuples(st.just("pause"), st.booleans(), st.none()),
    st.tuples(st.just("time"), st.sampled_from((0, 1, 5, 20, 100)), st.none()),
    st.tuples(st.just("kill"), st.none(), st.none()),
)


@pytest.mark.parametrize("width", [1, 1000])
@settings(max_examples=examples(60))
@given(steps=st.lists(STEPS, max_size=40))
@example(steps=[("publish", "a", False), ("kill", None, None)])
@example(steps=[("publish", "a", False), ("publish", "b", False), ("publish", "a", True)])
@example(steps=[("publish", "a", False)] * 5 + [("kill", None, None), ("publish", "a", True)])
def test_every_device_learns_the_newest_in_the_end(
    width: int, steps: list[tuple[str, Any, Any]]
) -> None:
    with pytest.MonkeyPatch.context() as patch, house() as there:
        patch.setattr(lines, "WIDTH", width)
        for step in steps:
            there.do(step)
            there.check()
        there.drain()

        for device, count in there.newest.items():
            assert there.network.told.get(device) == count, device
        assert there.stage.hall.rows("SELECT * FROM outbox") == []
        assert len(there.stage.nodes()) == len(DEVICES)
        assert {one.outcome for one in there.stage.hall.events(PushSettled)} <= {
            "accepted",
            "refused",
        }
