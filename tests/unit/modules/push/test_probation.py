"""What becomes of an enablement whose service refuses one push after another."""

from pathlib import Path

import pytest

from pushd.modules.push.probation import DAY, PATIENCE, WEEK
from pushd.routing.events import PushDecided, PushDisabled, PushProbed, ServerStarted
from tests.hall import Hall
from tests.unit.modules.push.stage import (
    JULIET,
    PHONE,
    SERVICE,
    Answer,
    Service,
    Stage,
    accepted,
    enable,
    refused,
    silence,
)

BROKEN = refused("internal-server-error", "cancel")


def on_probation(
    answer: Answer = BROKEN, hold: float = 30 * DAY, path: Path | None = None
) -> Stage:
    """Juliet's phone sleeps, and its push service has refused sixteen pushes."""
    stage = Stage(hold=hold, path=path or ":memory:")
    stage.asleep()
    stage.service.answer = answer
    for _ in range(PATIENCE):
        stage.write()
    assert len(stage.service.publishes) == PATIENCE
    stage.service.publishes.clear()
    return stage


@pytest.mark.line(90)
def test_sixteen_refusals_in_a_row_put_it_on_probation() -> None:
    stage = on_probation()

    assert stage.hall.events(PushProbed) == [PushProbed(JULIET, SERVICE, "phone", 16)]
    assert stage.nodes() == ["phone"]


def test_refusals_that_are_not_in_a_row_do_not() -> None:
    stage = Stage()
    stage.asleep()
    for _ in range(3):
        stage.service.answer = BROKEN
        for _ in range(PATIENCE - 1):
            stage.write()
        stage.service.answer = accepted
        stage.write()

    assert stage.hall.events(PushProbed) == []


def test_on_probation_it_is_tried_once_a_day() -> None:
    stage = on_probation()
    for _ in range(5):
        stage.write()
    assert stage.service.publishes == []

    stage.hall.advance(DAY - 1)
    assert stage.service.publishes == []
    stage.hall.advance(1)
    assert stage.service.counts == ["21"]
    stage.write()
    assert stage.service.counts == ["21"]
    stage.hall.advance(DAY)
    assert stage.service.counts == ["21", "22"]


def test_what_comes_meanwhile_is_counted_and_its_record_says_why_it_waits() -> None:
    stage = on_probation()

    stage.write()

    last = stage.hall.events(PushDecided)[-1]
    assert (last.pushed, last.reason) == (False, "on probation")


def test_a_push_that_comes_through_ends_it() -> None:
    stage = on_probation()
    stage.service.answer = accepted
    stage.hall.advance(DAY)
    assert stage.service.counts == ["16"]

    stage.write()

    assert stage.service.counts == ["16", "17"]
    assert stage.hall.rows("SELECT failures, probed_at, tried_at FROM push_enablements") == [
        (0, None, None)
    ]


@pytest.mark.line(90)
def test_a_week_in_which_nothing_comes_through_removes_it() -> None:
    stage = on_probation()

    for _ in range(6):
        stage.hall.advance(DAY)
    assert stage.nodes() == ["phone"]
    stage.hall.advance(DAY)

    assert stage.nodes() == []
    [event] = stage.hall.events(PushDisabled)
    assert event.reason == "nothing came through for a week"
    assert len(stage.service.publishes) == 7


def test_a_service_that_is_silent_is_tried_as_one_that_refuses() -> None:
    stage = on_probation()
    stage.service.answer = silence

    for _ in range(8):
        stage.hall.advance(DAY)
        stage.hall.advance(60)

    assert stage.nodes() == []
    assert len(stage.service.publishes) == 7


def test_what_we_say_wrong_never_removes_it() -> None:
    """But it is tried once a day only."""
    stage = on_probation(refused("bad-request", "modify"))

    for _ in range(20):
        stage.hall.advance(DAY)

    assert stage.nodes() == ["phone"]
    assert len(stage.service.publishes) == 20


def test_a_refusal_for_good_removes_it_then_too() -> None:
    stage = on_probation()
    stage.service.answer = refused("item-not-found", "cancel")

    stage.hall.advance(DAY)

    assert stage.nodes() == []


def test_a_device_that_enables_anew_is_forgiven() -> None:
    stage = on_probation()
    stage.service.answer = accepted
    phone = stage.hall.login(PHONE, sm=True)
    enable(phone)
    phone.acknowledge()
    phone.cut()

    stage.write()

    assert stage.service.counts == ["1"]


def restarted(stage: Stage, after: float = 0.0) -> tuple[Hall, Service]:
    hall = stage.hall.killed(after)
    service = Service(hall)
    service.answer = BROKEN
    hall.host.events.emit(ServerStarted())
    hall.advance(0)
    return hall, service


def test_a_restart_forgives_nothing(tmp_path: Path) -> None:
    """Neither fifteen refusals, nor the days that have passed."""
    stage = Stage(path=tmp_path / "pushd.db")
    stage.asleep()
    stage.service.answer = BROKEN
    for _ in range(PATIENCE - 1):
        stage.write()

    hall, _ = restarted(stage)
    write(hall)

    assert [event.failures for event in hall.events(PushProbed)] == [PATIENCE]


def test_a_restart_tries_nothing_before_its_day(tmp_path: Path) -> None:
    stage = on_probation(path=tmp_path / "pushd.db")
    stage.hall.advance(DAY / 2)

    hall, service = restarted(stage)
    write(hall)
    assert service.counts == []

    hall.advance(DAY / 2)
    assert service.counts == ["17"]


@pytest.mark.line(90)
def test_days_without_the_server_remove_nothing_untried(tmp_path: Path) -> None:
    stage = on_probation(path=tmp_path / "pushd.db")

    hall, service = restarted(stage, after=2 * WEEK)

    assert service.counts == ["16"]
    assert [event.reason for event in hall.events(PushDisabled)] == [
        "nothing came through for a week"
    ]


def write(hall: Hall) -> None:
    hall.route(f"<message from='romeo@example.org/o' to='{JULIET}'><body>hi</body></message>")
