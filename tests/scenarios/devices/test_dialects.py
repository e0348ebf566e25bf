"""Each device is woken, resumes and unregisters, and all of them side by side."""

from collections.abc import Iterator

import pytest

from tests.scenarios.devices.device import SPOKEN, Device, play
from tests.scenarios.devices.mod_push import ModPushDevice
from tests.scenarios.house import House, opened

DEVICES = (ModPushDevice,)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    yield from opened(tmp_path_factory, networks=("fcm",), app_server={"dialects": SPOKEN})


@pytest.mark.parametrize("kind", DEVICES)
def test_a_device_is_woken_and_left_alone(house: House, kind: type[Device]) -> None:
    play(kind(house))
