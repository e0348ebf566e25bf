from collections.abc import Mapping

import pytest

from pushd.appserver.device_forms import LONGEST_NAME
from pushd.appserver.limits import Rules
from pushd.routing.events import DeviceRegistered, DeviceUnregistered
from pushd.wire import forms
from pushd.wire.element import Element, child
from pushd.wire.namespaces import FORM_PUSH_OPTIONS, NS_FORMS
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
    has_form,
    outcome,
    register,
    result,
    said,
)

COMMANDS = (
    "register-push-mail",
    "register-push-pigeon",
    "register-push-post",
    "list-push-registrations",
    "unregister-push",
)
BAD = "bad-request bad-payload"

# Registering.


@pytest.mark.parametrize("action", [None, "execute", "complete"])
@pytest.mark.parametrize("form_type", [None, FORM_PUSH_OPTIONS])
@pytest.mark.line(94, 95, 96, 102)
def test_a_device_registers(action: str | None, form_type: str | None) -> None:
    stage = Stage()
    attributes = {"action": action} if action else {}

    answer = execute(
        stage.client(),
        "register-push-post",
        {"token": "tok", "device-name": "Home"},
        form_type=form_type,
        **attributes,
    )

    given = result(answer)
    assert given["jid"] == (PUBSUB,)
    [node] = stage.nodes()
    assert given["node"] == (node,)
    assert len(given["secret"][0]) >= 32
    assert answer.command["sessionid"]
    assert stage.hall.events(DeviceRegistered) == [
        DeviceRegistered(JULIET, PUBSUB, node, "post", "phone", f"{JULIET}/phone")
    ]


@pytest.mark.line(94)
def test_a_form_without_a_type_is_a_submission() -> None:
    form = "<x xmlns='jabber:x:data'><field var='token'><value>tok</value></field></x>"

    assert outcome(execute(Stage().client(), "register-push-post", form=form)) == ""


@pytest.mark.line(97)
def test_a_cancelled_command_registers_nothing() -> None:
    stage = Stage()

    answer = execute(stage.client(), "register-push-post", {"token": "tok"}, action="cancel")

    assert answer.command["status"] == "canceled"
    assert stage.nodes() == []


@pytest.mark.line(103)
def test_a_session_id_is_told_back() -> None:
    answer = execute(Stage().client(), "register-push-post", {"token": "tok"}, sessionid="s1")

    assert answer.command["sessionid"] == "s1"


@pytest.mark.parametrize("node", ["register-push-apns", "register-push-POST", "register-push-"])
@pytest.mark.line(98, 101)
def test_a_provider_without_a_backend_here_is_not_found(node: str) -> None:
    assert outcome(execute(Stage().client(), node, {"token": "tok"})) == "item-not-found"


@pytest.mark.line(98)
def test_commands_are_executed_by_requests_of_type_set() -> None:
    answer = (
        Stage()
        .client()
        .ask(
            f"<iq type='get' id='c' to='{REGISTER}'>"
            "<command xmlns='http://jabber.org/protocol/commands' node='unregister-push'/></iq>"
        )
    )

    assert outcome(answer) == "bad-request"


def test_a_provider_has_several_names() -> None:
    stage = Stage()

    register(stage.client(), "mail")

    assert stage.registration(stage.nodes()[0]).type == "post"


@pytest.mark.line(99, 100)
@pytest.mark.parametrize(
    ("type", "fields", "field"),
    [
        ("post", {}, "token"),
        ("post", {"token": ""}, "token"),
        ("post", {"token": "no/token"}, "token"),
        ("post", {"token": ["a", "b"]}, "token"),
        ("post", {"token": "tok", "device-id": ["a", "b"]}, "device-id"),
        ("post", {"token": "tok", "device-name": ["a", "b"]}, "device-name"),
        ("post", {"token": "tok", "device-id": "x" * (LONGEST_NAME + 1)}, "device-id"),
        ("post", {"token": "tok", "device-name": "é" * 600}, "device-name"),
        ("post", {"token": "t" * 4_097}, "token"),
        ("post", {"token": "tok", "silent-push": ["0", "1"]}, "silent-push"),
        ("pigeon", {"token": "tok"}, "application-id"),
    ],
    ids=[
        "missing",
        "empty",
        "form of the token",
        "two tokens",
        "two devices",
        "two names",
        "long device",
        "long name",
        "long token",
        "two of an optional field",
        "missing field",
    ],
)
def test_bad_input_is_named(type: str, fields: Mapping[str, str], field: str) -> None:
    stage = Stage()

    answer = execute(stage.client(), f"register-push-{type}", fields)

    assert outcome(answer) == BAD
    assert answer.error["type"] == "modify"
    assert field in said(answer)
    assert "no/token" not in said(answer)
    assert stage.nodes() == []


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:other</value>"
            "</field><field var='token'><value>tok</value></field></x>",
            "FORM_TYPE",
        ),
        ("<x xmlns='jabber:x:data' type='cancel'/>", "cancelled"),
        ("<x xmlns='jabber:x:data' type='result'/>", "type"),
        ("<x xmlns='jabber:x:data' type='submit'><field><value>tok</value></field></x>", "name"),
    ],
)
def test_a_form_that_is_not_meant_for_this_is_refused(form: str, text: str) -> None:
    stage = Stage()

    answer = execute(stage.client(), "register-push-post", form=form)

    assert outcome(answer) == BAD
    assert text in said(answer)
    assert stage.nodes() == []


