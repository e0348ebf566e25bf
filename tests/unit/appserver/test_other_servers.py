"""What other servers' push modules publish, as they write it, and what a device hears of it.

ejabberd 26.07, Prosody 13 with mod_cloud_notify_encrypted, Tigase 8.5, MongooseIM 6 and
Openfire's plugin 1.1. The publish-options are those that a client gave them.
"""

from typing import Any

import pytest

from tests.unit.appserver.stage import PUBSUB, Stage, outcome, register

SENDER, BODY = "romeo@example.org", "Wherefore?"


def field(name: str, value: str | None, kind: str = "") -> str:
    said = "" if value is None else f"<value>{value}</value>"
    return f"<field var='{name}'{f' type={kind!r}' if kind else ''}>{said}</field>"


def options(of: str = "submit") -> str:
    type = f" type='{of}'" if of else ""
    return (
        f"<publish-options><x xmlns='jabber:x:data'{type}>"
        + field("FORM_TYPE", "http://jabber.org/protocol/pubsub#publish-options", "hidden")
        + field("secret", "SECRET")
        + "</x></publish-options>"
    )


def publish(form: str, more: str = "", given: str = options()) -> str:
    return (
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='NODE'><item>"
        f"<notification xmlns='urn:xmpp:push:0'>{form}{more}</notification></item></publish>"
        f"{given}</pubsub>"
    )


def form(*fields: str, type: str = "submit", kind: str = "hidden") -> str:
    said = f" type='{type}'" if type else ""
    told = field("FORM_TYPE", "urn:xmpp:push:summary", kind) + "".join(fields)
    return f"<x xmlns='jabber:x:data'{said}>{told}</x>"


def encrypted(more: str = "") -> str:
    said = f"<encrypted xmlns='tigase:push:encrypt:0' iv='4W4vOoAIbpzGvdkK'{more}>"
    return f"{said}c2VhbGVk</encrypted>"


def priority(level: str) -> str:
    return f"<priority xmlns='tigase:push:priority:0'>{level}</priority>"


def nickname(name: str) -> str:
    muc = "http://tigase.org/protocol/muc#offline"
    return f"<groupchat xmlns='{muc}'><nickname>{name}</nickname></groupchat>"


SEALED = {"encrypted": "c2VhbGVk", "iv": "4W4vOoAIbpzGvdkK"}
VOIP = SEALED | {"encrypted-type": "voip"}

PUBLISHES: dict[str, tuple[str, dict[str, Any], str]] = {
    # What is published, what the device is told, and what of.
    "ejabberd": (
        publish(
            form(
                field("last-message-body", "New message", "text-single"),
                field("last-message-sender", SENDER, "jid-single"),
            )
        ),
        {"last-message-sender": SENDER, "last-message-body": "New message"},
        "message",
    ),
    "ejabberd, without a summary": (publish(""), {}, ""),
    "Prosody": (
        publish(
            form(
                field("message-count", "1", "text-single"),
                field("pending-subscription-count", None, "text-single"),
                field("last-message-sender", f"{SENDER}/x", "jid-single"),
                field("last-message-body", BODY, "text-single"),
                type="form",
            ),
        ),
        {"message-count": 1, "last-message-sender": f"{SENDER}/x", "last-message-body": BODY},
        "message",
    ),
    "Prosody, of something unimportant": (
        publish(form(field("message-count", "1", "text-single"), type="form")),
        {"message-count": 1},
        "message",
    ),
    "Prosody, encrypted": (publish("", encrypted() + priority("high")), SEALED, "message"),
    "Prosody, a call": (
        publish("", encrypted(" type='voip'") + priority("high")),
        VOIP,
        "call",
    ),
    "Tigase": (
        publish(
            form(
                field("message-count", "3"),
                field("last-message-sender", f"{SENDER}/x"),
                field("last-message-body", BODY),
                type="",
                kind="",
            )
        ),
        {"message-count": 3, "last-message-sender": f"{SENDER}/x", "last-message-body": BODY},
        "message",
    ),
    "Tigase, of a room, by a form without options' type": (
        publish(
            form(
                field("message-count", "0"),
                field("last-message-sender", "r@rooms.example/Romeo"),
                field("last-message-body", None),
                type="",
                kind="",
            ),
            nickname("Romeo"),
            options(""),
        ),
        {"message-count": 0, "last-message-sender": "r@rooms.example/Romeo"},
        "message",
    ),
    "Tigase, fetched elsewhere": (
        publish(form(field("message-count", "0"), type="", kind=""), priority("low")),
        {"message-count": 0},
        "",
    ),
    "Tigase, encrypted": (
        publish("", nickname("Romeo") + encrypted() + priority("high")),
        SEALED,
        "message",
    ),
    "Tigase, a call": (
        publish(
            "",
            "<jingle xmlns='tigase:push:jingle:0' action='propose' sid='s1'><media>audio</media>"
            "</jingle>" + encrypted(" type='voip'") + priority("high"),
        ),
        VOIP | {"call-sid": "s1", "call-media": "audio"},
        "call",
    ),
    "Tigase, a call that another device took": (
        publish(
            "",
            "<jingle xmlns='tigase:push:jingle:0' action='accept' sid='s1'/>"
            + encrypted(" type='voip'")
            + priority("low"),
        ),
        SEALED,
        "",
    ),
    "Tigase, the same, where no priorities are wished": (
        publish(
            "",
            "<jingle xmlns='tigase:push:jingle:0' action='reject' sid='s1'/>"
            + encrypted(" type='voip'"),
        ),
        SEALED,
        "",
    ),
    "MongooseIM": (
        publish(
            form(
                field("message-count", "7"),
                field("last-message-sender", SENDER),
                field("last-message-body", BODY),
                kind="hidden",
            )
        ),
        {"message-count": 7, "last-message-sender": SENDER, "last-message-body": BODY},
        "message",
    ),
    "Openfire": (
        publish(
            form(
                field("message-count", "1", "text-single"),
                field("last-message-sender", None, "text-single"),
                field("last-message-body", "New Message", "text-single"),
                type="form",
            )
        ),
        {"message-count": 1, "last-message-body": "New Message"},
        "message",
    ),
}


@pytest.mark.parametrize("name", PUBLISHES)
def test_a_publish_is_taken_as_it_is_written(name: str) -> None:
    payload, told, occasion = PUBLISHES[name]
    stage = Stage()
    node, secret = register(stage.client())

    payload = payload.replace("NODE", node).replace("SECRET", secret)
    answer = stage.client("juliet@example.net/server").ask(
        f"<iq type='set' id='p' to='{PUBSUB}'>{payload}</iq>"
    )

    assert outcome(answer) == ""
    note, _ = stage.calls[0].look()
    assert next(note.summaries()) == told
    assert note.occasion == occasion
