"""Who pushes with a client certificate: an authority that issues them, and what one says.

Read from Apple's "Establishing a certificate-based connection to APNs". The topics are in an
extension, as a sequence of a topic and a sequence of what it is for; two more extensions say
which environments the certificate is for.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pushd.simulators.apns_reasons import Refused
from pushd.simulators.apns_tokens import PRODUCTION, SANDBOX

LIFETIME = datetime.timedelta(days=365)
TOPICS = x509.ObjectIdentifier("1.2.840.113635.100.6.3.6")
ENVIRONMENTS = {
    SANDBOX: x509.ObjectIdentifier("1.2.840.113635.100.6.3.1"),
    PRODUCTION: x509.ObjectIdentifier("1.2.840.113635.100.6.3.2"),
}
_NULL = b"\x05\x00"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a client certificate is for."""

    name: str
    topics: tuple[str, ...]
    environments: frozenset[str]


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes


class Issuer:
    """An authority for client certificates, made up for one run."""

    def __init__(self, now: float) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, "pushd stand-in for Apple's authority")]
        )
        self._begins = datetime.datetime.fromtimestamp(now, datetime.UTC) - datetime.timedelta(1)
        self.certificate = (
            self._builder(self._key.public_key(), LIFETIME)
            .subject_name(subject)
            .issuer_name(subject)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def issue(
        self,
        topics: Sequence[str],
        environments: Sequence[str] = (PRODUCTION, SANDBOX),
        lifetime: datetime.timedelta = LIFETIME,
    ) -> ClientCertificate:
        """A certificate for these topics, the first of which is the app's bundle id."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.USER_ID, topics[0]),
                x509.NameAttribute(NameOID.COMMON_NAME, f"Apple Push Services: {topics[0]}"[:64]),
            ]
        )
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = (
            self._builder(key.public_key(), lifetime)
            .subject_name(subject)
            .issuer_name(self.certificate.subject)
            .add_extension(usage, critical=False)
            .add_extension(x509.UnrecognizedExtension(TOPICS, _packed(topics)), critical=False)
        )
        for one in environments:
            mark = x509.UnrecognizedExtension(ENVIRONMENTS[one], _NULL)
            builder = builder.add_extension(mark, critical=False)
        signed = builder.sign(self._key, hashes.SHA256())
        pem = serialization.Encoding.PEM
        return ClientCertificate(
            signed.public_bytes(pem),
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        )

    def identify(self, certificate: x509.Certificate, environment: str, now: float) -> Identity:
        """Whose certificate it is. Raises Refused for one that is not good here."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (InvalidSignature, TypeError, ValueError):
            raise Refused("BadCertificate") from None
        at = datetime.datetime.fromtimestamp(now, datetime.UTC)
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            raise Refused("BadCertificate")
        named = certificate.subject.get_attributes_for_oid(NameOID.USER_ID)
        identity = Identity(
            str(named[0].value) if named else "",
            _unpacked(_value(certificate, TOPICS)),
            frozenset(
                name for name, oid in ENVIRONMENTS.items() if _value(certificate, oid) is not None
            ),
        )
        if environment not in identity.environments:
            raise Refused("BadCertificateEnvironment")
        return identity

    def _builder(
        self, key: ec.EllipticCurvePublicKey, lifetime: datetime.timedelta
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._begins)
            .not_valid_after(self._begins + datetime.timedelta(1) + lifetime)
        )


def _value(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> bytes | None:
    try:
        found = certificate.extensions.get_extension_for_oid(oid).value
    except x509.ExtensionNotFound:
        return None
    assert isinstance(found, x509.UnrecognizedExtension)
    return found.value


# ASN.1 (X.690): of its types, two are needed.

_SEQUENCE, _UTF8 = 0x30, 0x0C


def _packed(topics: Sequence[str]) -> bytes:
    parts = b""
    for topic in topics:
        purpose = topic.rpartition(".")[2] if topic != topics[0] else "app"
        parts += _tlv(_UTF8, topic.encode()) + _tlv(_SEQUENCE, _tlv(_UTF8, purpose.encode()))
    return _tlv(_SEQUENCE, parts)


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 128 + len(digits))) + digits + content


def _unpacked(value: bytes | None) -> tuple[str, ...]:
    """The topics; what is for what is passed over."""
    if not value:
        return ()
    _, whole, _ = _first(value)
    topics = []
    while whole:
        tag, content, whole = _first(whole)
        if tag == _UTF8:
            topics.append(content.decode("utf-8", "replace"))
    return tuple(topics)


def _first(data: bytes) -> tuple[int, bytes, bytes]:
    """Tag and content of the first value, and what follows it."""
    tag, size, begin = data[0], data[1], 2
    if size >= 128:
        begin = 2 + size - 128
        size = int.from_bytes(data[2:begin], "big")
    return tag, data[begin : begin + size], data[begin + size :]
