"""What is in the files that a configuration names: certificates, keys, service accounts.

A fault is told as a short text, or None; it never holds any of a credential's content.
cryptography is imported by the first check that needs it.
"""

import json
import re
import stat
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pushd.config.files import File

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

MAX_FILE_BYTES = 1 << 20
SOON = timedelta(days=30)
_PRIVATE_KEYS = re.compile(
    rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----.+?-----END (?:[A-Z]+ )*PRIVATE KEY-----", re.DOTALL
)
ACCOUNT_FIELDS = ("project_id", "client_email", "private_key", "private_key_id", "token_uri")


def read_file(path: Path) -> bytes:
    """The content of a file that is small, as credentials are. Raises OSError."""
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise OSError("too large")
    return data


def state_of(path: Path) -> tuple[int, int, int]:
    """What is another one once the file is. Raises OSError."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def others_may_read_a_key(path: Path) -> bool:
    """Is there a private key in the file, for every user of this machine?"""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH) and b"PRIVATE KEY-----" in read_file(path)
    except OSError:
        return False


def load_certificate(data: bytes) -> "Certificate | None":
    """The first certificate (PEM): that of the server, where its issuers follow."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.x509 import load_pem_x509_certificates

    try:
        certificate = load_pem_x509_certificates(data)[0]
        certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return certificate


def load_key(data: bytes) -> Any:
    """The private key (PEM), or None if there is none, or none without a passphrase."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def key_fault(certificate: "Certificate", key_data: bytes) -> str | None:
    """What is wrong with the key that should belong to the certificate."""
    key = load_key(key_data)
    if key is None:
        return "which holds no private key (PEM, without a passphrase)"
    if key.public_key() != certificate.public_key():
        return "whose key does not belong to the certificate"
    return None


def certificate_fault(certificate: "Certificate", domain: str, now: datetime) -> str | None:
    """Why a client would refuse this certificate for the domain."""
    if now >= certificate.not_valid_after_utc:
        return f"which expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if now < certificate.not_valid_before_utc:
        return f"which is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}"
    if not covers(certificate, domain):
        names = certificate_names(certificate)
        return f"which is for {', '.join(names[:5]) or 'no domain'}"
    return None


def covers(certificate: "Certificate", domain: str) -> bool:
    """Whether a client would take this certificate for the domain's, were it valid now."""
    return any(_covers(name, _ascii(domain)) for name in certificate_names(certificate))


def expires_soon(certificate: "Certificate", now: datetime) -> bool:
    return now + SOON > certificate.not_valid_after_utc


def certificate_names(certificate: "Certificate") -> list[str]:
    """The domains among its alternative names; the common name does not count (RFC 6125)."""
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (
        ValueError,
        x509.ExtensionNotFound,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ):
        return []
    domains = extension.value.get_values_for_type(x509.DNSName)
    addresses = extension.value.get_values_for_type(x509.IPAddress)
    return [
        *(domain.lower() for domain in domains),
        *(f"[{each}]" if each.version == 6 else f"{each}" for each in addresses),
    ]


def _covers(name: str, domain: str) -> bool:
    if name.startswith("*."):
        return domain.partition(".")[2] == name[2:]
    return name == domain


def _ascii(domain: str) -> str:
    if domain.isascii():
        return domain
    import idna

    return idna.encode(domain).decode()


def service_account_fault(path: Path) -> str | None:
    """What is wrong with a service account file, as Google hands it out."""
    try:
        account = json.loads(read_file(path))
    except OSError:
        return "which cannot be read"
    except (ValueError, RecursionError):
        return "which is not JSON"
    if not isinstance(account, dict) or account.get("type") != "service_account":
        return "which is not of the type service_account"
    for name in ACCOUNT_FIELDS:
        if not isinstance(account.get(name), str) or not account[name]:
            return f"which has no {name}"
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    key = load_key(account["private_key"].encode())
    if not isinstance(key, RSAPrivateKey) or key.key_size < 2048:  # RFC 7518 §3.3
        return "whose private_key is not an RSA key (PEM) of 2048 bits or more"
    return None


def signing_key_fault(path: Path) -> str | None:
    """What is wrong with a signing key for APNs (.p8), as Apple hands it out."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey

    try:
        key = load_key(read_file(path))
    except OSError:
        return "which cannot be read"
    if key is None:
        return "which holds no private key (PEM, without a passphrase)"
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        return "whose key is not one on the curve P-256"
    return None


def vapid_keys(data: bytes) -> list[Any]:
    """The keys (PEM) that sign for Web Push, in order. Raises ValueError, which says why not."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey

    keys = [load_key(block) for block in _PRIVATE_KEYS.findall(data)]
    if not keys or None in keys:
        raise ValueError("which holds no private key (PEM, without a passphrase)")
    if not all(
        isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)
        for key in keys
    ):
        raise ValueError("which has a key that is not one on the curve P-256")
    return keys


def vapid_key_fault(path: Path) -> str | None:
    """What is wrong with a file of keys for Web Push."""
    try:
        vapid_keys(read_file(path))
    except OSError:
        return "which cannot be read"
    except ValueError as error:
        return str(error)
    return None


def client_certificate_fault(path: Path) -> str | None:
    """What is wrong with a file that has a client certificate, and mostly its private key."""
    try:
        data = read_file(path)
    except OSError:
        return "which cannot be read"
    if _is_pkcs12(data):
        return "which is PKCS#12, not PEM"
    certificate = load_certificate(data)
    if certificate is None:
        return "which holds no certificate (PEM)"
    return key_fault(certificate, data) if b"PRIVATE KEY-----" in data else None


def _is_pkcs12(data: bytes) -> bool:
    """As .p12 files are: DER, a sequence that begins with the version 3 (RFC 7292 §4)."""
    return data[:1] == b"\x30" and b"\x02\x01\x03" in data[:8]


def authorities_fault(path: Path) -> str | None:
    """What is wrong with a file of certificates to trust."""
    try:
        return None if load_certificate(read_file(path)) else "which holds no certificate (PEM)"
    except OSError:
        return "which cannot be read"


ServiceAccountFile = Annotated[
    Path, File(service_account_fault, "a service account file (JSON) with its private key")
]
SigningKeyFile = Annotated[
    Path, File(signing_key_fault, "the signing key (.p8) from Apple's developer site")
]
VapidKeyFile = Annotated[
    Path,
    File(
        vapid_key_fault,
        "a file (PEM) with a private key; `openssl ecparam -name prime256v1 -genkey -noout"
        " -out FILE` makes one",
    ),
]
ClientCertificateFile = Annotated[
    Path,
    File(
        client_certificate_fault,
        "a file (PEM) with the certificate from Apple and its private key; `openssl pkcs12"
        " -in FILE.p12 -nodes -out FILE.pem` makes one of a .p12 file",
    ),
]
AuthoritiesFile = Annotated[Path, File(authorities_fault, "a file of certificates (PEM)")]
