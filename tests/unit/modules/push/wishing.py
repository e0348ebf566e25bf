"""What a client of Tigase's adds to `<enable/>`, and what such a device reads of a publish."""

import json
from base64 import b64decode, b64encode
from typing import Any

from pushd.wire.element import Element, child, text
from pushd.wire.stanza import Stanza
from tests.aes_gcm import opened
from tests.unit.modules.push.stage import notification

KEY = bytes(range(16))
MUTED = "tigase:push:filter:muted:0"
GROUPCHAT = "tigase:push:filter:groupchat:0"
IGNORE_UNKNOWN = "<ignore-unknown xmlns='tigase:push:filter:ignore-unknown:0'/>"
PRIORITY = "<priority xmlns='tigase:push:priority:0'/>"
JINGLE = "<jingle xmlns='tigase:push:jingle:0'/>"


def muted(*jids: str) -> str:
    items = "".join(f"<item jid='{jid}'/>" for jid in jids)
    return f"<muted xmlns='{MUTED}'>{items}</muted>"


def groupchat(**rooms: str) -> str:
    """Rooms at chat.example.org: name to `always`, `never`, or the nickname to be mentioned by."""
    items = "".join(
        f"<room jid='{name}@chat.example.org' "
        + (
            f"allow='{said}'/>"
            if said in ("always", "never")
            else f"allow='mentioned' nick='{said}'/>"
        )
        for name, said in rooms.items()
    )
    return f"<groupchat xmlns='{GROUPCHAT}'>{items}</groupchat>"


def encrypt(key: bytes = KEY, **attributes: str) -> str:
    given = {"alg": "aes-128-gcm", **{k.replace("_", "-"): v for k, v in attributes.items()}}
    said = "".join(f" {name}='{value}'" for name, value in given.items())
    key_text = b64encode(key).decode()
    return f"<encrypt xmlns='tigase:push:encrypt:0'{said}>{key_text}</encrypt>"


def encrypted(publish: Stanza) -> Element | None:
    return child(notification(publish), "tigase:push:encrypt:0", "encrypted")


def decrypted(publish: Stanza, key: bytes = KEY) -> dict[str, Any]:
    """What the device reads; its tag is verified."""
    sealed = encrypted(publish)
    assert sealed is not None
    said = opened(key, b64decode(sealed["iv"]), b64decode(text(sealed)))
    read: dict[str, Any] = json.loads(said)
    return read
