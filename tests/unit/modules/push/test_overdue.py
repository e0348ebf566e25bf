"""A phone that is connected, and acknowledges nothing: it is pushed, and keeps its session."""

from pathlib import Path

import pytest

from pushd.modules.push.module import Push
from pushd.routing.events import PushDecided, ServerStarted, SessionDetached, Undelivered
from tests.hall import Client, Hall
from tests.unit.modules.push.stage import JULIET, Service, Stage, summary

CALL = "<propose xmlns='urn:xmpp:jingle-message:0' id='a'/>"
COMPOSING = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"


def reasons(stage: Stage) -> list[str]:
    return [event.reason for event in stage.hall.events(PushDecided) if event.pushed]


def bodies(client: Client) -> list[str]:
    return [str(one.body) for one in client.received() if one.name == "message" and one.body]


def test_what_is_not_acknowledged_in_time_is_pushed_as_one_and_the_session_goes_on() -> None:
    stage = Stage()
    phone = stage.phone()
    for text in ("one", "two", "three"):
        stage.write(text)
    stage.write(content=COMPOSING)
    assert stage.service.publishes == []

    stage.overdue(phone)

    [publish] = stage.service.publishes
    assert summary(publish)["message-count"] == "3"
    assert summary(publish)["last-message-body"] == "three"
    assert stage.hall.events(SessionDetached) == []
    assert not phone.session.is_detached
    assert bodies(phone) == ["one", "two", "three"]


def test_what_comes_then_counts_on_and_still_goes_to_the_phone() -> None:
    stage = Stage()
    phone = stage.phone()
    stage.write("one")
    stage.overdue(phone)

    stage.write("two")
    stage.write(content=CALL)

    assert stage.service.counts == ["1", "2", "3"]
    assert bodies(phone) == ["one", "two"]


def test_nothing_is_announced_twice_however_often_it_is_looked_at() -> None:
    stage = Stage()
    phone = stage.phone()
    stage.write("one")

    for _ in range(3):
        stage.overdue(phone)

    assert stage.service.counts == ["1"]
    assert len(stage.hall.events(Undelivered)) == 1


def test_an_acknowledgement_says_that_the_phone_is_there() -> None:
    stage = Stage()
    phone = stage.phone()
    stage.write("one")
    stage.overdue(phone)

    phone.acknowledge()
    stage.write("two")
    assert stage.service.counts == ["1"]

    phone.acknowledge()
    phone.cut()
    stage.write("three")
    assert stage.service.counts == ["1", "1"]


def test_nothing_is_pushed_twice_when_the_connection_is_lost() -> None:
    stage = Stage()
    phone = stage.phone()
    stage.write("one")
    stage.overdue(phone)
    stage.write("two")

    phone.cut()
    assert stage.service.counts == ["1", "2"]

    stage.write("three")
    assert stage.service.counts == ["1", "2", "3"]


def test_what_comes_after_an_acknowledgement_is_pushed_when_the_connection_is_lost() -> None:
    """But not what was overdue, and of which the phone has confirmed only a part."""
    stage = Stage()
    phone = stage.phone()
    stage.write("one")
    stage.write("two")
    stage.overdue(phone)
    phone.acknowledge(phone.outlet.handled - 1)
    stage.write("three")

    phone.cut()

    assert stage.service.counts == ["2", "1"]
    assert summary(stage.service.publishes[1])["last-message-body"] == "three"


def test_a_phone_that_resumes_and_is_lost_again_is_pushed_as_any_other() -> None:
    stage = Stage()
    phone = stage.phone()
    seen = phone.outlet.handled
    stage.write("one")
    stage.overdue(phone)
    phone.cut()
    phone.resume(seen)

    phone.cut()

    assert stage.service.counts == ["1", "1"]


