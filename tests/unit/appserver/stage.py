"""An app server with two make-believe providers, and a dispatcher that answers when told to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred

from pushd.appserver.apps import App
from pushd.appserver.limits import Rules
from pushd.appserver.registrations import Registration
from pushd.appserver.service import AppServer
from pushd.providers import contract
from pushd.providers.attempts import Result
from pushd.providers.dispatch import Dispatcher
from pushd.routing.requests import Refusal
from pushd.wire import forms
from pushd.wire.element import Element, child, element, parse, serialize
from pushd.wire.jid import parse as address
from pushd.wire.namespaces import (
    FORM_PUBLISH_OPTIONS,
    FORM_PUSH_SUMMARY,
    NS_COMMANDS,
    NS_FORMS,
    NS_PUBSUB,
    NS_PUSH,
)
from tests.hall import Client, Hall

JULIET = "juliet@example.net"
PHONE = f"{JULIET}/phone"
REGISTER, PUBSUB = "example.net", "push.example.net"


class Post(contract.Provider):
    """Takes what looks like a token of its own, and says by HTTP statuses what became of it."""

    type = "post"
    aliases = frozenset({"mail"})
    register_fields = frozenset({"token"})
    optional_fields = frozenset({"silent-push"})

    def __init__(self, options: Any = None) -> None:
        pass

    def check(self, fields: Mapping[str, str]) -> None:
        super().check(fields)
        if not fields["token"].isalnum():
            raise contract.BadField("token", "has characters that no token has")

    def request(
        self,
        note: contract.Notification,
        device: contract.Device,
        now: float,
        sending: contract.Sending,
    ) -> contract.Request:
        return contract.Request(
            "https://provider.example/send", json={"to": device.token.reveal(), **note.summary()}
        )

    def outcome(self, response: contract.Response, now: float) -> contract.Outcome:
        if response.status == 410:
            return contract.Unregistered()
        return contract.Accepted() if response.status == 200 else contract.by_status(response, now)


class Pigeon(Post):
    """Another, which wants to know more."""

    type = "pigeon"
    aliases = frozenset()
    register_fields = frozenset({"token", "application-id"})


@dataclass
class Call:
    """One push that the dispatcher was asked for."""

    backend: str
    latest: Callable[[], contract.Notification | None]
    device: Callable[[], contract.Device | None]
    lost: Callable[[contract.Device, str, str], None]
    result: Deferred[Result] = field(default_factory=Deferred)

    def look(self) -> tuple[contract.Notification, contract.Device]:
        """What a dispatcher sees right before a request."""
        note, device = self.latest(), self.device()
        assert note is not None
        assert device is not None
        return note, device

    def answer(self, result: Result) -> None:
        self.result.callback(result)


class FakeDispatcher:
    def __init__(self, backends: Sequence[str]) -> None:
        self.backends = frozenset(backends)
        self.calls: list[Call] = []
        self.hurried: list[str] = []

    def hurry(self, backend: str, latest: Callable[[], object]) -> None:
        self.hurried.append(backend)

    def leads_anywhere(self, backend: str) -> bool:
        return False

    def lane(self, backend: str, device: contract.Device) -> str:
        return Post().lane(device)

    async def push(
        self,
        backend: str,
        latest: Callable[[], contract.Notification | None],
        device: Callable[[], contract.Device | None],
        lost: Callable[[contract.Device, str, str], None],
    ) -> Result:
        call = Call(backend, latest, device, lost)
        self.calls.append(call)
        return await call.result


def app(
    name: str = "post",
    provider: contract.Provider | None = None,
    register_host: str = REGISTER,
    pubsub_host: str = PUBSUB,
    app_name: str = "any",
) -> App:
    return App(name, provider or Post(), register_host, pubsub_host, app_name)


BOTH = (app("post", Post()), app("pigeon", Pigeon()))


class Stage:
    """A server with Juliet's phone; `dispatcher` may be a real one."""

    def __init__(
        self,
        apps: Sequence[App] = BOTH,
        rules: Rules | None = None,
        domains: tuple[str, ...] = ("example.net",),
        modules: Mapping[str, Any] | None = None,
        path: Path | str = ":memory:",
        dispatcher: Callable[[Hall], Dispatcher] | None = None,
    ) -> None:
        self.hall = Hall(domains=domains, modules=modules or {"offline": None}, path=path)
        self.fake = FakeDispatcher([one.name for one in apps])
        used = dispatcher(self.hall) if dispatcher is not None else cast(Dispatcher, self.fake)
        self.server = AppServer(self.hall.host, apps, used, rules or Rules())
        self.hall.wait(self.server.load())
        self.server.start()

    @property
    def calls(self) -> list[Call]:
        return self.fake.calls

    def client(self, address: str = PHONE) -> Client:
        return self.hall.login(address)

    def registration(self, node: str) -> Registration:
        found = self.server.registrations.get(node)
        assert found is not None
        return found

    def nodes(self, account: str = JULIET) -> list[str]:
        return [one.node for one in self.server.registrations.of(account)]

    def publish(
        self, node: str, secret: str | None, *, sender: str = REGISTER, **given: Any
    ) -> str:
        """Publish from any address without a session; the condition of the answer, or ""."""
        payload = parse(publishing(node, secret, **given).encode())
        router = self.hall.host.router
        domain = address(sender).domain
        if router.is_reachable(domain):
            answer = self.hall.wait(self.hall.host.requests.ask(PUBSUB, sender, payload))
            return answer.condition if isinstance(answer, Refusal) else ""
        answers: list[Element] = []
        router.add_host(domain, lambda stanza: answers.append(stanza.tree))
        self.hall.route(
            f"<iq type='set' id='p' from='{sender}' to='{PUBSUB}'>"
            f"{serialize(payload).decode()}</iq>"
        )
        router.remove_host(domain)
        return outcome(answers[0])


