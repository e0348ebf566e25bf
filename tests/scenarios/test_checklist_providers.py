"""Lines 136 to 150 of docs/checklist.rst where FCM or an account's end is concerned, over sockets.

What each provider is sent and says is in `tests/unit/providers`.
"""

import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pushd.wire.element import child
from pushd.wire.namespaces import NS_PUBSUB
from tests.patience import PATIENCE
from tests.scenarios.house import FOREIGN, PASSWORD, PUSH_HOST, House, opened
from tests.scenarios.peers import Phone, until
from tests.scenarios.reading import condition, secret_form, succeeded, summary
from tests.scenarios.test_starting import PYTHON_M, Operator, free_port

DEAD = {"error": "UNREGISTERED"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    yield from opened(tmp_path_factory)


def is_listed(phone: Phone, node: str) -> bool:
    return node in phone.command("list-push-registrations").toXml()


def count(push: dict[str, dict[str, dict[str, str]]]) -> str:
    return push["message"]["data"]["message-count"]


def has_count(house: House, token: str, expected: str) -> bool:
    """Whether the last push for the token tells of so many messages."""
    return count(house.pushes(token, wait=PATIENCE)[-1]) == expected


@pytest.mark.line(139)
def test_two_devices_of_an_account_have_pushes_of_their_own(house: House) -> None:
    phone = house.phone()
    tablet = house.phone(phone.account, "tablet")
    phone.enable_registered("two-phone")
    tablet.enable_registered("two-tablet")
    house.script("two-phone", {"delay": 0.5})
    phone.cut()
    tablet.cut()
    for body in ("one", "two", "three"):
        house.friend().message(phone.account, body)
    for token in ("two-phone", "two-tablet"):
        until(partial(has_count, house, token, "3"), f"last push for {token}")
        assert {one["status"] for one in house.pushes(token)} == {200}


@pytest.mark.line(140)
@pytest.mark.mistake(9)
def test_a_dead_token_ends_registration_and_enablement(house: House) -> None:
    phone = house.phone()
    given = phone.enable_registered("dead")
    desk = house.phone(phone.account, "desk", sm=False)
    phone.cut()
    house.script("dead", DEAD)
    house.friend().message(phone.account, "hello")
    gone = house.event("device-unregistered", account=phone.account)
    assert (gone["by"], gone["device"]) == ("provider", "phone")
    ended = house.event("push-disabled", account=phone.account)
    assert ended["service"] == PUSH_HOST
    told = desk.take("notice", lambda one: child(one, NS_PUBSUB, "pubsub") is not None)
    assert told["from"] == PUSH_HOST
    assert not is_listed(desk, given["node"])
    house.friend().message(phone.account, "hello?")
    house.settle()
    assert len(house.pushes("dead")) == 1


@pytest.mark.line(141)
def test_what_is_said_of_an_old_token_leaves_a_newer_registration(house: House) -> None:
    phone = house.phone()
    given = phone.enable_registered("outdated")
    desk = house.phone(phone.account, "desk", sm=False)
    phone.cut()
    house.script("outdated", {**DEAD, "delay": 1.0})
    house.friend().message(phone.account, "hello")
    assert house.event("publish-received", account=phone.account)["outcome"] == "accepted"
    again = desk.register("renewed", device_id="phone")
    assert again["node"] == given["node"]
    until(lambda: house.pushes("renewed"), "push by the new token")
    assert [one["error"] for one in house.pushes("outdated")] == ["UNREGISTERED"]
    assert is_listed(desk, given["node"])
    assert not house.events("device-unregistered", account=phone.account)


@pytest.mark.line(144)
def test_an_accepted_push_survives_a_kill(house: House) -> None:
    phone = house.phone()
    phone.enable_registered("kept")
    house.script("kept", {"delay": 20})
    phone.cut()
    house.friend().message(phone.account, "hello")
    until(lambda: house.pushes("kept"), "first try")
    house.event("publish-answered", account=phone.account, outcome="accepted")

    house.kill()

    until(lambda: len(house.pushes("kept")) == 2, "second try")
    assert count(house.pushes("kept")[-1]) == "1"


@pytest.mark.line(150)
def test_with_an_account_all_that_is_its_own_goes(house: House) -> None:
    phone = house.phone()
    given = phone.enable_registered("removed")
    succeeded(phone.enable(FOREIGN, "removed"))
    name = phone.account
    phone.hang_up()
    house.friend().message(name, "never to be read")
    house.service().accept(house.service().publish("removed"))
    until(lambda: house.pushes("removed"), "push")

    house.operate("user-del", jid=name)

    assert house.events("push-disabled", account=name)
    assert house.events("device-unregistered", account=name)
    house.operate("user-add", jid=name, password=PASSWORD.reveal())
    again = house.phone(name)
    assert not is_listed(again, given["node"])
    assert condition(again.disable(FOREIGN)) == "item-not-found"
    assert "never to be read" not in again.bodies()
    again.hang_up()
    house.friend().message(name, "for the new one")
    house.settle()
    assert not house.service().published("removed")
    assert len(house.pushes("removed")) == 1
    node = f"<publish node='{given['node']}'><item/></publish>"
    asked = f"<pubsub xmlns='{NS_PUBSUB}'>{node}</pubsub>"
    assert condition(house.friend().ask(asked, PUSH_HOST)) == "item-not-found"


@pytest.mark.line(149)
def test_without_backends_services_elsewhere_are_enabled(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    for house in opened(tmp_path_factory, app_server={"backends": []}):
        phone = house.phone()
        assert condition(phone.command("list-push-registrations")) == "service-unavailable"
        assert condition(phone.enable(PUSH_HOST, "n")) == "remote-server-not-found"
        succeeded(phone.enable(FOREIGN, "elsewhere", secret_form("s")))
        phone.cut()
        house.friend().message(phone.account, "hello")
        assert summary(house.service().publish("elsewhere")) == {"message-count": "1"}


@pytest.mark.line(143)
@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.mistake(16)
def test_a_credential_that_is_not_taken_ends_no_registration(
    tmp_path_factory: pytest.TempPathFactory, status: int
) -> None:
    for house in opened(tmp_path_factory):
        phone = house.phone()
        given = phone.enable_registered("credential")
        house.control(
            "/script", {"endpoint": "tokens", "answers": [{"status": status, "times": 100}]}
        )
        phone.cut()
        house.friend().message(phone.account, "hello")
        alarm = house.event("provider-alarm")
        assert alarm["type"] == "fcm"
        assert phone.resume().name == "resumed"
        assert is_listed(phone, given["node"])
        succeeded(phone.disable(PUSH_HOST, given["node"]))


@pytest.mark.line(148)
@pytest.mark.parametrize("checking", [True, False])
def test_each_bad_backend_is_named_and_none_of_them_lets_the_server_start(
    tmp_path: Path, checking: bool
) -> None:
    """All of it at once, with key, line and remedy; no port is opened and no file is made."""
    operator = Operator(tmp_path)
    good = {"type": "ubuntu", "register_host": "example.net", "pubsub_host": PUSH_HOST}
    backends = [
        good,
        {**good, "type": "gcm", "auth_key": "of a service that is no more"},
        {**good, "type": "apns", "app_name": "two"},
        {**good, "type": "ubuntu", "app_name": "three", "lifetime": "for ever"},
        {**good, "type": "ubuntu", "app_name": "four", "register_host": "not a host"},
    ]
    place = free_port()
    path = operator.configure(listen={"client_tls": [place]}, app_server={"backends": backends})
    lines = path.read_text().splitlines()

    more = ["--check-config"] if checking else []
    code, said = operator.fails(*PYTHON_M, "--config", "pushd.yml", *more)

    assert code == 2
    for number, key, word in (
        (1, "", "service_account"),
        (2, "", "key_file"),
        (3, "lifetime", "for ever"),
        (4, "register_host", "not a host"),
    ):
        told = [line for line in said.splitlines() if f"backends[{number}]" in line]
        assert any(key in line and word in line for line in told), said
        at = int(told[0].split(":")[1])
        assert 0 < at <= len(lines)
    assert "backends[0]" not in said
    assert not (tmp_path / "data").exists()
    with socket.socket() as trial:
        assert trial.connect_ex(("127.0.0.1", int(place.rpartition(":")[2]))) != 0


@pytest.mark.line(143)
@pytest.mark.mistake(16)
def test_many_deaths_in_a_row_are_a_fault_of_ours_and_end_nothing_more(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """As with the credentials of another project, where every token looks dead."""
    for house in opened(tmp_path_factory):
        phones = [house.phone() for _ in range(14)]
        for number, phone in enumerate(phones):
            phone.enable_registered(f"one-of-many-{number}")
            house.script(f"one-of-many-{number}", {**DEAD, "times": 10})
            phone.cut()
        for phone in phones:
            house.friend().message(phone.account, "hello")
        alarm = house.event("provider-alarm")
        assert alarm["type"] == "fcm"
        house.settle()
        gone = {one["account"] for one in house.events("device-unregistered")}
        kept = [phone for phone in phones if phone.account not in gone]
        assert len(gone) <= 10
        assert len(kept) >= 4
        for phone in kept:
            assert phone.resume().name == "resumed"
            assert "<item>" in phone.command("list-push-registrations").toXml()
