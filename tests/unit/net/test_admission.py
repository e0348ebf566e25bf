from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.task import Clock

from pushd.net.admission import Admission


def place(host: str) -> Any:
    kind = IPv6Address if ":" in host else IPv4Address
    return kind("TCP", host, 5222)


def admission(total: int = 10, per_address: int = 2) -> Admission:
    return Admission(Clock(), total, per_address)


def test_an_address_has_so_many_strangers_and_no_more() -> None:
    door = admission()
    first, second = (door.admit(place("192.0.2.1")) for _ in range(2))
    assert first is not None
    assert second is not None
    assert door.admit(place("192.0.2.1")) is None
    assert door.admit(place("192.0.2.2")) is not None

    first.leave()

    assert door.admit(place("192.0.2.1")) is not None


def test_all_addresses_together_have_so_many_and_no_more() -> None:
    door = admission(total=3)
    guests = [door.admit(place(f"192.0.2.{n}")) for n in range(3)]
    assert door.admit(place("192.0.2.9")) is None
    assert guests[0] is not None

    guests[0].leave()

    assert door.admit(place("192.0.2.9")) is not None


def test_a_guest_leaves_once_however_often_it_says_so() -> None:
    door = admission()
    guest = door.admit(place("192.0.2.1"))
    assert guest is not None

    guest.leave()
    guest.leave()

    assert len(door) == 0


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_what_counts_as_one_address(one: str, other: str, are_one: bool) -> None:
    door = admission(per_address=1)
    assert door.admit(place(one)) is not None

    assert (door.admit(place(other)) is None) == are_one


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_loopback_addresses_are_limited_in_all_only(host: str) -> None:
    door = admission(total=5, per_address=1)

    assert [door.admit(place(host)) is not None for _ in range(6)] == [True] * 5 + [False]


def test_a_connection_without_an_address_is_counted_too() -> None:
    door = admission(total=1)

    assert door.admit(None) is not None
    assert door.admit(None) is None
