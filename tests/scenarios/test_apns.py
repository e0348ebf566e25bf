"""Push to Apple's devices over real sockets, from the ad-hoc command to the stand-in for APNs.

Two apps: one pushes with a signing key, the other with a client certificate.
"""

import base64
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pushd.wire import forms
from pushd.wire.element import child
from pushd.wire.namespaces import NS_COMMANDS
from tests.scenarios.house import DOMAIN
from tests.scenarios.peers import Phone
from tests.scenarios.reading import condition, fields_of, secret_form, succeeded
from tests.scenarios.standins import HouseOfNetworks, Node, form, started
from tests.unit.providers.bench import pem

CALL = "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>"
KEYED, CERTIFIED, LATE = "org.example.keyed", "org.example.certified", "org.example.late"
_numbers = itertools.count(1)


class AppleHouse(HouseOfNetworks):
    """Three apps, of which the third has a wrong key."""

    networks = ("apns",)

    def backends(self) -> list[dict[str, Any]]:
        apple = self.standins["apns"]
        self.certfile = self.folder / "apns.pem"
        self.certfile.write_text(self.certificate())
        self.late_key = self.folder / "late.p8"
        self.late_key.write_text(pem(ec.generate_private_key(ec.SECP256R1())))
        token = {"key_id": apple["key_id"], "team_id": apple["team_id"]}
        return [
            self.app(KEYED, topic=KEYED, key_file=apple["key_file"], **token),
            self.app(CERTIFIED, certfile=str(self.certfile)),
            self.app(LATE, topic=LATE, key_file=str(self.late_key), **token),
        ]

    def app(self, bundle_id: str, **options: Any) -> dict[str, Any]:
        name, sandbox = bundle_id.rpartition(".")[2], self.standins["apns"]["sandbox_url"]
        return self.backend("apns", app_name=name, sandbox_url=sandbox, **options)

    def certificate(self) -> str:
        """A new one, with its key."""
        made = self.tell("apns", "/certificates", {"topics": [CERTIFIED, f"{CERTIFIED}.voip"]})
        return str(made["key"] + made["certificate"])

    def connections(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.tell("apns", "/connections")["connections"]
        return [one for one in found if one["requests"]]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppleHouse]:
    yield from started(AppleHouse(tmp_path_factory.mktemp("apple")))


def a_token() -> str:
    """A new one, as 32 bytes in hexadecimal digits."""
    return f"{next(_numbers):064x}"


def register(phone: Phone, app: str, token: str, **fields: str) -> dict[str, str]:
    text = base64.b64encode(bytes.fromhex(token)).decode()
    return fields_of(phone.command("register-push-apns", form(text, app=app, **fields)))


def sleeping(house: AppleHouse, app: str, token: str, **fields: str) -> Phone:
    """A phone that has registered, enabled push, and lost its connection."""
    phone = house.phone()
    given = register(phone, app, token, **fields)
    succeeded(phone.enable(given["jid"], given["node"], secret_form(given["secret"])))
    phone.cut()
    return phone


def node(house: AppleHouse, app: str = "keyed", **fields: str) -> Node:
    return house.node("apns", a_token(), app=app, **fields)


# The way of a push.


@pytest.mark.line(136, 137, 138)
@pytest.mark.parametrize(
    ("app", "topic", "by"), [("keyed", KEYED, "key"), ("certified", CERTIFIED, "certificate")]
)
def test_a_message_to_a_sleeping_phone_arrives_as_an_alert(
    house: AppleHouse, app: str, topic: str, by: str
) -> None:
    token = a_token()
    phone = sleeping(house, app, token)

    house.friend().message(phone.account, "But soft, what light")

    [push] = house.arrived("apns", token)
    team = f"{house.standins['apns']['team_id']}/{house.standins['apns']['key_id']}"
    assert push["authorized_by"] == {"key": team, "certificate": CERTIFIED}[by]
    assert (push["topic"], push["push_type"], push["priority"]) == (topic, "alert", 10)
    assert (push["environment"], push["status"], push["error"]) == ("production", 200, "")
    assert push["remarks"] == []
    assert 86_000 < push["expiration"] - push["at"] <= 86_401
    assert push["message"]["aps"] == {
        "alert": {"loc-key": "New message"},
        "sound": "default",
        "mutable-content": 1,
    }
    assert push["message"]["message-count"] == 1
    house.event("push-settled", account=phone.account, outcome="accepted")
    assert phone.resume().name == "resumed"
    phone.hear("But soft, what light")