def test_what_the_provider_asks_for_is_kept() -> None:
    stage = Stage()

    node, _ = register(stage.client(), "pigeon", application_id="a.b", silent_push="1", weather="x")

    registration = stage.registration(node)
    assert registration.provider_fields() == {"application-id": "a.b", "silent-push": "1"}
    assert registration.token.reveal() == "tok"
    assert registration.backend == "pigeon"


@pytest.mark.line(104)
def test_the_resource_is_the_device_unless_one_is_named() -> None:
    stage = Stage()
    register(stage.client(PHONE))
    register(stage.client(f"{JULIET}/tablet"))
    register(stage.client(f"{JULIET}/desk"), device_id="laptop")
    register(stage.client(f"{JULIET}/car"), device_id="")

    devices = [one.device for one in stage.server.registrations.of(JULIET)]
    assert sorted(devices) == ["car", "laptop", "phone", "tablet"]


@pytest.mark.line(105, 106)
def test_a_device_that_registers_again_keeps_its_node() -> None:
    stage = Stage()
    phone = stage.client()
    first, old = register(phone, token="one", device_name="Home")
    second, new = register(phone, token="two")

    assert second == first
    assert [event.is_new for event in stage.hall.events(DeviceRegistered)] == [True, False]
    assert new != old
    assert stage.registration(first).token.reveal() == "two"
    assert stage.registration(first).device_name is None
    assert stage.publish(first, old) == ""
    assert stage.publish(first, new) == ""
    assert stage.publish(first, old) == "forbidden"


@pytest.mark.line(107)
def test_another_provider_replaces_the_earlier_registration() -> None:
    stage = Stage()
    phone = stage.client()
    register(phone, "post")
    node, _ = register(phone, "pigeon", application_id="a")

    assert stage.nodes() == [node]
    assert stage.registration(node).type == "pigeon"


@pytest.mark.line(108)
def test_a_sender_without_a_resource_names_a_device() -> None:
    stage = Stage()
    answers: list[Element] = []
    stage.hall.host.router.add_host("example.org", lambda stanza: answers.append(stanza.tree))
    for device in ("", "<field var='device-id'><value>phone</value></field>"):
        stage.hall.route(
            f"<iq type='set' id='c' from='romeo@example.org' to='{REGISTER}'>"
            "<command xmlns='http://jabber.org/protocol/commands' node='register-push-post'>"
            f"<x xmlns='jabber:x:data'><field var='token'><value>tok</value></field>{device}</x>"
            "</command></iq>"
        )

    assert [outcome(answer) for answer in answers] == [BAD, ""]
    assert "device-id" in said(answers[0])
    assert len(stage.nodes("romeo@example.org")) == 1


def test_an_app_is_named_where_there_are_several() -> None:
    stage = Stage(
        (app("one", app_name="chat"), app("two", app_name="mail", pubsub_host="push2.example.net"))
    )
    phone = stage.client()

    assert register(phone, app="mail")
    assert stage.registration(stage.nodes()[0]).app == "mail"
    for fields in ({"token": "tok"}, {"token": "tok", "app": "games"}):
        answer = execute(phone, "register-push-post", fields)
        assert outcome(answer) == BAD
        assert "app: one of chat, mail is expected" in said(answer)


