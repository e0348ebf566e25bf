"""The pubsub host: a node may be published to by who knows its secret, and nothing else.

XEP-0357 §7, XEP-0060 §7.1 and its errors. Items are neither stored nor broadcast: a publish
becomes a row of the outbox, and is answered once that row is on disk.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pushd.appserver.registrations import Registration, Registrations
from pushd.routing.host import Host
from pushd.routing.requests import IQ
from pushd.wire import forms
from pushd.wire.element import Element, child, children, element, serialize
from pushd.wire.errors import (
    BadRequest,
    Forbidden,
    ItemNotFound,
    JIDMalformed,
    NotAcceptable,
    NotAllowed,
)
from pushd.wire.jid import JID, parse
from pushd.wire.namespaces import (
    FORM_PUBLISH_OPTIONS,
    FORM_PUSH_SUMMARY,
    NS_FORMS,
    NS_PUBSUB,
    NS_PUBSUB_ERRORS,
    NS_PUSH,
)
from pushd.wire.secret import Secret

NS_OWNER = f"{NS_PUBSUB}#owner"
BIGGEST_ITEM = 60_000  # bytes of one payload
COUNTS = ("message-count", "pending-subscription-count")
SENDERS = ("last-message-sender", "last-subscription-sender")


@dataclass(frozen=True, slots=True)
class Published:
    """A summary as it was published; None where it does not say."""

    message_count: int | None = None
    subscription_count: int | None = None
    last_sender: str | None = None
    last_body: Secret | None = None
    last_subscription_sender: str | None = None


Accept = Callable[[Registration, Published], Awaitable[None]]


class PubsubHost:
    """The requests of one pubsub host. `accept` returns once the push is on disk."""

    def __init__(self, host: Host, domain: str, registrations: Registrations, accept: Accept):
        self._registrations = registrations
        self._accept = accept
        add = host.requests.add
        add("set", NS_PUBSUB, "pubsub", domain, self.pubsub)
        add("get", NS_PUBSUB, "pubsub", domain, self._closed)
        for kind in ("get", "set"):
            add(kind, NS_OWNER, "pubsub", domain, self._not_yours)
        host.disco.add_identity(domain, "pubsub", "push")
        host.disco.add_feature(domain, NS_PUSH)
        for feature in ("publish", "access-whitelist", "publish-only-affiliation"):
            host.disco.add_feature(domain, f"{NS_PUBSUB}#{feature}")
        host.disco.add_feature(domain, NS_PUBSUB)

    async def pubsub(self, request: IQ) -> Element:
        """Answer a publish; all else is refused as at a closed node."""
        publish = child(request.payload, NS_PUBSUB, "publish")
        if publish is None:
            if child(request.payload, NS_PUBSUB, "retract") is not None:
                raise Forbidden("items are not kept here")
            return self._closed(request)
        node = publish.attributes.get("node", "")
        if not node:
            raise BadRequest("node: it is missing", _pubsub("nodeid-required"))
        registration = self._registrations.get(node)
        if registration is None:
            raise ItemNotFound("no such node")
        self._check_publisher(registration, request.sender, _secret(request.payload))
        item = _only_item(publish)
        published = read(_payload(item))
        await self._accept(registration, published)
        id = item.attributes.get("id") or secrets.token_urlsafe(9)
        echoed = element(NS_PUBSUB, "publish", element(NS_PUBSUB, "item", id=id), node=node)
        return element(NS_PUBSUB, "pubsub", echoed)

    def _check_publisher(self, registration: Registration, sender: JID, secret: str) -> None:
        """The account's own server or one of its own addresses, with the node's secret."""
        knows = self._registrations.is_secret(registration, secret)
        domain = registration.account.rpartition("@")[2]
        if not knows or (sender.full != domain and sender.bare != registration.account):
            raise Forbidden("the secret or the publisher is wrong")

    def _closed(self, request: IQ) -> Element:
        raise NotAllowed("this node is for publishing only", _pubsub("closed-node"))

    def _not_yours(self, request: IQ) -> Element:
        raise Forbidden("nodes are made by registering")


def read(notification: Element) -> Published:
    """The summary of a notification. Raises BadRequest that names the field at fault."""
    form_element = child(notification, NS_FORMS, "x")
    if form_element is None:
        return Published()
    try:
        form = forms.read(form_element)
        if form.form_type != FORM_PUSH_SUMMARY:
            raise ValueError(f"FORM_TYPE: {FORM_PUSH_SUMMARY} is expected")
        counts = [_count(form, name) for name in COUNTS]
        senders = [_sender(form, name) for name in SENDERS]
        body = form.one("last-message-body")
    except ValueError as error:
        raise BadRequest(str(error), _pubsub("invalid-payload")) from None
    return Published(counts[0], counts[1], senders[0], Secret(body) if body else None, senders[1])


def _count(form: forms.Form, name: str) -> int | None:
    value = form.one(name)
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 10):
        raise ValueError(f"{name}: a whole number is expected")
    return int(value)


def _sender(form: forms.Form, name: str) -> str | None:
    value = form.one(name)
    if not value:
        return None
    try:
        return parse(value).full
    except JIDMalformed:
        raise ValueError(f"{name}: an address is expected") from None


def _only_item(publish: Element) -> Element:
    items = [node for node in children(publish) if node.name == "item"]
    if not items:
        raise BadRequest("an item is expected", _pubsub("item-required"))
    if len(items) > 1:
        raise BadRequest("one item is expected", _pubsub("invalid-payload"))
    return items[0]


def _payload(item: Element) -> Element:
    payloads = list(children(item))
    if not payloads:
        raise BadRequest("the item is empty", _pubsub("payload-required"))
    payload = payloads[0]
    if len(payloads) > 1 or (payload.uri, payload.name) != (NS_PUSH, "notification"):
        raise BadRequest("one notification is expected", _pubsub("invalid-payload"))
    if len(serialize(payload)) > BIGGEST_ITEM:
        text = f"a payload has {BIGGEST_ITEM} bytes at most"
        raise NotAcceptable(text, _pubsub("payload-too-big"))
    return payload


def _secret(pubsub: Element) -> str:
    """The `secret` among the publish-options, whatever else these say; "" without one."""
    wrapper = child(pubsub, NS_PUBSUB, "publish-options")
    if wrapper is None:
        return ""
    try:
        form = forms.find(wrapper)
        if form is None or form.form_type not in (FORM_PUBLISH_OPTIONS, None):
            return ""
        return form.one("secret") or ""
    except ValueError:
        return ""


def _pubsub(condition: str) -> Element:
    return element(NS_PUBSUB_ERRORS, condition)
