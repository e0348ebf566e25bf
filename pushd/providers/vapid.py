"""VAPID: how a push service knows that it is us (RFC 8292).

A subscription is made for one key of ours, and takes pushes signed with that one alone. So
there may be several: the first is for new subscriptions, the others sign for those that were
made before.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pushd.providers.contract import Busy, Credential, Refused, Response, Secret, Token
from pushd.providers.credentials import sign_es256
from pushd.providers.webpush_encryption import encoded, point_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

LIFETIME = 43_200  # seconds that a token is good for; services take a day at most (§2)
RENEWED_AFTER = 21_600.0  # seconds
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256


class Keys:
    """Our keys, by their public halves: points in base64url, as browsers want them."""

    def __init__(self, keys: "Sequence[EllipticCurvePrivateKey]") -> None:
        self._keys = {encoded(point_of(key.public_key())): key for key in keys}

    def __contains__(self, public: str) -> bool:
        return public in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def current(self) -> str:
        """The public half of the one for new subscriptions; "" where there is none."""
        return next(iter(self._keys), "")

    def signed(self, claims: bytes) -> dict[str, str]:
        """The claims in a JWT by each key."""
        return {
            public: sign_es256(claims, key, {"typ": "JWT"}) for public, key in self._keys.items()
        }


def own_key(secret: bytes) -> "EllipticCurvePrivateKey":
    """The key that a secret of the server's own stands for: always the same."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    # So much longer than the order that no number is likelier than others to be seen.
    wide = HKDF(SHA256(), 48, None, b"pushd VAPID key").derive(secret)
    number = int.from_bytes(wide, "big") % (_ORDER - 1) + 1
    return ec.derive_private_key(number, ec.SECP256R1())


class Signature(Credential):
    """The tokens for one origin, made here: one by each key, since a push needs one of them."""

    def __init__(self, origin: str, subject: str, keys: Keys) -> None:
        self._origin = origin
        self._subject = subject
        self._keys = keys

    def request(self, now: float) -> Token:
        ends_at = int(now) + LIFETIME
        claims = {"aud": self._origin, "exp": ends_at, "sub": self._subject}
        signed = self._keys.signed(json.dumps(claims, separators=(",", ":")).encode())
        lines = "\n".join(f"{public} {jwt}" for public, jwt in signed.items())
        return Token(Secret(lines), now, ends_at, RENEWED_AFTER)

    def accept(self, response: Response, now: float) -> Token | Busy | Refused:
        """There is nobody who would answer."""
        return Refused("a token that is made here was answered", alarm=True)


def authorization(tokens: Secret, public: str) -> str:
    """The header's value (§3), by the key that a subscription was made for.

    A key that is lost cannot sign: then the service is asked what it thinks of another.
    """
    signed = dict(line.partition(" ")[::2] for line in tokens.reveal().splitlines())
    key = public if public in signed else next(iter(signed), "")
    return f"vapid t={signed.get(key, '')}, k={key}"
