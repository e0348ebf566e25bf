"""Pauses: nothing is published for an account until they are over."""

from pathlib import Path

from pushd.modules.push.module import Push
from pushd.routing.events import PushDecided, PushPaused, PushUnpaused, ServerStarted
from tests.unit.modules.push.stage import (
    HOUR,
    JULIET,
    PHONE,
    Service,
    Stage,
    accepted,
    refused,
    summary,
)

BUSY = refused("resource-constraint", "wait")


def until(stage: Stage, seconds: float) -> float:
    return stage.hall.clock.seconds() + seconds


def test_what_comes_in_a_pause_goes_out_as_one_when_it_is_over() -> None:
    stage = Stage()
    stage.asleep()
    end = until(stage, HOUR)
    stage.push.pause(JULIET, end)
    for text in ("one", "two"):
        stage.write(text)
    stage.hall.advance(HOUR - 1)
    assert stage.service.publishes == []
    assert stage.push.paused_until(JULIET) == end

    stage.hall.advance(1)

    assert stage.service.counts == ["2"]
    assert stage.push.paused_until(JULIET) is None
    assert stage.hall.events(PushPaused) == [PushPaused(JULIET, end)]
    assert stage.hall.events(PushUnpaused) == [PushUnpaused(JULIET)]


def test_a_call_does_not_break_a_pause() -> None:
    stage = Stage()
    stage.asleep()
    stage.push.pause(JULIET, until(stage, HOUR))

    stage.write(content="<propose xmlns='urn:xmpp:jingle-message:0' id='a'/>")

    assert stage.service.publishes == []
    last = stage.hall.events(PushDecided)[-1]
    assert (last.pushed, last.reason) == (False, "paused")


def test_another_account_is_not_paused() -> None:
    stage = Stage()
    stage.asleep()
    stage.push.pause("romeo@example.net", None)

    stage.write()

    assert stage.service.counts == ["1"]


def test_a_pause_without_an_end_lasts_until_somebody_ends_it() -> None:
    stage = Stage()
    stage.asleep()
    stage.push.pause(JULIET, None)
    stage.write()
    stage.hall.advance(10 * HOUR)
    assert stage.service.publishes == []
    assert stage.push.paused_until(JULIET) == float("inf")

    assert stage.push.unpause(JULIET)
    stage.hall.advance(0)

    assert stage.service.counts == ["1"]
    assert not stage.push.unpause(JULIET)


def test_a_pause_that_is_over_already_ends_another() -> None:
    stage = Stage()
    stage.push.pause(JULIET, None)

    stage.push.pause(JULIET, until(stage, 0))

    assert stage.push.paused_until(JULIET) is None


def test_a_pause_can_be_made_longer_or_shorter() -> None:
    stage = Stage()
    stage.asleep()
    stage.push.pause(JULIET, until(stage, 60))
    stage.push.pause(JULIET, until(stage, HOUR))
    stage.write()

    stage.hall.advance(HOUR - 1)
    assert stage.service.publishes == []
    stage.push.pause(JULIET, until(stage, 0.5))
    stage.hall.advance(0.5)
    assert stage.service.counts == ["1"]


def test_what_a_device_has_fetched_by_itself_is_not_pushed_when_a_pause_is_over() -> None:
    stage = Stage()
    phone = stage.asleep()
    stage.push.pause(JULIET, until(stage, HOUR))
    stage.write()

    phone.resume()
    stage.hall.advance(HOUR)

    assert stage.service.publishes == []


def test_nothing_is_tried_again_in_a_pause() -> None:
    stage = Stage()
    stage.asleep()
    stage.service.answer = BUSY
    stage.write()
    stage.push.pause(JULIET, until(stage, HOUR))
    stage.service.answer = accepted

    stage.hall.advance(HOUR - 1)
    assert stage.service.counts == ["1"]
    stage.hall.advance(1)
    assert stage.service.counts == ["1", "1"]


def test_the_wake_up_before_a_hold_ends_waits_too() -> None:
    stage = Stage(hold=HOUR)
    stage.asleep()
    stage.push.pause(JULIET, until(stage, 2 * HOUR))

    stage.hall.advance(HOUR + 60)
    assert stage.service.publishes == []
    stage.hall.advance(HOUR)

    assert [summary(one) for one in stage.service.publishes] == [{}]


def test_a_pause_outlives_a_restart(tmp_path: Path) -> None:
    stage = Stage(path=tmp_path / "pushd.db")
    stage.asleep()
    end = until(stage, HOUR)
    stage.push.pause(JULIET, end)
    stage.write()

    hall = stage.hall.killed()
    service = Service(hall)
    hall.host.events.emit(ServerStarted())
    hall.advance(HOUR - 1)
    assert service.counts == []
    [push] = (module for module in hall.modules if isinstance(module, Push))
    assert push.paused_until(JULIET) == end

    hall.advance(1)
    assert service.counts == ["1"]
    assert hall.rows("SELECT * FROM push_pauses") == []


def test_a_pause_without_an_end_outlives_a_restart(tmp_path: Path) -> None:
    stage = Stage(path=tmp_path / "pushd.db")
    stage.asleep()
    stage.push.pause(JULIET, None)
    stage.write()

    hall = stage.hall.killed(after=365 * 24 * HOUR)
    service = Service(hall)
    hall.host.events.emit(ServerStarted())
    hall.advance(HOUR)
    assert service.counts == []

    [push] = (module for module in hall.modules if isinstance(module, Push))
    assert push.unpause(JULIET)
    hall.advance(0)
    assert service.counts == ["1"]


def test_a_pause_that_ended_while_the_server_was_down_is_over(tmp_path: Path) -> None:
    stage = Stage(path=tmp_path / "pushd.db")
    stage.asleep()
    stage.push.pause(JULIET, until(stage, HOUR))
    stage.write()

    hall = stage.hall.killed(after=2 * HOUR)
    service = Service(hall)
    hall.host.events.emit(ServerStarted())
    hall.advance(0)

    assert service.counts == ["1"]
    assert hall.rows("SELECT * FROM push_pauses") == []


def test_with_an_account_goes_its_pause() -> None:
    stage = Stage()
    stage.phone()
    stage.push.pause(JULIET, until(stage, HOUR))

    stage.hall.wait(stage.hall.host.accounts.remove(JULIET))

    assert stage.push.paused_until(JULIET) is None
    assert stage.hall.rows("SELECT * FROM push_pauses") == []
    assert stage.push.pauses._timers == {}


def test_a_test_push_goes_out_in_a_pause_and_tells_what_stands() -> None:
    stage = Stage()
    stage.asleep()
    stage.push.pause(JULIET, None)
    stage.write("hi", to=PHONE)
    [one] = stage.push.enablements.of(JULIET)

    stage.hall.wait(stage.push.test(one))

    assert stage.service.counts == ["1"]
    assert stage.hall.events(PushDecided)[-1].reason == "test"
