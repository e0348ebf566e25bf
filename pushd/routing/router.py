"""Where a stanza goes: the rules of RFC 6121 §8, for local accounts, domains and services."""

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.logger import Logger

from pushd.routing.accounts import Accounts
from pushd.routing.blocklists import Blocked, BlockLists
from pushd.routing.delivery import STUCK, Delivery
from pushd.routing.misses import Misses
from pushd.routing.requests import Requests
from pushd.routing.sessions import Session, Sessions
from pushd.wire.element import element
from pushd.wire.errors import (
    BadRequest,
    ItemNotFound,
    JIDMalformed,
    RemoteServerNotFound,
    ServiceUnavailable,
    StanzaError,
)
from pushd.wire.jid import JID, parse
from pushd.wire.namespaces import NS_CLIENT, NS_DISCO_ITEMS
from pushd.wire.stanza import Stanza

log = Logger()

# Messages that are worth nothing later; of any other type they are for the account (XEP-0160
# §3), also of one that nobody knows, which is as good as normal (RFC 6121 §5.2.2).
FLEETING = frozenset(("groupchat", "headline", "error"))
_NEED_AN_ID = frozenset(("get", "set", "result"))
UNSOUND = BadRequest("an IQ has an id, and the type get, set, result or error")
_LISTED = (f"{NS_DISCO_ITEMS} query",)


Guard = Callable[[Stanza, JID, Session | None], None]


class PresenceRules(Protocol):
    """Who decides about presence (RFC 6121 §3 and §4); a module hands it down."""

    def outbound(self, session: Session, stanza: Stanza) -> None:
        """A client sent presence, with or without `to`."""

    def inbound(self, stanza: Stanza, to: JID) -> None:
        """Presence came for a local account."""


class Copier(Protocol):
    """Who copies messages to more sessions of an account (XEP-0280); a module hands it down.

    It is asked only about accounts of `Router.copied`, which it keeps.
    """

    def sent(self, session: Session, stanza: Stanza) -> None:
        """A client is about to send this message."""

    def received(
        self, stanza: Stanza, to: JID, receivers: Sequence[Session]
    ) -> list[tuple[Session, Stanza]]:
        """The copies of a message that goes to these receivers, or to the offline store."""