@pytest.mark.parametrize(("used", "left"), [("renewed", ["a", "c"]), ("pushed", ["a", "c"])])
def test_one_device_too_many_takes_the_place_of_the_one_used_least(
    used: str, left: list[str]
) -> None:
    stage = Stage(rules=Rules(registrations_per_account=2))
    phone = stage.client()
    first, _ = register(phone, device_id="a")
    stage.hall.advance(1)
    second, secret = register(phone, device_id="b")
    register(stage.client("romeo@example.net/orchard"))
    stage.hall.advance(1)
    if used == "renewed":
        register(phone, device_id="a")
    else:
        stage.server.registrations.pushed(first, stage.hall.clock.seconds())

    register(phone, device_id="c")
    stage.hall.advance(0)

    assert [one.device for one in stage.server.registrations.of(JULIET)] == left
    assert stage.publish(second, secret) == "item-not-found"
    [event] = stage.hall.events(DeviceUnregistered)
    assert (event.node, event.by) == (second, PHONE)
    assert event.reason == "too many devices, and used least"
    [notice] = [one for one in phone.received() if one.name == "message"]
    assert notice.pubsub["node"] == second
    assert len(stage.nodes("romeo@example.net")) == 1


def test_where_less_are_allowed_than_before_a_new_device_makes_room() -> None:
    stage = Stage()
    phone = stage.client()
    for device in "abc":
        register(phone, device_id=device)
        stage.hall.advance(1)
    stage.server.rule(Rules(registrations_per_account=1))
    register(phone, device_id="a")
    assert len(stage.nodes()) == 3

    register(phone, device_id="d")
    assert [one.device for one in stage.server.registrations.of(JULIET)] == ["d"]


# The same device again, by its token.


def test_a_device_that_comes_back_by_another_resource_is_known_by_its_token() -> None:
    stage = Stage()
    node, secret = register(stage.client(), token="t0ken")
    again, newer = register(stage.client(f"{JULIET}/another"), token="t0ken")

    assert again == node
    [known] = stage.server.registrations.of(JULIET)
    assert known.device == "another"
    assert stage.publish(node, secret) == stage.publish(node, newer) == ""
    assert stage.hall.events(DeviceUnregistered) == []
    assert stage.hall.rows("SELECT device FROM registrations") == [("another",)]
    assert stage.server.registrations.of_device(JULIET, "phone") is None


def test_a_device_that_takes_the_token_of_another_is_the_only_one_left() -> None:
    stage = Stage()
    phone = stage.client()
    old, _ = register(phone, device_id="old", token="t0ken")
    node, _ = register(phone, device_id="new", token="other")

    again, _ = register(phone, device_id="new", token="t0ken")

    assert (again, stage.nodes()) == (node, [node])
    [event] = stage.hall.events(DeviceUnregistered)
    assert (event.node, event.reason) == (old, "its device is registered by another id")
    assert stage.hall.rows("SELECT node FROM registrations") == [(node,)]


def test_a_token_of_another_app_is_of_another_device() -> None:
    stage = Stage()
    phone = stage.client()
    register(phone, device_id="a", token="t0ken")
    register(phone, "pigeon", device_id="b", token="t0ken", application_id="a")

    assert len(stage.nodes()) == 2


@pytest.mark.parametrize(("shared", "left"), [(True, 1), (False, 0)])
def test_accounts_share_a_token_where_that_is_allowed(shared: bool, left: int) -> None:
    """An app with several accounts has one token; one with one account may have changed it."""
    stage = Stage(rules=Rules(shared_tokens=shared))
    node, secret = register(stage.client(), token="t0ken")
    register(stage.client("romeo@example.net/phone"), token="t0ken")
    stage.hall.advance(0)

    assert len(stage.nodes()) == left
    assert len(stage.nodes("romeo@example.net")) == 1
    assert stage.publish(node, secret) == ("" if shared else "item-not-found")
    reasons = [event.reason for event in stage.hall.events(DeviceUnregistered)]
    assert reasons == ([] if shared else ["another account has its device"])


def test_bad_input_displaces_nobody() -> None:
    stage = Stage(rules=Rules(registrations_per_account=1, shared_tokens=False))
    phone = stage.client()
    node, _ = register(phone)
    for fields in (
        {"token": "t", "device-id": "b", "device-name": "x" * (LONGEST_NAME + 1)},
        {"token": "no token", "device-id": "b"},
        {"token": "t" * 4_097, "device-id": "b"},
    ):
        assert outcome(execute(phone, "register-push-post", fields)) == BAD

    assert stage.nodes() == [node]


