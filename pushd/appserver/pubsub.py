"""The pubsub host: a node may be published to by who knows its secret, and nothing else.

XEP-0357 §7, XEP-0060 §7.1 and its errors. Items are neither stored nor broadcast: a publish
becomes a row of the outbox, and is answered once that row is on disk.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from pushd.appserver.apps import App
from pushd.appserver.blocked import Banned, Blocked, Publishers
from pushd.appserver.limits import Limiter, TooMany
from pushd.appserver.registrations import Registration, Registrations
from pushd.routing.events import PublishReceived
from pushd.routing.host import Host
from pushd.routing.requests import IQ
from pushd.storage.errors import StorageError
from pushd.wire import forms
from pushd.wire.element import Element, child, children, element, serialize, text
from pushd.wire.errors import (
    BadRequest,
    Forbidden,
    ItemNotFound,
    JIDMalformed,
    NotAcceptable,
    NotAllowed,
    ServiceUnavailable,
    StanzaError,
)
from pushd.wire.jid import JID, parse
from pushd.wire.namespaces import (
    FORM_PUSH_SUMMARY,
    NS_FORMS,
    NS_PRIORITY,
    NS_PUBSUB,
    NS_PUBSUB_ERRORS,
    NS_PUSH,
)
from pushd.wire.secret import Secret

NS_OWNER = f"{NS_PUBSUB}#owner"
# What is honoured. Publish-options are taken, but announcing them would oblige us to refuse
# a `secret`, which is no option of a node (XEP-0060 §7.1.5).
FEATURES = (
    NS_PUSH,
    NS_PUBSUB,
    f"{NS_PUBSUB}#access-whitelist",
    f"{NS_PUBSUB}#publish",
    f"{NS_PUBSUB}#publish-only-affiliation",
)
BIGGEST_PAYLOAD = 60_000  # bytes
LONGEST_BODY = 8_192  # characters of a message; no provider takes as many


@dataclass(frozen=True, slots=True)
class Published:
    """A summary as it was published; None where it does not say."""

    message_count: int | None = None
    subscription_count: int | None = None
    last_sender: str | None = None
    last_body: Secret | None = None
    last_subscriber: str | None = None
    urgent: bool = False


Accept = Callable[[Registration, Published], Awaitable[bool]]


class PubsubHost:
    """The requests of one pubsub host.

    `accept` returns once the push is on disk, and tells whether it may go at once.
    """

    def __init__(
        self,
        host: Host,
        domain: str,
        apps: Mapping[str, App],
        registrations: Registrations,
        publishers: Publishers,
        limiter: Limiter,
        accept: Accept,
    ) -> None:
        self._domain = domain
        self._apps = apps
        self._registrations = registrations
        self._publishers = publishers
        self._limiter = limiter
        self._accept = accept
        self._clock = host.clock
        self._emit = host.events.emit
        add = host.requests.add
        add("set", NS_PUBSUB, "pubsub", domain, self.answer)
        add("get", NS_PUBSUB, "pubsub", domain, _closed)
        for kind in ("get", "set"):
            add(kind, NS_OWNER, "pubsub", domain, _not_yours)
        host.disco.add_identity(domain, "pubsub", "push")
        for feature in FEATURES:
            host.disco.add_feature(domain, feature)

    async def answer(self, request: IQ) -> Element:
        """Take a publish; all else is refused as at a closed node."""
        publishes = _all_named("publish", request.payload)
        if not publishes:
            if child(request.payload, NS_PUBSUB, "retract") is not None:
                raise Forbidden("items are not kept here")
            return _closed(request)
        if len(publishes) > 1:
            raise BadRequest("one publish is expected", _condition("invalid-payload"))
        publish = publishes[0]
        node = publish.attributes.get("node", "")
        try:
            echoed, at_once = await self._publish(request, publish, node)
        except (Blocked, Banned) as error:
            self._tell(request, node, "blocked", error.condition)
            raise
        except TooMany:
            self._tell(request, node, "limited", "too many from its domain")
            raise
        except (StanzaError, StorageError) as error:
            reason = error.condition if isinstance(error, StanzaError) else "storage fails"
            self._tell(request, node, "refused", reason)
            raise
        if at_once:
            self._tell(request, node, "accepted", "")
        else:
            self._tell(request, node, "limited", "too many for its device: sent later")
        return element(NS_PUBSUB, "pubsub", echoed)

    async def _publish(self, request: IQ, publish: Element, node: str) -> tuple[Element, bool]:
        """Take it, if it may be taken; the answer names node and item (XEP-0060 §7.1.2)."""
        self._publishers.check(request.sender.domain)
        self._limiter.check_domain(request.sender, self._clock.seconds())
        registration = self._admit(request, node)
        self._publishers.check(registration.account)
        item = _only_item(publish)
        if len(request.stanza.raw) > BIGGEST_PAYLOAD:  # else its payload is none the bigger
            _check_size(item)
        at_once = await self._accept(registration, read(_payload(item)))
        id = item.attributes.get("id") or secrets.token_urlsafe(9)
        echoed = element(NS_PUBSUB, "publish", element(NS_PUBSUB, "item", id=id))
        echoed.attributes["node"] = registration.node
        return echoed, at_once

    def _tell(self, request: IQ, node: str, outcome: str, reason: str) -> None:
        registration = self._registrations.get(node)
        account = registration.account if registration is not None else ""
        publisher = request.sender.full
        self._emit(PublishReceived(account, self._domain, node, publisher, outcome, reason))

    def _admit(self, request: IQ, node: str) -> Registration:
        """The registration that this node is, if the sender may publish there."""
        if not node:
            raise BadRequest("node: it is missing", _condition("nodeid-required"))
        registration = self._registrations.get(node)
        app = self._apps.get(registration.backend) if registration is not None else None
        if registration is None or (app is not None and app.pubsub_host != self._domain):
            raise ItemNotFound("no such node")
        secret = _secret(request.payload)
        if not (
            _is_publisher(registration.account, request.sender)
            and self._registrations.admits(registration, secret)
        ):
            raise Forbidden("the secret or the publisher is wrong")
        if app is None:  # the operator's doing, for which no node is to be given up
            raise ServiceUnavailable("the app of this node is not served at present")
        return registration


def _is_publisher(account: str, sender: JID) -> bool:
    """Whether it is the account's own server, or one of its own addresses."""
    return sender.bare == account or sender.full == account.rpartition("@")[2]


