"""Filters: what a device does not wish to be woken for, though others may be.

A message in a room counts as a mention by its text, where the nickname stands as a word of its
own, by a reference (XEP-0372) to the occupant or the account, by an explicit mention of these
or of the whole room (XEP-0513), and as a reply to the occupant (XEP-0461). Of what is encrypted
nobody here can tell: it counts as a mention, since a phone that is woken once too often can find
out, and one that sleeps cannot.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import unquote

from pushd.modules.push.extensions import ALWAYS, NEVER, Extensions, Room
from pushd.modules.push.judge import ENCRYPTED, OWN_COPY, text_of
from pushd.routing.rosters import Roster
from pushd.wire.element import children
from pushd.wire.stanza import Stanza

MUTED = "muted"
ROOM = "room"  # the room is not among those that may
NOT_MENTIONED = "not mentioned"
UNKNOWN = "unknown sender"
FILTERED = frozenset((MUTED, ROOM, NOT_MENTIONED, UNKNOWN))

NS_REFERENCE = "urn:xmpp:reference:0"
NS_MENTION = "urn:xmpp:mentions:0"
NS_REPLY = "urn:xmpp:reply:0"
EVERYBODY = f"{NS_MENTION}#channel"


def objection(wishes: Extensions, stanza: Stanza, account: str) -> str:
    """Why a device with these wishes is not woken for a stanza; "" if it may be."""
    room, _, occupant = stanza.attributes.get("from", "").partition("/")
    if room in wishes.muted:
        return MUTED
    if wishes.rooms is None or stanza.type != "groupchat":
        return ""
    rule = wishes.rooms.get(room)
    if rule is None or rule.allow == NEVER:
        return ROOM
    if rule.nick and occupant == rule.nick:
        return OWN_COPY  # what the room sends back of his own
    if rule.allow == ALWAYS or is_mentioned(stanza, account, room, rule):
        return ""
    return NOT_MENTIONED


def is_known(wishes: Extensions, stanza: Stanza, roster: Roster) -> bool:
    """Whether the sender is a contact, in whatever state, or a room that may wake the device."""
    sender = stanza.attributes.get("from", "").partition("/")[0]
    if stanza.type == "groupchat" or sender == roster.account or sender in roster.contacts:
        return True
    rule = (wishes.rooms or {}).get(sender)  # who writes in private there
    return rule is not None and rule.allow != NEVER


def is_mentioned(message: Stanza, account: str, room: str, rule: Room) -> bool:
    names = message.children
    if not ENCRYPTED.isdisjoint(names):
        return True
    addressed = {account}
    if rule.nick:
        if _word(rule.nick).search(text_of(message)):
            return True
        addressed.add(f"{room}/{rule.nick}")
    return any(one in addressed or one == EVERYBODY for one in _addressees(message))


def _addressees(message: Stanza) -> Iterator[str]:
    """Who is addressed by elements beside the text: JIDs, or `EVERYBODY`."""
    kinds = (f"{NS_REFERENCE} reference", f"{NS_MENTION} mention", f"{NS_REPLY} reply")
    if not any(name in message.children for name in kinds):
        return
    for node in children(message.tree):
        said = node.attributes
        if node.uri == NS_REFERENCE and said.get("type") == "mention":
            scheme, _, address = said.get("uri", "").partition(":")
            if scheme == "xmpp":
                yield unquote(address.partition("?")[0])
        elif node.uri == NS_MENTION:
            yield said.get("mentions") or said.get("jid", "")
        elif node.uri == NS_REPLY:
            yield said.get("to", "")


@lru_cache(1_024)
def _word(nick: str) -> re.Pattern[str]:
    """Finds a nickname that is no part of a longer word, however it is capitalized."""
    return re.compile(rf"(?<!\w){re.escape(nick)}(?!\w)", re.IGNORECASE)