class Router:
    """Plain calls, no waiting: a stanza is delivered, stored, answered or refused."""

    def __init__(
        self,
        domains: frozenset[str],
        accounts: Accounts,
        sessions: Sessions,
        delivery: Delivery,
        requests: Requests,
        blocks: BlockLists,
        misses: Misses,
    ) -> None:
        self.presence: PresenceRules
        self.copier: Copier
        # What requests hold that are answered whether there is an account or not (XEP-0030 §8).
        self.alike: set[tuple[str, ...]] = {_LISTED}
        self.copied: dict[str, list[Session]] = {}  # by account, sessions that want copies
        # By account: who hears of messages to it, before they go on, and of those that it sends.
        self.attended: dict[str, Callable[[Stanza, JID], None]] = {}
        self.overheard: dict[str, Callable[[Session, Stanza], None]] = {}
        self._domains = domains
        self._accounts = accounts
        self._sessions = sessions
        self._delivery = delivery
        self._requests = requests
        self._blocks = blocks
        self._misses = misses
        self._blocked = blocks.lists
        self._hosts: dict[str, Callable[[Stanza], None]] = {}
        self._services: set[str] = set()  # hosts that we are ourselves
        # What is for a domain that is not served here; the door to other servers hands it down.
        self.remote: Callable[[Stanza, JID], None] = self._nowhere
        self.reaches: Callable[[str], bool] = lambda domain: False
        self._watched: dict[str, Callable[[Stanza, JID], bool | None]] = {}
        self._guarded: dict[str, Guard] = {}
        requests.router = self
        self._catching_up = delivery.catching_up
        delivery.refuse = self.refuse

    @property
    def is_stuck(self) -> bool:
        """Whether nothing can be stored now, so that what has to be is refused."""
        return self._delivery.is_stuck

    def add_host(self, domain: str, receive: Callable[[Stanza], None]) -> None:
        """Give everything addressed to this domain, and to whatever is at it, to `receive`."""
        self._claim(domain)
        self._hosts[domain] = receive

    def add_service(self, domain: str) -> None:
        """Serve this domain ourselves: its requests are answered by the table of handlers."""
        self._claim(domain)
        self._services.add(domain)

    def _claim(self, domain: str) -> None:
        if self.is_served(domain):
            raise ValueError(f"{domain} is served already")

    def _nowhere(self, stanza: Stanza, to: JID) -> None:
        self.refuse(stanza, RemoteServerNotFound())

    def _serve(self, stanza: Stanza, to: JID, session: Session | None) -> None:
        """A service of ours is spoken to."""
        if stanza.name == "iq":
            if not _is_sound(stanza):
                self.refuse(stanza, UNSOUND)
            elif to.full != to.domain:
                self.refuse(stanza, ItemNotFound())
            else:
                self._requests.handle(stanza, to, to.domain, session)
        elif stanza.name == "message":
            self.refuse(stanza, ServiceUnavailable())

    def watch(self, child: str, listener: Callable[[Stanza, JID], bool | None]) -> None:
        """Have `listener` see messages to a bare JID that hold this child ("namespace name").

        One for which it gives True is dealt with, and goes no further.
        """
        self._watched[child] = listener

    def guard(self, child: str, guard: Guard) -> None:
        """Let `guard` have the requests (get) to full JIDs of accounts that hold this child."""
        self._guarded[child] = guard

    def remove_host(self, domain: str) -> None:
        self._hosts.pop(domain, None)

    def is_served(self, domain: str) -> bool:
        """Whether this domain is served here, by us or by a component."""
        return domain in self._domains or domain in self._hosts or domain in self._services

    def is_reachable(self, domain: str) -> bool:
        """Whether there is a way to this domain: it is served here, or by a server we talk with."""
        return self.is_served(domain) or self.reaches(domain)

    def is_account(self, bare: str) -> bool:
        """Whether this bare JID is a local account."""
        return self._accounts.exists(bare)

    def is_open(self, bare: str) -> bool:
        """Whether it is one that is not disabled."""
        return self._accounts.is_open(bare)

    def submit(self, session: Session, stanza: Stanza) -> None:
        """Route what a client sent; its `from` is stamped already (RFC 6120 §10.3)."""
        name = stanza.name
        if session.account in self._blocked and self._is_withheld(session, stanza):
            return
        if name == "presence":
            self.presence.outbound(session, stanza)
        elif "to" in stanza.attributes:
            if name == "message" and session.account in self.copied:
                self.copier.sent(session, stanza)
            if self.overheard and name == "message" and session.account in self.overheard:
                self.overheard[session.account](session, stanza)
            self.route(stanza, session)
        elif name == "iq":
            self._iq(stanza, parse(session.account), session)
        else:
            self._message(stanza, parse(session.account))

    def route(self, stanza: Stanza, session: Session | None = None) -> None:
        """Route a stanza whose `from` and `to` are set. `session` is the sender's, if local."""
        try:
            to = parse(stanza.attributes["to"])
        except JIDMalformed as error:
            self.refuse(stanza, error)
            return
        domain = to.domain
        if domain not in self._domains:
            receive = self._hosts.get(domain)
            if receive is not None:
                receive(stanza)
            elif domain in self._services:
                self._serve(stanza, to, session)
            else:
                self.remote(stanza, to)
        elif to.bare in self._blocked and self._is_blocked(stanza, to):
            pass
        elif stanza.name == "message":
            self._message(stanza, to)
        elif stanza.name == "iq":
            self._iq(stanza, to, session)
        elif to.local:
            self.presence.inbound(stanza, to)

    def refuse(self, stanza: Stanza, error: StanzaError) -> None:
        """Answer with an error; never an answer, and never an error (RFC 6120 §8.3.1)."""
        reply = _refusal(stanza, error)
        if reply is not None:
            self.route(reply)

    # Blocks (XEP-0191 §3.3).

    def _is_withheld(self, session: Session, stanza: Stanza) -> bool:
        """Whether a client writes to somebody whom its account has blocked; it is told so."""
        try:
            to = parse(stanza.attributes["to"])
        except (KeyError, JIDMalformed):
            return False
        if not self._blocks.holds(session.account, to):
            return False
        # Not by way of the router: it seems to come from whom we let nothing through.
        reply = _refusal(stanza, Blocked())
        if reply is not None:
            self._delivery.deliver(session, reply)
        return True

    def _is_blocked(self, stanza: Stanza, to: JID) -> bool:
        """Whether a stanza is stopped on its way to an account that has blocked its sender.

        Presence is met with silence, all else with what an account without a session says. A
        room is not answered: it would take that for the end of our client.
        """
        if not self._blocks.holds(to.bare, parse(stanza.attributes["from"])):
            return False
        if stanza.name != "presence" and stanza.type != "groupchat":
            self.refuse(stanza, ServiceUnavailable())
        return True

    # Messages and requests.

    def _message(self, stanza: Stanza, to: JID) -> None:
        """RFC 6121 §8.5.2.1.1, §8.5.3.1 and §8.5.3.2.1."""
        sessions = self._sessions.of(to.bare)
        kind = stanza.attributes.get("type")
        if self.attended and to.bare in self.attended:
            self.attended[to.bare](stanza, to)
        if to.resource:
            session = sessions.get(to.resource)
            if session is not None:
                if self._catching_up and self._is_behind(stanza, to, sessions):
                    return
                if to.bare in self.copied:
                    self._spread([session], stanza, to)
                else:
                    self._delivery.deliver(session, stanza)
                return
            if kind != "chat":
                if kind not in ("error", "headline"):
                    self.refuse(stanza, ServiceUnavailable())
                else:
                    self._spread([], stanza, to)
                return
        if not to.local:
            if kind != "error":
                self.refuse(stanza, ServiceUnavailable())
            return
        if self._watched and not self._watched.keys().isdisjoint(stanza.children):
            for child in stanza.children:
                if child in self._watched and self._watched[child](stanza, to):
                    return
        if kind == "headline":
            able = [one for one in sessions.values() if one.is_available and one.priority >= 0]
            self._spread(able, stanza, to)
        elif kind == "groupchat":
            self.refuse(stanza, ServiceUnavailable())
        elif kind != "error":
            self._to_account(stanza, to, sessions)

    def _to_account(self, stanza: Stanza, to: JID, sessions: dict[str, Session]) -> None:
        """A message for an account: its most available sessions, or else the offline store."""
        if self._catching_up and self._is_behind(stanza, to, sessions):
            return
        receivers: list[Session] = []
        best = 0
        for session in sessions.values():
            if session.presence is not None and session.priority >= best:
                if session.priority > best:
                    best = session.priority
                    receivers.clear()
                receivers.append(session)
        if len(receivers) == 1 and to.bare not in self.copied:
            self._delivery.deliver(receivers[0], stanza)
        elif self._delivery.is_stuck and all(session.is_detached for session in receivers):
            self.refuse(stanza, STUCK)
        elif receivers:
            self._spread(receivers, stanza, to)
        elif self._accounts.is_open(to.bare) and self._delivery.store(to.bare, stanza):
            self._spread([], stanza, to)
        elif not self._is_overlooked(stanza, to):
            self.refuse(stanza, ServiceUnavailable())

    def is_told(self, sender: str) -> bool:
        """Count a miss of a stranger (bare JID): whether he is told that nobody is there.

        Not for long, lest he goes through all names; what he hears of one account is what he
        hears of none.
        """
        return self._misses.is_told(sender)

    def _is_overlooked(self, stanza: Stanza, to: JID) -> bool:
        """Whether a message to no account vanishes, as if it waited for one (RFC 6121 §8.5.1)."""
        if self._accounts.is_open(to.bare) or self._delivery.offline is None:
            return False
        sender = parse(stanza.attributes["from"])
        return not self._misses.is_told(sender.bare)

    def _is_behind(self, stanza: Stanza, to: JID, sessions: dict[str, Session]) -> bool:
        """Whether it waits for what is older and still on its way to the account's only session."""
        session = self._catching_up.get(to.bare)
        return (
            session is not None
            and len(sessions) == 1
            and session.is_available
            and session.priority >= 0
            and stanza.type not in FLEETING
            and self._delivery.store_behind(session, stanza)
        )

    def _spread(self, receivers: Sequence[Session], stanza: Stanza, to: JID) -> None:
        """A message to several sessions, or copied to more: who acknowledges it does so for all."""
        carbons = self.copier.received(stanza, to, receivers) if to.bare in self.copied else ()
        copies = self._delivery.copies() if len(receivers) + len(carbons) > 1 else None
        if carbons and not receivers:
            copies = self._delivery.copies()
            copies.acknowledge()  # it is stored, or not worth it
        for session in receivers:
            self._delivery.deliver(session, stanza, copies)
        for session, carbon in carbons:
            self._delivery.deliver(session, carbon, copies)

    def _iq(self, stanza: Stanza, to: JID, session: Session | None) -> None:
        """RFC 6121 §8.5.1, §8.5.2.1.3, §8.5.3.1 and §8.5.3.2.3."""
        if not _is_sound(stanza):
            self.refuse(stanza, UNSOUND)
        elif to.resource and to.local:
            if stanza.type == "get":
                for child in stanza.children:
                    if child in self._guarded:
                        self._guarded[child](stanza, to, session)
                        return
            receiver = self._sessions.get(to)
            if receiver is not None:
                self._delivery.deliver(receiver, stanza)
            else:
                self.refuse(stanza, ServiceUnavailable())
        elif to.local:
            is_there = self._accounts.is_open(to.bare) or stanza.children in self.alike
            self._requests.handle(stanza, to, "account", session, is_there)
        else:
            self._requests.handle(stanza, to, "server", session)


def _is_sound(stanza: Stanza) -> bool:
    """Whether an IQ has what RFC 6120 §8.2.3 asks; an error answers even what had no id."""
    return (bool(stanza.id) and stanza.type in _NEED_AN_ID) or stanza.type == "error"


def _refusal(stanza: Stanza, error: StanzaError) -> Stanza | None:
    """The answer to a stanza that is refused, if there is to be one."""
    sender = stanza.attributes.get("from")
    is_answer = stanza.type == "error" or (stanza.type == "result" and stanza.name == "iq")
    if is_answer or sender is None:
        return None
    attributes = {"type": "error", "to": sender, "from": _answering(stanza, sender)}
    if stanza.id:
        attributes["id"] = stanza.id
    reply = element(NS_CLIENT, stanza.name, error.element(), **attributes)
    return Stanza.of(reply)


def _answering(stanza: Stanza, sender: str) -> str:
    """Who refuses a stanza: its addressee, or the sender's account where that is no address."""
    to = stanza.attributes.get("to")
    if to is not None:
        try:
            parse(to)
        except JIDMalformed:
            pass  # nobody who handles the answer is to meet it again
        else:
            return to
    return parse(sender).bare
