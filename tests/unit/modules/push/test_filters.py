"""Who does not wake a device that wishes so: the muted, rooms, strangers."""

import pytest

from pushd.routing.events import PushDecided
from tests.hall import Client
from tests.unit.modules.push.stage import JULIET, Stage, enable
from tests.unit.modules.push.wishing import GROUPCHAT, IGNORE_UNKNOWN, groupchat, muted

VERONA = "verona@chat.example.org"
OMEMO = (
    "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/>"
    "<payload>c2VjcmV0</payload></encrypted><body>I sent you an OMEMO encrypted message</body>"
)


def asleep(stage: Stage, content: str) -> Client:
    phone = stage.phone(enabled=False)
    assert enable(phone, content)["type"] == "result"
    phone.acknowledge()
    phone.cut()
    return phone


def say(stage: Stage, content: str, sender: str = f"{VERONA}/Romeo") -> None:
    """Somebody says something in a room."""
    content = content if content.startswith("<") else f"<body>{content}</body>"
    stage.hall.route(
        f"<message from='{sender}' to='{JULIET}/phone' type='groupchat'>{content}</message>"
    )


def reasons(stage: Stage) -> list[tuple[bool, str]]:
    decided = stage.hall.events(PushDecided)
    return [(one.pushed, one.reason) for one in decided if one.kind != "presence"]


def test_the_muted_wake_nobody_and_are_not_counted() -> None:
    stage = Stage()
    asleep(stage, muted("romeo@example.org"))

    stage.write()
    stage.write(sender="paris@example.org/x")
    stage.write()

    assert reasons(stage) == [(False, "muted"), (True, "detached"), (False, "muted")]
    assert stage.service.counts == ["1"]


def test_the_muted_do_not_ring_either() -> None:
    stage = Stage()
    asleep(stage, muted("romeo@example.org"))

    stage.write(content="<propose xmlns='urn:xmpp:jingle-message:0' id='a'/>")

    assert reasons(stage) == [(False, "muted")]


def test_others_of_the_account_hear_of_whom_one_device_has_muted() -> None:
    stage = Stage()
    asleep(stage, muted("romeo@example.org"))
    stage.asleep("tablet")

    stage.write()

    assert sorted(reasons(stage)) == [(False, "muted"), (True, "detached")]


@pytest.mark.mistake(5)
@pytest.mark.parametrize(
    "content",
    [
        groupchat(),
        groupchat(mantua="always"),
        groupchat(mantua="always", verona="never"),
        f"<groupchat xmlns='{GROUPCHAT}'>\n  </groupchat>",
    ],
    ids=["empty", "left out", "never", "blank"],
)
def test_a_room_that_is_left_out_wakes_as_little_as_one_with_never(content: str) -> None:
    stage = Stage()
    asleep(stage, content)

    say(stage, "Juliet, come to the window")

    assert reasons(stage) == [(False, "room")]
    assert stage.service.publishes == []


@pytest.mark.parametrize("content", [groupchat(verona="always"), muted("paris@example.org"), ""])
def test_a_room_that_may_or_without_a_list(content: str) -> None:
    stage = Stage()
    asleep(stage, content)

    say(stage, "hi")

    assert reasons(stage) == [(True, "detached")]


def test_a_room_is_listed_by_whichever_spelling() -> None:
    stage = Stage()
    asleep(stage, groupchat(verona="always").replace("verona", "VERONA"))

    say(stage, "hi")

    assert reasons(stage) == [(True, "detached")]


def test_private_messages_in_a_room_are_no_groupchat() -> None:
    stage = Stage()
    asleep(stage, groupchat())

    stage.write(sender=f"{VERONA}/Romeo")

    assert reasons(stage) == [(True, "detached")]


def test_what_the_room_sends_back_of_ones_own_is_no_mention() -> None:
    stage = Stage()
    asleep(stage, groupchat(verona="Juliet"))

    say(stage, "I, Juliet, am here", sender=f"{VERONA}/Juliet")

    assert reasons(stage) == [(False, "own copy")]


@pytest.mark.mistake(8)
@pytest.mark.parametrize(
    ("text", "is_mention"),
    [
        ("al", True),
        ("AL!", True),
        ("what says al?", True),
        ("@al: come", True),
        ("al's", True),
        ("also", False),
        ("pal", False),
        ("al_capone", False),
        ("al2", False),
        ("àl", False),
        ("alè", False),
        ("a l", False),
        ("hi", False),
        ("al&amp;co", True),
    ],
)
def test_a_nickname_counts_as_a_whole_word(text: str, is_mention: bool) -> None:
    stage = Stage()
    asleep(stage, groupchat(verona="al"))

    say(stage, text)

    assert reasons(stage) == [(True, "detached") if is_mention else (False, "not mentioned")]


@pytest.mark.parametrize("nick", ["Juliet C.", "(o.o)", "c++", "ジュリエット", "J|u"])
def test_a_nickname_may_be_of_anything(nick: str) -> None:
    stage = Stage()
    asleep(stage, groupchat(verona=nick))

    say(stage, f"come, {nick}!")
    say(stage, "come!")

    assert reasons(stage) == [(True, "detached"), (False, "not mentioned")]


REFERENCE = "<body>you</body><reference xmlns='urn:xmpp:reference:0' type='{type}' uri='{uri}'/>"


