"""Rows 18 and 38: what TLS is spoken, as sslscan sees it where it is installed, and without it.

docs/security.rst has the commands for testssl and sslscan with what they say.
"""

import contextlib
import re
import shutil
from typing import Any

from OpenSSL import SSL
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SkipTest

from tests.scenarios.hostile import Hostile
from tests.scenarios.raw import Raw

STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
TLS_1_3 = {"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"}
TLS_1_2 = {
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
}
VERSIONS = {SSL.TLS1_VERSION, SSL.TLS1_1_VERSION, SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION}


class ScanTest(Hostile):
    async def test_row_38_what_sslscan_sees(self) -> None:
        program = shutil.which("sslscan")
        if program is None:
            raise SkipTest("sslscan is not installed")
        server = await self.start()
        for way, place in (("--starttls-xmpp", server.ready.c2s), ("", server.ready.c2s_tls)):
            options = [one for one in ("--no-colour", "--ipv4", way) if one]
            # The name is what sslscan asks for in the stream header.
            said, errors, code = await getProcessOutputAndValue(
                program, [*options, f"localhost:{place.port}"]
            )
            text = said.decode()
            assert code == 0, text + errors.decode()
            spoken = dict(re.findall(r"^((?:SSL|TLS)v\S+)\s+(enabled|disabled)$", text, re.M))
            assert spoken == {
                "SSLv2": "disabled",
                "SSLv3": "disabled",
                "TLSv1.0": "disabled",
                "TLSv1.1": "disabled",
                "TLSv1.2": "enabled",
                "TLSv1.3": "enabled",
            }, text
            ciphers = re.findall(r"^(?:Preferred|Accepted)\s+\S+\s+\d+ bits\s+(\S+)", text, re.M)
            assert set(ciphers) == TLS_1_2 | TLS_1_3, text
            assert "Session renegotiation not supported" in text
            assert "Server supports TLS Fallback SCSV" in text
            assert "not vulnerable to heartbleed" in text


class ClientTest(Hostile):
    def versions(self, raw: Raw, version: int, ciphers: bytes) -> str:
        """The cipher that a client of one version and these ciphers gets; empty for none."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_cipher_list(ciphers + b":@SECLEVEL=0")
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
        raw._socket.settimeout(None)
        connection: Any = SSL.Connection(context, raw._socket)
        connection.set_tlsext_host_name(b"localhost")
        connection.set_connect_state()
        with contextlib.suppress(SSL.Error):
            connection.do_handshake()
            return str(connection.get_cipher_name())
        return ""

    def begun(self, *, direct: bool) -> Raw:
        """A connection that may begin its handshake."""
        raw = Raw(self.server.ready.c2s_tls if direct else self.server.ready.c2s)
        self.addCleanup(raw.close)
        if not direct:
            raw.open()
            raw.send(STARTTLS)
            raw.read_until(rb"<proceed[^>]*>")
        return raw

    async def test_row_38_versions_and_ciphers(self) -> None:
        await self.start()
        for direct in (True, False):
            for version in VERSIONS:
                got = self.versions(self.begun(direct=direct), version, b"ALL")
                if version == SSL.TLS1_3_VERSION:
                    assert got in TLS_1_3
                elif version == SSL.TLS1_2_VERSION:
                    assert got == "ECDHE-ECDSA-AES256-GCM-SHA384"  # the server's choice
                else:
                    assert got == "", version
            for ciphers, expected in (
                (b"ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305"),
                (b"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
                (b"ECDHE-ECDSA-AES256-SHA384", ""),
                (b"ECDHE-ECDSA-AES128-SHA", ""),
                (b"ECDHE-ECDSA-AES256-CCM", ""),
                (b"aNULL", ""),
                (b"eNULL", ""),
                (b"RSA", ""),
            ):
                raw = self.begun(direct=direct)
                assert self.versions(raw, SSL.TLS1_2_VERSION, ciphers) == expected, ciphers
