"""Stanzas between two domains: who may say what to whom on a stream, and in which words."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushd.s2s.shares import Asker
from pushd.wire.claims import without_forgeries
from pushd.wire.element import serialize
from pushd.wire.errors import JIDMalformed, StreamError
from pushd.wire.jid import parse
from pushd.wire.namespaces import NS_CLIENT
from pushd.wire.stanza import Stanza

if TYPE_CHECKING:
    from pushd.routing.host import Host

CLIENT_NAME = NS_CLIENT.encode()
STANZAS = frozenset(("message", "presence", "iq"))

Pair = tuple[str, str]  # a domain of ours, and one of theirs


@dataclass(slots=True, eq=False)
class Waiting:
    """A stanza on its way to another server, and until when that is worth trying."""

    stanza: Stanza
    came_at: float  # seconds since the epoch
    until: float
    size: int
    is_again: bool = False  # it was said on a stream that broke
    row: int = 0  # on disk; 0 is nowhere
    who: Asker | None = None  # has taken room for it

    @property
    def local(self) -> str:
        """The domain of ours that it comes from."""
        return parse(self.stanza.attributes["from"]).domain


def is_stanza(stanza: Stanza) -> bool:
    """Whether that is one; the framer reads `jabber:server` as `jabber:client`."""
    return stanza.namespace == NS_CLIENT and stanza.name in STANZAS


def admitted(stanza: Stanza, pairs: Collection[Pair], host: "Host") -> Stanza:
    """A stanza as it may pass, from a peer that has proved these pairs.

    Raises StreamError: a server says who speaks and to whom (RFC 6120 §8.1.1.2, §8.1.2.2), and
    speaks for the domains only that it has proved to be.
    """
    try:
        sender = parse(stanza.attributes.get("from", ""))
        to = parse(stanza.attributes.get("to", ""))
    except JIDMalformed:
        raise StreamError("improper-addressing", "from and to are addresses") from None
    if (to.domain, sender.domain) not in pairs and not _is_detour(
        sender.domain, to.domain, pairs, host
    ):
        raise StreamError("invalid-from", f"{sender.domain} has not proved itself to {to.domain}")
    return without_forgeries(stanza, host.domains) if stanza.claims else stanza


def _is_detour(remote: str, local: str, pairs: Collection[Pair], host: "Host") -> bool:
    """Whether a server that is who it says to be speaks to us on the stream for another of us.

    COMPAT: where several domains of ours share a stream to it (XEP-0220 §2.6), Prosody answers
    all of them on its stream to the one that the shared one was opened for.
    """
    return any(one == remote for _, one in pairs) and host.router.is_served(local)


def spoken(stanza: Stanza) -> bytes:
    """The bytes of a stanza on a stream between servers."""
    raw = stanza.raw
    return serialize(stanza.tree) if CLIENT_NAME in raw else raw
