"""A browser's side of Web Push: subscribes, and reads what comes. Written from the RFCs alone.

It uses nothing of pushd's, so that the two check each other.
"""

import base64
import hashlib
import hmac
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==="[: -len(text) % 4])


class Browser:
    """One subscription. `private` is a number, `auth` 16 bytes."""

    def __init__(self, private: int | None = None, auth: bytes = b"0123456789abcdef") -> None:
        curve = ec.SECP256R1()
        self.key = (
            ec.generate_private_key(curve)
            if private is None
            else ec.derive_private_key(private, curve)
        )
        self.auth = auth
        self.public = self.key.public_key().public_bytes(
            Encoding.X962, PublicFormat.UncompressedPoint
        )

    def fields(self, endpoint: str) -> dict[str, str]:
        """What its page passes on."""
        return {"endpoint": endpoint, "p256dh": b64(self.public), "auth": b64(self.auth)}

    def read(self, body: bytes) -> bytes:
        """The content of a message (RFC 8291 §3, RFC 8188 §2). Raises for any fault in it."""
        salt, size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
        sender, sealed = body[21 : 21 + length], body[21 + length :]
        assert length == 65, "the key is no point"
        assert 17 <= len(sealed) <= size, "not one record"
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender)
        shared = self.key.exchange(ec.ECDH(), point)
        prk = _hmac(self.auth, shared)
        secret = _hmac(prk, b"WebPush: info\x00" + self.public + sender + b"\x01")
        prk = _hmac(salt, secret)
        key = _hmac(prk, b"Content-Encoding: aes128gcm\x00\x01")[:16]
        nonce = _hmac(prk, b"Content-Encoding: nonce\x00\x01")[:12]
        padded = AESGCM(key).decrypt(nonce, sealed, None).rstrip(b"\x00")
        assert padded.endswith(b"\x02"), "not the last record"
        return padded[:-1]


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


class Forged(Exception):
    """A signature is not what it should be."""


def claims_of(authorization: str, origin: str, now: float) -> tuple[dict[str, Any], str]:
    """Claims and key of a VAPID header. Raises Forged (RFC 8292 §2 and §3)."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() != "vapid":
        raise Forged("scheme")
    given = dict(part.strip().split("=", 1) for part in rest.split(","))
    signed, _, signature = given["t"].rpartition(".")
    header, _, claims = signed.partition(".")
    if json.loads(unb64(header)).get("alg") != "ES256":
        raise Forged("alg")
    raw = unb64(signature)
    if len(raw) != 64:
        raise Forged("length")
    numbers = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unb64(given["k"]))
    try:
        key.verify(utils.encode_dss_signature(*numbers), signed.encode(), ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise Forged("signature") from None
    found = json.loads(unb64(claims))
    if found["aud"] != origin:
        raise Forged("aud")
    if not now < found["exp"] <= now + 86_400:
        raise Forged("exp")
    return found, given["k"]
