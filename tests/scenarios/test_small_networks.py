"""Push to phones with Ubuntu Touch and to Windows, over real sockets."""

import base64
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.scenarios.reading import condition, fields_of, secret_form, succeeded, words
from tests.scenarios.standins import HouseOfNetworks, Node, form, started

APP = "chat.example_chat"
_numbers = itertools.count(1)


class SmallHouse(HouseOfNetworks):
    networks = ("ubuntu", "wns")

    def backends(self) -> list[dict[str, Any]]:
        wns = self.standins["wns"]
        client = {name: wns[name] for name in ("package_sid", "auth_key", "token_uri")}
        return [self.backend("ubuntu"), self.backend("wns", **client)]

    def token(self, network: str) -> str:
        """A new one."""
        number = next(_numbers)
        if network == "ubuntu":
            return base64.b64encode(f"{APP}:{number}".encode()).decode()
        return f"{self.standins['wns']['url']}/channel/?token=phone%2f{number}"


FIELDS = {"ubuntu": {"application-id": APP}, "wns": {}}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallHouse]:
    yield from started(SmallHouse(tmp_path_factory.mktemp("small")))


def counted(network: str, push: dict[str, Any]) -> Any:
    """How many messages a push tells of."""
    message = push["data"]["message"] if network == "ubuntu" else push["message"]
    return message["message-count"]


@pytest.mark.line(136)
@pytest.mark.parametrize("network", ["ubuntu", "wns"])
def test_a_message_to_a_sleeping_device_arrives(house: SmallHouse, network: str) -> None:
    token = house.token(network)
    phone = house.phone()
    given = fields_of(phone.command(f"register-push-{network}", form(token, **FIELDS[network])))
    succeeded(phone.enable(given["jid"], given["node"], secret_form(given["secret"])))
    phone.cut()

    house.friend().message(phone.account, "But soft, what light")

    [push] = house.arrived(network, token)
    assert (push["status"], push["error"]) == (200, "")
    assert counted(network, push) == 1
    assert phone.resume().name == "resumed"
    phone.hear("But soft, what light")


@pytest.mark.line(140)
@pytest.mark.parametrize(("network", "fault"), [("ubuntu", "unknown-token"), ("wns", "expired")])
def test_a_device_that_is_gone_is_forgotten(house: SmallHouse, network: str, fault: str) -> None:
    to = house.node(network, house.token(network), **FIELDS[network])
    house.answer_with(network, to.token, {"error": fault})
    succeeded(house.publish(to))
    house.event("device-unregistered", account=to.owner)
    assert condition(house.publish(to)) == "item-not-found"


def test_a_phone_with_too_much_waiting_has_it_cleared(house: SmallHouse) -> None:
    to = house.node("ubuntu", house.token("ubuntu"), **FIELDS["ubuntu"])
    house.answer_with("ubuntu", to.token, {"error": "too-many-pending"})
    succeeded(house.publish(to, 7))
    first, second = house.arrived("ubuntu", to.token, 2)
    assert (first["clear_pending"], second["clear_pending"]) == (False, True)
    assert (second["status"], counted("ubuntu", second)) == (200, 7)


def test_an_access_token_that_is_taken_no_more_is_fetched_anew(house: SmallHouse) -> None:
    to = house.node("wns", house.token("wns"))
    house.answer_with("wns", to.token, {"error": "unauthorized"})
    succeeded(house.publish(to, 3))
    first, second = house.arrived("wns", to.token, 2)
    assert (first["error"], second["status"], counted("wns", second)) == ("unauthorized", 200, 3)


@pytest.mark.line(145)
@pytest.mark.parametrize(
    "token",
    ["https://evil.example/?notify.windows.com", "https://notify.windows.com.evil.example/x", "x"],
)
def test_a_channel_elsewhere_is_refused(house: SmallHouse, token: str) -> None:
    refused = house.friend().command("register-push-wns", form(token))
    assert condition(refused) == "bad-request"
    assert "token" in words(refused)


@pytest.mark.line(100)
def test_an_ubuntu_phone_says_its_app(house: SmallHouse) -> None:
    refused = house.friend().command("register-push-ubuntu", form(house.token("ubuntu")))
    assert condition(refused) == "bad-request"
    assert "application-id" in words(refused)


# Each answer that there is.


def answered(house: SmallHouse, network: str, *answers: dict[str, Any], count: int = 3) -> Node:
    """A device whose push is answered so."""
    to = house.node(network, house.token(network), **FIELDS[network])
    house.answer_with(network, to.token, *answers)
    succeeded(house.publish(to, count))
    return to


def settled(house: SmallHouse, to: Node) -> dict[str, Any]:
    return house.event("push-settled", account=to.owner)


REFUSALS = [
    ("ubuntu", "bad-json", "400 invalid-request"),
    ("ubuntu", "past-expiry", "400 invalid-request"),
    ("ubuntu", "unknown-channel", "400 unknown-channel"),
    ("ubuntu", "method", "405 invalid-request"),
    ("ubuntu", "no-length", "411 invalid-request"),
    ("ubuntu", "content-type", "415 invalid-request"),
    ("wns", "dropped", "200 dropped"),
    ("wns", "bad-header", "HTTP 400"),
    ("wns", "method", "HTTP 405"),
    ("wns", "no-length", "HTTP 411"),
]


