"""Why a certificate is not believed, in words that say which one, and since when."""

from cryptography.x509 import Certificate
from OpenSSL.crypto import X509

from pushd.net.identities import BROKEN
from pushd.wire.printable import printable

# What of a certificate cannot be verified (X509_verify_cert_error_string of OpenSSL).
EXPIRED, NOT_YET, SELF_SIGNED = 10, 9, 18
UNKNOWN_AUTHORITY = (2, SELF_SIGNED, 19, 20, 21)
LONGEST_NAME = 100  # characters


def verdict(number: int, seen: X509) -> str:
    """What OpenSSL has against it, to be said behind "it"; empty if that is not plain.

    Nothing is raised, whatever somebody has made up.
    """
    try:
        return _plainly(number, seen.to_cryptography())
    except BROKEN:
        return ""


def _plainly(number: int, certificate: Certificate) -> str:
    if number == EXPIRED:
        return f"expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if number == NOT_YET:
        return f"is not yet valid, but from {certificate.not_valid_before_utc:%Y-%m-%d} on"
    if number == SELF_SIGNED and certificate.issuer == certificate.subject:
        return "is self-signed, and nobody here trusts it"
    if number in UNKNOWN_AUTHORITY:
        issuer = brief(certificate.issuer.rfc4514_string())
        return f"is signed by {issuer}, whom nobody here trusts"
    return ""


def brief(text: str) -> str:
    """A stranger's text, fit for a line of a log and not too long."""
    shown = printable(text)
    return shown if len(shown) <= LONGEST_NAME else f"{shown[:LONGEST_NAME]}…"
