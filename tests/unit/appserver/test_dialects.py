"""All dialects at one address: each is announced and taken where it is on, and only there."""

from dataclasses import fields

import pytest

from pushd.appserver.limits import Rules
from pushd.config.sections import Dialects
from pushd.wire.element import children
from pushd.wire.namespaces import NS_COMMANDS, NS_DISCO_INFO, NS_DISCO_ITEMS
from tests.unit.appserver.stage import PUBSUB, REGISTER, Post, Stage, app, execute, outcome, result

NAMES = [option.name for option in fields(Dialects)]
TYPES = ("apns", "fcm", "gcm")
COMMANDS: dict[str, set[str]] = {
    "mod_push": {
        *(f"register-push-{type}" for type in TYPES),
        "list-push-registrations",
        "unregister-push",
    },
    "conversations": {
        *(f"register-push-{type}" for type in TYPES),
        *(f"unregister-push-{type}" for type in TYPES),
    },
    "v1": {"v1-register-push", "v1-unregister-push"},
    "tigase": {"register-device", "unregister-device"},
    # Who registers by no command.
    "fpush": set(),
    "mongooseim": set(),
}
EVERY = sorted(set().union(*COMMANDS.values()))


class Phones(Post):
    type = "fcm"
    aliases = frozenset({"gcm"})


class Apples(Post):
    type = "apns"
    aliases = frozenset()


def stage(*dialects: str, register_host: str = PUBSUB) -> Stage:
    """One address for everything, unless another one is to register at."""
    apps = [
        app(name, provider, register_host=register_host)
        for name, provider in (("fcm", Phones()), ("apns", Apples()))
    ]
    for one, name in zip(apps, ("fcm-xmpp-api", "tigase:messenger:apns:1"), strict=True):
        one.tigase_names = (name,)
    return Stage(apps, Rules(dialects=frozenset(dialects)))


def listed(house: Stage) -> set[str]:
    answer = house.client().ask(
        f"<iq type='get' id='d' to='{PUBSUB}'><query xmlns='{NS_DISCO_ITEMS}'"
        f" node='{NS_COMMANDS}'/></iq>"
    )
    return {one["node"] for one in children(answer.query)}


def told(house: Stage) -> tuple[set[tuple[str, str]], set[str]]:
    """Identities and features."""
    answer = house.client().ask(
        f"<iq type='get' id='d' to='{PUBSUB}'><query xmlns='{NS_DISCO_INFO}'/></iq>"
    )
    parts = list(children(answer.query))
    return (
        {(one["category"], one["type"]) for one in parts if one.name == "identity"},
        {one["var"] for one in parts if one.name == "feature"},
    )


@pytest.mark.parametrize("name", NAMES)
def test_alone_a_dialect_has_its_commands_and_no_others(name: str) -> None:
    house = stage(name)
    assert listed(house) == COMMANDS[name]
    client = house.client()
    for command in EVERY:
        is_known = outcome(execute(client, command, host=PUBSUB)) != "item-not-found"
        assert is_known == (command in COMMANDS[name]), command
        house.hall.advance(1)  # lest it be too many


@pytest.mark.parametrize("name", NAMES)
def test_without_it_the_others_have_all_but_its_own(name: str) -> None:
    others = [other for other in NAMES if other != name]
    house = stage(*others)
    assert listed(house) == set().union(*(COMMANDS[other] for other in others))


def test_all_are_at_one_address() -> None:
    house = stage(*NAMES)
    assert listed(house) == set(EVERY)
    identities, features = told(house)
    assert {("app-server", "any"), ("pubsub", "push")} <= identities
    assert {NS_COMMANDS, "urn:xmpp:push:0", "fcm-xmpp-api"} <= features


def test_who_knows_one_address_registers_where_servers_publish() -> None:
    house = stage(*NAMES, register_host=REGISTER)
    assert listed(house) == COMMANDS["conversations"] | COMMANDS["v1"] | COMMANDS["tigase"]
    identities, _ = told(house)
    assert "app-server" not in dict(identities)


@pytest.mark.parametrize("action", ["execute", "complete"])
def test_the_conversations_of_today_knows_one_address(action: str) -> None:
    house = stage("conversations", "mod_push", register_host=REGISTER)
    fields = {"token": "tok", "android-id": "92afd7a91cdba9a0"}

    answer = execute(house.client(), "register-push-fcm", fields, host=PUBSUB, action=action)

    given = result(answer)
    assert answer.command["status"] == "completed"
    assert given["jid"] == (PUBSUB,)
    assert house.publish(given["node"][0], given["secret"][0]) == ""


def test_none_is_announced_where_all_are_off() -> None:
    house = stage()
    assert listed(house) == set()
    identities, features = told(house)
    assert "app-server" not in dict(identities)
    assert "fcm-xmpp-api" not in features
