"""Whatever a client wishes is taken or refused by name; whatever strangers write can be read."""

import json
from base64 import b64decode, b64encode
from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from pushd.modules.push import extensions
from pushd.modules.push.details import CALL, CHAT, GROUPCHAT, SUBSCRIBE, Details
from pushd.modules.push.details import stored as stored_details
from pushd.modules.push.details import written as written_details
from pushd.modules.push.extensions import BIGGEST, FEATURES, SMALLEST, Extensions, Room
from pushd.modules.push.sealing import ENCRYPTED, content, late, sealed
from pushd.wire.element import Element, element, serialize
from pushd.wire.errors import StanzaError
from pushd.wire.namespaces import NS_PUSH
from pushd.wire.secret import Secret
from tests.aes_gcm import opened
from tests.hall import Client
from tests.unit.modules.push.stage import JULIET, Stage, condition, enable

KEYS = st.binary(min_size=16, max_size=16).map(lambda key: b64encode(key).decode())
# What XML can hold (XML 1.0 §2.2).
WORDS = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), max_size=600
)
NAMES = st.sampled_from(
    ("encrypt", "muted", "groupchat", "room", "item", "priority", "jingle", "ignore-unknown", "x")
)
NAMESPACES = st.sampled_from((*FEATURES, NS_PUSH, "urn:example"))
VALUES = st.one_of(
    WORDS.map(lambda word: word[:30]),
    KEYS,
    st.sampled_from(
        ("aes-128-gcm", "always", "never", "mentioned", "Juliet", "a@example.org", "0", "3000")
    ),
)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(("jid", "allow", "nick", "alg", "max-size", "away")), VALUES, max_size=4
)


@st.composite
def elements(draw: st.DrawFn, depth: int = 2) -> Element:
    namespace = draw(NAMESPACES)
    inner = draw(st.lists(elements(depth - 1), max_size=3)) if depth else []
    said = draw(VALUES) if draw(st.booleans()) else ""
    made = element(namespace, draw(NAMES), *inner, said)
    made.attributes.update(draw(ATTRIBUTES))
    return made


JIDS = st.from_regex(r"[a-z]{1,8}@[a-z]{1,8}\.example", fullmatch=True)
NICKS = WORDS.map(lambda word: word[:40].strip())
ROOMS = st.dictionaries(
    JIDS,
    st.one_of(
        st.sampled_from((Room("always"), Room("never"))),
        NICKS.map(lambda nick: Room("mentioned", nick)),
    ),
    max_size=5,
)
WISHES = st.builds(
    Extensions,
    muted=st.frozensets(JIDS, max_size=5),
    rooms=st.none() | ROOMS,
    ignore_unknown=st.booleans(),
    away=st.booleans(),
    priority=st.booleans(),
    jingle=st.booleans(),
    key=st.none() | KEYS.map(Secret),
    max_size=st.integers(SMALLEST, BIGGEST),
)
DETAILS = st.builds(
    Details,
    type=st.sampled_from((CHAT, GROUPCHAT, SUBSCRIBE, CALL)),
    sender=WORDS,
    nickname=WORDS,
    sid=WORDS.map(lambda word: word[:256]),
    media=st.lists(WORDS.map(lambda word: word[:32]), max_size=8).map(tuple),
    is_encrypted=st.booleans(),
)


