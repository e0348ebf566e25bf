"""The notice of a push service that a node takes nothing more (XEP-0357 §8)."""

from collections.abc import Iterator

from pushd.wire.element import Element, child, children
from pushd.wire.jid import JID
from pushd.wire.namespaces import NS_PUBSUB
from pushd.wire.stanza import Stanza


def ended_nodes(message: Stanza, to: JID) -> Iterator[str]:
    """The nodes ("" for none) at which, says the message, the account has no rights any more."""
    pubsub = child(message.tree, NS_PUBSUB, "pubsub")
    if pubsub is None:
        return
    for node, affiliation in _affiliations(pubsub):
        whose = affiliation.attributes.get("jid", to.bare)
        if affiliation.attributes.get("affiliation") == "none" and whose in (to.bare, to.domain):
            yield node


def _affiliations(pubsub: Element) -> Iterator[tuple[str, Element]]:
    """Node and affiliation, in XEP-0357's shape and in that of XEP-0060 §8.9.4."""
    for part in children(pubsub):
        if part.name == "affiliation":
            yield pubsub.attributes.get("node", ""), part
        elif part.name == "affiliations":
            for inner in children(part):
                yield part.attributes.get("node", ""), inner
