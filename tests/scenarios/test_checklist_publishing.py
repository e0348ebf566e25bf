"""Lines 82 to 93 of docs/checklist.rst: the publish, and what its answers mean."""

from collections.abc import Iterator

import pytest

from pushd.wire import forms
from pushd.wire.element import child, children, parse
from pushd.wire.namespaces import (
    FORM_PUBLISH_OPTIONS,
    FORM_PUSH_SUMMARY,
    NS_CLIENT,
    NS_PUBSUB,
    NS_PUSH,
)
from tests import examples
from tests.patience import PATIENCE
from tests.scenarios.house import DOMAIN, ELSEWHERE, FOREIGN, PUSH_HOST, House, opened
from tests.scenarios.peers import Phone
from tests.scenarios.reading import (
    condition,
    item_of,
    options_form,
    options_of,
    secret_form,
    succeeded,
    summary,
)

ALL_ON = options_form(include_senders="1", include_message_bodies="1")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    yield from opened(tmp_path_factory)


def asleep(house: House, node: str, *domains: str) -> Phone:
    """A phone that is away, with this node enabled at these services."""
    phone = house.phone()
    for domain in domains or (FOREIGN,):
        succeeded(phone.enable(domain, node))
    phone.cut()
    return phone


def is_enabled(house: House, phone: Phone, node: str, domain: str = FOREIGN) -> bool:
    """Whether the next message is published there; that is accepted."""
    house.friend().message(phone.account, "is it enabled?")
    house.settle()
    published = house.service(domain).published(node)
    for one in published:
        house.service(domain).unread.remove(one)
        house.service(domain).accept(one)
    return bool(published)


@pytest.mark.line(82, 83, 84, 85, 86, 87)
def test_a_publish_is_as_the_xep_has_it(house: House) -> None:
    phone = house.phone()
    options = forms.submit(FORM_PUBLISH_OPTIONS, {"secret": "s"})
    succeeded(phone.enable(FOREIGN, "as it is", ALL_ON, options))
    phone.cut()
    friend = house.friend()
    ids = set()
    for count in range(1, 4):
        friend.message(phone.account, f"number {count}")
        publish = house.service().publish("as it is")
        ids.add(publish["id"])
        assert (publish["from"], publish["to"], publish["type"]) == (DOMAIN, FOREIGN, "set")
        [pubsub] = children(publish)
        assert (pubsub.uri, pubsub.name) == (NS_PUBSUB, "pubsub")
        assert [one.name for one in children(pubsub)] == ["publish", "publish-options"]
        [notification] = children(item_of(publish))
        assert (notification.uri, notification.name) == (NS_PUSH, "notification")
        [form] = children(notification)
        assert form["type"] == "submit"
        read = forms.read(form)
        assert read.form_type == FORM_PUSH_SUMMARY
        assert set(read.fields) == {
            "message-count",
            "last-message-sender",
            "last-message-body",
        }
        assert options_of(publish) == {"secret": ("s",)}
        house.service().accept(publish)
    assert len(ids) == 3
    assert all(ids)


@pytest.mark.line(82, 83, 84, 85, 87)
@pytest.mark.mistake(7)
def test_its_bytes_are_those_of_the_privacy_page(house: House) -> None:
    phone, service = house.phone(), house.service(ELSEWHERE)
    succeeded(phone.enable(ELSEWHERE, examples.NODE, secret_form(examples.SECRET)))
    phone.cut()
    house.friend().message(phone.account, "hi")
    said = service.raw.read_until(rb"</iq>").decode()
    id = parse(said.encode())["id"]
    told = examples.EXAMPLES["publish by default"]().replace("push.example.org", ELSEWHERE)
    assert said == told.replace("'ID'", f"'{id}'")
    answer = f"<iq type='result' id='{id}' from='{ELSEWHERE}' to='{DOMAIN}'/>"
    service.say(answer)


@pytest.mark.line(87)
def test_without_options_given_none_are_published(house: House) -> None:
    phone = asleep(house, "no options")
    house.friend().message(phone.account, "hello")
    publish = house.service().publish("no options")
    assert options_of(publish) is None
    house.service().accept(publish)


# Answers.


@pytest.mark.line(88)
@pytest.mark.parametrize(
    ("refused", "type"),
    [
        ("item-not-found", "cancel"),
        ("forbidden", "auth"),
        ("not-authorized", "auth"),
        ("gone", "cancel"),
        ("item-not-found", "wait"),
    ],
)
def test_a_service_that_knows_the_node_no_more_ends_that_enablement_alone(
    house: House, refused: str, type: str
) -> None:
    node = f"{refused} {type}"
    phone = asleep(house, node, FOREIGN, ELSEWHERE)
    house.friend().message(phone.account, "hello")
    house.service(ELSEWHERE).accept(house.service(ELSEWHERE).publish(node))
    house.service().refuse(house.service().publish(node), refused, type)
    ended = house.event("push-disabled", account=phone.account)
    assert ended["service"] == FOREIGN
    assert refused in ended["reason"]
    assert not is_enabled(house, phone, node)
    house.friend().message(phone.account, "and elsewhere?")
    assert summary(house.service(ELSEWHERE).publish(node))["message-count"] > "1"
    # The device learns of it when it is back.
    assert phone.resume().name == "resumed"
    told = phone.take("notice", lambda one: child(one, NS_PUSH, "disable") is not None)
    named = child(told, NS_PUSH, "disable")
    assert named is not None
    assert (told["from"], named["jid"], named["node"]) == (phone.account, FOREIGN, node)


