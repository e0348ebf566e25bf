"""RFC 6121 §2: the roster, as clients read, change and follow it; with versions (§2.6).

A JID in a roster is a bare one: a resource is left out. Of another account's roster nobody
learns anything, and it is changed by nobody.
"""

from dataclasses import dataclass, replace
from unicodedata import normalize

from pushd.modules.base import Module, iq, on
from pushd.routing.events import RosterChanged
from pushd.routing.requests import IQ
from pushd.routing.rosters import CAPACITY, INTERESTED, Contact, Roster
from pushd.routing.sessions import Session
from pushd.wire.element import Element, children, element, text
from pushd.wire.errors import (
    BadRequest,
    Forbidden,
    ItemNotFound,
    NotAcceptable,
    NotAllowed,
    ResourceConstraint,
    ServiceUnavailable,
)
from pushd.wire.jid import parse
from pushd.wire.namespaces import NS_CLIENT, NS_ROSTER
from pushd.wire.stanza import Stanza

NS_VERSIONS = "urn:xmpp:features:rosterver"


@dataclass(frozen=True, slots=True)
class RosterOptions:
    """How big a roster may become."""

    contacts: int = CAPACITY  # of one account
    name_length: int = 255  # code points of a contact's name, or of a group's
    groups: int = 64  # of one contact


class RosterModule(Module):
    """Answers requests about rosters, and pushes what changed."""

    features = frozenset({NS_ROSTER})
    options: RosterOptions

    async def start(self) -> None:
        self.host.stream_features.append(element(NS_VERSIONS, "ver"))
        self.host.disco.may_ask = self._may_ask
        self.host.rosters.capacity = self.options.contacts

    @iq("get", NS_ROSTER, "query", to="account")
    async def get(self, request: IQ) -> Element | None:
        """The roster (RFC 6121 §2.2); nothing, or only what changed, for a known version (§2.6)."""
        account = await self._owner(request)
        roster = await self.host.rosters.load(account)
        session = request.session
        if session is not None and INTERESTED not in session.notes:
            self.host.lifecycle.note(session, INTERESTED, True)
        has = request.payload.attributes.get("ver", "")
        if has == str(roster.version):
            return None
        missed = roster.missed(int(has)) if _is_version(has) else None
        if session is not None and missed and len(missed) * 2 <= len(roster.contacts):
            # What is pushed comes behind the empty answer.
            self.host.clock.callLater(0, self._catch_up, session, missed)
            return None
        items = (item(contact) for _, contact in sorted(roster.contacts.items()))
        return element(NS_ROSTER, "query", *items, ver=str(roster.version))

    def _catch_up(self, session: Session, missed: dict[str, int]) -> None:
        """Push what a session with an older version has missed, in the order of the changes."""
        if not self.host.lifecycle.is_alive(session):
            return
        rosters, account = self.host.rosters, session.account
        rosters.when((account,), lambda: self._tell(session, rosters[account], missed))

    def _tell(self, session: Session, roster: Roster, missed: dict[str, int]) -> None:
        for jid, version in missed.items():
            contact = roster.contacts.get(jid) or Contact(jid, subscription="remove")
            pushed = _push(contact, str(version))
            self.host.delivery.deliver(session, pushed.addressed(to=session.full))

    @iq("set", NS_ROSTER, "query", to="account")
    async def set(self, request: IQ) -> None:
        """Add, change or delete one contact (RFC 6121 §2.3 to §2.5)."""
        account = await self._owner(request)
        given = _only_item(request.payload)
        jid = given.attributes.get("jid")
        if not jid:
            raise BadRequest("jid: the contact's address is missing")
        bare = parse(jid).bare
        if given.attributes.get("subscription") == "remove":
            if self.host.accounts.exists(bare):
                # What the removal means for the contact's own roster is done along with it.
                await self.host.rosters.load(bare)
            roster = await self.host.rosters.load(account)
            if bare not in roster.contacts:
                raise ItemNotFound("there is no such contact")
            self.host.rosters.remove(account, bare)
        else:
            await self._put(account, bare, given)
        await self.host.database.committed()

    async def _put(self, account: str, jid: str, given: Element) -> None:
        if jid == account:
            raise NotAllowed("nobody is a contact of their own")
        name = given.attributes.get("name", "")
        if len(name) > self.options.name_length:
            raise NotAcceptable("name: too long")
        groups = self._groups(given)
        roster = await self.host.rosters.load(account)
        if not self.host.rosters.has_room(account, jid):
            raise ResourceConstraint("the roster is full")
        self.host.rosters.put(account, replace(roster.get(jid), name=name, groups=groups))

    def _groups(self, given: Element) -> tuple[str, ...]:
        """The groups of an item; RFC 6121 §2.3.3 says which are none."""
        groups = [
            text(node) for node in children(given) if node.uri == NS_ROSTER and node.name == "group"
        ]
        if "" in groups:
            raise NotAcceptable("group: a group has a name")
        if len(groups) > self.options.groups:
            raise NotAcceptable("group: too many of them")
        if any(len(group) > self.options.name_length for group in groups):
            raise NotAcceptable("group: too long a name")
        if len({normalize("NFC", group) for group in groups}) < len(groups):
            raise BadRequest("group: the same one twice")
        return tuple(groups)

    async def _owner(self, request: IQ) -> str:
        """The account whose roster is meant, if it is the asker's own.

        Others are told `forbidden` if they may know that there is such an account, and
        otherwise what everybody is told about an account that does not exist.
        """
        account, sender = request.recipient.bare, request.sender.bare
        if account != sender:
            if await self.host.rosters.may_see(account, sender):
                raise Forbidden
            raise ServiceUnavailable
        return account

    async def _may_ask(self, request: IQ) -> bool:
        """Whether somebody may discover an account (XEP-0030 §8)."""
        account = request.recipient.bare
        may_see = await self.host.rosters.may_see(account, request.sender.bare)
        return may_see and self.host.accounts.exists(account)

    @on(RosterChanged)
    def push(self, event: RosterChanged) -> None:
        """Tell every interested resource (RFC 6121 §2.1.6), in the name of its own account."""
        interested = self.host.rosters.interested(event.account)
        if not interested:
            return
        pushed = _push(event.contact, event.version)
        for session in interested:
            self.host.delivery.deliver(session, pushed.addressed(to=session.full))


def item(contact: Contact) -> Element:
    """A contact as an `<item/>` (RFC 6121 §2.1.2)."""
    groups = (element(NS_ROSTER, "group", group) for group in contact.groups)
    made = element(NS_ROSTER, "item", jid=contact.jid, subscription=contact.subscription)
    if contact.subscription == "remove":
        return made
    for group in groups:
        made.addChild(group)
    if contact.name:
        made.attributes["name"] = contact.name
    if contact.ask:
        made.attributes["ask"] = "subscribe"
    if contact.approved:
        made.attributes["approved"] = "true"
    return made


def _push(contact: Contact, version: str) -> Stanza:
    """A roster push, to be addressed."""
    query = element(NS_ROSTER, "query", item(contact), ver=version)
    return Stanza.of(element(NS_CLIENT, "iq", query, type="set", id=f"push{version}"))


def _is_version(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20


def _only_item(query: Element) -> Element:
    items = [node for node in children(query) if node.uri == NS_ROSTER and node.name == "item"]
    if len(items) != 1:
        raise BadRequest("a roster is changed one item at a time")
    return items[0]
