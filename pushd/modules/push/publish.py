"""The publish: what is said to a push service, and what its answer means (XEP-0357 §7)."""

from enum import Enum, auto

from pushd.modules.push.enablements import Enablement, Summary
from pushd.modules.push.options import Told
from pushd.routing.requests import Answer, Refusal, Result, Silence
from pushd.wire import forms
from pushd.wire.element import Element, element, parse
from pushd.wire.namespaces import FORM_PUSH_SUMMARY, NS_PUBSUB, NS_PUSH

FATAL = frozenset(("item-not-found", "forbidden", "not-authorized", "gone"))


class Verdict(Enum):
    """What the answer to a publish means for the enablement."""

    ACCEPTED = auto()
    REMOVE = auto()  # the service knows this node, or this secret, no more
    LATER = auto()  # try again
    COUNT = auto()  # an error that may pass: counted


def notification(enablement: Enablement, queued: Summary, told: Told) -> Element:
    """The `<pubsub/>` that publishes a summary, with the options given at enabling."""
    summary: dict[str, str] = {}
    if told.include_message_count and queued.messages:
        summary["message-count"] = str(queued.messages)
    if told.include_senders and queued.sender:
        summary["last-message-sender"] = queued.sender
    if told.include_message_bodies and queued.body is not None:
        summary["last-message-body"] = queued.body.reveal()
    if told.include_subscription_count and queued.subscriptions:
        summary["pending-subscription-count"] = str(queued.subscriptions)
    if told.include_senders and queued.subscriber:
        # COMPAT: mod_push's own field; XEP-0357 registers none for it.
        summary["last-subscription-sender"] = queued.subscriber
    note = element(NS_PUSH, "notification", forms.submit(FORM_PUSH_SUMMARY, summary))
    publish = element(NS_PUBSUB, "publish", element(NS_PUBSUB, "item", note), node=enablement.node)
    pubsub = element(NS_PUBSUB, "pubsub", publish)
    if enablement.options is not None:
        options = element(NS_PUBSUB, "publish-options", parse(enablement.options))
        pubsub.addChild(options)
    return pubsub


def verdict(answer: Answer) -> Verdict:
    match answer:
        case Result():
            return Verdict.ACCEPTED
        case Silence():
            return Verdict.LATER
        case Refusal(condition) if condition in FATAL:
            return Verdict.REMOVE
        case Refusal(_, "wait"):
            return Verdict.LATER
    return Verdict.COUNT
