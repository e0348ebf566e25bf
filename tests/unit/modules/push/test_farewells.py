"""A device that was away when its enablement ended is told when it is there again."""

from pathlib import Path

from pushd.modules.push.farewells import KEPT, MOST
from pushd.routing.events import Undelivered
from tests.hall import Client
from tests.unit.modules.push.stage import JULIET, PHONE, SERVICE, Stage, enable, refused

DAY = 86_400.0


def told(client: Client) -> list[tuple[str, str]]:
    """Services and nodes of which it was told since the last look."""
    found = [one.disable for one in client.received() if one.name == "message" and one.disable]
    return [(str(one["jid"]), str(one.getAttribute("node", ""))) for one in found]


def refused_while_away(path: Path | str = ":memory:") -> Stage:
    """Juliet's phone has no session when its push service says that the node is gone."""
    stage = Stage(path=path)
    stage.phone().close()
    stage.service.answer = refused("item-not-found", "cancel")
    stage.write()
    assert stage.nodes() == []
    return stage


def test_the_device_is_told_once_when_it_is_there() -> None:
    stage = refused_while_away()

    phone = stage.hall.login(PHONE, sm=True, available=False)
    assert told(phone) == []
    phone.send("<presence/>")
    assert told(phone) == [(SERVICE, "phone")]
    assert stage.hall.rows("SELECT * FROM push_farewells") == []

    phone.acknowledge()
    phone.close()
    again = stage.hall.login(PHONE, available=False)
    again.send("<presence/>")
    assert told(again) == []


def test_another_device_does_not_take_it_away() -> None:
    """One that has push of its own is not told; one that has none may be the device."""
    stage = refused_while_away()
    tablet = stage.hall.login(f"{JULIET}/tablet", sm=True, available=False)
    assert enable(tablet, node="tablet")["type"] == "result"
    tablet.send("<presence/>")
    desk = stage.hall.login(f"{JULIET}/desk", available=False)
    desk.send("<presence/>")

    assert told(tablet) == []
    assert told(desk) == [(SERVICE, "phone")]
    phone = stage.hall.login(PHONE, available=False)
    phone.send("<presence/>")
    assert told(phone) == [(SERVICE, "phone")]


def test_it_wakes_nobody_and_is_no_message_that_waits() -> None:
    stage = refused_while_away()

    assert stage.hall.rows("SELECT COUNT(*) FROM offline") == [(1,)]
    assert len(stage.hall.events(Undelivered)) == 1


def test_it_outlives_a_restart(tmp_path: Path) -> None:
    stage = refused_while_away(tmp_path / "pushd.db")

    hall = stage.hall.killed()

    phone = hall.login(PHONE, available=False)
    phone.send("<presence/>")
    assert told(phone) == [(SERVICE, "phone")]


def test_a_device_that_enables_anew_need_not_be_told() -> None:
    stage = refused_while_away()

    phone = stage.hall.login(PHONE, sm=True, available=False)
    assert enable(phone)["type"] == "result"
    phone.send("<presence/>")

    assert told(phone) == []
    assert stage.hall.rows("SELECT * FROM push_farewells") == []


def test_a_device_is_waited_for_a_week() -> None:
    stage = refused_while_away()
    stage.hall.advance(KEPT - DAY)
    desk = stage.hall.login(f"{JULIET}/desk", available=False)
    desk.send("<presence/>")
    assert told(desk) == [(SERVICE, "phone")]

    stage.hall.advance(DAY)
    phone = stage.hall.login(PHONE, available=False)
    phone.send("<presence/>")

    assert told(phone) == []
    assert stage.hall.rows("SELECT * FROM push_farewells") == []


def test_what_is_too_old_is_not_even_loaded(tmp_path: Path) -> None:
    stage = refused_while_away(tmp_path / "pushd.db")

    hall = stage.hall.killed(after=KEPT)

    assert hall.rows("SELECT * FROM push_farewells") == []


def test_there_are_no_more_of_them_than_an_account_may_have_enablements() -> None:
    stage = Stage()
    for number in range(MOST + 3):
        phone = stage.hall.login(f"{JULIET}/{number:02}", sm=True)
        enable(phone, node=f"{number:02}")
        phone.close()
        [one] = stage.push.enablements.of(JULIET)
        stage.push.disable(one, "lost", "operator")
        stage.hall.advance(1)

    nodes = stage.hall.rows("SELECT node FROM push_farewells ORDER BY node")
    assert nodes == [(f"{number:02}",) for number in range(3, MOST + 3)]


def test_with_an_account_goes_what_it_was_to_be_told() -> None:
    stage = refused_while_away()

    stage.hall.wait(stage.hall.host.accounts.remove(JULIET))

    assert stage.hall.rows("SELECT * FROM push_farewells") == []
