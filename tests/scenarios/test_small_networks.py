"""Push to phones with Ubuntu Touch and to Windows, over real sockets."""

import base64
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.scenarios.reading import condition, fields_of, secret_form, succeeded, words
from tests.scenarios.standins import HouseOfNetworks, form, started

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
