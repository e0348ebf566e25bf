"""Tigase's extensions of `<enable/>`: what a device wishes beyond XEP-0357.

Who is not to wake it (`tigase:push:filter:muted:0`, `groupchat:0`, `ignore-unknown:0`), that it
is woken beside others who are away (`away:0`), and what a publish is to say of urgency
(`priority:0`), of calls (`jingle:0`) and, encrypted, of messages (`encrypt:0`). Specified at
https://xeps.tigase.net/docs/push-notifications.
"""

import binascii
import json
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pushd.wire.element import Element, child, children, text
from pushd.wire.errors import BadRequest, FeatureNotImplemented, JIDMalformed, NotAcceptable
from pushd.wire.jid import parse
from pushd.wire.namespaces import NS_PRIORITY, NS_PUSH_ENCRYPT, NS_PUSH_JINGLE
from pushd.wire.secret import Secret

NS_MUTED = "tigase:push:filter:muted:0"
NS_GROUPCHAT = "tigase:push:filter:groupchat:0"
NS_IGNORE_UNKNOWN = "tigase:push:filter:ignore-unknown:0"
NS_AWAY = "tigase:push:away:0"
ALGORITHM = "aes-128-gcm"
FEATURES = (
    NS_MUTED,
    NS_GROUPCHAT,
    NS_IGNORE_UNKNOWN,
    NS_AWAY,
    NS_PRIORITY,
    NS_PUSH_JINGLE,
    NS_PUSH_ENCRYPT,
    f"tigase:push:encrypt:{ALGORITHM}",
)

KEY_SIZE = 16  # bytes
MOST = 1_000  # contacts muted, rooms listed, by one enablement
SMALLEST, USUAL, BIGGEST = 256, 3_000, 8_192  # bytes of an encrypted notification: `max-size`
ALWAYS, MENTIONED, NEVER = "always", "mentioned", "never"


@dataclass(frozen=True, slots=True)
class Room:
    """When a room wakes the device; `nick` is by what its owner is mentioned there, if known."""

    allow: str
    nick: str = ""


@dataclass(frozen=True, slots=True)
class Extensions:
    """The wishes of one enablement.

    `muted` are bare JIDs. With `rooms` (by bare JID) only those in the list may wake it.
    """

    muted: frozenset[str] = field(default=frozenset(), repr=False)
    rooms: Mapping[str, Room] | None = field(default=None, repr=False)
    ignore_unknown: bool = False
    away: bool = False
    priority: bool = False
    jingle: bool = False
    key: Secret | None = field(default=None, repr=False)  # in Base64, for AES-128-GCM
    max_size: int = USUAL

    @property
    def names(self) -> tuple[str, ...]:
        """What they are called where operators read of them, in alphabetical order."""
        wished = {
            "away": self.away,
            "encrypt": self.key is not None,
            "groupchat": self.rooms is not None,
            "ignore-unknown": self.ignore_unknown,
            "jingle": self.jingle,
            "muted": bool(self.muted),
            "priority": self.priority,
        }
        return tuple(name for name, is_wished in wished.items() if is_wished)

    @property
    def wants_details(self) -> bool:
        """Whether a publish tells more of a stanza than the summary of XEP-0357 does."""
        return self.key is not None or self.jingle

    def written(self) -> str:
        """As JSON, but for the key."""
        rooms = self.rooms
        said = {
            "muted": sorted(self.muted),
            "rooms": None
            if rooms is None
            else {jid: [room.allow, room.nick] for jid, room in rooms.items()},
            "ignore_unknown": self.ignore_unknown,
            "away": self.away,
            "priority": self.priority,
            "jingle": self.jingle,
            "max_size": self.max_size,
        }
        return json.dumps(said, separators=(",", ":"))


def stored(written: str, key: Secret | None) -> Extensions:
    """What `written` made JSON of, with its key."""
    said = json.loads(written)
    rooms = said["rooms"]
    return Extensions(
        frozenset(said["muted"]),
        None if rooms is None else {jid: Room(*rule) for jid, rule in rooms.items()},
        said["ignore_unknown"],
        said["away"],
        said["priority"],
        said["jingle"],
        key,
        said["max_size"],
    )


