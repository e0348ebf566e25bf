"""XEP-0030: Service Discovery, for accounts, served domains and the hosts of services.

What is discovered is declared by whoever offers it; the answers are made here alone. About
an account only its owner and those who may see its presence learn anything (§8).
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from inspect import isawaitable
from typing import TypeVar

from pushd.routing.requests import IQ, Requests
from pushd.wire.element import Element, element
from pushd.wire.errors import ItemNotFound, ServiceUnavailable
from pushd.wire.namespaces import NS_DISCO_INFO, NS_DISCO_ITEMS

__all__ = ["Disco", "Identity", "Info", "Item"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """What an entity is, in the words of the registry of categories and types."""

    category: str
    type: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Info:
    """What is told of an entity or node; forms as in XEP-0128."""

    identities: tuple[Identity, ...] = ()
    features: tuple[str, ...] = ()
    forms: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    jid: str
    node: str = ""
    name: str = ""


MakeForm = Callable[[IQ], "Element | Awaitable[Element | None] | None"]
MakeInfo = Callable[[IQ], "Info | Awaitable[Info]"]
MakeItems = Callable[[IQ], "Iterable[Item] | Awaitable[Iterable[Item]]"]


class _Place:
    """What was declared for one addressee. Each entry says whether only the owner sees it."""

    def __init__(self) -> None:
        self.identities: dict[Identity, bool] = {}
        self.features: dict[str, bool] = {}
        self.forms: list[tuple[MakeForm, bool]] = []
        self.more_info: list[MakeInfo] = []
        self.items: dict[Item, None] = {}
        self.more_items: list[MakeItems] = []
        self.nodes: dict[str, tuple[MakeInfo | None, MakeItems | None]] = {}


class Disco:
    """Declarations by `where`, and the answers.

    `where` is "account" (every local account), "server" (every served domain) or the name
    of one host. If that is a served domain, its entries are told besides those of "server".

    `may_ask` says whether somebody else than the owner may ask about an account.
    """

    def __init__(self, requests: Requests, domains: frozenset[str] = frozenset()) -> None:
        self.may_ask: Callable[[IQ], bool | Awaitable[bool]] = lambda request: False
        self._requests = requests
        self._domains = domains
        self._places: dict[str, _Place] = {}
        self.add_identity("server", "server", "im")
        self.add_identity("account", "account", "registered")

    def add_identity(self, where: str, category: str, type: str, name: str = "") -> None:
        self._place(where).identities[Identity(category, type, name)] = False

    def add_feature(self, where: str, feature: str, *, owner_only: bool = False) -> None:
        """Announce a feature; `owner_only` hides it from all but the account itself.

        Announced twice, it is hidden only if both said so.
        """
        features = self._place(where).features
        features[feature] = owner_only and features.get(feature, True)

    def add_form(self, where: str, form: MakeForm, *, owner_only: bool = False) -> None:
        """Add a form to the information (XEP-0128), made for each request; None leaves it out."""
        self._place(where).forms.append((form, owner_only))

    def add_info(self, where: str, info: MakeInfo) -> None:
        """Have `info` asked for more whenever somebody asks about `where` itself."""
        self._place(where).more_info.append(info)

    def add_item(self, where: str, jid: str, node: str = "", name: str = "") -> None:
        self._place(where).items[Item(jid, node, name)] = None

    def add_items(self, where: str, items: MakeItems) -> None:
        """Have `items` asked for more whenever the items of `where` are."""
        self._place(where).more_items.append(items)

    def add_node(
        self,
        where: str,
        node: str,
        info: MakeInfo | None = None,
        items: MakeItems | None = None,
    ) -> None:
        """Let questions about a node be answered. What is None answers nothing or no items.

        Raises ValueError when the node is known already.
        """
        nodes = self._place(where).nodes
        if node in nodes:
            raise ValueError(f"two sources for the node {node} of {where}")
        nodes[node] = (info, items)

    def places(self, where: str) -> tuple[str, ...]:
        """The names under which something may be declared for this addressee."""
        return (where, "server") if where in self._domains else (where,)

    def _place(self, where: str) -> _Place:
        """The declarations of an addressee; with the first one it begins to answer."""
        place = self._places.get(where)
        if place is None:
            place = self._places[where] = _Place()
            place.features.update({NS_DISCO_INFO: False, NS_DISCO_ITEMS: False})

            async def info(request: IQ) -> Element:
                return await self._info(where, request)

            async def items(request: IQ) -> Element:
                return await self._items(where, request)

            self._requests.add("get", NS_DISCO_INFO, "query", where, info)
            self._requests.add("get", NS_DISCO_ITEMS, "query", where, items)
        return place

    async def _info(self, where: str, request: IQ) -> Element:
        """XEP-0030 §3. Of an account that is none of the asker's business: service-unavailable."""
        is_owner = _is_owner(request)
        if where == "account" and not (is_owner or await _settled(self.may_ask(request))):
            raise ServiceUnavailable
        node = request.payload.attributes.get("node", "")
        if node:
            make, _ = self._node(where, node)
            told = Info() if make is None else await _settled(make(request))
        else:
            told = await self._about(where, request, is_owner)
        return element(
            NS_DISCO_INFO,
            "query",
            *(_identity(identity) for identity in sorted(set(told.identities))),
            *(element(NS_DISCO_INFO, "feature", var=name) for name in sorted(set(told.features))),
            *told.forms,
            **_mirrored(node),
        )

    async def _about(self, where: str, request: IQ, is_owner: bool) -> Info:
        known = [self._places[name] for name in self.places(where) if name in self._places]
        forms = []
        more = [await _settled(make(request)) for place in known for make in place.more_info]
        for place in known:
            for make, owner_only in place.forms:
                if is_owner or not owner_only:
                    form = await _settled(make(request))
                    if form is not None:
                        forms.append(form)
        return Info(
            (
                *(identity for place in known for identity in place.identities),
                *(identity for info in more for identity in info.identities),
            ),
            (
                *(
                    feature
                    for place in known
                    for feature, owner_only in place.features.items()
                    if is_owner or not owner_only
                ),
                *(feature for info in more for feature in info.features),
            ),
            (*forms, *(form for info in more for form in info.forms)),
        )

    async def _items(self, where: str, request: IQ) -> Element:
        """XEP-0030 §4. Of an account that is none of the asker's business: an empty list."""
        node = request.payload.attributes.get("node", "")
        found: list[Item] = []
        if where == "account" and not (_is_owner(request) or await _settled(self.may_ask(request))):
            pass
        elif node:
            _, make = self._node(where, node)
            found.extend(() if make is None else await _settled(make(request)))
        else:
            for name in self.places(where):
                place = self._places.get(name, _NOWHERE)
                found.extend(place.items)
                for make in place.more_items:
                    found.extend(await _settled(make(request)))
        return element(NS_DISCO_ITEMS, "query", *map(_item, found), **_mirrored(node))

    def _node(self, where: str, node: str) -> tuple[MakeInfo | None, MakeItems | None]:
        for name in self.places(where):
            known = self._places.get(name, _NOWHERE).nodes.get(node)
            if known is not None:
                return known
        raise ItemNotFound("no such node")


_NOWHERE = _Place()


def _is_owner(request: IQ) -> bool:
    return request.sender.bare == request.recipient.bare


async def _settled(value: _T | Awaitable[_T]) -> _T:
    """The value itself, or what it becomes."""
    return await value if isawaitable(value) else value


def _mirrored(node: str) -> dict[str, str]:
    return {"node": node} if node else {}


def _identity(identity: Identity) -> Element:
    made = element(NS_DISCO_INFO, "identity", category=identity.category, type=identity.type)
    if identity.name:
        made.attributes["name"] = identity.name
    return made


def _item(item: Item) -> Element:
    made = element(NS_DISCO_ITEMS, "item", jid=item.jid)
    if item.node:
        made.attributes["node"] = item.node
    if item.name:
        made.attributes["name"] = item.name
    return made
