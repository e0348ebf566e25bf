"""The choice between HTTP/2 and HTTP/1.1, and how long it holds."""

from collections.abc import Mapping
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock

from pushd.net.either import ASK_AGAIN, REMEMBERED, EitherClient
from pushd.net.http import Answer, Fault, HTTPClient, HTTPError
from pushd.net.http2_connection import Declined

OK = Answer(200, [], b"")


class Fake:
    """A client that remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, float, bool]] = []
        self.waiting: list[Deferred[Answer]] = []
        self.is_closed = False

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout: float,
        fresh: bool = False,
    ) -> Deferred[Answer]:
        self.calls.append((url, timeout, fresh))
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def close(self) -> Deferred[Any]:
        self.is_closed = True
        return succeed(None)


class Choice:
    def __init__(self) -> None:
        self.clock = Clock()
        self.new, self.old = Fake(), Fake()
        self.made = 0
        self.client = EitherClient(self.clock, self.new, self._make)

    def _make(self) -> HTTPClient:
        self.made += 1
        return self.old

    def post(self, url: str = "https://a.example/x", **more: Any) -> list[Any]:
        found: list[Any] = []
        self.client.send("POST", url, {}, b"", 20.0, **more).addBoth(found.append)
        return found


def test_http2_is_what_is_tried_and_nothing_else_is_made() -> None:
    choice = Choice()
    found = choice.post(fresh=True)
    choice.new.waiting[0].callback(OK)
    assert found == [OK]
    assert choice.new.calls == [("https://a.example/x", 20.0, True)]
    assert choice.made == 0


def test_who_declines_is_spoken_to_in_http11_within_what_time_is_left() -> None:
    choice = Choice()
    found = choice.post(fresh=True)
    choice.clock.advance(3.0)
    choice.new.waiting[0].errback(Declined())
    assert choice.old.calls == [("https://a.example/x", 17.0, True)]
    choice.old.waiting[0].callback(OK)
    assert found == [OK]


def test_who_declined_is_not_asked_again_for_a_while() -> None:
    choice = Choice()
    choice.post()
    choice.new.waiting[0].errback(Declined())
    choice.post("https://a.example/y?z")
    choice.post("https://a.example")
    choice.post("https://b.example/")
    assert [url for url, _, _ in choice.new.calls] == ["https://a.example/x", "https://b.example/"]
    choice.clock.advance(ASK_AGAIN)
    choice.post()
    assert len(choice.new.calls) == 3
    assert choice.made == 1


@pytest.mark.parametrize("error", [HTTPError(Fault.TLS, "x"), CancelledError()])
def test_other_faults_are_passed_on(error: Exception) -> None:
    choice = Choice()
    found = choice.post()
    choice.new.waiting[0].errback(error)
    assert type(found[0].value) is type(error)
    assert choice.old.calls == []


def test_what_goes_without_tls_is_http11() -> None:
    choice = Choice()
    choice.post("http://127.0.0.1:8080/x")
    assert (len(choice.new.calls), len(choice.old.calls)) == (0, 1)


def test_no_more_servers_are_remembered_than_a_limit() -> None:
    choice = Choice()
    for number in range(REMEMBERED + 10):
        choice.post(f"https://{number}.example/")
        choice.new.waiting[-1].errback(Declined())
    assert len(choice.client._declined) == REMEMBERED


def test_closing_closes_what_there_is() -> None:
    choice = Choice()
    choice.client.close()
    assert (choice.new.is_closed, choice.made) == (True, 0)
    choice.post()
    choice.new.waiting[0].errback(Declined())
    choice.client.close()
    assert choice.old.is_closed
