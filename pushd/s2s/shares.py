"""Room that many take from, and in whose name: whoever takes much leaves enough to the others."""

from collections import Counter
from typing import NamedTuple

from pushd.wire.jid import JID, neighbourhood, parse
from pushd.wire.stanza import Stanza

OTHERS = ""  # the group of those for whose sake we say something by ourselves
GROUP = 2  # times what nobody has is what a group may have: two thirds, if it is the only one
MEMBER = 4  # members with nothing find as much as one of them may have
ANSWERS = frozenset(("result", "error", "subscribed", "unsubscribed"))


class Asker(NamedTuple):
    """For whom a stanza is said to another server."""

    group: str  # a domain of ours, or `OTHERS`
    name: str


def asker(sender: JID, to: JID, type: str) -> Asker:
    """A user of ours for what he writes, and else those to whom it goes.

    What a domain of ours says, and what is an answer, somebody over there may have brought about,
    as often as he likes, and from all the domains below one that is his.
    """
    if sender.local and type not in ANSWERS:
        return Asker(sender.domain, sender.bare)
    return Asker(OTHERS, neighbourhood(to.domain))


def asker_of(stanza: Stanza) -> Asker:
    """The same for a stanza that has `from` and `to`."""
    attributes = stanza.attributes
    return asker(parse(attributes["from"]), parse(attributes["to"]), stanza.type)


class Shares:
    """So much room in all, and no more than `each` for one asker.

    What one may still take shrinks with what his group has, and what all have: however many fill
    it, the next one finds room, and the first of another group finds more.
    """

    def __init__(self, total: int, each: int) -> None:
        self.taken = 0
        self._total = total
        self._each = each
        self._groups: Counter[str] = Counter()
        self._members: Counter[Asker] = Counter()

    def has_room(self, who: Asker, size: int) -> bool:
        """Whether `who` may take so much more."""
        left = (GROUP * (self._total - self.taken) - self._groups[who.group]) // (GROUP + 1)
        return self._members[who] + size <= min(self._each, left // MEMBER)

    def take(self, who: Asker, size: int) -> None:
        """Count it, whether there is room or not."""
        self.taken += size
        self._groups[who.group] += size
        self._members[who] += size

    def give(self, who: Asker, size: int) -> None:
        """It is taken no more."""
        self.taken -= size
        self._groups[who.group] -= size
        if not self._groups[who.group]:
            del self._groups[who.group]
        self._members[who] -= size
        if not self._members[who]:
            del self._members[who]
