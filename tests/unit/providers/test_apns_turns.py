"""APNs with the dispatcher: what follows when Apple finds fault with our token."""

import json
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pushd.providers.apns import APNs, Options
from pushd.providers.contract import Accepted, Device, Notification, Response, Secret, Unregistered
from pushd.providers.dispatch import Dispatcher
from tests.unit.providers.apple import signing_key
from tests.unit.providers.bench import NOW, FakeTransport, Fixed, Pushed, Reports


class Tower:
    """A backend for APNs, and devices in both environments."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.transport = FakeTransport()
        self.reports = Reports()
        self.dispatcher = Dispatcher(self.clock, self.transport, self.reports, Fixed())
        self.folder = folder
        self.dispatcher.add("main", self.provider())

    def provider(self) -> APNs:
        # A team of its own for each test: tokens are shared by all who have team and key.
        return APNs(
            Options(
                key_file=signing_key(self.folder),
                team_id=f"T{id(self.clock):09X}"[-10:],
                topic="com.example.app",
            )
        )

    def push(self, number: int = 0, environment: str = "production") -> Pushed:
        note = Notification(f"node-{number}", 1)
        device = Device(Secret(f"{number:064x}"), fields={"environment": environment})
        pushed = self.dispatcher.push("main", lambda: note, lambda: device)
        return Pushed(Deferred.fromCoroutine(pushed))

    def answer(self, status: int, reason: str = "", **more: object) -> None:
        body = json.dumps({"reason": reason, **more}).encode() if reason else b""
        self.transport.last.answer(Response(status, body=body))

    @property
    def token(self) -> str:
        """That of the last request."""
        return self.transport.last.request.headers["authorization"]

    @property
    def alarms(self) -> list[str]:
        return [alarm.reason for alarm in self.reports.alarms]


@pytest.fixture
def tower(tmp_path: Path) -> Tower:
    return Tower(tmp_path)


def test_too_many_new_tokens_silence_an_environment_for_twenty_minutes(tower: Tower) -> None:
    pushed = tower.push()
    tower.answer(429, "TooManyProviderTokenUpdates")
    tower.push(1)
    assert len(tower.transport.sent) == 1
    tower.push(2, "sandbox")
    tower.answer(200)
    for _ in range(1199):
        tower.clock.advance(1)
    assert len(tower.transport.sent) == 2
    tower.clock.advance(1)
    tower.transport.sent[2].answer(200)
    tower.clock.advance(1)
    tower.answer(200)
    assert pushed.result == Accepted()


def test_a_token_that_is_called_old_and_is_not_means_that_a_clock_is_wrong(tower: Tower) -> None:
    tower.push()
    first = tower.token
    tower.answer(403, "ExpiredProviderToken")
    [alarm] = tower.alarms
    assert "clock is wrong" in alarm
    tower.clock.advance(10)
    assert tower.token == first  # no other one for twenty minutes


def test_a_token_that_is_called_old_is_renewed_once_for_both_environments(tower: Tower) -> None:
    for environment in ("production", "sandbox"):
        tower.push(0, environment)
        tower.answer(200)
    old = tower.token
    tower.clock.advance(1300)
    renewed = set()
    for environment in ("production", "sandbox"):
        pushed = tower.push(1, environment)
        assert tower.token == old
        tower.answer(403, "ExpiredProviderToken")
        renewed.add(tower.token)
        tower.answer(200)
        assert pushed.result == Accepted()
    assert len(renewed) == 1
    assert old not in renewed
    assert not tower.alarms


def test_a_reload_keeps_the_token(tower: Tower) -> None:
    tower.push()
    tower.answer(200)
    before = tower.token
    tower.clock.advance(60)
    tower.dispatcher.renew("main", tower.provider())
    tower.push(1)
    assert tower.token == before


def test_an_unrelated_key_is_an_alarm_when_a_fresh_connection_does_not_help(tower: Tower) -> None:
    pushed = tower.push()
    tower.answer(403, "UnrelatedKeyIdInToken")
    assert tower.transport.last.request.fresh
    tower.answer(403, "UnrelatedKeyIdInToken")
    assert len(tower.alarms) == 1
    assert pushed.result is None


def test_five_faults_of_apples_in_a_row_give_it_a_quarter_of_an_hour(tower: Tower) -> None:
    for number in range(5):
        tower.push(number)
        tower.answer(500, "InternalServerError")
    assert tower.dispatcher.health("main").opens_at == NOW + 900


@pytest.mark.line(140, 141)
@pytest.mark.parametrize(
    ("dead_at", "is_dead"), [(NOW - 1, False), (NOW, False), (NOW + 0.001, True), (None, True)]
)
def test_a_death_is_held_against_the_instant_of_the_registration(
    dead_at: float | None, is_dead: bool, tower: Tower
) -> None:
    note = Notification("node", 1)
    device = Device(Secret("ab" * 32), renewed_at=NOW)
    tower.clock.advance(1)
    pushed = Pushed(
        Deferred.fromCoroutine(tower.dispatcher.push("main", lambda: note, lambda: device))
    )
    more = {} if dead_at is None else {"timestamp": round(dead_at * 1000)}
    tower.answer(410, "Unregistered", **more)
    assert isinstance(pushed.result, Unregistered) == is_dead


def test_pushes_share_a_connection_and_do_not_wait_for_each_other(tower: Tower) -> None:
    for number in range(250):
        tower.push(number)
    assert len(tower.transport.sent) == 200
    tower.answer(200)
    assert len(tower.transport.sent) == 201