@pytest.mark.line(89)
def test_what_may_pass_is_tried_again_and_ends_nothing(house: House) -> None:
    phone = asleep(house, "may pass")
    house.friend().message(phone.account, "hello")
    house.service().refuse(house.service().publish("may pass"), "resource-constraint", "wait")
    house.event("publish-answered", account=phone.account, outcome="refused")
    again = house.service().publish("may pass")
    assert summary(again) == {"message-count": "1"}
    house.service().accept(again)
    assert not house.events("push-disabled", account=phone.account)


@pytest.mark.line(88, 90)
def test_other_errors_are_counted_and_sixteen_in_a_row_put_it_on_probation(house: House) -> None:
    phone = asleep(house, "counted")

    def refused(times: int, condition: str) -> None:
        for _ in range(times):
            house.friend().message(phone.account, "hello")
            publish = house.service().publish("counted")
            house.service().refuse(publish, condition, "modify")

    refused(15, "bad-request")
    assert is_enabled(house, phone, "counted")  # that one is accepted: counting begins anew
    refused(15, "feature-not-implemented")
    assert not house.events("push-probed", account=phone.account)
    refused(1, "policy-violation")
    probed = house.event("push-probed", account=phone.account)
    assert probed["failures"] == 16
    assert not is_enabled(house, phone, "counted")
    assert not house.events("push-disabled", account=phone.account)


# The notice.


def notice(shape: str, node: str, of: str, affiliation: str = "none") -> str:
    inner = f"<affiliation jid='{of}' affiliation='{affiliation}'/>"
    if shape == "XEP-0060":
        inner = f"<affiliations node='{node}'>{inner}</affiliations>"
        return f"<pubsub xmlns='{NS_PUBSUB}'>{inner}</pubsub>"
    return f"<pubsub xmlns='{NS_PUBSUB}' node='{node}'>{inner}</pubsub>"


@pytest.mark.line(91)
@pytest.mark.parametrize("shape", ["XEP-0357", "XEP-0060"])
def test_a_notice_ends_the_enablement_and_goes_on_to_the_device(house: House, shape: str) -> None:
    node = f"notice {shape}"
    phone = asleep(house, node, FOREIGN, ELSEWHERE)
    desk = house.phone(phone.account, "desk")
    house.service().say_to(phone.account, notice(shape, node, phone.account))
    ended = house.event("push-disabled", account=phone.account)
    assert ended["service"] == FOREIGN
    assert not is_enabled(house, phone, node)
    assert condition(desk.disable(FOREIGN, node)) == "item-not-found"
    succeeded(desk.disable(ELSEWHERE, node))
    seen = desk.take("notice", lambda one: child(one, NS_PUBSUB, "pubsub") is not None)
    assert seen["from"] == FOREIGN


@pytest.mark.line(92)
@pytest.mark.parametrize("shape", ["XEP-0357", "XEP-0060"])
@pytest.mark.parametrize("fault", ["sender", "user", "node", "affiliation", "client"])
def test_a_notice_of_or_about_somebody_else_ends_nothing(
    house: House, shape: str, fault: str
) -> None:
    node = f"{shape} wrong {fault}"
    phone = asleep(house, node)
    sender = house.service(ELSEWHERE if fault == "sender" else FOREIGN)
    said = notice(
        shape,
        "another" if fault == "node" else node,
        house.friend().account if fault == "user" else phone.account,
        "publish-only" if fault == "affiliation" else "none",
    )
    if fault == "client":
        house.friend().say(f"<message to='{phone.account}'>{said}</message>")
        house.friend().settled()
    else:
        sender.say_to(phone.account, said)
    sender.say_to(house.friend().account, "<body>after that</body>")
    house.friend().hear("after that")
    assert is_enabled(house, phone, node)


# Our own push service.


@pytest.mark.line(93)
def test_our_own_service_is_published_to_like_a_foreign_one(house: House) -> None:
    phone = house.phone()
    given = phone.enable_registered("own-host")
    assert given["jid"] == PUSH_HOST
    phone.cut()
    house.friend().message(phone.account, "hello")
    [push] = house.pushes("own-host", wait=PATIENCE)
    assert push["message"]["data"]["message-count"] == "1"
    received = house.event("publish-received", account=phone.account)
    assert (received["publisher"], received["outcome"]) == (DOMAIN, "accepted")
    assert house.event("publish-answered", account=phone.account)["outcome"] == "accepted"


@pytest.mark.line(93)
@pytest.mark.parametrize("fault", ["secret", "no secret", "another's node"])
def test_with_a_wrong_secret_or_another_s_node_nothing_leaves(house: House, fault: str) -> None:
    phone, other = house.phone(), house.phone()
    token = f"wrong-{fault.replace(' ', '-')}"
    given = phone.register(token)
    node = other.register(f"{token}-2")["node"] if fault == "another's node" else given["node"]
    secret = "wrong" if fault == "secret" else given["secret"]
    options = () if fault == "no secret" else (secret_form(secret),)
    succeeded(phone.enable(PUSH_HOST, node, *options))
    phone.cut()
    house.friend().message(phone.account, "hello")
    ended = house.event("push-disabled", account=phone.account)
    assert "forbidden" in ended["reason"]
    assert not house.pushes(token)
    assert not house.pushes(f"{token}-2")
    assert phone.resume().name == "resumed"
    told = phone.take("notice", lambda one: child(one, NS_PUSH, "disable") is not None)
    assert told.name == "message"
    assert child(told, NS_CLIENT, "body") is None
