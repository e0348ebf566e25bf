"""Presence by its type: modules say what they deal with, the router hands it to them."""

from collections.abc import Callable

from pushd.routing.delivery import STUCK
from pushd.routing.router import Router
from pushd.routing.sessions import Session, Sessions
from pushd.wire.element import element
from pushd.wire.errors import BadRequest
from pushd.wire.jid import JID
from pushd.wire.namespaces import NS_CLIENT
from pushd.wire.stanza import Stanza

DIRECTED = "directed"  # the note on a session: whom it sent presence to by name

Outbound = Callable[[Session, Stanza], None]
Inbound = Callable[[Stanza, JID], None]

# What changes rosters (RFC 6121 §3).
SUBSCRIPTIONS = frozenset(("subscribe", "subscribed", "unsubscribe", "unsubscribed"))
UNKNOWN = BadRequest("there is no presence of this type")  # RFC 6121 §4.7.1


class Presence:
    """The router's rules for presence (RFC 6121 §3 and §4), as a table by type."""

    def __init__(self, router: Router, sessions: Sessions) -> None:
        self._router = router
        self._sessions = sessions
        self._outbound: dict[str, Outbound] = {}
        self._inbound: dict[str, Inbound] = {}
        router.presence = self

    def add(self, type: str, outbound: Outbound, inbound: Inbound) -> None:
        """Let these deal with presence of that type: from our clients, and for our accounts.

        "" is available presence. A type claimed twice is a ValueError.
        """
        if type in self._outbound:
            raise ValueError(f"two modules for presence of type '{type}'")
        self._outbound[type] = outbound
        self._inbound[type] = inbound

    def outbound(self, session: Session, stanza: Stanza) -> None:
        """A client sent presence, with or without `to`."""
        rule = self._outbound.get(stanza.type)
        if rule is None:
            self._router.refuse(stanza, UNKNOWN)
        elif stanza.type in SUBSCRIPTIONS and self._router.is_stuck:
            self._router.refuse(stanza, STUCK)
        else:
            rule(session, stanza)

    def inbound(self, stanza: Stanza, to: JID) -> None:
        """Presence came for what looks like a local account."""
        rule = self._inbound.get(stanza.type)
        if rule is not None:
            rule(stanza, to)
        else:
            self._router.refuse(stanza, UNKNOWN)

    def announce(self, account: str, to: str) -> None:
        """Send `to` the presence of each available session of the account."""
        for session in list(self._sessions.of(account).values()):
            if session.presence is not None:
                self._router.route(session.presence.addressed(to=to))

    def withdraw(self, account: str, to: str) -> None:
        """Tell `to` that each available session of the account is unavailable."""
        for session in list(self._sessions.of(account).values()):
            if session.presence is not None:
                self._router.route(unavailable(session.full).addressed(to=to))


def unavailable(sender: str) -> Stanza:
    """Unavailable presence of a full JID, to be addressed."""
    return Stanza.of(element(NS_CLIENT, "presence", from_=sender, type="unavailable"))
