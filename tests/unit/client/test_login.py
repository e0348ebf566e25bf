"""A client's way in: TLS, SASL, and what they refuse."""

import time

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from pushd.client.errors import ConnectFailed, LoginFailed, Refused, TimedOut
from pushd.net.certificates import DevelopmentCA
from pushd.wire.element import element
from pushd.wire.namespaces import NS_BIND
from pushd.wire.secret import Secret
from tests.patience import LONGEST
from tests.support import AGES, ages_pass, closed_port
from tests.unit.client.scripted import DOMAIN, Server, folder, reactor

NS_CHANNEL_BINDING = "urn:xmpp:sasl-cb:0"


class LoginTest(TestCase):
    timeout = LONGEST

    async def test_a_client_logs_in_by_the_best_mechanism_and_binds_its_resource(self) -> None:
        server = Server(self)
        client = server.client(self)
        await client.connect()
        assert client.mechanism == "SCRAM-SHA-256-PLUS"
        assert client.jid.full == "juliet@example.net/phone"
        assert client.is_connected
        assert client.features is not None
        assert any(feature.uri == NS_BIND for feature in client.features.elements())

    async def test_direct_tls_needs_no_starttls(self) -> None:
        server = Server(self)
        client = server.client(self, port=server.tls_port, direct_tls=True)
        await client.connect()
        assert client.mechanism == "SCRAM-SHA-256-PLUS"

    async def test_the_server_names_the_resource_when_the_client_has_none(self) -> None:
        server = Server(self)
        client = server.client(self, "juliet@example.net")
        await client.connect()
        assert client.jid.full == "juliet@example.net/generated"

    async def test_each_mechanism_can_be_asked_for(self) -> None:
        server = Server(self)
        for mechanism in server.mechanisms:
            client = server.client(self, mechanism=mechanism)
            await client.connect()
            assert client.mechanism == server.peer.mechanism == mechanism

    async def test_the_channel_is_bound_by_a_type_that_the_server_names(self) -> None:
        server = Server(self)
        offer = element(NS_CHANNEL_BINDING, "channel-binding", type="tls-server-end-point")
        server.more_features = (element(NS_CHANNEL_BINDING, "sasl-channel-binding", offer),)
        client = server.client(self)
        await client.connect()
        assert client.mechanism == "SCRAM-SHA-256-PLUS"

    async def test_unknown_types_of_channel_binding_leave_the_plain_mechanism(self) -> None:
        server = Server(self)
        offer = element(NS_CHANNEL_BINDING, "channel-binding", type="tls-telepathy")
        server.more_features = (element(NS_CHANNEL_BINDING, "sasl-channel-binding", offer),)
        client = server.client(self)
        await client.connect()
        assert client.mechanism == "SCRAM-SHA-256"

    async def test_plain_is_used_where_nothing_else_is_offered(self) -> None:
        server = Server(self)
        server.mechanisms = ("PLAIN", "X-OAUTH2")
        client = server.client(self)
        await client.connect()
        assert client.mechanism == "PLAIN"

    async def test_a_mechanism_that_is_not_offered_is_said_to_be_so(self) -> None:
        server = Server(self)
        server.mechanisms = ("X-OAUTH2",)
        with pytest.raises(LoginFailed) as caught:
            await server.client(self).connect()
        assert caught.value.condition == "invalid-mechanism"
        assert "X-OAUTH2" in str(caught.value)

    async def test_a_wrong_password_is_refused_by_every_mechanism(self) -> None:
        server = Server(self)
        for mechanism in server.mechanisms:
            client = server.client(self, password=Secret("wrong"), mechanism=mechanism)
            with pytest.raises(LoginFailed) as caught:
                await client.connect()
            assert caught.value.condition == "not-authorized"
            assert not client.is_connected
            assert server.bound == 0
            await server.peer.gone()

    async def test_an_impostor_who_does_not_know_the_password_is_left(self) -> None:
        server = Server(self)
        server.is_impostor = True
        with pytest.raises(LoginFailed) as caught:
            await server.client(self).connect()
        assert "does not know the password" in str(caught.value)

    async def test_a_server_whose_authority_is_not_trusted_gets_no_password(self) -> None:
        server = Server(self)
        stranger = DevelopmentCA(folder(self), time.time())
        for port, direct in ((server.port, False), (server.tls_port, True)):
            client = server.client(self, ca_file=stranger.path, port=port, direct_tls=direct)
            with pytest.raises(ConnectFailed) as caught:
                await client.connect()
            assert "certificate verify failed" in str(caught.value)
            assert server.peer.mechanism == ""

    async def test_a_certificate_for_another_name_is_not_accepted(self) -> None:
        server = Server(self, "elsewhere.example")
        with pytest.raises(ConnectFailed) as caught:
            await server.client(self).connect()
        assert str(caught.value).startswith("TLS: ")
        assert server.peer.mechanism == ""

    async def test_no_tls_means_no_login_unless_it_is_allowed(self) -> None:
        server = Server(self)
        server.offers_tls = False
        server.mechanisms = ("SCRAM-SHA-256", "PLAIN")
        with pytest.raises(ConnectFailed):
            await server.client(self).connect()
        client = server.client(self, plaintext=True)
        await client.connect()
        assert client.mechanism == "SCRAM-SHA-256"

    async def test_a_resource_that_is_refused_says_why(self) -> None:
        server = Server(self)
        with pytest.raises(Refused) as caught:
            await server.client(self, "juliet@example.net/refused").connect()
        refused = caught.value
        assert (refused.condition, refused.type, refused.text) == ("conflict", "cancel", "taken")

    async def test_a_port_where_nobody_listens_is_a_failed_connection(self) -> None:
        server = Server(self)
        port = closed_port(self)
        with pytest.raises(ConnectFailed) as caught:
            await server.client(self, port=port).connect()
        assert f"127.0.0.1 port {port}" in str(caught.value)

    async def test_an_authority_that_cannot_be_read_is_named(self) -> None:
        server = Server(self)
        missing = folder(self) / "missing.pem"
        with pytest.raises(ConnectFailed) as caught:
            await server.client(self, ca_file=missing).connect()
        assert str(missing) in str(caught.value)

    async def test_a_server_that_says_nothing_is_waited_for_only_so_long(self) -> None:
        server = Server(self)
        server.is_mute = True
        connecting = Deferred.fromCoroutine(server.client(self, timeout=AGES).connect())
        await server.arrival()
        ages_pass(reactor)
        with pytest.raises(TimedOut) as caught:
            await connecting
        assert str(caught.value) == "no session within 500000 s"
        await server.peer.gone()

    async def test_what_is_said_can_be_watched_but_for_the_login(self) -> None:
        server = Server(self)
        seen: list[tuple[str, bytes]] = []
        client = server.client(
            self, mechanism="PLAIN", on_wire=lambda way, data: seen.append((way, data))
        )
        await client.connect()
        said = b"".join(data for way, data in seen if way == "out")
        heard = b"".join(data for way, data in seen if way == "in")
        assert b"<starttls" in said
        assert b"<bind" in said
        assert f"from='{DOMAIN}'".encode() in heard
        assert b"<auth" not in said
        assert b"<success" not in heard
