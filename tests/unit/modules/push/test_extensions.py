"""Tigase's extensions of <enable/>: what is taken, kept, shown and refused."""

from base64 import b64encode
from pathlib import Path

import pytest

from pushd.modules.push.extensions import MOST, Extensions, Room, stored
from pushd.modules.push.module import Push
from pushd.wire.secret import Secret
from tests.unit.modules.push.stage import (
    JULIET,
    Service,
    Stage,
    ask,
    condition,
    disable,
    enable,
)
from tests.unit.modules.push.wishing import (
    GROUPCHAT,
    IGNORE_UNKNOWN,
    JINGLE,
    KEY,
    MUTED,
    PRIORITY,
    decrypted,
    encrypt,
    groupchat,
    muted,
)

BASE64 = b64encode(KEY).decode()
ALL = (
    muted("paris@example.org", "tybalt@example.org/x")
    + groupchat(verona="always", mantua="Juliet", venice="never")
    + IGNORE_UNKNOWN
    + PRIORITY
    + JINGLE
    + encrypt(max_size="1000")
)
WISHES = Extensions(
    muted=frozenset(("paris@example.org", "tybalt@example.org")),
    rooms={
        "verona@chat.example.org": Room("always"),
        "mantua@chat.example.org": Room("mentioned", "Juliet"),
        "venice@chat.example.org": Room("never"),
    },
    ignore_unknown=True,
    priority=True,
    jingle=True,
    key=Secret(BASE64),
    max_size=1000,
)
FEATURES = {
    "tigase:push:filter:muted:0",
    "tigase:push:filter:groupchat:0",
    "tigase:push:filter:ignore-unknown:0",
    "tigase:push:priority:0",
    "tigase:push:jingle:0",
    "tigase:push:away:0",
    "tigase:push:encrypt:0",
    "tigase:push:encrypt:aes-128-gcm",
}


def wishes(stage: Stage) -> Extensions | None:
    [one] = stage.push.enablements.of(JULIET)
    return one.wishes


def announced(stage: Stage) -> set[str]:
    phone = stage.hall.login(f"{JULIET}/asks")
    disco = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
    answer = ask(phone, disco, type="get", to=JULIET)
    found = {one["var"] for one in answer.query.elements() if one.name == "feature"}
    return {str(feature) for feature in found if feature.startswith("tigase:push:")}


def test_all_is_read_and_kept() -> None:
    stage = Stage()
    assert condition(enable(stage.phone(enabled=False), ALL)) == ""

    assert wishes(stage) == WISHES


def test_nothing_wished_is_nothing_kept() -> None:
    stage = Stage()
    stage.phone()

    assert wishes(stage) is None
    assert stage.hall.rows("SELECT extensions, encryption_key, details FROM push_enablements") == [
        (None, None, None)
    ]


def test_the_features_are_announced_to_the_owner() -> None:
    assert announced(Stage()) == FEATURES


def test_nothing_is_announced_where_push_is_off() -> None:
    assert announced(Stage(resume_timeout=0.0)) == set()


@pytest.mark.parametrize("wished", [WISHES, Extensions(away=True), Extensions(rooms={})])
def test_what_is_stored_is_read_again(wished: Extensions) -> None:
    assert stored(wished.written(), wished.key) == wished
    assert BASE64 not in wished.written()


def test_they_survive_a_kill(tmp_path: Path) -> None:
    stage = Stage(path=tmp_path / "pushd.db")
    phone = stage.phone(enabled=False)
    enable(phone, ALL)
    phone.cut()

    hall = stage.hall.killed()

    (push,) = (module for module in hall.modules if isinstance(module, Push))
    [one] = push.enablements.of(JULIET)
    assert one.wishes == WISHES
    service = Service(hall)
    push.publisher.open()
    hall.route(
        f"<message from='verona@chat.example.org/Romeo' to='{JULIET}/phone' type='groupchat'>"
        "<body>hi</body></message>"
    )
    assert decrypted(service.publishes[-1])["message"] == "hi"


def test_what_was_not_told_before_a_kill_is_told_afterwards(tmp_path: Path) -> None:
    stage = Stage(path=tmp_path / "pushd.db")
    phone = stage.phone(enabled=False)
    enable(phone, encrypt())
    phone.cut()
    stage.service.answer = lambda publish: None
    stage.write("wherefore")

    hall = stage.hall.killed()

    (push,) = (module for module in hall.modules if isinstance(module, Push))
    service = Service(hall)
    push.publisher.open()
    hall.advance(0)
    assert decrypted(service.publishes[-1]) == {
        "unread": 1,
        "type": "chat",
        "sender": "romeo@example.org",
        "message": "wherefore",
    }


