"""RFC 6121 §4: presence, told to those who may see it, and probed for at login.

A stanza is rendered once; for each receiver only `to` is spliced in. A detached session
stays available: what its contacts see ends when the session does.
"""

import re
from functools import partial

from pushd.modules.base import Module, on
from pushd.routing.disco import Item
from pushd.routing.events import (
    SessionAvailable,
    SessionEnded,
    SessionReceptive,
    SessionUnavailable,
)
from pushd.routing.presence import DIRECTED, unavailable
from pushd.routing.requests import IQ
from pushd.routing.rosters import Contact, Roster
from pushd.routing.sessions import Session
from pushd.wire.element import child, element, parse, text
from pushd.wire.errors import BadRequest, JIDMalformed, ResourceConstraint
from pushd.wire.jid import JID
from pushd.wire.jid import parse as parse_jid
from pushd.wire.namespaces import NS_CLIENT
from pushd.wire.stanza import Stanza

PRIORITY = f"{NS_CLIENT} priority"
MOST_DIRECTED = 1_000  # of one session
COPY = 400  # bytes that a client is charged for each receiver of its presence
LOOK = 4  # and for each contact that might have been one

_number = re.compile(r"[+-]?[0-9]{1,3}").fullmatch


class PresenceModule(Module):
    """Available and unavailable presence, probes and errors; subscriptions are another's."""

    async def start(self) -> None:
        add = self.host.presence.add
        add("", self._present, self._arrived)
        add("unavailable", self._leave, self._arrived)
        add("probe", self._pass_on, self._probed)
        add("error", self._pass_on, self._reported)
        self.host.disco.add_items("account", self._resources)

    # What our clients send.

    def _present(self, session: Session, stanza: Stanza) -> None:
        """Initial or later presence (RFC 6121 §4.2 and §4.4), or presence for one (§4.6)."""
        if "to" in stanza.attributes:
            self._direct(session, stanza)
            return
        try:
            priority = _priority(stanza)
        except ValueError as error:
            self.host.router.refuse(stanza, BadRequest(f"priority: {error}"))
            return
        is_initial = session.presence is None
        was_receptive = not is_initial and session.priority >= 0
        self.host.lifecycle.present(session, stanza, priority)
        if is_initial:
            self._show_others(session)
            self.host.events.emit(SessionAvailable(session))
        self._tell_own(session, stanza)
        self.host.rosters.when(
            (session.account,), partial(self._broadcast, session, stanza, is_initial), session
        )
        if priority >= 0 and not was_receptive:
            self.host.events.emit(SessionReceptive(session))

    def _leave(self, session: Session, stanza: Stanza) -> None:
        """The client becomes unavailable (RFC 6121 §4.5), or for one receiver only (§4.6)."""
        if "to" in stanza.attributes:
            self._direct(session, stanza)
            return
        self._gone(session, stanza)
        self.host.delivery.deliver(session, stanza.addressed(to=session.full))
        self.host.events.emit(SessionUnavailable(session, stanza))

    def _direct(self, session: Session, stanza: Stanza) -> None:
        """Presence by name: whoever gets it is told in the end that it is over (§4.6.3)."""
        try:
            to = parse_jid(stanza.attributes["to"])
        except JIDMalformed as error:
            self.host.router.refuse(stanza, error)
            return
        directed: list[str] = session.notes.get(DIRECTED, [])
        if stanza.type == "unavailable":
            if to.full in directed:
                left = [other for other in directed if other != to.full]
                self.host.lifecycle.note(session, DIRECTED, left or None)
        elif to.full not in directed:
            if len(directed) >= MOST_DIRECTED:
                self.host.router.refuse(stanza, ResourceConstraint("too many receivers"))
                return
            self.host.lifecycle.note(session, DIRECTED, [*directed, to.full])
        self.host.router.route(stanza)

    def _pass_on(self, session: Session, stanza: Stanza) -> None:
        if "to" in stanza.attributes:
            self.host.router.route(stanza)
        else:
            self.host.router.refuse(stanza, BadRequest("to: a receiver is missing"))

    @on(SessionEnded)
    def ended(self, event: SessionEnded) -> None:
        """Whoever saw the session is told that it is gone, as its client cannot (§4.5.2)."""
        session = event.session
        if session.presence is not None or DIRECTED in session.notes:
            self._gone(session, unavailable(session.full))

    def _gone(self, session: Session, stanza: Stanza) -> None:
        was_available = session.presence is not None
        directed = session.notes.get(DIRECTED, [])
        self.host.lifecycle.present(session, None, 0)
        if directed:
            self.host.lifecycle.note(session, DIRECTED, None)
        if was_available:
            self._tell_own(session, stanza)
        self.host.rosters.when(
            (session.account,),
            partial(self._say_farewell, session.account, stanza, directed, was_available),
            session,
        )

    # To whom it goes.

    def _tell_own(self, session: Session, stanza: Stanza) -> None:
        """Every available resource of the account sees it, the sender among them (§4.2.2)."""
        for other in self._available(session.account):
            self.host.delivery.deliver(other, stanza.addressed(to=other.full))

    def _show_others(self, session: Session) -> None:
        """A new resource sees what the account's others last said."""
        for other in self._available(session.account):
            if other is not session and other.presence is not None:
                self.host.delivery.deliver(session, other.presence.addressed(to=session.full))

    def _broadcast(self, session: Session, stanza: Stanza, is_initial: bool) -> None:
        contacts = self._contacts(session.account)
        sent = 0
        for contact in contacts:
            if contact.is_seen:
                sent += self._send(stanza, contact.jid)
        if is_initial:
            probe = Stanza.of(element(NS_CLIENT, "presence", from_=session.full, type="probe"))
            sent += sum(self._send(probe, contact.jid) for contact in contacts if contact.sees)
        if session.stream is not None:
            # One small stanza to 2,000 contacts is 2,000 stanzas' worth of work.
            session.stream.charge(COPY * sent + LOOK * len(contacts))

    def _say_farewell(
        self, account: str, stanza: Stanza, directed: list[str], was_available: bool
    ) -> None:
        roster = self.host.rosters[account]
        if was_available:
            for contact in self._contacts(account):
                if contact.is_seen:
                    self._send(stanza, contact.jid)
        for to in directed:
            if not (was_available and self._is_reached(roster, parse_jid(to))):
                self.host.router.route(stanza.addressed(to=to))

    def _is_reached(self, roster: Roster, to: JID) -> bool:
        """Whether presence for all who may see it comes to this address, too."""
        session = self.host.sessions.get(to) if to.resource else None
        return roster.may_see(to.bare) and (session is None or session.is_available)

    def _contacts(self, account: str) -> list[Contact]:
        """The contacts that the account's presence may concern: not those whom it has blocked."""
        contacts = self.host.rosters[account].contacts.values()
        if account not in self.host.blocks.lists:
            return list(contacts)
        holds = self.host.blocks.holds
        return [one for one in contacts if not holds(account, parse_jid(one.jid))]

    def _send(self, stanza: Stanza, jid: str) -> bool:
        """To a contact, if somebody may be there: nobody hears or answers for the absent.

        Tells whether it was sent.
        So a probe of a local contact without a session is saved: silence says the same.
        """
        domain = jid.rpartition("@")[2]
        may_be_there = bool(self.host.sessions.of(jid)) or (
            domain not in self.host.domains and self.host.router.is_reachable(domain)
        )
        if may_be_there:
            self.host.router.route(stanza.addressed(to=jid))
        return may_be_there

    # What comes for our accounts.

    def _arrived(self, stanza: Stanza, to: JID) -> None:
        """Presence of somebody: for one resource, or for all that are available (§4.2.3)."""
        if to.resource:
            session = self.host.sessions.get(to)
            if session is not None:
                self.host.delivery.deliver(session, stanza)
            return
        for session in self._available(to.bare):
            self.host.delivery.deliver(session, stanza)

    def _reported(self, stanza: Stanza, to: JID) -> None:
        """An error reaches the resource that caused it; one from whom the account has asked for a
        subscription, which it did as itself, all that are there; else nobody."""
        if to.resource:
            self._arrived(stanza, to)
        elif self.host.accounts.exists(to.bare):
            self.host.rosters.when((to.bare,), partial(self._refused, stanza, to))

    def _refused(self, stanza: Stanza, to: JID) -> None:
        contact = parse_jid(stanza.attributes["from"]).bare
        if self.host.rosters[to.bare].get(contact).ask:
            self._arrived(stanza, to)

    def _probed(self, stanza: Stanza, to: JID) -> None:
        """Answer a probe (RFC 6121 §4.3.2), for no account as for one that is not to be seen."""
        if self.host.accounts.exists(to.bare):
            self.host.rosters.when((to.bare,), partial(self._answer, stanza, to))
        else:
            self._deny(stanza, to)

    def _answer(self, stanza: Stanza, to: JID) -> None:
        asker = parse_jid(stanza.attributes["from"])
        roster = self.host.rosters[to.bare]
        if asker.bare in roster.requests:
            return  # still to be decided, which a denial would do
        if not roster.may_see(asker.bare):
            self._deny(stanza, to)
            return
        found = [
            session
            for session in self._available(to.bare)
            if to.resource in ("", session.jid.resource)
        ]
        for session in found:
            if session.presence is not None:
                self.host.router.route(session.presence.addressed(to=asker.full))
        if not found:
            self.host.router.route(unavailable(to.full).addressed(to=asker.full))

    def _deny(self, stanza: Stanza, to: JID) -> None:
        """Who probes believes to be subscribed: tell otherwise (§4.3.2, rule 1)."""
        asker = parse_jid(stanza.attributes["from"])
        denial = element(NS_CLIENT, "presence", from_=to.bare, to=asker.bare, type="unsubscribed")
        self.host.router.route(Stanza.of(denial))

    def _resources(self, request: IQ) -> list[Item]:
        """The connected resources of an account are its items (XEP-0030 §4.1)."""
        return [
            Item(session.full)
            for session in self._available(request.recipient.bare)
            if not session.is_detached
        ]

    def _available(self, account: str) -> list[Session]:
        sessions = self.host.sessions.of(account)
        return [session for session in sessions.values() if session.presence is not None]


def _priority(stanza: Stanza) -> int:
    """The priority of available presence; 0 without one (RFC 6121 §4.7.2.3).

    Raises ValueError. The stanza's own tree is not built, as it would live with the session.
    """
    if PRIORITY not in stanza.children:
        return 0
    said = text(child(parse(stanza.raw), NS_CLIENT, "priority")).strip()
    if not _number(said) or not -128 <= int(said) <= 127:
        raise ValueError("not a whole number from -128 to 127")
    return int(said)
