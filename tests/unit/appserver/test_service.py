import json

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.logger import capturedLogs

from pushd.appserver.limits import Rules
from pushd.appserver.service import DAY
from pushd.modules.push.module import Push
from pushd.providers.contract import Accepted, Failed, Request, Response
from pushd.providers.dispatch import Dispatcher
from pushd.providers.reports import Attempt
from pushd.routing.events import DeviceUnregistered, PushDisabled, ServerStarted
from pushd.wire import forms
from pushd.wire.element import Element, serialize
from pushd.wire.namespaces import FORM_PUBLISH_OPTIONS
from tests.hall import Client, Hall
from tests.unit.appserver.stage import (
    JULIET,
    PHONE,
    PUBSUB,
    REGISTER,
    Pigeon,
    Post,
    Stage,
    app,
    execute,
    outcome,
    publishing,
    register,
    result,
)

INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"
MODULES = {"offline": None, "push": None}

# Hosts.


def discovered(client: Client, host: str) -> tuple[set[tuple[str, str]], set[str]]:
    query: Element = client.ask(
        f"<iq type='get' id='d' to='{host}'><query xmlns='{INFO}'/></iq>"
    ).query
    return (
        {(one["category"], one["type"]) for one in query.elements() if one.name == "identity"},
        {one["var"] for one in query.elements() if one.name == "feature"},
    )


@pytest.mark.line(40, 41)
def test_the_pubsub_host_says_what_it_is_and_does() -> None:
    identities, features = discovered(Stage().client(), PUBSUB)

    assert identities == {("pubsub", "push")}
    assert features == {
        INFO,
        ITEMS,
        "urn:xmpp:push:0",
        "http://jabber.org/protocol/pubsub",
        "http://jabber.org/protocol/pubsub#access-whitelist",
        "http://jabber.org/protocol/pubsub#publish",
        "http://jabber.org/protocol/pubsub#publish-only-affiliation",
    }


def test_one_domain_may_be_both_hosts() -> None:
    stage = Stage((app(register_host=PUBSUB, provider=Post()),))
    phone = stage.client()

    identities, features = discovered(phone, PUBSUB)

    assert identities == {("pubsub", "push"), ("app-server", "any")}
    assert "urn:xmpp:push:0" in features
    assert "http://jabber.org/protocol/commands" in features


def test_a_domain_of_accounts_may_be_both_hosts() -> None:
    stage = Stage((app(pubsub_host=REGISTER),))
    phone = stage.client()
    node, secret = register(phone)

    identities, features = discovered(phone, REGISTER)
    assert {("server", "im"), ("pubsub", "push"), ("app-server", "any")} <= identities
    assert "urn:xmpp:push:0" in features

    answer = phone.ask(f"<iq type='set' id='p' to='{REGISTER}'>{publishing(node, secret)}</iq>")
    assert outcome(answer) == ""


def test_each_register_host_has_its_own_apps_and_an_account_all_its_devices() -> None:
    stage = Stage(
        (
            app("one", Post(), app_name="chat"),
            app("two", Pigeon(), "apps.example.net", "push2.example.net", "mail"),
        )
    )
    phone = stage.client()
    assert ("app-server", "chat") in discovered(phone, REGISTER)[0]
    assert discovered(phone, "apps.example.net")[0] == {("app-server", "mail")}
    assert discovered(phone, "push2.example.net")[0] == {("pubsub", "push")}
    dove = {"token": "dove", "application-id": "a", "device-id": "dovecote"}
    assert outcome(execute(phone, "register-push-pigeon", dove)) == "item-not-found"

    node, _ = register(phone)
    given = result(execute(phone, "register-push-pigeon", dove, host="apps.example.net"))
    assert given["jid"] == ("push2.example.net",)

    for host in (REGISTER, "apps.example.net"):
        listed = forms.find(execute(phone, "list-push-registrations", host=host).command)
        assert listed is not None
        assert {row["node"] for row in listed.items} == {(node,), given["node"]}
    gone = execute(phone, "unregister-push", {"nodes": [node]}, host="apps.example.net")
    assert result(gone)["nodes"] == (node,)


def test_hosts_of_their_own_are_items_of_the_server() -> None:
    stage = Stage()

    answer = stage.client().ask(
        f"<iq type='get' id='d' to='{REGISTER}'><query xmlns='{ITEMS}'/></iq>"
    )

    assert [item["jid"] for item in answer.query.elements()] == [PUBSUB]


@pytest.mark.line(149)
def test_without_apps_there_is_nothing_to_see() -> None:
    stage = Stage(())

    assert not stage.hall.host.router.is_reachable(PUBSUB)
    assert outcome(execute(stage.client(), "unregister-push")) != ""


# The end of a registration.


