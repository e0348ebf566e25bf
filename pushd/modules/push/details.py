"""What a stanza is, for devices that have more told than the summary of XEP-0357."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from pushd.modules.push.judge import PROPOSALS, proposal
from pushd.wire.element import Element, child, children, text
from pushd.wire.jid import parse
from pushd.wire.namespaces import NS_JINGLE_RTP
from pushd.wire.secret import Secret
from pushd.wire.stanza import Stanza

# What strangers choose, and is kept and told only within reason.
LONGEST_SID = 256  # characters
MOST_MEDIA = 8
LONGEST_MEDIA = 32
LONGEST_NICKNAME = 1_023
MIX = "urn:xmpp:mix:core:1 mix"

CHAT, GROUPCHAT, SUBSCRIBE, CALL = "chat", "groupchat", "subscribe", "call"


@dataclass(frozen=True, slots=True)
class Details:
    """`type` is one of those of tigase:push:encrypt:0 §4.4; `sender` is a full JID."""

    type: str
    sender: str = ""
    nickname: str = ""  # in a room
    sid: str = ""  # of a call, as are its media
    media: tuple[str, ...] = ()
    is_encrypted: bool = False


def details(stanza: Stanza, *, is_encrypted: bool) -> Details:
    sender = stanza.attributes.get("from", "")
    if stanza.name == "presence":
        return Details(SUBSCRIBE, parse(sender).bare)
    if stanza.type == "groupchat":
        return Details(GROUPCHAT, sender, _nickname(stanza, sender), is_encrypted=is_encrypted)
    if not PROPOSALS.isdisjoint(stanza.children):
        proposed = proposal(stanza)
        sid = "" if proposed is None else proposed.attributes.get("id", "")
        return Details(
            CALL, sender, sid=sid if len(sid) <= LONGEST_SID else "", media=_media(proposed)
        )
    return Details(CHAT, sender, is_encrypted=is_encrypted)


def _nickname(message: Stanza, sender: str) -> str:
    """Who speaks in a room (XEP-0045), or in a channel, where addresses say nothing (XEP-0369)."""
    if MIX not in message.children:
        return sender.partition("/")[2]
    namespace, _, name = MIX.partition(" ")
    mix = child(message.tree, namespace, name)
    nickname = "" if mix is None else text(child(mix, namespace, "nick"))
    return nickname if len(nickname) <= LONGEST_NICKNAME else ""


def _media(proposed: Element | None) -> tuple[str, ...]:
    described = () if proposed is None else children(proposed)
    said = [
        one.attributes.get("media", "")
        for one in described
        if (one.uri, one.name) == (NS_JINGLE_RTP, "description")
    ]
    found = dict.fromkeys(one for one in said if one and len(one) <= LONGEST_MEDIA)
    return tuple(found)[:MOST_MEDIA]


# As storage keeps those of the newest stanza and of the last call.


def written(newest: Details | None, call: Details | None) -> Secret | None:
    if newest is None and call is None:
        return None
    said = [None if one is None else asdict(one) for one in (newest, call)]
    return Secret(json.dumps(said, separators=(",", ":")))


def stored(text: Secret | None) -> tuple[Details | None, Details | None]:
    if text is None:
        return None, None
    newest, call = json.loads(text.reveal())
    return _read(newest), _read(call)


def _read(said: dict[str, Any] | None) -> Details | None:
    return None if said is None else Details(**{**said, "media": tuple(said["media"])})
