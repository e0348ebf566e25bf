import pytest
from twisted.internet.defer import CancelledError

from pushd.providers.contract import Accepted, Refused
from pushd.routing.events import PushSettled
from tests.support import result_of
from tests.unit.appserver.stage import JULIET, PUBSUB
from tests.unit.appserver.test_outbox import Registered


def test_a_test_push_shows_something_and_tells_what_became_of_it() -> None:
    stage = Registered()

    told = stage.server.test(stage.registration(stage.node))
    stage.hall.advance(2)

    assert stage.waiting() == [(stage.node,)]
    note, _ = stage.calls[0].look()
    assert note.is_visible
    assert note.summary() == {
        "last-message-sender": PUBSUB,
        "last-message-body": "This is a test push.",
    }
    stage.calls[0].answer(Accepted())
    assert result_of(told) == PushSettled(JULIET, PUBSUB, stage.node, "post", "accepted", "", 2.0)


def test_what_waits_already_is_what_is_tested() -> None:
    stage = Registered()
    stage.push(message_count="3", last_message_body="hi")
    told = stage.server.test(stage.registration(stage.node))
    stage.hall.advance(0)

    [call] = stage.calls
    assert call.look()[0].summary() == {"message-count": 3, "last-message-body": "hi"}
    call.answer(Refused("no"))

    assert result_of(told).outcome == "refused"


def test_a_device_that_is_unregistered_ends_its_tests() -> None:
    stage = Registered()
    told = [stage.server.test(stage.registration(stage.node)) for _ in range(2)]
    stage.hall.advance(0)

    stage.server.unregister(stage.registration(stage.node), "unregistered by its owner")

    for one in told:
        assert result_of(one).reason == "unregistered by its owner"


def test_who_waits_no_longer_leaves_nothing_behind() -> None:
    stage = Registered()
    told = stage.server.test(stage.registration(stage.node))
    stage.hall.advance(0)

    told.cancel()

    with pytest.raises(CancelledError):
        result_of(told)
    assert stage.server._trials._settling._expected == {}
    assert stage.waiting() == [(stage.node,)]