def said(wishes: Extensions) -> Element:
    """The `<enable/>` of a client that wishes this."""
    parts = []
    if wishes.muted:
        items = (element(extensions.NS_MUTED, "item", jid=jid) for jid in wishes.muted)
        parts.append(element(extensions.NS_MUTED, "muted", *items))
    if wishes.rooms is not None:
        rooms = (
            element(
                extensions.NS_GROUPCHAT,
                "room",
                jid=jid,
                allow=room.allow,
                **({"nick": room.nick} if room.allow == "mentioned" else {}),
            )
            for jid, room in wishes.rooms.items()
        )
        parts.append(element(extensions.NS_GROUPCHAT, "groupchat", *rooms))
    if wishes.ignore_unknown:
        parts.append(element(extensions.NS_IGNORE_UNKNOWN, "ignore-unknown"))
    if wishes.priority:
        parts.append(element("tigase:push:priority:0", "priority"))
    if wishes.jingle:
        parts.append(element("tigase:push:jingle:0", "jingle"))
    if wishes.key is not None:
        encrypt = element(
            "tigase:push:encrypt:0", "encrypt", wishes.key.reveal(), alg="aes-128-gcm"
        )
        encrypt["max-size"] = str(wishes.max_size)
        parts.append(encrypt)
    attributes = {"away": "true"} if wishes.away else {}
    return element(NS_PUSH, "enable", *parts, jid="push.example.org", **attributes)


@given(wishes=WISHES)
def test_what_is_wished_is_read_and_kept(wishes: Extensions) -> None:
    read = extensions.read(said(wishes)) or Extensions()

    expected = (
        wishes
        if wishes.key is not None
        else Extensions(
            wishes.muted,
            wishes.rooms,
            wishes.ignore_unknown,
            wishes.away,
            wishes.priority,
            wishes.jingle,
        )
    )
    assert read == expected
    assert extensions.stored(read.written(), read.key) == read


@given(parts=st.lists(elements(), max_size=6), attributes=ATTRIBUTES)
def test_any_wish_is_taken_or_refused_by_name(
    parts: list[Element], attributes: dict[str, str]
) -> None:
    enable = element(NS_PUSH, "enable", *parts)
    enable.attributes.update(attributes)

    try:
        read = extensions.read(enable)
    except StanzaError as error:
        named = str(error).partition(":")[0]
        assert named in ("encrypt", "muted", "groupchat", "away")
    else:
        if read is not None:
            assert extensions.stored(read.written(), read.key) == read


@cache
def phone_on_stage() -> tuple[Stage, Client]:
    """One for all examples: what each enables replaces what the one before did."""
    stage = Stage()
    return stage, stage.phone()


@given(parts=st.lists(elements(), max_size=4))
def test_what_is_refused_changes_nothing_stored(parts: list[Element]) -> None:
    stage, phone = phone_on_stage()
    rows = "SELECT extensions, encryption_key FROM push_enablements"
    before = stage.hall.rows(rows)

    answer = enable(phone, "".join(serialize(one).decode() for one in parts))

    [one] = stage.push.enablements.of(JULIET)
    if condition(answer):
        assert stage.hall.rows(rows) == before
    else:
        [(kept, key)] = stage.hall.rows(rows)
        expected = None if kept is None else extensions.stored(kept, key and Secret(key))
        assert one.wishes == expected


@given(
    unread=st.integers(0, 2**31),
    told=DETAILS,
    body=st.none() | WORDS,
    max_size=st.integers(SMALLEST, BIGGEST),
    key=KEYS,
)
def test_anything_has_room_and_is_read_by_another_hand(
    unread: int, told: Details, body: str | None, max_size: int, key: str
) -> None:
    text = content(unread, told, None if body is None else Secret(body), max_size)

    iv, data = sealed(Secret(key), text)

    assert len(data) + 64 <= max_size
    assert len(b64decode(iv)) == 12
    if len(text) < 200:  # it is slow
        assert opened(b64decode(key), b64decode(iv), b64decode(data)) == text
    read = json.loads(text)
    assert read["unread"] == unread
    assert read.get("type") == (None if told.type == SUBSCRIBE else told.type)
    message = read.get("message", "")
    whole = ENCRYPTED if told.is_encrypted else body or ""
    assert message == whole or not message or whole.startswith(message.removesuffix("…"))


@given(newest=st.none() | DETAILS, call=st.none() | DETAILS)
def test_details_are_kept(newest: Details | None, call: Details | None) -> None:
    assert stored_details(written_details(newest, call)) == (newest, call)


@given(told=DETAILS)
def test_a_call_that_is_over_is_none(told: Details) -> None:
    assert late(told).type != CALL
