"""Lines 123 to 135 of docs/checklist.rst: publishing to our push service, over real sockets.

The server that publishes is a component, as another XMPP server would be.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from pushd.wire import forms
from pushd.wire.element import Element, child, children, element, serialize
from pushd.wire.namespaces import (
    FORM_PUBLISH_OPTIONS,
    FORM_PUSH_SUMMARY,
    NS_COMMANDS,
    NS_PUBSUB,
    NS_PUBSUB_ERRORS,
    NS_PUSH,
)
from tests.patience import PATIENCE
from tests.scenarios.house import DOMAIN, ELSEWHERE, FOREIGN, PUSH_HOST, House, opened
from tests.scenarios.reading import (
    condition,
    fields_of,
    info,
    items,
    refusal,
    succeeded,
    words,
)

OWNER = f"{NS_PUBSUB}#owner"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    yield from opened(tmp_path_factory)


class Node(NamedTuple):
    """A device of a user of another server, and where it is published to."""

    token: str
    node: str
    secret: str


def registered(house: House) -> Node:
    token = f"published-{next(_numbers)}"
    form = forms.submit(None, {"token": token, "device-id": token})
    asked = element(NS_COMMANDS, "command", form, node="register-push-fcm")
    given = fields_of(house.service().ask_as(f"ann-{token}@{FOREIGN}/phone", DOMAIN, asked))
    return Node(token, given["node"], given["secret"])


def owner(to: Node) -> str:
    return f"ann-{to.token}@{FOREIGN}"


def options(secret: str | None) -> Element | None:
    if secret is None:
        return None
    form = forms.submit(FORM_PUBLISH_OPTIONS, {"secret": secret})
    return element(NS_PUBSUB, "publish-options", form)


def note(**fields: str) -> Element:
    """A notification with a summary."""
    given = {name.replace("_", "-"): value for name, value in fields.items()}
    return element(NS_PUSH, "notification", forms.submit(FORM_PUSH_SUMMARY, given))


def publish(node: str, secret: str | None, *given: Element) -> Element:
    """The `<pubsub/>` of a publish, with these items or the payload of one."""
    parts = [one if one.name == "item" else element(NS_PUBSUB, "item", one) for one in given]
    made = element(NS_PUBSUB, "pubsub", element(NS_PUBSUB, "publish", *parts, node=node))
    with_secret = options(secret)
    if with_secret is not None:
        made.addChild(with_secret)
    return made


def ask(house: House, payload: Element, sender: str = FOREIGN, type: str = "set") -> Element:
    return house.service().ask_as(sender, PUSH_HOST, payload, type)


def detail(answer: Element) -> str:
    """The condition of pubsub's own in an error."""
    error = next(one for one in children(answer) if one.name == "error")
    found: str = next(one.name for one in children(error) if one.uri == NS_PUBSUB_ERRORS)
    return found


def data(house: House, to: Node) -> dict[str, str]:
    """What the provider got of the only push for this device."""
    [push] = house.pushes(to.token, wait=PATIENCE)
    found: dict[str, str] = push["message"]["data"]
    assert found.pop("node") == to.node
    return found


# What is taken.


@pytest.mark.line(123, 135)
@pytest.mark.parametrize("publisher", ["server", "bare", "full", "full of another resource"])
def test_a_publish_with_node_and_secret_is_taken(house: House, publisher: str) -> None:
    to = registered(house)
    sender = {"server": FOREIGN, "bare": owner(to), "full": f"{owner(to)}/phone"}.get(
        publisher, f"{owner(to)}/desk"
    )
    payload = publish(to.node, to.secret, element(NS_PUBSUB, "item", note(), id="mine"))
    answer = succeeded(ask(house, payload, sender))
    pubsub = child(answer, NS_PUBSUB, "pubsub")
    assert pubsub is not None
    [echoed] = children(pubsub)
    assert (echoed.name, echoed["node"]) == ("publish", to.node)
    assert [one["id"] for one in children(echoed)] == ["mine"]
    assert data(house, to) == {}


@pytest.mark.line(123)
def test_an_item_without_an_id_gets_one(house: House) -> None:
    to = registered(house)
    answer = succeeded(ask(house, publish(to.node, to.secret, note())))
    pubsub = child(answer, NS_PUBSUB, "pubsub")
    assert pubsub is not None
    [echoed] = children(pubsub)
    assert all(one["id"] for one in children(echoed))


@pytest.mark.line(136)
def test_the_summary_reaches_the_provider(house: House) -> None:
    to = registered(house)
    told = {
        "message-count": "2",
        "last-message-sender": "romeo@example.org/orchard",
        "last-message-body": "Wherefore art thou?",
        "pending-subscription-count": "1",
        "last-subscription-sender": "paris@example.org",
    }
    given = {name.replace("-", "_"): value for name, value in told.items()}
    succeeded(ask(house, publish(to.node, to.secret, note(**given, unknown="passed over"))))
    assert data(house, to) == told