def test_enabling_again_replaces_them_all() -> None:
    stage = Stage()
    phone = stage.phone(enabled=False)
    enable(phone, ALL)

    enable(phone, muted("paris@example.org"))
    assert wishes(stage) == Extensions(muted=frozenset(("paris@example.org",)))

    enable(phone)
    assert wishes(stage) is None
    assert stage.hall.rows("SELECT extensions, encryption_key FROM push_enablements") == [
        (None, None)
    ]


def test_names_are_shown_and_no_key() -> None:
    stage = Stage()
    enable(stage.phone(enabled=False), ALL)

    [shown] = stage.hall.host.push.enabled(JULIET)
    assert shown.extensions == (
        "encrypt",
        "groupchat",
        "ignore-unknown",
        "jingle",
        "muted",
        "priority",
    )
    [one] = stage.push.enablements.of(JULIET)
    for said in (repr(one), repr(one.wishes), str(one.wishes), repr(shown)):
        assert BASE64 not in said
        assert "paris" not in said


@pytest.mark.parametrize("value", ["true", "1"])
def test_away_is_an_attribute(value: str) -> None:
    stage = Stage()
    phone = stage.phone(enabled=False)
    asked = f"<enable xmlns='urn:xmpp:push:0' jid='push.example.org' node='phone' away='{value}'/>"
    assert condition(ask(phone, asked)) == ""

    assert wishes(stage) == Extensions(away=True)
    assert JULIET in stage.hall.host.router.attended
    disable(phone)
    assert JULIET not in stage.hall.host.router.attended


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f"<encrypt xmlns='tigase:push:encrypt:0'>{BASE64}</encrypt>", "bad-request"),
        (encrypt(alg="aes-256-gcm"), "feature-not-implemented"),
        (encrypt(b"short"), "bad-request"),
        (encrypt(bytes(32)), "bad-request"),
        (encrypt(b""), "bad-request"),
        (encrypt().replace(BASE64, "%%%%"), "bad-request"),
        (encrypt().replace(BASE64, "é" * 24), "bad-request"),
        (encrypt(max_size="many"), "bad-request"),
        (encrypt(max_size="-1"), "bad-request"),
        (encrypt(max_size="²"), "bad-request"),
        (encrypt(max_size="255"), "not-acceptable"),
        (f"<muted xmlns='{MUTED}'><item/></muted>", "bad-request"),
        (muted("@"), "jid-malformed"),
        (muted(*(f"u{number}@example.org" for number in range(MOST + 1))), "not-acceptable"),
        (f"<groupchat xmlns='{GROUPCHAT}'><room allow='always'/></groupchat>", "bad-request"),
        (f"<groupchat xmlns='{GROUPCHAT}'><room jid='r@x'/></groupchat>", "bad-request"),
        (groupchat(verona="").replace("nick=''", ""), "bad-request"),
        (groupchat(verona="always").replace("always", "sometimes"), "bad-request"),
        (groupchat(verona="always").replace("verona", "@"), "jid-malformed"),
    ],
)
def test_what_is_no_wish_is_refused_and_changes_nothing(content: str, expected: str) -> None:
    stage = Stage()
    phone = stage.phone(enabled=False)
    enable(phone, PRIORITY)

    answer = enable(phone, content)

    assert condition(answer) == expected
    said = str(answer.error.text)
    assert said.partition(":")[0] in ("encrypt", "muted", "groupchat")
    assert BASE64 not in said
    assert wishes(stage) == Extensions(priority=True)
    [(kept,)] = stage.hall.rows("SELECT extensions FROM push_enablements")
    assert stored(kept, None) == Extensions(priority=True)


def test_whitespace_around_a_key_and_unknown_elements_do_no_harm() -> None:
    stage = Stage()
    spaced = encrypt(alg="AES-128-GCM").replace(BASE64, f"\n  {BASE64}\n  ")
    unknown = "<x xmlns='urn:example'/><muted xmlns='urn:example'><item/></muted>"

    assert condition(enable(stage.phone(enabled=False), spaced + unknown)) == ""

    assert wishes(stage) == Extensions(key=Secret(BASE64))
