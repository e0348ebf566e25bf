"""Who was turned away, as the operator sees it."""

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from pushd.cli.neighbours import listed
from pushd.s2s.lines import HOUR
from pushd.s2s.turned_away import LINES, MOST, TurnedAway
from tests.unit.s2s.house import HERE, THERE, House, greet

KEY = f"<db:result from='{THERE}' to='{HERE}'>the-key</db:result>"


def expired(house: House) -> None:
    house.secure().say(KEY)


def denied(house: House) -> None:
    house.connect().say(
        f"<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' "
        f"from='{THERE}' to='{HERE}' version='1.0'>"
    )


def forged(house: House) -> None:
    end = house.secure()
    end.say(KEY)
    asked = house.take_up()
    greet(asked)
    asked.say("<stream:features/>")
    asked.say(f"<db:verify from='{THERE}' to='{HERE}' id='{end.id}' type='invalid'/>")


@pytest.mark.parametrize(
    ("policy", "come", "reason"),
    [
        ("require", expired, "the certificate: it is self-signed"),
        ("dialback", forged, "the domain's own server does not know its key"),
        ("deny", denied, f"this server does not talk with {THERE}"),
    ],
)
def test_the_reason_is_told(policy: str, come: object, reason: str) -> None:
    house = House(policy=policy)
    assert callable(come)
    with capturedLogs() as events:
        come(house)
    found = [(one.reason, one.times) for one in house.peers.turned_away.known.values()]
    assert found == [(reason, 1)]
    said = [formatEvent(one) for one in events]
    assert f"{THERE} is turned away by {HERE}: {reason}" in said


def test_who_is_fine_is_not_turned_away() -> None:
    house = House(policy="require")
    house.external()
    assert not house.peers.turned_away.known


def test_the_same_is_logged_once_an_hour() -> None:
    clock = Clock()
    away = TurnedAway(clock)
    with capturedLogs() as events:
        for _ in range(5):
            away.note((HERE, THERE), "so")
        away.note((HERE, THERE), "or so")
        clock.advance(HOUR)
        away.note((HERE, THERE), "or so")
    assert len(events) == 3
    assert [(one.reason, one.times) for one in away.known.values()] == [("or so", 2)]


def test_a_flood_fills_neither_memory_nor_log() -> None:
    away = TurnedAway(Clock())
    with capturedLogs() as events:
        for number in range(3 * MOST):
            away.note((HERE, f"n{number}.example"), "so")
    assert len(away.known) == MOST
    assert len(events) == LINES + 1


def test_they_are_listed() -> None:
    row = {"local": HERE, "remote": THERE, "times": 2, "ago": 3.2, "reason": "s\x9bo"}
    shown = listed({"streams": [], "waiting": [], "turned_away": [row]})
    assert shown.splitlines()[1].split() == [THERE, HERE, "2", "3", "s", "ago", "s?o"]
