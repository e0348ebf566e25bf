"""A client of ours as treq drives it."""

from typing import Any

import pytest
import treq
from treq.client import HTTPClient as Treq
from twisted.internet.defer import CancelledError, Deferred
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse
from zope.interface.verify import verifyObject

from pushd.net.agent import ClientAgent
from pushd.net.http import Fault, HTTPError
from pushd.net.http11 import _Whole
from tests.support import result_of
from tests.unit.net.http2_house import URL, House, Line


class Driven:
    """treq, an agent over HTTP/2, and its server."""

    def __init__(self) -> None:
        self.house = House()
        self.agent = ClientAgent(self.house.client, timeout=5.0)
        self.treq = Treq(self.agent, data_to_body_producer=_Whole)
        self.line: Line

    def post(self, **more: Any) -> "Deferred[Any]":
        more = {"reactor": self.house.clock, **more}
        sent: Deferred[Any] = self.treq.post(f"{URL}/x?y=1", **more)
        self.line = self.house.let_in()
        return sent

    def answer(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        self.line.server.answer(1, status, body, **headers)
        self.house.pump()


def test_treq_drives_http2() -> None:
    driven = Driven()
    sent = driven.post(json={"a": 1}, headers={"x-many": ["1", "2"]})
    asked = driven.line.server.asked[1]
    assert (asked.path, asked.body) == ("/x?y=1", b'{"a":1}')
    assert asked.header("x-many") == "1, 2"
    assert asked.header("content-type") == "application/json; charset=UTF-8"
    driven.answer(201, b'{"b":2}', x_odd="yes")
    response = result_of(sent)
    assert response.code == 201
    assert response.headers.getRawHeaders("x-odd") == ["yes"]
    assert result_of(treq.json_content(response)) == {"b": 2}


def test_what_fails_fails_with_our_words() -> None:
    driven = Driven()
    sent = driven.post(data=b"x")
    driven.house.pass_time(5.0)
    with pytest.raises(HTTPError) as raised:
        result_of(sent)
    assert raised.value.fault is Fault.TIMEOUT


def test_it_can_be_cancelled() -> None:
    driven = Driven()
    sent = driven.agent.request(b"POST", URL.encode(), Headers())
    line = driven.house.let_in()
    sent.cancel()
    driven.house.pump()
    assert line.server.asked[1].reset == 8
    with pytest.raises(CancelledError):
        result_of(sent)


def test_it_is_an_agent() -> None:
    driven = Driven()
    verifyObject(IAgent, driven.agent)
    sent = driven.post()
    driven.answer()
    verifyObject(IResponse, result_of(sent).original.original)
