"""What operators and users see of enablements, and may do with them."""

from pushd.modules.push.probation import PATIENCE
from pushd.routing.pushing import Enabled
from tests.unit.modules.push.stage import (
    JULIET,
    PHONE,
    SERVICE,
    Stage,
    accepted,
    refused,
    silence,
)


def seen(stage: Stage) -> Enabled:
    [one] = stage.hall.host.push.enabled(JULIET)
    return one


def test_an_enablement_is_shown_with_its_numbers() -> None:
    stage = Stage()
    stage.asleep()
    stage.service.answer = refused("internal-server-error", "cancel")
    stage.write()

    one = seen(stage)

    assert one.key == (JULIET, SERVICE, "phone")
    assert (one.session, one.waiting, one.failures) == (PHONE, 1, 1)
    assert (one.probation_since, one.is_paused, one.paused_until) == (None, False, None)
    assert stage.hall.host.push.totals().on_probation == 0


def test_probation_is_shown() -> None:
    stage = Stage()
    stage.asleep()
    stage.service.answer = refused("internal-server-error", "cancel")
    for _ in range(PATIENCE):
        stage.write()

    assert seen(stage).probation_since == stage.hall.clock.seconds()
    totals = stage.hall.host.push.totals()
    assert (totals.enablements, totals.on_probation) == (1, 1)


def test_pauses_are_shown() -> None:
    stage = Stage()
    stage.phone()
    offered = stage.hall.host.push.enablements
    assert offered is not None
    assert offered.paused_until(JULIET) == 0

    end = stage.hall.clock.seconds() + 60
    offered.pause(JULIET, end, "operator")
    assert (seen(stage).is_paused, seen(stage).paused_until) == (True, end)
    assert offered.paused_until(JULIET) == end

    offered.pause(JULIET, None, "operator")
    assert (seen(stage).is_paused, seen(stage).paused_until) == (True, None)
    assert offered.paused_until(JULIET) is None

    offered.unpause(JULIET, "operator")
    assert not seen(stage).is_paused


def test_a_test_push_says_what_the_service_said() -> None:
    stage = Stage()
    stage.phone()
    offered, one = stage.hall.host.push.enablements, seen(stage)
    assert offered is not None

    for answer, said in (
        (accepted, "accepted"),
        (refused("internal-server-error", "cancel"), "internal-server-error"),
        (refused("item-not-found", "cancel"), "item-not-found"),
    ):
        stage.service.answer = answer
        assert stage.hall.wait(offered.test(one)) == said

    assert stage.nodes() == []
    assert stage.hall.wait(offered.test(one)) == "disabled"


def test_a_test_push_that_nobody_answers() -> None:
    stage = Stage()
    stage.phone()
    offered = stage.hall.host.push.enablements
    assert offered is not None
    stage.service.answer = silence

    trial = offered.test(seen(stage))
    stage.hall.advance(30)

    assert stage.hall.wait(trial) == "no answer"


def test_an_enablement_is_removed() -> None:
    stage = Stage()
    stage.phone()
    offered, one = stage.hall.host.push.enablements, seen(stage)
    assert offered is not None

    offered.disable(one, "lost", "operator")
    offered.disable(one, "lost", "operator")

    assert stage.nodes() == []
