"""XEP-0012: Last Activity, of the server, of an account, and of one of its resources.

About an account and its resources only those learn anything who may see its presence; to all
others it makes no difference whether there is such an account at all.
"""

from dataclasses import dataclass
from functools import partial

from pushd.modules.base import Module, iq, on
from pushd.routing.events import SessionBound, SessionEnded, SessionUnavailable
from pushd.routing.requests import IQ
from pushd.routing.sessions import Session
from pushd.storage.table import Table
from pushd.wire.element import Element, child, element, parse, text
from pushd.wire.errors import Forbidden, ItemNotFound, ServiceUnavailable
from pushd.wire.jid import JID
from pushd.wire.jid import parse as parse_jid
from pushd.wire.namespaces import NS_CLIENT
from pushd.wire.stanza import Stanza

NS_LAST = "jabber:iq:last"
QUERY = f"{NS_LAST} query"
STATUS = f"{NS_CLIENT} status"
LONGEST_STATUS = 1_024  # code points that are kept


@dataclass(frozen=True, slots=True)
class Departure:
    """When an account was last seen to go (or, lest a crash hides that, to come)."""

    account: str
    at: float
    status: str  # of its last unavailable presence, or ""


class LastActivity(Module):
    xep = 12
    features = frozenset({NS_LAST})
    account_features = frozenset({NS_LAST})
    departures = Table(Departure)

    async def start(self) -> None:
        self._started_at = self.host.clock.seconds()
        self._said: dict[Session, str] = {}  # the farewells of sessions that are still connected
        self.host.router.alike.add((QUERY,))
        self.host.router.guard(QUERY, self._pass)

    @on(SessionBound)
    def came(self, event: SessionBound) -> None:
        account = event.session.account
        if len(self.host.sessions.of(account)) == 1:
            self.departures.put(Departure(account, self.host.clock.seconds(), ""))

    @on(SessionUnavailable)
    def said_farewell(self, event: SessionUnavailable) -> None:
        """The client may say why it leaves; its tree is not kept."""
        presence = event.presence
        if STATUS in presence.children:
            said = text(child(parse(presence.raw), NS_CLIENT, "status"))
            self._said[event.session] = said[:LONGEST_STATUS]
        else:
            self._said.pop(event.session, None)

    @on(SessionEnded)
    def left(self, event: SessionEnded) -> None:
        """The last resource is gone; a detached one went when its stream was lost."""
        session, account = event.session, event.session.account
        status = self._said.pop(session, "")
        if self.host.accounts.exists(account) and not self.host.sessions.of(account):
            at = session.detached_at
            at = self.host.clock.seconds() if at is None else at
            self.departures.put(Departure(account, at, status))

    @iq("get", NS_LAST, "query", to="server")
    def uptime(self, request: IQ) -> Element:
        """XEP-0012 §5."""
        return self._answer(self._started_at)

    @iq("get", NS_LAST, "query", to="account")
    async def tell(self, request: IQ) -> Element:
        """A query to a bare JID (XEP-0012 §3)."""
        account = request.recipient.bare
        may_see = await self.host.rosters.may_see(account, request.sender.bare)
        if not (may_see and self.host.accounts.is_open(account)):
            raise Forbidden
        if self.host.sessions.of(account):
            return self._answer(self.host.clock.seconds())
        left = await self.departures.get(account)
        if left is None:
            raise ItemNotFound("nobody has logged in yet")
        return self._answer(left.at, left.status)

    def _answer(self, since: float, status: str = "") -> Element:
        seconds = max(0, int(self.host.clock.seconds() - since))
        return element(NS_LAST, "query", status, seconds=str(seconds))

    # Queries to a full JID (XEP-0012 §4).

    def _pass(self, stanza: Stanza, to: JID, session: Session | None) -> None:
        # The roster of who is no account is as empty as that of any other to a stranger.
        self.host.rosters.when((to.bare,), partial(self._pass_on, stanza, to), session)

    def _pass_on(self, stanza: Stanza, to: JID) -> None:
        """To the client, which knows its user; for one that is detached, since when it is."""
        receiver = self.host.sessions.get(to)
        sender = stanza.attributes["from"]
        may_see = self.host.rosters[to.bare].may_see(parse_jid(sender).bare)
        if not (may_see and self.host.accounts.is_open(to.bare)):
            self.host.router.refuse(stanza, Forbidden())
        elif receiver is None:
            self.host.router.refuse(stanza, ServiceUnavailable())
        elif receiver.detached_at is None:
            self.host.delivery.deliver(receiver, stanza)
        else:
            answer = self._answer(receiver.detached_at)
            reply = element(
                NS_CLIENT, "iq", answer, type="result", id=stanza.id, from_=to.full, to=sender
            )
            self.host.router.route(Stanza.of(reply))
