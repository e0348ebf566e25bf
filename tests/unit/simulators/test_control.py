"""/control: the record and the script over HTTP."""

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from pushd.simulators.answers import Answer
from tests.unit.simulators.bench import NOW, URL, Bench, Response, note, result_of


@pytest.fixture
def bench() -> Bench:
    return Bench()


def script(bench: Bench, order: Any) -> Response:
    return bench.request("POST", "/control/script", data=json.dumps(order).encode())


def numbers(response: Response) -> list[int]:
    return [received["number"] for received in response.json["requests"]]


def test_the_first_page_says_what_this_is_and_how_to_use_it(bench: Bench) -> None:
    bench.send(note())
    page = bench.request("GET", "/control").json
    assert page["simulator"] == "fcm"
    assert page["url"] == URL
    assert page["send"] == f"{URL}/v1/projects/pushd-simulator/messages:send"
    assert page["endpoints"]["messages"]["received"] == 1
    assert "UNREGISTERED" in page["endpoints"]["messages"]["errors"]
    assert "invalid_grant" in page["endpoints"]["tokens"]["errors"]
    assert any("POST /control/script" in line for line in page["control"])
    assert bench.request("GET", "/control/").json == page


def test_every_key_of_an_answer_is_explained(bench: Bench) -> None:
    explained = bench.request("GET", "/control").json["answer"]
    assert set(explained) == set(Answer.__dataclass_fields__)


def test_requests_are_listed_with_all_that_is_known(bench: Bench) -> None:
    bench.send(note("phone"))
    response = bench.request("GET", "/control/requests")
    assert response.headers["cache-control"] == "no-store"
    assert response.json == {
        "requests": [
            {
                "number": 1,
                "at": NOW,
                "token": "phone",
                "message": note("phone"),
                "project": "pushd-simulator",
                "validate_only": False,
                "authorized_by": bench.simulator.service_account()["client_email"],
                "status": 200,
                "error": "",
                "early": 0.0,
            }
        ],
        "last": 1,
    }


def test_requests_can_be_asked_for_by_token_and_after_a_number(bench: Bench) -> None:
    for token in ("a", "b:1", "a", "b:1"):
        bench.send(note(token))
    assert numbers(bench.request("GET", "/control/requests?token=b%3A1")) == [2, 4]
    assert numbers(bench.request("GET", "/control/requests?token=a&since=1")) == [3]
    assert numbers(bench.request("GET", "/control/requests?since=4")) == []


def test_requests_for_access_tokens_are_listed_apart(bench: Bench) -> None:
    bench.send(note())
    listing = bench.request("GET", "/control/requests?endpoint=tokens").json
    assert [(each["status"], each["message"]) for each in listing["requests"]] == [(200, None)]


def test_a_listing_survives_what_json_can_carry_and_utf_8_cannot(bench: Bench) -> None:
    bench.send(None, body=b'{"message": {"token": "phone", "data": {"a": "\\ud800"}}}')
    listing = bench.request("GET", "/control/requests")
    assert listing.json["requests"][0]["message"]["data"] == {"a": "?"}


def test_a_long_poll_answers_at_once_when_there_is_something(bench: Bench) -> None:
    bench.send(note())
    assert numbers(bench.request("GET", "/control/requests?wait=30")) == [1]


def test_a_long_poll_waits_until_a_request_comes(bench: Bench) -> None:
    bench.send(note("phone"))
    waiting = bench.ask("GET", "/control/requests?token=phone&since=1&wait=30")
    bench.advance(10)
    bench.send(note("another"))
    assert not waiting.called
    bench.send(note("phone"))
    bench.advance(0)
    assert numbers(result_of(waiting)) == [3]


def test_a_long_poll_gives_up_after_its_time(bench: Bench) -> None:
    waiting = bench.ask("GET", "/control/requests?wait=2.5")
    bench.advance(2.4)
    assert not waiting.called
    bench.advance(0.1)
    assert result_of(waiting).json == {"requests": [], "last": 0}
    assert bench.clock.getDelayedCalls() == []


def test_a_stand_in_that_closes_keeps_nobody_waiting(bench: Bench) -> None:
    waiting = bench.ask("GET", "/control/requests?wait=30")
    bench.simulator.close()
    bench.advance(0)
    assert waiting.called
    waiting.addErrback(lambda _: None)
    assert bench.clock.getDelayedCalls() == []


def test_requests_can_be_forgotten(bench: Bench) -> None:
    bench.send(note())
    assert bench.request("DELETE", "/control/requests").json == {"forgotten": 1}
    assert bench.request("GET", "/control/requests").json == {"requests": [], "last": 1}
    bench.send(note())
    assert numbers(bench.request("GET", "/control/requests")) == [2]


def test_a_script_over_http_is_followed(bench: Bench) -> None:
    order = {
        "token": "phone",
        "answers": [{"error": "UNAVAILABLE", "retry_after": 10}, {"error": "UNREGISTERED"}],
    }
    assert script(bench, order).json == {"scripted": 2}
    first, second, third = (bench.send(note("phone")) for _ in range(3))
    assert (first.status, first.headers["retry-after"]) == (503, "10")
    assert (second.status, third.status) == (404, 200)


