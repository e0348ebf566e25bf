"""Bad forms, wrong nodes and secrets, and components that misbehave: each gets its exact answer."""

from functools import partial

from twisted.trial.unittest import TestCase

from pushd.client.client import Client
from pushd.client.errors import Refused
from pushd.wire import forms
from pushd.wire.element import Element, child, element, parse, serialize
from pushd.wire.namespaces import (
    FORM_PUBLISH_OPTIONS,
    FORM_PUSH_SUMMARY,
    NS_COMMANDS,
    NS_PUBSUB,
    NS_PUBSUB_ERRORS,
    NS_PUSH,
)
from pushd.wire.secret import Secret
from tests.patience import LONGEST, PATIENCE
from tests.scenarios.harness import Server
from tests.scenarios.hostile import component
from tests.scenarios.process import eventually
from tests.scenarios.raw import Raw

STREAMS = "urn:ietf:params:xml:ns:xmpp-streams"
NODE = "foreign-node"


class Services(TestCase):
    timeout = LONGEST

    async def start(self) -> Client:
        self.server = await Server.start(self)
        return await self.client("juliet", "phone")

    async def client(self, user: str, resource: str) -> Client:
        client = self.server.client(user, resource)
        await client.connect()
        client.presence()
        return client

    async def refusal(
        self, client: Client, to: str, payload: Element, type: str = "set"
    ) -> Refused:
        try:
            await client.iq(type, to, payload)
        except Refused as refused:
            return refused
        raise AssertionError(f"accepted: {serialize(payload)!r}")

    def component(self, secret: str | None = None, name: str = "") -> Raw:
        """A component's connection, with its handshake sent."""
        raw = component(self.server, secret, name)
        self.addCleanup(raw.close)
        return raw

    def connected(self) -> Raw:
        raw = self.component()
        raw.read_until(rb"<handshake/>")
        return raw


class RegistrationTest(Services):
    async def test_a_bad_form_is_refused_and_the_field_is_named(self) -> None:
        juliet = await self.start()
        for fields, named in (
            ({}, "token"),
            ({"token": ""}, "token"),
            ({"token": "two words"}, "token"),
            ({"token": ["one", "two"]}, "token"),
            ({"token": "t", "device-id": ["a", "b"]}, "device-id"),
        ):
            form = forms.submit(None, fields)
            refused = await self.refusal(juliet, "localhost", command("register-push-fcm", form))
            assert refused.condition == "bad-request", fields
            assert named in refused.text, (fields, refused.text)
        wrong = forms.submit("urn:other", {"token": "t"})
        refused = await self.refusal(juliet, "localhost", command("register-push-fcm", wrong))
        assert "FORM_TYPE" in refused.text
        assert await listed(juliet) == 0

    async def test_commands_that_are_none_and_steps_that_are_none(self) -> None:
        juliet = await self.start()
        for node, condition in (
            ("register-push-blackberry", "item-not-found"),
            ("no-such-command", "item-not-found"),
        ):
            refused = await self.refusal(juliet, "localhost", command(node))
            assert refused.condition == condition
        asked = command("register-push-fcm")
        refused = await self.refusal(juliet, "localhost", asked, type="get")
        assert refused.condition == "bad-request"
        asked.attributes["action"] = "next"
        refused = await self.refusal(juliet, "localhost", asked)
        assert child(refused.error, NS_COMMANDS, "bad-action") is not None

    async def test_a_command_without_a_form_offers_one(self) -> None:
        juliet = await self.start()
        answer = await juliet.iq("set", "localhost", command("register-push-fcm"))
        offered = child(answer, NS_COMMANDS, "command")
        assert offered is not None
        assert offered["status"] == "executing"
        form = forms.find(offered)
        assert form is not None
        assert "token" in form.fields


class PubsubTest(Services):
    async def test_a_publish_is_refused_by_the_conditions_of_pubsub(self) -> None:
        juliet = await self.start()
        node, secret = await register(juliet)
        note = notification({"message-count": "1"})
        for payload, condition, detail in (
            (publish("no-such-node", secret, note), "item-not-found", ""),
            (publish(node, "wrong", note), "forbidden", ""),
            (publish(node, "", note), "forbidden", ""),
            (publish(node, secret), "bad-request", "item-required"),
            (publish(node, secret, note, note), "bad-request", "invalid-payload"),
            (publish(node, secret, None), "bad-request", "payload-required"),
            (publish(node, secret, element("urn:x", "x")), "bad-request", "invalid-payload"),
            (
                publish(node, secret, notification({"message-count": "many"})),
                "bad-request",
                "invalid-payload",
            ),
            (
                publish(node, secret, notification({"last-message-body": "x" * 70_000})),
                "not-acceptable",
                "payload-too-big",
            ),
        ):
            refused = await self.refusal(juliet, self.server.ready.push_host, payload)
            assert refused.condition == condition, serialize(payload)[:300]
            if detail:
                assert child(refused.error, NS_PUBSUB_ERRORS, detail) is not None, detail
        await juliet.iq("set", self.server.ready.push_host, publish(node, secret, note))
        assert await self.server.simulator_requests(wait=PATIENCE)

    async def test_nobody_else_publishes_to_a_node_and_the_node_is_closed(self) -> None:
        juliet = await self.start()
        node, secret = await register(juliet)
        romeo = await self.client("romeo", "desk")
        host = self.server.ready.push_host
        note = publish(node, secret, notification({}))
        assert (await self.refusal(romeo, host, note)).condition == "forbidden"
        subscribe = element(NS_PUBSUB, "subscribe", node=node, jid=romeo.jid.bare)
        for type, part in (("set", subscribe), ("get", element(NS_PUBSUB, "items", node=node))):
            pubsub = element(NS_PUBSUB, "pubsub", part)
            refused = await self.refusal(romeo, host, pubsub, type=type)
            assert refused.condition == "not-allowed"
            assert child(refused.error, NS_PUBSUB_ERRORS, "closed-node") is not None


