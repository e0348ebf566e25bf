from typing import Any

import pytest
from twisted.internet.defer import Deferred

from pushd.routing.requests import IQ, OUTSTANDING, Answer, Refusal, Result, Silence
from pushd.wire.element import Element, element
from pushd.wire.errors import Forbidden, NotAcceptable
from pushd.wire.stanza import Stanza
from tests.hall import Client, Hall
from tests.support import result_of

NS = "urn:example"
ORCHARD = "romeo@example.net/orchard"


class Stage:
    """A served domain with one handler, which does what the test says."""

    def __init__(self, handler: Any, *, sm: bool = False) -> None:
        self.hall = Hall()
        self.hall.host.requests.add("get", NS, "query", "server", handler)
        self.romeo = self.hall.login(ORCHARD, sm=sm)

    def ask(self) -> Element:
        return self.romeo.ask(ASK)


ASK = f"<iq type='get' id='q' to='example.net'><query xmlns='{NS}'/></iq>"


def test_what_a_handler_returns_is_the_answer() -> None:
    answer = Stage(lambda request: element(NS, "answer", "42")).ask()

    assert (answer["type"], answer["id"]) == ("result", "q")
    assert (answer["from"], answer["to"]) == ("example.net", ORCHARD)
    assert str(answer.answer) == "42"


def test_who_asks_for_much_is_charged_for_it() -> None:
    stage = Stage(lambda request: element(NS, "answer", "x" * 5_000))

    stage.ask()

    assert 5_000 < stage.romeo.outlet.charged < 5_300


def test_nothing_is_an_empty_result() -> None:
    answer = Stage(lambda request: None).ask()

    assert (answer["type"], answer.children) == ("result", [])


def test_what_a_handler_raises_is_the_error() -> None:
    def refuse(request: IQ) -> None:
        raise NotAcceptable("no room", element(NS, "reason"))

    answer = Stage(refuse).ask()

    assert answer["type"] == "error"
    assert answer.error["type"] == "modify"
    assert [node.name for node in answer.error.elements()] == ["not-acceptable", "text", "reason"]


async def late_refusal(request: IQ) -> None:
    raise Forbidden


def test_a_coroutine_may_refuse() -> None:
    assert Stage(late_refusal).ask().error.firstChildElement().name == "forbidden"


def broken(request: IQ) -> None:
    raise RuntimeError("a secret detail")


async def broken_later(request: IQ) -> None:
    raise RuntimeError("a secret detail")


@pytest.mark.parametrize("handler", [broken, broken_later])
def test_a_handler_that_breaks_is_our_fault_and_tells_nothing(handler: Any) -> None:
    answer = Stage(handler).ask()

    assert answer.error.firstChildElement().name == "internal-server-error"
    assert "secret" not in answer.toXml()


def test_a_key_has_one_handler() -> None:
    requests = Stage(broken).hall.host.requests

    with pytest.raises(ValueError, match="query"):
        requests.add("get", NS, "query", "server", broken)


def test_somebody_may_answer_the_rest_of_a_namespace() -> None:
    stage = Stage(lambda request: element(NS, "named"))
    stage.hall.host.requests.add("get", NS, "*", "server", lambda request: element(NS, "rest"))

    other = stage.romeo.ask(f"<iq type='get' id='o' to='example.net'><other xmlns='{NS}'/></iq>")

    assert stage.ask().firstChildElement().name == "named"
    assert other.firstChildElement().name == "rest"


def test_a_served_domain_may_be_answered_for_by_name() -> None:
    stage = Stage(lambda request: element(NS, "any"))
    stage.hall.host.requests.add(
        "get", NS, "query", "example.net", lambda request: element(NS, "this")
    )

    assert stage.ask().firstChildElement().name == "this"


# What waits, and what is acknowledged meanwhile (XEP-0198).


def test_answers_come_when_they_are_ready_and_h_covers_no_request_before() -> None:
    waiting: list[Deferred[None]] = []

    async def slow(request: IQ) -> Element:
        gate: Deferred[None] = Deferred()
        waiting.append(gate)
        await gate
        return element(NS, "done")

    stage = Stage(slow, sm=True)
    romeo, handled = stage.romeo, stage.romeo.session.handled
    assert handled is not None
    romeo.send("<message to='example.net' type='error'/>")
    romeo.send(ASK)
    romeo.send("<message to='example.net' type='error'/>")
    assert (handled.received, handled.h) == (3, 1)

    waiting[0].callback(None)
    stage.hall.advance(0)

    assert [one["id"] for one in romeo.received()] == ["q"]
    assert handled.h == 3


