"""Nodes of type `push` that clients of MongooseIM make."""

from typing import Any

import pytest

from pushd.appserver.dialects.mongooseim import FEATURES, MOST_PUBLISHERS, NS_OWNER
from pushd.appserver.limits import Rate, Rules
from pushd.providers.contract import Accepted, Unregistered
from pushd.routing.events import DeviceUnregistered
from pushd.wire import forms
from pushd.wire.element import Element, child, children, element, serialize
from pushd.wire.namespaces import FORM_PUBLISH_OPTIONS, NS_DISCO_INFO, NS_PUBSUB
from tests.unit.appserver.stage import (
    JULIET,
    PHONE,
    PUBSUB,
    Pigeon,
    Post,
    Stage,
    app,
    outcome,
    register,
    said,
)

NODE, TOKEN = "punsub_node_for_my_private_iphone", "yourpnsdevicetoken"
ROMEO = "romeo@example.net/garden"


class Apple(Post):
    """A provider with a sandbox and silent pushes."""

    type = "apns"
    aliases = frozenset()
    optional_fields = frozenset({"environment", "silent-push"})


def staged(dialects: str = "mongooseim mod_push", **rules: Any) -> Stage:
    phones, pads = app("phones", Apple(), app_name="p"), app("pads", Apple(), app_name="q")
    phones.topic, pads.topic = "com.example.phone", "com.example.pad"
    apps = (app("pigeon", Pigeon()), phones, pads, app("post", Post()))
    return Stage(apps=apps, rules=Rules(dialects=frozenset(dialects.split()), **rules))


def ask(stage: Stage, payload: str, type: str = "set", sender: str = PHONE) -> Element:
    return stage.client(sender).ask(f"<iq type='{type}' id='m' to='{PUBSUB}'>{payload}</iq>")


def config(**values: str) -> str:
    fields = {f"pubsub#{name}": value for name, value in values.items()}
    form = serialize(forms.submit(f"{NS_PUBSUB}#node_config", fields)).decode()
    return f"<configure>{form}</configure>"


USUAL = config(access_model="whitelist", publish_model="publishers")


def create(stage: Stage, node: str | None = NODE, more: str = USUAL, **given: Any) -> Element:
    at = f" node='{node}'" if node is not None else ""
    return ask(
        stage, f"<pubsub xmlns='{NS_PUBSUB}'><create{at} type='push'/>{more}</pubsub>", **given
    )


def affiliations(content: str = "", node: str = NODE) -> str:
    return (
        f"<pubsub xmlns='{NS_OWNER}'><affiliations node='{node}'>{content}</affiliations></pubsub>"
    )


def affiliation(jid: str, kind: str = "publish-only") -> str:
    return f"<affiliation jid='{jid}' affiliation='{kind}'/>"


def delete(node: str = NODE) -> str:
    return f"<pubsub xmlns='{NS_OWNER}'><delete node='{node}'/></pubsub>"


def push(stage: Stage, node: str = NODE, sender: str = "example.net", **changes: str) -> str:
    """Publish with the usual options, some of them changed, or left out if empty."""
    told = {"service": "apns", "device_id": TOKEN, "silent": "false"} | changes
    form = forms.submit(FORM_PUBLISH_OPTIONS, {name: one for name, one in told.items() if one})
    options = serialize(element(NS_PUBSUB, "publish-options", form)).decode()
    summary = {"message-count": "1"}
    return stage.publish(node, None, sender=sender, options=options, summary=summary)


def features(stage: Stage) -> set[str]:
    answer = ask(stage, f"<query xmlns='{NS_DISCO_INFO}'/>", "get")
    return {one["var"] for one in children(answer.query) if one.name == "feature"}