def test_a_registration_is_on_disk_before_it_is_answered() -> None:
    stage = Stage()
    phone = stage.client()

    phone.pass_on(
        f"<iq type='set' id='c' to='{REGISTER}'>"
        "<command xmlns='http://jabber.org/protocol/commands' node='register-push-post'>"
        "<x xmlns='jabber:x:data'><field var='token'><value>tok</value></field></x></command></iq>"
    )
    assert phone.received() == []

    stage.hall.advance(0)
    assert [answer["type"] for answer in phone.received()] == ["result"]
    assert stage.hall.rows("SELECT token FROM registrations") == [("tok",)]


# The form that is offered.


def offered(stage: Stage, type: str) -> Element:
    answer = execute(stage.client(), f"register-push-{type}")
    assert answer.command["status"] == "executing"
    form = child(answer.command, NS_FORMS, "x")
    assert form is not None
    assert form["type"] == "form"
    return form


def test_a_command_without_a_form_offers_it() -> None:
    form = offered(Stage(), "pigeon")

    fields = {
        field["var"]: (field.required is not None, field.getAttribute("label"))
        for field in form.elements()
        if field.name == "field"
    }
    assert forms.read(form).form_type == FORM_PUSH_OPTIONS
    del fields["FORM_TYPE"]
    assert list(fields) == ["application-id", "token", "silent-push", "device-id", "device-name"]
    assert [required for required, _ in fields.values()] == [True, True, False, False, False]
    assert all(label for _, label in fields.values())


def test_what_is_no_text_is_offered_as_what_it_is() -> None:
    form = forms.read(offered(Stage(), "post"))
    fields = {
        field["var"]: field for field in offered(Stage(), "post").elements("jabber:x:data", "field")
    }

    assert form.fields["silent-push"] == ("0",)
    assert fields["silent-push"]["type"] == "boolean"
    assert fields["silent-push"]["label"] == "Push silently"


def test_an_app_that_is_the_only_one_may_be_left_empty() -> None:
    assert register(Stage().client(), app="")


def test_the_form_lets_choose_among_several_apps() -> None:
    stage = Stage((app("one", app_name="chat"), app("two", app_name="mail")))

    form = offered(stage, "post")

    [field] = [one for one in form.elements() if one.getAttribute("var") == "app"]
    assert field["type"] == "list-single"
    options = [str(option.value) for option in field.elements() if option.name == "option"]
    assert options == ["chat", "mail"]


# Listing.


def rows(answer: Element) -> list[dict[str, str]]:
    form = forms.find(answer.command)
    assert form is not None
    return [{name: values[0] for name, values in item.items()} for item in form.items]


@pytest.mark.line(111)
def test_no_registrations_are_no_form() -> None:
    answer = execute(Stage().client(), "list-push-registrations")

    assert answer.command["status"] == "completed"
    assert not has_form(answer)


@pytest.mark.line(112, 113)
def test_registrations_are_listed_without_their_secrets() -> None:
    stage = Stage()
    phone = stage.client()
    node, secret = register(phone, token="t0ken", device_name="Home")
    stage.server.registrations.pushed(node, 1_700_000_060.0)
    register(phone, "pigeon", device_id="tablet", application_id="a")

    answer = execute(phone, "list-push-registrations")

    assert rows(answer) == [
        {
            "node": node,
            "device-name": "Home",
            "device-id": "phone",
            "type": "post",
            "app": "any",
            "dialect": "mod_push",
            "registered": "2023-11-14T22:13:20Z",
            "last-push": "2023-11-14T22:14:20Z",
        },
        {
            "node": stage.nodes()[1],
            "device-id": "tablet",
            "type": "pigeon",
            "app": "any",
            "dialect": "mod_push",
            "registered": "2023-11-14T22:13:20Z",
        },
    ]
    first = next(answer.command.x.elements())
    assert first.name == "reported"
    reported = [field["var"] for field in first.elements()]
    assert [name for name in reported if name != "room"] == list(rows(answer)[0])
    assert all(field["label"] for field in first.elements())
    assert "t0ken" not in answer.toXml()
    assert secret not in answer.toXml()


@pytest.mark.line(114)
def test_others_registrations_are_not_listed() -> None:
    stage = Stage()
    register(stage.client())

    assert not has_form(execute(stage.client("romeo@example.net/o"), "list-push-registrations"))


# Unregistering.


class Registered(Stage):
    """A phone and a tablet of Juliet's, and a phone of Romeo's."""

    def __init__(self) -> None:
        super().__init__()
        self.phone = self.client()
        self.node, _ = register(self.phone)
        self.tablet, _ = register(self.phone, device_id="tablet")
        self.romeo, _ = register(self.client("romeo@example.net/phone"))

    def unregister(
        self, fields: Mapping[str, str | list[str]] | None = None, resource: str = "phone"
    ) -> Element:
        client = self.phone if resource == "phone" else self.client(f"{JULIET}/{resource}")
        return execute(client, "unregister-push", fields)

    def left(self) -> set[str]:
        return {*self.nodes(), *self.nodes("romeo@example.net")}


