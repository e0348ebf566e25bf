from typing import Any

import pytest
from twisted.logger import capturedLogs

from pushd.appserver.blocked import Blocked
from pushd.appserver.dialects.fpush import Occupied
from pushd.appserver.publishes import LONGEST_BODY, Published, read
from pushd.appserver.pubsub import Broken, NotNow
from pushd.routing.events import PublishReceived
from pushd.wire.element import Element
from pushd.wire.errors import BadRequest, StanzaError
from pushd.wire.framer import seal
from pushd.wire.letter import Node, unsealed
from pushd.wire.namespaces import NS_PUBSUB, NS_PUSH
from tests.hall import Client
from tests.unit.appserver.stage import (
    JULIET,
    PUBSUB,
    REGISTER,
    Stage,
    app,
    notification,
    outcome,
    publishing,
    register,
    said,
)


class Registered(Stage):
    """A registered phone, and somebody who publishes to it from Juliet's desk."""

    def __init__(self) -> None:
        super().__init__()
        self.node, self.secret = register(self.client())
        self.desk = self.client(f"{JULIET}/desk")

    def say(self, payload: str, type: str = "set", to: str = PUBSUB) -> Element:
        return self.desk.ask(f"<iq type='{type}' id='p' to='{to}'>{payload}</iq>")


def items(content: str) -> str:
    return f"<item>{content}</item>"


@pytest.mark.line(123)
def test_a_publish_is_answered_with_its_node_and_item() -> None:
    stage = Registered()

    answer = stage.say(
        publishing(stage.node, stage.secret, items=f"<item id='i1'>{notification({})}</item>")
    )

    assert outcome(answer) == ""
    assert answer.pubsub.publish["node"] == stage.node
    assert answer.pubsub.publish.item["id"] == "i1"
    assert len(stage.calls) == 1


@pytest.mark.line(123)
def test_an_item_without_an_id_is_given_one() -> None:
    stage = Registered()

    ids = {
        stage.say(publishing(stage.node, stage.secret)).pubsub.publish.item["id"] for _ in range(2)
    }

    assert len(ids) == 2
    assert "" not in ids


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("accepted", "")),
        ({"items": "<item/>"}, ("refused", "bad-request")),
        ({"secret": "wrong"}, ("refused", "forbidden")),
    ],
)
def test_each_publish_is_told_with_its_outcome(
    given: dict[str, Any], expected: tuple[str, str]
) -> None:
    stage = Registered()

    stage.say(publishing(stage.node, **{"secret": stage.secret, **given}))

    outcome, reason = expected
    assert stage.hall.events(PublishReceived) == [
        PublishReceived(JULIET, PUBSUB, stage.node, f"{JULIET}/desk", outcome, reason)
    ]


def test_a_publish_to_an_unknown_node_is_told_of_no_account() -> None:
    stage = Registered()

    stage.say(publishing("nowhere", stage.secret))

    [event] = stage.hall.events(PublishReceived)
    assert (event.account, event.node, event.reason) == ("", "nowhere", "item-not-found")


@pytest.mark.line(135)
@pytest.mark.parametrize("sender", [REGISTER, JULIET], ids=["domain", "bare"])
def test_the_accounts_server_and_its_own_addresses_may_publish(sender: str) -> None:
    stage = Registered()

    assert stage.publish(stage.node, stage.secret, sender=sender) == ""


@pytest.mark.parametrize(
    "sender",
    ["example.org", "juliet@example.org/x", "romeo@example.net", "example.net.example.org"],
)
def test_others_may_not_even_with_the_secret(sender: str) -> None:
    stage = Registered()
    stage.hall.add_account("romeo@example.net")

    assert stage.publish(stage.node, stage.secret, sender=sender) == "forbidden"
    assert stage.calls == []


@pytest.mark.parametrize(
    "options",
    [
        "",
        "<publish-options/>",
        "<publish-options><x xmlns='jabber:x:data' type='submit'/></publish-options>",
        "<publish-options><x xmlns='jabber:x:data' type='submit'>"
        "<field var='secret'><value>wrong</value></field></x></publish-options>",
        "<publish-options><x xmlns='jabber:x:data' type='submit'>"
        "<field var='secret'><value>{secret}</value><value>{secret}</value></field></x>"
        "</publish-options>",
        "<publish-options><x xmlns='jabber:x:data' type='survey'>"
        "<field var='secret'><value>{secret}</value></field></x></publish-options>",
    ],
    ids=["none", "no form", "no secret", "wrong", "two", "no form of XEP-0004"],
)
@pytest.mark.line(124, 93)
def test_without_the_right_secret_nobody_may(options: str) -> None:
    stage = Registered()

    answer = stage.say(publishing(stage.node, None, options=options.format(secret=stage.secret)))

    assert outcome(answer) == "forbidden"
    assert answer.error["type"] == "auth"
    assert stage.calls == []


