"""An operator tries the backends of a server that runs, and of one that does not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.house import House, opened
from tests.unit.providers.apple import ec_key
from tests.unit.providers.bench import pem


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    yield from opened(tmp_path_factory, networks=("fcm", "apns", "ubuntu", "wns"))


def probe(house: House, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = house.operator.pushdctl("-c", "pushd.yml", "push", "probe", *arguments, "--json")
    told: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, {one["type"]: one for one in told["probes"]}


def last(one: dict[str, Any]) -> tuple[str, bool]:
    return one["steps"][-1]["step"], one["steps"][-1]["ok"]


def test_all_backends_are_well(house: House) -> None:
    code, found = probe(house)
    assert code == 0, found
    assert {name: last(one) for name, one in found.items()} == {
        "apns": ("answer", True),
        "fcm": ("answer", True),
        "ubuntu": ("answer", True),
        "wns": ("token", True),
    }
    for name in ("apns", "fcm", "ubuntu"):
        seen = house.control("/requests?since=0&wait=0", of=name)["requests"]
        assert [one["status"] for one in seen if one["status"] < 300] == []


def test_a_key_that_is_another_is_found_once_it_is_loaded(house: House) -> None:
    file = Path(house.stand_ins["apns"]["key_file"])
    right = file.read_text()
    file.write_text(pem(ec_key(7)))
    code, found = probe(house, "apns")
    assert code == 0  # of what the server has
    assert found["apns"]["steps"][0]["text"] == f"{file} has changed since it was read"
    house.operate("reload")
    code, found = probe(house, "apns")
    file.write_text(right)
    house.operate("reload")
    assert (code, last(found["apns"])) == (1, ("answer", False))
    assert "InvalidProviderToken" in found["apns"]["steps"][-1]["text"]
    # What was tried for the operator is nobody's failure.
    assert house.operate("status")["problems"] == []


def test_before_the_start_the_configuration_is_tried(house: House) -> None:
    house.server.stop()
    code, found = probe(house, "fcm/example.net/any")
    assert (code, list(found)) == (0, ["fcm"])
    assert last(found["fcm"]) == ("answer", True)
