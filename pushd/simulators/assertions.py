"""The signed assertions by which a service account asks for an access token (RFC 7523).

Read from Google's "Using OAuth 2.0 for Server to Server Applications", and checked without
a JWT library, so that a library misused by the sender is not misused here in the same way.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

LONGEST = 3600  # seconds between iat and exp
SKEW = 300  # seconds by which the sender's clock may be ahead

_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_OUT_OF_TIME = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
    "Check your iat and exp values in the JWT claim."
)

Keys = Mapping[str, Mapping[str, rsa.RSAPublicKey]]  # by the account's address, then key id


class AssertionRefused(Exception):
    """An OAuth error (RFC 6749 §5.2): its code, its description, its HTTP status."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status


@dataclass(frozen=True, slots=True)
class Grant:
    """Who asks, and for which scopes."""

    issuer: str
    scopes: frozenset[str]


def check(assertion: str, keys: Keys, audience: str, now: float) -> Grant:
    """Check an assertion meant for `audience` at the time `now`.

    Raises AssertionRefused as the token endpoint would answer it.
    """
    parts = assertion.split(".")
    if len(parts) != 3:
        raise AssertionRefused("invalid_grant", "Bad Request: a JWT has three parts")
    header, claims = _decoded(parts[0], "header"), _decoded(parts[1], "claim set")
    account = keys.get(_text(claims, "iss"))
    if account is None:
        raise AssertionRefused("invalid_grant", "Invalid grant: account not found")
    _check_signature(header, account, parts)
    if claims.get("aud") != audience:
        raise AssertionRefused("invalid_grant", "Invalid JWT: Failed audience check.")
    _check_times(claims, now)
    if claims.get("sub", claims["iss"]) != claims["iss"]:
        raise AssertionRefused(
            "unauthorized_client",
            "Client is unauthorized to retrieve access tokens using this method, or client not "
            "authorized for any of the scopes requested.",
            401,
        )
    return Grant(claims["iss"], _scopes(claims))


def _decoded(part: str, name: str) -> dict[str, Any]:
    try:
        value = json.loads(_bytes(part))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise AssertionRefused("invalid_grant", f"Invalid JWT: the {name} is not a JSON object")
    return value


def _bytes(part: str) -> bytes:
    """Decode base64url without padding (RFC 7515 §2); raises ValueError."""
    if not _BASE64URL.fullmatch(part) or len(part) % 4 == 1:
        raise ValueError("not base64url")
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""


def _check_signature(
    header: Mapping[str, Any], account: Mapping[str, rsa.RSAPublicKey], parts: list[str]
) -> None:
    # `kid` may be left out (RFC 7515 §4.1.4): then any key of the account will do.
    key_id = header.get("kid")
    candidates = list(account.values()) if key_id is None else [account.get(str(key_id))]
    if header.get("alg") == "RS256" and header.get("typ", "JWT") == "JWT":
        signed = f"{parts[0]}.{parts[1]}".encode()
        for key in candidates:
            if key is not None and _is_signed_by(key, parts[2], signed):
                return
    raise AssertionRefused("invalid_grant", "Invalid JWT Signature.")


def _is_signed_by(key: rsa.RSAPublicKey, signature: str, signed: bytes) -> bool:
    try:
        key.verify(_bytes(signature), signed, padding.PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    issued_at, expires_at = claims.get("iat"), claims.get("exp")
    if (
        not _is_time(issued_at)
        or not _is_time(expires_at)
        or not issued_at < expires_at <= issued_at + LONGEST
        or not issued_at - SKEW <= now < expires_at
    ):
        raise AssertionRefused("invalid_grant", _OUT_OF_TIME)


def _is_time(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    scopes = frozenset(_text(claims, "scope").split())
    if not scopes:
        raise AssertionRefused("invalid_scope", "Empty or missing scope not allowed.")
    unknown = [scope for scope in scopes if not scope.startswith("https://www.googleapis.com/")]
    if unknown:
        raise AssertionRefused(
            "invalid_scope", "Invalid OAuth scope or ID token audience provided."
        )
    return scopes
