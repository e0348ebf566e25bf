from pathlib import Path

import pytest

from pushd.modules.push.options import Told
from pushd.routing.delivery import QueueLimits
from pushd.routing.events import PushDecided, PushDisabled
from tests.unit.modules.push.stage import (
    HOUR,
    JULIET,
    PHONE,
    SERVICE,
    Service,
    Stage,
    enable,
    options,
    refused,
    silence,
    summary,
)

INVITATION = "<x xmlns='jabber:x:conference' jid='verona@rooms.example.org'/>"
CALL = "<propose xmlns='urn:xmpp:jingle-message:0' id='a'/>"
OMEMO = (
    "<encrypted xmlns='urn:xmpp:omemo:2'><header sid='1'/><payload>xyz</payload></encrypted>"
    "<body>You cannot read this</body>"
)
COMPOSING = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"


def subscribe(stage: Stage, sender: str) -> None:
    stage.hall.route(f"<presence type='subscribe' from='{sender}' to='{JULIET}'/>")


# When.


@pytest.mark.line(43, 54)
def test_a_device_that_is_there_is_not_pushed() -> None:
    stage = Stage()
    phone = stage.phone()

    stage.write()
    stage.write()

    assert stage.service.publishes == []
    assert len(phone.received()) == 2


def test_a_device_that_is_inactive_is_not_pushed() -> None:
    """XEP-0352: it is there, and what is held for it wakes nobody when the stream is lost."""
    stage = Stage()
    phone = stage.phone()
    phone.inactive()

    stage.write(content=COMPOSING)
    stage.hall.advance(HOUR)
    assert phone.received() == []
    stage.write()
    assert len(phone.received()) == 2
    phone.acknowledge()
    stage.write(content=COMPOSING)
    phone.cut()
    assert stage.service.publishes == []

    stage.write()
    assert stage.service.counts == ["1"]


@pytest.mark.line(45, 58)
def test_a_device_that_says_goodbye_is_pushed_for_what_is_stored() -> None:
    """An enablement outlives its session."""
    stage = Stage()
    phone = stage.phone()
    phone.close()

    stage.write()

    assert stage.service.counts == ["1"]
    assert stage.hall.rows("SELECT COUNT(*) FROM offline") == [(1,)]


@pytest.mark.line(44, 58)
def test_a_device_without_resumption_is_pushed_for_what_is_stored() -> None:
    stage = Stage()
    phone = stage.hall.login(PHONE)
    enable(phone)
    phone.cut()

    stage.write()

    assert stage.service.counts == ["1"]


@pytest.mark.line(46)
def test_detaching_with_nothing_queued_pushes_nothing() -> None:
    stage = Stage()
    stage.asleep()

    assert stage.service.publishes == []


@pytest.mark.line(47)
def test_what_stands_unacknowledged_is_pushed_as_one() -> None:
    stage = Stage()
    phone = stage.phone()
    for text in ("one", "two", "three"):
        stage.write(text)
    stage.write(content=COMPOSING)

    phone.cut()

    [publish] = stage.service.publishes
    assert summary(publish)["message-count"] == "3"
    assert summary(publish)["last-message-body"] == "three"


@pytest.mark.line(48)
def test_each_later_message_is_pushed_with_the_running_count() -> None:
    stage = Stage()
    stage.asleep()

    for text in ("one", "two", "three"):
        stage.write(text)

    assert stage.service.counts == ["1", "2", "3"]


@pytest.mark.line(49, 50)
def test_requests_for_subscriptions_are_counted_apart() -> None:
    stage = Stage()
    stage.asleep()

    subscribe(stage, "romeo@example.org")
    subscribe(stage, "paris@example.org")

    assert [summary(publish) for publish in stage.service.publishes] == [
        {"pending-subscription-count": "1", "last-subscription-sender": "romeo@example.org"},
        {"pending-subscription-count": "2", "last-subscription-sender": "paris@example.org"},
    ]


