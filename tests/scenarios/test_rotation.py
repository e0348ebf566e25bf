"""Credentials of providers that are exchanged under a server at work, over real sockets."""

import itertools
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pushd.simulators.webhook_signatures import made_up
from pushd.wire.secret import Secret
from tests.scenarios.house import DOMAIN
from tests.scenarios.peers import until
from tests.scenarios.reading import condition, fields_of, secret_form, succeeded, words
from tests.scenarios.standins import HouseOfNetworks, Node, form, started

TOPIC, CERTIFIED = "org.example.keyed", "org.example.certified"
_numbers = itertools.count(1)


class RotatingHouse(HouseOfNetworks):
    """One app for each credential that there is; what can be is kept in a file."""

    networks = ("apns", "wns", "webhook")

    def backends(self) -> list[dict[str, Any]]:
        self.standins["fcm"] = self.stand_ins["fcm"]  # which every house has
        apple, windows, hook = (self.standins[name] for name in ("apns", "wns", "webhook"))
        self.key_file = Path(apple["key_file"])
        self.certfile = self.folder / "apns.pem"
        self.certfile.write_text(self.certificate())
        self.account = Path(self.standins["fcm"]["service_account"])
        self.client_secret = self.folder / "wns-secret"
        self.client_secret.write_text(windows["auth_key"])
        self.secrets = [self.folder / "webhook-secret-1", self.folder / "webhook-secret-2"]
        for file in self.secrets:
            file.write_text(hook["secret"])
        key = {"key_file": str(self.key_file), "team_id": apple["team_id"], "topic": TOPIC}
        return [
            self.backend("apns", app_name="keyed", **key),
            self.backend("apns", app_name="certified", certfile=str(self.certfile)),
            self.backend("fcm", service_account=str(self.account)),
            self.backend(
                "wns",
                package_sid=windows["package_sid"],
                token_uri=windows["token_uri"],
                auth_key={"file": str(self.client_secret)},
            ),
            self.backend(
                "webhook",
                url=hook["push_url"],
                secret=[{"file": str(file)} for file in self.secrets],
            ),
        ]

    def certificate(self) -> str:
        made = self.tell("apns", "/certificates", {"topics": [CERTIFIED]})
        return str(made["key"] + made["certificate"])

    def connections(self) -> list[dict[str, Any]]:
        """Those of APNs that pushes have come through."""
        found: list[dict[str, Any]] = self.tell("apns", "/connections")["connections"]
        return [one for one in found if one["requests"]]

    def device(self, network: str) -> Node:
        """A new one of a backend's, by the backend's credential."""
        number = next(_numbers)
        token = {
            "fcm": f"token-{number}:APA91b",
            "wns": f"{self.standins['wns']['url']}/channel/?token={number}",
            "webhook": f"phone {number}",
        }.get(network, f"{number:064x}")
        if network in ("keyed", "certified"):
            return self.node("apns", token, app=network)
        return self.node(network, token)

    def came(self, network: str, to: Node, count: int) -> list[dict[str, Any]]:
        """What has come by now, once there is so much of it."""
        kind = "apns" if network in ("keyed", "certified") else network
        return self.arrived(kind, to.token, count)

    def refused(self) -> str:
        """What a reload says that comes to nothing."""
        done = self.operator.pushdctl("--socket", self.ready["admin"], "reload")
        assert done.returncode == 1
        return str(done.stderr)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RotatingHouse]:
    yield from started(RotatingHouse(tmp_path_factory.mktemp("rotating")))


def settled(house: RotatingHouse, to: Node) -> dict[str, Any]:
    return house.event("push-settled", account=to.owner, outcome="accepted")


# APNs.


def test_a_new_key_signs_what_comes_and_the_connection_of_the_old_one_ends(
    house: RotatingHouse,
) -> None:
    friend, to, slow = house.friend(), house.device("keyed"), house.device("keyed")
    succeeded(house.publish(to))
    settled(house, to)
    [before] = [one for one in house.connections() if not one["client_certificate"]]
    house.answer_with("apns", slow.token, {"delay": 3.0})
    succeeded(house.publish(slow))
    house.came("keyed", slow, 1)  # under way, and unanswered

    made = house.tell("apns", "/keys", {})
    new = house.folder / f"AuthKey_{made['key_id']}.p8"
    new.write_text(made["private_key"])
    config = house.folder / "pushd.yml"
    config.write_text(config.read_text().replace(str(house.key_file), str(new)))
    assert "app_server.backends" in house.operate("reload")["changed"]
    succeeded(house.publish(to, 2))

    *_, push = house.came("keyed", to, 2)
    assert (push["status"], push["authorized_by"]) == (200, f"{made['team_id']}/{made['key_id']}")
    assert settled(house, slow)["seconds"] > 2.5  # it was answered where it was asked
    assert len(house.came("keyed", slow, 1)) == 1

    def ended() -> Any:
        [old] = [one for one in house.connections() if one["number"] == before["number"]]
        return old["closed_at"]

    until(ended, "end of the old connection")
    friend.settled()


