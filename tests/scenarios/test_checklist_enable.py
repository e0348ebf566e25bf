"""Lines 1 to 33 of docs/checklist.rst: enabling and disabling push, over real sockets."""

from collections.abc import Iterator

import pytest

from pushd.wire import forms
from pushd.wire.element import Element, element
from pushd.wire.namespaces import FORM_PUBLISH_OPTIONS, FORM_PUSH_OPTIONS, NS_FORMS, NS_PUSH
from tests.scenarios.house import DOMAIN, ELSEWHERE, FOREIGN, PUSH_HOST, House, opened
from tests.scenarios.peers import Phone
from tests.scenarios.reading import (
    accepted,
    condition,
    info,
    options_form,
    options_of,
    refusal,
    secret_form,
    succeeded,
    summary,
    words,
)

DEFAULTS = {
    "include-senders": "0",
    "include-message-count": "1",
    "include-subscription-count": "1",
    "include-message-bodies": "0",
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    yield from opened(tmp_path_factory)


def told(phone: Phone) -> dict[str, str]:
    """The account's options, as its disco#info has them."""
    form = info(phone.disco("info", phone.account)).forms[FORM_PUSH_OPTIONS]
    return {name: value for name, (value,) in form.fields.items()}


def is_enabled(house: House, phone: Phone, node: str, domain: str = FOREIGN) -> bool:
    """Whether a message makes a publish, which is accepted; the phone is cut and comes back."""
    phone.cut()
    house.friend().message(phone.account, "is anything enabled?")
    house.settle()
    published = house.service(domain).published(node)
    for one in published:  # else another one would wait for the answer
        house.service(domain).accept(one)
    assert phone.resume().name == "resumed"
    return bool(published)


# Whom it is about.


@pytest.mark.line(1, 4)
@pytest.mark.parametrize("to", ["", "own", DOMAIN])
def test_enabling_is_about_the_account_that_asks(house: House, to: str) -> None:
    phone = house.phone()
    node = f"about {to}"
    succeeded(phone.enable(FOREIGN, node, to=phone.account if to == "own" else to))
    assert is_enabled(house, phone, node)


@pytest.mark.line(2)
def test_enabling_for_another_account_is_refused(house: House) -> None:
    stranger, contact, victim = house.phone(), house.phone(), house.phone()
    contact.say(f"<presence type='subscribe' to='{victim.account}'/>")
    contact.settled()
    victim.say(f"<presence type='subscribed' to='{contact.account}'/>")
    victim.settled()
    # Who may not see the account is told what is said where there is none.
    for mallory, told in ((contact, "not-allowed"), (stranger, "service-unavailable")):
        refused = mallory.enable(FOREIGN, "of another", to=victim.account)
        assert refusal(refused) == ("cancel", told)
        assert not is_enabled(house, mallory, "of another")
    assert not is_enabled(house, victim, "of another")


@pytest.mark.line(3)
@pytest.mark.parametrize(
    ("to", "answered"), [("account", "service-unavailable"), (DOMAIN, "not-allowed")]
)
def test_nobody_from_elsewhere_enables_push(house: House, to: str, answered: str) -> None:
    service, phone = house.service(), house.phone()
    where = phone.account if to == "account" else to
    service.say(
        f"<iq type='set' id='from elsewhere' from='ann@{FOREIGN}' to='{where}'>"
        f"<enable xmlns='{NS_PUSH}' jid='{FOREIGN}' node='from elsewhere'/></iq>"
    )
    answer = service.take("answer", lambda one: one.getAttribute("id") == "from elsewhere")
    assert condition(answer) == answered
    assert not is_enabled(house, phone, "from elsewhere")


# Service and node.


@pytest.mark.line(5)
def test_service_and_node_alone_give_an_empty_result(house: House) -> None:
    phone = house.phone()
    answer = succeeded(phone.enable(FOREIGN, "alone"))
    assert not answer.children


@pytest.mark.line(6, 7, 8)
@pytest.mark.parametrize(
    ("attributes", "expected", "named"),
    [
        ({"node": "n"}, ("modify", "bad-request"), "jid"),
        ({"jid": "", "node": "n"}, ("modify", "jid-malformed"), ""),
        ({"jid": "@push.example", "node": "n"}, ("modify", "jid-malformed"), ""),
        ({"jid": "a b@push.example", "node": "n"}, ("modify", "jid-malformed"), ""),
        ({"jid": FOREIGN, "node": ""}, ("modify", "not-acceptable"), "node"),
    ],
    ids=["no jid", "empty jid", "no user", "space in jid", "empty node"],
)
@pytest.mark.parametrize("name", ["enable", "disable"])
def test_an_address_or_a_node_that_is_none_is_refused(
    house: House, name: str, attributes: dict[str, str], expected: tuple[str, str], named: str
) -> None:
    phone = house.phone()
    succeeded(phone.enable(FOREIGN, "good"))
    refused = phone.ask(element(NS_PUSH, name, **attributes))
    assert refusal(refused) == expected
    assert named in words(refused)
    assert is_enabled(house, phone, "good")


@pytest.mark.line(8)
def test_a_service_may_need_no_node(house: House) -> None:
    phone, service = house.phone(), house.service(ELSEWHERE)
    succeeded(phone.enable(ELSEWHERE, None))
    phone.cut()
    house.friend().message(phone.account, "hello")
    publish = service.publish("")
    assert "node" not in next(publish.firstChildElement().elements()).attributes
    service.accept(publish)


@pytest.mark.line(9)
@pytest.mark.parametrize(
    ("type", "name"), [("get", "enable"), ("get", "disable"), ("set", "renew"), ("get", "renew")]
)
def test_push_is_enabled_and_disabled_and_nothing_else(house: House, type: str, name: str) -> None:
    phone = house.phone()
    for to in ("", phone.account, DOMAIN):
        refused = phone.ask(element(NS_PUSH, name, jid=FOREIGN, node="n"), to, type)
        assert refusal(refused) == ("cancel", "not-allowed")


@pytest.mark.line(33)
def test_our_own_service_and_a_foreign_one_are_enabled_alike(house: House) -> None:
    phone = house.phone()
    for service in (PUSH_HOST, FOREIGN, f"pubsub@{FOREIGN}", f"{FOREIGN}/push"):
        succeeded(phone.enable(service, "alike"))
    refused = phone.enable("push.nowhere.example", "alike")
    assert refusal(refused) == ("cancel", "remote-server-not-found")
    assert "push.nowhere.example" in words(refused)


# The options.


@pytest.mark.line(10, 17, 18)
def test_each_option_takes_effect_and_unknown_ones_are_passed_over(house: House) -> None:
    phone = house.phone()
    form = options_form(
        include_senders="1",
        include_message_count="0",
        include_subscription_count="0",
        include_message_bodies="1",
        include_everything="1",
    )
    answer = phone.enable(FOREIGN, "each option", form)
    wanted = {
        "include-senders": "1",
        "include-message-count": "0",
        "include-subscription-count": "0",
        "include-message-bodies": "1",
    }
    assert accepted(answer) == wanted
    enabled = answer.firstChildElement()
    assert (enabled["jid"], enabled["node"]) == (FOREIGN, "each option")
    shown = enabled.firstChildElement()
    assert shown["type"] == "result"
    types = {field["var"]: field["type"] for field in shown.elements()}
    assert types == {"FORM_TYPE": "hidden"} | dict.fromkeys(wanted, "boolean")
    assert told(phone) == wanted
    phone.cut()
    house.friend().message(phone.account, "hello")
    publish = house.service().publish("each option")
    assert summary(publish) == {
        "last-message-sender": house.friend().jid,
        "last-message-body": "hello",
    }
    house.service().accept(publish)


@pytest.mark.line(11)
@pytest.mark.parametrize(("said", "meant"), [("1", "1"), ("true", "1"), ("0", "0"), ("false", "0")])
def test_booleans_have_two_spellings(house: House, said: str, meant: str) -> None:
    phone = house.phone()
    answer = phone.enable(FOREIGN, "spelling", options_form(include_senders=said))
    assert accepted(answer) == {"include-senders": meant}
    assert told(phone)["include-senders"] == meant


@pytest.mark.line(12, 13)
@pytest.mark.parametrize("values", [["yes"], ["TRUE"], [""], ["2"], ["1", "1"], []])
def test_what_is_no_boolean_is_refused_and_stores_nothing(house: House, values: list[str]) -> None:
    phone = house.phone()
    form = forms.submit(
        FORM_PUSH_OPTIONS, {"include-senders": "1", "include-message-bodies": values}
    )
    refused = phone.enable(FOREIGN, "no boolean", form)
    assert refusal(refused) == ("modify", "not-acceptable")
    assert "include-message-bodies" in words(refused)
    assert told(phone) == DEFAULTS
    assert not is_enabled(house, phone, "no boolean")


@pytest.mark.line(13)
@pytest.mark.parametrize("values", [["one", "two"], []])
def test_a_secret_has_one_value(house: House, values: list[str]) -> None:
    phone = house.phone()
    form = forms.submit(FORM_PUBLISH_OPTIONS, {"secret": values})
    refused = phone.enable(FOREIGN, "two secrets", form)
    assert refusal(refused) == ("modify", "bad-request")
    assert "secret" in words(refused)
    assert not is_enabled(house, phone, "two secrets")


@pytest.mark.line(14, 87)
def test_publish_options_are_republished_whole(house: House) -> None:
    phone = house.phone()
    given = {"secret": "s3cr3t", "pushModule": "monal-sandbox", "several": ["a", "b"], "none": []}
    succeeded(phone.enable(FOREIGN, "whole", forms.submit(FORM_PUBLISH_OPTIONS, given)))
    phone.cut()
    house.friend().message(phone.account, "hello")
    publish = house.service().publish("whole")
    assert options_of(publish) == {
        "secret": ("s3cr3t",),
        "pushModule": ("monal-sandbox",),
        "several": ("a", "b"),
        "none": (),
    }
    house.service().accept(publish)


@pytest.mark.line(15, 16)
@pytest.mark.parametrize("type", ["", "submit", "form"])
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.mistake(19)
def test_forms_come_in_either_order_with_or_without_a_type(
    house: House, type: str, order: int
) -> None:
    phone = house.phone()
    node = f"either {type} {order}"
    both = [options_form(include_senders="1"), secret_form("s")][::order]
    for form in both:
        form.attributes.pop("type")
        if type:
            form.attributes["type"] = type
    assert accepted(phone.enable(FOREIGN, node, *both)) == {"include-senders": "1"}
    phone.cut()
    house.friend().message(phone.account, "hello")
    publish = house.service().publish(node)
    assert options_of(publish) == {"secret": ("s",)}
    house.service().accept(publish)


@pytest.mark.line(16)
@pytest.mark.parametrize("type", ["cancel", "result"])
def test_a_form_that_is_no_submission_is_not_applied(house: House, type: str) -> None:
    phone = house.phone()
    both = [options_form(include_senders="1"), secret_form("s")]
    for form in both:
        form.attributes["type"] = type
    succeeded(phone.enable(FOREIGN, f"a {type}", *both))
    assert told(phone) == DEFAULTS
    phone.cut()
    house.friend().message(phone.account, "hello")
    publish = house.service().publish(f"a {type}")
    assert options_of(publish) is None
    house.service().accept(publish)


def test_what_is_no_form_at_all_is_refused(house: House) -> None:
    phone = house.phone()
    refused = phone.enable(FOREIGN, "n", element(NS_FORMS, "x", type="urgent"))
    assert refusal(refused) == ("modify", "bad-request")


@pytest.mark.line(19, 20, 22)
def test_while_one_is_enabled_options_only_narrow(house: House) -> None:
    phone = house.phone()
    succeeded(phone.enable(FOREIGN, "one", options_form(include_message_bodies="1")))
    both = options_form(include_message_count="0", include_senders="1")
    assert accepted(phone.enable(FOREIGN, "two", both)) == {"include-message-count": "0"}
    narrowed = DEFAULTS | {"include-message-bodies": "1", "include-message-count": "0"}
    assert told(phone) == narrowed
    widening = phone.enable(FOREIGN, "one", options_form(include_message_count="1"))
    assert not succeeded(widening).children
    unchanged = phone.enable(FOREIGN, "one", options_form(include_message_bodies="true"))
    assert accepted(unchanged) == {"include-message-bodies": "1"}
    assert told(phone) == narrowed


@pytest.mark.line(21)
def test_with_the_last_one_the_options_go(house: House) -> None:
    phone = house.phone()
    succeeded(phone.enable(FOREIGN, "one", options_form(include_senders="1")))
    succeeded(phone.enable(FOREIGN, "two"))
    succeeded(phone.disable(FOREIGN, "one"))
    assert told(phone)["include-senders"] == "1"
    succeeded(phone.disable(FOREIGN, "two"))
    assert told(phone) == DEFAULTS
    answer = phone.enable(FOREIGN, "one", options_form(include_message_bodies="1"))
    assert accepted(answer) == {"include-message-bodies": "1"}


# Several, and again.


@pytest.mark.line(23, 27)
def test_enabling_again_replaces_the_options_and_counts_anew(house: House) -> None:
    phone, service = house.phone(), house.service()
    succeeded(phone.enable(FOREIGN, "again", secret_form("old")))
    phone.cut()
    house.friend().message(phone.account, "one")
    service.accept(service.publish("again"))
    other = house.phone(phone.account, "tablet")
    succeeded(other.enable(FOREIGN, "again", secret_form("new")))
    other.hear("one")  # which waited for the phone, and is its own now
    other.settled()
    other.cut()
    house.friend().message(phone.account, "two")
    publish = service.publish("again")
    assert options_of(publish) == {"secret": ("new",)}
    assert summary(publish)["message-count"] == "1"
    service.accept(publish)


@pytest.mark.line(24)
def test_two_devices_are_pushed_at_two_nodes_of_one_service(house: House) -> None:
    phone, service = house.phone(), house.service()
    tablet = house.phone(phone.account, "tablet")
    succeeded(phone.enable(FOREIGN, "of the phone"))
    succeeded(tablet.enable(FOREIGN, "of the tablet"))
    phone.cut()
    tablet.cut()
    house.friend().message(phone.account, "hello")
    for node in ("of the phone", "of the tablet"):
        publish = service.publish(node)
        assert summary(publish) == {"message-count": "1"}
        service.accept(publish)


@pytest.mark.line(25, 26)
@pytest.mark.mistake(1)
def test_one_session_has_several_and_a_node_at_two_services(house: House) -> None:
    phone = house.phone()
    everything = [(FOREIGN, "same"), (ELSEWHERE, "same"), (FOREIGN, "other")]
    for service, node in everything:
        succeeded(phone.enable(service, node))
    phone.cut()
    house.friend().message(phone.account, "hello")
    for service, node in everything:
        publish = house.service(service).publish(node)
        assert summary(publish) == {"message-count": "1"}
        house.service(service).accept(publish)


# Disabling.


@pytest.mark.line(28, 31, 32)
def test_any_device_disables_a_node_and_no_session_ends(house: House) -> None:
    phone = house.phone()
    desk = house.phone(phone.account, "desk")
    succeeded(phone.enable(FOREIGN, "disabled"))
    assert is_enabled(house, phone, "disabled")
    phone.cut()
    answer = succeeded(desk.disable(FOREIGN, "disabled"))
    assert not answer.children
    house.service().unread.clear()
    house.friend().message(phone.account, "hello")
    house.settle()
    assert not house.service().published("disabled")
    desk.settled()
    assert phone.resume().name == "resumed"
    assert "hello" in phone.bodies()


@pytest.mark.line(29)
def test_disabling_without_a_node_is_about_that_service_alone(house: House) -> None:
    phone = house.phone()
    tablet = house.phone(phone.account, "tablet")
    succeeded(phone.enable(FOREIGN, "one"))
    succeeded(tablet.enable(FOREIGN, "two"))
    succeeded(phone.enable(ELSEWHERE, "three"))
    succeeded(phone.disable(FOREIGN))
    assert condition(phone.disable(FOREIGN, "two")) == "item-not-found"
    assert is_enabled(house, phone, "three", ELSEWHERE)


@pytest.mark.line(30)
def test_disabling_what_is_not_enabled(house: House) -> None:
    phone = house.phone()
    succeeded(phone.enable(FOREIGN, "enabled"))
    for service, node in ((FOREIGN, "other"), (ELSEWHERE, "enabled"), (ELSEWHERE, None)):
        assert refusal(phone.disable(service, node)) == ("cancel", "item-not-found")
    assert refusal(phone.disable(FOREIGN, "")) == ("modify", "not-acceptable")
    assert is_enabled(house, phone, "enabled")


def test_a_form_of_another_kind_is_passed_over(house: House) -> None:
    phone = house.phone()
    other: Element = forms.submit("urn:example:other", {"include-senders": "1"})
    assert not succeeded(phone.enable(FOREIGN, "other form", other)).children
    assert told(phone) == DEFAULTS
