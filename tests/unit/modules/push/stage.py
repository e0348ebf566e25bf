"""Juliet's phone, which goes to sleep, and a push service of another make that hears of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pushd.modules.push.module import Push, PushOptions
from pushd.modules.push.options import Told
from pushd.routing.delivery import QueueLimits
from pushd.routing.events import ServerStarted
from pushd.wire import forms
from pushd.wire.element import Element, child, element
from pushd.wire.namespaces import FORM_PUBLISH_OPTIONS, FORM_PUSH_OPTIONS, NS_PUBSUB, NS_PUSH
from pushd.wire.stanza import Stanza
from tests.hall import Client, Hall

ALL = Told(include_senders=True, include_message_bodies=True)
JULIET = "juliet@example.net"
PHONE = f"{JULIET}/phone"
SERVICE = "push.example.org"
HOUR = 3600.0

Answer = Callable[[Stanza], str | None]  # the content of an answer; None is silence


def accepted(publish: Stanza) -> str:
    return ""


def silence(publish: Stanza) -> None:
    return None


def refused(condition: str, type: str) -> Answer:
    return lambda publish: (
        f"<error type='{type}'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    )


class Service:
    """A push service: keeps what is published to it, and answers each as `answer` says."""

    def __init__(self, hall: Hall, domain: str = SERVICE) -> None:
        self.domain = domain
        self.answer: Answer = accepted
        self.publishes: list[Stanza] = []
        self._hall = hall
        hall.host.router.add_host(domain, self._receive)

    def _receive(self, stanza: Stanza) -> None:
        assert (stanza.name, stanza.type) == ("iq", "set"), stanza
        self.publishes.append(stanza)
        content = self.answer(stanza)
        if content is not None:
            self.reply(stanza, content)

    def reply(self, publish: Stanza, content: str = "") -> None:
        """Answer a publish, with an error if the content is one."""
        type = "error" if content.startswith("<error") else "result"
        self._hall.route(
            f"<iq type='{type}' id='{publish.id}' from='{self.domain}'"
            f" to='{publish.attributes['from']}'>{content}</iq>"
        )

    def notice(self, content: str, to: str = JULIET, sender: str = "") -> None:
        self._hall.route(
            f"<message from='{sender or self.domain}' to='{to}'>"
            f"<pubsub xmlns='{NS_PUBSUB}'{content}</pubsub></message>"
        )

    @property
    def counts(self) -> list[str | None]:
        """The message counts that were published, in order."""
        return [summary(publish).get("message-count") for publish in self.publishes]


class Stage:
    """A hall with push; `told` is what pushes tell where the account does not say.

    Publishes that follow closely are not gathered, unless `coalesce` says so.
    """

    def __init__(
        self,
        told: Told = ALL,
        path: Path | str = ":memory:",
        resume_timeout: float = 300.0,
        limits: QueueLimits | None = None,
        **options: Any,
    ) -> None:
        modules = {
            **dict.fromkeys(
                (
                    "roster",
                    "subscriptions",
                    "presence",
                    "offline",
                    "carbons",
                    "blocking",
                    "client_state",
                )
            ),
            "push": PushOptions(told=told, **{"coalesce": 0.0, **options}),
        }
        self.hall = Hall(modules=modules, path=path, resume_timeout=resume_timeout, limits=limits)
        self.service = Service(self.hall)
        (self.push,) = (module for module in self.hall.modules if isinstance(module, Push))
        self.hall.host.events.emit(ServerStarted())
        self.hall.advance(0)

    def phone(self, resource: str = "phone", *, enabled: bool = True, sm: bool = True) -> Client:
        """A phone of Juliet's, which has push enabled, and looks at nothing it is sent."""
        phone = self.hall.login(f"{JULIET}/{resource}", sm=sm)
        if enabled:
            assert enable(phone, node=resource)["type"] == "result"
        phone.acknowledge()
        phone.received()
        return phone

    def asleep(self, resource: str = "phone") -> Client:
        phone = self.phone(resource)
        phone.cut()
        return phone

    def write(
        self,
        text: str = "hi",
        to: str = JULIET,
        sender: str = "romeo@example.org/orchard",
        content: str = "",
    ) -> None:
        """Romeo, who is at home elsewhere, writes to Juliet."""
        content = content or f"<body>{text}</body>"
        self.hall.route(f"<message from='{sender}' to='{to}' type='chat'>{content}</message>")

    def overdue(self, phone: Client) -> None:
        """Half a minute passes in which the phone says nothing: its stream's watch has noticed."""
        self.hall.advance(30)
        self.hall.host.delivery.overdue(phone.session)
        self.hall.advance(0)

    def nodes(self) -> list[str]:
        """Where Juliet has push enabled."""
        return sorted(one.node for one in self.push.enablements.of(JULIET))