def test_a_request_for_a_subscription_wakes_a_device_without_a_session() -> None:
    stage = Stage()
    stage.phone().close()

    subscribe(stage, "romeo@example.org")

    assert summary(stage.service.publishes[0])["pending-subscription-count"] == "1"


@pytest.mark.line(51)
def test_only_the_device_that_is_away_is_pushed() -> None:
    stage = Stage()
    stage.asleep("phone")
    stage.phone("tablet")

    stage.write()

    assert [one.tree.pubsub.publish["node"] for one in stage.service.publishes] == ["phone"]


@pytest.mark.line(52)
def test_a_message_that_goes_to_another_session_alone_pushes_nothing() -> None:
    stage = Stage()
    stage.asleep()
    desk = stage.phone("desk", enabled=False)
    desk.send("<presence><priority>5</priority></presence>")
    desk.received()

    stage.write()

    assert stage.service.publishes == []
    assert len(desk.received()) == 1


def test_a_device_that_is_there_but_takes_no_messages_is_not_pushed() -> None:
    stage = Stage()
    phone = stage.phone()
    phone.send("<presence type='unavailable'/>")

    stage.write()

    assert stage.service.publishes == []


@pytest.mark.line(58)
def test_every_device_without_a_session_is_pushed_for_what_is_stored() -> None:
    stage = Stage()
    stage.phone("phone").close()
    stage.phone("tablet").close()

    stage.write()

    nodes = [one.tree.pubsub.publish["node"] for one in stage.service.publishes]
    assert sorted(nodes) == ["phone", "tablet"]


def test_messages_in_flight_when_a_session_is_closed_are_pushed() -> None:
    stage = Stage()
    phone = stage.phone()
    stage.write()

    phone.close()

    assert stage.service.counts == ["1"]


# What counts.


@pytest.mark.line(60)
@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("<body>hi</body>", {"last-message-body": "hi"}),
        ("<body>hi</body><body xml:lang='it'>ciao</body>", {"last-message-body": "hi"}),
        (OMEMO, {}),
        (INVITATION, {}),
        (CALL, {}),
    ],
)
def test_what_counts_is_pushed_with_its_sender(content: str, told: dict[str, str]) -> None:
    stage = Stage()
    stage.asleep()

    stage.write(content=content)

    assert summary(stage.service.publishes[0]) == {
        "message-count": "1",
        "last-message-sender": "romeo@example.org/orchard",
        **told,
    }


@pytest.mark.line(55, 56, 59)
@pytest.mark.parametrize(
    "xml",
    [
        f"<message from='r@example.org/o' to='{JULIET}'>{COMPOSING}</message>",
        f"<message from='r@example.org/o' to='{JULIET}'><body/></message>",
        f"<presence from='r@example.org/o' to='{PHONE}'/>",
        f"<iq type='get' id='a' from='r@example.org/o' to='{PHONE}'><q xmlns='urn:example'/></iq>",
    ],
)
def test_what_does_not_count_neither_pushes_nor_hinders(xml: str) -> None:
    stage = Stage()
    stage.asleep()

    stage.hall.route(xml)
    assert stage.service.publishes == []

    stage.write()
    assert stage.service.counts == ["1"]


@pytest.mark.line(56, 57)
def test_everything_wakes_a_phone_if_the_operator_wants_that() -> None:
    """It changes nothing of the summary."""
    stage = Stage(notify_on="all")
    stage.asleep()
    stage.write("hi")

    stage.hall.route(f"<presence from='r@example.org/o' to='{PHONE}'/>")

    assert len(stage.service.publishes) == 2
    assert summary(stage.service.publishes[1]) == summary(stage.service.publishes[0])


@pytest.mark.line(53)
def test_own_copies_wake_nobody_even_then() -> None:
    stage = Stage(notify_on="all")
    phone = stage.asleep()
    copy = (
        f"<message from='{JULIET}' to='{PHONE}'><sent xmlns='urn:xmpp:carbons:2'>"
        "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'>"
        "<body>hi</body></message></forwarded></sent></message>"
    )

    stage.hall.route(copy)

    assert len(phone.session.queue or ()) == 1
    assert stage.service.publishes == []
    assert stage.hall.events(PushDecided)[-1].reason == "own copy"