class ComponentTest(Services):
    async def test_a_component_proves_itself_and_speaks_for_itself(self) -> None:
        await self.start()
        own = self.server.ready.component_domain
        for connect, sent, condition in (
            (partial(self.component, secret="wrong"), "", "not-authorized"),
            (partial(self.component, name="other.localhost"), "", "host-unknown"),
            (self.connected, "<message from='romeo@localhost' to='a@b'/>", "invalid-from"),
            (self.connected, "<message to='a@b'/>", "invalid-from"),
            (self.connected, f"<message from='{own}'/>", "improper-addressing"),
        ):
            raw = connect()
            raw.try_to_send(sent)
            said = raw.read_to_end()
            assert f"<{condition} xmlns='{STREAMS}'/>".encode() in said, said
            await eventually(lambda: self.is_away() or None, PATIENCE, "end of the component")

    def is_away(self) -> bool:
        """Whether a component may connect; the one before has been noticed to be gone."""
        raw = self.component()
        said = raw.read_until(rb"<handshake/>|</stream:stream>")
        raw.close()
        return b"<handshake/>" in said

    async def test_one_component_of_a_name_at_a_time(self) -> None:
        await self.start()
        self.connected()
        second = self.component()
        assert f"<conflict xmlns='{STREAMS}'/>".encode() in second.read_to_end()

    async def test_who_writes_to_a_component_that_is_away_is_answered_at_once(self) -> None:
        juliet = await self.start()
        ping = element("urn:xmpp:ping", "ping")
        refused = await self.refusal(juliet, self.server.ready.component_domain, ping, type="get")
        assert (refused.condition, refused.type) == ("remote-server-timeout", "wait")

    async def test_a_foreign_push_service_is_published_to_and_its_answers_count(self) -> None:
        """A component as the push service: the publish as it comes, and what its answer does."""
        juliet = await self.start()
        service = self.connected()
        await juliet.enable_sm()
        domain = self.server.ready.component_domain
        options = forms.submit(FORM_PUBLISH_OPTIONS, {"secret": "s3", "other": "kept"})
        enable = element(NS_PUSH, "enable", options, jid=domain, node=NODE)
        await juliet.iq("set", "", enable)
        juliet.cut()
        await self.server.event("session-detached")
        romeo = await self.client("romeo", "desk")
        romeo.message(self.server.jid("juliet"), "one")
        await self.published(1)
        first = parse(service.read_until(b"</iq>"))
        assert first["from"] == "localhost"
        assert serialize(first).count(b"kept") == 1
        service.send(f"<iq type='result' id='{first['id']}' from='{domain}' to='localhost'/>")
        await self.server.event("publish-answered", lambda one: one["outcome"] == "accepted")
        romeo.message(self.server.jid("juliet"), "two")
        await self.published(2)
        second = parse(service.read_until(b"</iq>"))
        service.send(
            f"<iq type='error' id='{second['id']}' from='{domain}' to='localhost'>"
            "<error type='cancel'><item-not-found "
            "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        )
        ended = await self.server.event("push-disabled")
        assert (ended["service"], ended["node"]) == (domain, Secret(NODE).digest)

    async def published(self, count: int) -> None:
        """The server has told a push service of so many messages."""
        await self.server.event("notification-published", lambda one: one["message_count"] == count)


def command(node: str, form: Element | None = None) -> Element:
    parts = () if form is None else (form,)
    return element(NS_COMMANDS, "command", *parts, node=node)


def notification(fields: dict[str, str]) -> Element:
    return element(NS_PUSH, "notification", forms.submit(FORM_PUSH_SUMMARY, fields))


def publish(node: str, secret: str, *payloads: Element | None) -> Element:
    """A publish with an item for each payload; None makes an empty item."""
    items = [
        element(NS_PUBSUB, "item", *(() if payload is None else (payload,))) for payload in payloads
    ]
    options = forms.submit(FORM_PUBLISH_OPTIONS, {"secret": secret} if secret else {})
    return element(
        NS_PUBSUB,
        "pubsub",
        element(NS_PUBSUB, "publish", *items, node=node),
        element(NS_PUBSUB, "publish-options", options),
    )


async def register(client: Client) -> tuple[str, str]:
    """Register a device; its node and secret."""
    form = forms.submit(None, {"token": "phone:token"})
    answer = await client.iq("set", "localhost", command("register-push-fcm", form))
    completed = child(answer, NS_COMMANDS, "command")
    assert completed is not None
    found = forms.find(completed)
    assert found is not None
    return found.fields["node"][0], found.fields["secret"][0]


async def listed(client: Client) -> int:
    """How many devices the account has registered."""
    answer = await client.iq("set", "localhost", command("list-push-registrations"))
    completed = child(answer, NS_COMMANDS, "command")
    assert completed is not None
    found = forms.find(completed)
    return len(found.items) if found is not None else 0
