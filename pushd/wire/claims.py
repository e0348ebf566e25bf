"""What a stanza says in the server's name, and nobody but the server may.

XEP-0359, XEP-0203, XEP-0280.
"""

from collections.abc import Collection

from pushd.wire.element import children
from pushd.wire.errors import JIDMalformed
from pushd.wire.jid import parse
from pushd.wire.stanza import DELAY, RECEIVED_CARBON, SENT_CARBON, STANZA_ID, Stanza

_ATTRIBUTES = {STANZA_ID: "by", DELAY: "from", SENT_CARBON: "", RECEIVED_CARBON: ""}
_CARBONS = (SENT_CARBON, RECEIVED_CARBON)


def without_forgeries(stanza: Stanza, domains: Collection[str]) -> Stanza:
    """The stanza as it may pass a door of the server of `domains`; itself, if it may as it is.

    A `<stanza-id/>` is no stranger's to give in the name of a domain served here, or of an
    account there (XEP-0359 §3); a `<delay/>` is not in the name of the domain (XEP-0203 §5);
    and a carbon, which the account's own server makes, comes through no door (XEP-0280 §11,
    CVE-2017-5589).
    """
    forged = [(name, who) for name, who in stanza.claims if _is_ours(name, who, domains)]
    if not forged:
        return stanza
    tree = stanza.tree
    for node in list(children(tree)):
        name = f"{node.uri} {node.name}"
        if name in _ATTRIBUTES and (name, node.attributes.get(_ATTRIBUTES[name], "")) in forged:
            tree.children.remove(node)
    return Stanza.of(tree)


def _is_ours(name: str, who: str, domains: Collection[str]) -> bool:
    if name in _CARBONS:
        return True
    try:
        jid = parse(who)
    except JIDMalformed:
        return False
    return jid.domain in domains and (name == STANZA_ID or jid.full == jid.domain)