@pytest.mark.line(126)
def test_a_notification_without_a_form_is_taken(house: House) -> None:
    to = registered(house)
    succeeded(ask(house, publish(to.node, to.secret, element(NS_PUSH, "notification"))))
    assert data(house, to) == {}


@pytest.mark.line(128)
@pytest.mark.mistake(19)
@pytest.mark.parametrize("type", ["", " type='form'", " type='submit'"])
def test_forms_of_any_type_that_fits_are_taken(house: House, type: str) -> None:
    to = registered(house)
    payload = publish(to.node, to.secret, note(message_count="7"))
    typed = serialize(payload).replace(b" type='submit'", type.encode())
    succeeded(house.service().ask_as(FOREIGN, PUSH_HOST, typed.decode()))
    assert data(house, to) == {"message-count": "7"}


@pytest.mark.mistake(13)
@pytest.mark.parametrize("order", [1, -1])
def test_the_secret_is_found_among_other_options(house: House, order: int) -> None:
    to = registered(house)
    fields = {
        "pushModule": "another",
        "secret": to.secret,
        "priority": "high",
        "several": ["a", "b"],
    }
    form = forms.submit(FORM_PUBLISH_OPTIONS, dict(list(fields.items())[::order]))
    payload = publish(to.node, None, note(message_count="7"))
    payload.addChild(element(NS_PUBSUB, "publish-options", form))
    succeeded(ask(house, payload))
    assert data(house, to) == {"message-count": "7"}


@pytest.mark.line(129)
def test_whitespace_and_unknown_elements_are_passed_over(house: House) -> None:
    to = registered(house)
    unknown = "\n <unknown xmlns='urn:example:unknown'><message-count>9</message-count></unknown> "
    raw = serialize(publish(to.node, to.secret, note(message_count="7"))).decode()
    for place in ("<notification xmlns='urn:xmpp:push:0'>", "<publish-options>"):
        assert place in raw
        raw = raw.replace(place, place + unknown)
    raw = raw.replace("</publish>", "</publish>" + unknown).replace("<item>", "\n  <item>\n")
    raw = raw.replace("</notification>", unknown + "</notification>\n")
    answer = house.service().ask_as(FOREIGN, PUSH_HOST, raw)
    succeeded(answer)
    assert data(house, to) == {"message-count": "7"}


# What is not.


@pytest.mark.line(124)
@pytest.mark.parametrize("secret", [None, "", "wrong"])
def test_without_the_secret_nothing_is_taken(house: House, secret: str | None) -> None:
    to = registered(house)
    assert refusal(ask(house, publish(to.node, secret, note()))) == ("auth", "forbidden")
    assert not house.pushes(to.token)


@pytest.mark.line(135)
@pytest.mark.parametrize(
    "sender",
    [ELSEWHERE, f"ann@{ELSEWHERE}/phone", "another user", "another resource of the domain"],
)
def test_nobody_else_publishes_though_he_knows_the_secret(house: House, sender: str) -> None:
    to = registered(house)
    payload = publish(to.node, to.secret, note())
    if ELSEWHERE in sender:
        answer = house.service(ELSEWHERE).ask_as(sender, PUSH_HOST, payload)
    else:
        other = f"mallory@{FOREIGN}" if sender == "another user" else f"{FOREIGN}/other"
        answer = ask(house, payload, other)
    assert refusal(answer) == ("auth", "forbidden")
    assert not house.pushes(to.token)


@pytest.mark.line(125)
def test_an_unknown_node_is_not_found_and_none_is_made(house: House) -> None:
    to = registered(house)
    for type, payload in (
        ("set", element(NS_PUBSUB, "pubsub", element(NS_PUBSUB, "create", node="made up"))),
        ("set", element(NS_PUBSUB, "pubsub", element(NS_PUBSUB, "create"))),
    ):
        assert ask(house, payload, type=type)["type"] == "error"
    refused = ask(house, publish("made up", to.secret, note()))
    assert refusal(refused) == ("cancel", "item-not-found")


