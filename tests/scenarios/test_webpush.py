"""Push to browsers and to apps of UnifiedPush, over real sockets, read by a stand-in for both."""

import json
import queue
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pushd.providers.vapid import Keys
from pushd.wire import forms
from pushd.wire.element import Element, child, element
from pushd.wire.namespaces import NS_COMMANDS, NS_FORMS
from pushd.wire.secret import Secret
from tests.patience import PATIENCE
from tests.scenarios.house import DOMAIN, FOREIGN
from tests.scenarios.peers import Phone
from tests.scenarios.reading import condition, fields_of, secret_form, succeeded, words
from tests.scenarios.standins import HouseOfNetworks, Node, started
from tests.unit.providers.bench import pem
from tests.unit.providers.browser import Browser, claims_of

SUB = "mailto:admin@example.net"


class WebHouse(HouseOfNetworks):
    networks = ("webpush",)
    vapid_key: Path | None = None
    secrets: ClassVar[list[str]] = []  # of all subscriptions

    def configure(self, **sections: Any) -> None:
        super().configure(log={"level": "debug"}, **sections)

    def backends(self) -> list[dict[str, Any]]:
        given: dict[str, Any] = {"sub": SUB}
        if self.vapid_key is not None:
            given["vapid_key"] = str(self.vapid_key)
        return [
            self.backend("webpush", **given),
            self.backend("webpush", **given, type="unifiedpush", base_url=None, allow_private=True),
            self.backend("webpush", **given, base_url=None, app_name="strict"),
        ]

    def key(self, command: str = "register-push-unifiedpush") -> str:
        """The key that a form shows."""
        shown = child(self.friend().command(command), NS_COMMANDS, "command")
        assert shown is not None
        form = child(shown, NS_FORMS, "x")
        assert form is not None
        return forms.read(form).fields["vapid"][0]

    def subscription(self, service: str, vapid: str = "") -> dict[str, str]:
        """What a browser, or a connector, gives to its app."""
        bound = {"vapid": vapid} if vapid else {}
        made = self.tell("webpush", "/subscriptions", {"service": service, **bound})
        given = {name: made[name] for name in ("endpoint", "p256dh", "auth")}
        self.secrets.extend([*list(given.values())[1:], made["endpoint"].rpartition("/")[2]])
        return given

    def subscriber(self, service: str = "mozilla", vapid: str = "", **fields: str) -> Node:
        """A new device of a user of another server."""
        sub = self.subscription(service, vapid or self.key()) | fields
        self._made = getattr(self, "_made", 0) + 1
        owner = f"eve-{self._made}@{FOREIGN}"
        asked = element(
            NS_COMMANDS, "command", forms.submit(None, sub), node="register-push-unifiedpush"
        )
        made = fields_of(self.service().ask_as(f"{owner}/phone", DOMAIN, asked))
        return Node(sub["endpoint"], made["node"], made["secret"], owner)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebHouse]:
    yield from started(WebHouse(tmp_path_factory.mktemp("web")))


def register(phone: Phone, command: str, **fields: str) -> Element:
    return phone.command(command, forms.submit(None, fields))


@pytest.mark.parametrize(
    ("service", "command", "more"),
    [
        ("mozilla", "register-push-mozilla", {"app": "any"}),
        ("google", "register-push-webpush", {"app": "any"}),
        ("apple", "register-push-webpush", {"app": "any"}),
        ("ntfy", "register-push-unifiedpush", {}),
    ],
)
def test_a_message_to_a_sleeping_browser_arrives_and_is_for_its_eyes_alone(
    house: WebHouse, service: str, command: str, more: Mapping[str, str]
) -> None:
    phone = house.phone()
    key = house.key(command)
    sub = house.subscription(service, key)
    given = fields_of(register(phone, command, **sub, **more, vapid=key))
    succeeded(phone.enable(given["jid"], given["node"], secret_form(given["secret"])))
    phone.cut()

    house.friend().message(phone.account, "But soft, what light")

    [push] = house.arrived("webpush", sub["endpoint"])
    assert (push["error"], push["authorized_by"], push["claims"]["sub"]) == ("", key, SUB)
    assert push["message"] == {"node": given["node"], "message-count": 1}
    assert (push["urgency"], push["size"], len(push["topic"])) == ("high", 358, 32)
    assert phone.resume().name == "resumed"
    phone.hear("But soft, what light")


def test_a_subscription_that_is_gone_is_forgotten_and_its_owner_told(house: WebHouse) -> None:
    phone = house.phone()
    sub = house.subscription("mozilla", house.key())
    given = fields_of(register(phone, "register-push-unifiedpush", **sub))
    succeeded(phone.enable(given["jid"], given["node"], secret_form(given["secret"])))
    house.tell("webpush", "/states", {"token": sub["endpoint"], "is": "gone"})
    phone.cut()

    house.friend().message(phone.account, "one")

    house.event("device-unregistered", account=phone.account)
    house.event("push-disabled", account=phone.account)
    assert phone.resume().name == "resumed"
    listed = phone.command("list-push-registrations")
    assert child(child(listed, NS_COMMANDS, "command") or listed, NS_FORMS, "x") is None