def test_a_client_makes_a_node_and_its_server_publishes() -> None:
    stage = staged()

    answer = create(stage)

    assert outcome(answer) == ""
    assert answer.pubsub.create["node"] == NODE
    [registration] = stage.server.registrations.of(JULIET)
    assert (registration.dialect, registration.called) == ("mongooseim", NODE)
    assert push(stage) == ""
    [call] = stage.calls
    note, device = call.look()
    assert call.backend == "phones"
    assert device.token.reveal() == TOKEN
    assert device.fields == {"silent-push": "0"}
    assert note.message_count == 1


def test_a_node_without_a_name_is_given_one() -> None:
    stage = staged()

    node = create(stage, None).pubsub.create["node"]

    assert len(node) >= 20
    assert push(stage, node) == ""


@pytest.mark.parametrize(
    ("more", "answer", "named"),
    [
        (
            config(access_model="open"),
            "not-acceptable unsupported-access-model",
            "pubsub#access_model",
        ),
        (config(publish_model="open"), "not-acceptable", "pubsub#publish_model"),
        ("<configure><x xmlns='jabber:x:data' type='odd'/></configure>", "not-acceptable", "type"),
        (
            serialize(
                element(NS_PUBSUB, "configure", forms.submit("urn:x", {"pubsub#title": "t"}))
            ).decode(),
            "not-acceptable",
            "FORM_TYPE",
        ),
    ],
    ids=["open to read", "open to publish", "no form", "another form"],
)
def test_who_reads_and_publishes_is_not_the_clients_choice(
    more: str, answer: str, named: str
) -> None:
    stage = staged()

    refused = create(stage, more=more)

    assert outcome(refused) == answer
    assert named in said(refused)
    assert stage.nodes() == []


@pytest.mark.parametrize("more", ["", "<configure/>", config(title="a node")])
def test_what_is_not_said_is_as_it_must_be(more: str) -> None:
    stage = staged()

    assert outcome(create(stage, more=more)) == ""
    assert push(stage, sender="evil.example") == "forbidden"


def test_a_name_is_given_once() -> None:
    stage = staged()
    stage.client(ROMEO)
    create(stage)

    assert outcome(create(stage)) == "conflict"
    assert outcome(create(stage, sender=ROMEO)) == "conflict"
    assert len(stage.nodes()) == 1


def test_a_name_is_no_longer_than_a_resource() -> None:
    assert outcome(create(staged(), "n" * 1_024)) == "not-acceptable"


def test_nodes_of_other_types_are_not_made() -> None:
    stage = staged()

    answer = ask(stage, f"<pubsub xmlns='{NS_PUBSUB}'><create node='n'/></pubsub>")

    assert outcome(answer) == "not-allowed closed-node"


def test_an_account_makes_no_more_nodes_than_registrations() -> None:
    stage = staged(registrations_per_account=2)
    for number in range(3):
        create(stage, f"n{number}")
        stage.hall.clock.advance(1)

    assert {one.called for one in stage.server.registrations.of(JULIET)} == {"n1", "n2"}


# Publishing.


@pytest.mark.parametrize(
    ("changes", "backend", "fields"),
    [
        ({"silent": ""}, "phones", {}),
        ({"silent": "true"}, "phones", {"silent-push": "1"}),
        ({"mode": "dev", "silent": ""}, "phones", {"environment": "sandbox"}),
        ({"mode": "prod", "silent": ""}, "phones", {}),
        ({"topic": "com.example.pad", "silent": ""}, "pads", {}),
        ({"service": "post", "mode": "dev", "silent": ""}, "post", {}),
        ({"priority": "high", "sound": "x", "time_to_live": "9", "silent": ""}, "phones", {}),
    ],
)
def test_the_options_say_where_it_goes(
    changes: dict[str, str], backend: str, fields: dict[str, str]
) -> None:
    stage = staged()
    create(stage)

    assert push(stage, **changes) == ""

    [call] = stage.calls
    assert call.backend == backend
    assert call.look()[1].fields == fields


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"service": ""}, "conflict precondition-not-met"),
        ({"device_id": ""}, "conflict precondition-not-met"),
        ({"service": "wns"}, "bad-request"),
        ({"service": "pigeon"}, "bad-request"),  # which asks for more than a token
        ({"device_id": "no token!"}, "bad-request"),
        ({"topic": "com.example.other"}, "bad-request"),
        ({"mode": "test"}, "bad-request"),
        ({"silent": "perhaps"}, "bad-request"),
    ],
)
def test_options_that_lead_nowhere_are_refused(changes: dict[str, str], answer: str) -> None:
    stage = staged()
    create(stage)
    before = stage.server.registrations.of(JULIET)

    assert push(stage, **changes) == answer.split()[0]

    assert stage.calls == []
    assert stage.server.registrations.of(JULIET) == before