def publishing(
    node: str | None,
    secret: str | None,
    *,
    summary: Mapping[str, str] | None = None,
    items: str | None = None,
    options: str | None = None,
) -> str:
    """The `<pubsub/>` of a publish."""
    if items is None:
        items = f"<item>{notification(summary or {})}</item>"
    if options is None:
        form = forms.submit(FORM_PUBLISH_OPTIONS, {"secret": secret or ""})
        given = serialize(element(NS_PUBSUB, "publish-options", form)).decode()
        options = given if secret is not None else ""
    at = "" if node is None else f" node='{node}'"
    return f"<pubsub xmlns='{NS_PUBSUB}'><publish{at}>{items}</publish>{options}</pubsub>"


def notification(summary: Mapping[str, str], more: str = "") -> str:
    form = serialize(forms.submit(FORM_PUSH_SUMMARY, summary)).decode()
    return f"<notification xmlns='{NS_PUSH}'>{form}{more}</notification>"


def execute(
    client: Client,
    node: str,
    fields: Mapping[str, str | Sequence[str]] | None = None,
    *,
    host: str = REGISTER,
    form_type: str | None = None,
    form: str | None = None,
    **attributes: str,
) -> Element:
    """Execute a command, with a form if there are fields."""
    if form is None:
        form = "" if fields is None else serialize(forms.submit(form_type, fields)).decode()
    written = "".join(f" {name}='{value}'" for name, value in attributes.items())
    return client.ask(
        f"<iq type='set' id='c' to='{host}'>"
        f"<command xmlns='{NS_COMMANDS}' node='{node}'{written}>{form}</command></iq>"
    )


def register(client: Client, type: str = "post", **fields: str) -> tuple[str, str]:
    """Register a device: its node and secret. Each has a token of its own; the phone's is "tok"."""
    device = fields.get("device_id") or client.session.full.rpartition("/")[2]
    token = "tok" if device == "phone" else f"tok{device}"
    given = {name.replace("_", "-"): value for name, value in {"token": token, **fields}.items()}
    values = result(execute(client, f"register-push-{type}", given))
    return values["node"][0], values["secret"][0]


def result(answer: Element) -> Mapping[str, tuple[str, ...]]:
    """The fields of the form that a completed command gives."""
    assert answer["type"] == "result", answer.toXml()
    command = child(answer, NS_COMMANDS, "command")
    assert command is not None
    assert command["status"] == "completed"
    found = forms.find(command)
    assert found is not None
    assert found.type == "result"
    return found.fields


def has_form(answer: Element) -> bool:
    return child(answer.command, NS_FORMS, "x") is not None


def outcome(answer: Element) -> str:
    """ "" for a result, else the condition and the one of the application."""
    if answer["type"] == "result":
        return ""
    names = [node.name for node in answer.error.elements() if node.name != "text"]
    return " ".join(names)


def said(answer: Element) -> str:
    """The text of an error."""
    return str(answer.error.text or "")
