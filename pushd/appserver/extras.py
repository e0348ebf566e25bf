"""What a publish says beyond its summary: Tigase's extensions of XEP-0357.

A high priority is what any message has that a person is to be shown, so it is nothing to us;
a low one says that there is nothing to show. Urgent are calls, which say what they are.

`tigase:push:encrypt:0` and `tigase:push:priority:0` are documented at xeps.tigase.net;
`tigase:push:jingle:0` is what Tigase's server writes. Their publishers are the servers of
accounts; what is sealed is passed on as it is.
"""

import json
import re

from pushd.providers.contract import Call, Encrypted
from pushd.wire.letter import Node, named
from pushd.wire.namespaces import NS_PRIORITY, NS_PUSH_ENCRYPT, NS_PUSH_JINGLE
from pushd.wire.secret import Secret

LONGEST_SEALED = 8_192  # characters; no provider takes as many
LONGEST_IV = 64
LONGEST_SID = 256
MOST_MEDIA = 8
VOIP = "voip"
_PRIORITY = named(NS_PRIORITY, "priority")
_ENCRYPTED = named(NS_PUSH_ENCRYPT, "encrypted")
_JINGLE, _MEDIA = named(NS_PUSH_JINGLE, "jingle"), named(NS_PUSH_JINGLE, "media")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def priority(notification: Node) -> str:
    """`high`, `low`, or something else, as where nothing is said."""
    return (notification.findtext(_PRIORITY) or "").strip()


def encrypted(notification: Node) -> Encrypted | None:
    """What is sealed for the device. Raises ValueError that names what is at fault.

    What is too long for any provider is not kept until one says so.
    """
    found = notification.find(_ENCRYPTED)
    if found is None:
        return None
    data = "".join((found.text or "").split())
    iv = "".join(found.get("iv", "").split())
    if not data or not _BASE64.fullmatch(data):
        raise ValueError("encrypted: base64 is expected")
    if not iv or len(iv) > LONGEST_IV or not _BASE64.fullmatch(iv):
        raise ValueError("iv: base64 is expected")
    if len(data) > LONGEST_SEALED:
        return None
    type = VOIP if found.get("type") == VOIP else ""
    is_quiet = priority(notification) == "low" or ends_call(notification)
    return Encrypted(Secret(data), iv, type, quiet=is_quiet)


def call(notification: Node, sealed: Encrypted | None, sender: str | None) -> Call | None:
    """Who calls, if somebody does.

    An encrypted proposal says by its type that it is one. What the caller's client chose to
    say, and nobody else would, is left out: his publisher is not at fault.
    """
    jingle = notification.find(_JINGLE)
    if jingle is None:
        is_call = sealed is not None and sealed.type == VOIP and not sealed.quiet
        return Call() if is_call else None
    if jingle.get("action") != "propose":
        return None
    sid = jingle.get("sid", "")
    said = [(one.text or "").strip() for one in jingle.findall(_MEDIA)]
    media = tuple([one for one in said if re.fullmatch(r"[a-z]{1,32}", one)][:MOST_MEDIA])
    return Call(sid if len(sid) <= LONGEST_SID else "", media, sender)


def ends_call(notification: Node) -> bool:
    """Whether the call that rang has been answered, or rings no more."""
    jingle = notification.find(_JINGLE)
    return jingle is not None and jingle.get("action") != "propose"


# As the outbox keeps them: JSON, in columns of their own.


def kept_encrypted(told: Encrypted | None) -> Secret | None:
    """For the column `encrypted`."""
    if told is None:
        return None
    return _kept(data=told.data.reveal(), iv=told.iv, type=told.type, quiet=told.quiet)


def kept_call(told: Call | None) -> Secret | None:
    """For the column `call`."""
    return None if told is None else _kept(sid=told.sid, media=told.media, sender=told.sender)


def read_encrypted(text: Secret | None) -> Encrypted | None:
    """What `kept_encrypted` made."""
    if text is None:
        return None
    told = json.loads(text.reveal())
    return Encrypted(Secret(told["data"]), told["iv"], told["type"], told["quiet"])


def read_call(text: Secret | None) -> Call | None:
    """What `kept_call` made."""
    if text is None:
        return None
    told = json.loads(text.reveal())
    return Call(told["sid"], tuple(told["media"]), told["sender"])


def _kept(**told: object) -> Secret:
    return Secret(json.dumps(told))