def read(enable: Element) -> Extensions | None:
    """The wishes of an `<enable/>`, the first of each kind; None where there are none.

    What is of another name or namespace is not looked at. Raises BadRequest, JIDMalformed or
    NotAcceptable for what is none of them, and FeatureNotImplemented for another cipher.
    """
    muted, rooms = child(enable, NS_MUTED, "muted"), child(enable, NS_GROUPCHAT, "groupchat")
    key, max_size = _encryption(child(enable, NS_PUSH_ENCRYPT, "encrypt"))
    found = Extensions(
        frozenset() if muted is None else frozenset(_muted(muted)),
        None if rooms is None else _rooms(rooms),
        child(enable, NS_IGNORE_UNKNOWN, "ignore-unknown") is not None,
        _boolean("away", enable.attributes.get("away")),
        child(enable, NS_PRIORITY, "priority") is not None,
        child(enable, NS_PUSH_JINGLE, "jingle") is not None,
        key,
        max_size,
    )
    return found if found != NO_WISHES else None


NO_WISHES = Extensions()


def _muted(muted: Element) -> Iterator[str]:
    return (_bare("muted", item) for item in _some("muted", muted, "item"))


def _rooms(groupchat: Element) -> Mapping[str, Room]:
    rooms: dict[str, Room] = {}
    for one in _some("groupchat", groupchat, "room"):
        allow, nick = one.attributes.get("allow"), one.attributes.get("nick")
        if allow not in (ALWAYS, MENTIONED, NEVER):
            raise BadRequest("groupchat: allow is one of always, mentioned, never")
        # COMPAT: Siskin has an empty one for a channel in which its user has none.
        if allow == MENTIONED and nick is None:
            raise BadRequest("groupchat: nick is missing, by which one is mentioned")
        rooms.setdefault(_bare("groupchat", one), Room(allow, (nick or "").strip()))
    return rooms


def _some(field: str, parent: Element, name: str) -> list[Element]:
    found = [one for one in children(parent) if (one.uri, one.name) == (parent.uri, name)]
    if len(found) > MOST:
        raise NotAcceptable(f"{field}: {MOST} are listed at most")
    return found


def _bare(field: str, listed: Element) -> str:
    jid = listed.attributes.get("jid")
    if jid is None:
        raise BadRequest(f"{field}: jid is missing")
    try:
        return parse(jid).bare
    except JIDMalformed as error:
        raise JIDMalformed(f"{field}: {error}") from None


def _boolean(field: str, value: str | None) -> bool:
    if value not in (None, "0", "1", "false", "true"):
        raise BadRequest(f"{field}: true or false is expected")
    return value in ("1", "true")


def _encryption(encrypt: Element | None) -> tuple[Secret | None, int]:
    """The key, and how big a notification may be."""
    if encrypt is None:
        return None, USUAL
    algorithm = encrypt.attributes.get("alg")
    if algorithm is None:
        raise BadRequest("encrypt: alg is missing")
    if algorithm.lower() != ALGORITHM:
        raise FeatureNotImplemented(f"encrypt: {ALGORITHM} is the only algorithm")
    key = "".join(text(encrypt).split())
    try:
        size = len(b64decode(key.encode("ascii"), validate=True))
    except (binascii.Error, UnicodeEncodeError):
        raise BadRequest("encrypt: the key is not Base64") from None
    if size != KEY_SIZE:
        raise BadRequest(f"encrypt: the key has {KEY_SIZE} bytes")
    return Secret(key), _max_size(encrypt.attributes.get("max-size"))


def _max_size(value: str | None) -> int:
    if value is None:
        return USUAL
    if not (value.isascii() and value.isdigit() and len(value) <= 10):
        raise BadRequest("encrypt: max-size is a number of bytes")
    if int(value) < SMALLEST:
        raise NotAcceptable(f"encrypt: max-size is {SMALLEST} at least")
    return min(int(value), BIGGEST)