@pytest.mark.line(61)
def test_sender_and_body_are_of_the_same_message() -> None:
    stage = Stage()
    stage.asleep()
    stage.write("hi", sender="romeo@example.org/orchard")

    stage.write(sender="paris@example.org/tomb", content=OMEMO)

    assert summary(stage.service.publishes[1]) == {
        "message-count": "2",
        "last-message-sender": "paris@example.org/tomb",
    }


@pytest.mark.line(62, 63)
@pytest.mark.parametrize(
    ("told", "fields"),
    [
        (Told(True, False, False, False), {"last-message-sender", "last-subscription-sender"}),
        (Told(False, True, False, False), {"message-count"}),
        (Told(False, False, True, False), {"pending-subscription-count"}),
        (Told(False, False, False, True), {"last-message-body"}),
        (Told(False, False, False, False), set()),
    ],
)
def test_only_what_is_switched_on_is_told(told: Told, fields: set[str]) -> None:
    stage = Stage(told=told)
    stage.asleep()
    subscribe(stage, "romeo@example.org")

    stage.write()

    assert summary(stage.service.publishes[1]).keys() == fields


def test_options_of_the_account_go_before_those_of_the_server() -> None:
    stage = Stage(told=Told())
    phone = stage.phone(enabled=False)
    enable(phone, options(include_message_bodies="1", include_message_count="0"))
    phone.cut()

    stage.write("hi")

    assert summary(stage.service.publishes[0]) == {"last-message-body": "hi"}


def test_each_decision_is_told_with_its_reason() -> None:
    stage = Stage()
    stage.asleep()

    stage.write()
    stage.write(content=COMPOSING)

    romeo = "romeo@example.org"
    assert stage.hall.events(PushDecided) == [
        PushDecided(JULIET, SERVICE, "phone", True, "detached", "message", romeo),
        PushDecided(JULIET, SERVICE, "phone", False, "chat state", "message", romeo),
    ]


# The device is back.


@pytest.mark.line(64, 66)
def test_resuming_clears_the_counters_and_ends_the_pushes() -> None:
    stage = Stage()
    phone = stage.asleep()
    stage.write("one")

    phone.resume()
    stage.write("two")
    assert stage.service.counts == ["1"]
    assert [str(one.body) for one in phone.received() if one.name == "message"] == ["one", "two"]

    phone.acknowledge()
    phone.cut()
    stage.write("three")
    assert stage.service.counts == ["1", "1"]


@pytest.mark.line(47)
def test_what_was_resumed_but_not_acknowledged_is_pushed_again_when_it_is_lost() -> None:
    stage = Stage()
    phone = stage.asleep()
    stage.write("one")
    phone.resume()

    phone.cut()

    assert stage.service.counts == ["1", "1"]


@pytest.mark.line(65)
def test_the_return_of_one_device_leaves_the_others_counters_alone() -> None:
    stage = Stage()
    phone = stage.asleep("phone")
    tablet = stage.asleep("tablet")
    stage.write(to=phone.session.full)
    stage.write(to=tablet.session.full)

    phone.resume()
    stage.write(to=tablet.session.full)

    assert stage.service.counts == ["1", "1", "2"]


def test_a_device_that_binds_anew_is_back_and_keeps_its_enablement() -> None:
    stage = Stage()
    stage.asleep()
    stage.write("one")

    phone = stage.hall.login(PHONE, sm=True)
    phone.acknowledge()
    phone.cut()
    stage.write("two")

    assert stage.service.counts == ["1", "1"]


def test_a_device_that_enables_from_a_new_session_gets_what_the_old_one_had() -> None:
    stage = Stage()
    old = stage.asleep()
    stage.write("one")

    new = stage.hall.login(f"{JULIET}/other", sm=True)
    new.received()
    enable(new)

    assert not stage.hall.host.lifecycle.is_alive(old.session)
    assert "one" in [str(one.body) for one in new.received() if one.name == "message"]
    assert stage.service.counts == ["1"]