@pytest.mark.line(137)
@pytest.mark.parametrize("app", ["keyed", "certified"])
def test_a_silent_push_to_the_sandbox_goes_there_in_the_background(
    house: AppleHouse, app: str
) -> None:
    token = a_token()
    phone = sleeping(house, app, token, environment="sandbox", silent_push="true")

    house.friend().message(phone.account, "hush")

    [push] = house.arrived("apns", token)
    assert (push["environment"], push["push_type"], push["priority"]) == (
        "sandbox",
        "background",
        5,
    )
    assert push["message"]["aps"] == {"content-available": 1}
    assert push["status"] == 200


def test_the_newest_count_takes_the_place_of_the_one_before(house: AppleHouse) -> None:
    to = node(house)
    succeeded(house.publish(to, 1))
    house.arrived("apns", to.token, 1)
    succeeded(house.publish(to, 2))
    first, second = house.arrived("apns", to.token, 2)
    assert first["collapse_id"] == second["collapse_id"] != ""
    assert first["id"] != second["id"]
    assert [one["message"]["message-count"] for one in (first, second)] == [1, 2]


@pytest.mark.parametrize(("app", "topic"), [("keyed", KEYED), ("certified", CERTIFIED)])
def test_a_call_rings_by_the_token_for_calls_and_by_an_alert_when_that_is_dead(
    house: AppleHouse, app: str, topic: str
) -> None:
    token, called = a_token(), a_token()
    phone = sleeping(house, app, token, voip_token=called)

    house.friend().message(phone.account, payload=CALL)

    [rings] = house.arrived("apns", called)
    assert (rings["topic"], rings["push_type"], rings["status"]) == (f"{topic}.voip", "voip", 200)
    assert (rings["priority"], rings["remarks"]) == (10, [])
    assert 20 < rings["expiration"] - rings["at"] <= 31

    house.tell("apns", "/devices", {"token": called, "dead_since": 4e9})
    house.friend().message(phone.account, payload=CALL)

    assert house.arrived("apns", called, 2)[1]["error"] == "Unregistered"
    [alert] = house.arrived("apns", token)
    assert (alert["topic"], alert["push_type"], alert["status"]) == (topic, "alert", 200)
    assert alert["message"]["aps"]["alert"] == {"loc-key": "Incoming call"}
    forgotten = house.event("device-token-forgotten", account=phone.account)
    assert forgotten["forgotten"] == "voip-token"

    house.friend().message(phone.account, payload=CALL)
    assert len(house.arrived("apns", token, 2)) == 2
    assert len(house.arrived("apns", called)) == 2
    assert house.events("device-unregistered", account=phone.account) == []


# What Apple answers.


@pytest.mark.line(140)
def test_a_dead_token_ends_the_registration_and_the_enablement(house: AppleHouse) -> None:
    token = a_token()
    phone = sleeping(house, "keyed", token)
    house.tell("apns", "/devices", {"token": token, "dead_since": 4e9})

    house.friend().message(phone.account, "anybody there?")

    unregistered = house.event("device-unregistered", account=phone.account)
    assert "410 Unregistered" in unregistered["reason"]
    house.event("push-disabled", account=phone.account, reason="the service gave notice")
    assert phone.resume().name == "resumed"
    phone.hear("anybody there?")
    listed = child(succeeded(phone.command("list-push-registrations")), NS_COMMANDS, "command")
    assert listed is not None
    assert forms.find(listed) is None


