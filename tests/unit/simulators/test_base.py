"""Records and scripts: what every stand-in has."""

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from pushd.simulators.answers import Answer, ScriptError
from pushd.simulators.base import Endpoint, Received, Record, Script, Simulator
from pushd.simulators.web import Reply
from tests.unit.simulators.bench import StillWaiting, result_of


def received(token: str = "phone") -> Received:
    return Received(at=0.0, token=token, message={"token": token})


def record_of(*tokens: str, limit: int = 100) -> Record[Received]:
    record: Record[Received] = Record(Clock(), limit)
    for token in tokens:
        record.add(received(token))
    return record


def tokens(found: list[Received]) -> list[str]:
    return [each.token for each in found]


def test_requests_are_kept_in_order_and_numbered_from_one() -> None:
    record = record_of("a", "b", "a")
    assert [(each.number, each.token) for each in record.since()] == [(1, "a"), (2, "b"), (3, "a")]
    assert record.last == 3


def test_a_record_can_be_read_for_one_token_and_after_a_number() -> None:
    record = record_of("a", "b", "a")
    assert [each.number for each in record.since(token="a")] == [1, 3]
    assert [each.number for each in record.since(1, "a")] == [3]
    assert record.since(3) == []


def test_a_record_keeps_the_newest_up_to_its_limit() -> None:
    record = record_of(*(str(number) for number in range(7)), limit=3)
    assert tokens(record.since()) == ["4", "5", "6"]
    assert record.last == 7


def test_next_gives_each_request_once_though_it_came_before() -> None:
    record = record_of("a", "b")
    assert result_of(record.next()).token == "a"
    assert result_of(record.next()).token == "b"
    with pytest.raises(StillWaiting):
        result_of(record.next())


def test_next_for_a_token_leaves_the_others() -> None:
    record = record_of("a", "b")
    assert result_of(record.next("b")).token == "b"
    assert result_of(record.next()).token == "a"


def test_next_waits_for_a_request_that_has_yet_to_come() -> None:
    record = record_of("a")
    waiting = Deferred.fromCoroutine(record.next("b"))
    record.add(received("a"))
    assert not waiting.called
    record.add(received("b"))
    assert result_of(waiting).number == 3


def test_two_who_wait_get_two_requests() -> None:
    record = record_of()
    first, second = (Deferred.fromCoroutine(record.next()) for _ in range(2))
    record.add(received("a"))
    assert result_of(first).token == "a"
    assert not second.called
    record.add(received("b"))
    assert result_of(second).token == "b"


def test_next_ends_with_a_timeout_and_without_naming_the_token() -> None:
    clock = Clock()
    record: Record[Received] = Record(clock)
    waiting = Deferred.fromCoroutine(record.next("top-secret-token", timeout=5))
    clock.advance(4)
    record.add(received("another"))
    clock.advance(0.5)
    assert not waiting.called
    clock.advance(0.5)
    with pytest.raises(TimeoutError, match=r"^no request for Secret\(\w+\) within 5 s$"):
        result_of(waiting)
    assert clock.getDelayedCalls() == []


def test_a_request_in_time_leaves_no_timer_behind() -> None:
    clock = Clock()
    record: Record[Received] = Record(clock)
    waiting = Deferred.fromCoroutine(record.next())
    record.add(received())
    result_of(waiting)
    assert clock.getDelayedCalls() == []


def test_closing_sends_away_who_waits() -> None:
    clock = Clock()
    record: Record[Received] = Record(clock)
    waiting = Deferred.fromCoroutine(record.next())
    record.close()
    with pytest.raises(CancelledError):
        result_of(waiting)
    assert clock.getDelayedCalls() == []


def test_a_cleared_record_is_empty_and_counts_on() -> None:
    record = record_of("a", "b")
    assert record.clear() == 2
    assert record.since() == []
    with pytest.raises(StillWaiting):
        result_of(record.next())
    assert record.add(received()).number == 3


def test_answers_come_in_the_order_they_were_scripted() -> None:
    script = Script(["GONE", "BUSY"])
    script.add("a", [Answer(error="BUSY"), Answer(error="GONE")])
    script.add("a", [Answer(status=502)])
    assert script.take("a") == Answer(error="BUSY")
    assert script.take("a") == Answer(error="GONE")
    assert script.take("a") == Answer(status=502)
    assert script.take("a") is None


def test_a_script_is_for_its_token_alone() -> None:
    script = Script(["GONE"])
    script.add("a", [Answer(error="GONE")])
    assert script.take("b") is None
    assert script.take("a") == Answer(error="GONE")


def test_answers_for_any_token_come_after_a_token_s_own() -> None:
    script = Script(["GONE", "BUSY"])
    script.add(None, [Answer(error="BUSY")])
    script.add("a", [Answer(error="GONE")])
    assert script.take("a") == Answer(error="GONE")
    assert script.take("a") == Answer(error="BUSY")
    assert script.take("a") is None


def test_an_answer_is_given_as_often_as_it_says() -> None:
    script = Script(["BUSY", "GONE"])
    script.add("a", [Answer(error="BUSY", times=2), Answer(error="GONE", times=None)])
    errors = [answer.error for answer in (script.take("a") for _ in range(5)) if answer]
    assert errors == ["BUSY", "BUSY", "GONE", "GONE", "GONE"]


def test_what_is_still_due_can_be_seen() -> None:
    script = Script(["BUSY", "GONE"])
    script.add("a", [Answer(error="BUSY", times=3), Answer(error="GONE", times=None)])
    script.take("a")
    assert script.waiting() == [
        ("a", [Answer(error="BUSY", times=2), Answer(error="GONE", times=None)])
    ]
    script.clear()
    assert script.waiting() == []


def test_an_unknown_error_is_refused_with_the_known_ones_and_nothing_is_scripted() -> None:
    script = Script(["GONE", "BUSY"])
    with pytest.raises(ScriptError, match="unknown error 'GOEN'; known are GONE, BUSY"):
        script.add("a", [Answer(error="BUSY"), Answer(error="GOEN")])
    assert script.take("a") is None


class Nowhere(Simulator[Received]):
    type = "nowhere"
    vendor = "nobody"

    def __init__(self) -> None:
        clock = Clock()
        super().__init__(clock, "", Endpoint(clock, ["GONE"]))


def test_a_base_url_has_no_slash_at_its_end() -> None:
    simulator = Nowhere()
    simulator.base_url = "https://localhost:1/"
    assert simulator.base_url == "https://localhost:1"


def test_a_stand_in_forgets_requests_and_scripts_at_once() -> None:
    simulator = Nowhere()
    simulator.script("a", Answer(error="GONE"))
    simulator.received(simulator.messages, received("a"), Reply(200))
    simulator.forget()
    assert simulator.requests == []
    assert simulator.messages.script.take("a") is None


def test_neither_token_nor_message_shows_in_logs_or_reprs() -> None:
    with capturedLogs() as events:
        simulator = Nowhere()
        simulator.received(simulator.messages, received("top-secret-token"), Reply(200))
    assert len(events) == 1
    assert "top-secret-token" not in f"{events} {simulator.requests}"