def test_a_script_posted_as_a_form_is_read_all_the_same(bench: Bench) -> None:
    """What `curl -d` sends unless it is told more."""
    response = bench.request(
        "POST",
        "/control/script",
        data=b'{"answers": [{"error": "INTERNAL"}]}',
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert response.status == 200
    assert bench.send(note()).status == 500


def test_the_token_endpoint_is_scripted_by_its_name(bench: Bench) -> None:
    order = {"endpoint": "tokens", "answers": [{"error": "invalid_grant", "times": None}]}
    assert script(bench, order).status == 200
    assert [bench.ask_token(bench.assertion()).status for _ in range(2)] == [400, 400]


def test_what_is_due_is_shown_and_can_be_forgotten(bench: Bench) -> None:
    script(bench, {"token": "phone", "answers": [{"error": "INTERNAL", "times": 3}]})
    script(bench, {"endpoint": "tokens", "answers": [{"lifetime": 5}]})
    bench.simulator.messages.script.take("phone")
    assert bench.request("GET", "/control/script").json == {
        "messages": [{"token": "phone", "answers": [{"error": "INTERNAL", "times": 2}]}],
        "tokens": [{"token": None, "answers": [{"lifetime": 5, "times": 1}]}],
    }
    assert bench.request("DELETE", "/control/script").status == 200
    assert bench.request("GET", "/control/script").json == {"messages": [], "tokens": []}


def test_credentials_are_handed_out(bench: Bench) -> None:
    assert bench.request("GET", "/control/credentials").json == bench.simulator.service_account()


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"answers": [{"error": "GONE"}]}, "unknown error 'GONE'; known are UNREGISTERED"),
        ({"answers": [{"eror": "INTERNAL"}]}, "an answer has no 'eror'"),
        ({"answers": []}, "answers must be a list with at least one answer"),
        ({"token": "phone"}, "answers must be a list with at least one answer"),
        ({"answers": {"error": "INTERNAL"}}, "answers must be a list with at least one answer"),
        ({"token": 7, "answers": [{}]}, "token must be text"),
        ({"endpoint": "grants", "answers": [{}]}, "no endpoint 'grants'; there are messages, tok"),
        ({"endpoint": [], "answers": [{}]}, "no endpoint []"),
        ({"tokens": "phone", "answers": [{}]}, "but no 'tokens'"),
        ([], "the body must be a JSON object"),
    ],
)
def test_a_script_that_makes_no_sense_is_refused_in_words(
    bench: Bench, order: Any, words: str
) -> None:
    response = script(bench, order)
    assert response.status == 400
    assert words in response.json["error"]
    assert bench.send(note()).status == 200


def test_of_a_script_with_one_mistake_nothing_is_taken(bench: Bench) -> None:
    order = {"token": "phone", "answers": [{"error": "INTERNAL"}, {"delay": -1}]}
    assert script(bench, order).status == 400
    assert bench.send(note("phone")).status == 200


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_script_that_is_no_json_is_refused(bench: Bench, body: bytes) -> None:
    response = bench.request("POST", "/control/script", data=body)
    assert response.status == 400
    assert "not JSON" in response.json["error"]


def test_a_script_without_end_is_refused(bench: Bench) -> None:
    response = bench.request("POST", "/control/script", data=b" " * 1_048_577)
    assert response.status == 400
    assert "1048576 bytes at most" in response.json["error"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("since=-1", "since must be a whole number of 0 or more, not '-1'"),
        ("since=1.5", "since must be a whole number of 0 or more, not '1.5'"),
        ("since=", "since must be a whole number of 0 or more, not ''"),
        ("wait=301", "wait must be 0 to 300 seconds, not '301'"),
        ("wait=nan", "wait must be 0 to 300 seconds, not 'nan'"),
        ("wait=long", "wait must be 0 to 300 seconds, not 'long'"),
        ("tokne=phone", "unknown parameter 'tokne'; this takes token, since, wait, endpoint"),
        ("token=a&token=b", "token is there 2 times"),
        ("endpoint=x", "there is no endpoint 'x'"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused_in_words(
    bench: Bench, query: str, words: str
) -> None:
    response = bench.request("GET", f"/control/requests?{query}")
    assert response.status == 400
    assert words in response.json["error"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/control", "GET"),
        ("PUT", "/control/script", "GET, POST, DELETE"),
        ("POST", "/control/requests", "GET, DELETE"),
        ("DELETE", "/control/credentials", "GET"),
    ],
)
def test_another_method_is_refused_with_the_right_ones(
    bench: Bench, method: str, path: str, allow: str
) -> None:
    response = bench.request(method, path)
    assert response.status == 405
    assert response.headers["allow"] == allow


@pytest.mark.parametrize("path", ["/control/x", "/control/requests/1", "/control/%ff"])
def test_there_is_nothing_else_under_control(bench: Bench, path: str) -> None:
    response = bench.request("GET", path)
    assert response.status == 404
    assert response.json["error"].startswith("there is no /control/")


def test_a_stand_in_without_credentials_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.simulator, "credentials", lambda: None)
    assert bench.request("GET", "/control/credentials").status == 404


def test_a_client_that_leaves_a_long_poll_leaves_nothing_behind(bench: Bench) -> None:
    waiting: Deferred[Response] = bench.ask("GET", "/control/requests?wait=30")
    waiting.addErrback(lambda _: None)
    waiting.cancel()
    bench.advance(0)
    assert bench.clock.getDelayedCalls() == []
