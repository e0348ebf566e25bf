"""RFC 6121 §3 and appendix A: subscriptions to presence, as tables of states.

Each side's server keeps its own half of a subscription; when both are ours, both halves
are changed in one commit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial

from pushd.modules.base import Module, on
from pushd.routing.events import Cause, ContactRemoved, SessionAvailable, Undelivered
from pushd.routing.rosters import Contact, Roster
from pushd.routing.sessions import Session
from pushd.wire.element import element
from pushd.wire.errors import (
    BadRequest,
    JIDMalformed,
    RemoteServerNotFound,
    ResourceConstraint,
    StanzaError,
)
from pushd.wire.framer import seal
from pushd.wire.jid import JID, parse
from pushd.wire.namespaces import NS_CLIENT
from pushd.wire.stanza import Stanza

NS_PRE_APPROVAL = "urn:xmpp:features:pre-approval"
LONGEST_REQUEST = 4_096  # bytes of a request that are kept whole


class State(Enum):
    """The nine states of appendix A.1: subscription, our request is out, theirs waits."""

    NONE = ("none", False, False)
    NONE_OUT = ("none", True, False)
    NONE_IN = ("none", False, True)
    NONE_OUT_IN = ("none", True, True)
    TO = ("to", False, False)
    TO_IN = ("to", False, True)
    FROM = ("from", False, False)
    FROM_OUT = ("from", True, False)
    BOTH = ("both", False, False)


Changes = Mapping[State, State]

# What our side's own stanzas change (A.2); a state that is missing stays as it is.
OUTBOUND: Mapping[str, Changes] = {
    "subscribe": {
        State.NONE: State.NONE_OUT,
        State.NONE_IN: State.NONE_OUT_IN,
        State.FROM: State.FROM_OUT,
    },
    "unsubscribe": {
        State.NONE_OUT: State.NONE,
        State.NONE_OUT_IN: State.NONE_IN,
        State.TO: State.NONE,
        State.TO_IN: State.NONE_IN,
        State.FROM_OUT: State.FROM,
        State.BOTH: State.FROM,
    },
    "subscribed": {
        State.NONE_IN: State.FROM,
        State.NONE_OUT_IN: State.FROM_OUT,
        State.TO_IN: State.BOTH,
    },
    "unsubscribed": {
        State.NONE_IN: State.NONE,
        State.NONE_OUT_IN: State.NONE_OUT,
        State.TO_IN: State.TO,
        State.FROM: State.NONE,
        State.FROM_OUT: State.NONE_OUT,
        State.BOTH: State.TO,
    },
}
# These are routed in any state, the others only if they change something.
ALWAYS_ROUTED = frozenset(("subscribe", "unsubscribe"))

# What the other side's stanzas change (A.3); only what changes something is delivered.
INBOUND: Mapping[str, Changes] = {
    "subscribe": {
        State.NONE: State.NONE_IN,
        State.NONE_OUT: State.NONE_OUT_IN,
        State.TO: State.TO_IN,
    },
    "unsubscribe": {
        State.NONE_IN: State.NONE,
        State.NONE_OUT_IN: State.NONE_OUT,
        State.TO_IN: State.TO,
        State.FROM: State.NONE,
        State.FROM_OUT: State.NONE_OUT,
        State.BOTH: State.TO,
    },
    "subscribed": {
        State.NONE_OUT: State.TO,
        State.NONE_OUT_IN: State.TO_IN,
        State.FROM_OUT: State.BOTH,
    },
    "unsubscribed": {
        State.NONE_OUT: State.NONE,
        State.NONE_OUT_IN: State.NONE_IN,
        State.TO: State.NONE,
        State.TO_IN: State.NONE_IN,
        State.FROM_OUT: State.FROM,
        State.BOTH: State.FROM,
    },
}

# A request that was approved before it came (§3.4).
APPROVED: Changes = {
    State.NONE: State.FROM,
    State.NONE_OUT: State.FROM_OUT,
    State.TO: State.BOTH,
}


@dataclass(frozen=True, slots=True)
class SubscriptionOptions:
    """What strangers may leave at an account."""

    requests: int = 500  # that wait for an answer; what comes beyond is dropped


class Subscriptions(Module):
    """Requests for subscriptions, their answers, and what these mean for presence."""

    options: SubscriptionOptions

    async def start(self) -> None:
        for type in OUTBOUND:
            self.host.presence.add(type, self._outbound, self._inbound)
        self.host.stream_features.append(element(NS_PRE_APPROVAL, "sub"))

    # Our side.

    def _outbound(self, session: Session, stanza: Stanza) -> None:
        """A client asks, approves, denies or cancels: between bare JIDs, whatever it wrote."""
        try:
            contact = self._receiver(stanza)
        except StanzaError as error:
            self.host.router.refuse(stanza, error)
            return
        account = session.account
        if contact.bare == account:
            return  # the account's own resources see each other anyway
        accounts = [account]
        if self.host.accounts.exists(contact.bare):
            accounts.append(contact.bare)  # its half is changed in the same commit
        self.host.rosters.when(accounts, partial(self._say, account, contact.bare, stanza), session)

    def _receiver(self, stanza: Stanza) -> JID:
        if "to" not in stanza.attributes:
            raise BadRequest("to: a receiver is missing")
        contact = parse(stanza.attributes["to"])
        if stanza.type == "subscribe" and not self.host.router.is_reachable(contact.domain):
            raise RemoteServerNotFound
        return contact

    def _say(self, account: str, jid: str, stanza: Stanza) -> None:
        """Our half of the subscription changes (A.2), and the contact hears of it."""
        roster = self.host.rosters[account]
        contact, before = roster.get(jid), state_of(roster, jid)
        after = OUTBOUND[stanza.type].get(before, before)
        approved = contact.approved
        if stanza.type == "unsubscribed":
            approved = False
        elif stanza.type == "subscribed" and before in APPROVED:
            approved = True
        changed = _with(replace(contact, approved=approved), after)
        if changed != contact and not self.host.rosters.has_room(account, jid):
            self.host.router.refuse(stanza, ResourceConstraint("the roster is full"))
            return
        if contact.is_seen and not changed.is_seen:
            self.host.presence.withdraw(account, jid)
        self._store(account, contact, changed, after)
        if after is not before or stanza.type in ALWAYS_ROUTED:
            self._route(stanza.addressed(from_=account, to=jid))
        if changed.is_seen and not contact.is_seen:
            self.host.presence.announce(account, jid)

    # The other side.

    def _inbound(self, stanza: Stanza, to: JID) -> None:
        """A contact asks, approves, denies or cancels. For no account it is dropped (§8.5.1)."""
        jid, account = parse(stanza.attributes["from"]).bare, to.bare
        if jid == account or not self.host.accounts.exists(account):
            return
        stanza = stanza.addressed(from_=jid, to=account)
        act = self._asked if stanza.type == "subscribe" else self._told
        self.host.rosters.when((account,), partial(act, account, jid, stanza))

    def _asked(self, account: str, jid: str, stanza: Stanza) -> None:
        """A request (§3.1.3): answered for the account, or kept until it answers itself."""
        roster = self.host.rosters[account]
        contact, before = roster.get(jid), state_of(roster, jid)
        if contact.is_seen or (contact.approved and before in APPROVED):
            after = APPROVED.get(before, before)
            self._store(account, contact, _with(contact, after), after)
            self._reply(account, jid, "subscribed")
            self.host.presence.announce(account, jid)
        elif before in INBOUND["subscribe"] and len(roster.requests) < self.options.requests:
            self.host.rosters.add_request(account, jid, _kept(stanza))
            available = [
                session
                for session in list(self.host.sessions.of(account).values())
                if session.is_available
            ]
            for session in available:
                self.host.delivery.deliver(session, stanza)
            if not available:
                now = self.host.clock.seconds()
                self.host.events.emit(Undelivered(account, None, stanza, Cause.ABSENT, now))

    def _told(self, account: str, jid: str, stanza: Stanza) -> None:
        """An answer or the end of something (§3.1.6, §3.2.3, §3.3.3), if it means anything."""
        roster = self.host.rosters[account]
        contact, before = roster.get(jid), state_of(roster, jid)
        after = INBOUND[stanza.type].get(before)
        if after is None:
            return
        for session in self.host.rosters.interested(account):
            self.host.delivery.deliver(session, stanza)
        changed = _with(contact, after)
        self._store(account, contact, changed, after)
        if stanza.type == "unsubscribe":
            self._reply(account, jid, "unsubscribed")
        if contact.is_seen and not changed.is_seen:
            self.host.presence.withdraw(account, jid)

    @on(SessionAvailable)
    def remind(self, event: SessionAvailable) -> None:
        """What waits for an answer is told again to each resource that comes (§3.1.3)."""
        session = event.session
        self.host.rosters.when((session.account,), partial(self._remind, session), session)

    def _remind(self, session: Session) -> None:
        if session.is_available and self.host.lifecycle.is_alive(session):
            account = session.account
            for jid, raw in self.host.rosters[account].requests.items():
                if not self.host.blocks.holds(account, parse(jid)):
                    self.host.delivery.deliver(session, seal(raw))

    @on(ContactRemoved)
    def cancel(self, event: ContactRemoved) -> None:
        """Who is no contact any more has no subscription either way (§2.5.2)."""
        account, contact = event.account, event.contact
        if contact.is_seen:
            self.host.presence.withdraw(account, contact.jid)
        if contact.is_seen or event.was_asking:
            self._reply(account, contact.jid, "unsubscribed")
        if contact.sees or contact.ask:
            self._reply(account, contact.jid, "unsubscribe")

    # What both sides do.

    def _store(self, account: str, before: Contact, after: Contact, state: State) -> None:
        """Store the contact where the roster shows a difference, and forget a request answered."""
        if not state.value[2]:
            self.host.rosters.drop_request(account, before.jid)
        if after != before:
            self.host.rosters.put(account, after)

    def _reply(self, account: str, jid: str, type: str) -> None:
        self._route(Stanza.of(element(NS_CLIENT, "presence", from_=account, to=jid, type=type)))

    def _route(self, stanza: Stanza) -> None:
        """To the contact; where there is no way to it, the state has changed all the same."""
        try:
            domain = parse(stanza.attributes["to"]).domain
        except JIDMalformed:
            return
        if self.host.router.is_reachable(domain):
            self.host.router.route(stanza)


def state_of(roster: Roster, jid: str) -> State:
    """The state of the subscription between an account and a bare JID."""
    contact = roster.get(jid)
    asked = jid in roster.requests and not contact.is_seen
    return State((contact.subscription, contact.ask and not contact.sees, asked))


def _with(contact: Contact, state: State) -> Contact:
    subscription, ask, _ = state.value
    return replace(contact, subscription=subscription, ask=ask)


def _kept(stanza: Stanza) -> bytes:
    """A request as it is stored: whole, unless it is longer than a request needs to be."""
    if len(stanza.raw) <= LONGEST_REQUEST:
        return stanza.raw
    sender, to = stanza.attributes["from"], stanza.attributes["to"]
    bare = element(NS_CLIENT, "presence", from_=sender, to=to, type="subscribe")
    return Stanza.of(bare).raw
