from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from time import tzset

import pytest

from pushd.modules.time import offset
from tests.hall import Hall

NS = "urn:xmpp:time"


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    tzset()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("UTC0", "+00:00"), ("CST6", "-06:00"), ("IST-5:30", "+05:30"), ("NST3:30", "-03:30")],
)
def test_the_time_is_told_in_utc_and_with_the_zone(
    zone: pytest.MonkeyPatch, name: str, expected: str
) -> None:
    zone.setenv("TZ", name)
    tzset()
    hall = Hall(modules={"time": None}, at=1_166_551_115.9)
    romeo = hall.login("romeo@example.net/orchard")

    answer = romeo.ask(f"<iq type='get' id='t' to='example.net'><time xmlns='{NS}'/></iq>")

    assert answer["type"] == "result"
    told = {node.name: (node.uri, str(node)) for node in answer.time.elements()}
    assert told == {"tzo": (NS, expected), "utc": (NS, "2006-12-19T17:58:35Z")}


def test_a_zone_with_seconds_is_told_in_minutes() -> None:
    zone = timezone(-timedelta(hours=4, minutes=56, seconds=2))

    assert offset(datetime(1880, 1, 1, tzinfo=zone)) == "-04:56"


def test_it_is_announced_by_the_server() -> None:
    hall = Hall(modules={"time": None})
    romeo = hall.login("romeo@example.net/orchard")

    answer = romeo.ask(
        "<iq type='get' id='d' to='example.net'>"
        "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    )

    assert NS in {node["var"] for node in answer.query.elements() if node.name == "feature"}
