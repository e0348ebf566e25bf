"""Backends that an operator tries: which are meant, and what is told besides the probe."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from pushd.admin.operations import Refused
from pushd.admin.probes import RELOAD, Probes, meant
from pushd.providers.contract import Provider
from pushd.providers.dispatch import Dispatcher
from pushd.providers.probing import Probe, Step
from pushd.wire.secret import Kept, Secret
from tests.support import result_of
from tests.unit.providers.bench import NOW, FakeTransport, Obedient


@dataclass(frozen=True)
class Options:
    key_file: Path
    ca_file: Path | None = None
    secrets: tuple[Secret, ...] = ()
    one: Secret | None = None


class Prober:
    """Finds what the test says."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.probed: list[Provider] = []

    async def probe(self, provider: Provider) -> Probe:
        self.probed.append(provider)
        return Probe(list(self.steps))


class House:
    def __init__(self, *steps: Step) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.dispatcher = Dispatcher(self.clock, FakeTransport())
        self.prober = Prober(*steps)
        self.probes = Probes(self.dispatcher, self.prober)  # type: ignore[arg-type]

    def add(self, name: str, options: object = None) -> Provider:
        provider = Obedient()
        provider.options = options  # type: ignore[attr-defined]
        self.dispatcher.add(name, provider)
        return provider

    def ask(self, backend: str = "") -> dict[str, Any]:
        told: dict[str, Any] = result_of(self.probes.probe(backend))
        return told


GOOD = Step("answer", "well", "a:443", seconds=0.5)
BAD = Step("answer", "403", "a:443", False, "act")


def test_all_are_tried_when_none_is_named() -> None:
    house = House(GOOD)
    providers = [house.add(name) for name in ("fcm/b/any", "apns/a/any")]
    told = house.ask()
    assert told == {
        "ok": True,
        "probes": [
            {
                "backend": name,
                "type": "obedient",
                "ok": True,
                "trouble": "",
                "steps": [
                    {
                        "step": "answer",
                        "text": "well",
                        "place": "a:443",
                        "ok": True,
                        "remedy": "",
                        "seconds": 0.5,
                    }
                ],
            }
            for name in ("apns/a/any", "fcm/b/any")
        ],
    }
    assert house.prober.probed == [providers[1], providers[0]]


def test_one_that_fails_is_told_and_logged() -> None:
    house = House(BAD)
    house.add("fcm/b/any")
    with capturedLogs() as logs:
        told = house.ask("fcm")
    assert told["ok"] is False
    [event] = [one for one in logs if one.get("backend") == "fcm/b/any"]
    assert event["verdict"] == "not well"


def test_a_backend_is_meant_by_its_name_or_its_type() -> None:
    known = ["fcm/b/any", "fcm/a/My App", "apns/a/any"]
    assert meant("", known) == ["apns/a/any", "fcm/a/My App", "fcm/b/any"]
    assert meant("fcm", known) == ["fcm/a/My App", "fcm/b/any"]
    assert meant("fcm/a/My App", known) == ["fcm/a/My App"]
    with pytest.raises(Refused, match=r"no backend wns; backends: apns/a/any, fcm"):
        meant("wns", known)
    with pytest.raises(Refused, match="no backends are configured"):
        meant("", [])


def test_what_rests_or_is_paused_is_told() -> None:
    house = House(GOOD)
    house.add("fcm/b/any")
    house.dispatcher.pause("fcm/b/any")
    [one] = house.ask()["probes"]
    assert one["trouble"] == "paused by the operator"


def test_a_file_that_has_changed_since_it_was_read_is_worth_a_look(tmp_path: Path) -> None:
    house = House(GOOD)
    file = tmp_path / "key.p8"
    file.write_text("a key")
    secret = tmp_path / "secret"
    secret.write_text("a secret")
    kept = (Secret("text"), Kept("a secret", secret))
    authorities = tmp_path / "ca.pem"
    authorities.write_text("authorities")
    name = "apns/a/any"
    provider = house.add(name, Options(file, authorities, kept, kept[1]))
    assert len(house.ask()["probes"][0]["steps"]) == 1
    authorities.write_text("other authorities")  # which are read again by themselves
    assert len(house.ask()["probes"][0]["steps"]) == 1
    older = tmp_path / "older"
    older.write_text("another key")
    os.utime(older, (NOW - 10**6, NOW - 10**6))
    older.rename(file)  # as old as it is, it is another
    [one] = house.ask()["probes"]
    assert one["steps"][0]["text"] == f"{file} has changed since it was read"
    assert one["steps"][0]["remedy"] == RELOAD
    assert one["ok"] is True
    secret.write_text("another secret")
    [one] = house.ask()["probes"]
    assert [step["text"] for step in one["steps"][:2]] == [
        f"{path} has changed since it was read" for path in (file, secret)
    ]
    house.dispatcher.renew(name, provider)
    assert len(house.ask()["probes"][0]["steps"]) == 1
    file.unlink()
    assert len(house.ask()["probes"][0]["steps"]) == 1
