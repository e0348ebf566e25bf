"""What Apple hands to developers, made for tests: signing keys, certificates for push."""

import datetime
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.unit.providers.bench import DAY, NOW, pem

TOPICS = "1.2.840.113635.100.6.3.6"


def ec_key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    """Always the same for a number."""
    return _ec_key(number)


@cache
def _ec_key(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def signing_key(folder: Path, name: str = "AuthKey_ABC123DEFG.p8", number: int = 0) -> Path:
    file = folder / name
    file.write_text(pem(ec_key(number)))
    return file


def der(tag: int, content: bytes) -> bytes:
    """A value in DER, of fewer than 65,536 bytes."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    return bytes([tag, 0x82]) + size.to_bytes(2, "big") + content


def topics_extension(*topics: str) -> bytes:
    """Each topic followed by the kinds that it is for."""
    return der(
        0x30,
        b"".join(
            der(0x0C, one.encode()) + der(0x30, der(0x0C, one.rpartition(".")[2].encode()))
            for one in topics
        ),
    )


def certificate(
    folder: Path,
    *topics: str,
    user_id: str = "com.example.app",
    ends_at: float = NOW + 300 * DAY,
    key: ec.EllipticCurvePrivateKey | None = None,
    name: str = "apns.pem",
    with_key: bool = True,
) -> Path:
    """A file with a key and a certificate, in this order."""
    key = key or ec_key()
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "Apple Push Services: app")]
        + ([x509.NameAttribute(NameOID.USER_ID, user_id)] if user_id else [])
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime.fromtimestamp(ends_at - 365 * DAY, datetime.UTC))
        .not_valid_after(datetime.datetime.fromtimestamp(ends_at, datetime.UTC))
    )
    if topics:
        oid = x509.ObjectIdentifier(TOPICS)
        extension = x509.UnrecognizedExtension(oid, topics_extension(*topics))
        builder = builder.add_extension(extension, critical=False)
    made = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    file = folder / name
    file.write_bytes((pem(key).encode() if with_key else b"") + made)
    return file
