"""pushd as the push service of another server, to which it connects as a component (XEP-0114).

That server is a pushd, too, which treats this one as it treats any component.
"""

import json
import signal
from collections.abc import Iterator
from functools import partial

import pytest

from tests.patience import PATIENCE
from tests.scenarios.gateways import Gateway
from tests.scenarios.house import COMPONENT_SECRET, ELSEWHERE, FOREIGN, House
from tests.scenarios.peers import Phone, until
from tests.scenarios.reading import info, secret_form, succeeded

GATEWAY = "gateway.example.net"


def gateway_of(
    house: House, name: str = GATEWAY, secret: str = COMPONENT_SECRET.reveal()
) -> Gateway:
    return Gateway(house.folder / name, name, house.component, house._backend("fcm"), secret)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    secret = {"secret": COMPONENT_SECRET.reveal()}
    components = dict.fromkeys((FOREIGN, ELSEWHERE, GATEWAY), secret)
    house = House(tmp_path_factory.mktemp("house"), components=components)
    gateway = gateway_of(house)
    try:
        house.start()
        gateway.start()
        gateway.attached()
        house.gateway = gateway  # type: ignore[attr-defined]
        yield house
        house.check()
    finally:
        house.close()
        gateway.close()


@pytest.fixture
def gateway(house: House) -> Gateway:
    found: Gateway = house.gateway  # type: ignore[attr-defined]
    return found


def registered(house: House, token: str) -> tuple[Phone, dict[str, str]]:
    """A phone whose push service is the gateway."""
    phone = house.phone()
    given = phone.register(token, GATEWAY)
    succeeded(phone.enable(given["jid"], given["node"], secret_form(given["secret"])))
    return phone, given


def _pushed(house: House, token: str, count: int) -> bool:
    return len(house.pushes(token)) >= count


def test_it_has_no_door_and_no_accounts(gateway: Gateway) -> None:
    status = gateway.status()

    assert status["domains"] == {}
    assert [name for name, places in status["listeners"].items() if places] == ["admin"]
    assert "c2s" not in gateway.ready
    assert gateway.ready["domain"] == GATEWAY


def test_it_is_found_by_discovery(house: House) -> None:
    found = info(house.phone().disco("info", GATEWAY))

    assert {("pubsub", "push"), ("app-server", "any")} <= {one[:2] for one in found.identities}


def test_a_phone_registers_is_woken_and_has_lost_nothing(house: House) -> None:
    phone, given = registered(house, "token-woken")
    assert given["jid"] == GATEWAY

    phone.cut()
    house.friend().message(phone.account, "are you there?")

    [push] = house.pushes("token-woken", wait=PATIENCE)
    assert push["message"]["data"]["message-count"] == "1"
    assert phone.resume().name == "resumed"
    phone.hear("are you there?")


def test_a_dead_token_is_told_to_the_account_and_ends_the_enablement(house: House) -> None:
    phone, _ = registered(house, "token-dead")
    house.script("token-dead", {"error": "UNREGISTERED"})

    phone.cut()
    house.friend().message(phone.account, "hello?")

    house.event("push-disabled", account=phone.account)


def test_what_stops_either_side_is_survived(house: House, gateway: Gateway) -> None:
    phone, _ = registered(house, "token-survivor")
    for count, number in enumerate((signal.SIGTERM, signal.SIGKILL), 1):
        gateway.stop(number)
        gateway.start()
        gateway.attached()
        phone.cut()
        house.friend().message(phone.account, "again")
        until(partial(_pushed, house, "token-survivor", count), "push")
        assert phone.resume().name == "resumed"
        phone.hear("again")


def test_the_other_server_may_be_away(house: House, gateway: Gateway) -> None:
    account = house.add_account()
    phone = house.phone(account)
    given = phone.register("token-patient", GATEWAY)
    succeeded(phone.enable(given["jid"], given["node"], secret_form(given["secret"])))
    house.kill()

    gateway.attached()
    house.friend().message(account, "after the crash")

    assert house.pushes("token-patient", wait=PATIENCE)


def test_a_wrong_secret_is_said_in_words(house: House) -> None:
    stranger = gateway_of(house, FOREIGN, "a wrong one")
    stranger.start()
    try:
        until(lambda: "not-authorized" in stranger.status()["component"]["obstacle"], "reason")
        status = stranger.status()
        assert "a wrong one" not in json.dumps(status)
        assert any(f"the component {FOREIGN} is away" in one for one in status["problems"])
    finally:
        stranger.close()
