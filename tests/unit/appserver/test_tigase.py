"""`register-device` and `unregister-device`, as Siskin, Snikket and Stork use them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pushd.appserver.limits import Rules
from pushd.appserver.pubsub import FEATURES as PUBSUB_FEATURES
from pushd.providers.contract import BadField
from pushd.wire.element import Element, children
from pushd.wire.namespaces import NS_COMMANDS, NS_DISCO_INFO, NS_DISCO_ITEMS
from tests.unit.appserver.stage import (
    JULIET,
    PUBSUB,
    REGISTER,
    Pigeon,
    Post,
    Stage,
    app,
    execute,
    has_form,
    outcome,
    publishing,
    register,
    result,
    said,
)

SISKIN, SNIKKET = "tigase:messenger:apns:1", "snikket:apns:1"
BAD = "bad-request bad-payload"


class Ringing(Post):
    """A provider with a second token."""

    type = "ringing"
    optional_fields = frozenset({"voip-token"})

    def check(self, fields: Mapping[str, str]) -> None:
        super().check(fields)
        if not fields.get("voip-token", "x").isalnum():
            raise BadField("voip-token", "is no token")


APPS = (
    app("siskin", Ringing(), app_name="siskin"),
    app("snikket", Post(), app_name="snikket"),
    app("pigeon", Pigeon(), app_name="pigeon"),
)
APPS[0].tigase_names = (SISKIN,)
APPS[1].tigase_names = (SNIKKET,)
APPS[2].tigase_names = ("wants:more:1",)


def staged(dialects: str = "tigase mod_push", **given: Any) -> Stage:
    return Stage(apps=APPS, rules=Rules(dialects=frozenset(dialects.split())), **given)


def device(
    stage: Stage, token: str = "tok", provider: str = SISKIN, sender: str = "", **more: str
) -> Element:
    fields = {"provider": provider, "device-token": token}
    fields |= {name.replace("_", "-"): value for name, value in more.items()}
    client = stage.client(sender) if sender else stage.client()
    return execute(client, "register-device", fields, host=PUBSUB, action="execute")


def unregister(stage: Stage, token: str = "tok", provider: str = SISKIN) -> Element:
    fields = {"provider": provider, "device-token": token}
    return execute(stage.client(), "unregister-device", fields, host=PUBSUB, action="execute")


def named(parent: Element, name: str) -> list[Element]:
    return [one for one in children(parent) if one.name == name]


def features(stage: Stage, of: str = PUBSUB) -> set[str]:
    answer = stage.client().ask(
        f"<iq type='get' id='d' to='{of}'><query xmlns='{NS_DISCO_INFO}'/></iq>"
    )
    return {one["var"] for one in named(answer.query, "feature")}


def commands(stage: Stage) -> list[str]:
    answer = stage.client().ask(
        f"<iq type='get' id='d' to='{PUBSUB}'>"
        f"<query xmlns='{NS_DISCO_ITEMS}' node='{NS_COMMANDS}'/></iq>"
    )
    if answer["type"] == "error":
        return []
    return [one["node"] for one in named(answer.query, "item")]


def test_a_device_registers_and_learns_its_node_and_what_works() -> None:
    stage = staged()

    given = result(device(stage))

    [node] = stage.nodes()
    assert given == {
        "node": (node,),
        "features": (
            "tigase:push:encrypt:0",
            "tigase:push:encrypt:aes-128-gcm",
            "tigase:push:priority:0",
            "tigase:push:jingle:0",
        ),
        "max-payload-size": ("3000",),
    }
    assert len(node) >= 20
    assert stage.registration(node).dialect == "tigase"
    assert stage.registration(node).backend == "siskin"


def test_the_provider_is_chosen_by_its_name() -> None:
    stage = staged()

    result(device(stage, provider=SNIKKET))

    [node] = stage.nodes()
    assert stage.registration(node).backend == "snikket"


def test_a_provider_that_wants_more_than_a_token_is_none_of_these() -> None:
    stage = staged()

    assert "wants:more:1" not in features(stage)
    assert outcome(device(stage, provider="wants:more:1")) == BAD


def test_the_second_token_is_for_calls_where_the_provider_has_such() -> None:
    stage = staged()

    result(device(stage, device_second_token="ring"))

    [node] = stage.nodes()
    assert stage.registration(node).provider_fields() == {"voip-token": "ring"}


def test_a_second_token_of_a_provider_without_one_is_left_out() -> None:
    stage = Stage(apps=(plain := app("plain"),), rules=Rules(dialects=frozenset({"tigase"})))
    plain.tigase_names = (SISKIN,)
    stage = Stage(apps=(plain,), rules=Rules(dialects=frozenset({"tigase"})))

    result(device(stage, device_second_token="ring"))

    [node] = stage.nodes()
    assert stage.registration(node).provider_fields() == {}


def test_who_registers_again_keeps_the_node() -> None:
    stage = staged()
    [first] = result(device(stage))["node"]

    [again] = result(device(stage))["node"]
    [elsewhere] = result(device(stage, sender=f"{JULIET}/another"))["node"]

    assert first == again == elsewhere
    assert stage.nodes() == [first]
    assert stage.registration(first).device_name == "another"
    assert "tok" not in stage.registration(first).device


def test_two_phones_of_one_name_are_two() -> None:
    """Siskin's resource is the name of the device, which is "iPhone" for most."""
    stage = staged()
    [first] = result(device(stage, sender=f"{JULIET}/iPhone"))["node"]
    [second] = result(device(stage, token="tok2", sender=f"{JULIET}/iPhone"))["node"]

    tokens = [stage.registration(node).token.reveal() for node in (first, second)]
    assert tokens == ["tok", "tok2"]
    assert outcome(unregister(stage)) == ""
    assert stage.nodes() == [second]


