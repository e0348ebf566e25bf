"""Encrypted notifications, read by an AES-GCM of the tests' own."""

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest

from pushd.modules.push.details import CALL, CHAT, GROUPCHAT, SUBSCRIBE, Details
from pushd.modules.push.options import Told
from pushd.modules.push.sealing import content, room, sealed
from pushd.modules.push.waking import LEAD
from pushd.wire.element import child, text
from pushd.wire.framer import seal
from pushd.wire.secret import Secret
from tests.aes_gcm import opened
from tests.unit.modules.push.stage import JULIET, Stage, enable, notification, summary
from tests.unit.modules.push.wishing import (
    JINGLE,
    KEY,
    PRIORITY,
    decrypted,
    encrypt,
    encrypted,
    groupchat,
    muted,
)

NOTHING = Told(False, False, False, False)
ALL = Told(True, True, True, True)
OMEMO = (
    "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/>"
    "<payload>c2VjcmV0</payload></encrypted><body>I sent you an OMEMO encrypted message</body>"
)
CALLING = (
    "<propose xmlns='urn:xmpp:jingle-message:0' id='ca3cf894'>"
    "<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/>"
    "<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'/></propose>"
)


def asleep(told: Told = NOTHING, wishes: str = "", **options: Any) -> Stage:
    stage = Stage(told=told, **options)
    phone = stage.phone(enabled=False)
    assert enable(phone, encrypt() + wishes)["type"] == "result"
    phone.acknowledge()
    phone.cut()
    return stage


@pytest.mark.mistake(4)
@pytest.mark.parametrize("told", [NOTHING, ALL], ids=["nothing", "everything"])
def test_a_message_is_encrypted_and_nothing_is_told_beside(told: Told) -> None:
    stage = asleep(told)

    stage.write("Wherefore art thou, Romeo? &amp; ☃")

    [publish] = stage.service.publishes
    assert decrypted(publish) == {
        "unread": 1,
        "type": "chat",
        "sender": "romeo@example.org",
        "message": "Wherefore art thou, Romeo? & ☃",
    }
    assert child(notification(publish), "jabber:x:data", "x") is None
    assert b"romeo" not in publish.raw
    [element] = list(notification(publish).elements())
    assert sorted(element.attributes) == ["iv"]


def test_each_has_an_iv_of_its_own() -> None:
    stage = asleep()
    for _ in range(5):
        stage.write("the same")

    ivs = {one["iv"] for one in map(encrypted, stage.service.publishes) if one}
    assert len(ivs) == 5
    assert {len(b64decode(iv)) for iv in ivs} == {12}
    assert [decrypted(one)["unread"] for one in stage.service.publishes] == [1, 2, 3, 4, 5]


@pytest.mark.mistake(4)
def test_the_tag_is_checked_by_who_opens_it() -> None:
    iv, data = sealed(Secret(b64encode(KEY).decode()), b"{}")
    whole = b64decode(data)
    assert len(whole) == len(b"{}") + 16

    assert opened(KEY, b64decode(iv), whole) == b"{}"
    for changed in (whole[:-16] + bytes(16), bytes([whole[0] ^ 1]) + whole[1:]):
        with pytest.raises(ValueError, match="the tag is wrong"):
            opened(KEY, b64decode(iv), changed)


@pytest.mark.parametrize(
    ("occupant", "beside"),
    [
        ("Romeo M.", ""),
        ("123456", "<mix xmlns='urn:xmpp:mix:core:1'><nick>Romeo M.</nick></mix>"),
    ],
    ids=["room", "channel"],
)
def test_a_room_has_the_nickname(occupant: str, beside: str) -> None:
    stage = asleep(wishes=groupchat(verona="always"))

    stage.hall.route(
        f"<message from='verona@chat.example.org/{occupant}' to='{JULIET}/phone' type='groupchat'>"
        f"<body>hi</body>{beside}</message>"
    )

    assert decrypted(stage.service.publishes[0]) == {
        "unread": 1,
        "type": "groupchat",
        "sender": "verona@chat.example.org",
        "nickname": "Romeo M.",
        "message": "hi",
    }