def ask(client: Client, content: str, *, type: str = "set", to: str = "") -> Element:
    addressee = f" to='{to}'" if to else ""
    return client.ask(f"<iq type='{type}' id='push'{addressee}>{content}</iq>")


def enable(
    client: Client,
    content: str = "",
    *,
    service: str = SERVICE,
    node: str | None = "phone",
    to: str = "",
) -> Element:
    return ask(client, enabling("enable", service, node, content), to=to)


def disable(client: Client, *, service: str = SERVICE, node: str | None = "phone") -> Element:
    return ask(client, enabling("disable", service, node))


def enabling(name: str, service: str | None, node: str | None, content: str = "") -> str:
    at = "" if service is None else f" jid='{service}'"
    of = "" if node is None else f" node='{node}'"
    return f"<{name} xmlns='{NS_PUSH}'{at}{of}>{content}</{name}>"


def options(type: str = "submit", **switches: str) -> str:
    return _form(FORM_PUSH_OPTIONS, type, {k.replace("_", "-"): [v] for k, v in switches.items()})


def publish_options(type: str = "submit", **fields: str) -> str:
    return _form(FORM_PUBLISH_OPTIONS, type, {name: [value] for name, value in fields.items()})


def _form(form_type: str, type: str, fields: dict[str, list[str]]) -> str:
    written = "".join(
        f"<field var='{name}'>{''.join(f'<value>{value}</value>' for value in values)}</field>"
        for name, values in {"FORM_TYPE": [form_type], **fields}.items()
    )
    kind = f" type='{type}'" if type else ""
    return f"<x xmlns='jabber:x:data'{kind}>{written}</x>"


def condition(answer: Element) -> str:
    """The condition of an error; "" for a result."""
    if answer["type"] == "result":
        return ""
    names = [node.name for node in answer.error.elements() if node.name != "text"]
    return str(names[0])


def echoed(answer: Element) -> dict[str, str]:
    """The options that the result of an enabling tells."""
    if answer.enable is None:
        return {}
    form = forms.find(answer.enable, FORM_PUSH_OPTIONS)
    assert form is not None
    return {name: value for name, (value,) in form.fields.items()}


def notification(publish: Stanza) -> Element:
    """The payload of a publish, through everything that is around it."""
    found = publish.tree
    for namespace, name in (
        (NS_PUBSUB, "pubsub"),
        (NS_PUBSUB, "publish"),
        (NS_PUBSUB, "item"),
        (NS_PUSH, "notification"),
    ):
        inner = child(found, namespace, name)
        assert inner is not None, name
        found = inner
    return found


def summary(publish: Stanza) -> dict[str, str]:
    form = forms.find(notification(publish))
    assert form is not None
    return {name: value for name, (value,) in form.fields.items()}


def given_options(publish: Stanza) -> forms.Form | None:
    """The publish-options of a publish."""
    pubsub = child(publish.tree, NS_PUBSUB, "pubsub") or element("", "none")
    wrapper = child(pubsub, NS_PUBSUB, "publish-options")
    return None if wrapper is None else forms.find(wrapper)