@pytest.mark.parametrize("fields", [None, {}, {"device-id": ""}, {"nodes": []}, {"all": "0"}])
@pytest.mark.line(115)
def test_without_more_the_senders_own_device_is_unregistered(
    fields: Mapping[str, str | list[str]] | None,
) -> None:
    stage = Registered()

    answer = stage.unregister(fields)

    assert answer.command["status"] == "completed"
    assert not has_form(answer)
    assert stage.left() == {stage.tablet, stage.romeo}
    [event] = stage.hall.events(DeviceUnregistered)
    assert (event.node, event.reason) == (stage.node, "unregistered by its owner")
    assert event.by.startswith(f"{event.account}/")


@pytest.mark.line(116)
def test_a_device_is_unregistered_from_another_resource() -> None:
    stage = Registered()

    answer = stage.unregister({"device-id": "tablet"}, "desk")

    assert not has_form(answer)
    assert stage.left() == {stage.node, stage.romeo}


@pytest.mark.line(117)
def test_nodes_are_unregistered_whatever_device_is_named_besides() -> None:
    stage = Registered()

    answer = stage.unregister({"nodes": [stage.tablet], "device-id": "phone"})

    assert result(answer) == {"nodes": (stage.tablet,)}
    assert answer.command.x.field["type"] == "list-multi"
    assert stage.left() == {stage.node, stage.romeo}


@pytest.mark.line(118, 119)
def test_unknown_and_foreign_nodes_are_passed_over_alike() -> None:
    stage = Registered()

    answer = stage.unregister({"nodes": ["nowhere", stage.romeo, stage.node]})
    assert result(answer) == {"nodes": (stage.node,)}
    assert stage.left() == {stage.tablet, stage.romeo}

    unknown, foreign = (stage.unregister({"nodes": [node]}) for node in ("nowhere", stage.romeo))
    assert result(unknown) == result(foreign) == {"nodes": ()}
    assert stage.left() == {stage.tablet, stage.romeo}


@pytest.mark.parametrize("value", ["1", "true"])
def test_all_are_unregistered_at_once(value: str) -> None:
    stage = Registered()

    answer = stage.unregister({"all": value})

    assert answer.command["status"] == "completed"
    assert stage.left() == {stage.romeo}


@pytest.mark.line(120)
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"device-id": "toaster"}, "device-id"),
        (None, "device-id"),
        ({"all": "perhaps"}, "all"),
        ({"device-id": ["a", "b"]}, "device-id"),
    ],
    ids=["unknown", "own", "no boolean", "two devices"],
)
def test_nothing_to_unregister_is_a_bad_request(
    fields: Mapping[str, str | list[str]] | None, field: str
) -> None:
    stage = Registered()

    answer = stage.unregister(fields, "desk")

    assert outcome(answer) == BAD
    assert field in said(answer)
    assert len(stage.left()) == 3


def test_an_unregistration_is_on_disk_before_it_is_answered() -> None:
    stage = Registered()

    stage.phone.pass_on(
        f"<iq type='set' id='c' to='{REGISTER}'>"
        "<command xmlns='http://jabber.org/protocol/commands' node='unregister-push'/></iq>"
    )
    answers = [one for one in stage.phone.received() if one.name == "iq"]
    assert answers == []

    stage.hall.advance(0)
    assert len([one for one in stage.phone.received() if one.name == "iq"]) == 1
    assert len(stage.hall.rows("SELECT node FROM registrations")) == 2


# Who may.


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("fields", [None, {"token": "tok"}])
@pytest.mark.line(109)
def test_who_may_not_is_forbidden_every_command(
    command: str, fields: Mapping[str, str] | None
) -> None:
    stage = Stage(rules=Rules(access=("example.org",)))

    answer = execute(stage.client(), command, fields)

    assert outcome(answer) == "forbidden"
    assert answer.error["type"] == "auth"


