"""Web Push: the content of a message, sealed for one subscription (RFC 8291, RFC 8188).

One record, of which only the device has the key. The push service sees its length alone, and
that tells little: contents are padded to a few sizes.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from os import urandom
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import (
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )

RECORD_SIZE = 4096  # bytes, as the header says (RFC 8188 §2.1); all that a service must take
KEY_BYTES = 65  # a point on P-256, uncompressed
AUTH_BYTES = 16
HEADER_BYTES = 16 + 4 + 1 + KEY_BYTES  # salt, record size, length of the key, key
TAG_BYTES = 16  # of AES-128-GCM
END = b"\x02"  # what ends the content of the last record; zeros may follow (RFC 8188 §2)
OVERHEAD = HEADER_BYTES + len(END) + TAG_BYTES
LONGEST = RECORD_SIZE - OVERHEAD  # bytes of content
# What a content and its end are padded to. With the last but one the whole is 2,742 bytes: less
# than the 2,744 that come through where Mozilla has to use FCM.
SIZES = (256, 512, 1024, 2048, 2640, LONGEST + len(END))
USUAL = 2640 - len(END)  # bytes of content that come through everywhere


@dataclass(frozen=True, slots=True)
class Recipient:
    """A subscription's half of the keys."""

    public: bytes  # `p256dh`: a point, uncompressed
    auth: bytes


def seal(
    content: bytes,
    to: Recipient,
    padded_to: int = 0,
    key: "EllipticCurvePrivateKey | None" = None,
    salt: bytes = b"",
) -> bytes:
    """A body for `Content-Encoding: aes128gcm`.

    Content and end are padded to `padded_to` bytes, where that is more. `key` and `salt` are
    made anew for each message, unless a test gives them. Raises ValueError for what does not
    fit into one record, and for a public key that is none.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    padding = max(0, padded_to - len(content) - len(END))
    if len(content) + padding > LONGEST:
        raise ValueError("too long for one record")
    key = key or ec.generate_private_key(ec.SECP256R1())
    salt = salt or urandom(16)
    own = point_of(key.public_key())
    shared = key.exchange(ec.ECDH(), public_key(to.public))
    secret = _derived(to.auth, shared, b"WebPush: info\x00" + to.public + own, 32)
    content_key = _derived(salt, secret, b"Content-Encoding: aes128gcm\x00", 16)
    nonce = _derived(salt, secret, b"Content-Encoding: nonce\x00", 12)
    header = salt + RECORD_SIZE.to_bytes(4, "big") + bytes([KEY_BYTES]) + own
    return header + AESGCM(content_key).encrypt(nonce, content + END + bytes(padding), None)


def padded_size(length: int) -> int:
    """The size that a content of so many bytes is padded to, with its end; 0 for too many."""
    return next((size for size in SIZES if length + len(END) <= size), 0)


def _derived(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), length, salt, info).derive(secret)


# Keys as texts.


def public_key(point: bytes) -> "EllipticCurvePublicKey":
    """Raises ValueError for what is no uncompressed point on the curve (RFC 8291 §7)."""
    from cryptography.hazmat.primitives.asymmetric import ec

    if len(point) != KEY_BYTES or point[0] != 4:
        raise ValueError("no uncompressed point")
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)


def point_of(key: "EllipticCurvePublicKey") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def encoded(data: bytes) -> str:
    """In base64url without padding."""
    return urlsafe_b64encode(data).decode().rstrip("=")


def decoded(text: str) -> bytes:
    """What base64url says; the other alphabet, and padding, are taken as well.

    Raises ValueError for what is neither.
    """
    plain = text.rstrip("=").translate(_URLSAFE)
    if not re.fullmatch(r"[A-Za-z0-9_-]+", plain, re.ASCII) or len(plain) % 4 == 1:
        raise ValueError("not base64url")
    return urlsafe_b64decode(plain + "=" * (-len(plain) % 4))


_URLSAFE = str.maketrans("+/", "-_")
