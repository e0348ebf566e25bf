"""The signatures of Standard Webhooks, version 1, as a receiver checks them."""

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

TOLERANCE = 300  # seconds by which a timestamp may be off, either way
PREFIX = "whsec_"

_DIGITS = re.compile(r"[0-9]{1,12}")
_ID = re.compile(r"[A-Za-z0-9_:-]{1,256}")  # no full stop, which is what joins what is signed
_ONE = re.compile(r"([a-z0-9]+),([A-Za-z0-9+/]+={0,2})")


class Refused(Exception):
    """By the name of a fault, with words for whoever reads the answer."""

    def __init__(self, name: str, words: str) -> None:
        super().__init__(words)
        self.name = name


@dataclass(frozen=True, slots=True)
class Signed:
    """What holds. `by` has the places in the list of secrets of those that have signed."""

    id: str
    timestamp: int  # seconds since the epoch
    by: tuple[int, ...]


def made_up() -> str:
    """A secret, as it is handed out."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key(secret: str) -> bytes:
    """The bytes that a secret stands for, with its prefix or without. Raises ValueError."""
    found = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    if not 24 <= len(found) <= 64:
        raise ValueError("a secret has 24 to 64 bytes")
    return found


def check(
    id: str, timestamp: str, signature: str, body: bytes, keys: Sequence[bytes], now: float
) -> Signed:
    """Check the three headers, "" where absent, against each of the keys. Raises Refused."""
    for name, value in (("id", id), ("timestamp", timestamp), ("signature", signature)):
        if not value:
            raise Refused("missing-header", f"webhook-{name} is missing")
    if not _ID.fullmatch(id):
        raise Refused("bad-id", "webhook-id has characters that nobody should sign")
    if not _DIGITS.fullmatch(timestamp):
        raise Refused("bad-timestamp", "webhook-timestamp must be whole seconds")
    # What is signed are the bytes that came, not the number that they mean.
    content = b".".join((id.encode(), timestamp.encode(), body))
    given = _read(signature)
    expected = [hmac.digest(each, content, "sha256") for each in keys]
    by = [
        place
        for place, digest in enumerate(expected)
        if any(hmac.compare_digest(digest, one) for one in given)
    ]
    if not by:
        raise Refused("bad-signature", "no signature is by a secret of this receiver")
    if abs(int(timestamp) - now) > TOLERANCE:
        raise Refused("bad-timestamp", "webhook-timestamp is more than five minutes off")
    return Signed(id, int(timestamp), tuple(by))


def _read(header: str) -> list[bytes]:
    """The signatures of version 1 in a header. Raises Refused for one that is malformed."""
    found = []
    for part in header.split(" "):
        match = _ONE.fullmatch(part)
        try:
            digest = base64.b64decode(match[2], validate=True) if match else b""
        except binascii.Error:
            match = None
        if match is None:
            raise Refused("bad-signature", "webhook-signature is malformed")
        if match[1] == "v1":
            found.append(digest)
    return found