def test_a_topic_that_a_reload_brings_counts_at_once() -> None:
    stage = staged()
    create(stage)
    stage.server.renew("pads", Apple(), "com.example.new")

    assert push(stage, service="apns", topic="com.example.pad") == "bad-request"
    assert push(stage, service="apns", topic="com.example.new") == ""


def test_a_device_with_another_token_keeps_its_node() -> None:
    stage = staged()
    create(stage)
    push(stage)
    stage.calls[0].answer(Accepted())

    assert push(stage, device_id="another") == ""

    assert stage.calls[1].look()[1].token.reveal() == "another"
    assert len(stage.nodes()) == 1


def test_a_dead_token_takes_its_node_along() -> None:
    stage = staged()
    create(stage)
    phone = stage.client()
    push(stage)

    stage.calls[0].answer(Unregistered())

    assert push(stage) == "item-not-found"
    notice = phone.received()[-1]
    assert notice.name == "message"
    assert notice.pubsub["node"] == NODE


# Who may publish.


def test_the_owner_lets_others_publish_and_takes_it_back() -> None:
    stage = staged()
    create(stage)
    assert push(stage, sender="mychat.example") == "forbidden"

    assert outcome(ask(stage, affiliations(affiliation("mychat.example")))) == ""
    assert push(stage, sender="mychat.example") == ""
    assert push(stage, sender="alice@mychat.example") == "forbidden"

    assert outcome(ask(stage, affiliations(affiliation("mychat.example", "none")))) == ""
    assert push(stage, sender="mychat.example") == "forbidden"
    assert push(stage) == ""  # the account's own server, always


def test_the_owner_reads_who_may_publish() -> None:
    stage = staged()
    create(stage)
    ask(stage, affiliations(affiliation("mychat.example") + affiliation(JULIET, "owner")))

    answer = ask(stage, affiliations(), "get")

    pubsub = child(answer, NS_OWNER, "pubsub")
    assert pubsub is not None
    [listed] = children(pubsub)
    assert listed["node"] == NODE
    assert [(one["jid"], one["affiliation"]) for one in children(listed)] == [
        (JULIET, "owner"),
        ("mychat.example", "publish-only"),
    ]


@pytest.mark.parametrize(
    ("content", "answer", "named"),
    [
        (affiliation("a@b@c"), "bad-request", "jid"),
        (affiliation("mychat.example/r"), "not-acceptable", "jid"),
        (affiliation("mychat.example", "owner"), "not-acceptable", "affiliation"),
        (affiliation("mychat.example", "emperor"), "not-acceptable", "affiliation"),
        (affiliation(JULIET, "none"), "not-acceptable", "affiliation"),
        (
            "".join(affiliation(f"s{n}.example") for n in range(MOST_PUBLISHERS + 1)),
            "not-acceptable",
            "affiliation",
        ),
    ],
    ids=["no address", "a resource", "owner", "unknown", "no owner", "too many"],
)
def test_affiliations_that_cannot_be_are_refused_and_none_is_changed(
    content: str, answer: str, named: str
) -> None:
    stage = staged()
    create(stage)

    refused = ask(stage, affiliations(affiliation("good.example") + content))

    assert outcome(refused) == answer
    assert named in said(refused)
    assert push(stage, sender="good.example") == "forbidden"


