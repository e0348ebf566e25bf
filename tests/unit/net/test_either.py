"""The choice between HTTP/2 and HTTP/1.1, and how long it holds."""

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IResponse

from pushd.net.client import Way
from pushd.net.either import ASK_AGAIN, REMEMBERED, EitherAgent
from pushd.net.http import Fault, HTTPError
from pushd.net.http2_connection import Declined

OK: Any = object()
BODY: Any = object()


class Fake:
    """An agent that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.waiting: list[Deferred[IResponse]] = []
        self.is_closed = False
        self.kept = 0

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # noqa: N803
    ) -> Deferred[IResponse]:
        assert (method, bodyProducer) == (b"POST", BODY)
        self.asked.append(uri)
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def close(self) -> Deferred[Any]:
        self.is_closed = True
        return succeed(None)

    def make_room(self) -> bool:
        self.kept -= 1
        return self.kept >= 0


class Choice:
    def __init__(self) -> None:
        self.clock = Clock()
        self.new, self.old = Fake(), Fake()
        self.made = 0
        self.agent = EitherAgent(self.clock, self.new, self._make)

    def _make(self) -> Way:
        self.made += 1
        return self.old

    def post(self, url: str = "https://a.example/x") -> list[Any]:
        found: list[Any] = []
        self.agent.request(b"POST", url.encode(), Headers(), BODY).addBoth(found.append)
        return found


def test_http2_is_what_is_tried_and_nothing_else_is_made() -> None:
    choice = Choice()
    found = choice.post()
    choice.new.waiting[0].callback(OK)
    assert found == [OK]
    assert choice.new.asked == [b"https://a.example/x"]
    assert choice.made == 0


def test_who_declines_is_spoken_to_in_http11() -> None:
    choice = Choice()
    found = choice.post()
    choice.new.waiting[0].errback(Declined())
    assert choice.old.asked == [b"https://a.example/x"]
    choice.old.waiting[0].callback(OK)
    assert found == [OK]


def test_who_declined_is_not_asked_again_for_a_while() -> None:
    choice = Choice()
    choice.post()
    choice.new.waiting[0].errback(Declined())
    choice.post("https://a.example/y?z")
    choice.post("https://a.example")
    choice.post("https://b.example/")
    assert choice.new.asked == [b"https://a.example/x", b"https://b.example/"]
    choice.clock.advance(ASK_AGAIN)
    choice.post()
    assert len(choice.new.asked) == 3
    assert choice.made == 1


@pytest.mark.parametrize("error", [HTTPError(Fault.TLS, "x"), CancelledError()])
def test_other_faults_are_passed_on(error: Exception) -> None:
    choice = Choice()
    found = choice.post()
    choice.new.waiting[0].errback(error)
    assert type(found[0].value) is type(error)
    assert choice.old.asked == []


def test_what_goes_without_tls_is_http11() -> None:
    choice = Choice()
    choice.post("http://127.0.0.1:8080/x")
    assert (len(choice.new.asked), len(choice.old.asked)) == (0, 1)


def test_no_more_servers_are_remembered_than_a_limit() -> None:
    choice = Choice()
    for number in range(REMEMBERED + 10):
        choice.post(f"https://{number}.example/")
        choice.new.waiting[-1].errback(Declined())
    assert len(choice.agent._declined) == REMEMBERED


def test_closing_closes_what_there_is() -> None:
    choice = Choice()
    choice.agent.close()
    assert (choice.new.is_closed, choice.made) == (True, 0)
    choice.post()
    choice.new.waiting[0].errback(Declined())
    choice.agent.close()
    assert choice.old.is_closed


def test_room_is_made_where_something_is_kept() -> None:
    choice = Choice()
    choice.new.kept = 1
    assert [choice.agent.make_room(), choice.agent.make_room()] == [True, False]
    choice.post("http://a.example/x")
    choice.old.kept = 1
    assert [choice.agent.make_room(), choice.agent.make_room()] == [True, False]