@pytest.mark.line(127, 130)
@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (note(message_count="many"), "message-count"),
        (note(message_count="-1"), "message-count"),
        (note(message_count="1.5"), "message-count"),
        (note(pending_subscription_count="x"), "pending-subscription-count"),
        (note(last_message_sender="a b@c"), "last-message-sender"),
        (note(last_subscription_sender="@"), "last-subscription-sender"),
        (
            element(NS_PUSH, "notification", forms.submit("urn:other", {"message-count": "1"})),
            "FORM_TYPE",
        ),
        (element(NS_PUSH, "enable"), "notification"),
        (element("urn:example:other", "notification"), "notification"),
        (forms.submit(FORM_PUSH_SUMMARY, {"message-count": "1"}), "notification"),
    ],
)
def test_what_is_no_summary_is_refused_and_named(
    house: House, payload: Element, named: str
) -> None:
    to = registered(house)
    refused = ask(house, publish(to.node, to.secret, payload))
    assert refusal(refused) == ("modify", "bad-request")
    assert detail(refused) == "invalid-payload"
    assert named in words(refused)
    assert not house.pushes(to.token)


@pytest.mark.line(131)
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "item-required"),
        ([element(NS_PUBSUB, "item")], "payload-required"),
        ([note(), note()], "invalid-payload"),
        ([element(NS_PUBSUB, "item", note(), note())], "invalid-payload"),
    ],
    ids=["no item", "an empty one", "two", "two payloads"],
)
def test_a_publish_has_one_item_with_one_payload(
    house: House, given: list[Element], told: str
) -> None:
    to = registered(house)
    refused = ask(house, publish(to.node, to.secret, *given))
    assert refusal(refused) == ("modify", "bad-request")
    assert detail(refused) == told


@pytest.mark.line(132, 142)
def test_a_payload_that_is_too_big_is_refused(house: House) -> None:
    to = registered(house)
    refused = ask(house, publish(to.node, to.secret, note(last_message_body="x" * 70_000)))
    assert refusal(refused) == ("modify", "not-acceptable")
    assert detail(refused) == "payload-too-big"
    succeeded(ask(house, publish(to.node, to.secret, note(last_message_body="x" * 50_000))))
    assert "last-message-body" not in data(house, to)  # FCM takes 4,096 bytes


@pytest.mark.line(133)
@pytest.mark.parametrize("asker", ["outsider", "server", "owner"])
@pytest.mark.parametrize(
    ("type", "part", "expected", "condition"),
    [
        ("set", "<subscribe node='{node}' jid='{jid}'/>", "not-allowed", "closed-node"),
        ("set", "<unsubscribe node='{node}' jid='{jid}'/>", "not-allowed", "closed-node"),
        ("get", "<items node='{node}'/>", "not-allowed", "closed-node"),
        ("get", "<subscriptions/>", "not-allowed", "closed-node"),
        ("get", "<affiliations/>", "not-allowed", "closed-node"),
        ("set", "<create node='x'/>", "not-allowed", "closed-node"),
        ("set", "<retract node='{node}'><item id='1'/></retract>", "forbidden", ""),
        ("get", "owner <configure node='{node}'/>", "forbidden", ""),
        ("set", "owner <configure node='{node}'/>", "forbidden", ""),
        ("set", "owner <delete node='{node}'/>", "forbidden", ""),
        ("set", "owner <purge node='{node}'/>", "forbidden", ""),
        ("get", "owner <affiliations node='{node}'/>", "forbidden", ""),
        ("get", "owner <subscriptions node='{node}'/>", "forbidden", ""),
    ],
)
def test_a_node_is_for_publishing_only(
    house: House, asker: str, type: str, part: str, expected: str, condition: str
) -> None:
    to = registered(house)
    jid = {"outsider": f"mallory@{FOREIGN}/x", "server": FOREIGN}.get(asker, f"{owner(to)}/phone")
    namespace = OWNER if part.startswith("owner") else NS_PUBSUB
    inner = part.removeprefix("owner ").format(node=to.node, jid=jid)
    asked = f"<pubsub xmlns='{namespace}'>{inner}</pubsub>"
    answer = house.service().ask_as(jid, PUSH_HOST, asked, type)
    assert refusal(answer)[1] == expected
    if condition:
        assert detail(answer) == condition
    succeeded(ask(house, publish(to.node, to.secret, note())))


@pytest.mark.line(134)
def test_items_are_neither_kept_nor_passed_on(house: House) -> None:
    to = registered(house)
    service = house.service()
    service.unread.clear()
    succeeded(ask(house, publish(to.node, to.secret, note(message_count="1"))))
    data(house, to)
    assert items(house.friend().disco("items", PUSH_HOST)) == []
    house.settle()
    assert not [one for one in service.unread if one.name == "message"]
    asked = element(NS_PUBSUB, "pubsub", element(NS_PUBSUB, "items", node=to.node))
    assert condition(ask(house, asked, f"{owner(to)}/phone", "get")) == "not-allowed"
    assert ("pubsub", "push") in info(house.friend().disco("info", PUSH_HOST)).identities