@pytest.mark.line(128, 129)
@pytest.mark.parametrize(
    "options",
    [
        "<publish-options><x xmlns='jabber:x:data'>"
        "<field var='FORM_TYPE'><value>{type}</value></field>"
        "<field var='secret'><value>{secret}</value></field></x></publish-options>",
        "<publish-options><x xmlns='jabber:x:data' type='form'>"
        "<field var='secret'><value>{secret}</value></field></x></publish-options>",
        "<publish-options>\n <other xmlns='urn:example'/> <x xmlns='jabber:x:data' type='submit'>"
        "<field var='FORM_TYPE'><value>urn:example:mine</value></field>"
        "<field var='pushModule'><value>x</value></field>"
        "<field var='secret'><value>{secret}</value></field></x>\n</publish-options>",
    ],
    ids=["no type", "type form", "siblings"],
)
def test_the_form_with_the_secret_may_look_as_it_likes(options: str) -> None:
    stage = Registered()
    form_type = f"{NS_PUBSUB}#publish-options"

    answer = stage.say(
        publishing(stage.node, None, options=options.format(secret=stage.secret, type=form_type))
    )

    assert outcome(answer) == ""


@pytest.mark.line(125)
def test_an_unknown_node_is_not_found_whoever_asks() -> None:
    stage = Registered()

    assert outcome(stage.say(publishing("nowhere", stage.secret))) == "item-not-found"
    create = f"<pubsub xmlns='{NS_PUBSUB}'><create node='mine'/></pubsub>"
    assert outcome(stage.say(create)) == "not-allowed closed-node"
    assert outcome(stage.say(publishing("mine", stage.secret))) == "item-not-found"


def test_a_node_is_at_its_own_pubsub_host_alone() -> None:
    apps = (app("post"), app("other", pubsub_host="push2.example.net", app_name="other"))
    stage = Stage(apps)
    phone = stage.client()
    node, secret = register(phone, app="other")

    assert stage.publish(node, secret) == "item-not-found"
    answer = phone.ask(
        f"<iq type='set' id='p' to='push2.example.net'>{publishing(node, secret)}</iq>"
    )
    assert outcome(answer) == ""


def test_a_node_is_not_given_up_when_its_app_is_served_no_more(tmp_path: object) -> None:
    path = f"{tmp_path}/db"
    stage = Stage(path=path)
    node, secret = register(stage.client(), "pigeon", application_id="a")
    stage.hall.wait(stage.hall.host.database.close())

    again = Stage((app("post"),), path=path)
    phone = again.client()

    answer = phone.ask(f"<iq type='set' id='p' to='{PUBSUB}'>{publishing(node, secret)}</iq>")
    # of type "wait", as ejabberd would give the node up otherwise
    assert (outcome(answer), answer.error["type"]) == ("service-unavailable", "wait")
    answer = phone.ask(f"<iq type='set' id='p' to='{PUBSUB}'>{publishing(node, 'wrong')}</iq>")
    assert outcome(answer) == "forbidden"


def test_a_node_is_not_given_up_for_a_mistake_of_ours() -> None:
    stage = Registered()

    def broken(*ignored: object) -> bool:
        raise RuntimeError("a test has it so")

    stage.server.registrations.admits = broken  # type: ignore[method-assign, assignment]
    with capturedLogs() as logs:
        answer = stage.say(publishing(stage.node, stage.secret))

    assert (outcome(answer), answer.error["type"]) == ("internal-server-error", "wait")
    assert [one.outcome for one in stage.hall.events(PublishReceived)] == ["refused"]
    assert len([one for one in logs if "log_failure" in one]) == 1


