import pytest

from pushd.routing.commands import (
    Completed,
    Executing,
    Invocation,
    Note,
    Reply,
    bad_action,
    bad_payload,
    bad_session,
    malformed_action,
    session_expired,
)
from pushd.routing.requests import IQ
from pushd.wire import forms
from pushd.wire.element import Element, text
from pushd.wire.errors import Forbidden, StanzaError
from tests.hall import Client, Hall

NS = "http://jabber.org/protocol/commands"
INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"
HOST = "push.example.net"
FORM = "<x xmlns='jabber:x:data' type='{type}'><field var='token'><value>abc</value></field></x>"


class Stage:
    """A service with one command, which keeps what it was handed."""

    def __init__(self) -> None:
        self.hall = Hall()
        self.hall.host.router.add_service(HOST)
        self.hall.host.commands.add(HOST, "register", "Register a phone", self.handle)
        self.romeo = self.hall.login("romeo@example.net/orchard")
        self.invocations: list[Invocation] = []
        self.requests: list[IQ] = []
        self.reply: Reply | StanzaError = Completed()

    async def handle(self, request: IQ, command: Invocation) -> Reply:
        self.requests.append(request)
        self.invocations.append(command)
        await self.hall.host.database.committed()
        if isinstance(self.reply, StanzaError):
            raise self.reply
        return self.reply

    def execute(self, content: str = "", *, type: str = "set", **attributes: str) -> Element:
        written = "".join(
            f" {key}='{value}'" for key, value in {"node": "register", **attributes}.items()
        )
        return self.romeo.ask(
            f"<iq type='{type}' id='c' to='{HOST}'>"
            f"<command xmlns='{NS}'{written}>{content}</command></iq>"
        )


def conditions(answer: Element) -> list[str]:
    assert answer["type"] == "error"
    return [node.name for node in answer.error.elements() if node.name != "text"]


@pytest.mark.parametrize("action", [None, "execute", "complete"])
def test_execute_complete_and_no_action_are_alike(action: str | None) -> None:
    stage = Stage()
    attributes = {"action": action} if action else {}

    answer = stage.execute(FORM.format(type="submit"), **attributes)

    assert answer.command["status"] == "completed"
    assert answer.command["node"] == "register"
    [command] = stage.invocations
    assert command.node == "register"
    assert command.form is not None
    assert command.form.fields == {"token": ("abc",)}
    assert stage.requests[0].sender.full == "romeo@example.net/orchard"


def test_a_cancelled_command_is_not_executed() -> None:
    stage = Stage()

    answer = stage.execute(action="cancel", sessionid="s1")

    assert answer.command["status"] == "canceled"
    assert answer.command["sessionid"] == "s1"
    assert stage.invocations == []


@pytest.mark.parametrize(
    ("action", "condition"),
    [("prev", "bad-action"), ("next", "bad-action"), ("dance", "malformed-action")],
)
def test_other_actions_are_refused(action: str, condition: str) -> None:
    stage = Stage()

    assert conditions(stage.execute(action=action)) == ["bad-request", condition]
    assert stage.invocations == []


def test_a_session_id_is_made_or_told_back() -> None:
    stage = Stage()

    first = stage.execute().command["sessionid"]
    second = stage.execute().command["sessionid"]

    assert first
    assert second
    assert first != second
    assert stage.execute(sessionid="mine").command["sessionid"] == "mine"
    assert [command.session for command in stage.invocations] == [first, second, "mine"]


@pytest.mark.parametrize("action", ["execute", "cancel"])
def test_an_unknown_command_is_not_found(action: str) -> None:
    assert conditions(Stage().execute(node="dance", action=action)) == ["item-not-found"]


def test_a_command_without_a_node_is_a_bad_request() -> None:
    assert conditions(Stage().execute(node="")) == ["bad-request"]


def test_a_command_is_not_executed_by_a_get() -> None:
    stage = Stage()

    assert conditions(stage.execute(type="get")) == ["bad-request"]
    assert stage.invocations == []


def test_a_host_without_commands_knows_none() -> None:
    stage = Stage()

    answer = stage.romeo.ask(
        f"<iq type='set' id='c' to='example.net'><command xmlns='{NS}' node='register'/></iq>"
    )

    assert conditions(answer) == ["service-unavailable"]


@pytest.mark.parametrize("type", ["submit", "cancel"])
def test_a_form_that_says_cancel_counts_as_a_submission(type: str) -> None:
    stage = Stage()

    stage.execute(FORM.format(type=type))

    assert stage.invocations[0].form is not None


def test_a_command_without_a_form_is_executed_without_one() -> None:
    stage = Stage()

    stage.execute("<note xmlns='urn:other'/>")

    assert stage.invocations[0].form is None


