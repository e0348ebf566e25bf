"""APNs: a notification as its payload, its headers' values, and the tokens of devices."""

import math
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha256

from pushd.providers import contract

PAYLOAD_LIMIT, VOIP_LIMIT = 4096, 5120  # bytes
LONGEST_LIFE = 2_592_000  # seconds that Apple keeps a notification
LEAST_TOKEN, LONGEST_TOKEN = 32, 512  # bytes; Apple says that lengths vary

SILENT: Mapping[str, object] = {"content-available": 1}
RINGING: Mapping[str, object] = {}  # PushKit hands it to the app, which rings


def expiration(lifetime: float, note: contract.Notification, now: float) -> int:
    """Whole seconds since the epoch; 0 is "now or never"."""
    ends_at = now + min(lifetime, LONGEST_LIFE)
    if note.expires_at is not None:
        ends_at = min(ends_at, note.expires_at)
    return math.ceil(ends_at) if ends_at > now else 0


def payload(
    note: contract.Notification,
    aps: Mapping[str, object],
    shrink: bool = False,
    limit: int = PAYLOAD_LIMIT,
) -> bytes:
    """The summary and the node beside `aps`; less of it until it fits.

    First the body goes, then the senders, then the counts.
    """
    for summary in note.summaries(shrink):
        made = contract.as_json({"aps": aps, "node": note.node, **summary})
        if len(made) <= limit:
            return made
    return contract.as_json({"aps": aps})


def collapse_id(node: str) -> str:
    """One per registration, so that the newest count replaces the one before; 64 bytes."""
    return sha256(node.encode()).hexdigest()


def token(text: str, field: str = "token") -> bytes:
    """A device's token, in this field, given as hexadecimal digits or as base64. Raises BadField.

    What is both is hexadecimal. base64 may have either alphabet, with or without its padding.
    """
    if re.fullmatch(r"(?:[0-9a-fA-F]{2}){32,512}", text, re.ASCII):
        return bytes.fromhex(text)
    plain = text.rstrip("=")
    if re.fullmatch(r"[A-Za-z0-9+/]+|[A-Za-z0-9_-]+", plain, re.ASCII) and _is_padded(text, plain):
        standard = plain.replace("-", "+").replace("_", "/")
        found = b64decode(standard + "=" * (-len(standard) % 4)) if len(plain) % 4 != 1 else b""
        if (
            LEAST_TOKEN <= len(found) <= LONGEST_TOKEN
            and b64encode(found).decode().rstrip("=") == standard
        ):
            return found
    raise contract.BadField(
        field, "is no token of APNs, neither in base64 nor in hexadecimal digits"
    )


def _is_padded(text: str, plain: str) -> bool:
    """As base64 asks for, or not at all."""
    return len(text) - len(plain) in (0, -len(plain) % 4)
