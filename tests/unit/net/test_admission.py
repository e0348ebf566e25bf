from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from pushd.net.admission import SILENCE, Admission, Guest, Quota


def place(host: str) -> Any:
    kind = IPv6Address if ":" in host else IPv4Address
    return kind("TCP", host, 5222)


def admission(
    strangers: tuple[int, int] = (10, 2), connections: tuple[int, int] = (100, 100)
) -> Admission:
    return Admission(Clock(), Quota(*strangers), Quota(*connections))


def admitted(door: Admission, host: str) -> Guest:
    guest = door.admit(place(host))
    assert guest is not None
    return guest


def test_an_address_has_so_many_strangers_and_no_more() -> None:
    door = admission()
    first, _ = (admitted(door, "192.0.2.1") for _ in range(2))
    assert door.admit(place("192.0.2.1")) is None
    assert door.admit(place("192.0.2.2")) is not None

    first.leave()

    assert door.admit(place("192.0.2.1")) is not None


def test_all_addresses_together_have_so_many_strangers_and_no_more() -> None:
    door = admission(strangers=(3, 2))
    guests = [admitted(door, f"192.0.2.{n}") for n in range(3)]
    assert door.admit(place("192.0.2.9")) is None

    guests[0].settle()

    assert door.admit(place("192.0.2.9")) is not None


@pytest.mark.parametrize("quota", [(2, 10), (10, 2)], ids=["in all", "from one address"])
def test_who_has_logged_in_still_has_a_connection(quota: tuple[int, int]) -> None:
    door = admission(strangers=(1, 1), connections=quota)
    first = admitted(door, "192.0.2.1")
    first.settle()
    second = admitted(door, "192.0.2.1")
    second.settle()
    assert door.admit(place("192.0.2.1")) is None

    first.leave()

    assert door.admit(place("192.0.2.1")) is not None


def test_an_address_with_many_connections_keeps_no_other_out() -> None:
    door = admission(connections=(10, 1))
    admitted(door, "192.0.2.1")
    assert door.admit(place("192.0.2.1")) is None

    assert door.admit(place("192.0.2.2")) is not None


def test_a_guest_settles_and_leaves_once_however_often_it_says_so() -> None:
    door = admission()
    guest = admitted(door, "192.0.2.1")

    guest.settle()
    guest.settle()
    assert (len(door.strangers), len(door.connections)) == (0, 1)
    guest.leave()
    guest.leave()
    guest.settle()

    assert (len(door.strangers), len(door.connections)) == (0, 0)


def test_a_stranger_that_leaves_counts_nowhere() -> None:
    door = admission()

    admitted(door, "192.0.2.1").leave()

    assert (len(door.strangers), len(door.connections)) == (0, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_loopback_addresses_are_limited_in_all_only(host: str) -> None:
    strangers = admission(strangers=(5, 1))
    connections = admission(strangers=(9, 9), connections=(5, 1))

    for door in (strangers, connections):
        assert [door.admit(place(host)) is not None for _ in range(6)] == [True] * 5 + [False]


def test_a_connection_without_an_address_is_counted_too() -> None:
    door = admission(strangers=(1, 1))

    assert door.admit(None) is not None
    assert door.admit(None) is None


def test_a_quota_may_change_while_guests_are_there() -> None:
    door = admission(strangers=(1, 1))
    admitted(door, "192.0.2.1")

    door.strangers.quota = Quota(3, 2)

    assert door.admit(place("192.0.2.1")) is not None


def test_refusals_are_logged_now_and_then() -> None:
    clock = Clock()
    door = Admission(clock, Quota(0, 0), Quota(9, 9))
    with capturedLogs() as lines:
        for _ in range(3):
            door.admit(place("192.0.2.1"))
        clock.advance(SILENCE)
        door.admit(place("192.0.2.2"))

    assert [one["host"] for one in lines] == ["192.0.2.1", "192.0.2.2"]


# The end.


def test_that_nobody_is_there_any_more_is_told_at_once_or_as_soon_as_it_is_so() -> None:
    admission = Admission(Clock(), Quota(10, 10), Quota(10, 10))
    told: list[None] = []
    admission.emptied().addCallback(told.append)
    assert told == [None]

    guests = [admission.admit(None), admission.admit(None)]
    for _ in range(2):
        admission.emptied().addCallback(told.append)
    for guest in guests:
        assert guest is not None
        assert told == [None]
        guest.leave()

    assert told == [None] * 3


def test_who_no_longer_waits_for_that_is_not_told() -> None:
    admission = Admission(Clock(), Quota(10, 10), Quota(10, 10))
    guest = admission.admit(None)
    assert guest is not None
    waiting = admission.emptied()
    waiting.addErrback(lambda failure: None)
    waiting.cancel()

    guest.leave()

    assert waiting.called
