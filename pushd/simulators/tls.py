"""TLS for the ports of stand-ins: both HTTPs by ALPN, and a client's certificate if it has one."""

from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates
from OpenSSL import SSL
from twisted.internet.ssl import CertificateOptions, TLSVersion

from pushd.simulators.http2_web import ALPN


def server_options(
    certificate: Path, key: Path, *, asks_for_certificate: bool = False
) -> CertificateOptions:
    """What a port shows: a chain and its private key (PEM).

    With `asks_for_certificate`, a client may show one of its own, whosever it is: what is
    wrong with it is for HTTP to say. Raises OSError for files that cannot be read, and
    ValueError, in words, for what is in them.
    """
    try:
        chain: list[Any] = list(load_pem_x509_certificates(certificate.read_bytes()))
    except ValueError:
        raise ValueError(f"{certificate} is not a certificate in PEM form") from None
    try:
        private_key: Any = load_pem_private_key(key.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(f"{key} is not a private key in PEM form without a password") from None
    # Twisted hands on what it is given, and pyOpenSSL wants cryptography's objects nowadays.
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
    except (SSL.Error, TypeError):  # of another certificate, or of a kind that no certificate has
        raise ValueError(f"{key} is not the key of {certificate}") from None
    if asks_for_certificate:
        context.set_session_id(b"pushd")  # OpenSSL wants one where clients are asked
        context.set_verify(SSL.VERIFY_PEER, lambda *given: True)
    return options