@pytest.mark.line(54, 55)
def test_what_is_held_for_an_inactive_phone_is_not_overdue() -> None:
    """XEP-0352: it was not sent yet, so nobody can acknowledge it."""
    stage = Stage(notify_on="all")
    phone = stage.phone()
    stage.write("one")
    phone.inactive()
    stage.write(content=COMPOSING)

    stage.overdue(phone)
    assert reasons(stage) == ["unacked"]
    stage.write(content=COMPOSING)
    assert reasons(stage) == ["unacked"]

    stage.write("two")
    assert stage.service.counts[-1] == "2"
    assert len(reasons(stage)) == 4  # what was held has gone out before it


@pytest.mark.line(54, 55)
def test_presence_that_was_held_is_news_once_it_is_lost_where_everything_is() -> None:
    """With `notify_on: all`; while it is held it wakes nobody, and the newest alone is kept."""
    stage = Stage(notify_on="all")
    phone = stage.phone()
    phone.inactive()
    for number in range(3):
        stage.hall.route(
            f"<presence from='nurse@example.org/x' to='{phone.session.full}'>"
            f"<status>{number}</status></presence>"
        )
    stage.hall.advance(60)
    assert stage.service.publishes == []
    assert stage.hall.events(PushDecided) == []

    phone.cut()

    assert reasons(stage) == ["detached"]
    assert [summary(one) for one in stage.service.publishes] == [{}]
    stage.hall.route(f"<presence from='nurse@example.org/x' to='{phone.session.full}'/>")
    assert len(stage.service.publishes) == 2
    assert len(phone.session.queue or ()) == 1


@pytest.mark.line(55)
def test_presence_that_was_held_wakes_nobody_where_messages_alone_do() -> None:
    stage = Stage()
    phone = stage.phone()
    phone.inactive()
    stage.hall.route(f"<presence from='nurse@example.org/x' to='{phone.session.full}'/>")

    phone.cut()
    phone.resume(phone.outlet.handled)

    assert stage.service.publishes == []
    assert [one.name for one in phone.received()] == ["presence"]


def test_a_device_whose_session_is_another_is_not_pushed() -> None:
    stage = Stage()
    phone = stage.phone("phone")
    stage.phone("tablet")
    stage.write(to=phone.session.full)

    stage.overdue(phone)

    assert [one.tree.pubsub.publish["node"] for one in stage.service.publishes] == ["phone"]


def test_what_a_session_held_when_it_ends_is_stored_and_not_pushed_again() -> None:
    stage = Stage()
    phone = stage.phone()
    stage.write("one")
    stage.overdue(phone)

    phone.close()

    assert stage.service.counts == ["1"]
    assert stage.hall.rows("SELECT COUNT(*) FROM offline") == [(1,)]


def test_nothing_is_pushed_twice_after_a_kill(tmp_path: Path) -> None:
    stage = Stage(path=tmp_path / "pushd.db")
    phone = stage.phone()
    stage.write("one")
    stage.overdue(phone)
    assert stage.service.counts == ["1"]

    hall = stage.hall.killed()
    service = Service(hall)
    hall.host.events.emit(ServerStarted())
    hall.advance(0)
    assert service.counts == []

    write(hall, "two")
    assert service.counts == ["2"]


def test_after_a_kill_and_a_return_all_is_as_if_there_had_been_none(tmp_path: Path) -> None:
    stage = Stage(path=tmp_path / "pushd.db")
    phone = stage.phone()
    seen = phone.outlet.handled
    stage.write("one")
    stage.overdue(phone)
    hall = stage.hall.killed()
    service = Service(hall)
    hall.host.events.emit(ServerStarted())
    session = hall.host.sessions.by_token(phone.session.token)
    assert session is not None
    back = Client(hall, session, phone.outlet)

    back.resume(seen)
    back.cut()

    assert service.counts == ["1"]
    [push] = (module for module in hall.modules if isinstance(module, Push))
    [one] = push.enablements.of(JULIET)
    assert one.queued.messages == 1


def write(hall: Hall, text: str) -> None:
    sender = "romeo@example.org/orchard"
    hall.route(f"<message from='{sender}' to='{JULIET}'><body>{text}</body></message>")