@pytest.mark.parametrize(
    ("access", "sender", "may"),
    [
        ("all", "juliet@example.net/x", True),
        ("all", "romeo@example.org/x", True),
        ("local", "juliet@example.net/x", True),
        ("local", "romeo@example.org/x", False),
        (("example.org",), "romeo@example.org/x", True),
        (("example.org",), "romeo@a.b.example.org/x", False),
        (("a.b.example.co.uk",), "romeo@a.b.example.co.uk/x", True),
        (("a.b.example.co.uk",), "romeo@co.uk/x", False),
        ((), "juliet@example.net/x", False),
    ],
)
@pytest.mark.line(109, 110)
def test_access_is_by_the_whole_domain(
    access: str | tuple[str, ...], sender: str, may: bool
) -> None:
    stage = Stage(rules=Rules(access=access))
    stage.hall.add_account(JULIET)
    answers: list[str] = []
    host = stage.hall.host.router
    domain = sender.partition("@")[2].partition("/")[0]
    if domain == "example.net":
        assert outcome(execute(stage.client(), "list-push-registrations")) == (
            "" if may else "forbidden"
        )
        return
    host.add_host(domain, lambda stanza: answers.append(outcome(stanza.tree)))

    stage.hall.route(
        f"<iq type='set' id='c' from='{sender}' to='{REGISTER}'>"
        "<command xmlns='http://jabber.org/protocol/commands' node='list-push-registrations'/></iq>"
    )

    assert answers == ["" if may else "forbidden"]


# Discovery.

INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"
LIST = "http://jabber.org/protocol/commands"


def discover(stage: Stage, what: str, host: str = REGISTER, node: str = "") -> Element:
    of = f" node='{node}'" if node else ""
    answer = stage.client().ask(
        f"<iq type='get' id='d' to='{host}'><query xmlns='{what}'{of}/></iq>"
    )
    query: Element = answer.query
    return query


def identities(query: Element) -> list[tuple[str, str]]:
    return [(one["category"], one["type"]) for one in query.elements() if one.name == "identity"]


@pytest.mark.line(38, 39)
def test_apps_are_discovered_once_each() -> None:
    stage = Stage(
        (
            app("a", app_name="chat"),
            app("b", Pigeon(), app_name="chat"),
            app("c", app_name="mail"),
            app("d", Pigeon()),
        )
    )

    found = identities(discover(stage, INFO))

    assert sorted(type for category, type in found if category == "app-server") == [
        "any",
        "chat",
        "mail",
    ]
    assert len(found) == len(set(found))


@pytest.mark.line(42)
def test_commands_are_announced_listed_and_described() -> None:
    stage = Stage()

    features = [one["var"] for one in discover(stage, INFO).elements() if one.name == "feature"]
    assert LIST in features

    items = list(discover(stage, ITEMS, node=LIST).elements())
    assert sorted(item["node"] for item in items) == sorted(COMMANDS)
    assert {item["jid"] for item in items} == {REGISTER}
    assert all(item["name"] for item in items)

    for item in items:
        about = discover(stage, INFO, node=item["node"])
        assert identities(about) == [("automation", "command-node")]


@pytest.mark.line(109)
def test_who_may_not_register_is_not_offered_to() -> None:
    stage = Stage(rules=Rules(access=("example.org",)))
    assert not list(discover(stage, ITEMS, node=LIST).elements())
    answer = stage.client().ask(
        f"<iq type='get' id='d' to='{REGISTER}'><query xmlns='{INFO}' node='unregister-push'/></iq>"
    )
    assert outcome(answer) == "forbidden"
    assert outcome(execute(stage.client(), "unregister-push", action="cancel")) == "forbidden"

    stage.server.rule(Rules())
    assert len(list(discover(stage, ITEMS, node=LIST).elements())) == len(COMMANDS)


def test_a_register_host_is_one_of_its_own_where_no_accounts_are() -> None:
    stage = Stage((app(register_host="push.example.net", provider=Post()),))

    answer = execute(
        stage.client(), "register-push-post", {"token": "tok"}, host="push.example.net"
    )

    assert result(answer)["jid"] == ("push.example.net",)
    assert outcome(execute(stage.client(), "register-push-post", {"token": "tok"})) != ""


def test_what_is_switched_off_is_neither_announced_nor_taken() -> None:
    stage = Stage()
    phone = stage.client()
    stage.server.rule(Rules(dialects=frozenset()))

    answers = [execute(phone, node) for node in COMMANDS]
    found = identities(discover(stage, INFO))

    assert [outcome(answer) for answer in answers] == ["item-not-found"] * len(COMMANDS)
    assert not list(discover(stage, ITEMS, node=LIST).elements())
    assert "app-server" not in dict(found)
    stage.server.rule(Rules())
    assert register(stage.client())