@pytest.mark.parametrize(
    "content",
    [
        FORM.format(type="form"),
        FORM.format(type="result"),
        FORM.format(type="nonsense"),
        "<x xmlns='jabber:x:data' type='submit'><field><value>1</value></field></x>",
    ],
)
def test_a_form_that_cannot_be_read_is_a_bad_payload(content: str) -> None:
    stage = Stage()

    answer = stage.execute(content)

    assert conditions(answer) == ["bad-request", "bad-payload"]
    assert text(answer.error.text)
    assert stage.invocations == []


def test_a_form_is_offered_with_the_actions_that_are_allowed() -> None:
    stage = Stage()
    offer = forms.offer(None, "Register", "", [forms.Field("token")])
    stage.reply = Executing(offer, (Note("Fill this in."),))

    command = stage.execute().command

    assert command["status"] == "executing"
    assert [node.name for node in command.elements()] == ["actions", "x", "note"]
    assert command.actions["execute"] == "complete"
    assert [node.name for node in command.actions.elements()] == ["complete"]
    assert command.x["type"] == "form"


def test_a_result_is_given_with_its_notes() -> None:
    stage = Stage()
    notes = (Note("Done."), Note("Not all.", "warn"))
    stage.reply = Completed(forms.result(None, {"node": "n1"}), notes)

    command = stage.execute().command

    assert [node.name for node in command.elements()] == ["x", "note", "note"]
    assert [(node["type"], str(node)) for node in command.elements() if node.name == "note"] == [
        ("info", "Done."),
        ("warn", "Not all."),
    ]


@pytest.mark.parametrize(
    ("error", "type", "expected"),
    [
        (bad_action("x"), "modify", ["bad-request", "bad-action"]),
        (bad_payload("x"), "modify", ["bad-request", "bad-payload"]),
        (bad_session("x"), "modify", ["bad-request", "bad-sessionid"]),
        (malformed_action("x"), "modify", ["bad-request", "malformed-action"]),
        (session_expired("x"), "cancel", ["not-allowed", "session-expired"]),
        (Forbidden("x"), "auth", ["forbidden"]),
    ],
)
def test_a_refusal_has_the_conditions_of_its_kind(
    error: StanzaError, type: str, expected: list[str]
) -> None:
    stage = Stage()
    stage.reply = error

    answer = stage.execute()

    assert conditions(answer) == expected
    assert answer.error["type"] == type
    assert str(answer.error.text) == "x"


def discover(client: Client, what: str, node: str, to: str = HOST) -> Element:
    return client.ask(f"<iq type='get' id='d' to='{to}'><query xmlns='{what}' node='{node}'/></iq>")


def test_commands_are_discovered_one_by_one() -> None:
    stage = Stage()
    stage.hall.host.commands.add(HOST, "list", "List phones", stage.handle)

    items = discover(stage.romeo, ITEMS, NS)
    about_list = discover(stage.romeo, INFO, NS)
    about = discover(stage.romeo, INFO, "register")
    announced = stage.romeo.ask(f"<iq type='get' id='d' to='{HOST}'><query xmlns='{INFO}'/></iq>")

    assert [(one["jid"], one["node"], one["name"]) for one in items.query.elements()] == [
        (HOST, "register", "Register a phone"),
        (HOST, "list", "List phones"),
    ]
    assert about_list.query.identity["type"] == "command-list"
    assert about.query.identity.attributes == {
        "category": "automation",
        "type": "command-node",
        "name": "Register a phone",
    }
    features = [node["var"] for node in about.query.elements() if node.name == "feature"]
    assert features == [NS, "jabber:x:data"]
    assert NS in [node.getAttribute("var") for node in announced.query.elements()]


def test_a_command_claimed_twice_is_an_error_at_start() -> None:
    stage = Stage()

    with pytest.raises(ValueError, match="register"):
        stage.hall.host.commands.add(HOST, "register", "Again", stage.handle)


def test_a_served_domain_has_the_commands_of_all_domains_and_its_own() -> None:
    stage = Stage()
    commands = stage.hall.host.commands
    commands.add("server", "everywhere", "Everywhere", lambda request, command: Completed())
    commands.add("example.net", "here", "Here", lambda request, command: Completed())

    items = discover(stage.romeo, ITEMS, NS, "example.net")
    for node in ("everywhere", "here"):
        answer = stage.romeo.ask(
            f"<iq type='set' id='c' to='example.net'><command xmlns='{NS}' node='{node}'/></iq>"
        )
        assert answer.command["status"] == "completed"
    assert [one["node"] for one in items.query.elements()] == ["here", "everywhere"]
