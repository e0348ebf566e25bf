"""APNs: how we prove who we are; by a token that we sign, or by a certificate.

Apple punishes whoever renews tokens too often. So there is one at a time for a team and its
key, however many backends, environments and connections use it, across reloads, too.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from pushd.config.checks import load_certificate, load_key, read_file
from pushd.providers.contract import Busy, Credential, Refused, Response, Secret, Token
from pushd.providers.credentials import sign_es256

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate

LIFETIME = 3600  # seconds that Apple takes a token for
RENEWED_AFTER = 3000.0  # seconds
YOUNGEST = 1200.0  # seconds: more than one new token in this time is punished

TOPICS = "1.2.840.113635.100.6.3.6"  # the extension that lists a certificate's topics
_UTF8_STRING, _SEQUENCE = 0x0C, 0x30  # tags (X.690 §8)


class ProviderToken(Credential):
    """The token of one team and key: a JWT (RFC 7519) signed with ES256, made here."""

    minimum_age = YOUNGEST

    def __init__(
        self, team_id: str, key_id: str, key: "EllipticCurvePrivateKey", fingerprint: str = ""
    ) -> None:
        self.fingerprint = fingerprint  # of the key: tells it from another one of the same id
        self._team_id = team_id
        self._key_id = key_id
        self._key = key
        self._token: Token | None = None

    def request(self, now: float) -> Token:
        """The token at hand, or a new one where that is due."""
        token = self._token
        if token is None or not token.fetched_at <= now < token.renew_at:
            token = self._token = self._make(now)
        return token

    def accept(self, response: Response, now: float) -> Token | Busy | Refused:
        """There is nobody who would answer."""
        return Refused("a token that is made here was answered", alarm=True)

    def forget(self, token: Token) -> None:
        if token is self._token:
            self._token = None

    def _make(self, now: float) -> Token:
        issued_at = int(now)
        claims = json.dumps({"iss": self._team_id, "iat": issued_at}, separators=(",", ":"))
        text = sign_es256(claims.encode(), self._key, {"kid": self._key_id})
        return Token(Secret(text), issued_at, issued_at + LIFETIME, RENEWED_AFTER)


_tokens: WeakValueDictionary[tuple[str, str, str], ProviderToken] = WeakValueDictionary()


def provider_token(team_id: str, key_id: str, key_file: Path) -> ProviderToken:
    """The one for this team and key; the same object for all who ask, while anyone has it.

    The file passed `signing_key_fault`. Raises OSError.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key: EllipticCurvePrivateKey = load_key(read_file(key_file))
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    fingerprint = sha256(public).hexdigest()
    name = (team_id, key_id, fingerprint)
    token = _tokens.get(name)
    if token is None:
        token = _tokens[name] = ProviderToken(team_id, key_id, key, fingerprint[:16])
    return token


@dataclass(frozen=True, slots=True)
class Identity:
    """What a client certificate says of itself."""

    topics: tuple[str, ...]  # bundle ids, some with a suffix such as ".voip"
    main_topic: str  # the bundle id itself; "" where that is not plain
    expires_at: float
    fingerprint: str  # tells a renewed certificate from the one before, in the same file

    @classmethod
    def load(cls, path: Path) -> "Identity":
        """The file passed `client_certificate_fault`. Raises OSError."""
        from cryptography.hazmat.primitives.hashes import SHA256

        certificate = load_certificate(read_file(path))
        assert certificate is not None
        topics = _topics(certificate)
        return cls(
            topics,
            _main(topics, _user_id(certificate)),
            certificate.not_valid_after_utc.timestamp(),
            certificate.fingerprint(SHA256()).hex()[:16],
        )


def _main(topics: tuple[str, ...], user_id: str) -> str:
    """The topic that the others only add a suffix to."""
    if user_id in topics:
        return user_id
    mains = [
        one for one in topics if all(each == one or each.startswith(f"{one}.") for each in topics)
    ]
    return mains[0] if mains else ""


def _topics(certificate: "Certificate") -> tuple[str, ...]:
    """Those of the extension; a certificate without it has one, its subject's user id."""
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier(TOPICS))
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        user_id = _user_id(certificate)
        return (user_id,) if user_id else ()
    value = found.value
    assert isinstance(value, x509.UnrecognizedExtension)
    return tuple(topics_in(value.value))


def _user_id(certificate: "Certificate") -> str:
    from cryptography.x509.oid import NameOID

    names = certificate.subject.get_attributes_for_oid(NameOID.USER_ID)
    return str(names[0].value) if names else ""


def topics_in(der: bytes) -> Iterator[str]:
    """The topics in the extension's value: a sequence of texts, each followed by its kinds."""
    for tag, content in _parts(der):
        if tag == _SEQUENCE:
            for inner, text in _parts(content):
                if inner == _UTF8_STRING:
                    yield text.decode("utf-8", "replace")


def _parts(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each value (X.690 §8.1); ends early where that makes no sense."""
    at = 0
    while at + 2 <= len(der):
        tag, length, start = der[at], der[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, start = int.from_bytes(der[start : start + size], "big"), start + size
        if start + length > len(der):
            return
        yield tag, der[start : start + length]
        at = start + length