@pytest.mark.parametrize("service", ["mozilla", "google", "apple"])
def test_a_subscription_for_another_key_is_forgotten(house: WebHouse, service: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    to = house.subscriber(service, Keys([key]).current)
    succeeded(house.publish(to))
    house.event("device-unregistered", account=to.owner)
    assert condition(house.publish(to)) == "item-not-found"


def test_a_server_that_has_nobody_listening_ends_nothing(house: WebHouse) -> None:
    to = house.subscriber("ntfy")
    house.answer_with("webpush", to.token, {"error": "no-subscriber"})
    succeeded(house.publish(to))
    house.arrived("webpush", to.token)
    succeeded(house.publish(to))
    assert house.events("device-unregistered", account=to.owner) == []


@pytest.mark.parametrize("fault", ["moved", "redirect", "redirect-for-ever"])
def test_nothing_is_sent_where_a_redirect_points(house: WebHouse, fault: str) -> None:
    to = house.subscriber()
    house.answer_with("webpush", to.token, {"error": fault})
    succeeded(house.publish(to))
    house.event("push-settled", node=_digest(to.node), outcome="refused")
    assert len(house.arrived("webpush", to.token)) == 1
    assert house.tell("webpush", f"/requests?token={to.token}-moved")["requests"] == []


def test_a_signature_that_is_not_taken_is_made_anew_once(house: WebHouse) -> None:
    to = house.subscriber()
    house.answer_with("webpush", to.token, {"error": "unauthorized"})
    succeeded(house.publish(to, 3))
    first, second = house.arrived("webpush", to.token, 2)
    assert (first["error"], second["status"]) == ("unauthorized", 201)
    assert second["message"]["message-count"] == 3


class Receiver:
    """A push server of somebody's own, on this machine, by plain HTTP/1.1."""

    def __init__(self) -> None:
        self.came: queue.Queue[tuple[str, Mapping[str, str], bytes]] = queue.Queue()
        came = self.came

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                came.put((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(202)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_a_receiver_at_home_is_pushed_to_where_that_is_allowed(house: WebHouse) -> None:
    receiver, browser = Receiver(), Browser()
    try:
        endpoint = f"{receiver.origin}/up?token=a%2fb"
        owner, fields = f"home@{FOREIGN}", browser.fields(endpoint)
        asked = element(
            NS_COMMANDS, "command", forms.submit(None, fields), node="register-push-unifiedpush"
        )
        made = fields_of(house.service().ask_as(f"{owner}/phone", DOMAIN, asked))
        succeeded(house.publish(Node(endpoint, made["node"], made["secret"], owner), 5))
        path, headers, body = receiver.came.get(timeout=PATIENCE)
    finally:
        receiver.close()
    assert path == "/up?token=a%2fb"
    assert json.loads(browser.read(body)) == {"node": made["node"], "message-count": 5}
    claims, _ = claims_of(headers["authorization"], receiver.origin, time.time())
    assert claims["sub"] == SUB
    assert (headers["ttl"], headers["content-encoding"]) == ("86400", "aes128gcm")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("endpoint", "http://push.example.org/x"),
        ("endpoint", "https://10.0.0.1/x"),
        ("endpoint", "https://2130706433/x"),
        ("endpoint", "https://localhost/x"),
        ("endpoint", "https://user@push.example.org/x"),
        ("p256dh", "AAAA"),
        ("auth", "AAAA"),
        ("vapid", "AAAA"),
    ],
)
def test_what_is_no_subscription_is_refused_by_its_field(
    house: WebHouse, field: str, value: str
) -> None:
    good = house.subscription("mozilla") | {"endpoint": "https://push.example.org/x"}
    fields = good | {"app": "strict", field: value}
    refused = register(house.friend(), "register-push-webpush", **fields)
    assert condition(refused) == "bad-request"
    assert words(refused).startswith(f"{field}:")
    assert value not in words(refused)


def test_the_house_itself_is_reached_by_no_endpoint(house: WebHouse) -> None:
    """The stand-in is at this machine: where the operator named neither it, nor let it be."""
    sub = house.subscription("mozilla")
    refused = register(house.friend(), "register-push-webpush", **sub, app="strict")
    assert (condition(refused), words(refused)) == (
        "bad-request",
        "endpoint: its host is not served here",
    )


@pytest.mark.mistake(18)
def test_a_subscription_outlives_a_kill_and_another_key(house: WebHouse, tmp_path: Path) -> None:
    before = house.key()
    old = house.subscriber("mozilla", before)

    house.restart(signal.SIGKILL)

    assert house.key() == before
    succeeded(house.publish(old))
    [push] = house.arrived("webpush", old.token)
    assert (push["status"], push["authorized_by"]) == (201, before)

    house.vapid_key = tmp_path / "vapid.pem"
    house.vapid_key.write_text(pem(ec.generate_private_key(ec.SECP256R1())))
    house.configure()
    house.operate("reload")

    after = house.key()
    assert after != before
    new = house.subscriber("mozilla", after)
    for to, key in ((old, before), (new, after)):
        succeeded(house.publish(to))
        push = house.arrived("webpush", to.token, 2 if to is old else 1)[-1]
        assert (push["status"], push["authorized_by"]) == (201, key)


def _digest(node: str) -> str:
    return Secret(node).digest


def test_no_secret_of_a_subscription_is_told_to_anybody(house: WebHouse) -> None:
    """The log at its most talkative, events, and what the operator sees, after all before."""
    to = house.subscriber()
    house.answer_with("webpush", to.token, {"error": "unauthorized", "body": to.token})
    succeeded(house.publish(to))
    house.arrived("webpush", to.token, 2)
    keys = house.vapid_key.read_text().splitlines()[1:-1] if house.vapid_key else []
    told = house.events_file.read_text()
    told += "".join(run.out + run.err for run in house.operator.runs)
    for view in ("push-registrations", "push-queue", "status"):
        told += json.dumps(house.operate(view))
    probed = house.operate("push-probe", backend="unifiedpush")  # whose hosts nobody knows
    assert probed["ok"] is True, probed
    told += json.dumps(probed)
    told += json.dumps(house.operate("push-ledger", account=house.friend().account))
    assert "https://127.0.0.1" in told  # a host is no secret
    for secret in [*house.secrets, *keys]:
        assert secret not in told
