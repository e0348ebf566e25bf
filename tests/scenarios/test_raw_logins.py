"""Every mechanism over real TLS, with the channel bindings that both ends compute themselves."""

import base64
import hashlib
import re
from typing import Any

import pytest
from twisted.trial.unittest import TestCase

from pushd.client.client import Client
from pushd.client.errors import LoginFailed
from pushd.wire.sasl import SCRAM, ScramClient
from pushd.wire.secret import Secret
from tests.patience import LONGEST
from tests.scenarios.harness import Server
from tests.scenarios.process import reactor
from tests.scenarios.raw import Raw

SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
PLUS = [name for name, (_, plus) in SCRAM.items() if plus]


class MechanismTest(TestCase):
    timeout = LONGEST

    async def test_each_mechanism_lets_in_over_both_kinds_of_tls(self) -> None:
        """With -PLUS bound by tls-exporter: the connections speak TLS 1.3."""
        server = await Server.start(self)
        for mechanism in (*SCRAM, "PLAIN"):
            for direct in (False, True):
                given = {"direct_tls": True} if direct else {}
                client = server.client("juliet", "phone", mechanism=mechanism, **given)
                await client.connect()
                assert client.mechanism == mechanism
                await client.close()

    async def test_a_wrong_password_fails_with_each_mechanism(self) -> None:
        server = await Server.start(self)
        for mechanism in (*SCRAM, "PLAIN"):
            place, ca = server.ready.c2s, server.ready.ca
            given: dict[str, Any] = {"ca_file": ca, "mechanism": mechanism}
            client = Client(reactor, "juliet@localhost", Secret("wrong"), *place, **given)
            with pytest.raises(LoginFailed) as refused:
                await client.connect()
            assert refused.value.condition == "not-authorized", mechanism
            await client.close()

    async def test_the_end_point_binds_a_client_that_knows_no_more(self) -> None:
        """By the certificate that this client was shown; another one's hash is refused."""
        server = await Server.start(self)
        for mechanism in PLUS:
            for is_shown in (True, False):
                raw = Raw(server.ready.c2s_tls, server.ready.ca)
                self.addCleanup(raw.close)
                features = raw.open()
                assert f"<mechanism>{mechanism}</mechanism>".encode() in features
                assert b"<channel-binding type='tls-server-end-point'/>" in features
                shown = raw.certificate() if is_shown else b"another certificate"
                said = self.scram(raw, server, mechanism, hashlib.sha256(shown).digest())
                assert (b"<success" in said) == is_shown, said
                if not is_shown:
                    assert b"<not-authorized/>" in said

    def scram(self, raw: Raw, server: Server, mechanism: str, binding: bytes) -> bytes:
        """The server's last word on a login bound by tls-server-end-point."""
        password = server.password("juliet")
        client = ScramClient(
            SCRAM[mechanism][0], "juliet", password, ("tls-server-end-point", binding), True
        )
        first = base64.b64encode(client.first()).decode()
        raw.send(f"<auth xmlns='{SASL}' mechanism='{mechanism}'>{first}</auth>")
        said = raw.read_until(rb"</challenge>").decode()
        challenge = re.search(r">([^<]+)</challenge>", said)
        assert challenge is not None
        final = base64.b64encode(client.final(base64.b64decode(challenge.group(1)))).decode()
        raw.send(f"<response xmlns='{SASL}'>{final}</response>")
        return raw.read_until(rb"</success>|</failure>")