def enable(phone: Client, node: str, secret: str) -> None:
    form = serialize(forms.submit(FORM_PUBLISH_OPTIONS, {"secret": secret})).decode()
    answer = phone.ask(
        f"<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='{PUBSUB}' node='{node}'>"
        f"{form}</enable></iq>"
    )
    assert answer["type"] == "result"


@pytest.mark.line(121)
def test_unregistering_ends_the_enablement_and_its_detached_session() -> None:
    stage = Stage(modules=MODULES)
    phone = stage.hall.login(PHONE, sm=True)
    node, secret = register(phone)
    enable(phone, node, secret)
    phone.acknowledge()
    phone.cut()

    execute(stage.client(f"{JULIET}/desk"), "unregister-push", {"device-id": "phone"})

    assert [event.reason for event in stage.hall.events(PushDisabled)] == [
        "the service gave notice"
    ]
    stage.hall.advance(300)  # what was promised before anybody knew of push
    assert not stage.hall.host.lifecycle.is_alive(phone.session)


@pytest.mark.line(122)
def test_the_server_of_an_account_elsewhere_is_given_notice() -> None:
    stage = Stage()
    seen: list[Element] = []
    stage.hall.host.router.add_host("example.org", lambda stanza: seen.append(stanza.tree))
    stage.hall.route(
        f"<iq type='set' id='c' from='romeo@example.org/o' to='{REGISTER}'>"
        "<command xmlns='http://jabber.org/protocol/commands' node='register-push-post'>"
        "<x xmlns='jabber:x:data'><field var='token'><value>tok</value></field></x></command></iq>"
    )
    [node] = stage.nodes("romeo@example.org")
    seen.clear()

    stage.server.unregister(stage.registration(node), "unregistered")

    [notice] = seen
    assert (notice.name, notice["from"], notice["to"]) == ("message", PUBSUB, "romeo@example.org")
    assert notice["id"]
    assert notice.pubsub["node"] == node
    assert notice.pubsub.affiliation.attributes == {
        "jid": "romeo@example.org",
        "affiliation": "none",
    }


def test_a_server_that_cannot_be_reached_hinders_nothing() -> None:
    stage = Stage()
    host = stage.hall.host
    host.router.add_host("example.org", lambda stanza: None)
    stage.hall.route(
        f"<iq type='set' id='c' from='romeo@example.org/o' to='{REGISTER}'>"
        "<command xmlns='http://jabber.org/protocol/commands' node='register-push-post'>"
        "<x xmlns='jabber:x:data'><field var='token'><value>tok</value></field></x></command></iq>"
    )
    host.router.remove_host("example.org")

    [node] = stage.nodes("romeo@example.org")
    stage.server.unregister(stage.registration(node), "unregistered")

    assert stage.nodes("romeo@example.org") == []
    assert len(stage.hall.events(DeviceUnregistered)) == 1


@pytest.mark.line(150)
def test_with_an_account_go_its_registrations_and_what_waits_for_them() -> None:
    stage = Stage()
    phone = stage.client()
    node, secret = register(phone)
    register(phone, device_id="tablet")
    kept, _ = register(stage.client("romeo@example.net/phone"))
    stage.publish(node, secret)

    stage.hall.wait(stage.hall.host.accounts.remove(JULIET))

    assert stage.nodes() == []
    assert stage.hall.rows("SELECT node FROM registrations") == [(kept,)]
    assert stage.hall.rows("SELECT * FROM outbox") == []
    assert stage.calls[0].latest() is None
    assert {event.reason for event in stage.hall.events(DeviceUnregistered)} == {
        "the account was removed"
    }


@pytest.mark.parametrize("used", ["never", "renewed", "pushed"])
def test_what_is_not_used_for_long_is_forgotten(used: str) -> None:
    stage = Stage(rules=Rules(forget_after=10 * DAY))
    phone = stage.client()
    node, _ = register(phone)
    stage.hall.advance(5 * DAY)
    assert stage.nodes() == [node]
    if used == "renewed":
        register(phone)
    elif used == "pushed":
        stage.server.registrations.pushed(node, stage.hall.clock.seconds())

    for _ in range(6):
        stage.hall.advance(DAY)

    assert stage.nodes() == ([] if used == "never" else [node])
    reasons = [event.reason for event in stage.hall.events(DeviceUnregistered)]
    assert reasons == (["it was not used for long"] if used == "never" else [])
    for _ in range(10):
        stage.hall.advance(DAY)
    assert stage.nodes() == []
    assert [one.name for one in phone.received() if one.name == "message"] == ["message"]


