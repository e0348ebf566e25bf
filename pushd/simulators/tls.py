"""TLS for the ports of stand-ins: both HTTPs by ALPN, and a client's certificate if it has one."""

import re
from pathlib import Path

from OpenSSL import SSL, crypto
from twisted.internet.ssl import CertificateOptions, TLSVersion

from pushd.simulators.http2_web import ALPN

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


def server_options(
    certificate: Path, key: Path, *, asks_for_certificate: bool = False
) -> CertificateOptions:
    """What a port shows: a chain and its private key (PEM).

    With `asks_for_certificate`, a client may show one of its own, whosever it is: what is
    wrong with it is for HTTP to say. Raises OSError for files that cannot be read, and
    ValueError, in words, for what is in them.
    """
    try:
        pems = _CERTIFICATE.findall(certificate.read_bytes())
        chain = [crypto.load_certificate(crypto.FILETYPE_PEM, pem) for pem in pems]
    except crypto.Error:
        chain = []
    if not chain:
        raise ValueError(f"{certificate} is not a certificate in PEM form")
    try:
        private_key = crypto.load_privatekey(crypto.FILETYPE_PEM, key.read_bytes(), b"")
    except (crypto.Error, ValueError):
        raise ValueError(f"{key} is not a private key in PEM form without a password") from None
    options = CertificateOptions(
        privateKey=private_key,
        certificate=chain[0],
        extraCertChain=chain[1:],
        acceptableProtocols=list(ALPN),
        raiseMinimumTo=TLSVersion.TLSv1_2,
    )
    try:
        context = options.getContext()
        context.check_privatekey()
    except SSL.Error:
        raise ValueError(f"{key} is not the key of {certificate}") from None
    if asks_for_certificate:
        context.set_session_id(b"pushd")  # OpenSSL wants one where clients are asked
        context.set_verify(SSL.VERIFY_PEER, lambda *given: True)
    return options