@pytest.mark.line(143)
@pytest.mark.parametrize(("network", "fault", "reason"), REFUSALS)
def test_what_is_refused_is_not_said_again_and_unregisters_nobody(
    house: SmallHouse, network: str, fault: str, reason: str
) -> None:
    to = answered(house, network, {"error": fault})
    end = settled(house, to)
    assert (end["outcome"], end["reason"]) == ("refused", reason)
    succeeded(house.publish(to, 4))
    first, second = house.arrived(network, to.token, 2)
    assert (first["error"], second["error"]) == (fault, "")


@pytest.mark.line(144)
@pytest.mark.parametrize(
    ("network", "faults"),
    [
        ("ubuntu", ("io-error", "internal", "unavailable")),
        ("wns", ("channelthrottled", "throttled", "internal", "unavailable")),
    ],
)
def test_who_is_busy_is_asked_again_when_he_says(
    house: SmallHouse, network: str, faults: tuple[str, ...]
) -> None:
    devices = [answered(house, network, {"error": fault, "retry_after": 1}) for fault in faults]
    for to, fault in zip(devices, faults, strict=True):
        first, second = house.arrived(network, to.token, 2)
        assert (first["error"], second["status"]) == (fault, 200)
        assert second["at"] - first["at"] >= 1.0
        assert settled(house, to)["outcome"] == "accepted"


def test_a_status_of_a_front_end_that_says_when_is_believed(house: SmallHouse) -> None:
    to = answered(house, "ubuntu", {"status": 429, "retry_after_date": 2})
    first, second = house.arrived("ubuntu", to.token, 2)
    assert (first["status"], second["status"]) == (429, 200)


@pytest.mark.line(142)
@pytest.mark.parametrize(
    ("network", "fault"),
    [("ubuntu", "too-large"), ("ubuntu", "data-too-large"), ("wns", "too-large")],
)
def test_what_is_too_big_goes_again_with_the_counts_alone(
    house: SmallHouse, network: str, fault: str
) -> None:
    to = answered(house, network, {"error": fault}, count=8)
    first, second = house.arrived(network, to.token, 2)
    assert (first["error"], second["status"], counted(network, second)) == (fault, 200, 8)
    assert settled(house, to)["outcome"] == "accepted"


def test_a_phone_that_cannot_be_cleared_is_given_up_for_this_time(house: SmallHouse) -> None:
    to = answered(house, "ubuntu", {"error": "too-many-pending", "times": 2})
    end = settled(house, to)
    assert (end["outcome"], end["reason"]) == ("refused", "413 too-many-pending")
    assert len(house.arrived("ubuntu", to.token, 2)) == 2


def test_a_hundred_that_wait_for_a_phone_make_room_for_the_newest(house: SmallHouse) -> None:
    token = house.token("ubuntu")
    to = house.node("ubuntu", token, **FIELDS["ubuntu"])
    house.tell("ubuntu", "/offline", {"token": token, "offline": True})
    for count in (1, 2, 3):
        succeeded(house.publish(to, count))
        house.arrived("ubuntu", token, count)
    [waits] = house.tell("ubuntu", "/offline")["pending"][token]  # the others gave way to it
    assert waits["data"]["message"]["message-count"] == 3


@pytest.mark.line(140)
@pytest.mark.parametrize(("network", "fault"), [("ubuntu", "unauthorized"), ("wns", "not-found")])
def test_a_device_of_which_a_service_knows_nothing_is_forgotten(
    house: SmallHouse, network: str, fault: str
) -> None:
    before = answered(house, network, {})  # the service knows us
    assert settled(house, before)["outcome"] == "accepted"
    to = answered(house, network, {"error": fault})
    house.event("device-unregistered", account=to.owner)
    assert condition(house.publish(to)) == "item-not-found"


def test_a_channel_of_another_app_is_nobody_elses_trouble(house: SmallHouse) -> None:
    before = answered(house, "wns", {})
    assert settled(house, before)["outcome"] == "accepted"
    to = answered(house, "wns", {"error": "forbidden"})
    assert settled(house, to)["outcome"] == "refused"
    assert house.operate("status")["problems"] == []
    succeeded(house.publish(to))  # still a node


def test_a_server_whose_domain_is_blocked_hears_an_alarm_and_forgets_nobody(
    house: SmallHouse,
) -> None:
    to = answered(house, "wns", {"error": "blocked"}, count=9)
    alarm = house.event("provider-alarm", type="wns")
    assert alarm["reason"] == "HTTP 410: this server's domain is blocked"
    house.operate("reload")  # the operator has acted
    assert settled(house, to)["outcome"] == "accepted"
    assert counted("wns", house.arrived("wns", to.token, 2)[1]) == 9