@pytest.mark.line(67)
def test_an_enablement_outlives_unavailable_presence_and_the_end_of_its_session() -> None:
    """It stays."""
    stage = Stage()
    phone = stage.phone()
    phone.send("<presence type='unavailable'/>")
    phone.close()

    assert stage.nodes() == ["phone"]


# The hold.


@pytest.mark.line(70, 71)
def test_an_enabled_session_is_held_longer() -> None:
    stage = Stage(hold=10 * HOUR)
    phone = stage.asleep()
    desk = stage.phone("desk", enabled=False)
    desk.cut()

    stage.hall.advance(301)
    assert not stage.hall.host.lifecycle.is_alive(desk.session)
    assert stage.hall.host.lifecycle.is_alive(phone.session)

    stage.hall.advance(10 * HOUR)
    assert not stage.hall.host.lifecycle.is_alive(phone.session)


@pytest.mark.line(68, 69)
def test_what_a_session_held_is_stored_when_its_hold_ends_and_not_counted_again() -> None:
    stage = Stage(hold=HOUR)
    stage.asleep()
    stage.write("one")
    stage.write("two")
    stage.hall.route(f"<presence from='r@example.org/o' to='{PHONE}'/>")

    stage.hall.advance(HOUR)
    [row] = stage.hall.rows("SELECT COUNT(*) FROM offline")
    assert row == (2,)

    stage.write("three")
    assert stage.service.counts == ["1", "2", "2", "3"]  # one of them the last call


def test_what_overflows_a_queue_is_not_counted_again() -> None:
    stage = Stage(limits=QueueLimits(stanzas=1))
    phone = stage.asleep()

    for _ in range(3):
        stage.write()

    assert not stage.hall.host.lifecycle.is_alive(phone.session)
    assert stage.hall.rows("SELECT COUNT(*) FROM offline") == [(3,)]
    assert stage.service.counts == ["1", "2", "3"]


def test_another_device_hears_of_what_is_stored_when_the_hold_of_one_ends() -> None:
    stage = Stage(hold=HOUR)
    stage.phone("tablet").close()
    stage.asleep("phone")
    stage.write("one")

    stage.hall.advance(HOUR + 1)

    nodes = [one.tree.pubsub.publish["node"] for one in stage.service.publishes]
    assert nodes == ["phone", "phone", "tablet"]


@pytest.mark.line(73)
def test_a_device_is_woken_once_more_before_its_hold_ends() -> None:
    stage = Stage(hold=HOUR)
    stage.asleep()

    stage.hall.advance(HOUR - 121)
    assert stage.service.publishes == []

    stage.service.answer = silence
    stage.hall.advance(1)
    assert [summary(publish) for publish in stage.service.publishes] == [{}]
    assert stage.hall.events(PushDecided)[-1].reason == "hold ends"
    # As it is not answered yet, it would be said again after a restart.
    row = "SELECT queued_others, pushed_others FROM push_enablements"
    assert stage.hall.rows(row) == [(1, 0)]


def test_a_device_that_came_back_is_not_called_a_last_time() -> None:
    stage = Stage(hold=HOUR)
    phone = stage.asleep()
    phone.resume()
    phone.acknowledge()

    stage.hall.advance(2 * HOUR)

    assert stage.service.publishes == []


def test_a_session_that_has_ended_leaves_no_timer() -> None:
    stage = Stage()
    before = len(stage.hall.clock.getDelayedCalls())
    phone = stage.asleep()

    stage.hall.host.lifecycle.end(phone.session, "an operator wants it")
    stage.hall.advance(0)

    assert len(stage.hall.clock.getDelayedCalls()) == before


# Restarts.


def restarted(stage: Stage, path: Path, **options: object) -> Stage:
    """The same storage under another server; the old one was killed after its last commit."""
    killed = path.with_name(f"{path.name}-after")
    for suffix in ("", "-wal"):
        found = Path(f"{path}{suffix}")
        if found.exists():
            Path(f"{killed}{suffix}").write_bytes(found.read_bytes())
    return Stage(path=killed, **options)  # type: ignore[arg-type]


