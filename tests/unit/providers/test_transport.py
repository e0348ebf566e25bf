"""From the contract's requests to HTTP clients."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed

from pushd.config.proxies import Proxy
from pushd.net.http import Answer, Fault, HTTPClient, HTTPError, Road
from pushd.providers import transport as transport_module
from pushd.providers.contract import Failed, Link, Request, Response
from pushd.providers.transport import AWAY, HTTPTransport


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


@pytest.mark.parametrize("fault", list(Fault))
def test_what_is_wrong_with_a_host_that_a_stranger_named_is_always_the_same(fault: Fault) -> None:
    link = Link(is_public=True)
    opened = Opened()
    results = opened.send(request(link))
    opened.clients[link].answers[0].errback(HTTPError(fault, "why"))
    match fault:
        case Fault.PROXY:  # that is the operator's
            assert results == [Failed(fault, "why")]
        case Fault.TIMEOUT:
            assert results == [Failed(fault, AWAY)]
        case _:
            assert results == [Failed(Fault.UNREACHABLE, AWAY)]


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


def test_a_link_with_a_file_of_no_use_is_a_fault_that_names_it_and_is_tried_anew() -> None:
    opened: list[Link] = []

    def open_client(link: Link) -> HTTPClient:
        opened.append(link)
        raise ValueError("ca.pem: no certificate in PEM form")

    transport = HTTPTransport(open_client)
    for _ in range(2):
        results: list[Any] = []
        transport.send(request(), 7.0).addBoth(results.append)
        assert results == [Failed(Fault.TLS, "ca.pem: no certificate in PEM form")]
    assert len(opened) == 2


def test_a_fresh_connection_is_asked_for_where_the_request_does() -> None:
    opened = Opened()
    opened.send(Request("https://push.example.net/x", fresh=True))
    ((*_, fresh),) = opened.clients[Link()].calls
    assert fresh


def test_what_a_link_wants_becomes_the_way_to_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, Any]] = []

    def kind(name: str) -> Callable[[Any, Any], FakeClient]:
        def make(reactor: Any, road: Any) -> FakeClient:
            made.append((name, road))
            return FakeClient()

        return make

    for name in ("http2", "either"):
        monkeypatch.setattr(transport_module, name, kind(name))
    proxy = Proxy("proxy.example.net", 3128)
    ca, certificate, key = Path("ca.pem"), Path("cert.pem"), Path("key.pem")
    transport = transport_module.over_https(None)
    transport.send(request(Link(ca, True, certificate, key, proxy, "team")), 7.0)
    transport.send(request(Link(ca)), 7.0)
    assert made == [
        ("http2", Road(ca, certificate, key, proxy)),
        ("either", Road(ca)),
    ]


# Other credentials.

OLD, NEW = Link(name="old key"), Link(name="new key")


def test_connections_of_links_that_nobody_uses_any_more_end() -> None:
    opened = Opened()
    for link in (OLD, NEW):
        opened.send(request(link))

    opened.transport.keep({NEW})

    assert (opened.clients[OLD].is_closed, opened.clients[NEW].is_closed) == (True, False)


def test_what_is_under_way_on_a_link_that_goes_is_answered() -> None:
    opened = Opened()
    results = opened.send(request(OLD))

    opened.transport.keep({NEW})
    opened.clients[OLD].answers[0].callback(Answer(200, [], b""))

    assert results == [Response(200)]


def test_a_link_that_comes_back_is_opened_anew() -> None:
    opened = Opened()
    opened.send(request(OLD))
    opened.transport.keep({NEW})
    first = opened.clients.pop(OLD)

    opened.send(request(OLD))

    assert opened.clients[OLD] is not first
    assert not opened.clients[OLD].is_closed


@pytest.mark.parametrize("name", ["ca_file", "certificate", "key"])
def test_a_link_whose_files_are_others_now_is_opened_anew(name: str, tmp_path: Path) -> None:
    file = tmp_path / "file.pem"
    file.write_text("one")
    link = Link(**{name: file})  # type: ignore[arg-type]
    opened = Opened()
    opened.send(request(link))

    opened.transport.keep({link})
    assert not opened.clients[link].is_closed
    file.write_text("two")
    opened.transport.keep({link})

    assert opened.clients.pop(link).is_closed
    opened.send(request(link))
    opened.transport.keep({link})
    assert not opened.clients[link].is_closed


def test_a_file_that_cannot_be_read_is_none_that_has_changed(tmp_path: Path) -> None:
    link = Link(tmp_path / "ca.pem")
    opened = Opened()
    opened.send(request(link))
    opened.transport.keep({link})
    assert not opened.clients[link].is_closed


def test_to_close_waits_for_connections_that_are_ending_already() -> None:
    opened = Opened()
    opened.send(request(OLD))
    ending: Deferred[None] = Deferred()
    opened.clients[OLD].close = lambda: ending  # type: ignore[method-assign]
    opened.transport.keep(())
    closed: list[object] = []

    opened.transport.close().addCallback(closed.append)

    assert closed == []
    ending.callback(None)
    assert len(closed) == 1
