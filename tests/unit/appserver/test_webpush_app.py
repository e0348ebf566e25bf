"""An app for browsers: from the form with our key to a push that the browser can read."""

import json
from typing import Any

import pytest
from twisted.internet.defer import succeed

from pushd.providers.contract import Failed, Fault, Provider, Request, Response
from pushd.providers.dispatch import Dispatcher
from pushd.providers.unifiedpush import UnifiedPush
from pushd.providers.webpush import Options, WebPush
from pushd.wire import forms
from pushd.wire.element import Element, child
from pushd.wire.namespaces import NS_COMMANDS, NS_FORMS
from tests.unit.appserver.stage import (
    Stage,
    app,
    execute,
    outcome,
    result,
    said,
)
from tests.unit.providers.browser import Browser, b64, claims_of

ENDPOINT = "https://push.example.org/wpush/v2/gAAAAABl"
BROWSER = Browser(5)
FIELDS = BROWSER.fields(ENDPOINT)


def provider(kind: type[Provider] = WebPush, secret: int = 0) -> Provider:
    made = kind(Options("mailto:admin@example.net"))
    made.keep(bytes([secret] * 32))
    return made


class Service:
    """A stage with a real dispatcher, and a push service that answers with `status`."""

    def __init__(self, *apps: Any) -> None:
        self.asked: list[Request] = []
        self.status = 201
        self.apps = apps or (app("webpush", provider()),)

        def dispatcher(hall: Any) -> Dispatcher:
            made = Dispatcher(hall.clock, self)
            for one in self.apps:
                made.add(one.name, one.provider)
            return made

        self.stage = Stage(self.apps, dispatcher=dispatcher)
        self.phone = self.stage.client()

    def send(self, request: Request, timeout: float) -> Any:
        self.asked.append(request)
        answer = Response(self.status) if self.status else Failed(Fault.UNREACHABLE, "x")
        return succeed(answer)

    def register(self, command: str = "register-push-webpush", **changes: str) -> Any:
        return result(execute(self.phone, command, FIELDS | changes))

    def publish(self, node: str, secret: str) -> str:
        answer = self.stage.publish(node, secret, summary={"message-count": "2"})
        self.stage.hall.advance(0)
        return answer


def offered(stage: Stage, node: str = "register-push-webpush") -> dict[str, Element]:
    command = child(execute(stage.client(), node), NS_COMMANDS, "command")
    assert command is not None
    form = child(command, NS_FORMS, "x")
    assert form is not None
    return {field["var"]: field for field in form.elements() if field.name == "field"}


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        (WebPush, "register-push-webpush"),
        (WebPush, "register-push-mozilla"),
        (UnifiedPush, "register-push-unifiedpush"),
    ],
)
def test_the_form_shows_our_key_as_a_fixed_field(kind: type[Provider], command: str) -> None:
    made = provider(kind)
    fields = offered(Stage((app("a", made),)), command)
    assert {name for name, field in fields.items() if field.getAttribute("type") == "text-single"}
    assert {"endpoint", "p256dh", "auth", "vapid"} < fields.keys()
    assert fields["vapid"]["type"] == "fixed"
    assert str(fields["vapid"].value) == made.shown()["vapid"]


def test_apps_with_keys_of_their_own_show_each() -> None:
    apps = tuple(
        app(f"webpush/{name}", provider(secret=number), app_name=name)
        for number, name in enumerate(("one", "two"))
    )
    fields = offered(Stage(apps))
    assert "vapid" not in fields
    for one in apps:
        shown = str(fields[f"vapid-{one.app_name}"].value)
        assert shown == one.provider.shown()["vapid"]
    same = tuple(app(f"webpush/{name}", provider(), app_name=name) for name in ("one", "two"))
    assert "vapid" in offered(Stage(same))