def test_what_was_queued_and_not_pushed_is_pushed_after_a_restart(tmp_path: Path) -> None:
    stage = Stage(path=tmp_path / "db")
    stage.asleep()
    stage.service.answer = silence
    stage.write("one")
    stage.write("two")
    subscribe(stage, "paris@example.org")

    again = restarted(stage, tmp_path / "db")

    assert [summary(publish) for publish in again.service.publishes] == [
        {
            "message-count": "2",
            "last-message-sender": "romeo@example.org/orchard",
            "last-message-body": "two",
            "pending-subscription-count": "1",
            "last-subscription-sender": "paris@example.org",
        }
    ]


@pytest.mark.line(75, 78)
def test_what_was_pushed_is_not_pushed_again_after_a_restart(tmp_path: Path) -> None:
    stage = Stage(path=tmp_path / "db")
    stage.asleep()
    stage.write("one")

    again = restarted(stage, tmp_path / "db")
    assert again.service.publishes == []

    again.write("two")
    assert again.service.counts == ["2"]


def test_a_live_session_that_a_kill_cut_off_is_pushed_and_held(tmp_path: Path) -> None:
    stage = Stage(path=tmp_path / "db")
    stage.phone()
    stage.write("one")

    again = restarted(stage, tmp_path / "db")

    assert again.service.counts == ["1"]
    again.hall.advance(HOUR)
    assert len(again.hall.host.sessions.of(JULIET)) == 1


def test_enablements_and_options_survive_a_restart(tmp_path: Path) -> None:
    stage = Stage(path=tmp_path / "db", told=Told())
    phone = stage.phone(enabled=False)
    enable(phone, options(include_message_bodies="1"), node="n")
    phone.close()

    again = restarted(stage, tmp_path / "db", told=Told())
    again.write("hi")

    assert summary(again.service.publishes[0])["last-message-body"] == "hi"


def test_a_visit_is_not_forgotten_by_a_restart(tmp_path: Path) -> None:
    stage = Stage(path=tmp_path / "db")
    phone = stage.asleep()
    stage.service.answer = silence
    stage.write()
    phone.resume()
    phone.acknowledge()

    assert restarted(stage, tmp_path / "db").service.publishes == []


def test_a_last_call_survives_a_restart(tmp_path: Path) -> None:
    stage = Stage(path=tmp_path / "db", hold=HOUR)
    stage.phone("a-tablet").close()
    stage.asleep()

    again = restarted(stage, tmp_path / "db", hold=HOUR)
    again.hall.advance(HOUR - 60)

    assert len(again.service.publishes) == 1


# What ends an enablement.

SHAPES = {
    "XEP-0357": " node='{node}'><affiliation jid='{jid}' affiliation='{affiliation}'/>",
    "XEP-0060": "><affiliations node='{node}'>"
    "<affiliation jid='{jid}' affiliation='{affiliation}'/></affiliations>",
}


def notice(shape: str, node: str = "phone", jid: str = JULIET, affiliation: str = "none") -> str:
    return SHAPES[shape].format(node=node, jid=jid, affiliation=affiliation)


@pytest.mark.line(91)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("jid", [JULIET, "example.net"])
def test_a_notice_of_the_service_removes_the_enablement(shape: str, jid: str) -> None:
    stage = Stage()
    phone = stage.phone()

    stage.service.notice(notice(shape, jid=jid))

    assert stage.nodes() == []
    assert stage.hall.events(PushDisabled)[0].reason == "the service gave notice"
    assert len(phone.received()) == 1  # the client is told


@pytest.mark.line(92)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "given",
    [
        {"jid": "romeo@example.net"},
        {"node": "tablet"},
        {"affiliation": "publish-only"},
        {"affiliation": "owner"},
    ],
)
def test_a_notice_about_something_else_removes_nothing(shape: str, given: dict[str, str]) -> None:
    stage = Stage()
    stage.phone()

    stage.service.notice(notice(shape, **given))

    assert stage.nodes() == ["phone"]


