"""The signed tokens by which application servers say who they are (RFC 8292).

Checked without a JWT library, so that a library misused by the sender is not misused here
in the same way.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from pushd.simulators.webpush_crypto import (
    Undecryptable,
    from_base64url,
    public_key,
    to_base64url,
)

LONGEST = 86_400  # seconds that `exp` may be ahead (§2)

_PARAMETER = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+)=(?:\"([^\"\\]*)\"|([^\s\",;]+))")
_CONTACT = re.compile(r"mailto:[^\s<>@]+@(?P<domain>[^\s<>@?]+)|https://(?P<host>[^\s<>/?#:]+)\S*")
_NOWHERE = ("localhost", ".localhost", ".local", ".invalid", ".test", ".example", ".internal")


class Refused(Exception):
    """Why a token does not hold, in words; `fault` is the name of what a service answers."""

    def __init__(self, words: str, fault: str = "unauthorized") -> None:
        super().__init__(words)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Signer:
    """Who has signed, and what."""

    point: bytes = field(repr=False)  # the public key, 65 bytes
    claims: Mapping[str, Any]

    @property
    def key(self) -> str:
        return to_base64url(self.point)

    @property
    def is_reachable(self) -> bool:
        """Whether `sub` names a host that others may know. Apple wants one."""
        match = _CONTACT.fullmatch(str(self.claims.get("sub")))
        host = (match["domain"] or match["host"]).lower() if match else ""
        return "." in host and not host.endswith(_NOWHERE)


def check(authorization: str, origin: str, now: float) -> Signer:
    """Check an Authorization header for a service at `origin`, at the time `now`.

    `sub` is wanted, which RFC 8292 only recommends: Mozilla's documents and Apple demand it.
    Raises Refused.
    """
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() != "vapid":
        raise Refused("Unknown auth scheme")
    parameters = _parameters(rest)
    if "t" not in parameters:
        raise Refused("Missing VAPID token")
    if "k" not in parameters:
        raise Refused("Missing VAPID public key")
    try:
        point = from_base64url(parameters["k"])
        key = public_key(point)
    except (ValueError, Undecryptable):
        raise Refused("Invalid VAPID public key", "bad-vapid-key") from None
    claims = _claims(parameters["t"], key)
    _check_claims(claims, origin, now)
    return Signer(point, claims)


def _parameters(text: str) -> dict[str, str]:
    """Read `t=...,k=...` with the leniency of RFC 9110 §11.2. Raises Refused."""
    found: dict[str, str] = {}
    for part in text.split(","):
        match = _PARAMETER.fullmatch(part.strip())
        if match is None or match[1].lower() in found:
            raise Refused("Malformed VAPID parameters")
        found[match[1].lower()] = match[2] if match[2] is not None else match[3]
    return found


def _claims(token: str, key: ec.EllipticCurvePublicKey) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        raise Refused("Invalid VAPID token: a JWT has three parts")
    header, claims = _decoded(parts[0]), _decoded(parts[1])
    if header.get("alg") != "ES256" or header.get("typ", "JWT") != "JWT":
        raise Refused("Invalid VAPID token: it must be signed with ES256")
    if not _is_signed_by(key, parts[2], f"{parts[0]}.{parts[1]}".encode()):
        raise Refused("Invalid VAPID token: the signature is not of this key")
    return claims


def _check_claims(claims: Mapping[str, Any], origin: str, now: float) -> None:
    if claims.get("aud") != origin:
        raise Refused("Invalid VAPID audience")
    expires_at = claims.get("exp")
    if not _is_time(expires_at):
        raise Refused("Invalid VAPID token: exp must be a number")
    if expires_at <= now:
        raise Refused("Invalid VAPID expiry")
    if expires_at > now + LONGEST:
        raise Refused("The VAPID token expiration is too long")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not _CONTACT.fullmatch(subject):
        raise Refused("Improperly formatted sub string")


def _decoded(part: str) -> dict[str, Any]:
    try:
        value = json.loads(from_base64url(part))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Refused("Invalid VAPID token: it is not JSON")
    return value


def _is_time(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_signed_by(key: ec.EllipticCurvePublicKey, signature: str, signed: bytes) -> bool:
    """Whether the 64 bytes r and s (RFC 7518 §3.4) are the key's."""
    try:
        raw = from_base64url(signature)
        if len(raw) != 64:
            return False
        r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
        key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True