def test_who_registered_by_his_resource_keeps_the_node() -> None:
    """As all did once."""
    stage = staged()
    [node] = result(device(stage))["node"]
    known = stage.server.registrations
    old = replace(stage.registration(node), device="phone")
    del known._accounts[JULIET][stage.registration(node).place]
    known._store(old)

    assert result(device(stage))["node"] == (node,)
    assert stage.nodes() == [node]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"device-token": "tok"}, "provider"),
        ({"provider": "other:1", "device-token": "tok"}, "provider"),
        ({"provider": SISKIN}, "device-token"),
        ({"provider": SISKIN, "device-token": ""}, "device-token"),
        ({"provider": SISKIN, "device-token": "not a token"}, "device-token"),
        ({"provider": SISKIN, "device-token": ["tok", "tik"]}, "device-token"),
        ({"provider": SISKIN, "device-token": "t" * 4_097}, "device-token"),
    ],
)
@pytest.mark.parametrize("command", ["register-device", "unregister-device"])
def test_what_cannot_be_taken_is_named_and_changes_nothing(
    fields: dict[str, Any], named: str, command: str
) -> None:
    stage = staged()

    answer = execute(stage.client(), command, fields, host=PUBSUB)

    assert outcome(answer) == BAD
    assert named in said(answer)
    assert stage.nodes() == []


def test_a_second_token_that_is_none_is_named_as_the_client_knows_it() -> None:
    stage = staged()

    answer = device(stage, device_second_token="no token!")

    assert (outcome(answer), said(answer)) == (BAD, "device-second-token: is no token")
    assert stage.nodes() == []


def test_who_sends_no_form_is_given_one() -> None:
    stage = staged()

    answer = execute(stage.client(), "register-device", host=PUBSUB)

    assert has_form(answer)
    assert answer.command["status"] == "executing"
    assert SISKIN in answer.toXml()
    assert SNIKKET in answer.toXml()


