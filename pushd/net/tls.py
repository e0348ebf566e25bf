"""TLS for the doors: a certificate per domain by SNI, renewed files noticed, channel bindings.

RFC 7590; a context in use cannot change, so that a renewed certificate makes a new one
and the streams that are open keep theirs.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.internet.ssl import Certificate, CertificateOptions, PrivateCertificate, TLSVersion
from twisted.logger import Logger

log = Logger()

_BEGIN = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where a domain's certificate chain and its private key are (PEM)."""

    certificate: Path
    key: Path

    def state(self) -> tuple[int, ...]:
        """Changes when one of the files does."""
        return tuple(
            number
            for path in (self.certificate, self.key)
            for number in (path.stat().st_mtime_ns, path.stat().st_size, path.stat().st_ino)
        )


class CertificateStore:
    """The certificates of all domains. `options` is what listeners and STARTTLS are given."""

    def __init__(self, files: Mapping[str, CertificateFiles], alpn: bytes = b"xmpp-client") -> None:
        self._files = dict(files)
        self._alpn = alpn
        self._loaded: dict[str, tuple[tuple[int, ...], SSL.Context]] = {}
        for domain in self._files:
            self._load(domain)
        first = next(iter(self._files))
        self.options = _options(self._files[first], alpn, self._choose)

    def _choose(self, name: bytes | None) -> SSL.Context | None:
        """The context for what the client asks for; for a stranger's name, the first domain's."""
        domain = (name or b"").decode("ascii", "replace").lower()
        if domain not in self._files:
            domain = next(iter(self._files))
        return self._load(domain)

    def _load(self, domain: str) -> SSL.Context:
        files = self._files[domain]
        known = self._loaded.get(domain)
        try:
            state = files.state()
            if known is None or known[0] != state:
                context = _options(files, self._alpn).getContext()
                self._loaded[domain] = known = (state, context)
        except (OSError, ValueError, SSL.Error):
            if known is None:
                raise
            log.error("the renewed certificate of {domain} cannot be used", domain=domain)
        return known[1]


def _options(files: CertificateFiles, alpn: bytes, choose: Any = None) -> CertificateOptions:
    chain = [_BEGIN + part for part in files.certificate.read_bytes().split(_BEGIN)[1:]]
    leaf = PrivateCertificate.loadPEM(chain[0] + b"\n" + files.key.read_bytes())
    return CertificateOptions(
        privateKey=leaf.privateKey.original,
        certificate=leaf.original,
        extraCertChain=[Certificate.loadPEM(part).original for part in chain[1:]],
        raiseMinimumTo=TLSVersion.TLSv1_2,
        acceptableProtocols=[alpn],
        contextForServerName=choose,
    )


def channel_bindings(connection: SSL.Connection) -> dict[str, bytes]:
    """The channel binding types usable on this TLS connection, with their data.

    `tls-exporter` (RFC 9266) needs TLS 1.3; `tls-server-end-point` (RFC 5929 §4) our certificate.
    """
    found: dict[str, bytes] = {}
    if connection.get_protocol_version_name() == "TLSv1.3":
        found["tls-exporter"] = connection.export_keying_material(
            b"EXPORTER-Channel-Binding", 32, b""
        )
    certificate = connection.get_certificate(as_cryptography=True)
    if certificate is not None:
        found["tls-server-end-point"] = end_point(certificate)
    return found


def end_point(certificate: x509.Certificate) -> bytes:
    """The hash of a certificate by its own signature's algorithm, SHA-256 at the least."""
    used = certificate.signature_hash_algorithm
    name = used.name if used is not None else "sha256"
    if name in ("md5", "sha1"):
        name = "sha256"
    return hashlib.new(name, certificate.public_bytes(Encoding.DER)).digest()
