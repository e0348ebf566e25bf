"""Certificates of all kinds, good and bad, by an authority of a test's own.

office = Office(folder)
good = office.issue("a.example")
old = office.issue("a.example", days=-1)
"""

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from pushd.net.certificates import DevelopmentCA

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Paper:
    certificate: Path
    key: Path

    def read(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate.read_bytes())


class Office:
    """An authority, and what it signs. `now` is in seconds since the epoch.

    With `only`, it may vouch for no hosts but those below that domain.
    """

    def __init__(self, folder: Path, now: float | None = None, only: str = "") -> None:
        self.folder = folder
        self.now = time.time() if now is None else now
        self._authority = DevelopmentCA(folder, self.now)
        self.path = self._authority.path
        key = load_pem_private_key((folder / "ca-key.pem").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        if only:
            self._constrain(only)

    def _constrain(self, domain: str) -> None:
        """Make the authority anew, with that constraint."""
        own = x509.load_pem_x509_certificate(self.path.read_bytes())
        made = x509.CertificateBuilder(
            own.issuer,
            own.subject,
            own.public_key(),
            own.serial_number,
            own.not_valid_before_utc.replace(tzinfo=None),
            own.not_valid_after_utc.replace(tzinfo=None),
            list(own.extensions),
        ).add_extension(x509.NameConstraints([x509.DNSName(domain)], None), critical=True)
        self.path.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def issue(
        self,
        *names: str | x509.GeneralName,
        days: float = 30,
        cn: str = "",
        purposes: Sequence[ObjectIdentifier] = (SERVER, CLIENT),
        itself: bool = False,
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
    ) -> Paper:
        """A certificate for domains or other names; `itself` signs it with its own key."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        parts = [x509.NameAttribute(NameOID.COMMON_NAME, cn)] if cn else []
        subject = x509.Name(parts)
        issuer = x509.load_pem_x509_certificate(self.path.read_bytes()).subject
        end = datetime.fromtimestamp(self.now, UTC) + timedelta(days=days)
        alternatives = [x509.DNSName(one) if isinstance(one, str) else one for one in names]
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if itself else issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(end - timedelta(days=90))
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        if alternatives:
            made = made.add_extension(
                x509.SubjectAlternativeName(alternatives), critical=not subject
            )
        if purposes:
            made = made.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        signed = made.sign(key if itself else self._key, hashes.SHA256())
        number = next(_numbers)
        paper = Paper(self.folder / f"paper-{number}.pem", self.folder / f"paper-{number}-key.pem")
        paper.certificate.write_bytes(signed.public_bytes(Encoding.PEM))
        paper.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return paper


def other_name(oid: ObjectIdentifier, tag: int, text: str) -> x509.OtherName:
    """A name of a kind of its own, such as an SRVName: a string in DER."""
    value = text.encode()
    length = bytes([len(value)]) if len(value) < 0x80 else bytes([0x81, len(value)])
    return x509.OtherName(oid, bytes([tag]) + length + value)