@pytest.mark.line(127, 130, 131, 132)
@pytest.mark.parametrize(
    ("content", "expected", "type"),
    [
        pytest.param("", "bad-request item-required", "modify", id="none"),
        pytest.param("<item/>", "bad-request payload-required", "modify", id="empty"),
        pytest.param(items("some text"), "bad-request payload-required", "modify", id="text alone"),
        pytest.param(
            items(notification({})) * 2, "bad-request invalid-payload", "modify", id="two"
        ),
        pytest.param(
            items(notification({}) * 2), "bad-request invalid-payload", "modify", id="two payloads"
        ),
        pytest.param(
            items("<entry xmlns='http://www.w3.org/2005/Atom'/>"),
            "bad-request invalid-payload",
            "modify",
            id="not a notification",
        ),
        pytest.param(
            items("<notification xmlns='urn:example'/>"),
            "bad-request invalid-payload",
            "modify",
            id="not the namespace",
        ),
        pytest.param(
            items(notification({"last-message-body": "x" * 60_000})),
            "not-acceptable payload-too-big",
            "modify",
            id="too big",
        ),
        pytest.param(
            items(notification({"message-count": "many"})),
            "bad-request invalid-payload",
            "modify",
            id="not a number",
        ),
    ],
)
def test_a_bad_item_gets_the_condition_of_xep_0060(content: str, expected: str, type: str) -> None:
    stage = Registered()

    answer = stage.say(publishing(stage.node, stage.secret, items=content))

    assert outcome(answer) == expected
    assert answer.error["type"] == type
    assert said(answer)
    assert stage.calls == []


@pytest.mark.parametrize("content", ["<item/>", ""])
def test_who_may_not_publish_learns_nothing_of_the_item(content: str) -> None:
    stage = Registered()

    assert outcome(stage.say(publishing(stage.node, "wrong", items=content))) == "forbidden"


def test_two_publishes_at_once_are_none() -> None:
    stage = Registered()
    payload = publishing(stage.node, stage.secret)
    twice = payload.replace("<publish ", f"<publish node='{stage.node}'/><publish ", 1)

    assert outcome(stage.say(twice)) == "bad-request invalid-payload"
    assert stage.calls == []


def test_a_body_that_no_provider_takes_is_not_kept() -> None:
    stage = Registered()
    summary = {"message-count": "1", "last-message-body": "x" * (LONGEST_BODY + 1)}

    answer = stage.say(publishing(stage.node, stage.secret, summary=summary))

    assert outcome(answer) == ""
    assert stage.calls[0].look()[0].summary() == {"message-count": 1}
    assert stage.hall.rows("SELECT last_body FROM outbox") == [(None,)]


def test_a_publish_names_a_node() -> None:
    stage = Registered()

    answer = stage.say(publishing(None, stage.secret))

    assert outcome(answer) == "bad-request nodeid-required"


@pytest.mark.parametrize(
    ("type", "payload", "expected"),
    [
        ("set", "<subscribe node='{node}' jid='juliet@example.net'/>", "not-allowed closed-node"),
        ("set", "<unsubscribe node='{node}' jid='juliet@example.net'/>", "not-allowed closed-node"),
        ("get", "<items node='{node}'/>", "not-allowed closed-node"),
        ("get", "<subscriptions/>", "not-allowed closed-node"),
        ("get", "<affiliations/>", "not-allowed closed-node"),
        ("set", "<create node='mine'/>", "not-allowed closed-node"),
        ("set", "", "not-allowed closed-node"),
        ("set", "<retract node='{node}'><item id='1'/></retract>", "forbidden"),
    ],
)
@pytest.mark.line(133)
def test_all_else_is_refused_as_at_a_closed_node(type: str, payload: str, expected: str) -> None:
    stage = Registered()

    answer = stage.say(
        f"<pubsub xmlns='{NS_PUBSUB}'>{payload.format(node=stage.node)}</pubsub>", type
    )

    assert outcome(answer) == expected


@pytest.mark.parametrize("type", ["get", "set"])
@pytest.mark.parametrize("name", ["configure", "delete", "purge", "affiliations"])
@pytest.mark.line(133)
def test_nobody_owns_a_node(type: str, name: str) -> None:
    stage = Registered()

    answer = stage.say(
        f"<pubsub xmlns='{NS_PUBSUB}#owner'><{name} node='{stage.node}'/></pubsub>", type
    )

    assert outcome(answer) == "forbidden"


def test_there_is_nobody_at_the_host() -> None:
    stage = Registered()

    answer = stage.say(publishing(stage.node, stage.secret), to=f"{stage.node}@{PUBSUB}")

    assert outcome(answer) == "item-not-found"


@pytest.mark.line(134)
def test_items_are_neither_kept_nor_listed() -> None:
    stage = Registered()
    stage.say(publishing(stage.node, stage.secret))

    listed = stage.say("<query xmlns='http://jabber.org/protocol/disco#items'/>", "get")

    assert outcome(listed) == ""
    assert list(listed.query.elements()) == []
    assert stage.desk.received() == []


