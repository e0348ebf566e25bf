"""What a message may hold that says nothing worth waiting for: chat states, and what goes along."""

from pushd.wire.namespaces import NS_CHAT_STATES, NS_CLIENT, NS_HINTS
from pushd.wire.stanza import DELAY, STANZA_ID

STORE = f"{NS_HINTS} store"  # XEP-0334: it is worth it all the same

_NAMES = frozenset((f"{NS_CLIENT} thread", "urn:xmpp:sid:0 origin-id", STANZA_ID, DELAY))
_NAMESPACES = frozenset((NS_CHAT_STATES, NS_HINTS))


def are_fleeting(names: tuple[str, ...]) -> bool:
    """Whether children of these names, alone or together, say nothing to keep (XEP-0160 §3)."""
    return STORE not in names and all(map(_is_fleeting, names))


def _is_fleeting(name: str) -> bool:
    return name in _NAMES or name.partition(" ")[0] in _NAMESPACES