@pytest.mark.line(140, 141)
def test_a_token_that_was_dead_before_it_was_registered_is_kept(house: AppleHouse) -> None:
    to = node(house)
    house.tell("apns", "/devices", {"token": to.token, "dead_since": 1e9})
    succeeded(house.publish(to))
    [push] = house.arrived("apns", to.token)
    assert push["error"] == "Unregistered"
    settled = house.event("push-settled", account=to.owner)
    assert settled["outcome"] == "refused"
    succeeded(house.publish(to))  # still a node
    house.tell("apns", "/devices", {"token": to.token})
    house.arrived("apns", to.token, 2)


def test_after_a_dead_token_the_publisher_learns_that_the_node_is_gone(house: AppleHouse) -> None:
    to = node(house)
    house.tell("apns", "/devices", {"token": to.token, "dead_since": 4e9})
    succeeded(house.publish(to))
    house.event("device-unregistered", account=to.owner)
    assert condition(house.publish(to)) == "item-not-found"


@pytest.mark.line(142)
def test_what_apple_finds_too_big_goes_again_with_the_counts_alone(house: AppleHouse) -> None:
    to = node(house)
    house.answer_with("apns", to.token, {"error": "PayloadTooLarge"})
    succeeded(house.publish(to, 7))
    first, second = house.arrived("apns", to.token, 2)
    assert (first["error"], second["status"]) == ("PayloadTooLarge", 200)
    assert second["message"]["message-count"] == 7


@pytest.mark.line(143)
@pytest.mark.parametrize("reason", ["BadCollapseId", "PayloadEmpty", "BadPath"])
def test_a_refusal_ends_no_registration(house: AppleHouse, reason: str) -> None:
    to = node(house)
    house.answer_with("apns", to.token, {"error": reason})
    succeeded(house.publish(to))
    assert reason in house.event("push-settled", account=to.owner)["reason"]
    succeeded(house.publish(to))
    assert house.arrived("apns", to.token, 2)[1]["status"] == 200


def test_a_token_of_the_other_environment_is_none_here(house: AppleHouse) -> None:
    known = node(house)
    succeeded(house.publish(known))
    house.event("push-settled", account=known.owner)
    to = node(house, environment="production")
    house.tell("apns", "/devices", {"token": to.token, "environment": "sandbox"})
    succeeded(house.publish(to))
    assert "BadDeviceToken" in house.event("device-unregistered", account=to.owner)["reason"]


def test_a_token_of_another_app_is_nobody_elses_trouble(house: AppleHouse) -> None:
    known = node(house)
    succeeded(house.publish(known))
    house.event("push-settled", account=known.owner)
    to = node(house)
    house.tell("apns", "/devices", {"token": to.token, "topics": [CERTIFIED]})
    succeeded(house.publish(to))
    settled = house.event("push-settled", account=to.owner)
    assert settled["outcome"] == "refused"
    assert "DeviceTokenNotForTopic" in settled["reason"]
    assert house.operate("status")["problems"] == []
    succeeded(house.publish(to))  # still a node


def test_a_shutdown_is_asked_again_at_once(house: AppleHouse) -> None:
    to = node(house)
    house.answer_with("apns", to.token, {"error": "Shutdown"})
    succeeded(house.publish(to))
    first, second = house.arrived("apns", to.token, 2)
    assert (first["error"], second["status"]) == ("Shutdown", 200)
    assert second["id"] == first["id"]
    assert second["at"] - first["at"] < 4.0  # sooner than the shortest pause


@pytest.mark.line(144)
def test_what_apple_was_not_told_before_a_kill_it_is_told_after_it(house: AppleHouse) -> None:
    to = node(house)
    house.answer_with("apns", to.token, {"ending": "stall"})
    succeeded(house.publish(to, 3))
    house.arrived("apns", to.token, 1)
    house.kill()
    pushes = house.arrived("apns", to.token, 2)
    assert pushes[1]["status"] == 200
    assert pushes[1]["message"]["message-count"] == 3


