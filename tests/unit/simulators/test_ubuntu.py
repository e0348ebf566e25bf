"""The stand-in for Ubuntu Push: what it takes, what it refuses, and what waits."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from pushd.providers.contract import Device, Notification, Response, Secret, Sending
from pushd.providers.ubuntu import Options, Ubuntu, read
from pushd.simulators.answers import Answer
from pushd.simulators.ubuntu import FAULTS, UbuntuSimulator
from tests.unit.simulators.bench import NOW, Wire, result_of

URL = "https://ubuntu.test"
TEXT = st.none() | st.text(max_size=2500)


class Bench:
    """The stand-in, without sockets."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.simulator = UbuntuSimulator(self.clock, URL)
        self._wire = Wire(self.simulator.site.resource)

    def post(self, body: bytes, kind: str = "application/json", path: str = "/notify") -> Response:
        return self.ask("POST", path, data=body, headers={"Content-Type": kind})

    def ask(self, method: str, path: str, **options: Any) -> Response:
        answer = result_of(self._wire.ask(method, URL + path, **options))
        return Response(answer.status, answer.headers, answer.body)

    def notify(self, **changes: Any) -> Response:
        content = {
            "appid": "chat.example_chat",
            "token": "phone",
            "expire_on": "2026-11-18T12:00:00.000Z",
            "data": {"message": {"count": 1}},
            **changes,
        }
        return self.post(json.dumps({k: v for k, v in content.items() if v is not None}).encode())


def test_a_notification_is_taken_and_put_on_record() -> None:
    bench = Bench()
    assert bench.notify(replace_tag="t").json() == {"ok": True}
    [received] = bench.simulator.requests
    assert received.remarks == ()
    assert (received.token, received.app, received.status) == ("phone", "chat.example_chat", 200)
    assert (received.replace_tag, received.data) == ("t", {"message": {"count": 1}})


@pytest.mark.parametrize(
    ("changes", "status", "error", "message"),
    [
        ({"token": None}, 400, "invalid-request", "Missing id field"),
        ({"appid": ""}, 400, "invalid-request", "Missing id field"),
        ({"data": None}, 400, "invalid-request", "Missing data field"),
        ({"data": "x" * 2047}, 400, "invalid-request", "Data too large"),
        ({"expire_on": None}, 400, "invalid-request", "Invalid expiration date"),
        ({"expire_on": "tomorrow"}, 400, "invalid-request", "Invalid expiration date"),
        ({"expire_on": "2026-13-18T12:00:00Z"}, 400, "invalid-request", "Invalid expiration date"),
        ({"expire_on": "2026-11-18T11:00:00Z"}, 400, "invalid-request", "Past expiration date"),
        ({"clear_pending": "no"}, 400, "invalid-request", "Malformed JSON Object"),
        ({"pad": "x" * 4096}, 413, "invalid-request", "Request body too large"),
        (
            {"token": base64.b64encode(b"other.example_other:1").decode()},
            401,
            "unauthorized",
            "Unauthorized",
        ),
    ],
)
def test_what_the_service_would_refuse_is_refused(
    changes: dict[str, Any], status: int, error: str, message: str
) -> None:
    answer = Bench().notify(**changes)
    assert (answer.status, answer.json()) == (status, {"error": error, "message": message})


def test_it_is_a_post_of_json_to_one_path() -> None:
    bench = Bench()
    assert bench.post(b"{}", "text/plain").status == 415
    assert bench.post(b"{").status == 400
    assert bench.post(b"{}", path="/other").status == 404
    assert bench.ask("GET", "/notify").status == 405


def test_what_waits_for_a_phone_is_replaced_by_tag_and_bounded() -> None:
    bench = Bench()
    bench.simulator.pending["phone"] = []
    for number in range(100):
        assert bench.notify(replace_tag=str(number)).status == 200
    assert bench.notify(replace_tag="7").status == 200
    refused = bench.notify(replace_tag="new")
    assert (refused.status, refused.json()["error"]) == (413, "too-many-pending")
    assert refused.json()["extra"] == {"message": {"count": 1}}
    assert bench.notify(replace_tag="new", clear_pending=True).status == 200
    assert len(bench.simulator.pending["phone"]) == 1


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_can_be_scripted(name: str) -> None:
    bench = Bench()
    bench.simulator.script("phone", Answer(error=name))
    answer = bench.notify()
    assert (answer.status, answer.json()["error"]) == FAULTS[name][:2]
    assert bench.notify().status == 200


