"""XEP-0191: Blocking Command; a block is polite, and looks like absence to who is blocked.

Subscriptions stay as they are. What came before the block, and waits in storage or on a
session, is delivered. The reports of XEP-0377 that a client adds are taken and left alone.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from pushd.modules.base import Module, iq
from pushd.routing.presence import DIRECTED, unavailable
from pushd.routing.requests import IQ
from pushd.routing.rosters import Contact
from pushd.wire.element import Element, children, element
from pushd.wire.errors import BadRequest, ResourceConstraint
from pushd.wire.jid import parse
from pushd.wire.namespaces import NS_CLIENT
from pushd.wire.stanza import Stanza

NS_BLOCKING = "urn:xmpp:blocking"
NOTE = "blocklist"  # the note on a session that asked for the list


@dataclass(frozen=True, slots=True)
class BlockingOptions:
    """How long a block list may become."""

    addresses: int = 2_000  # that one account may block


class Blocking(Module):
    """The lists as clients read and change them, and what a change means for presence."""

    xep = 191
    features = frozenset({NS_BLOCKING})
    options: BlockingOptions

    async def start(self) -> None:
        await self.host.blocks.load()

    @iq("get", NS_BLOCKING, "blocklist", to="account")
    async def tell(self, request: IQ) -> Element:
        """The whole list (XEP-0191 §3.2); from now on the session is told of changes."""
        session = await self.owner(request)
        if NOTE not in session.notes:
            self.host.lifecycle.note(session, NOTE, True)
        return element(NS_BLOCKING, "blocklist", *_items(self.host.blocks.of(session.account)))

    @iq("set", NS_BLOCKING, "block", to="account")
    async def block(self, request: IQ) -> None:
        """Block some more (§3.3); who saw the account's presence sees that it is gone."""
        account = (await self.owner(request)).account
        jids = _addresses(request.payload)
        if not jids:
            raise BadRequest("item: whom to block is missing")
        await self.host.rosters.load(account)
        known = self.host.blocks.lists.get(account, set())
        if len(known.union(jids)) > self.options.addresses:
            raise ResourceConstraint("the block list is full")
        concerned = list(self._meant(account, jids))
        self.host.blocks.add(account, jids)
        for contact, to in concerned:
            if contact.is_seen:
                self.host.presence.withdraw(account, to)
        self._leave(account)
        self._push(account, "block", jids)
        await self.host.database.committed()

    @iq("set", NS_BLOCKING, "unblock", to="account")
    async def unblock(self, request: IQ) -> None:
        """Unblock these, or all (§3.4, §3.5); each side sees the other's presence again."""
        account = (await self.owner(request)).account
        jids = _addresses(request.payload)
        if not jids and any(children(request.payload)):
            raise BadRequest("item: whom to unblock is missing")
        await self.host.rosters.load(account)
        blocked = self.host.blocks.of(account)
        gone = [jid for jid in blocked if jid in jids] if jids else blocked
        self.host.blocks.remove(account, gone)
        for contact, to in self._meant(account, gone):
            if contact.is_seen:
                self.host.presence.announce(account, to)
            if contact.sees:
                self._probe(account, to)
        self._push(account, "unblock", jids)
        await self.host.database.committed()

    def _meant(self, account: str, jids: Collection[str]) -> Iterator[tuple[Contact, str]]:
        """The contacts that one of these addresses is about and that are not blocked now.

        With each the address that its presence goes to: of a blocked resource, only that.
        """
        resources: dict[str, list[str]] = {}  # by bare JID, as both lists may be long
        for jid in jids:
            resources.setdefault(parse(jid).bare, []).append(jid)
        given = frozenset(jids)
        for contact in list(self.host.rosters[account].contacts.values()):
            bare = parse(contact.jid)
            whole = [contact.jid] if bare.full in given or bare.domain in given else []
            for to in whole or resources.get(contact.jid, []):
                if not self.host.blocks.holds(account, parse(to)):
                    yield contact, to

    def _leave(self, account: str) -> None:
        """Whoever is blocked now and was sent presence by name is told that it is over."""
        roster = self.host.rosters[account]
        for session in list(self.host.sessions.of(account).values()):
            directed: list[str] = session.notes.get(DIRECTED, [])
            gone = [to for to in directed if self.host.blocks.holds(account, parse(to))]
            if gone:
                left = [to for to in directed if to not in gone]
                self.host.lifecycle.note(session, DIRECTED, left or None)
            for to in gone:
                if session.presence is None or not roster.may_see(parse(to).bare):
                    self.host.router.route(unavailable(session.full).addressed(to=to))

    def _probe(self, account: str, to: str) -> None:
        """Ask for the presence that the block kept away (RFC 6121 §4.3)."""
        for session in list(self.host.sessions.of(account).values()):
            if session.is_available:
                probe = element(NS_CLIENT, "presence", from_=session.full, to=to, type="probe")
                self.host.router.route(Stanza.of(probe))

    def _push(self, account: str, what: str, jids: Iterable[str]) -> None:
        """Tell every resource that has asked for the list what has changed."""
        for session in list(self.host.sessions.of(account).values()):
            if NOTE in session.notes:
                change = element(NS_BLOCKING, what, *_items(jids))
                id = self.host.requests.new_id()
                push = element(NS_CLIENT, "iq", change, type="set", id=id, to=session.full)
                self.host.delivery.deliver(session, Stanza.of(push))


def _items(jids: Iterable[str]) -> Iterator[Element]:
    return (element(NS_BLOCKING, "item", jid=jid) for jid in jids)


def _addresses(request: Element) -> list[str]:
    """The addresses of a request, prepared. Raises BadRequest and JIDMalformed."""
    found: dict[str, None] = {}
    for node in children(request):
        if (node.uri, node.name) == (NS_BLOCKING, "item"):
            if not node.getAttribute("jid"):
                raise BadRequest("jid: an address is missing")
            found[parse(node["jid"]).full] = None
    return list(found)
