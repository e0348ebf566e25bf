"""The commands of mod_push_appserver."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pushd.appserver.device_forms import LONGEST_NAME
from pushd.appserver.limits import Rate, Rules
from pushd.appserver.registrations import Wanted
from pushd.appserver.shown import Shown
from pushd.routing.events import PublishReceived
from pushd.wire import forms
from pushd.wire.element import Element
from pushd.wire.secret import Secret
from tests.unit.appserver.stage import (
    BOTH,
    JULIET,
    PHONE,
    PUBSUB,
    Stage,
    execute,
    outcome,
    register,
    result,
    said,
)
from tests.unit.appserver.test_outbox import killed

TOKEN = Secret("tok")
ID = "6D92078A-8246-4BA4-AE5B-76104861E7DC"
FORM_TYPE = "https://github.com/tmolitor-stud-tu/mod_push_appserver/#v1-register-push"
REGISTERS, UNREGISTERS = "v1-register-push", "v1-unregister-push"
V1 = Rules(dialects=frozenset({"mod_push", "v1"}))
ROMEO, PARIS = "romeo@example.net/phone", "paris@example.org/phone"


def stage(rules: Rules = V1, **more: Any) -> Stage:
    return Stage(BOTH, rules, domains=("example.net", "example.org"), **more)


def ask(
    house: Stage,
    command: str = REGISTERS,
    fields: Mapping[str, str] | None = None,
    address: str = PHONE,
    **changed: str,
) -> Element:
    usual = {"type": "post", "node": ID, "token": "tok"} if fields is None else {**fields}
    asked = {name: value for name, value in {**usual, **changed}.items() if value != "-"}
    return execute(house.client(address), command, asked, form_type=FORM_TYPE)


def given(answer: Element) -> str:
    """The secret."""
    values = result(answer)
    assert values["jid"] == (PUBSUB,)
    assert values["node"] == (ID,)
    return values["secret"][0]


@pytest.mark.mistake(15)
@pytest.mark.parametrize("type", ["post", "mail"])
def test_a_device_registers_by_its_own_node(type: str) -> None:
    house = stage()
    secret = given(ask(house, type=type))

    [registration] = house.server.registrations.of(JULIET)
    assert (registration.dialect, registration.device) == ("v1", ID)
    assert (registration.called, registration.type) == (ID, "post")
    assert house.publish(ID, secret) == ""
    assert house.publish(ID, "another secret") == "forbidden"


def test_again_it_is_renewed() -> None:
    house = stage()
    old, new = given(ask(house)), given(ask(house, token="tok2"))
    [registration] = house.server.registrations.of(JULIET)
    assert registration.token.reveal() == "tok2"
    assert house.publish(ID, old) == house.publish(ID, new) == ""
    assert house.publish(ID, old) == "forbidden"


def test_accounts_of_one_device_have_the_same_node_and_are_told_apart() -> None:
    house = stage()
    told: list[PublishReceived] = []
    house.hall.host.events.listen(PublishReceived, told.append)
    secrets = {who: given(ask(house, address=who)) for who in (PHONE, ROMEO, PARIS)}
    accounts = [who.partition("/")[0] for who in secrets]

    for who, secret in secrets.items():
        domain = who.partition("@")[2].partition("/")[0]
        assert house.publish(ID, secret, sender=domain) == ""
    assert house.publish(ID, secrets[PHONE], sender="example.org") == "forbidden"
    assert house.publish(ID, secrets[PARIS]) == "forbidden"

    assert [one.account for one in told] == [*accounts, "", ""]
    waiting = [push.registered.account for push in Shown(house.server).waiting()]
    assert sorted(waiting) == sorted(accounts)

    assert outcome(ask(house, UNREGISTERS, address=ROMEO)) == ""
    assert house.publish(ID, secrets[ROMEO]) == "forbidden"
    assert house.publish(ID, secrets[PHONE]) == ""


def test_it_is_found_again_after_a_restart(tmp_path: Path) -> None:
    house = stage(path=tmp_path / "db")
    secret = given(ask(house))
    again = stage(path=killed(tmp_path / "db"))
    assert again.publish(ID, secret) == ""


def test_a_node_that_is_gone_is_not_found() -> None:
    house = stage()
    secret = given(ask(house))
    [registration] = house.server.registrations.of(JULIET)
    assert house.publish(registration.node, secret) == "item-not-found"
    ask(house, UNREGISTERS)
    assert house.publish(ID, secret) == "item-not-found"


def test_a_stranger_is_told_of_the_end_by_the_devices_own_name() -> None:
    house = stage()
    told: list[Element] = []
    house.hall.host.router.add_host("elsewhere.example", lambda stanza: told.append(stanza.tree))
    registration, _ = house.server.registrations.register(
        Wanted("ann@elsewhere.example", ID, "post", "post", "any", TOKEN, dialect="v1", alias=ID),
        0.0,
    )
    house.server.unregister(registration, "the provider says so")
    [message] = told
    assert message.pubsub["node"] == ID


@pytest.mark.parametrize("command", [REGISTERS, UNREGISTERS])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("type", "-"),
        ("type", "gcm"),
        ("node", "-"),
        ("node", ""),
        ("node", "x" * (LONGEST_NAME + 1)),
    ],
)
def test_bad_input_is_not_acceptable_and_changes_nothing(
    command: str, name: str, value: str
) -> None:
    house = stage()
    ask(house)
    before = house.server.registrations.of(JULIET)

    fields = {"type": "post", "node": ID, "token": "tok", name: value}
    answer = ask(house, command, fields)

    assert outcome(answer) == "not-acceptable"
    assert name in said(answer)
    assert house.server.registrations.of(JULIET) == before


@pytest.mark.parametrize("token", ["-", "", "not a token"])
def test_a_bad_token_is_not_acceptable(token: str) -> None:
    house = stage()
    answer = ask(house, token=token)
    assert outcome(answer) == "not-acceptable"
    assert "token" in said(answer)
    assert house.nodes() == []


def test_without_a_form_one_is_offered_and_a_cancelled_one_is_refused() -> None:
    house = stage()
    for command in (REGISTERS, UNREGISTERS):
        answer = execute(house.client(), command)
        assert answer.command["status"] == "executing"
        asked = forms.read(answer.command.x).fields
        assert "node" in asked
        assert ("token" in asked) == (command == REGISTERS)
        cancelled = "<x xmlns='jabber:x:data' type='cancel'/>"
        assert outcome(execute(house.client(), command, form=cancelled)) == "not-acceptable"


def test_unregistering_is_for_the_own_device_of_that_type() -> None:
    house = stage()
    ask(house)
    for address, type in ((ROMEO, "post"), (PHONE, "pigeon")):
        answer = ask(house, UNREGISTERS, type=type, address=address)
        assert outcome(answer) == "item-not-found"
    answer = ask(house, UNREGISTERS)
    assert result(answer) == {"jid": (PUBSUB,), "node": (ID,)}
    assert outcome(ask(house, UNREGISTERS)) == "item-not-found"


def test_the_reference_lists_it_by_its_node_and_removes_it() -> None:
    house = stage()
    ask(house)
    phone = house.client()
    register(phone, token="another")
    listed = execute(phone, "list-push-registrations").toXml()
    assert ID in listed
    assert "<value>v1</value>" in listed
    answer = execute(phone, "unregister-push", {"nodes": ID})
    assert result(answer)["nodes"] == (ID,)
    assert [one.dialect for one in house.server.registrations.of(JULIET)] == ["mod_push"]


def test_the_reference_removes_it_by_the_id_that_is_named_and_not_by_a_resource() -> None:
    house = stage()
    ask(house, node="phone")  # as its resource is called
    phone = house.client()
    assert outcome(execute(phone, "unregister-push", {})).startswith("bad-request")
    assert len(house.server.registrations.of(JULIET)) == 1
    assert outcome(execute(phone, "unregister-push", {"device-id": "phone"})) == ""
    assert house.server.registrations.of(JULIET) == []


def test_an_operator_removes_whom_he_sees() -> None:
    house = stage()
    for address in (PHONE, ROMEO):
        ask(house, address=address)
    shown = Shown(house.server)
    [one] = shown.registered(JULIET)
    assert one.node == ID
    shown.unregister(one, "", "operator")
    assert [each.account for each in shown.registered()] == ["romeo@example.net"]
    with pytest.raises(KeyError):
        shown.test(one)


def test_the_rules_are_those_of_every_dialect() -> None:
    v1 = frozenset({"v1"})
    assert outcome(ask(stage(Rules(access=("example.org",), dialects=v1)))) == "forbidden"
    slow = stage(Rules(account_requests=Rate(60.0), dialects=v1))
    assert outcome(ask(slow)) == ""
    assert outcome(ask(slow)) == "policy-violation"


def test_switched_off_it_is_gone() -> None:
    house = stage(Rules())
    assert outcome(ask(house)) == outcome(ask(house, UNREGISTERS)) == "item-not-found"
