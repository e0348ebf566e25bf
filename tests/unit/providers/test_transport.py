"""From the contract's requests to HTTP clients."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed

from pushd.net.http import Answer, Fault, HTTPClient, HTTPError
from pushd.providers.contract import Failed, Link, Request, Response
from pushd.providers.transport import HTTPTransport


class FakeClient:
    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, str], bytes, float, bool]] = []
        self.answers: list[Deferred[Answer]] = []
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
        self.calls.append((method, url, dict(headers), body, timeout, fresh))
        self.answers.append(Deferred())
        return self.answers[-1]

    def close(self) -> Deferred[None]:
        self.is_closed = True
        return succeed(None)


class Opened:
    """A transport, and the clients that it opened."""

    def __init__(self) -> None:
        self.clients: dict[Link, FakeClient] = {}
        self.transport = HTTPTransport(self.open)

    def open(self, link: Link) -> HTTPClient:
        assert link not in self.clients
        self.clients[link] = FakeClient()
        return self.clients[link]

    def send(self, request: Request) -> list[Any]:
        results: list[Any] = []
        self.transport.send(request, 7.0).addBoth(results.append)
        return results


def request(link: Link = Link(), **headers: str) -> Request:  # noqa: B008  frozen
    return Request("https://push.example.net/x", headers=headers, body=b"hi", link=link)


def test_a_request_is_carried_and_its_answer_becomes_a_response() -> None:
    opened = Opened()
    results = opened.send(request(authorization="Bearer x"))
    client = opened.clients[Link()]
    assert client.calls == [
        (
            "POST",
            "https://push.example.net/x",
            {"user-agent": "pushd", "authorization": "Bearer x"},
            b"hi",
            7.0,
            False,
        )
    ]
    client.answers[0].callback(Answer(503, [("Retry-After", "3")], b"later"))
    assert results == [Response(503, {"retry-after": "3"}, b"later")]


@pytest.mark.parametrize("fault", list(Fault))
def test_no_answer_is_a_value(fault: Fault) -> None:
    opened = Opened()
    results = opened.send(request())
    opened.clients[Link()].answers[0].errback(HTTPError(fault, "why"))
    assert results == [Failed(fault, "why")]


def test_a_cancelled_request_stays_cancelled() -> None:
    opened = Opened()
    sending = opened.transport.send(request(), 7.0)
    results: list[Any] = []
    sending.addBoth(results.append)
    sending.cancel()
    assert isinstance(results[0].value, CancelledError)


def test_equal_links_share_a_client_and_others_have_their_own() -> None:
    opened = Opened()
    for path in ("a.pem", "b.pem", "a.pem"):
        opened.send(request(Link(Path(path))))
    assert [len(client.calls) for client in opened.clients.values()] == [2, 1]


def test_closing_closes_every_client() -> None:
    opened = Opened()
    for path in ("a.pem", "b.pem"):
        opened.send(request(Link(Path(path))))
    opened.transport.close()
    assert all(client.is_closed for client in opened.clients.values())