def test_a_request_for_a_subscription_has_no_type_of_which_clients_die() -> None:
    stage = asleep()
    stage.write("hi")

    stage.hall.route(f"<presence from='paris@example.org' to='{JULIET}' type='subscribe'/>")

    assert decrypted(stage.service.publishes[-1]) == {
        "unread": 1,
        "sender": "paris@example.org",
    }


def test_of_what_is_encrypted_itself_the_fact() -> None:
    stage = asleep()

    stage.write(content=OMEMO)

    assert decrypted(stage.service.publishes[0]) == {
        "unread": 1,
        "type": "chat",
        "sender": "romeo@example.org",
        "message": "Encrypted message",
    }


def test_a_call_is_voip_and_has_what_is_needed_to_answer() -> None:
    stage = asleep(wishes=JINGLE)

    stage.write(content=CALLING)

    [publish] = stage.service.publishes
    assert decrypted(publish) == {
        "unread": 1,
        "type": "call",
        "sender": "romeo@example.org/orchard",
        "sid": "ca3cf894",
        "media": ["audio", "video"],
    }
    sealed_element = encrypted(publish)
    assert sealed_element is not None
    assert sealed_element["type"] == "voip"
    said = notification(publish)
    assert text(child(said, "tigase:push:priority:0", "priority")) == "high"
    jingle = child(said, "tigase:push:jingle:0", "jingle")
    assert jingle is not None
    assert (jingle["action"], jingle["sid"]) == ("propose", "ca3cf894")
    assert [text(one) for one in jingle.elements()] == ["audio", "video"]


@pytest.mark.parametrize(
    "media", ["", "<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='x'/>"]
)
def test_a_call_has_a_list_of_media_that_clients_know(media: str) -> None:
    """One without a list is over, and of others than these two Siskin dies."""
    stage = asleep()

    stage.write(content=f"<propose xmlns='urn:xmpp:jingle-message:0' id='a'>{media}</propose>")

    assert decrypted(stage.service.publishes[0])["media"] == []


def test_without_a_key_a_call_has_its_details_beside_the_summary() -> None:
    stage = Stage(told=NOTHING)
    phone = stage.phone(enabled=False)
    assert enable(phone, JINGLE)["type"] == "result"
    phone.acknowledge()
    phone.cut()

    stage.write(content=CALLING)

    [publish] = stage.service.publishes
    assert encrypted(publish) is None
    assert summary(publish) == {}
    element = child(notification(publish), "tigase:push:jingle:0", "jingle")
    assert element is not None
    assert element["sid"] == "ca3cf894"
    assert [str(one) for one in element.elements()] == ["audio", "video"]


def test_a_call_that_nobody_waits_at_any_more_does_not_ring() -> None:
    stage = asleep(hold=1000.0)
    stage.write(content=CALLING)

    stage.hall.advance(1000.0 - LEAD)

    publish = stage.service.publishes[-1]
    assert decrypted(publish) == {
        "unread": 1,
        "type": "chat",
        "sender": "romeo@example.org",
        "message": "Missed call",
    }
    element = encrypted(publish)
    assert element is not None
    assert not element.hasAttribute("type")


def test_a_call_is_told_of_though_a_message_is_newer() -> None:
    stage = asleep()
    stage.write(content=CALLING)
    stage.write("pick up")

    told = [decrypted(one) for one in stage.service.publishes]

    assert [one["type"] for one in told] == ["call", "chat"]
    assert told[1]["message"] == "pick up"


def test_a_call_is_told_of_though_a_message_is_newer_and_both_leave_together() -> None:
    stage = asleep()
    for said in (CALLING, "<body>pick up</body>"):
        at = f"from='romeo@example.org/orchard' to='{JULIET}' type='chat'"
        stage.hall.host.router.route(seal(f"<message {at}>{said}</message>".encode()))
    stage.hall.advance(0)

    [told] = [decrypted(one) for one in stage.service.publishes]

    assert (told["type"], told["unread"], "message" in told) == ("call", 2, False)


