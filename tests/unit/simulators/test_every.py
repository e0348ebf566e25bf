"""Every stand-in is scripted alike: one table over all of them, over both HTTPs."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from twisted.logger import LogLevel, capturedLogs

from pushd.simulators.answers import Answer, Ending
from tests.unit.simulators.every import EVERY, Asked, Connection, Narrow, Peer, Sent

PHONE = "phone"
ALONE = {"apns": ("2",)}  # which HTTP it speaks, where not both


def _cases() -> Iterator[Any]:
    for name in EVERY:
        for version in ALONE.get(name, ("2", "1.1")):
            yield pytest.param((name, version), id=f"{name} HTTP/{version}")


class Case:
    """One stand-in over one HTTP."""

    def __init__(self, name: str, version: str) -> None:
        self.peer: Peer = EVERY[name]()
        self.version = version

    @property
    def record(self) -> list[Any]:
        return list(self.peer.simulator.endpoints[self.peer.endpoint].record.since())

    def connect(self) -> Connection:
        return Connection(self.peer, self.version)

    def push(self, device: str = PHONE) -> Asked:
        """A push that is answered at once, on a connection of its own."""
        connection = self.connect()
        asked = connection.ask(self.peer.send(device))
        connection.leave()
        return asked

    def script(self, *answers: Answer, device: str | None = PHONE) -> None:
        self.tell("POST", "script", *answers, device=device)

    def tell(self, method: str, room: str, *answers: Answer, device: str | None = PHONE) -> Any:
        """By the control requests, which are the same at all of them."""
        token = None if device is None or self.peer.one_token else self.peer.token(device)
        order: dict[str, Any] = {"token": token, "endpoint": self.peer.endpoint}
        order["answers"] = [answer.as_json() for answer in answers]
        body = json.dumps(order).encode() if method == "POST" else b""
        sent = Sent(f"{self.peer.simulator.base_url}/control/{room}", {}, body, method)
        connection = Connection(self.peer, self.version)
        asked = connection.ask(sent)
        connection.leave()
        assert asked.status == 200, asked.body
        return json.loads(asked.body)

    def state(self, token: str, state: str) -> int | None:
        """Say what a token has come to; gives the status of the answer."""
        body = json.dumps({"token": token, "is": state}).encode()
        sent = Sent(f"{self.peer.simulator.base_url}/control/states", {}, body)
        connection = Connection(self.peer, self.version)
        asked = connection.ask(sent)
        connection.leave()
        return asked.status

    def advance(self, seconds: float) -> None:
        self.peer.clock.advance(seconds)


@pytest.fixture(params=_cases())
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*request.param)


def test_without_a_script_a_push_is_accepted(case: Case) -> None:
    asked = case.push()
    assert (asked.status, asked.is_whole) == (case.peer.accepted, True)
    (received,) = case.record
    assert (received.status, received.error) == (case.peer.accepted, "")
    if not case.peer.one_token:
        assert received.token == case.peer.token(PHONE)
    if case.peer.endpoint == "messages" and case.peer.simulator.type != "ubuntu":
        assert received.authorized_by


def test_a_sequence_of_statuses_is_for_one_token(case: Case) -> None:
    case.script(Answer(status=429), Answer(status=503, times=2), Answer())
    if not case.peer.one_token:
        assert case.push("tablet").status == case.peer.accepted
    seen = [case.push().status for _ in range(5)]
    accepted = case.peer.accepted
    assert seen == [429, 503, 503, accepted, accepted]
    assert [one.status for one in case.record][-5:] == seen


def test_another_status_that_accepts_is_the_vendor_s_answer_all_the_same(case: Case) -> None:
    usual = case.push()
    case.script(Answer(status=202))
    asked = case.push()
    assert asked.status == 202
    assert asked.headers.get("content-type") == usual.headers.get("content-type")
    assert bool(asked.body) == bool(usual.body)


def test_the_vendor_s_errors_bring_their_status(case: Case) -> None:
    case.script(Answer(error=case.peer.error, retry_after=7))
    asked = case.push()
    assert (asked.status, asked.headers["retry-after"]) == (case.peer.error_status, "7")
    assert case.record[-1].error == case.peer.error
    case.script(Answer(error=case.peer.error, status=418, times=None))
    assert [case.push().status for _ in range(3)] == [418] * 3


def test_an_answer_for_any_token(case: Case) -> None:
    case.script(Answer(status=502), Answer(body="as it likes", headers={"X-One": "1"}), device=None)
    assert case.push("tablet").status == 502
    asked = case.push()
    assert asked.headers["x-one"] == "1"
    if asked.status != 204:
        assert asked.body == b"as it likes"


def test_a_token_may_come_to_something_for_good(case: Case) -> None:
    if case.peer.one_token:
        return
    token, error = case.peer.token(PHONE), case.peer.error
    case.script(Answer(status=503))
    assert case.state(token, error) == 200
    assert [case.push().status for _ in range(3)] == [case.peer.error_status] * 3
    assert case.record[-1].error == error
    assert case.push("tablet").status == case.peer.accepted
    assert case.state(token, "odd") == 400
    assert case.state(token, "") == 200
    assert case.push().status == 503  # the script has waited
    case.state(token, error)
    case.peer.simulator.forget()
    assert case.push().status == case.peer.accepted


def test_a_delay_is_waited_for(case: Case) -> None:
    case.script(Answer(delay=30), Answer(delay=30, status=500))
    for status in (case.peer.accepted, 500):
        connection = case.connect()
        assert connection.ask(case.peer.send(PHONE)) == Asked()
        assert case.record[-1].status == status  # it is on record at once
        case.advance(29)
        assert connection.see() == Asked()
        case.advance(1)
        assert (connection.see().status, connection.see().is_whole) == (status, True)


def test_a_delay_that_nobody_waits_for_leaves_no_timer(case: Case) -> None:
    before = len(case.peer.clock.getDelayedCalls())
    case.script(Answer(delay=30))
    connection = case.connect()
    connection.ask(case.peer.send(PHONE))
    connection.leave()
    assert len(case.peer.clock.getDelayedCalls()) == before


def test_a_stall_lasts_until_the_stand_in_closes(case: Case) -> None:
    case.script(Answer(ending=Ending.STALL))
    connection = case.connect()
    connection.ask(case.peer.send(PHONE))
    case.advance(100)
    assert connection.see() == Asked()
    assert connection.is_open
    assert case.record[-1].status is None
    assert case.push().status == case.peer.accepted  # others are served
    case.peer.simulator.close()
    assert not connection.is_open


def test_a_cut_comes_before_any_answer(case: Case) -> None:
    case.script(Answer(ending=Ending.CUT), Answer(ending=Ending.CUT, delay=5))
    connection = case.connect()
    connection.ask(case.peer.send(PHONE))
    assert connection.was_aborted
    connection = case.connect()
    assert connection.ask(case.peer.send(PHONE)) == Asked()
    assert connection.is_open
    case.advance(5)
    assert connection.was_aborted
    assert [one.status for one in case.record] == [None, None]


def test_an_answer_may_break_off_in_the_middle(case: Case) -> None:
    case.script(Answer(ending=Ending.TRUNCATED, status=200, body="x" * 100))
    connection = case.connect()
    asked = connection.ask(case.peer.send(PHONE))
    assert (asked.status, len(asked.body), asked.is_whole) == (200, 50, False)
    assert not connection.is_open


def test_a_body_may_have_no_end(case: Case) -> None:
    before = len(case.peer.clock.getDelayedCalls())
    case.script(Answer(ending=Ending.ENDLESS, status=200))
    connection = case.connect()
    connection.ask(case.peer.send(PHONE))
    sizes = []
    for _ in range(20):
        case.advance(0)  # as much as the reader takes
        sizes.append(len(connection.see().body))
    assert sizes[-1] > sizes[10] > 65_536
    assert not connection.see().is_whole
    connection.leave()
    assert len(case.peer.clock.getDelayedCalls()) == before


def test_one_request_of_many_may_be_reset(case: Case) -> None:
    case.script(Answer(ending=Ending.RESET))
    connection = case.connect()
    asked = connection.ask(case.peer.send(PHONE))
    assert asked.status is None
    assert connection.is_open == (case.version == "2")
    assert case.record[-1].status is None


def test_a_mistake_uses_up_no_answer(case: Case) -> None:
    case.script(Answer(status=503))
    connection = case.connect()
    wrong = connection.ask(case.peer.wrong(PHONE)).status
    assert wrong is not None
    assert 400 <= wrong < 500
    assert case.push().status == 503


def test_headers_beyond_ascii_and_endless_numbers_are_no_accident(case: Case) -> None:
    names = ("authorization", "content-type", "ttl", "topic", "x-wns-ttl", "webhook-timestamp")
    with capturedLogs() as logged:
        for value in ("\u00e9", "9" * 5_000):
            for name in names:
                sent = case.peer.send(PHONE)
                sent.headers[name] = value
                connection = case.connect()
                asked = connection.ask(sent)
                assert asked.status is not None
                assert asked.status < 500
                connection.leave()
    assert not [event for event in logged if event["log_level"] >= LogLevel.error]
    json.dumps([one.as_json() for one in case.record])


def test_who_takes_a_request_back_at_once_breaks_nothing(case: Case) -> None:
    if case.version != "2":
        return
    peer = case.peer
    sent = peer.send(PHONE)
    parts = urlsplit(sent.url)
    pseudo = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", sent.url.removeprefix(f"{parts.scheme}://{parts.netloc}")),
        (":authority", parts.netloc),
    ]
    client = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    client.initiate_connection()
    client.send_headers(1, [*pseudo, *sent.headers.items()])
    client.send_data(1, sent.body, end_stream=True)
    client.reset_stream(1)
    protocol = peer.door.buildProtocol(None)
    transport = Narrow()  # type: ignore[no-untyped-call]
    transport.protocol = protocol
    protocol.makeConnection(transport)
    with capturedLogs() as logged:
        protocol.dataReceived(client.data_to_send())  # all in one piece
    assert not [event for event in logged if event["log_level"] >= LogLevel.error]
    assert transport.connected
    assert [one.status for one in case.record] == [peer.accepted]
    transport.loseConnection()
    transport.settle()
    assert not peer.clock.getDelayedCalls()


def test_a_content_type_of_any_bytes_breaks_nothing(case: Case) -> None:
    if case.version == "2":
        return
    sent = case.peer.send(PHONE)
    sent.headers["content-type"] = "application/\x0c/json"
    assert case.connect().ask(sent).status in (400, 401, 404, 415, case.peer.accepted)


def test_what_is_due_is_shown_and_forgotten(case: Case) -> None:
    case.script(Answer(status=503, times=3), Answer(ending=Ending.STALL, delay=2))
    case.push()
    (due,) = case.tell("GET", "script")[case.peer.endpoint]
    assert due["answers"] == [
        {"status": 503, "times": 2},
        {"ending": "stall", "delay": 2, "times": 1},
    ]
    case.tell("DELETE", "script")
    assert case.push().status == case.peer.accepted
    shown = case.tell("GET", f"requests?endpoint={case.peer.endpoint}")
    assert [one["status"] for one in shown["requests"]] == [503, case.peer.accepted]
    json.dumps(shown)
