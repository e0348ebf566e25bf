"""What a user agent does with the body of a push message: check that it is one, and open it.

Read from RFC 8188 (the encoding "aes128gcm") and RFC 8291 (whose keys they are).
"""

import base64
import re
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

POINT = 65  # bytes of an uncompressed point of P-256
TAG = 16  # bytes of AES-GCM's
LEAST_RECORD = 18  # bytes, a tag and what it covers (RFC 8188 §2)

_HEADER = 21  # bytes before the key id
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")


class Undecryptable(Exception):
    """A body that a user agent would throw away; the text says why."""


@dataclass(frozen=True, slots=True)
class Header:
    """What stands in clear before the records (RFC 8188 §2.1)."""

    salt: bytes
    record_size: int
    key_id: bytes
    length: int  # bytes of the header itself


@dataclass(frozen=True, slots=True)
class Opened:
    """A message, how many zero bytes were behind it, and the key it was encrypted with."""

    plaintext: bytes = field(repr=False)
    padding: int
    sender: bytes = field(repr=False)  # the point of the application server, fresh each time


@dataclass(frozen=True, slots=True)
class Receiver:
    """What a user agent has made for one subscription."""

    private: ec.EllipticCurvePrivateKey = field(repr=False)
    auth: bytes = field(repr=False)  # 16 bytes

    @property
    def point(self) -> bytes:
        """The public key, as in `p256dh`."""
        return point_of(self.private.public_key())

    def open(self, body: bytes) -> Opened:
        """Decrypt a body. Raises Undecryptable."""
        header = read_header(body)
        if len(header.key_id) != POINT:
            raise Undecryptable("the key id must be a public key of 65 bytes (RFC 8291 §4)")
        sender = public_key(header.key_id)
        shared = self.private.exchange(ec.ECDH(), sender)
        info = b"WebPush: info\0" + self.point + header.key_id
        key = derive(self.auth, shared, info, 32)
        text, padding = open_record(body, header, key)
        return Opened(text, padding, header.key_id)


def read_header(body: bytes) -> Header:
    """Raises Undecryptable when the body ends before it."""
    if len(body) < _HEADER or len(body) < _HEADER + body[20]:
        raise Undecryptable("the body ends within the header (RFC 8188 §2.1)")
    length = _HEADER + body[20]
    size = int.from_bytes(body[16:20], "big")
    if size < LEAST_RECORD:
        raise Undecryptable("the record size must be 18 or more (RFC 8188 §2.1)")
    return Header(body[:16], size, body[_HEADER:length], length)


def open_record(body: bytes, header: Header, key: bytes) -> tuple[bytes, int]:
    """The plaintext of the only record, and the length of its padding. Raises Undecryptable."""
    record = body[header.length :]
    if len(record) > header.record_size:
        raise Undecryptable("there must be one record only (RFC 8291 §4)")
    if len(record) < LEAST_RECORD - 1:
        raise Undecryptable("the record is too short")
    content_key = derive(header.salt, key, b"Content-Encoding: aes128gcm\0", 16)
    nonce = derive(header.salt, key, b"Content-Encoding: nonce\0", 12)  # of the record numbered 0
    try:
        padded = AESGCM(content_key).decrypt(nonce, record, None)
    except InvalidTag:
        raise Undecryptable("the record was not encrypted for this subscription") from None
    text = padded.rstrip(b"\0")
    if text[-1:] != b"\x02":
        raise Undecryptable("the padding must begin with 2 in the last record (RFC 8188 §2)")
    return text[:-1], len(padded) - len(text)


def derive(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    """HKDF with SHA-256 (RFC 5869)."""
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)


def point_of(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def public_key(point: bytes) -> ec.EllipticCurvePublicKey:
    """The key of an uncompressed point. Raises Undecryptable when it is not on the curve."""
    try:
        if len(point) != POINT:
            raise ValueError
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise Undecryptable("this is no point of P-256 (RFC 8291 §7)") from None


def to_base64url(data: bytes) -> str:
    """Without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """Decode what has no padding; raises ValueError."""
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise ValueError("not base64url")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