@pytest.mark.parametrize("echoes", [True, False])
def test_a_browser_that_registers_is_pushed_to_and_can_read_it(echoes: bool) -> None:
    service = Service()
    shown = service.apps[0].provider.shown()["vapid"]
    given = service.register(**({"vapid": shown} if echoes else {}))
    assert given.keys() == {"jid", "node", "secret"}
    node = given["node"][0]
    kept = service.stage.registration(node)
    assert kept.token.reveal() == ENDPOINT
    assert kept.provider_fields() == {
        "p256dh": FIELDS["p256dh"],
        "auth": FIELDS["auth"],
        "vapid": shown,
    }
    assert service.publish(node, given["secret"][0]) == ""
    [request] = service.asked
    assert json.loads(BROWSER.read(request.body)) == {"node": node, "message-count": 2}
    now = service.stage.hall.clock.seconds()
    claims, key = claims_of(request.headers["authorization"], "https://push.example.org", now)
    assert key == shown
    assert claims["sub"] == "mailto:admin@example.net"


def test_a_subscription_that_is_gone_is_forgotten_and_the_account_told() -> None:
    service = Service()
    given = service.register()
    service.status = 410
    service.phone.received()
    service.publish(given["node"][0], given["secret"][0])
    assert service.stage.nodes() == []
    (told,) = [one for one in service.phone.received() if one.name == "message"]
    assert "affiliation='none'" in told.toXml()
    assert service.publish(given["node"][0], given["secret"][0]) == "item-not-found"


def test_another_subscription_of_the_same_device_takes_the_place_of_the_first() -> None:
    service = Service()
    first = service.register()
    second = service.register(endpoint=f"{ENDPOINT}2")
    assert first["node"] == second["node"]
    [node] = service.stage.nodes()
    assert service.stage.registration(node).token.reveal() == f"{ENDPOINT}2"


def test_a_subscription_keeps_its_key_when_it_is_registered_again_after_another_key_came() -> None:
    service = Service()
    old, new = (provider(secret=number).shown()["vapid"] for number in (0, 1))
    service.register()
    service.stage.server.renew("webpush", provider(secret=1))
    for changes, key in (({}, old), ({"vapid": new}, new), ({}, new)):
        service.register(**changes)
        [node] = service.stage.nodes()
        assert service.stage.registration(node).provider_fields()["vapid"] == key
    service.stage.server.renew("webpush", provider(secret=0))
    service.register(endpoint=f"{ENDPOINT}2")  # it is another one
    [node] = service.stage.nodes()
    assert service.stage.registration(node).provider_fields()["vapid"] == old


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("endpoint", ""),
        ("endpoint", "http://push.example.org/"),
        ("endpoint", "https://127.0.0.1/x"),
        ("endpoint", "https://10.0.0.1/x"),
        ("endpoint", ENDPOINT + "x" * 1000),
        ("p256dh", ""),
        ("p256dh", b64(b"\x04" + bytes(64))),
        ("auth", ""),
        ("auth", b64(bytes(15))),
        ("vapid", b64(Browser(6).public)),
    ],
)
@pytest.mark.parametrize("command", ["register-push-webpush", "register-push-mozilla"])
def test_what_is_no_subscription_is_refused_by_its_field(
    field: str, value: str, command: str
) -> None:
    service = Service()
    answer = execute(service.phone, command, FIELDS | {field: value})
    assert outcome(answer).startswith("bad-request")
    assert said(answer).startswith(f"{field}:")
    assert not value or value not in said(answer)
    assert service.stage.nodes() == []


def test_simplepush_is_answered_with_what_a_subscription_is() -> None:
    answer = execute(Service().phone, "register-push-mozilla", {"token": "https://x.example/y"})
    assert outcome(answer).startswith("bad-request")
    assert said(answer) == "endpoint: is missing or empty"


def test_a_submitted_form_may_have_all_that_was_offered() -> None:
    service = Service()
    form = forms.submit(None, FIELDS | {"vapid": service.apps[0].provider.shown()["vapid"]})
    for node in form.children:
        node.attributes["type"] = "fixed"
    from pushd.wire.element import serialize

    answer = execute(service.phone, "register-push-webpush", form=serialize(form).decode())
    assert result(answer)["node"]
