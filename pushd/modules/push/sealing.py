"""Encrypted notifications (tigase:push:encrypt:0): what the device alone is to read.

A JSON object, encrypted with AES-128-GCM by a key that the device gave; the tag of 16 bytes
stands at its end. A key never meets an IV of 12 random bytes twice: NIST SP 800-38D §8.3 has it
good for 2^32 notifications.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from os import urandom

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pushd.modules.push.details import CALL, CHAT, SUBSCRIBE, Details
from pushd.wire.secret import Secret

IV_SIZE, TAG_SIZE = 12, 16  # bytes
ENVELOPE = 64  # bytes of a notification that are not for what is encrypted
ENCRYPTED = "Encrypted message"  # shown for one that only the device can read
MISSED = "Missed call"
MEDIA = ("audio", "video")

Said = dict[str, object]


def sealed(key: Secret, content: bytes) -> tuple[str, str]:
    """The IV, and the ciphertext with its tag, both in Base64."""
    iv = urandom(IV_SIZE)
    data = AESGCM(b64decode(key.reveal())).encrypt(iv, content, None)
    return b64encode(iv).decode(), b64encode(data).decode()


def room(max_size: int) -> int:
    """How many bytes of JSON a notification of so many bytes has room for."""
    return (max_size - ENVELOPE) // 4 * 3 - TAG_SIZE


def content(unread: int, told: Details, body: Secret | None, max_size: int) -> bytes:
    """The JSON of §4.4, in UTF-8, as much of it as there is room for.

    First the body is cut, between two characters, then whatever a client can do without.
    """
    said: Said = {"unread": unread}
    # COMPAT: Siskin's and Snikket's extension dies of a type that is none of chat, groupchat,
    # call: then iOS shows the alert as it came. Without one, they show that there is something.
    if told.type != SUBSCRIBE:
        said["type"] = told.type
    least = dict(said)
    sender = told.sender if told.type == CALL else told.sender.partition("/")[0]
    if sender:
        said["sender"] = sender
    if told.nickname:
        said["nickname"] = told.nickname
    if told.type == CALL:
        said["sid"] = told.sid
        # COMPAT: Siskin and Snikket die of other media, which strangers choose.
        said["media"] = [kind for kind in told.media if kind in MEDIA]
    message = _message(told, body)
    most = room(max_size)
    for some in _ever_less(said):
        written = _json(some)
        if len(written) <= most:
            return _with_message(some, message, most) if message else written
    return _json(least)


def late(told: Details) -> Details:
    """A call that nobody waits at any more: a client would let the phone ring for the other."""
    return replace(told, type=CHAT, sid="", media=()) if told.type == CALL else told


def _message(told: Details, body: Secret | None) -> str:
    if told.is_encrypted:
        return ENCRYPTED
    return "" if body is None else body.reveal()


def _json(said: Mapping[str, object]) -> bytes:
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


def _with_message(said: Said, message: str, most: int) -> bytes:
    """With the message, or the longest beginning of it that has room, which may be none."""

    def whole(length: int) -> bytes:
        cut = message if length == len(message) else f"{message[:length]}…"
        return _json({**said, "message": cut})

    if len(whole(len(message))) <= most:
        return whole(len(message))
    length = _most(len(message) - 1, lambda length: len(whole(length)) <= most)
    return whole(length) if length else _json(said)


def _most(limit: int, fits: Callable[[int], bool]) -> int:
    """The biggest number up to a limit that fits, where nought always counts as one."""
    low = 0
    while low < limit:
        middle = (low + limit + 1) // 2
        low, limit = (middle, limit) if fits(middle) else (low, middle - 1)
    return low


def _ever_less(said: Said) -> Iterator[Said]:
    yield said
    less = dict(said)
    if less.pop("nickname", None) is not None:
        yield less
    if less.get("media"):
        less["media"] = []  # without a list, a call is over
        yield less
    sender = str(less.get("sender", ""))
    if "/" in sender:
        less = {**less, "sender": sender.partition("/")[0]}
        yield less
    for name in ("sender", "sid"):
        if less.pop(name, None) is not None:
            yield less