@pytest.mark.parametrize("payload", [affiliations(affiliation("evil.example")), delete()])
def test_only_the_owner_manages_a_node(payload: str) -> None:
    stage = staged()
    stage.client(ROMEO)
    create(stage)

    assert outcome(ask(stage, payload, sender=ROMEO)) == "forbidden"
    assert outcome(ask(stage, payload.replace(NODE, "another"))) == "item-not-found"
    assert outcome(ask(stage, payload.replace(NODE, ""))) == "bad-request nodeid-required"
    assert push(stage) == ""


def test_nodes_of_other_dialects_are_not_managed_so() -> None:
    stage = staged()
    node, _ = register(stage.client(), "post")

    assert outcome(ask(stage, delete(node))) == "forbidden"
    assert outcome(ask(stage, f"<pubsub xmlns='{NS_OWNER}'><purge node='x'/></pubsub>")) == (
        "forbidden"
    )


def test_the_owner_deletes_a_node() -> None:
    stage = staged()
    create(stage)

    assert outcome(ask(stage, delete())) == ""

    assert stage.nodes() == []
    assert push(stage) == "item-not-found"
    assert outcome(create(stage)) == ""


# Switching it on and off.


def test_what_is_honoured_is_announced() -> None:
    assert set(FEATURES) < features(staged())


def test_what_is_switched_off_is_neither_announced_nor_taken() -> None:
    stage = staged("mod_push")

    assert set(FEATURES).isdisjoint(features(stage))
    assert outcome(create(stage)) == "not-allowed closed-node"
    assert outcome(ask(stage, delete())) == "forbidden"
    assert stage.nodes() == []


def test_what_was_made_is_pushed_when_it_is_switched_off_later() -> None:
    stage = staged()
    create(stage)

    stage.server.rule(Rules(dialects=frozenset({"mod_push"})))

    assert push(stage) == ""
    assert outcome(ask(stage, delete())) == "forbidden"


def test_who_may_make_nodes_is_who_may_register() -> None:
    stage = staged(access=("elsewhere.example",))

    assert outcome(create(stage)) == "forbidden"


@pytest.mark.parametrize("payload", [affiliations(affiliation("a.example")), delete()])
def test_an_account_asks_no_more_of_its_nodes_than_of_commands(payload: str) -> None:
    stage = staged(account_requests=Rate(10.0, 2))

    assert [outcome(create(stage)), outcome(ask(stage, affiliations(), "get"))] == ["", ""]
    assert outcome(ask(stage, payload)) == "policy-violation"


def test_what_else_a_device_had_registered_goes_with_its_first_push() -> None:
    """Its account has it woken once, by whichever way it registered last."""
    stage = staged()
    register(stage.client(), "apns", token=TOKEN, app="p")
    create(stage, "another")
    push(stage, "another")
    other = stage.server.registrations.of(JULIET)
    assert [one.called for one in other] == ["another"]
    register(stage.client(f"{JULIET}/tablet"), "apns", token="tablet", app="p")
    create(stage)

    push(stage)

    assert NODE in {one.called for one in stage.server.registrations.of(JULIET)}
    gone = stage.hall.events(DeviceUnregistered)
    assert [one.reason for one in gone] == ["its device is registered by another id"] * 2
    assert len(stage.nodes()) == 2
    push(stage)
    assert len(stage.nodes()) == 2


@pytest.mark.parametrize(("shared", "left"), [(True, 1), (False, 0)])
def test_another_account_loses_its_device_where_they_are_not_shared(
    shared: bool, left: int
) -> None:
    stage = staged(shared_tokens=shared)
    register(stage.client(ROMEO), "apns", token=TOKEN, app="p")
    create(stage)

    push(stage)

    assert len(stage.nodes("romeo@example.net")) == left
