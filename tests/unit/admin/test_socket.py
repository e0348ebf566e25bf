"""The operator's socket: a line asks, a line answers, whatever stands in it."""

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.internet.testing import StringTransport

from pushd.admin.operations import Refused
from pushd.admin.socket import LONGEST_LINE, OperatorFactory
from pushd.storage.errors import StorageError


class Scripted:
    """Operations of a test's own."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.outcome: Any = {"jid": "romeo@example.net"}

    def only_waits(self, name: str) -> bool:
        return name.startswith("wait-")

    async def call(self, name: str, arguments: Any) -> Any:
        self.asked.append((name, arguments))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if isinstance(self.outcome, Deferred):
            return await self.outcome
        return self.outcome


class Operator:
    """One connection."""

    def __init__(self) -> None:
        self.operations = Scripted()
        factory: Any = OperatorFactory(self.operations)  # type: ignore[arg-type]
        self.protocol = factory.buildProtocol(None)
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)

    def say(self, line: bytes) -> list[Any]:
        self.protocol.dataReceived(line + b"\n")
        return self.heard()

    def heard(self) -> list[Any]:
        said: bytes = self.transport.value()
        self.transport.clear()
        return [json.loads(line) for line in said.splitlines()]


def test_an_operation_is_answered_with_its_result() -> None:
    operator = Operator()

    answers = operator.say(b'{"operation": "user-del", "arguments": {"jid": "romeo@example.net"}}')

    assert answers == [{"result": {"jid": "romeo@example.net"}}]
    assert operator.operations.asked == [("user-del", {"jid": "romeo@example.net"})]


def test_arguments_may_be_left_out() -> None:
    operator = Operator()

    operator.say(b'{"operation": "user-list"}')

    assert operator.operations.asked == [("user-list", {})]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Refused("no such account"), "no such account"),
        (StorageError("the disk is full"), "storage: the disk is full"),
    ],
)
def test_a_refusal_is_answered_with_its_words(error: Exception, words: str) -> None:
    operator = Operator()
    operator.operations.outcome = error

    assert operator.say(b'{"operation": "user-list"}') == [{"error": words}]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"user-list",
        b"[]",
        b'"user-list"',
        b"{}",
        b'{"operation": "user-list", "arguments": 5}',
        b'{"operation": "user-list", "arguments": ["jid"]}',
        b"\xff\xfe",
        b"[" * 10_000,
    ],
)
def test_what_is_no_operation_is_answered_all_the_same(line: bytes) -> None:
    operator = Operator()

    words = "one JSON object with an operation and its arguments is expected"
    assert operator.say(line) == [{"error": words}]
    assert operator.say(b'{"operation": "user-list"}') == [{"result": {"jid": "romeo@example.net"}}]


def test_an_operation_that_breaks_is_answered_without_its_details() -> None:
    operator = Operator()
    operator.operations.outcome = fail(KeyError("a secret"))

    answers = operator.say(b'{"operation": "user-list"}')

    assert answers == [{"error": "the operation broke; the log has more"}]


def test_a_line_without_end_closes_the_connection() -> None:
    operator = Operator()

    operator.protocol.dataReceived(b"x" * (2 * LONGEST_LINE))

    assert operator.transport.disconnecting


def test_what_only_waits_ends_when_nobody_listens_any_more() -> None:
    operator = Operator()
    waiting: Deferred[Any] = Deferred()
    operator.operations.outcome = waiting
    cancelled: list[Any] = []
    waiting.addErrback(cancelled.append)
    assert operator.say(b'{"operation": "wait-push"}') == []

    operator.protocol.connectionLost()

    assert len(cancelled) == 1


def test_what_does_something_goes_on_when_nobody_listens_any_more() -> None:
    operator = Operator()
    working: Deferred[Any] = Deferred()
    operator.operations.outcome = working
    operator.say(b'{"operation": "user-del"}')

    operator.protocol.connectionLost()

    assert not working.called
    working.callback({})


def test_a_wait_that_is_over_is_answered_and_forgotten() -> None:
    operator = Operator()
    waiting: Deferred[Any] = Deferred()
    operator.operations.outcome = waiting
    operator.say(b'{"operation": "wait-push"}')

    waiting.callback({"arrived": True})

    assert operator.heard() == [{"result": {"arrived": True}}]
    operator.protocol.connectionLost()
