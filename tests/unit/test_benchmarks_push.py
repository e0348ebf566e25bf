"""What the benchmarks of push rest on: components that count, and stand-ins that answer."""

import json
import socket
import sys
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded

from benchmarks.clients import LoadError
from benchmarks.component import PushService
from benchmarks.gateway import KINDS, Publisher
from benchmarks.providers import APNS, FCM, backend
from benchmarks.stub import HTTP2, HTTP11, TAKEN, Record
from pushd import measures
from pushd.config.load import load
from pushd.net.certificates import DevelopmentCA
from pushd.providers import catalogue
from pushd.providers.contract import (
    Accepted,
    Device,
    Notification,
    Response,
    Secret,
    Sending,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks use epoll")

PUBLISH = (
    b"<iq type='set' id='a%d' from='bench.example' to='push.example'><pubsub><publish "
    b"node='node-%07d'><item><notification/></item></publish></pubsub></iq>"
)
TOKEN = b'{"message": {"token": "device:0000042", "data": {}}}'


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A component's stream, which its server has let in: the two ends of it."""
    mine, theirs = socket.socketpair()
    monkeypatch.setattr("benchmarks.component.connect", lambda port, domain: mine)
    for end in (mine, theirs):
        end.setblocking(False)
    yield mine, theirs
    mine.close()
    theirs.close()


def test_each_publish_is_counted_once_and_accepted(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    service = PushService(0, "push.example", 8)
    service.said_at[3] = 1.5
    latencies = array("d")
    said = PUBLISH % (1, 3) + PUBLISH % (2, 5) + PUBLISH % (3, 3)

    came = 0
    for piece in (said[:100], said[100:400], said[400:]):
        ends[1].send(piece)
        came += service.read(2.0, latencies)

    assert (came, service.told[3], service.told[5]) == (3, 2, 1)
    assert latencies[0] == 0.5
    assert service.flush()
    answers = ends[1].recv(1 << 16)
    assert answers.count(b"<iq type='result'") == 3
    assert b"id='a2' from='push.example' to='bench.example'" in answers


def test_a_publisher_tells_results_from_errors(ends: tuple[socket.socket, socket.socket]) -> None:
    publisher = Publisher(0, 0, FCM, 2, "")
    publisher.said_at[1] = 1.0
    latencies = array("d")
    form = b"<field var='node'><value>n</value></field><field var='secret'><value>s</value></field>"
    ends[1].send(b"<iq type='result' id='r0'>%b</iq><iq type='result' id='p1'/>" % form)

    assert publisher.read(3.0, latencies) == 1
    assert publisher.given == {0: ("n", "s")}
    assert list(latencies) == [2.0]
    ends[1].send(b"<iq type='error' id='p1'><error><forbidden/></error></iq>")
    with pytest.raises(LoadError, match="forbidden"):
        publisher.read(3.0, latencies)


class Transport:
    """Keeps what a protocol of asyncio writes."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data


def serve(kind: type[HTTP11] | type[HTTP2], *, is_stalled: bool = False) -> Any:
    protocol = kind(Record(is_stalled))
    protocol.connection_made(Transport())
    return protocol


def test_the_stand_in_answers_over_http11() -> None:
    stand_in = serve(HTTP11)
    request = b"POST /v1/x HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(TOKEN), TOKEN)

    for piece in (request[:30], request[30:] + request):
        stand_in.data_received(piece)

    assert stand_in._transport.written.count(b"HTTP/1.1 200 OK") == 2
    assert [number for number, _ in json.loads(stand_in._record.report())] == [42, 42]
    assert json.loads(stand_in._record.report()) == []


def test_a_stalled_one_takes_note_and_says_nothing() -> None:
    stand_in = serve(HTTP11, is_stalled=True)
    stand_in.data_received(b"POST /v1 HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(TOKEN) + TOKEN)
    stand_in.data_received(b"POST /token HTTP/1.1\r\nContent-Length: 0\r\n\r\n")

    assert [number for number, _ in json.loads(stand_in._record.report())] == [42]
    assert stand_in._transport.written.count(b"HTTP/1.1 200 OK") == 1
    assert b"access_token" in stand_in._transport.written


@pytest.mark.parametrize("name", sorted(KINDS))
def test_each_provider_pushes_so_that_the_stand_in_knows_the_device(
    name: str, tmp_path: Path
) -> None:
    kind, url = KINDS[name], "https://127.0.0.1:4321"
    stub: Any = SimpleNamespace(base_url=url, ca_file=DevelopmentCA(tmp_path, time.time()).path)
    line = backend(tmp_path, kind, "push.example", stub)
    file = tmp_path / "pushd.yml"
    file.write_text(
        f"domains: [example]\ndata: {tmp_path}\nlisten: {{client_tls: [], "
        f"client: ['127.0.0.1:5222']}}\napp_server:\n  backends:\n" + line
    )
    [read] = load(file, catalogue.all_options(), now=time.time()).app_server.backends
    provider = measures.provider(read)
    if provider.own_secret:
        provider.keep(bytes(32))
    given = kind.fields(42, url)
    provider.check(given)
    fields = provider.stored(given)
    device = Device(Secret(fields["token"]), fields=fields)
    request = provider.request(Notification("n", 1), device, 1.0, Sending(credential=Secret("x")))
    assert request.url.startswith(f"{url}/")
    record = Record(is_stalled=False)
    stand_in = HTTP11(record)
    stand_in.connection_made(Transport())
    path = request.url.removeprefix(url).encode()
    length = len(request.body)
    stand_in.data_received(b"POST %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (path, length))
    stand_in.data_received(request.body)
    assert [number for number, _ in record.came] == [42]
    assert isinstance(provider.outcome(Response(200, {}, TAKEN), 1.0), Accepted)


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/v1/projects/bench/messages:send", TOKEN, b'"name"'),
        (f"/3/device/{APNS.fields(42, '')['token']}", b'{"aps": {}}', b""),
        ("/token", b"grant_type=x", b"access_token"),
    ],
)
def test_the_stand_in_answers_over_http2(path: str, body: bytes, says: bytes) -> None:
    stand_in = serve(HTTP2)
    client = H2Connection(H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    client.receive_data(stand_in._transport.written)
    stand_in._transport.written = b""
    head = [(":method", "POST"), (":path", path), (":scheme", "https"), (":authority", "x")]
    client.send_headers(1, head)
    client.send_data(1, body, end_stream=True)

    said = client.data_to_send()
    for piece in (said[:40], said[40:]):
        stand_in.data_received(piece)
    events = client.receive_data(stand_in._transport.written)

    heads: list[Any] = [one.headers for one in events if isinstance(one, ResponseReceived)]
    assert [dict(head)[":status"] for head in heads] == ["200"]
    content = b"".join(event.data for event in events if isinstance(event, DataReceived))
    assert says in content
    assert any(isinstance(event, StreamEnded) for event in events)
    came = [number for number, _ in json.loads(stand_in._record.report())]
    assert came == ([] if path == "/token" else [42])