def test_the_accounts_server_publishes_without_a_secret_and_nobody_else() -> None:
    stage = staged()
    [node] = result(device(stage))["node"]

    assert stage.publish(node, None) == ""
    own = f"<iq type='set' id='p' to='{PUBSUB}'>{publishing(node, None)}</iq>"
    assert outcome(stage.client(f"{JULIET}/desk").ask(own)) == ""
    assert outcome(stage.client("romeo@example.net/garden").ask(own)) == "forbidden"
    assert stage.publish(node, None, sender="evil.example") == "forbidden"
    assert stage.publish("another", None) == "item-not-found"


def test_a_node_of_another_dialect_needs_its_secret_all_the_same() -> None:
    stage = staged()
    node, _ = register(stage.client(), "ringing")

    assert stage.publish(node, None) == "forbidden"


def test_the_device_learns_for_which_account_it_is_woken() -> None:
    stage = staged()
    [node] = result(device(stage))["node"]

    stage.publish(node, None, summary={"message-count": "2", "last-message-sender": "a@b.example"})

    note, _ = stage.calls[0].look()
    assert next(note.summaries()) == {
        "unread-messages": 2,
        "sender": "a@b.example",
        "account": JULIET,
    }


def test_others_are_not_told_for_which_account_they_are_woken() -> None:
    stage = staged()
    node, secret = register(stage.client(), "ringing")

    stage.publish(node, secret, summary={"message-count": "2"})

    note, _ = stage.calls[0].look()
    assert next(note.summaries()) == {"message-count": 2}


def test_a_device_unregisters() -> None:
    stage = staged()
    [node] = result(device(stage))["node"]

    answer = unregister(stage)

    assert outcome(answer) == ""
    assert answer.command["status"] == "completed"
    assert stage.nodes() == []
    assert stage.publish(node, None) == "item-not-found"


def test_what_is_not_registered_is_not_found() -> None:
    stage = staged()
    result(device(stage))
    register(stage.client(f"{JULIET}/tablet"), "ringing", token="tik")
    stage.client("romeo@example.net/garden")

    assert outcome(unregister(stage, "other")) == "item-not-found"
    assert outcome(unregister(stage, "tik")) == "item-not-found"  # another dialect's
    assert len(stage.nodes()) == 2


def test_the_clients_find_it_where_they_have_published() -> None:
    stage = staged()

    assert {"urn:xmpp:push:0", SISKIN, SNIKKET, NS_COMMANDS} < features(stage)
    assert commands(stage) == ["register-device", "unregister-device"]
    assert (
        "register-device"
        not in stage.client()
        .ask(
            f"<iq type='get' id='d' to='{REGISTER}'>"
            f"<query xmlns='{NS_DISCO_ITEMS}' node='{NS_COMMANDS}'/></iq>"
        )
        .toXml()
    )


def test_what_is_switched_off_is_neither_announced_nor_taken() -> None:
    stage = staged("mod_push")

    assert features(stage) == {*PUBSUB_FEATURES, NS_DISCO_INFO, NS_DISCO_ITEMS}
    assert commands(stage) == []
    assert outcome(device(stage)) == "item-not-found"
    assert stage.nodes() == []


def test_what_was_registered_is_pushed_when_it_is_switched_off_later() -> None:
    stage = staged()
    [node] = result(device(stage))["node"]

    stage.server.rule(Rules(dialects=frozenset({"mod_push"})))

    assert stage.publish(node, None) == ""
    assert outcome(device(stage)) == "item-not-found"


def test_where_one_address_serves_all_the_answers_are_one() -> None:
    both = app("siskin", Ringing(), REGISTER, REGISTER, "siskin")
    both.tigase_names = (SISKIN,)
    stage = Stage(apps=(both,), rules=Rules(dialects=frozenset({"tigase", "mod_push"})))

    told = features(stage, REGISTER)

    assert {"urn:xmpp:push:0", SISKIN, NS_COMMANDS} < told
    answer = stage.client().ask(
        f"<iq type='get' id='d' to='{REGISTER}'><query xmlns='{NS_DISCO_INFO}'/></iq>"
    )
    identities = {(one["category"], one["type"]) for one in named(answer.query, "identity")}
    assert {("pubsub", "push"), ("app-server", "siskin"), ("server", "im")} <= identities