@pytest.mark.parametrize(
    ("content", "is_mention"),
    [
        (REFERENCE.format(type="mention", uri=f"xmpp:{JULIET}"), True),
        (REFERENCE.format(type="mention", uri=f"xmpp:{VERONA}/Juliet%20C."), True),
        (REFERENCE.format(type="mention", uri=f"xmpp:{VERONA}/Romeo"), False),
        (REFERENCE.format(type="mention", uri=f"http:{JULIET}"), False),
        (REFERENCE.format(type="data", uri=f"xmpp:{JULIET}"), False),
        (REFERENCE.format(type="mention", uri=""), False),
        (
            f"<body>hm</body><reply xmlns='urn:xmpp:reply:0' to='{VERONA}/Juliet C.' id='1'/>",
            True,
        ),
        (f"<body>hm</body><reply xmlns='urn:xmpp:reply:0' to='{VERONA}/Romeo' id='1'/>", False),
        (f"<body>hm</body><mention xmlns='urn:xmpp:mentions:0' jid='{JULIET}'/>", True),
        ("<body>hm</body><mention xmlns='urn:xmpp:mentions:0' jid='paris@example.org'/>", False),
        (
            "<body>hm</body><mention xmlns='urn:xmpp:mentions:0'"
            " mentions='urn:xmpp:mentions:0#channel'/>",
            True,
        ),
        (
            "<body>hm</body><mention xmlns='urn:xmpp:mentions:0'"
            " mentions='urn:xmpp:mentions:0#admin'/>",
            False,
        ),
        (OMEMO, True),
    ],
)
def test_other_ways_to_be_mentioned(content: str, is_mention: bool) -> None:
    stage = Stage()
    asleep(stage, groupchat(verona="Juliet C."))

    say(stage, content)

    assert reasons(stage) == [(True, "detached") if is_mention else (False, "not mentioned")]


@pytest.mark.parametrize(
    ("text", "mentioned", "is_mention"),
    [
        ("anybody there?", "", False),
        ("", "", False),
        ("x", f"{VERONA}/", False),
        ("x", JULIET, True),
    ],
)
def test_who_has_no_nickname_is_mentioned_by_address_alone(
    text: str, mentioned: str, is_mention: bool
) -> None:
    """Siskin's rule for a channel where its user has none: no reason to refuse the rest."""
    stage = Stage()
    rule = f"<room jid='{VERONA}' allow='mentioned' nick=''/>"
    asleep(stage, f"<groupchat xmlns='{GROUPCHAT}'>{rule}</groupchat>")

    reference = f"<reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:{mentioned}'/>"
    say(
        stage,
        f"<body>{text}</body>{reference if mentioned else ''}",
        sender=f"{VERONA}/123456",
    )

    assert [pushed for pushed, _ in reasons(stage)] == [is_mention]


def test_strangers_wake_nobody_who_wishes_so() -> None:
    stage = Stage()
    asleep(stage, IGNORE_UNKNOWN)

    stage.write()
    stage.hall.route(f"<presence from='romeo@example.org' to='{JULIET}' type='subscribe'/>")

    assert reasons(stage) == [(False, "unknown sender")] * 2
    assert stage.service.publishes == []


@pytest.mark.parametrize("sender", ["romeo@example.org/orchard", "romeo@example.org"])
def test_a_contact_is_known(sender: str) -> None:
    stage = Stage()
    phone = stage.phone(enabled=False)
    phone.ask(
        "<iq type='set' id='r'><query xmlns='jabber:iq:roster'>"
        "<item jid='romeo@example.org'/></query></iq>"
    )
    enable(phone, IGNORE_UNKNOWN)
    phone.acknowledge()
    phone.cut()

    stage.write(sender=sender)

    assert (True, "detached") in reasons(stage)


@pytest.mark.parametrize(("rule", "is_known"), [("always", True), ("al", True), ("never", False)])
def test_who_writes_in_private_in_a_room_that_may(rule: str, is_known: bool) -> None:
    stage = Stage()
    asleep(stage, IGNORE_UNKNOWN + groupchat(verona=rule))

    stage.write(sender=f"{VERONA}/Romeo")

    assert reasons(stage) == [(True, "detached") if is_known else (False, "unknown sender")]


def test_rooms_are_no_strangers() -> None:
    stage = Stage()
    asleep(stage, IGNORE_UNKNOWN)

    say(stage, "hi")

    assert reasons(stage) == [(True, "detached")]


def test_a_roster_is_read_first_if_it_has_to_be() -> None:
    stage = Stage()
    phone = stage.phone(enabled=False)
    phone.ask(
        "<iq type='set' id='r'><query xmlns='jabber:iq:roster'>"
        "<item jid='romeo@example.org'/></query></iq>"
    )
    enable(phone, IGNORE_UNKNOWN)
    phone.acknowledge()
    phone.cut()
    stage.hall.host.rosters._loaded.clear()

    stage.write()
    stage.write(sender="paris@example.org/x")

    assert reasons(stage)[-2:] == [(True, "detached"), (False, "unknown sender")]
    assert stage.service.counts == ["1"]


def test_a_carbon_is_weighed_by_what_is_inside() -> None:
    stage = Stage()
    phone = stage.phone(enabled=False)
    phone.ask("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    enable(phone, muted("romeo@example.org"))
    phone.acknowledge()
    phone.cut()
    stage.phone("desk", enabled=False)

    stage.write(to=f"{JULIET}/desk")
    stage.write(to=f"{JULIET}/desk", sender="paris@example.org/x")

    assert reasons(stage) == [(False, "muted"), (True, "detached")]
