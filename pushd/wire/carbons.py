"""XEP-0280: a copy of a message for another resource of the same account, as bytes, and opened.

What is copied stays sealed: its bytes are put into the wrapping, and nobody reads them.
"""

from collections.abc import Iterable, Iterator

from pushd.wire.element import child, escape, serialize
from pushd.wire.framer import seal
from pushd.wire.namespaces import NS_CARBONS, NS_CLIENT, NS_FORWARD
from pushd.wire.stanza import RECEIVED_CARBON, SENT_CARBON, Stanza, nested

_END = {
    name: f"</forwarded></{name.rpartition(' ')[2]}></message>".encode()
    for name in (SENT_CARBON, RECEIVED_CARBON)
}


def carbons(
    message: Stanza, direction: str, account: str, receivers: Iterable[str]
) -> Iterator[Stanza]:
    """The message wrapped for each of these full JIDs of the account (§7, §8).

    `direction` is `SENT_CARBON` or `RECEIVED_CARBON`. The wrapping has the message's type.
    """
    kind = {name: said for name, said in message.attributes.items() if name == "type"}
    said = "".join(f" type='{escape(value)}'" for value in kind.values())
    wrapping = direction.rpartition(" ")[2]
    opening = f"{said}><{wrapping} xmlns='{NS_CARBONS}'><forwarded xmlns='{NS_FORWARD}'>"
    letter = opening.encode() + nested(message) + _END[direction]
    head = f"<message from='{escape(account)}' to='"
    for full in receivers:
        raw = f"{head}{escape(full)}'".encode() + letter
        attributes = {"from": account, "to": full, **kind}
        yield Stanza(NS_CLIENT, "message", attributes, (direction,), raw)


def opened(stanza: Stanza, account: str) -> Stanza:
    """The message inside a carbon for this account; the stanza itself where it is no carbon.

    Nobody but the account's own server makes one (§11).
    """
    if stanza.attributes.get("from") != account:
        return stanza
    for direction in (RECEIVED_CARBON, SENT_CARBON):
        if direction in stanza.children:
            wrapping = child(stanza.tree, *direction.split(" "))
            forwarded = child(wrapping, NS_FORWARD, "forwarded") if wrapping is not None else None
            inner = child(forwarded, NS_CLIENT, "message") if forwarded is not None else None
            return stanza if inner is None else seal(serialize(inner))
    return stanza
