"""HTTP/2 and the choice between it and HTTP/1.1, over real TLS."""

from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor as the_reactor
from twisted.internet.defer import DeferredList
from twisted.logger import capturedLogs
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from pushd.net.http import (
    BODY_LIMIT,
    Answer,
    Fault,
    HTTPClient,
    HTTPError,
    Road,
    either,
    http2,
    http11,
)
from tests.patience import PATIENCE
from tests.support import closed_port
from tests.unit.net.http2_house import Asked, Server
from tests.unit.net.web_house import Authority, H2Factory, OverSockets, Spoken, Watched

reactor: Any = the_reactor


def echo(server: Server, asked: Asked) -> None:
    server.answer(asked.stream, 200, asked.body or b"", path=asked.path)


class Old(Resource):
    """A web service that speaks HTTP/1.1."""

    isLeaf = True

    def render(self, request: Request) -> bytes:
        return b"old"


def site() -> Site:
    return Site(Old())  # type: ignore[no-untyped-call]


class TestSockets(OverSockets):
    def client(self, make: Any = http2, **road: Any) -> HTTPClient:
        self.clients.append(make(reactor, Road(road.pop("ca_file", Authority.ca), **road)))
        return self.clients[-1]

    def listen(self, factory: Any, context: Any = None) -> tuple[str, Watched]:
        port, watched = self.serve(factory, context or Spoken(b"h2"))
        return f"https://127.0.0.1:{port}", watched

    async def post(self, client: HTTPClient, url: str, body: bytes = b"hi") -> Answer:
        return await client.send("POST", url, {"authorization": "bearer x"}, body, PATIENCE)

    async def failed(self, client: HTTPClient, url: str) -> HTTPError:
        with pytest.raises(HTTPError) as raised:
            await self.post(client, url)
        return raised.value

    async def test_many_requests_share_a_connection(self) -> None:
        url, watched = self.listen(H2Factory(echo, MAX_CONCURRENT_STREAMS=7))
        client = self.client()
        answers = await DeferredList(
            [client.send("POST", f"{url}/{n}", {}, b"x" * n, PATIENCE) for n in range(200)],
            fireOnOneErrback=True,
        )
        assert [len(answer.body) for _, answer in answers] == list(range(200))
        assert len(watched.ends) == 1

    async def test_a_request_does_not_wait_for_the_one_before_it(self) -> None:
        url, _ = self.listen(H2Factory(echo))
        client: Any = self.client()
        await self.post(client, url)
        (named,) = client._way._origins.values()
        (connection,) = named.origin._connections
        assert connection.transport.getTcpNoDelay()

    async def test_large_bodies_go_both_ways(self) -> None:
        url, _ = self.listen(H2Factory(echo))
        client = self.client()
        for _ in range(20):
            assert (await self.post(client, url, bytes(BODY_LIMIT))).body == bytes(BODY_LIMIT)

    async def test_a_server_that_chooses_no_http2_is_a_fault_that_says_so(self) -> None:
        url, _ = self.listen(site(), Authority.right)
        error = await self.failed(self.client(), url)
        assert (error.fault, error.text) == (Fault.BROKEN, "the server does not speak HTTP/2")

    async def test_a_server_that_refuses_the_offer_is_a_fault_of_tls(self) -> None:
        url, _ = self.listen(site(), Spoken(b"http/1.1"))
        assert (await self.failed(self.client(), url)).fault is Fault.TLS

    async def test_a_host_whose_name_cannot_be_is_a_fault_and_nothing_is_kept(self) -> None:
        for make in (http2, either, http11):
            client: Any = self.client(make)
            for host in ("-bad-.example", "a..b", "xn--a", "a" * 70 + ".example", "a_b.example"):
                error = await self.failed(client, f"https://{host}/secret")
                assert error.fault is Fault.UNREACHABLE
                assert "secret" not in error.text
            origins = getattr(getattr(client._way, "_http2", client._way), "_origins", {})
            assert [list(one.origin._waiting) for one in origins.values()] == [[]] * len(origins)

    @pytest.mark.line(146)
    async def test_a_certificate_of_another_authority_is_refused(self) -> None:
        url, _ = self.listen(H2Factory(echo))
        error = await self.failed(self.client(ca_file=Authority.stranger), url)
        assert error.fault is Fault.TLS
        assert "verify failed" in error.text

    @pytest.mark.line(146)
    async def test_a_certificate_for_another_host_is_refused(self) -> None:
        url, _ = self.listen(H2Factory(echo), Authority.elsewhere)
        assert (await self.failed(self.client(), url)).fault is Fault.TLS

    async def test_a_port_where_nobody_listens_is_unreachable(self) -> None:
        error = await self.failed(self.client(), f"https://127.0.0.1:{closed_port(self)}/secret")
        assert error.fault is Fault.UNREACHABLE
        assert "secret" not in error.text

    async def test_what_a_lost_connection_carried_is_a_fault_and_the_next_is_opened(self) -> None:
        def hang_up(server: Server, asked: Asked) -> None:
            for protocol in factory.protocols:
                if protocol.server is server and len(factory.protocols) == 1:
                    protocol.transport.abortConnection()  # type: ignore[union-attr]
                    return
            echo(server, asked)

        factory = H2Factory(hang_up)
        url, watched = self.listen(factory)
        client = self.client()
        assert (await self.failed(client, url)).fault is Fault.BROKEN
        assert (await self.post(client, url)).body == b"hi"
        assert len(watched.ends) == 2

    async def test_a_goaway_sends_what_was_not_processed_to_the_next_connection(self) -> None:
        def leave(server: Server, asked: Asked) -> None:
            if server is factory.protocols[0].server:
                if asked.stream == 1:
                    server.goaway(1)
                    return
                if asked.stream == 3:
                    server.answer(1, 200, b"in the end")
                return
            echo(server, asked)

        factory = H2Factory(leave)
        url, watched = self.listen(factory)
        client = self.client()
        answers = await DeferredList(
            [self.deferred(client, url, b"1"), self.deferred(client, url, b"2")],
            fireOnOneErrback=True,
        )
        assert [answer.body for _, answer in answers] == [b"in the end", b"2"]
        await watched.ends[0]

    def deferred(self, client: HTTPClient, url: str, body: bytes) -> Any:
        return client.send("POST", url, {}, body, PATIENCE)

    async def test_a_client_certificate_is_shown_to_who_asks(self) -> None:
        names: list[str] = []

        def look(server: Server, asked: Asked) -> None:
            (protocol,) = (one for one in factory.protocols if one.server is server)
            shown = protocol.transport.getPeerCertificate()  # type: ignore[union-attr]
            names.append(shown.to_cryptography().subject.rfc4514_string())
            echo(server, asked)

        factory = H2Factory(look)
        url, _ = self.listen(factory, Spoken(b"h2", clients=Authority.client.certificate))
        client = self.client(certificate=Authority.client.certificate, key=Authority.client.key)
        assert (await self.post(client, url)).status == 200
        assert names == ["CN=com.example.chat"]

    async def test_a_server_that_asks_refuses_who_has_no_certificate(self) -> None:
        url, _ = self.listen(H2Factory(echo), Spoken(b"h2", clients=Authority.client.certificate))
        assert (await self.failed(self.client(), url)).fault is Fault.TLS

    async def test_a_server_that_can_do_both_gets_http2(self) -> None:
        factory = H2Factory(echo)
        url, watched = self.listen(factory, Spoken(b"h2", b"http/1.1"))
        client = self.client(either)
        for _ in range(3):
            assert (await self.post(client, url)).body == b"hi"
        assert len(factory.protocols[0].server.asked) == 3
        assert len(watched.ends) == 1

    async def test_a_server_that_can_do_one_gets_http11(self) -> None:
        for context in (Authority.right, Spoken(b"http/1.1")):
            url, watched = self.listen(site(), context)
            client = self.client(either)
            answers = await DeferredList(
                [client.send("POST", url, {}, b"hi", PATIENCE) for _ in range(5)],
                fireOnOneErrback=True,
            )
            assert {answer.body for _, answer in answers} == {b"old"}
            count = len(watched.ends)
            await self.post(client, url)
            assert len(watched.ends) == count  # it is not asked again, nor connected to anew

    async def test_nothing_is_said_in_the_log(self) -> None:
        old, _ = self.listen(site(), Authority.right)
        new, _ = self.listen(H2Factory(echo))
        client = self.client(either)
        with capturedLogs() as logs:
            await self.post(client, old)
            await self.post(client, new)
            await client.close()
        said = [log["log_format"] for log in logs if log["log_namespace"] != "twisted.python.log"]
        assert said == []

    async def test_without_tls_the_choice_is_http11(self) -> None:
        port, _ = self.serve(site())
        url = f"http://127.0.0.1:{port}"
        assert (await self.post(self.client(either), url)).body == b"old"


def test_a_file_of_no_use_is_named(tmp_path: Path) -> None:
    Authority.prepare()
    broken = tmp_path / "broken.pem"
    broken.write_text("nothing")
    client = Authority.client
    for road in (
        Road(broken),
        Road(certificate=broken),
        Road(certificate=client.certificate, key=broken),
        Road(certificate=client.certificate, key=tmp_path / "broken.pem"),
        Road(certificate=client.certificate, key=tmp_path / "missing.pem"),
        Road(certificate=client.certificate, key=Authority.files.key),
    ):
        with pytest.raises(ValueError, match=r"\.pem"):
            http2(reactor, road)


def test_the_key_may_be_in_the_certificates_file(tmp_path: Path) -> None:
    Authority.prepare()
    both = tmp_path / "both.pem"
    both.write_bytes(Authority.client.certificate.read_bytes() + Authority.client.key.read_bytes())
    http2(reactor, Road(certificate=both))