@pytest.mark.line(92)
@pytest.mark.parametrize(
    "sender", ["push.example.com", f"mallory@{SERVICE}", "romeo@example.net/o"]
)
def test_a_notice_of_another_removes_nothing(sender: str) -> None:
    stage = Stage()
    stage.phone()

    stage.service.notice(notice("XEP-0357"), sender=sender)

    assert stage.nodes() == ["phone"]


@pytest.mark.line(92)
def test_a_notice_to_another_account_removes_nothing() -> None:
    stage = Stage()
    stage.phone()
    stage.hall.add_account("romeo@example.net")

    stage.service.notice(notice("XEP-0357"), to="romeo@example.net")

    assert stage.nodes() == ["phone"]


@pytest.mark.line(121)
def test_a_notice_ends_the_detached_session_that_nothing_wakes_any_more() -> None:
    stage = Stage()
    phone = stage.asleep()
    stage.write("one")
    stage.hall.advance(301)  # more than any client was promised

    stage.service.notice(notice("XEP-0357"))

    assert not stage.hall.host.lifecycle.is_alive(phone.session)
    assert stage.hall.rows("SELECT COUNT(*) FROM offline") == [(2,)]  # the notice, too


def test_a_session_whose_service_refuses_it_is_held_as_one_without_push() -> None:
    stage = Stage()
    phone = stage.asleep()
    stage.hall.advance(301)
    stage.service.answer = refused("item-not-found", "cancel")

    stage.write("one")

    assert not stage.hall.host.lifecycle.is_alive(phone.session)
    assert stage.hall.rows("SELECT COUNT(*) FROM offline") == [(1,)]


@pytest.mark.line(121)
def test_a_session_that_nothing_wakes_any_more_is_held_as_long_as_was_promised() -> None:
    stage = Stage()
    phone = stage.asleep()
    stage.hall.advance(100)

    stage.service.notice(notice("XEP-0357"))

    stage.hall.advance(199)
    assert stage.hall.host.lifecycle.is_alive(phone.session)
    stage.hall.advance(1)
    assert not stage.hall.host.lifecycle.is_alive(phone.session)


def test_a_notice_leaves_a_session_that_another_service_wakes() -> None:
    stage = Stage()
    other = Service(stage.hall, "push.example.com")
    phone = stage.phone()
    enable(phone, service=other.domain)
    phone.cut()

    stage.service.notice(notice("XEP-0357"))

    assert stage.hall.host.lifecycle.is_alive(phone.session)


@pytest.mark.parametrize("is_detached", [True, False])
def test_the_client_is_told_of_a_removal_when_it_is_next_there(is_detached: bool) -> None:
    stage = Stage()
    phone = stage.phone()
    phone.cut() if is_detached else phone.close()
    stage.service.answer = refused("item-not-found", "cancel")
    stage.write("hi")
    assert stage.nodes() == []

    if is_detached:
        phone.resume()
    else:
        phone = stage.hall.login(PHONE, sm=True, available=False)
        phone.send("<presence/>")
        stage.hall.advance(0)

    told = [one for one in phone.received() if one.name == "message" and one.disable]
    assert [(one["from"], one.disable["jid"], one.disable["node"]) for one in told] == [
        (JULIET, SERVICE, "phone")
    ]


@pytest.mark.line(150)
def test_with_an_account_go_its_enablements_and_options() -> None:
    stage = Stage()
    phone = stage.phone(enabled=False)
    enable(phone, options(include_senders="0"))
    phone.close()

    stage.hall.wait(stage.hall.host.accounts.remove(JULIET))

    assert stage.nodes() == []
    assert stage.hall.rows("SELECT * FROM push_enablements") == []
    assert stage.hall.rows("SELECT * FROM push_options") == []
    assert [event.reason for event in stage.hall.events(PushDisabled)] == [
        "the account was removed"
    ]