@pytest.mark.mistake(6)
@pytest.mark.parametrize("news", [0, 2])
def test_the_last_call_has_no_stanza_and_filters_and_encryption_let_it_go_out(news: int) -> None:
    wishes = muted("paris@example.org") + groupchat() + PRIORITY + JINGLE
    stage = asleep(wishes=wishes, hold=1000.0)
    for number in range(news):
        stage.write(f"number {number}")
    before = len(stage.service.publishes)

    stage.hall.advance(1000.0 - LEAD)

    assert len(stage.service.publishes) == before + 1
    publish = stage.service.publishes[-1]
    assert text(child(notification(publish), "tigase:push:priority:0", "priority")) == "low"
    if news:
        assert decrypted(publish)["message"] == "number 1"
    else:
        assert summary(publish) == {}


def test_a_body_is_kept_only_for_who_is_told_of_it() -> None:
    stage = asleep()
    stage.asleep("tablet")
    stage.service.answer = lambda publish: None

    stage.write("wherefore")

    rows = stage.hall.rows("SELECT node, last_body FROM push_enablements ORDER BY node")
    assert rows == [("phone", "wherefore"), ("tablet", None)]


@pytest.mark.parametrize(
    ("told", "urgent", "expected"),
    [
        (CALLING, True, "high"),
        ("<body>hi</body>", False, "high"),
        (OMEMO, False, "high"),
    ],
)
def test_priority_where_it_is_wished(told: str, urgent: bool, expected: str) -> None:
    stage = Stage()
    phone = stage.phone(enabled=False)
    enable(phone, PRIORITY)
    phone.cut()

    stage.write(content=told)

    said = notification(stage.service.publishes[0])
    assert text(child(said, "tigase:push:priority:0", "priority")) == expected
    assert (child(said, "tigase:push:jingle:0", "jingle") is not None) == urgent


def test_a_request_has_a_low_priority() -> None:
    stage = Stage()
    phone = stage.phone(enabled=False)
    enable(phone, PRIORITY)
    phone.cut()

    stage.hall.route(f"<presence from='paris@example.org' to='{JULIET}' type='subscribe'/>")

    said = notification(stage.service.publishes[0])
    assert text(child(said, "tigase:push:priority:0", "priority")) == "low"


LONG = "x" * 900 + "@example.org/" + "y" * 1000


@pytest.mark.parametrize(
    "body", ["", "x" * 5000, "☃" * 500, "👩‍👩‍👧" * 100, '"\\' * 500, "\x7f" * 100]
)
@pytest.mark.parametrize("max_size", [256, 257, 258, 259, 400, 3000])
@pytest.mark.parametrize(
    "told",
    [
        Details(CHAT, "romeo@example.org/o"),
        Details(CHAT, LONG),
        Details(GROUPCHAT, "verona@chat.example.org/R", "R" * 1000),
        Details(CALL, LONG, sid="s" * 256, media=("audio",) * 8),
        Details(SUBSCRIBE, LONG),
        Details(CHAT, "romeo@example.org/o", is_encrypted=True),
    ],
    ids=["chat", "long", "room", "call", "request", "encrypted"],
)
def test_it_has_room_whatever_strangers_choose(body: str, max_size: int, told: Details) -> None:
    said = content(7, told, Secret(body) if body else None, max_size)

    _, data = sealed(Secret(b64encode(KEY).decode()), said)
    assert len(data) + 64 <= max_size
    read = json.loads(said)
    assert read["unread"] == 7
    assert read.get("type") == (None if told.type == SUBSCRIBE else told.type)
    assert ("media" in read) == (told.type == CALL)
    message = read.get("message", "")
    assert message in (body, "Encrypted message") or body.startswith(message.removesuffix("…"))


def test_as_much_of_a_body_as_has_room() -> None:
    told = Details(CHAT, "romeo@example.org")
    said = content(1, told, Secret("ab" * 1000), 400)

    assert room(400) - 2 <= len(said) <= room(400)
    assert json.loads(said)["message"].endswith("…")