# Connections.


def test_a_goaway_in_mid_flight_loses_nothing(house: AppleHouse) -> None:
    before = node(house)
    succeeded(house.publish(before))
    house.arrived("apns", before.token)  # so that there is a connection that is known
    several = [node(house) for _ in range(8)]
    for place, to in enumerate(several):
        answers = [{"delay": 1.0}] if place < 4 else [{"ending": "goaway"}]
        house.answer_with("apns", to.token, *answers)
    for to in several:
        succeeded(house.publish(to))

    for to in several:
        assert house.arrived("apns", to.token)[-1]["topic"] == KEYED
        assert house.event("push-settled", account=to.owner)["outcome"] == "accepted"
        assert house.attempts(to) == [1]  # none needed another one after a pause


def test_a_goaway_between_two_pushes_is_no_trouble(house: AppleHouse) -> None:
    to = node(house)
    succeeded(house.publish(to))
    house.arrived("apns", to.token)
    house.tell("apns", "/connections", {"do": "goaway", "reason": "Shutdown"})
    for count in (2, 3):
        succeeded(house.publish(to, count))
        house.arrived("apns", to.token, count)


def test_apps_with_one_key_share_what_apple_sees_of_it(house: AppleHouse) -> None:
    for app, environment in (("keyed", "production"), ("keyed", "sandbox")):
        to = node(house, app, environment=environment)
        succeeded(house.publish(to))
        assert house.arrived("apns", to.token)[0]["status"] == 200
    seen = [one for one in house.connections() if not one["client_certificate"]]
    assert {one["team"] for one in seen} == {house.standins["apns"]["team_id"]}
    assert all(one["provider_tokens"] <= 1 for one in seen)
    remarks = {remark for one in seen for remark in one["remarks"]}
    assert remarks <= {"it opened a stream after GOAWAY"}  # they met on the way


# What the operator gave.


@pytest.mark.line(143)
def test_what_waits_for_a_key_that_is_wrong_is_sent_once_it_is_right(house: AppleHouse) -> None:
    to = node(house, "late")
    succeeded(house.publish(to, 5))
    alarm = house.event("provider-alarm", backend=f"apns/{DOMAIN}/late")
    assert "403 InvalidProviderToken" in alarm["reason"]
    told = house.operate("status")
    assert any("InvalidProviderToken" in problem for problem in told["problems"])
    good = node(house)
    succeeded(house.publish(good))
    assert house.arrived("apns", good.token)[0]["status"] == 200  # nobody else is concerned

    right = Path(house.standins["apns"]["key_file"])
    house.late_key.write_bytes(right.read_bytes())
    house.operate("reload")

    pushes = house.arrived("apns", to.token, 2)
    assert [one["error"] for one in pushes] == ["InvalidProviderToken", ""]
    assert pushes[1]["message"]["message-count"] == 5
    house.event("push-settled", account=to.owner, outcome="accepted")
    house.event("provider-recovered", backend=f"apns/{DOMAIN}/late")
    assert house.operate("status")["problems"] == []


def test_a_certificate_that_was_renewed_in_its_file_is_the_one_that_is_shown(
    house: AppleHouse,
) -> None:
    def shown() -> int:
        return len([one for one in house.connections() if one["client_certificate"]])

    to = node(house, "certified")
    succeeded(house.publish(to))
    house.arrived("apns", to.token)
    before = shown()

    house.certfile.write_text(house.certificate())
    house.operate("reload")
    succeeded(house.publish(to, 2))

    _, push = house.arrived("apns", to.token, 2)
    assert push["status"] == 200
    assert shown() == before + 1


def test_a_certificate_is_seen_to_have_an_end(house: AppleHouse) -> None:
    providers = house.operate("status")["providers"]
    assert 360 < providers[f"apns/{DOMAIN}/certified"]["days_left"] < 366
    assert providers[f"apns/{DOMAIN}/keyed"]["days_left"] is None
