"""What a publish says (XEP-0357 §7, XEP-0060 §7.1): its item, its summary, its secret."""

from dataclasses import dataclass, replace

from pushd.appserver import extras
from pushd.providers.contract import Call, Encrypted
from pushd.wire import forms
from pushd.wire.element import Element, child, children, element, serialize
from pushd.wire.errors import BadRequest, JIDMalformed, NotAcceptable
from pushd.wire.jid import parse
from pushd.wire.letter import FORM, Node, form_of, named
from pushd.wire.namespaces import (
    FORM_PUSH_SUMMARY,
    NS_PUBSUB,
    NS_PUBSUB_ERRORS,
    NS_PUSH,
)
from pushd.wire.secret import Secret
from pushd.wire.stanza import Stanza

BIGGEST_PAYLOAD = 60_000  # bytes
LONGEST_BODY = 8_192  # characters of a message; no provider takes as many
PUBLISH = named(NS_PUBSUB, "publish")
RETRACT = named(NS_PUBSUB, "retract")
_ITEM, _OPTIONS = named(NS_PUBSUB, "item"), named(NS_PUBSUB, "publish-options")
_NOTIFICATION = named(NS_PUSH, "notification")


@dataclass(frozen=True, slots=True)
class Published:
    """A summary as it was published; None where it does not say."""

    message_count: int | None = None
    subscription_count: int | None = None
    last_sender: str | None = None
    last_body: Secret | None = None
    last_subscriber: str | None = None
    urgent: bool = False
    encrypted: Encrypted | None = None
    call: Call | None = None
    ends_call: bool = False


def only_item(publish: Node) -> Node:
    """The item of a publish. Raises BadRequest."""
    items = publish.findall(_ITEM)
    if not items:
        raise BadRequest("an item is expected", condition("item-required"))
    if len(items) > 1:
        raise BadRequest("one item is expected", condition("invalid-payload"))
    return items[0]


def read(item: Node) -> Published:
    """The summary in an item. Raises BadRequest that names the field at fault."""
    if not len(item):
        raise BadRequest("the item is empty", condition("payload-required"))
    notification = item[0]
    if len(item) > 1 or notification.tag != _NOTIFICATION:
        raise BadRequest("one notification is expected", condition("invalid-payload"))
    try:
        return _with_extras(_summary(notification.find(FORM)), notification)
    except ValueError as error:
        raise BadRequest(str(error), condition("invalid-payload")) from None


def _with_extras(summary: Published, notification: Node) -> Published:
    if len(notification) == 1 and notification[0].tag == FORM:
        return summary  # as nearly all are
    encrypted = extras.encrypted(notification)
    call = extras.call(notification, encrypted, summary.last_sender)
    return replace(
        summary,
        urgent=call is not None,
        encrypted=encrypted,
        call=call,
        ends_call=extras.ends_call(notification),
    )


def _summary(given: Node | None) -> Published:
    """Raises ValueError that names the field at fault."""
    if given is None:
        return Published()
    form = form_of(given)
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
    )


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


def secret(pubsub: Node) -> str:
    """The `secret` among the publish-options; "" without one, or with several."""
    return option(pubsub, "secret")


def option(pubsub: Node, name: str) -> str:
    """One of the publish-options, wherever it stands; "" without it, or with several.

    COMPAT: ejabberd publishes whatever form its client gave, with any FORM_TYPE or none.
    """
    options = pubsub.find(_OPTIONS)
    form = options.find(FORM) if options is not None else None
    try:
        return (form_of(form).one(name) if form is not None else None) or ""
    except ValueError:
        return ""


def check_size(stanza: Stanza) -> None:
    """Raise NotAcceptable if the payload of a publish is too big."""
    if len(stanza.raw) <= BIGGEST_PAYLOAD:
        return  # and its payload is none the bigger
    part: Element | None = stanza.tree
    for name in ("pubsub", "publish", "item"):
        part = child(part, NS_PUBSUB, name) if part is not None else None
    payloads = children(part) if part is not None else ()
    if any(len(serialize(payload)) > BIGGEST_PAYLOAD for payload in payloads):
        text = f"a payload has {BIGGEST_PAYLOAD} bytes at most"
        raise NotAcceptable(text, condition("payload-too-big"))


def condition(name: str) -> Element:
    """A condition of XEP-0060."""
    return element(NS_PUBSUB_ERRORS, name)
