"""The publish: what is said to a push service, and what its answer means (XEP-0357 §7)."""

from enum import Enum, auto

from pushd.modules.push.enablements import Enablement, Summary
from pushd.modules.push.options import Told
from pushd.routing.requests import Answer, Refusal, Result, Silence
from pushd.wire import forms
from pushd.wire.element import Element, element, parse
from pushd.wire.namespaces import FORM_PUSH_SUMMARY, NS_PRIORITY, NS_PUBSUB, NS_PUSH

FATAL = frozenset(("item-not-found", "forbidden", "not-authorized", "gone"))


class Verdict(Enum):
    """What the answer to a publish means for the enablement."""

    ACCEPTED = auto()
    REMOVE = auto()  # the service knows this node, or this secret, no more
    LATER = auto()  # try again
    COUNT = auto()  # an error that may pass with the next push: counted


def pubsub(one: Enablement, queued: Summary, told: Told) -> Element:
    """The `<pubsub/>` that publishes a summary, with the options given at enabling."""
    note = element(NS_PUSH, "notification", forms.submit(FORM_PUSH_SUMMARY, summary(queued, told)))
    if queued.urgent:
        note.addChild(element(NS_PRIORITY, "priority", "high"))
    publish = element(NS_PUBSUB, "publish", element(NS_PUBSUB, "item", note))
    if one.node:
        publish.attributes["node"] = one.node
    made = element(NS_PUBSUB, "pubsub", publish)
    if one.options is not None:
        made.addChild(element(NS_PUBSUB, "publish-options", parse(one.options)))
    return made


def summary(queued: Summary, told: Told) -> dict[str, str]:
    """The fields of the summary that the account lets be told."""
    fields: dict[str, str] = {}
    if told.include_message_count and queued.messages:
        fields["message-count"] = str(queued.messages)
    if told.include_senders and queued.sender:
        fields["last-message-sender"] = queued.sender
    if told.include_message_bodies and queued.body is not None:
        fields["last-message-body"] = queued.body.reveal()
    if told.include_subscription_count and queued.subscriptions:
        fields["pending-subscription-count"] = str(queued.subscriptions)
    if told.include_senders and queued.subscriber:
        # COMPAT: mod_push's own field; XEP-0357 registers none for it.
        fields["last-subscription-sender"] = queued.subscriber
    return fields


def verdict(answer: Answer) -> Verdict:
    match answer:
        case Result():
            return Verdict.ACCEPTED
        case Silence():
            return Verdict.LATER
        case Refusal(condition) if condition in FATAL:
            return Verdict.REMOVE
        case Refusal(type="wait"):
            return Verdict.LATER
    return Verdict.COUNT
