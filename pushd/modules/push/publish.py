"""The publish: what is said to a push service, and what its answer means (XEP-0357 §7)."""

from collections.abc import Mapping
from enum import Enum, auto
from functools import lru_cache

from pushd.modules.push import sealing
from pushd.modules.push.details import CALL, SUBSCRIBE, Details
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
    NS_PUSH_ENCRYPT,
    NS_PUSH_JINGLE,
)
from pushd.wire.secret import Secret
from pushd.wire.stanza import Stanza

FATAL = frozenset(("item-not-found", "forbidden", "not-authorized", "gone"))
# What our own router says of a component that is away, which may be for a moment.
UNREACHABLE = frozenset(("remote-server-not-found", "remote-server-timeout"))
PUBSUB = (f"{NS_PUBSUB} pubsub",)
FORM_TYPE = f"<field var='FORM_TYPE' type='hidden'><value>{FORM_PUSH_SUMMARY}</value></field>"


class Verdict(Enum):
    """What the answer to a publish means for the enablement."""

    ACCEPTED = auto()
    REMOVE = auto()  # the service knows this node, or this secret, no more
    LATER = auto()  # try again
    COUNT = auto()  # an error that may pass with the next push: counted
    OURS = auto()  # what we said was wrong: counted, and never a reason to remove anything


def publication(
    one: Enablement,
    queued: Summary,
    told: Told,
    *,
    urgent: bool,
    sender: str,
    id: str,
    calling: bool = False,
) -> Stanza:
    """The request that publishes a summary, with the options given at enabling.

    `calling` says that somebody calls. With encryption there is no summary beside what is
    encrypted, which tells all that the client might show, whatever the account lets be told.
    """
    head, tail = _frame(one.service, one.node, one.options, sender)
    said = _encrypted(one, queued, calling) or _form(summary(queued, told))
    more = _priority(one, queued, urgent) + (_jingle(one, queued.call) if calling else "")
    raw = f"<iq id='{escape(id)}'{head}{said}{more}{tail}".encode()
    attributes = {"type": "set", "id": id, "from": sender, "to": one.service}
    return Stanza(NS_CLIENT, "iq", attributes, PUBSUB, raw)


@lru_cache(4_096)
def _frame(service: str, node: str, options: bytes | None, sender: str) -> tuple[str, str]:
    """What is the same in all publishes of an enablement: after the id, after what is told."""
    named = f" node='{escape(node)}'" if node else ""
    head = (
        f" type='set' from='{escape(sender)}' to='{escape(service)}'>"
        f"<pubsub xmlns='{NS_PUBSUB}'><publish{named}><item>"
        f"<notification xmlns='{NS_PUSH}'>"
    )
    given = ""
    if options is not None:
        given = f"<publish-options>{options.decode()}</publish-options>"
    return head, f"</notification></item></publish>{given}</pubsub></iq>"


def _form(fields: Mapping[str, str]) -> str:
    said = "".join(
        f"<field var='{name}'><value>{escape_text(value)}</value></field>"
        for name, value in fields.items()
    )
    return f"<x xmlns='{NS_FORMS}' type='submit'>{FORM_TYPE}{said}</x>"


def _priority(one: Enablement, queued: Summary, urgent: bool) -> str:
    """Where priorities are wished (tigase:push:priority:0), any message has a high one."""
    wishes = one.wishes
    if urgent or (wishes and wishes.priority and queued.messages > one.pushed.messages):
        return f"<priority xmlns='{NS_PRIORITY}'>high</priority>"
    return f"<priority xmlns='{NS_PRIORITY}'>low</priority>" if wishes and wishes.priority else ""


def _jingle(one: Enablement, call: Details | None) -> str:
    """Says that somebody calls; about what, where that is wished (tigase:push:jingle:0)."""
    said = f"<jingle xmlns='{NS_PUSH_JINGLE}' action='propose'"
    if call is None or one.wishes is None or not one.wishes.jingle:
        return f"{said}/>"
    media = "".join(f"<media>{escape_text(kind)}</media>" for kind in call.media)
    return f"{said} sid='{escape(call.sid)}'>{media}</jingle>"


def _encrypted(one: Enablement, queued: Summary, calling: bool) -> str:
    """What is encrypted for the device; "" where that is not wished, or nothing is to be told."""
    wishes, told = one.wishes, queued.newest
    if calling and queued.call is not None:
        told = queued.call
    if wishes is None or wishes.key is None or told is None:
        return ""
    body = None if told is not queued.newest or told.type == SUBSCRIBE else queued.body
    is_call = told.type == CALL and calling
    if told.type == CALL and not is_call:
        told, body = sealing.late(told), Secret(sealing.MISSED)
    said = sealing.content(queued.messages, told, body, wishes.max_size)
    iv, data = sealing.sealed(wishes.key, said)
    type = " type='voip'" if is_call else ""
    return f"<encrypted xmlns='{NS_PUSH_ENCRYPT}'{type} iv='{iv}'>{data}</encrypted>"


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
        case Refusal(condition, "modify") if condition != "policy-violation":
            return Verdict.OURS  # else it wants nothing of us, whatever we say
    return Verdict.COUNT
