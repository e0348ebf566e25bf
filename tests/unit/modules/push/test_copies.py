"""What carbons and blocks mean for push, with the modules themselves."""

import pytest

from pushd.routing.events import PushDecided, SessionEnded
from tests.hall import Client
from tests.unit.modules.push.stage import JULIET, Stage, ask, summary

CARBONS = "<enable xmlns='urn:xmpp:carbons:2'/>"


def copied(stage: Stage, resource: str = "phone") -> Client:
    """A phone that wants copies and push, and sleeps."""
    phone = stage.phone(resource)
    assert ask(phone, CARBONS)["type"] == "result"
    phone.acknowledge()
    phone.cut()
    return phone


@pytest.mark.line(53)
def test_a_copy_of_what_came_for_the_desk_wakes_the_phone_with_its_real_sender() -> None:
    stage = Stage()
    stage.phone("desk", enabled=False)
    copied(stage)

    stage.write("hi", to=f"{JULIET}/desk")

    [publish] = stage.service.publishes
    assert summary(publish) == {
        "message-count": "1",
        "last-message-sender": "romeo@example.org/orchard",
        "last-message-body": "hi",
    }


@pytest.mark.line(53)
def test_a_copy_of_ones_own_words_never_wakes_the_phone() -> None:
    stage = Stage()
    stage.hall.host.router.add_host("example.org", lambda stanza: None)
    desk = stage.phone("desk", enabled=False)
    copied(stage)

    desk.send("<message to='romeo@example.org' type='chat'><body>hi</body></message>")
    desk.send(f"<message to='{JULIET}/desk' type='chat'><body>to myself</body></message>")

    assert stage.service.publishes == []
    decided = [(one.pushed, one.reason) for one in stage.hall.events(PushDecided)]
    assert decided == [(False, "own copy")] * 2


def test_a_message_and_its_copy_wake_each_phone_once_and_are_stored_once() -> None:
    stage = Stage()
    copied(stage, "phone")
    copied(stage, "tablet")

    stage.write("hi", to=f"{JULIET}/tablet")

    assert stage.service.counts == ["1", "1"]
    stage.hall.advance(400 * 3600)  # both holds end
    assert len(stage.hall.events(SessionEnded)) == 2
    assert stage.hall.rows("SELECT COUNT(*) FROM offline") == [(1,)]
    decided = [one.reason for one in stage.hall.events(PushDecided) if one.pushed]
    assert decided.count("detached") == 2
    assert "absent" not in decided


def test_who_was_there_when_its_session_ended_hears_of_what_is_stored() -> None:
    """It has not acknowledged the message, but nobody was told that it waits."""
    stage = Stage()
    copied(stage, "phone")
    tablet = stage.phone("tablet")
    stage.write("hi", to=f"{JULIET}/tablet")
    stage.hall.advance(10)
    tablet.close()
    assert stage.service.counts == ["1"]

    stage.hall.advance(400 * 3600)

    decided = [(one.node, one.reason) for one in stage.hall.events(PushDecided) if one.pushed]
    assert ("tablet", "absent") in decided
    assert ("phone", "absent") not in decided


def test_what_a_blocked_one_sends_wakes_nobody() -> None:
    stage = Stage()
    phone = stage.phone()
    block = "<block xmlns='urn:xmpp:blocking'><item jid='romeo@example.org'/></block>"
    assert ask(phone, block)["type"] == "result"
    phone.cut()

    stage.write()
    stage.hall.route(f"<presence from='romeo@example.org/x' to='{JULIET}' type='subscribe'/>")
    assert stage.service.publishes == []

    stage.write(sender="nurse@example.org/x")
    assert stage.service.counts == ["1"]
