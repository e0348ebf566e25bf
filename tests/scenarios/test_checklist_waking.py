"""Lines 43 to 69 of docs/checklist.rst: what wakes a phone, and with what, over real sockets.

Nothing is coalesced here, so that each message is a publish.
"""

from collections.abc import Iterator

import pytest

from pushd.wire import forms
from pushd.wire.element import child, text
from pushd.wire.namespaces import FORM_PUSH_SUMMARY, NS_CLIENT, NS_PUSH
from tests.patience import PATIENCE
from tests.scenarios.house import DOMAIN, FOREIGN, House, opened
from tests.scenarios.peers import Phone, befriend
from tests.scenarios.reading import (
    accepted,
    condition,
    info,
    item_of,
    options_form,
    secret_form,
    succeeded,
    summary,
)

OMEMO = (
    "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/>"
    "<payload>c2VjcmV0</payload></encrypted>"
)
CALL = "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>"
EVERYTHING = {
    "include_senders": "1",
    "include_message_count": "1",
    "include_subscription_count": "1",
    "include_message_bodies": "1",
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    yield from opened(tmp_path_factory)


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Where everything wakes a phone."""
    yield from opened(tmp_path_factory, push={"coalesce": 0, "notify_on": "all"})


def enabled(house: House, node: str, **options: str) -> Phone:
    """A phone with push."""
    phone = house.phone()
    succeeded(phone.enable(FOREIGN, node, options_form(**options)))
    return phone


def pushed(house: House, node: str) -> dict[str, str]:
    """The summary of the next publish to this node, which is accepted."""
    publish = house.service().publish(node)
    house.service().accept(publish)
    return summary(publish)


def is_quiet(house: House, node: str) -> bool:
    """Whether nothing has been published to this node that nobody took."""
    house.settle()
    return not house.service().published(node)


def reasons(house: House, phone: Phone) -> list[str]:
    """Why stanzas did not wake this phone."""
    return [
        one["reason"]
        for one in house.events("push-decided", account=phone.account)
        if not one["pushed"]
    ]


# Who is there.


@pytest.mark.line(43, 54)
@pytest.mark.mistake(9)
def test_a_connected_phone_is_not_pushed_whether_active_or_not(house: House) -> None:
    phone = enabled(house, "connected")
    for state in ("active", "inactive"):
        phone.say(f"<{state} xmlns='urn:xmpp:csi:0'/>")
        house.friend().message(phone.account, f"{state} I am")
    assert is_quiet(house, "connected")
    assert phone.bodies() == ["active I am", "inactive I am"]


@pytest.mark.line(44)
@pytest.mark.parametrize("has_sm", [True, False])
def test_the_loss_of_a_session_that_cannot_be_resumed_is_no_news(
    house: House, has_sm: bool
) -> None:
    """What was delivered before makes no push; what is stored from then on does."""
    phone = house.phone(sm=False)
    if has_sm:
        phone.manage(resume=False)
    node = f"without resumption {has_sm}"
    succeeded(phone.enable(FOREIGN, node))
    house.friend().message(phone.account, "delivered")
    phone.hear("delivered")
    phone.settled()
    phone.cut()
    assert is_quiet(house, node)
    house.friend().message(phone.account, "stored")
    assert pushed(house, node) == {"message-count": "1"}


@pytest.mark.line(44)
def test_without_resumption_there_is_no_push_at_all(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    for house in opened(tmp_path_factory, sessions={"resume_timeout": 0}):
        phone = house.phone(sm=False)
        found = info(phone.disco("info", phone.account))
        assert NS_PUSH not in found.features
        assert condition(phone.enable(FOREIGN, "off")) == "feature-not-implemented"


@pytest.mark.line(45, 58, 67)
def test_a_phone_that_said_goodbye_is_woken_for_what_is_stored(house: House) -> None:
    phone = enabled(house, "goodbye")
    phone.hang_up()
    assert is_quiet(house, "goodbye")
    house.friend().message(phone.account, "one")
    assert pushed(house, "goodbye") == {"message-count": "1"}
    again = house.phone(phone.account)
    house.friend().message(phone.account, "two")
    assert is_quiet(house, "goodbye")
    again.hear("one")
    again.hear("two")
    again.settled()
    again.cut()
    house.friend().message(phone.account, "three")
    assert pushed(house, "goodbye") == {"message-count": "1"}


@pytest.mark.line(46)
def test_a_loss_with_nothing_unacknowledged_is_no_news(house: House) -> None:
    phone = enabled(house, "all acknowledged")
    house.friend().message(phone.account, "read")
    house.friend().settled()
    assert phone.bodies() == ["read"]
    phone.settled()
    phone.cut()
    assert is_quiet(house, "all acknowledged")


@pytest.mark.line(47, 48, 81)
def test_a_loss_is_one_push_for_all_that_is_unacknowledged_and_each_later_message_one_more(
    house: House,
) -> None:
    phone = enabled(house, "unacknowledged")
    said = ["one", "two", "three", "four", "five"]
    for body in said[:3]:
        house.friend().message(phone.account, body)
    house.friend().settled()
    phone.cut()
    assert pushed(house, "unacknowledged") == {"message-count": "3"}
    for count, body in enumerate(said[3:], 4):
        house.friend().message(phone.account, body)
        assert pushed(house, "unacknowledged") == {"message-count": str(count)}
    assert is_quiet(house, "unacknowledged")
    assert phone.resume().name == "resumed"
    assert phone.bodies() == said


@pytest.mark.line(48)
@pytest.mark.parametrize("coalesce", ["1s", "1h"])
def test_what_follows_closely_goes_out_as_one_and_a_call_does_not_wait(
    tmp_path_factory: pytest.TempPathFactory, coalesce: str
) -> None:
    for house in opened(tmp_path_factory, push={"coalesce": coalesce}):
        phone, called = enabled(house, "closely"), enabled(house, "called")
        phone.cut()
        called.cut()
        for sleeper, node in ((phone, "closely"), (called, "called")):
            house.friend().message(sleeper.account, "the first")
            assert pushed(house, node) == {"message-count": "1"}
        for number in range(2, 7):
            house.friend().message(phone.account, f"number {number}")
            house.friend().message(called.account, f"number {number}")
        house.friend().message(called.account, payload=CALL)
        publish = house.service().publish("called")
        house.service().accept(publish)
        while coalesce == "1s" and summary(publish) != {"message-count": "7"}:
            publish = house.service().publish("called")  # a machine was slow with seven messages
            house.service().accept(publish)
        assert summary(publish) == {"message-count": "7"}
        assert "high" in item_of(publish).toXml()
        if coalesce == "1h":
            assert is_quiet(house, "closely")
        else:  # it goes out by itself; mostly as one, as the machine is mostly fast enough
            while pushed(house, "closely") != {"message-count": "6"}:
                pass


@pytest.mark.line(49, 50, 86)
@pytest.mark.parametrize("senders", ["0", "1"])
def test_requests_for_subscription_are_counted(house: House, senders: str) -> None:
    node = f"subscriptions {senders}"
    phone = enabled(house, node, include_senders=senders)
    phone.cut()
    for count in (1, 2, 3):
        asker = house.phone(sm=False)
        asker.say(f"<presence type='subscribe' to='{phone.account}'/>")
        expected = {"pending-subscription-count": str(count)}
        if senders == "1":
            expected["last-subscription-sender"] = asker.account
        assert pushed(house, node) == expected


@pytest.mark.line(51)
def test_only_the_device_that_is_away_is_pushed(house: House) -> None:
    phone = enabled(house, "away")
    tablet = house.phone(phone.account, "tablet")
    succeeded(tablet.enable(FOREIGN, "here"))
    phone.cut()
    house.friend().message(phone.account, "hello")
    assert pushed(house, "away") == {"message-count": "1"}
    assert is_quiet(house, "here")
    assert tablet.bodies() == ["hello"]


@pytest.mark.line(52)
def test_a_message_to_another_resource_alone_pushes_nobody_else(house: House) -> None:
    phone = enabled(house, "lower")
    desk = house.phone(phone.account, "desk")
    phone.say("<presence><priority>-1</priority></presence>")
    phone.settled()
    phone.cut()
    house.friend().message(desk.jid, "to the desk")
    house.friend().message(phone.account, "to who is there")
    assert is_quiet(house, "lower")
    assert desk.bodies() == ["to the desk", "to who is there"]


@pytest.mark.line(53)
def test_a_carbon_is_read_from_the_inside_and_one_s_own_wakes_nobody(house: House) -> None:
    phone = enabled(house, "carbons", **EVERYTHING)
    succeeded(phone.ask("<enable xmlns='urn:xmpp:carbons:2'/>"))
    desk = house.phone(phone.account, "desk")
    phone.cut()
    desk.message(house.friend().jid, "my own words")
    desk.settled()
    assert is_quiet(house, "carbons")
    assert reasons(house, phone)[-1] == "own copy"
    house.friend().message(desk.jid, "to the desk")
    assert pushed(house, "carbons") == {
        "message-count": "1",
        "last-message-sender": house.friend().jid,
        "last-message-body": "to the desk",
    }
    assert desk.bodies() == ["to the desk"]


@pytest.mark.line(55)
def test_what_client_state_keeps_back_pushes_neither_then_nor_at_resumption(house: House) -> None:
    phone = enabled(house, "kept back")
    contact = house.phone(sm=False)
    befriend(phone, contact)
    phone.say("<inactive xmlns='urn:xmpp:csi:0'/>")
    phone.settled()
    contact.say("<presence><show>away</show></presence>")
    contact.message(
        phone.account, payload="<composing xmlns='http://jabber.org/protocol/chatstates'/>"
    )
    contact.settled()
    phone.cut()
    contact.say("<presence><show>xa</show></presence>")
    contact.message(
        phone.account, payload="<paused xmlns='http://jabber.org/protocol/chatstates'/>"
    )
    contact.settled()
    assert is_quiet(house, "kept back")
    assert phone.resume().name == "resumed"
    assert is_quiet(house, "kept back")
    shows = [child(one, NS_CLIENT, "show") for one in phone.received() if one.name == "presence"]
    assert text(shows[-1]) == "xa"


# What counts.


SILENT = {
    "presence": "<presence to='{}'/>",
    "chat state": "<message to='{}'><composing xmlns='http://jabber.org/protocol/chatstates'/>"
    "</message>",
    "receipt": "<message to='{}'><received xmlns='urn:xmpp:receipts' id='1'/></message>",
    "marker": "<message to='{}'><displayed xmlns='urn:xmpp:chat-markers:0' id='1'/></message>",
    "request": "<iq type='get' id='1' to='{}'><query xmlns='jabber:iq:version'/></iq>",
    "headline": "<message type='headline' to='{}'><body>news</body></message>",
    "error": "<message type='error' to='{}'><body>bounced</body></message>",
}


@pytest.mark.line(56, 57)
@pytest.mark.parametrize("kind", SILENT)
def test_what_nobody_reads_wakes_nobody_unless_told_to(
    house: House, loud: House, kind: str
) -> None:
    for where in (house, loud):
        phone = enabled(where, kind)
        contact = where.phone(sm=False)
        befriend(phone, contact)
        phone.cut()
        contact.message(phone.account, "one")
        assert pushed(where, kind) == {"message-count": "1"}
        contact.say(SILENT[kind].format(phone.jid))
        if where is loud:
            assert pushed(where, kind) == {"message-count": "1"}
        assert is_quiet(where, kind)


@pytest.mark.line(58)
def test_what_is_stored_pushes_each_device_that_has_no_session(house: House) -> None:
    phone = enabled(house, "stored one")
    tablet = house.phone(phone.account, "tablet")
    succeeded(tablet.enable(FOREIGN, "stored two"))
    phone.hang_up()
    tablet.hang_up()
    for count in ("1", "2"):
        house.friend().message(phone.account, f"number {count}")
        for node in ("stored one", "stored two"):
            assert pushed(house, node) == {"message-count": count}


@pytest.mark.line(59)
def test_an_empty_body_does_no_harm_and_of_several_the_first_is_told(house: House) -> None:
    phone = enabled(house, "bodies", **EVERYTHING)
    phone.cut()
    friend = house.friend()
    for nothing in ("<body/>", "<body></body>", "<subject>only</subject>"):
        friend.message(phone.account, payload=nothing)
    assert is_quiet(house, "bodies")
    friend.message(phone.account, payload="<body>first</body><body xml:lang='de'>zweiter</body>")
    told = pushed(house, "bodies")
    assert (told["message-count"], told["last-message-body"]) == ("1", "first")


@pytest.mark.line(142)
def test_of_a_long_message_the_beginning_is_told(house: House) -> None:
    phone = house.phone()
    given = phone.register("long-body")
    options = options_form(include_message_bodies="1")
    succeeded(phone.enable(given["jid"], given["node"], options, secret_form(given["secret"])))
    phone.cut()
    house.friend().message(phone.account, "a long tale " * 10_000)
    [push] = house.pushes("long-body", wait=PATIENCE)
    told = push["message"]["data"]["last-message-body"]
    assert told.startswith("a long tale a long tale")
    assert 500 <= len(told) <= 501


@pytest.mark.line(60, 61)
def test_of_an_encrypted_message_only_the_fact_is_told(house: House) -> None:
    phone = enabled(house, "encrypted", **EVERYTHING)
    other = house.phone(sm=False)
    phone.cut()
    house.friend().message(phone.account, "plain words")
    pushed(house, "encrypted")
    other.message(phone.account, payload=f"{OMEMO}<body>I sent you an OMEMO message</body>")
    assert pushed(house, "encrypted") == {
        "message-count": "2",
        "last-message-sender": other.jid,
    }


@pytest.mark.line(62, 63)
@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("", set()),
        ("include_message_count", {"message-count"}),
        ("include_subscription_count", {"pending-subscription-count"}),
        ("include_senders", {"last-message-sender", "last-subscription-sender"}),
        ("include_message_bodies", {"last-message-body"}),
    ],
)
def test_each_part_is_told_only_with_its_option(house: House, option: str, told: set[str]) -> None:
    node = f"only {option}"
    options = dict.fromkeys(EVERYTHING, "0") | ({option: "1"} if option else {})
    phone = house.phone()
    assert len(accepted(phone.enable(FOREIGN, node, options_form(**options)))) == 4
    phone.cut()
    asker = house.phone(sm=False)
    asker.say(f"<presence type='subscribe' to='{phone.account}'/>")
    pushed(house, node)
    asker.message(phone.account, "hello")
    publish = house.service().publish(node)
    house.service().accept(publish)
    assert set(summary(publish)) == told
    notification = child(item_of(publish), NS_PUSH, "notification")
    assert notification is not None
    assert forms.find(notification, FORM_PUSH_SUMMARY) is not None


# Coming back.


@pytest.mark.line(64, 66)
def test_resumption_ends_the_pushing_and_counts_anew(house: House) -> None:
    phone = enabled(house, "resumed")
    phone.cut()
    for count in ("1", "2"):
        house.friend().message(phone.account, f"number {count}")
        assert pushed(house, "resumed") == {"message-count": count}
    assert phone.resume().name == "resumed"
    assert phone.bodies() == ["number 1", "number 2"]
    house.friend().message(phone.account, "while connected")
    assert is_quiet(house, "resumed")
    assert phone.bodies() == ["while connected"]
    phone.settled()
    phone.cut()
    house.friend().message(phone.account, "away again")
    assert pushed(house, "resumed") == {"message-count": "1"}
    assert phone.resume().name == "resumed"
    assert phone.bodies() == ["away again"]
    phone.hang_up()
    assert house.phone(phone.account).bodies() == []


@pytest.mark.line(65)
def test_each_device_has_counts_of_its_own(house: House) -> None:
    phone = enabled(house, "counts one")
    tablet = house.phone(phone.account, "tablet")
    succeeded(tablet.enable(FOREIGN, "counts two"))
    phone.cut()
    tablet.cut()
    house.friend().message(phone.account, "one")
    for node in ("counts one", "counts two"):
        assert pushed(house, node) == {"message-count": "1"}
    assert phone.resume().name == "resumed"
    phone.received()
    phone.settled()
    phone.cut()
    house.friend().message(phone.account, "two")
    assert pushed(house, "counts one") == {"message-count": "1"}
    assert pushed(house, "counts two") == {"message-count": "2"}


@pytest.mark.line(67)
def test_an_enablement_outlives_unavailable_presence_and_a_session_bound_anew(
    house: House,
) -> None:
    phone = enabled(house, "outlives")
    phone.say("<presence type='unavailable'/>")
    phone.settled()
    phone.cut()
    anew = house.phone(phone.account)
    anew.cut()
    house.friend().message(phone.account, "hello")
    assert pushed(house, "outlives") == {"message-count": "1"}
    assert not house.events("push-disabled", account=phone.account)


# The end of a session.


@pytest.mark.line(68, 69)
def test_at_the_end_messages_are_stored_requests_answered_and_presence_dropped(
    house: House,
) -> None:
    phone = house.phone()
    contact = house.phone(sm=False)
    befriend(phone, contact)
    tablet = house.phone(phone.account, "tablet", sm=False)
    tablet.say("<presence><priority>-1</priority></presence>")
    phone.cut()
    contact.message(phone.account, "kept")
    contact.say(f"<presence to='{phone.jid}'><status>gone by then</status></presence>")
    contact.say(
        f"<iq type='get' id='late' to='{phone.jid}'><query xmlns='jabber:iq:version'/></iq>"
    )
    contact.settled()
    house.operate("kick", jid=phone.jid)
    answer = contact.take("answer", lambda one: one.getAttribute("id") == "late")
    assert condition(answer) in ("service-unavailable", "recipient-unavailable")
    house.event("session-ended", session=phone.jid)
    again = house.phone(phone.account, sm=False)
    message = again.hear("kept")
    assert not [one for one in again.received() if "gone by then" in one.toXml()]
    delay = child(message, "urn:xmpp:delay", "delay")
    assert delay is not None
    assert delay["from"] == DOMAIN