def _closed(request: IQ) -> Element:
    raise NotAllowed("this node is for publishing only", _condition("closed-node"))


def _not_yours(request: IQ) -> Element:
    raise Forbidden("nodes are made by registering")


def read(notification: Element) -> Published:
    """The summary of a notification. Raises BadRequest that names the field at fault."""
    priority = child(notification, NS_PRIORITY, "priority")
    urgent = text(priority).strip() == "high"
    given = child(notification, NS_FORMS, "x")
    if given is None:
        return Published(urgent=urgent)
    try:
        form = forms.read(given)
        if form.form_type != FORM_PUSH_SUMMARY:
            raise ValueError(f"FORM_TYPE: {FORM_PUSH_SUMMARY} is expected")
        body = form.one("last-message-body")
        return Published(
            message_count=_count(form, "message-count"),
            subscription_count=_count(form, "pending-subscription-count"),
            last_sender=_sender(form, "last-message-sender"),
            # What is too long for any provider is not kept until one says so.
            last_body=Secret(body) if body and len(body) <= LONGEST_BODY else None,
            last_subscriber=_sender(form, "last-subscription-sender"),
            urgent=urgent,
        )
    except ValueError as error:
        raise BadRequest(str(error), _condition("invalid-payload")) from None


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
    items = _all_named("item", publish)
    if not items:
        raise BadRequest("an item is expected", _condition("item-required"))
    if len(items) > 1:
        raise BadRequest("one item is expected", _condition("invalid-payload"))
    return items[0]


def _all_named(name: str, parent: Element) -> list[Element]:
    return [node for node in children(parent) if node.name == name and node.uri == NS_PUBSUB]


def _payload(item: Element) -> Element:
    payloads = list(children(item))
    if not payloads:
        raise BadRequest("the item is empty", _condition("payload-required"))
    payload = payloads[0]
    if len(payloads) > 1 or (payload.uri, payload.name) != (NS_PUSH, "notification"):
        raise BadRequest("one notification is expected", _condition("invalid-payload"))
    return payload


def _check_size(item: Element) -> None:
    if len(serialize(_payload(item))) > BIGGEST_PAYLOAD:
        text = f"a payload has {BIGGEST_PAYLOAD} bytes at most"
        raise NotAcceptable(text, _condition("payload-too-big"))


def _secret(pubsub: Element) -> str:
    """The `secret` among the publish-options; "" without one, or with several.

    COMPAT: ejabberd publishes whatever form its client gave, with any FORM_TYPE or none.
    """
    options = child(pubsub, NS_PUBSUB, "publish-options")
    try:
        form = forms.find(options) if options is not None else None
        return (form.one("secret") if form is not None else None) or ""
    except ValueError:
        return ""


def _condition(name: str) -> Element:
    return element(NS_PUBSUB_ERRORS, name)