def test_keys_that_come_and_go_lose_and_double_nothing(house: RotatingHouse) -> None:
    config = house.folder / "pushd.yml"
    text = config.read_text()
    used = next(file for file in house.folder.rglob("AuthKey_*.p8") if str(file) in text)
    made = house.tell("apns", "/keys", {})
    other = house.folder / f"AuthKey_{made['key_id']}.p8"
    other.write_text(made["private_key"])
    devices = [house.device("keyed") for _ in range(40)]
    for to in devices:
        house.answer_with("apns", to.token, {"delay": 0.3})

    for place, to in enumerate(devices):
        succeeded(house.publish(to, place + 1))
        if place % 10 == 5:
            used, other = other, used
            config.write_text(config.read_text().replace(str(other), str(used)))
            house.operate("reload")

    for place, to in enumerate(devices):
        settled(house, to)
        assert house.attempts(to) == [1]  # none needed another one after a pause
        [push] = house.came("keyed", to, 1)
        assert (push["status"], push["message"]["message-count"]) == (200, place + 1)


def test_a_renewed_certificate_leaves_no_connection_of_the_old_one(house: RotatingHouse) -> None:
    def open_ones() -> list[int]:
        found = [one for one in house.connections() if one["client_certificate"]]
        return [one["number"] for one in found if one["closed_at"] is None]

    to = house.device("certified")
    succeeded(house.publish(to))
    settled(house, to)
    [old] = open_ones()

    house.certfile.write_text(house.certificate())
    house.operate("reload")

    until(lambda: old not in open_ones() or None, "end of the old connection")
    succeeded(house.publish(to, 2))
    assert house.came("certified", to, 2)[1]["status"] == 200
    assert old not in open_ones()


def test_a_reload_of_the_same_leaves_connections_alone(house: RotatingHouse) -> None:
    to = house.device("keyed")
    succeeded(house.publish(to))
    settled(house, to)
    before = [one["number"] for one in house.connections() if one["closed_at"] is None]
    house.operate("reload")
    succeeded(house.publish(to, 2))
    house.came("keyed", to, 2)
    assert [one["number"] for one in house.connections() if one["closed_at"] is None] == before


# Webhook.


def test_a_secret_is_exchanged_without_a_gap(house: RotatingHouse) -> None:
    to = house.device("webhook")
    first, second = house.secrets
    old, new = first.read_text(), made_up()

    first.write_text(new)  # both sign
    house.operate("reload")
    succeeded(house.publish(to, 1))
    assert house.came("webhook", to, 1)[0]["signed_by"] == [Secret(old).digest]
    house.tell("webhook", "/secrets", {"secrets": [new]})  # the receiver knows the new one alone
    succeeded(house.publish(to, 2))
    second.write_text(new)
    house.operate("reload")
    succeeded(house.publish(to, 3))

    _, both, one = house.came("webhook", to, 3)
    assert (both["signatures"], both["signed_by"]) == (2, [Secret(new).digest])
    assert (one["status"], set(one["signed_by"])) == (204, {Secret(new).digest})


def test_a_secret_that_the_receiver_does_not_know_is_an_alarm_and_loses_nothing(
    house: RotatingHouse,
) -> None:
    to = house.device("webhook")
    right = house.secrets[0].read_text()
    for file in house.secrets:
        file.write_text(made_up())
    house.operate("reload")
    succeeded(house.publish(to, 4))
    alarm = house.event("provider-alarm", backend=f"webhook/{DOMAIN}/any")
    assert "401" in alarm["reason"]

    for file in house.secrets:
        file.write_text(right)
    house.operate("reload")

    settled(house, to)
    [taken] = house.came("webhook", to, 1)  # what was refused was not read
    assert taken["message"]["summary"] == {"message-count": 4}
    assert house.operate("status")["problems"] == []


# WNS.


