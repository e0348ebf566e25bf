"""The networks of stand-ins on their own: what they make up is there again after a restart."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from pushd.simulators.alone import NETWORKS, Network, Stop, Wanted

FILES = {
    "apns": "apns-key.json",
    "fcm": "fcm-service-account.json",
    "webhook": "webhook-secret.json",
    "webpush": "webpush-seed.json",
    "wns": "wns-client.json",
}


def start(name: str, folder: Path) -> tuple[Network, dict[str, Any]]:
    network = NETWORKS[name](Wanted(), folder, Clock())
    urls = {port: f"https://stand-in.test:{number}" for number, port in enumerate(network.ports, 1)}
    return network, network.reached(urls)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_a_folder_has_is_taken_up(name: str, tmp_path: Path) -> None:
    first, told = start(name, tmp_path)
    again, told_again = start(name, tmp_path)
    assert told == told_again
    assert first.simulator.type == again.simulator.type == name
    assert first.simulator.credentials() == again.simulator.credentials()
    if name == "webpush":
        one, other = (network.simulator.rooms()["subscriptions"] for network in (first, again))
        order = {"service": "ntfy", "name": "phone"}
        assert one["POST"](order) == other["POST"](order)


@pytest.mark.parametrize("name", NETWORKS)
def test_files_are_for_their_owner_alone(name: str, tmp_path: Path) -> None:
    start(name, tmp_path)
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (name in FILES) == bool(list(tmp_path.iterdir()))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", ["", "{", "[]", "{}", json.dumps({"seed": "x", "secret": "y"})])
def test_what_is_something_else_is_named_with_the_remedy(
    name: str, content: str, tmp_path: Path
) -> None:
    file = tmp_path / FILES[name]
    file.write_text(content)
    with pytest.raises(Stop, match="remove it, and a new one is made up") as stopped:
        start(name, tmp_path)
    assert str(file) in str(stopped.value)
