"""Certificates for development: an authority of one's own, and what it signs.

Nothing here belongs on a server that strangers reach. The development mode and the
tests need certificates that a client can really check, within milliseconds and without
asking anyone; this makes them.
"""

import datetime
import ipaddress
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import idna
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=365)
_RENEW = datetime.timedelta(days=30)  # an authority with less than this left is replaced
_SKEW = datetime.timedelta(days=1)  # a client's clock may be behind ours by this much
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class CertificateError(ValueError):
    """A file cannot be used; says which one, and why, or the remedy."""


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """Where a certificate and its private key were written, both as PEM."""

    certificate: Path
    key: Path


class DevelopmentCA:
    """A certificate authority in a folder, made when the folder has none.

    `folder` is created when it is missing and then holds `ca.pem` and `ca-key.pem`.
    The same folder gives the same authority again, until less than a month of its year
    is left: then a new one takes its place. `now` is in seconds since the epoch.

    Raises CertificateError when the files are there but cannot be used, and OSError when
    the folder cannot be read or written. Blocks on the disk.
    """

    def __init__(self, folder: Path | str, now: float) -> None:
        self.folder = Path(folder)
        self.path = self.folder / "ca.pem"  # what a client is told to trust
        self._key_path = self.folder / "ca-key.pem"
        self._now = datetime.datetime.fromtimestamp(now, datetime.UTC).replace(microsecond=0)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        loaded = self._load() if self.path.exists() else None
        self._certificate, self._key = loaded or self._create()

    def issue(self, names: Sequence[str], name: str = "server") -> IssuedCertificate:
        """Issue a certificate for a TLS server and write it to `name`.pem and `name`-key.pem.

        `names` are what clients will connect to: domain names (a leading `*.` is a
        wildcard; others than ASCII are taken as IDNA) and IP addresses. What these files
        held before is replaced.

        Raises ValueError when there are no names, one of them is neither a domain name
        nor an address, or `name` is not a plain file name of its own.
        """
        if not _FILE_NAME.fullmatch(name) or name in ("ca", "ca-key"):
            raise ValueError(f"not a name for a certificate's file: {name!r}")
        if not names:
            raise ValueError("a certificate needs at least one domain name or address")
        alternatives = [_alternative(each) for each in names]
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self._certificate
        certificate = (
            _builder(key.public_key(), self._now, issuer.not_valid_after_utc)
            .subject_name(_subject(str(alternatives[0].value)))
            .issuer_name(issuer.subject)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        issued = IssuedCertificate(self.folder / f"{name}.pem", self.folder / f"{name}-key.pem")
        write_whole(issued.key, _key_pem(key), 0o600)
        write_whole(issued.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        return issued

    def _load(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
        """What the folder holds, or None when its time is nearly over."""
        certificate = _certificate_in(self.path)
        if not self._key_path.exists():
            raise CertificateError(
                f"{self.path} has lost its key {self._key_path.name}: remove it, "
                "and a new authority is made"
            )
        key = _key_in(self._key_path)
        if key.public_key() != certificate.public_key():
            raise CertificateError(
                f"{self._key_path} is not the key of {self.path.name}: remove both, "
                "and a new authority is made"
            )
        if certificate.not_valid_after_utc - self._now < _RENEW:
            return None
        return certificate, key

    def _create(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        # Every authority has a subject of its own, lest a client that trusts two of them
        # tries the wrong one first and calls the signature bad.
        serial = x509.random_serial_number()
        subject = _subject(f"pushd development authority {serial % 0xFFFFFF:06x}")
        certificate = (
            _builder(key.public_key(), self._now, self._now + LIFETIME, serial)
            .subject_name(subject)
            .issuer_name(subject)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        # The key goes first: a key without a certificate is an authority never finished,
        # and is made anew.
        write_whole(self._key_path, _key_pem(key), 0o600)
        write_whole(self.path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        return certificate, key


def _builder(
    key: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    until: datetime.datetime,
    serial: int | None = None,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .public_key(key)
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(min(until, now + LIFETIME))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(name: str) -> x509.Name:
    # A common name has room for 64 characters (RFC 5280, Appendix A.1); clients read the
    # alternative names, so what does not fit is not missed.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _alternative(name: str) -> x509.DNSName | x509.IPAddress:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    wildcard = "*." if name.startswith("*.") else ""
    try:
        ascii_name = idna.encode(name.removeprefix("*."), uts46=True).decode()
    except idna.IDNAError as error:
        raise ValueError(f"neither a domain name nor an address: {name!r} ({error})") from None
    return x509.DNSName(wildcard + ascii_name.removesuffix("."))


def _certificate_in(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError:
        raise CertificateError(f"{path} is not a certificate in PEM form") from None


def _key_in(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (TypeError, ValueError):  # TypeError: it wants a password
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError(f"{path} is not a private key of ours in PEM form")
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def write_whole(path: Path, data: bytes, mode: int) -> None:
    """Put the whole of `data` under the name `path` at once: no reader sees a part of it.

    Nobody but the owner can read it before it has its `mode`. Raises OSError.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:  # mkstemp gives it 0600
            file.write(data)
            os.fchmod(file.fileno(), mode)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
