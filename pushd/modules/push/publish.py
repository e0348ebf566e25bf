"""The publish: what is said to a push service, and what its answer means (XEP-0357 §7)."""

from enum import Enum, auto
from functools import lru_cache

from pushd.modules.push.enablements import Enablement, Summary
from pushd.modules.push.options import Told
from pushd.routing.requests import Answer, Refusal, Result, Silence
from pushd.wire.element import escape, escape_text
from pushd.wire.namespaces import (
    FORM_PUSH_SUMMARY,
    NS_CLIENT,
    NS_FORMS,
    NS_PRIORITY,
    NS_PUBSUB,
    NS_PUSH,
    NS_PUSH_JINGLE,
)
from pushd.wire.stanza import Stanza

FATAL = frozenset(("item-not-found", "forbidden", "not-authorized", "gone"))
# What our own router says of a component that is away, which may be for a moment.
UNREACHABLE = frozenset(("remote-server-not-found", "remote-server-timeout"))
PUBSUB = (f"{NS_PUBSUB} pubsub",)
# Servers that know Tigase's priorities say "high" of messages too; that somebody calls is said
# by the second element.
_CALLING = (
    f"<priority xmlns='{NS_PRIORITY}'>high</priority>"
    f"<jingle xmlns='{NS_PUSH_JINGLE}' action='propose'/>"
)


class Verdict(Enum):
    """What the answer to a publish means for the enablement."""

    ACCEPTED = auto()
    REMOVE = auto()  # the service knows this node, or this secret, no more
    LATER = auto()  # try again
    COUNT = auto()  # an error that may pass with the next push: counted
    OURS = auto()  # what we said was wrong: counted, and never a reason to remove anything


def publication(
    one: Enablement, queued: Summary, told: Told, *, urgent: bool, sender: str, id: str
) -> Stanza:
    """The request that publishes a summary, with the options given at enabling."""
    fields = "".join(
        f"<field var='{name}'><value>{escape_text(value)}</value></field>"
        for name, value in summary(queued, told).items()
    )
    head, tail = _frame(one.service, one.node, one.options, sender)
    priority = _CALLING if urgent else ""
    raw = f"<iq id='{escape(id)}'{head}{fields}</x>{priority}{tail}".encode()
    attributes = {"type": "set", "id": id, "from": sender, "to": one.service}
    return Stanza(NS_CLIENT, "iq", attributes, PUBSUB, raw)


@lru_cache(4_096)
def _frame(service: str, node: str, options: bytes | None, sender: str) -> tuple[str, str]:
    """What is the same in all publishes of an enablement: after the id, after the summary."""
    named = f" node='{escape(node)}'" if node else ""
    head = (
        f" type='set' from='{escape(sender)}' to='{escape(service)}'>"
        f"<pubsub xmlns='{NS_PUBSUB}'><publish{named}><item>"
        f"<notification xmlns='{NS_PUSH}'><x xmlns='{NS_FORMS}' type='submit'>"
        f"<field var='FORM_TYPE' type='hidden'><value>{FORM_PUSH_SUMMARY}</value></field>"
    )
    given = ""
    if options is not None:
        given = f"<publish-options>{options.decode()}</publish-options>"
    return head, f"</notification></item></publish>{given}</pubsub></iq>"


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
        case Refusal(condition) if condition in UNREACHABLE:
            return Verdict.LATER
        case Refusal(type="wait"):
            return Verdict.LATER
        case Refusal(type="modify"):
            return Verdict.OURS
    return Verdict.COUNT
