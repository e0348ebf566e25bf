"""A configured server with two domains: a certificate each, by SNI, and accounts that meet."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from pushd.client.client import Client
from pushd.client.errors import LoginFailed
from pushd.net.certificates import DevelopmentCA
from pushd.wire.element import child, text
from pushd.wire.namespaces import NS_CLIENT
from pushd.wire.secret import Secret
from tests.patience import LONGEST, PATIENCE
from tests.scenarios.process import Child, eventually, folder, reactor

DOMAINS = ("montague.example", "capulet.example")
PASSWORD = Secret("a password of some length")


class VirtualHostsTest(TestCase):
    timeout = LONGEST

    async def test_each_domain_shows_its_own_certificate_and_their_users_meet(self) -> None:
        ready, authority = await self.serve()
        romeo = await self.user("romeo@montague.example/orchard", ready, authority)
        juliet = await self.user(
            "juliet@capulet.example/balcony", ready, authority, direct_tls=True
        )
        romeo.message(juliet.jid.full, "By whose direction found'st thou out this place?")
        message = await juliet.next_stanza("message")
        assert message["from"] == romeo.jid.full
        assert text(child(message, NS_CLIENT, "body")).startswith("By whose direction")

    async def test_an_account_of_one_domain_is_none_of_the_other(self) -> None:
        ready, authority = await self.serve()
        stranger = self.client("romeo@capulet.example/orchard", ready, authority)
        with pytest.raises(LoginFailed, match="not-authorized"):
            await stranger.connect()

    async def serve(self) -> tuple[dict[str, Any], Path]:
        """Start the server with an account at each domain; its ready file, and whom to trust."""
        home = folder(self)
        authority = DevelopmentCA(home / "certificates", time.time())
        hosts = {}
        for domain in DOMAINS:
            issued = authority.issue([domain], domain)
            hosts[domain] = {"certificate": str(issued.certificate), "key": str(issued.key)}
        config, said = home / "pushd.yml", home / "ready.json"
        listen = {"client": ["127.0.0.1:0"], "client_tls": ["127.0.0.1:0"]}
        config.write_text(
            json.dumps({"domains": hosts, "data": str(home / "data"), "listen": listen})
        )
        for jid in ("romeo@montague.example", "juliet@capulet.example"):
            adding = Child.run(
                self, ["-m", "pushd.cli.pushdctl", "--config", str(config), "user", "add", jid]
            )
            assert adding.transport is not None
            adding.transport.write(f"{PASSWORD.reveal()}\n".encode())
            adding.transport.closeStdin()
            assert await adding.ended() == 0, adding.text
        server = Child.run(self, ["-m", "pushd", f"--config={config}", f"--ready-file={said}"])

        def look() -> str | None:
            assert server.code is None, server.text
            return said.read_text() if said.exists() else None

        return json.loads(await eventually(look, PATIENCE, "ready file")), authority.path

    async def user(self, jid: str, ready: Any, authority: Path, **given: Any) -> Client:
        client = self.client(jid, ready, authority, **given)
        await client.connect()
        client.presence()
        return client

    def client(self, jid: str, ready: Any, authority: Path, **given: Any) -> Client:
        place = ready["c2s_tls" if given.get("direct_tls") else "c2s"]
        client = Client(
            reactor, jid, PASSWORD, place["host"], place["port"], ca_file=authority, **given
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(client.close()))
        return client
