"""RFC 5802, RFC 7677: the keys that SCRAM keeps in place of a password, and their derivation.

The conversation itself is in `sasl`.
"""

import hashlib
import hmac
import secrets
import stringprep
import unicodedata
from dataclasses import dataclass, field
from typing import Final, Literal

from pushd.wire import precis
from pushd.wire.legacy import PROHIBITED
from pushd.wire.secret import Secret

__all__ = [
    "ITERATIONS",
    "Hash",
    "ScramKeys",
    "derive",
    "digest",
    "fake_keys",
    "salted",
    "sign",
    "verify",
]

Hash = Literal["SHA-1", "SHA-256", "SHA-512"]

ITERATIONS: Final = 10_000
SALT_BYTES: Final = 16
LONGEST_PASSWORD: Final = 16_384  # bytes of one that is not plain ASCII

_ALGORITHMS: Final[dict[Hash, str]] = {"SHA-1": "sha1", "SHA-256": "sha256", "SHA-512": "sha512"}
_PROHIBITED: Final = (*PROHIBITED, stringprep.in_table_a1)  # A.1: not assigned in Unicode 3.2


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What is stored of a password for one hash (RFC 5802 §3). Prints no key."""

    salt: bytes = field(repr=False)
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


def digest(hash: Hash, data: bytes) -> bytes:
    """The hash of RFC 5802's H()."""
    return hashlib.new(_ALGORITHMS[hash], data).digest()


def sign(hash: Hash, key: bytes, data: bytes) -> bytes:
    """The HMAC of RFC 5802."""
    return hmac.digest(key, data, _ALGORITHMS[hash])


def salted(hash: Hash, password: str | Secret, salt: bytes, iterations: int) -> bytes:
    """RFC 5802's SaltedPassword. Blocks for milliseconds of CPU.

    Raises ValueError for a password that no preparation allows.
    """
    return hashlib.pbkdf2_hmac(_ALGORITHMS[hash], _prepared(password), salt, iterations)


def derive(
    hash: Hash, password: str | Secret, salt: bytes | None = None, iterations: int = ITERATIONS
) -> ScramKeys:
    """Derive the keys to store, with a fresh salt unless one is given.

    Blocks for milliseconds of CPU: call it in a thread. Raises ValueError for a password
    that is empty or holds what no password may, such as control characters.
    """
    if salt is None:
        salt = secrets.token_bytes(SALT_BYTES)
    key = salted(hash, password, salt, iterations)
    stored_key = digest(hash, sign(hash, key, b"Client Key"))
    return ScramKeys(salt, iterations, stored_key, sign(hash, key, b"Server Key"))


def verify(keys: ScramKeys, hash: Hash, password: str | Secret) -> bool:
    """Whether the keys are this password's. Blocks as `derive` does."""
    try:
        derived = derive(hash, password, keys.salt, keys.iterations)
    except ValueError:
        return False
    return hmac.compare_digest(derived.stored_key, keys.stored_key)


def fake_keys(secret: bytes, hash: Hash, account: str, iterations: int = ITERATIONS) -> ScramKeys:
    """Keys for an account that does not exist: no password fits, and its salt is always the same.

    So a stranger who asks for the challenge cannot tell who has an account (RFC 5802 §9).
    `secret` is the server's own and lasts; `account` is the bare JID.
    """
    name = f"{hash}\0{account}".encode()

    def part(label: bytes) -> bytes:
        return hmac.digest(secret, label + b"\0" + name, "sha512")

    size = len(digest(hash, b""))
    return ScramKeys(
        part(b"salt")[:SALT_BYTES],
        iterations,
        part(b"stored key")[:size],
        part(b"server key")[:size],
    )


def _prepared(password: str | Secret) -> bytes:
    """A password as it is hashed: by SASLprep, or by OpaqueString where SASLprep refuses.

    SCRAM asks for SASLprep (RFC 5802 §5.1), which knows Unicode 3.2 only and no mix of
    scripts such as Hebrew letters before digits; what it refuses, most clients then pass
    on as typed, and OpaqueString (RFC 8265 §4.2) leaves that as it is.
    """
    text = password.reveal() if isinstance(password, Secret) else password
    if not text:
        raise ValueError("the password is empty")
    if text.isascii() and text.isprintable():
        return text.encode()
    try:
        prepared = _saslprep(text) or precis.enforce("OpaqueString", text, LONGEST_PASSWORD)
        return prepared.encode()
    except ValueError:
        # Not the original error, as it quotes the password.
        raise ValueError("the password holds a character that no password may") from None


def _saslprep(text: str) -> str:
    """The text prepared by RFC 4013, or "" when it may not be."""
    kept = (c for c in text if not stringprep.in_table_b1(c))
    mapped = "".join(" " if stringprep.in_table_c12(c) else c for c in kept)
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if any(prohibited(c) for c in prepared for prohibited in _PROHIBITED):
        return ""
    rightward = [stringprep.in_table_d1(c) for c in prepared]
    if any(rightward) and (
        any(map(stringprep.in_table_d2, prepared)) or not (rightward[0] and rightward[-1])
    ):
        return ""
    return prepared
