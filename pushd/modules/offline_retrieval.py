"""XEP-0013: Flexible Offline Message Retrieval; a client looks at what waits before it takes it.

A session that does so is not flooded with it when it becomes available, and while it has a
stream, neither is another one of the account (§2.2). A message that was viewed stays until it
is removed (§2.5). Emptying the store alone changes nothing for later messages.
"""

from collections.abc import Sequence

from pushd.modules.base import Module, iq
from pushd.routing.disco import Identity, Info, Item
from pushd.routing.offline import PICKING, Listed, batches
from pushd.routing.requests import IQ
from pushd.routing.sessions import Session
from pushd.wire import forms
from pushd.wire.element import Element, child, children, element, serialize
from pushd.wire.errors import BadRequest, ItemNotFound, RecipientUnavailable
from pushd.wire.framer import seal
from pushd.wire.stanza import with_child

NS_OFFLINE = "http://jabber.org/protocol/offline"
DIGITS = 19  # of a number in storage; names of nodes are as long, to sort as they were stored


class OfflineRetrieval(Module):
    """What waits, as a node of the account and its items."""

    xep = 13
    features = frozenset({NS_OFFLINE})

    async def start(self) -> None:
        self.host.disco.add_node("account", NS_OFFLINE, self._number, self._headers)

    async def _number(self, request: IQ) -> Info:
        """How many messages wait (§2.2)."""
        session = await self._picking(request)
        count = str(self.host.offline.count(session.account))
        form = forms.result(NS_OFFLINE, {"number_of_messages": count})
        return Info((Identity("automation", "message-list"),), (NS_OFFLINE,), (form,))

    async def _headers(self, request: IQ) -> list[Item]:
        """Who has written (§2.3)."""
        account = (await self._picking(request)).account
        items = []
        for numbers in batches(await self.host.offline.listed(account)):
            found = await self.host.offline.read(account, numbers)
            for number, raw in found.items():
                sender = seal(raw).attributes.get("from", "")
                items.append(Item(account, _node(number), sender))
        return items

    @iq("get", NS_OFFLINE, "offline", to="account")
    async def view(self, request: IQ) -> None:
        """Send the messages that are asked for (§2.4), or all (§2.6); they stay."""
        session = await self._picking(request)
        listed = await self.host.offline.listed(session.account)
        if child(request.payload, NS_OFFLINE, "fetch") is None:
            listed = _chosen(listed, _numbers(request.payload, "view"))
        for numbers in batches(listed):
            found = await self.host.offline.read(session.account, numbers)
            if session.is_detached or not self.host.lifecycle.is_alive(session):
                raise RecipientUnavailable("the connection was lost")
            self._show(session, found)
            await self.host.offline.until_read(lambda: session)

    def _show(self, session: Session, found: dict[int, bytes]) -> None:
        """Deliver messages as copies: what is not acknowledged of them is still in storage."""
        copies = self.host.delivery.copies()
        copies.acknowledge()
        for number, raw in found.items():
            item = element(NS_OFFLINE, "item", node=_node(number))
            named = serialize(element(NS_OFFLINE, "offline", item))
            self.host.delivery.deliver(session, seal(with_child(raw, named)), copies)

    @iq("set", NS_OFFLINE, "offline", to="account")
    async def remove(self, request: IQ) -> None:
        """Delete the messages that are named (§2.5), or all (§2.7)."""
        if child(request.payload, NS_OFFLINE, "fetch") is not None:
            await self.view(request)  # COMPAT: slixmpp 1.17 fetches by a request of type set
            return
        account = (await self.owner(request)).account
        messages = self.host.offline
        if child(request.payload, NS_OFFLINE, "purge") is not None:
            async with messages.alone(account):
                messages.purge(account, await messages.listed(account))
        else:
            numbers = _numbers(request.payload, "remove")
            await self._picking(request)
            async with messages.alone(account):
                chosen = _chosen(await messages.listed(account), numbers)
                messages.drop(account, (number for number, _ in chosen))
        await self.host.database.committed()

    async def _picking(self, request: IQ) -> Session:
        """The session that asks about its own messages, from now on without a flood of them."""
        session = await self.owner(request)
        if PICKING not in session.notes:
            self.host.lifecycle.note(session, PICKING, True)
            # Nothing is handed out from now on, so that nothing waits behind it.
            self.host.delivery.catching_up.pop(session.account, None)
        return session


def _node(number: int) -> str:
    return f"{number:0{DIGITS}}"


def _numbers(request: Element, action: str) -> list[int]:
    """The messages that a request names. Raises BadRequest, and ItemNotFound for what is none."""
    numbers = []
    for node in children(request):
        if (node.uri, node.name) != (NS_OFFLINE, "item"):
            continue
        if node.getAttribute("action") != action:
            raise BadRequest(f"action: messages are to {action} here")
        name = node.getAttribute("node", "")
        if not (name.isascii() and name.isdigit() and len(name) == DIGITS):
            raise ItemNotFound("there is no such message")
        numbers.append(int(name))
    if not numbers:
        raise BadRequest("item: which messages is missing")
    return numbers


def _chosen(listed: Listed, numbers: Sequence[int]) -> Listed:
    """Those of the messages, in the order of the list. Raises ItemNotFound if one is not there."""
    wanted = set(numbers)
    chosen = [(number, size) for number, size in listed if number in wanted]
    if len(chosen) < len(wanted):
        raise ItemNotFound("there is no such message")
    return chosen
