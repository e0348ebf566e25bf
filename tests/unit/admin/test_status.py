"""How the server is: what there is to know, and what is wrong with it in words."""

import json
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pushd.admin import status
from pushd.admin.operations import Operations
from pushd.admin.status import Status
from pushd.cli import tables
from pushd.config.release import RELEASE
from pushd.net.certificates import DevelopmentCA
from pushd.net.tls import CertificateFiles, CertificateStore
from pushd.providers.dispatch import Dispatcher
from pushd.wire.secret import Kept, Secret
from tests.hall import Hall
from tests.unit.providers.bench import FakeTransport, Obedient

DAY = 86_400.0
MB = 1 << 20


@dataclass(frozen=True)
class Filed:
    """Options of a provider."""

    secret: Secret


def good() -> dict[str, Any]:
    """A part of what a server tells with which all is well."""
    return {
        "database": {
            "path": "/d/pushd.db",
            "fault": "",
            "free": 500 * MB,
            "writer": "writing",
            "busy": 0.2,
        },
        "domains": {"example.net": {"days_left": 60.0, "fault": ""}, "example.org": None},
        "component": {"domain": "push.example.net", "obstacle": ""},
        "providers": {"fcm/a/b": {"alarms": (), "is_paused": False}},
        "push": {"oldest": 1_799.0},
        "mistakes": [],
    }


@pytest.fixture
def hall(tmp_path: Path) -> Hall:
    return Hall(("example.net", "example.org"), path=tmp_path / "pushd.db", at=time.time())


@pytest.fixture
def store(tmp_path: Path) -> CertificateStore:
    issued = DevelopmentCA(tmp_path, time.time()).issue(["example.net"])
    return CertificateStore({"example.net": CertificateFiles(issued.certificate, issued.key)})


def told(hall: Hall, store: CertificateStore | None, later: float = 0.0) -> Any:
    host = hall.host
    dispatcher = Dispatcher(hall.clock, FakeTransport())
    dispatcher.add("stub/example.net/any", Obedient())
    listeners = {"client": ["127.0.0.1:5222"]}
    one = Status(host, dispatcher, store, lambda: listeners)
    hall.advance(later)
    answer = hall.wait(Operations(one).call("status", {}))
    return json.loads(json.dumps(answer))  # as the socket passes it on


def test_when_a_providers_credential_ends_is_told(hall: Hall) -> None:
    ends_at = hall.clock.seconds() + 45 * DAY

    class Certified(Obedient):
        @property
        def expires_at(self) -> float:
            return ends_at

    dispatcher = Dispatcher(hall.clock, FakeTransport())
    dispatcher.add("apns/example.net/any", Certified())
    dispatcher.add("stub/example.net/any", Obedient())
    one = Status(hall.host, dispatcher, None, dict)

    found = one.told()["providers"]
    assert found["apns/example.net/any"]["days_left"] == pytest.approx(45)
    assert found["stub/example.net/any"]["days_left"] is None
    shown = tables.status(one.told())
    assert "provider apns/example.net/any: 0 under way, certificate for 45 days" in shown
    assert "provider stub/example.net/any: 0 under way\n" in shown

    hall.advance(20 * DAY)
    assert (
        "provider apns/example.net/any: its certificate expires in 25 days"
        in one.told()["problems"]
    )