def test_who_has_too_many_requests_under_way_is_not_read_until_they_are_fewer() -> None:
    waiting: list[Deferred[None]] = []

    async def slow(request: IQ) -> None:
        waiting.append(Deferred())
        await waiting[-1]

    stage = Stage(slow)
    for _ in range(OUTSTANDING):
        stage.romeo.send(ASK)
    assert stage.romeo.outlet.holds == 0

    stage.romeo.send(ASK)
    stage.romeo.send(ASK)
    assert stage.romeo.outlet.holds == 2

    for one in waiting:
        one.callback(None)
    assert stage.romeo.outlet.holds == 0
    assert stage.romeo.session.outstanding == 0


def test_an_asker_that_is_gone_costs_nothing() -> None:
    gate: Deferred[None] = Deferred()

    async def slow(request: IQ) -> None:
        await gate

    stage = Stage(slow)
    stage.romeo.send(ASK)
    stage.romeo.close()

    gate.callback(None)

    assert stage.romeo.received() == []


# Questions of ours.


def question(hall: Hall, to: str = ORCHARD) -> "Deferred[Answer]":
    return hall.host.requests.ask(to, "example.net", element(NS, "query"), timeout=30)


def asked(romeo: Client) -> Element:
    [one] = romeo.received()
    assert (one.name, one["type"], one["from"]) == ("iq", "set", "example.net")
    return one


def test_a_question_gets_its_result() -> None:
    hall = Hall()
    romeo = hall.login(ORCHARD)
    answer = question(hall)
    id = asked(romeo)["id"]

    romeo.send(f"<iq type='result' id='{id}' to='example.net'><yes xmlns='{NS}'/></iq>")

    result = result_of(answer)
    assert isinstance(result, Result)
    assert result.payload is not None
    assert result.payload.name == "yes"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "<error type='wait'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
            "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>moved</text></error>",
            Refusal("gone", "wait", "moved"),
        ),
        (
            "<error type='cancel'><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>x</text>"
            "<own xmlns='urn:own'/></error>",
            Refusal("undefined-condition", "cancel", "x"),
        ),
        ("", Refusal("undefined-condition", "cancel")),
    ],
)
def test_a_question_gets_its_refusal(content: str, expected: Refusal) -> None:
    hall = Hall()
    romeo = hall.login(ORCHARD)
    answer = question(hall)

    romeo.send(f"<iq type='error' id='{asked(romeo)['id']}' to='example.net'>{content}</iq>")

    assert result_of(answer) == expected


def test_a_question_without_an_answer_ends_in_silence() -> None:
    hall = Hall()
    romeo = hall.login(ORCHARD)
    answer = question(hall)
    id = asked(romeo)["id"]

    hall.advance(30)

    assert result_of(answer) == Silence()
    romeo.send(f"<iq type='result' id='{id}' to='example.net'/>")
    assert romeo.received() == []


def test_only_who_was_asked_may_answer() -> None:
    hall = Hall()
    romeo, mallory = hall.login(ORCHARD), hall.login("mallory@example.net/x")
    answer = question(hall)
    id = asked(romeo)["id"]

    mallory.send(f"<iq type='result' id='{id}' to='example.net'/>")
    assert not answer.called
    romeo.send(f"<iq type='result' id='{id}' to='example.net'/>")

    assert result_of(answer) == Result(None)


def test_a_question_to_where_there_is_no_way_is_refused_at_once() -> None:
    hall = Hall()

    assert result_of(question(hall, "push.example.com")) == Refusal(
        "remote-server-not-found", "cancel"
    )


def test_a_question_may_be_answered_within_the_call() -> None:
    hall = Hall()

    def answer(stanza: Stanza) -> None:
        hall.host.router.route(
            Stanza.of(
                element(
                    "jabber:client",
                    "iq",
                    type="result",
                    id=stanza.id,
                    from_=stanza.attributes["to"],
                    to=stanza.attributes["from"],
                )
            )
        )

    hall.host.router.add_host("push.example.com", answer)

    assert result_of(question(hall, "push.example.com")) == Result(None)
    assert not [call for call in hall.clock.getDelayedCalls() if call.getTime() == 30]


def test_no_two_questions_have_the_same_id() -> None:
    requests = Hall().host.requests

    ids = [requests.new_id() for _ in range(1_000)]

    assert len(set(ids)) == 1_000
    assert {len(id) for id in ids} == {12}