@given(
    st.builds(
        Notification,
        node=st.text(min_size=1, max_size=50),
        message_count=st.none() | st.integers(0, 10**9),
        pending_subscription_count=st.none() | st.integers(0, 10**9),
        last_message_sender=TEXT,
        last_message_body=TEXT.map(lambda text: None if text is None else Secret(text)),
        last_subscription_sender=TEXT,
        urgent=st.booleans(),
        expires_at=st.none() | st.floats(NOW - 1e6, NOW + 1e7),
    ),
    st.booleans(),
)
def test_any_notification_is_one_that_the_service_takes(note: Notification, shrink: bool) -> None:
    token = base64.b64encode(b"chat.example_chat:\x01").decode()
    device = Device(Secret(token), fields={"application-id": "chat.example_chat"})
    provider = Ubuntu(Options(base_url=URL))
    request = provider.request(note, device, NOW, Sending(shrink=shrink))
    bench = Bench()
    answer = bench.post(request.body)
    assert answer.json() == {"ok": True}
    assert bench.simulator.requests[0].data["message"].get("node") in (note.node, None)
    assert bench.simulator.requests[0].remarks == ()
    assert type(read(answer, NOW)).__name__ == "Accepted"


def test_a_body_must_be_there() -> None:
    answer = Bench().post(b"")
    assert (answer.status, answer.json()["message"]) == (400, "Request body empty")


def test_what_is_too_old_waits_no_longer() -> None:
    bench = Bench()
    bench.simulator.pending["phone"] = []
    for number in range(100):
        assert bench.notify(replace_tag=str(number)).status == 200
    bench.clock.advance(3000)  # until after 12:00, when the first hundred have expired
    assert bench.notify(replace_tag="new", expire_on="2026-11-19T12:00:00.000Z").status == 413
    bench.clock.advance(4000)
    later = "2026-11-19T12:00:00.000Z"
    assert bench.notify(replace_tag="new", expire_on=later).status == 200
    [waits] = bench.simulator.pending["phone"]
    assert waits["replace_tag"] == "new"


def test_nothing_is_kept_for_a_phone_that_is_online() -> None:
    bench = Bench()
    assert bench.notify().status == 200
    assert bench.simulator.pending == {}


GOOD: dict[str, Any] = {
    "tag": "t",
    "sound": True,
    "vibrate": {"duration": 200},
    "emblem-counter": {"count": 3, "visible": True},
    "card": {
        "summary": "New message",
        "body": "Hi",
        "icon": "message",
        "actions": ["application:///messenger"],
        "timestamp": 1795000000,
        "persist": True,
        "popup": True,
    },
}


def remarks(data: Any, app: str = "chat.example_chat") -> tuple[str, ...]:
    bench = Bench()
    assert bench.notify(data=data, appid=app).status == 200
    return bench.simulator.requests[-1].remarks


def test_a_notification_that_is_as_it_should_be_is_not_remarked() -> None:
    assert remarks({"message": {"count": 1}, "notification": GOOD}) == ()
    assert remarks({"message": "any JSON"}) == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"card": {"body": "Hi"}}, "card: without a summary nothing is shown"),
        ({"card": {"summary": "Hi", "popup": "yes"}}, "card: popup is of another kind"),
        ({"card": {"summary": "Hi", "timestamp": True}}, "card: timestamp is of another kind"),
        ({"card": {"summary": "Hi", "actions": [5]}}, "card: actions are not texts"),
        ({"card": {"summary": "Hi", "title": "x"}}, "card has no 'title'"),
        ({"card": "Hi"}, "card is no object"),
        ({"emblem-counter": 3}, "emblem-counter is not of count and visible"),
        ({"emblem-counter": {"count": "3"}}, "emblem-counter: count is not a whole number"),
        (
            {"emblem-counter": {"count": 3, "visible": 1}},
            "emblem-counter: visible is neither true nor false",
        ),
        ({"tag": 5}, "tag is no text"),
        ({"badge": 3}, "notification has no 'badge'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_a_phone_would_drop_is_remarked(changes: dict[str, Any], words: str) -> None:
    assert remarks({"notification": GOOD | changes}) == (words,)


def test_what_is_around_a_notification_is_remarked_as_well() -> None:
    assert remarks({"aps": {}}) == ("data has no 'aps'",)
    assert remarks("text") == ("data is no object with message and notification",)
    assert remarks({"notification": "Hi"}) == ("notification is no object",)
    assert remarks({}, "chat.example_chat_1.0") == (
        "appid is not as package_hook, without a version",
    )