def test_a_credential_that_was_replaced_and_not_read_is_told(hall: Hall, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    provider = Obedient()
    provider.options = Filed(Kept("old", file))  # type: ignore[attr-defined]
    dispatcher = Dispatcher(hall.clock, FakeTransport())
    dispatcher.add("stub/example.net/any", provider)
    one = Status(hall.host, dispatcher, None, dict)
    assert one.told()["problems"] == []

    file.write_text("a new one")

    assert one.told()["problems"] == [
        f"provider stub/example.net/any: {file} has changed since it was read: pushdctl reload"
    ]
    dispatcher.renew("stub/example.net/any", provider)
    assert one.told()["problems"] == []


def test_a_server_tells_what_it_is_and_that_all_is_well(hall: Hall, store: Any) -> None:
    hall.login("juliet@example.net/balcony", sm=True).cut()

    found = told(hall, store, later=90)

    assert found["problems"] == []
    assert found["uptime"] == pytest.approx(90)
    assert set(found["software"]) == {"python", "twisted", "openssl", "expat", "sqlite"}
    assert all(number[0].isdigit() for number in found["software"].values())
    assert found["sessions"]["detached"] == 1
    assert found["domains"]["example.org"] is None
    assert 360 < found["domains"]["example.net"]["days_left"] < 366
    assert found["database"]["path"].endswith("/pushd.db")
    assert found["database"]["bytes"] > 0
    assert found["database"]["writer"] == "idle"
    assert found["providers"]["stub/example.net/any"]["pending"] == 0
    assert found["push"]["waiting"] == 0


def test_the_text_has_the_same_for_people(hall: Hall, store: Any) -> None:
    lines = tables.status(told(hall, store, later=90)).splitlines()

    assert lines[0].startswith(f"pushd {RELEASE} (python 3.")
    assert ", up 1 min, since " in lines[1]
    assert "domain example.net: certificate for 36" in lines[2]
    assert lines[3:7] == [
        "domain example.org: no certificate",
        "listening client: 127.0.0.1:5222",
        "sessions: 0 live, 0 detached; queued 0 stanzas (0 B)",
        "push: 0 enablements, 0 registrations; 0 pushes wait",
    ]
    assert lines[-1] == "all is well"


def test_a_pause_has_its_end(hall: Hall) -> None:
    name = "stub/example.net/any"
    dispatcher = Dispatcher(hall.clock, FakeTransport())
    dispatcher.add(name, Obedient())
    dispatcher.pause(name)
    until = hall.clock.seconds() + 600
    one = Status(hall.host, dispatcher, None, dict, lambda: {name: until})

    [problem] = one.told()["problems"]

    end = datetime.fromtimestamp(until).astimezone().isoformat(" ", "seconds")
    assert problem == f"provider {name}: it is paused until {end}"


def test_what_waits_and_what_is_blocked_is_shown() -> None:
    told = {
        "enablements": 12,
        "on_probation": 2,
        "registrations": 20,
        "waiting": 3,
        "oldest": 90.0,
        "blocked": 1,
    }

    assert tables._push(told) == (
        "push: 12 enablements (2 on probation), 20 registrations, 1 publisher blocked; "
        "3 pushes wait, the oldest for 1 min"
    )


def test_a_certificate_that_ends_is_told_in_time(hall: Hall, store: Any) -> None:
    hall.advance(352 * DAY)
    assert told(hall, store)["problems"] == ["the certificate of example.net expires in 13 days"]

    hall.advance(20 * DAY)
    assert told(hall, store)["problems"] == ["the certificate of example.net has expired"]


def test_a_renewed_certificate_that_is_of_no_use_is_told(hall: Hall, store: Any) -> None:
    store.loaded()["example.net"].files.key.write_text("nonsense")
    store.refresh()

    [problem] = told(hall, store)["problems"]

    assert problem.startswith("the renewed certificate of example.net cannot be used: ")


@pytest.mark.parametrize(
    ("part", "name", "changed", "words"),
    [
        ("database", "", {"free": 99 * MB}, "only 99 MB are free beside /d/pushd.db"),
        ("database", "", {"fault": "it is gone"}, "the database /d/pushd.db: it is gone"),
        ("database", "", {"writer": "failing", "why": "disk full"}, "commits fail: disk full"),
        ("database", "", {"busy": 31.4}, "a commit takes 31 s by now"),
        ("providers", "fcm/a/b", {"alarms": ("HTTP 401",)}, "provider fcm/a/b: HTTP 401"),
        ("providers", "fcm/a/b", {"is_paused": True}, "provider fcm/a/b: it is paused"),
        (
            "component",
            "",
            {"obstacle": "nobody there"},
            "the component push.example.net is away: nobody there",
        ),
        ("push", "", {"oldest": 1_860.0}, "a push waits for its provider since 31 minutes"),
        (
            "providers",
            "fcm/a/b",
            {"days_left": 29.4},
            "provider fcm/a/b: its certificate expires in 29 days",
        ),
        (
            "providers",
            "fcm/a/b",
            {"days_left": -1.0},
            "provider fcm/a/b: its certificate has expired",
        ),
    ],
    ids=[
        "space",
        "file",
        "failing",
        "slow",
        "alarm",
        "paused",
        "away",
        "late",
        "ends soon",
        "has ended",
    ],
)
def test_what_is_wrong_is_said_in_words(
    part: str, name: str, changed: dict[str, Any], words: str
) -> None:
    found = good()
    assert list(status.problems(found)) == []

    (found[part][name] if name else found[part]).update(changed)

    assert list(status.problems(found)) == [words]
    found["database"]["bytes"] = 1
    shown = {**found, "running": False, "version": "1", "software": {}, "problems": [words]}
    assert tables.status(shown).endswith(f"\nWRONG: {words}")
