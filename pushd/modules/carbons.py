"""XEP-0280: Message Carbons, each side of a conversation on all resources that ask for it.

What is copied is exactly what §6.1 says, and so `urn:xmpp:carbons:rules:0` is announced. The
XEP leaves to the server how it knows: a private message of a room is one that comes from a
full JID with room information (`muc#user`); an error answers the message of the same id to or
from the same bare JID, out of the last 200 that an account exchanged since the server started.

A message that its sender is told about as undeliverable is not copied. One that goes to the
offline store is copied only to available resources (of negative priority), as the others get
it from there.
"""

from collections.abc import Sequence

from pushd.modules.base import Module, iq, on
from pushd.routing.events import SessionEnded, SessionRecovered
from pushd.routing.requests import IQ
from pushd.routing.sessions import Session
from pushd.wire.carbons import carbons
from pushd.wire.element import child
from pushd.wire.errors import JIDMalformed, NotAllowed
from pushd.wire.jid import JID, parse
from pushd.wire.namespaces import NS_CARBONS, NS_CLIENT, NS_HINTS, NS_MUC_USER
from pushd.wire.stanza import RECEIVED_CARBON, SENT_CARBON, Stanza

NS_RULES = "urn:xmpp:carbons:rules:0"
NOTE = "carbons"  # the note on a session that wants copies
REMEMBERED = 200  # messages of an account whose errors are known to be answers to them

BODY = f"{NS_CLIENT} body"
NOT_COPIED = frozenset((f"{NS_CARBONS} private", f"{NS_HINTS} no-copy"))
MUC_USER = f"{NS_MUC_USER} x"
DIRECT_INVITATION = "jabber:x:conference x"
MESSAGING = frozenset(
    (
        "urn:xmpp:receipts",
        "http://jabber.org/protocol/chatstates",
        "urn:xmpp:chat-markers:0",
    )
)


class Carbons(Module):
    """Which sessions want copies, which messages are copied, and to whom (the hall's `Copier`)."""

    xep = 280
    features = frozenset({NS_CARBONS, NS_RULES})

    async def start(self) -> None:
        self._copied = self.host.router.copied
        # By account what was copied, the newest last: a hash each, as others choose the ids.
        self._eligible: dict[str, dict[int, None]] = {}
        self.host.router.copier = self

    # Who wants copies.

    @iq("set", NS_CARBONS, "enable", to="account")
    async def enable(self, request: IQ) -> None:
        """XEP-0280 §4, as often as the client likes (§10.1)."""
        session = await self.owner(request, NotAllowed)
        if NOTE not in session.notes:
            self.host.lifecycle.note(session, NOTE, True)
            self._add(session)

    @iq("set", NS_CARBONS, "disable", to="account")
    async def disable(self, request: IQ) -> None:
        """XEP-0280 §5."""
        session = await self.owner(request, NotAllowed)
        if NOTE in session.notes:
            self.host.lifecycle.note(session, NOTE, None)
            self._remove(session)

    @on(SessionRecovered)
    def recovered(self, event: SessionRecovered) -> None:
        if NOTE in event.session.notes:
            self._add(event.session)

    @on(SessionEnded)
    def ended(self, event: SessionEnded) -> None:
        if NOTE in event.session.notes:
            self._remove(event.session)

    def _add(self, session: Session) -> None:
        self._copied[session.account] = [*self._copied.get(session.account, ()), session]

    def _remove(self, session: Session) -> None:
        left = [one for one in self._copied.get(session.account, ()) if one is not session]
        if left:
            self._copied[session.account] = left
        else:
            self._copied.pop(session.account, None)
            self._eligible.pop(session.account, None)

    # What is copied, and to whom.

    def sent(self, session: Session, stanza: Stanza) -> None:
        """Copy what a client sends to the account's others (§8).

        The copies are the account's own words: whoever does not acknowledge one has missed it.
        """
        others = [one for one in self._copied[session.account] if one is not session]
        if not others:
            return
        try:
            to = parse(stanza.attributes["to"])
        except JIDMalformed:
            return
        if to.bare != session.account and self._is_copied(stanza, session.account, to, False):
            copies = self.host.delivery.copies()
            copies.acknowledge()
            for other, carbon in _wrapped(stanza, SENT_CARBON, session.account, others):
                self.host.delivery.deliver(other, carbon, copies)

    def received(
        self, stanza: Stanza, to: JID, receivers: Sequence[Session]
    ) -> list[tuple[Session, Stanza]]:
        """Copies of what comes for an account, for those that do not get it anyway (§7).

        What one of its own resources sends to the account is copied once, as sent.
        """
        sender = parse(stanza.attributes["from"])
        others = [
            one
            for one in self._copied[to.bare]
            if one not in receivers and one.full != sender.full and (receivers or one.is_available)
        ]
        if not others or not self._is_copied(stanza, to.bare, sender, True):
            return []
        direction = SENT_CARBON if sender.bare == to.bare else RECEIVED_CARBON
        return _wrapped(stanza, direction, to.bare, others)

    def _is_copied(self, stanza: Stanza, account: str, other: JID, inbound: bool) -> bool:
        """Whether a message is eligible; an error is if what it answers was."""
        known = self._eligible.setdefault(account, {})
        key = hash((other.bare, stanza.id))
        if stanza.type == "error":
            return key in known
        if not is_eligible(stanza, other, inbound):
            return False
        if stanza.id:
            known.pop(key, None)
            known[key] = None
            if len(known) > REMEMBERED:
                del known[next(iter(known))]
        return True


def is_eligible(stanza: Stanza, other: JID, inbound: bool) -> bool:
    """Whether a message that is no error is copied (§6.1); `other` is not of the account."""
    names, kind = stanza.children, stanza.type
    if kind == "groupchat" or not NOT_COPIED.isdisjoint(names):
        return False
    if DIRECT_INVITATION in names:
        return True
    if MUC_USER in names:
        if _is_invitation(stanza):
            return True
        if inbound and other.resource:
            return False
    return (
        kind == "chat"
        or (BODY in names and kind != "headline")  # RFC 6121 §5.2.2: other types are normal
        or any(name.partition(" ")[0] in MESSAGING for name in names)
    )


def _is_invitation(stanza: Stanza) -> bool:
    """Whether it is a mediated invitation to a room, on either way (XEP-0045 §7.8.2)."""
    user = child(stanza.tree, NS_MUC_USER, "x")
    return user is not None and child(user, NS_MUC_USER, "invite") is not None


def _wrapped(
    stanza: Stanza, direction: str, account: str, others: list[Session]
) -> list[tuple[Session, Stanza]]:
    made = carbons(stanza, direction, account, (one.full for one in others))
    return list(zip(others, made, strict=True))
