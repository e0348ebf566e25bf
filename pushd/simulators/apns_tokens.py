"""Who may push: the keys of a team and the provider tokens signed with them.

Read from Apple's "Establishing a token-based connection to APNs" and RFC 7515, and checked
without a JWT library, so that a library misused by the sender is not misused here likewise.
"""

import base64
import json
import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from pushd.simulators.apns_reasons import Refused

LIFETIME = 3600  # seconds from `iat` for which a provider token holds
BETWEEN = 1200  # seconds between two changes of a connection's token
SKEW = 300  # seconds by which a provider's clock may be ahead
MAX_VERIFIED = 1_000  # provider tokens remembered
PRODUCTION, SANDBOX = "production", "sandbox"
ENVIRONMENTS = (PRODUCTION, SANDBOX)

_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_ID = re.compile(r"[A-Z0-9]{10}")
_ALPHABET = string.ascii_uppercase + string.digits


@dataclass(frozen=True, slots=True)
class Key:
    """A signing key of a team. Empty `environments` or `topics`: it is for all of them."""

    team: str
    id: str
    private: ec.EllipticCurvePrivateKey = field(repr=False)
    environments: frozenset[str] = frozenset()
    topics: frozenset[str] = frozenset()

    @classmethod
    def made_up(
        cls,
        team: str = "",
        environments: frozenset[str] = frozenset(),
        topics: frozenset[str] = frozenset(),
    ) -> "Key":
        private = ec.generate_private_key(ec.SECP256R1())
        return cls(team or _made_up_id(), _made_up_id(), private, environments, topics)

    @classmethod
    def taken_up(cls, file: Mapping[str, Any]) -> "Key":
        """Read what `as_file` gave; raises ValueError when it is something else."""
        try:
            private = serialization.load_pem_private_key(file["private_key"].encode(), None)
            team, key_id = file["team_id"], file["key_id"]
        except (AttributeError, KeyError, TypeError, ValueError):
            private, team, key_id = None, "", ""
        is_known = isinstance(private, ec.EllipticCurvePrivateKey)
        if not is_known or not _is_id(team) or not _is_id(key_id):
            raise ValueError("this is not a key that a stand-in has made up")
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        return cls(team, key_id, private)

    @property
    def pem(self) -> str:
        """The content of the .p8 file that Apple's page gives."""
        return self.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    def as_file(self) -> dict[str, str]:
        """What a provider signs in with."""
        return {"team_id": self.team, "key_id": self.id, "private_key": self.pem}


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who has signed a provider token, and when."""

    key: Key
    issued_at: float


@dataclass(slots=True)
class Changes:
    """The provider tokens that one connection has seen.

    The first is no change. Who changes it a second time within 20 minutes is told so, whatever
    the token, until they are over.
    """

    team: str = ""
    count: int = 0  # how many there were
    _token: str = field(default="", repr=False)
    _changed_at: float | None = None
    _punished_until: float = 0.0

    def see(self, token: str, bearer: Bearer, now: float) -> None:
        """Take note of a request's token. Raises Refused."""
        if not self.count:
            self.team, self._token, self.count = bearer.key.team, token, 1
        if bearer.key.team != self.team:
            raise Refused("UnrelatedKeyIdInToken")
        if now < self._punished_until:
            raise Refused("TooManyProviderTokenUpdates")
        if token == self._token:
            return
        if self._changed_at is not None and now - self._changed_at < BETWEEN:
            self._punished_until = self._changed_at + BETWEEN
            raise Refused("TooManyProviderTokenUpdates")
        self._token, self._changed_at = token, now
        self.count += 1


class Verifier:
    """Checks provider tokens against `keys`, each token's signature once."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {}  # by their ids
        self._verified: dict[str, Bearer] = {}

    def check(self, authorization: str, now: float) -> Bearer:
        """Who has signed the token in an Authorization header. Raises Refused."""
        bearer = self._verified.get(authorization)
        if bearer is None or self.keys.get(bearer.key.id) is not bearer.key:
            bearer = _read(authorization, self.keys)
            if len(self._verified) >= MAX_VERIFIED:
                self._verified.clear()
            self._verified[authorization] = bearer
        if bearer.issued_at > now + SKEW:
            raise Refused("InvalidProviderToken")
        if bearer.issued_at <= now - LIFETIME:
            raise Refused("ExpiredProviderToken")
        return bearer


def _read(authorization: str, keys: Mapping[str, Key]) -> Bearer:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused("MissingProviderToken")
    parts = token.split(".")
    if len(parts) != 3:
        raise Refused("InvalidProviderToken")
    header, claims = _decoded(parts[0]), _decoded(parts[1])
    key = keys.get(str(header.get("kid")))
    if header.get("alg") != "ES256" or key is None or claims.get("iss") != key.team:
        raise Refused("InvalidProviderToken")
    if not _is_signed_by(key, parts[2], f"{parts[0]}.{parts[1]}".encode()):
        raise Refused("InvalidProviderToken")
    issued_at = claims.get("iat")
    if not isinstance(issued_at, int) or isinstance(issued_at, bool):
        raise Refused("InvalidProviderToken")
    return Bearer(key, issued_at)


def _decoded(part: str) -> dict[str, Any]:
    try:
        value = json.loads(_bytes(part))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Refused("InvalidProviderToken")
    return value


def _bytes(part: str) -> bytes:
    """Decode base64url without padding (RFC 7515 §2); raises ValueError."""
    if not _BASE64URL.fullmatch(part) or len(part) % 4 == 1:
        raise ValueError("not base64url")
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _is_signed_by(key: Key, signature: str, signed: bytes) -> bool:
    """Whether the 64 bytes r and s (RFC 7518 §3.4) are the key's."""
    try:
        raw = _bytes(signature)
        if len(raw) != 64:
            return False
        r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
        key.private.public_key().verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def _is_id(value: object) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _made_up_id() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(10))