@pytest.mark.parametrize(
    ("ends_in", "told"), [(31.5, [None, "expires", "expires"]), (1.03, ["expires", "expired"])]
)
def test_a_credential_that_ends_soon_is_told_of_each_day(
    ends_in: float, told: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage()
    ends_at = stage.hall.clock.seconds() + ends_in * DAY
    monkeypatch.setattr(Pigeon, "expires_at", ends_at)
    for verb in told:
        with capturedLogs() as logged:
            stage.hall.advance(DAY)
        assert [event["verb"] for event in logged if "verb" in event] == ([verb] if verb else [])


def test_a_clock_that_is_wrong_at_the_start_forgets_nobody() -> None:
    stage = Stage(rules=Rules(forget_after=10 * DAY))
    node, _ = register(stage.client())
    stage.server.stop()
    now = stage.hall.clock.rightNow

    stage.hall.clock.rightNow = now + 1000 * DAY
    stage.server.start()
    stage.hall.advance(60)
    stage.hall.clock.rightNow = now
    stage.hall.advance(2 * DAY)

    assert stage.nodes() == [node]


def test_who_stops_leaves_no_timers() -> None:
    stage = Stage()
    register(stage.client())
    before = len(stage.hall.clock.getDelayedCalls())

    stage.server.stop()

    assert len(stage.hall.clock.getDelayedCalls()) == before - 2  # for stale pushes and old devices


def test_registrations_may_be_kept_for_ever() -> None:
    stage = Stage(rules=Rules(forget_after=0.0))
    register(stage.client())
    stage.hall.advance(2000 * DAY)

    assert len(stage.nodes()) == 1


# The whole way, with the dispatcher that is really used.


class Transport:
    """Answers each request of a provider with the next of `statuses`; 200 after the last."""

    def __init__(self) -> None:
        self.requests: list[dict[str, object]] = []
        self.statuses: list[int] = []

    def send(self, request: Request, timeout: float) -> Deferred[Response | Failed]:
        self.requests.append(json.loads(request.body))
        status = self.statuses.pop(0) if self.statuses else 200
        return succeed(Response(status))


class WholeWay(Stage):
    """A phone that has registered, enabled push, and lost its connection."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.attempts: list[Attempt] = []
        super().__init__(modules=MODULES, dispatcher=self.make)
        self.hall.host.events.emit(ServerStarted())
        self.phone = self.hall.login(PHONE, sm=True)
        self.node, secret = register(self.phone)
        enable(self.phone, self.node, secret)
        self.phone.acknowledge()
        self.phone.received()
        self.phone.cut()

    def make(self, hall: Hall) -> Dispatcher:
        dispatcher = Dispatcher(hall.clock, self.transport, self.report)
        dispatcher.add("post", Post())
        dispatcher.add("pigeon", Pigeon())
        return dispatcher

    def report(self, event: object) -> None:
        if isinstance(event, Attempt):
            self.attempts.append(event)

    def write(self, text: str = "hi") -> None:
        """Romeo writes, and nothing follows soon."""
        self.hall.route(
            f"<message from='romeo@example.org/o' to='{JULIET}' type='chat'>"
            f"<body>{text}</body></message>"
        )
        self.hall.advance(1)


@pytest.mark.line(93, 136)
def test_a_message_for_a_sleeping_phone_becomes_a_request_to_its_provider() -> None:
    """Our own service is reached by the same stanza as another's."""
    stage = WholeWay()

    stage.write("one")
    stage.write("two")

    assert stage.transport.requests == [
        {"to": "tok", "message-count": 1},
        {"to": "tok", "message-count": 2},
    ]
    assert [type(attempt.outcome) for attempt in stage.attempts] == [Accepted, Accepted]
    assert stage.hall.rows("SELECT * FROM outbox") == []
    stage.phone.resume()
    assert [str(one.body) for one in stage.phone.received()] == ["one", "two"]


@pytest.mark.line(139)
def test_a_provider_that_is_busy_is_sent_the_newest_later() -> None:
    stage = WholeWay()
    stage.transport.statuses = [503]
    stage.write("one")
    stage.write("two")
    assert len(stage.transport.requests) == 1

    stage.hall.advance(60)

    assert [request["message-count"] for request in stage.transport.requests] == [1, 2]
    assert stage.hall.rows("SELECT * FROM outbox") == []


@pytest.mark.line(140)
def test_a_token_that_the_provider_calls_dead_ends_it_all() -> None:
    stage = WholeWay()
    stage.transport.statuses = [410]

    stage.write("one")
    stage.hall.advance(0)

    assert stage.nodes() == []
    (push,) = (module for module in stage.hall.modules if isinstance(module, Push))
    assert push.enablements.of(JULIET) == []
    stage.hall.advance(300)
    assert not stage.hall.host.lifecycle.is_alive(stage.phone.session)
    stored = [row[0] for row in stage.hall.rows("SELECT stanza FROM offline ORDER BY id")]
    assert b"<body>one</body>" in stored[0]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
@pytest.mark.line(143)
def test_another_refusal_removes_nothing(status: int) -> None:
    stage = WholeWay()
    stage.transport.statuses = [status]

    stage.write("one")

    assert stage.nodes() == [stage.node]
    assert stage.hall.rows("SELECT * FROM outbox") == []
