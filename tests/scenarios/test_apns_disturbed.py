"""Whatever befalls the connections to APNs, the newest of each device arrives in the end.

Disturbances in an order that a seed decides, over real sockets: GOAWAY with and without reason,
connections cut, limits of streams lowered, no room for bodies, a machine that hangs; and single
requests reset, answered late, or refused by a server on its way down.
"""

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from tests.scenarios.peers import until
from tests.scenarios.reading import succeeded
from tests.scenarios.standins import started
from tests.scenarios.test_apns import AppleHouse, node

STEPS = 60
ORDERS: tuple[dict[str, Any], ...] = (
    {"do": "goaway", "reason": "Shutdown"},
    {"do": "goaway", "last": 0},
    {"do": "cut"},
    {"do": "streams", "count": 1},
    {"do": "streams", "count": 3},
    {"do": "windows", "on": False},
    {"do": "stall", "on": True},
)
UNDO: tuple[dict[str, Any], ...] = (
    {"do": "stall", "on": False},
    {"do": "windows", "on": True},
    {"do": "streams", "count": 1000},
)
ANSWERS: tuple[dict[str, Any], ...] = (
    {"ending": "reset", "code": 7},
    {"ending": "goaway"},
    {"ending": "last"},
    {"delay": 0.3},
    {"error": "Shutdown"},
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppleHouse]:
    yield from started(AppleHouse(tmp_path_factory.mktemp("disturbed")))


@pytest.mark.parametrize("seed", [1])
def test_the_newest_of_each_device_arrives(house: AppleHouse, seed: int) -> None:
    random = Random(seed)
    devices = [node(house) for _ in range(8)]
    wanted = {device.token: 0 for device in devices}
    disturbances = 0
    for _ in range(STEPS):
        device = random.choice(devices)
        what = random.random()
        if what < 0.2:
            house.tell("apns", "/connections", random.choice(ORDERS))
            disturbances += 1
        elif what < 0.3:
            house.tell("apns", "/connections", random.choice(UNDO))
        elif what < 0.5:
            house.answer_with("apns", device.token, random.choice(ANSWERS))
            disturbances += 1
        else:
            wanted[device.token] += 1
            succeeded(house.publish(device, wanted[device.token]))
    for order in UNDO:
        house.tell("apns", "/connections", order)

    def arrived() -> bool | None:
        newest: dict[str, int] = {}
        for got in house.tell("apns", "/requests")["requests"]:
            if got["status"] == 200:
                newest[got["token"]] = got["message"]["message-count"]
        return newest == {token: count for token, count in wanted.items() if count} or None

    until(arrived, "the newest of each device")
    # A new connection only for what took one away.
    assert len(house.connections()) <= disturbances + 1
    for got in house.tell("apns", "/requests")["requests"]:
        assert got["remarks"] == []
    for one in house.connections():
        assert one["remarks"] == []