def test_a_publish_is_on_disk_before_it_is_answered() -> None:
    stage = Registered()

    stage.desk.pass_on(
        f"<iq type='set' id='p' to='{PUBSUB}'>{publishing(stage.node, stage.secret)}</iq>"
    )
    assert stage.desk.received() == []
    assert stage.calls == []

    stage.hall.advance(0)
    assert [answer["type"] for answer in stage.desk.received()] == ["result"]
    assert stage.hall.rows("SELECT node FROM outbox") == [(stage.node,)]


# The summary.


def item(content: str) -> Node:
    """As it stands in a publish."""
    publish = f"<iq xmlns='jabber:client'><item xmlns='{NS_PUBSUB}'>{content}</item></iq>"
    return unsealed(seal(publish.encode()))[0]


def told(client: Client | None = None, more: str = "", **fields: str) -> Published:
    summary = {name.replace("_", "-"): value for name, value in fields.items()}
    return read(item(notification(summary, more)))


def test_a_summary_is_read_whole() -> None:
    published = told(
        message_count="2",
        pending_subscription_count="1",
        last_message_sender="romeo@example.org/o",
        last_message_body="hi",
        last_subscription_sender="paris@example.org",
        weather="fine",
    )

    assert (published.message_count, published.subscription_count) == (2, 1)
    assert published.last_sender == "romeo@example.org/o"
    assert published.last_body is not None
    assert published.last_body.reveal() == "hi"
    assert published.last_subscriber == "paris@example.org"
    assert not published.urgent


@pytest.mark.line(126, 129)
@pytest.mark.parametrize(
    "xml",
    [
        "<notification xmlns='{ns}'/>",
        "<notification xmlns='{ns}'>  </notification>",
        "<notification xmlns='{ns}'><additional xmlns='urn:example'>x</additional></notification>",
        "<notification xmlns='{ns}' id='x'/>",
    ],
    ids=["no form", "whitespace", "sibling", "attribute"],
)
def test_a_notification_may_say_nothing(xml: str) -> None:
    assert read(item(xml.format(ns=NS_PUSH))) == Published()


@pytest.mark.parametrize("type", ["", " type='submit'", " type='form'", " type='result'"])
@pytest.mark.line(128, 129)
def test_the_type_of_the_form_does_not_matter(type: str) -> None:
    xml = (
        f"<notification xmlns='{NS_PUSH}'>\n <other xmlns='urn:example'/><x xmlns='jabber:x:data'"
        f"{type}>\n<field var='FORM_TYPE'><value>urn:xmpp:push:summary</value></field>"
        "<field var='message-count'><value>3</value></field></x></notification>"
    )

    assert read(item(xml)) == Published(message_count=3)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("message-count", "many"),
        ("message-count", "1.5"),
        ("message-count", "-1"),
        ("message-count", "²"),
        ("message-count", "1" * 11),
        ("pending-subscription-count", "few"),
        ("last-message-sender", "@example.org"),
        ("last-subscription-sender", "a@b@c d"),
        ("FORM_TYPE", "urn:example"),
        ("FORM_TYPE", ""),
    ],
)
@pytest.mark.line(127)
def test_a_field_that_cannot_be_right_is_named(field: str, value: str) -> None:
    xml = notification({} if field == "FORM_TYPE" else {field: value})
    if field == "FORM_TYPE":
        xml = xml.replace("urn:xmpp:push:summary", value)

    with pytest.raises(BadRequest, match=field) as refused:
        read(item(xml))
    assert refused.value.extra is not None
    assert refused.value.extra.name == "invalid-payload"
    assert value not in refused.value.text or not value


def test_fields_without_a_value_say_nothing() -> None:
    assert told(message_count="", last_message_sender="", last_message_body="") == Published()


@pytest.mark.parametrize("text", ["high", "low", ""])
def test_a_priority_makes_no_call_of_a_message(text: str) -> None:
    more = f"<priority xmlns='tigase:push:priority:0'>{text}</priority>"

    assert told(more=more, message_count="1") == Published(message_count=1)


def test_a_body_is_not_printed() -> None:
    assert "wherefore" not in repr(told(last_message_body="wherefore"))


@pytest.mark.parametrize("error", [NotNow, Broken, Blocked, Occupied])
def test_no_server_gives_up_a_node_for_what_is_over_soon(error: type[StanzaError]) -> None:
    """By type go ejabberd, Prosody and MongooseIM; by condition goes Tigase."""
    assert error.type == "wait"
    assert error.condition in ("service-unavailable", "internal-server-error")