def test_a_client_secret_that_is_wrong_is_told_and_the_right_one_sends_what_waited(
    house: RotatingHouse,
) -> None:
    before, to = house.device("wns"), house.device("wns")
    succeeded(house.publish(before))
    settled(house, before)
    right = house.client_secret.read_text()
    house.client_secret.write_text("expired and replaced")
    house.operate("reload")
    succeeded(house.publish(to, 5))
    alarm = house.event("provider-alarm", backend=f"wns/{DOMAIN}/any")
    assert "invalid_client" in alarm["reason"]
    assert "expired and replaced" not in json.dumps(alarm)

    house.client_secret.write_text(right)
    house.operate("reload")

    settled(house, to)
    [push] = house.came("wns", to, 1)
    assert push["message"]["message-count"] == 5


# What is of no use.


@pytest.mark.parametrize(
    ("network", "option", "content"),
    [
        ("keyed", "key_file", "no key"),
        ("certified", "certfile", "nonsense"),
        ("fcm", "service_account", "{}"),
        ("wns", "auth_key", ""),
        ("webhook", "secret", "whsec_short"),
    ],
)
def test_what_cannot_be_a_credential_is_named_and_the_old_one_goes_on(
    house: RotatingHouse, network: str, option: str, content: str
) -> None:
    config = (house.folder / "pushd.yml").read_text()
    key_file = next(file for file in house.folder.rglob("AuthKey_*.p8") if f"{file}" in config)
    files = {
        "keyed": key_file,
        "certified": house.certfile,
        "fcm": house.account,
        "wns": house.client_secret,
        "webhook": house.secrets[0],
    }
    to = house.device(network)
    file = files[network]
    good = file.read_bytes()
    file.write_text(content)
    try:
        said = house.refused()
        assert f".{option}" in said
        assert content not in said or not content.strip("{}")
        succeeded(house.publish(to))
        settled(house, to)
    finally:
        file.write_bytes(good)
    assert house.operate("reload")["changed"] == []


# The webhook's own way.


def test_a_message_to_a_sleeping_device_arrives_signed(house: RotatingHouse) -> None:
    phone = house.phone()
    token = f"the phone of {phone.account}"
    given = fields_of(phone.command("register-push-webhook", form(token, silent_push="true")))
    succeeded(phone.enable(given["jid"], given["node"], secret_form(given["secret"])))
    phone.cut()

    house.friend().message(phone.account, "But soft, what light")

    [push] = house.arrived("webhook", token)
    assert (push["status"], push["kind"], push["attempt"]) == (204, "push.message", 1)
    assert push["message"]["summary"] == {"message-count": 1}
    assert push["message"]["silent"] is True
    assert phone.resume().name == "resumed"
    phone.hear("But soft, what light")


@pytest.mark.parametrize("state", ["unregistered", "gone"])
def test_a_token_that_the_receiver_calls_dead_is_unregistered(
    house: RotatingHouse, state: str
) -> None:
    to = house.device("webhook")
    house.tell("webhook", "/states", {"token": to.token, "is": state})
    succeeded(house.publish(to))
    house.event("device-unregistered", account=to.owner)
    assert condition(house.publish(to)) == "item-not-found"


def test_an_address_that_is_not_found_unregisters_nobody(house: RotatingHouse) -> None:
    before, to = house.device("webhook"), house.device("webhook")
    succeeded(house.publish(before))
    settled(house, before)
    house.answer_with("webhook", to.token, {"error": "not-found"})
    succeeded(house.publish(to))
    assert house.event("push-settled", account=to.owner)["outcome"] == "refused"
    succeeded(house.publish(to, 2))
    assert house.came("webhook", to, 2)[1]["status"] == 204


def test_what_failed_is_sent_again_with_the_same_id(house: RotatingHouse) -> None:
    to = house.device("webhook")
    house.answer_with("webhook", to.token, {"error": "unavailable", "retry_after": 1})
    succeeded(house.publish(to, 6))
    first, second = house.came("webhook", to, 2)
    assert (first["status"], second["status"]) == (503, 204)
    assert (first["id"], second["attempt"]) == (second["id"], 2)
    settled(house, to)


def test_a_token_of_no_use_is_named(house: RotatingHouse) -> None:
    for wrong in ("x" * 1025, "a\tb"):
        refused = house.friend().command("register-push-webhook", form(wrong))
        assert condition(refused) == "bad-request"
        assert "token" in words(refused)
        assert b64encode(wrong.encode()).decode() not in words(refused)
