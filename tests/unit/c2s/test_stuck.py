"""Sessions while nothing can be stored: what is said to clients that want one."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hall import Hall
from tests.unit.c2s.test_stream import MODULES, SM, House, condition
from tests.unit.storage.shim import Disk


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    Disk.broken, Disk.at = None, "COMMIT"
    yield House(hall=Hall(modules=MODULES, path=tmp_path / "pushd.db", connection=Disk))
    Disk.broken = None


def fill(house: House) -> None:
    Disk.broken = sqlite3.SQLITE_FULL
    house.hall.host.database.write("UPDATE settings SET value = value")
    house.hall.advance(0)
    assert house.hall.host.database.failing


def test_stream_management_is_refused_and_may_be_enabled_later(house: House) -> None:
    romeo = house.bound()
    fill(house)
    [failed] = romeo.say(f"<enable xmlns='{SM}' resume='true'/>")
    assert (failed.name, condition(failed)) == ("failed", "resource-constraint")
    Disk.broken = None
    house.hall.advance(2)

    assert romeo.enable()


def test_a_session_that_cannot_be_stored_ends_its_stream(house: House) -> None:
    romeo = house.bound()
    Disk.broken = sqlite3.SQLITE_FULL
    failed, error = romeo.say(f"<enable xmlns='{SM}' resume='true'/>")
    assert (failed.name, condition(failed)) == ("failed", "resource-constraint")
    assert condition(error) == "resource-constraint"


def test_a_resumption_is_put_off_and_its_client_does_not_give_the_session_up(house: House) -> None:
    romeo = house.bound()
    token = romeo.enable()
    romeo.say("<presence/>")
    romeo.lose()
    fill(house)
    again = house.login()  # reading goes on
    [error] = again.say(f"<resume xmlns='{SM}' previd='{token}' h='0'/>")
    assert (error.name, condition(error)) == ("error", "resource-constraint")
    Disk.broken = None
    house.hall.advance(2)

    resumed, *_ = house.login().say(f"<resume xmlns='{SM}' previd='{token}' h='0'/>")

    assert (resumed.name, resumed["h"]) == ("resumed", "1")
