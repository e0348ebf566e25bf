"""Those who publish to our push service too fast, or may not for now, over real sockets.

The server that publishes is a component, as another XMPP server would be.
"""

import signal
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from pushd.wire import forms
from pushd.wire.element import Element, element
from pushd.wire.namespaces import (
    FORM_PUSH_SUMMARY,
    NS_COMMANDS,
    NS_PUBSUB,
    NS_PUSH,
    NS_PUSH_JINGLE,
)
from tests.scenarios.house import DOMAIN, ELSEWHERE, FOREIGN, PUSH_HOST, House, opened
from tests.scenarios.peers import until
from tests.scenarios.reading import condition, fields_of, refusal, secret_form, succeeded, words


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    yield from opened(tmp_path_factory, app_server=limited("1h"))


def limited(interval: str) -> dict[str, Any]:
    """Two pushes to a device at once, and then one in this time."""
    limits = {"push_burst": 2, "push_interval": interval, "requests_per_domain": 20}
    return {"backends": [{}], **limits}


class Node(NamedTuple):
    """A device of a user of another server, and where it is published to."""

    token: str
    node: str
    secret: str


def registered(house: House, token: str, domain: str = FOREIGN) -> Node:
    form = forms.submit(None, {"token": token, "device-id": token})
    asked = element(NS_COMMANDS, "command", form, node="register-push-fcm")
    answer = house.service(domain).ask_as(f"ann@{domain}/phone", DOMAIN, asked)
    given = fields_of(answer)
    return Node(token, given["node"], given["secret"])


def publishing(to: Node, count: int, urgent: bool = False) -> Element:
    form = forms.submit(FORM_PUSH_SUMMARY, {"message-count": str(count)})
    note = element(NS_PUSH, "notification", form)
    if urgent:
        note.children.append(element(NS_PUSH_JINGLE, "jingle", action="propose"))
    publish = element(NS_PUBSUB, "publish", element(NS_PUBSUB, "item", note), node=to.node)
    options = element(NS_PUBSUB, "publish-options", secret_form(to.secret))
    return element(NS_PUBSUB, "pubsub", publish, options)


def publish(house: House, to: Node, count: int = 1, domain: str = FOREIGN, **how: bool) -> Element:
    return house.service(domain).ask_as(domain, PUSH_HOST, publishing(to, count, **how))


def counts(house: House, token: str) -> list[str]:
    """What the stand-in was told for a token, so far."""
    return [one["message"]["data"]["message-count"] for one in house.pushes(token)]


def test_what_is_too_fast_for_a_device_is_accepted_and_goes_as_one(house: House) -> None:
    phone = registered(house, "fast")
    for count in range(1, 7):
        succeeded(publish(house, phone, count))
        if count < 3:
            until(lambda count=count: len(counts(house, "fast")) == count, "push")  # type: ignore[misc]

    outcomes = [one["outcome"] for one in house.events("publish-received")][-6:]
    assert outcomes == ["accepted", "accepted", *["limited"] * 4]
    assert counts(house, "fast") == ["1", "2"]

    house.configure(app_server=limited("0"))
    told = house.operate("reload")
    assert "app_server.push_interval" in told["changed"]
    until(lambda: len(counts(house, "fast")) == 3, "push that waited")
    assert counts(house, "fast") == ["1", "2", "6"]

    house.configure(app_server=limited("1h"))
    house.operate("reload")


def test_a_call_does_not_wait_for_what_is_too_fast(house: House) -> None:
    phone = registered(house, "called")
    for count in range(1, 4):
        succeeded(publish(house, phone, count))
        until(lambda count=count: len(counts(house, "called")) >= min(count, 2), "push")  # type: ignore[misc]

    succeeded(publish(house, phone, 4, urgent=True))
    until(lambda: len(counts(house, "called")) == 3, "push of the call")

    assert counts(house, "called") == ["1", "2", "4"]


def test_a_domain_that_asks_too_much_is_to_wait_and_another_is_not(house: House) -> None:
    phone = registered(house, "flood")
    other = registered(house, "other", ELSEWHERE)
    service = house.service()
    for number in range(300):
        service.say(
            element(
                "jabber:client",
                "iq",
                publishing(phone, 1),
                type="set",
                id=f"flood-{number}",
                from_=FOREIGN,
                to=PUSH_HOST,
            )
        )
    answers = [
        service.take("answer", lambda one, n=number: one.getAttribute("id") == f"flood-{n}")  # type: ignore[misc]
        for number in range(300)
    ]

    refused = [answer for answer in answers if answer["type"] == "error"]
    assert 0 < len(refused) < 300
    assert {refusal(answer) for answer in refused} == {("wait", "service-unavailable")}
    assert f"too many requests from {FOREIGN}" in words(refused[0])
    succeeded(publish(house, other, domain=ELSEWHERE))
    until(lambda: publish(house, phone)["type"] == "result", "room")


def test_a_block_holds_over_a_kill_and_says_until_when(house: House) -> None:
    phone = registered(house, "blocked", ELSEWHERE)
    house.operate("push-block", domain=ELSEWHERE, reason="too loud", seconds="3600")
    blocked = publish(house, phone, domain=ELSEWHERE)
    assert refusal(blocked) == ("wait", "service-unavailable")
    assert words(blocked).endswith(": too loud")
    assert f"{ELSEWHERE} may not publish here until 20" in words(blocked)

    house.restart(signal.SIGKILL)

    assert condition(publish(house, phone, domain=ELSEWHERE)) == "service-unavailable"
    house.operate("push-unblock", domain=ELSEWHERE)
    succeeded(publish(house, phone, domain=ELSEWHERE))
    until(lambda: counts(house, "blocked") == ["1"], "push")
    assert house.events("publish-received", outcome="blocked")


def test_a_phone_with_another_resource_is_woken_once(house: House) -> None:
    phone = house.phone(resource="first")
    first = phone.register("same-phone")
    phone.hang_up()
    again = house.phone(phone.account, resource="second")

    given = again.enable_registered("same-phone")
    assert given["node"] == first["node"]
    again.cut()
    house.friend().message(again.account, "hello")

    until(lambda: counts(house, "same-phone"), "push")
    house.settle()
    assert counts(house, "same-phone") == ["1"]
