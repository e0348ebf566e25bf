"""The examples of docs/privacy.rst, made by the code that sends them: `python -m tests.examples`.

Each stands in the page behind a comment `.. example: NAME`. What is random is shown as a word
in capital letters. Long ones are broken into lines, which are indented; `joined` undoes that.
The names of columns are written, too; a new table needs words of its own.
"""

import base64
import json
import re
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qs

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from pushd.appserver.service import notice
from pushd.modules.push.options import Told
from pushd.net.client import Client
from pushd.net.http11 import HTTP11Agent
from pushd.providers import apns, contract, fcm, ubuntu, unifiedpush, webhook, webpush, wns
from pushd.providers.transport import HTTPTransport
from pushd.wire import forms
from pushd.wire.element import element, serialize
from pushd.wire.namespaces import FORM_PUBLISH_OPTIONS, NS_COMMANDS
from pushd.wire.secret import Secret
from pushd.wire.stanza import Stanza
from tests.hall import Hall
from tests.support import Transport
from tests.unit.appserver.stage import Stage as AppStage
from tests.unit.appserver.stage import register
from tests.unit.modules.push.stage import Stage, enable, refused
from tests.unit.modules.push.wishing import JINGLE, PRIORITY, decrypted, encrypt
from tests.unit.net.http2_house import House
from tests.unit.providers.apple import signing_key
from tests.unit.providers.bench import NOW, account
from tests.unit.providers.browser import Browser

PAGE = Path(__file__).parents[1] / "docs/privacy.rst"
WIDTH = 96
NODE, SECRET, ROMEO = "yxs32uqsflafdk3iuqo", "rZVdQ6vcFAaLOUnvLgSjVg", "romeo@example.org/orchard"
CALL = (
    "<propose xmlns='urn:xmpp:jingle-message:0' id='ca3cf894-5325-482f-a412-a6e9f832298d'>"
    "<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></propose>"
)
OMEMO = (
    "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/>"
    "<payload>c2VjcmV0</payload></encrypted><body>I sent you an OMEMO encrypted message</body>"
)
SUBSCRIBE = "<presence type='subscribe' from='paris@example.org' to='juliet@example.net'/>"
EVERYTHING = Told(True, True, True, True)

# To push services.


def published(
    told: Told, *content: str, presence: str = "", secret: bool = True, wishes: str = ""
) -> str:
    """What a push service is sent when this waits for the phone."""
    last = _published(told, *content, presence=presence, secret=secret, wishes=wishes)
    said = last.raw.decode().replace(f"'{last.id}'", "'ID'")
    return re.sub(r" iv='[^']*'>[^<]*<", " iv='IV'>CIPHERTEXT<", said)


def read_by_the_device(*content: str, presence: str = "") -> str:
    """What is inside the ciphertexts of such a publish."""
    last = _published(Told(), *content, presence=presence, wishes=encrypt())
    return json.dumps(decrypted(last), ensure_ascii=False)


def _published(
    told: Told, *content: str, presence: str = "", secret: bool = True, wishes: str = ""
) -> Stanza:
    stage = Stage(told=told)
    phone = stage.phone(enabled=False)
    options = forms.submit(FORM_PUBLISH_OPTIONS, {"secret": SECRET})
    enable(phone, (serialize(options).decode() if secret else "") + wishes, node=NODE)
    phone.cut()
    for one in content:
        stage.write(content=one)
    if presence:
        stage.hall.route(presence)
    return stage.service.publishes[-1]


def body(words: str) -> str:
    return f"<body>{words}</body>"


def disabled() -> str:
    """What a phone is told whose push service has refused."""
    stage = Stage()
    phone = stage.phone(enabled=False)
    enable(phone, node=NODE)
    phone.cut()
    stage.service.answer = refused("item-not-found", "cancel")
    stage.write()
    phone.resume()
    told = next(one for one in phone.received() if "urn:xmpp:push:0" in one.toXml())
    return serialize(told).decode()


# To the providers.


def requested(request: contract.Request, body: str = "") -> str:
    """Headers and body as a server gets them, over HTTP/2; or another body in its place."""
    house = House()
    HTTPTransport(lambda link: house.client).send(request, 30.0)
    (asked,) = house.let_in().server.asked.values()
    assert asked.is_whole
    lines = [f"{name}: {value}" for name, value in asked.headers]
    return "\n".join([*lines, "", body or asked.body.decode()])


@implementer(IAgentEndpointFactory)
class _Door:
    """Whoever knocks is connected to `transport`."""

    def __init__(self) -> None:
        self.transport = Transport()

    def endpointForURI(self, uri: URI) -> Any:
        return self

    def connect(self, protocolFactory: Any) -> Deferred[Any]:  # noqa: N803
        protocol = protocolFactory.buildProtocol(None)
        protocol.makeConnection(self.transport)
        return succeed(protocol)


def requested_by_http11(request: contract.Request) -> str:
    """The same as it leaves, over HTTP/1.1."""
    door, clock = _Door(), Clock()
    client = Client(clock, HTTP11Agent(clock, door, 1))
    HTTPTransport(lambda link: client).send(request, 30.0)
    return door.transport.take().decode().replace("\r\n", "\n")


def notification(**told: Any) -> contract.Notification:
    text = told.pop("last_message_body", None)
    shown = Secret(text) if text else None
    return contract.Notification(NODE, last_message_body=shown, expires_at=NOW + 86_400, **told)


EVERYTHING_TOLD: Mapping[str, Any] = {
    "message_count": 2,
    "pending_subscription_count": 1,
    "last_message_sender": ROMEO,
    "last_message_body": "It is my lady; O, it is my love!",
    "last_subscription_sender": "paris@example.org",
}


def to_fcm(said: Callable[[contract.Request], str] = requested, **told: Any) -> str:
    with TemporaryDirectory() as folder:
        provider = fcm.FCM(fcm.Options(account(Path(folder))))
        return said(
            provider.request(
                notification(**told),
                contract.Device(Secret("TOKEN-OF-THE-DEVICE")),
                NOW,
                contract.Sending("", Secret("ACCESS-TOKEN")),
            )
        )


def to_google_for_access() -> str:
    """The request for an access token, with what the assertion says in place of its base64."""
    with TemporaryDirectory() as folder:
        provider = fcm.FCM(fcm.Options(account(Path(folder))))
        credential = provider.credential("")
        assert credential is not None
        request = credential.request(NOW)
        assert isinstance(request, contract.Request)
        head, _, sent = requested(request).rpartition("\n")
    form = parse_qs(sent)
    parts = form["assertion"][0].split(".")[:2]
    shown = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in parts]
    texts = [json.dumps(one, separators=(",", ":")) for one in shown]
    assert sent.startswith("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&")
    head = re.sub(r"content-length: \d+", "content-length: LENGTH", head)
    return f"{head}\n{sent.partition('assertion=')[0]}assertion={'.'.join(texts)}.SIGNATURE"


def to_apns(fields: Mapping[str, str], **told: Any) -> str:
    with TemporaryDirectory() as folder:
        options = apns.Options(
            topic="com.example.app", key_file=signing_key(Path(folder)), team_id="TEAM123456"
        )
        provider = apns.APNs(options)
        request = provider.request(
            notification(**told),
            contract.Device(Secret("ab" * 32), fields=fields),
            NOW,
            contract.Sending("UUID", Secret("PROVIDER-TOKEN")),
        )
        return requested(request)


def to_ubuntu(**told: Any) -> str:
    provider = ubuntu.Ubuntu(ubuntu.Options())
    fields = {"application-id": "messenger.example_messenger"}
    device = contract.Device(Secret("TOKEN-OF-THE-DEVICE"), fields=fields)
    return requested(provider.request(notification(**told), device, NOW, contract.Sending("")))


def to_webhook(**told: Any) -> str:
    secret = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    provider = webhook.Webhook(webhook.Options("https://hooks.example.org/push", secret))
    device = contract.Device(Secret("TOKEN-OF-THE-DEVICE"), "any")
    return requested(provider.request(notification(**told), device, NOW, contract.Sending("UUID")))


def to_web_push(kind: type[contract.Provider] = webpush.WebPush, **told: Any) -> str:
    """With what a subscription's owner reads in place of what is sealed for him."""
    browser = Browser(1)
    provider = kind(webpush.Options("mailto:admin@example.net"))
    provider.keep(bytes(32))
    fields = provider.stored(browser.fields("https://push.example.org/TOKEN-OF-THE-DEVICE"))
    request = provider.request(
        notification(**told),
        contract.Device(Secret(fields.pop("token")), fields=fields),
        NOW,
        contract.Sending("", Secret("PUBLIC-KEY JWT")),
    )
    return requested(request, f"SEALED({browser.read(request.body).decode()})")


def to_web_push_for_identity() -> str:
    """What is signed."""
    provider = webpush.WebPush(webpush.Options("mailto:admin@example.net"))
    provider.keep(bytes(32))
    token = provider.credential("https://push.example.org").request(NOW)
    assert isinstance(token, contract.Token)
    parts = token.value.reveal().partition(" ")[2].split(".")[:2]
    return ".".join(base64.urlsafe_b64decode(part + "==").decode() for part in parts) + ".SIGNATURE"


def windows() -> wns.WNS:
    return wns.WNS(wns.Options(Secret("CLIENT-SECRET"), package_sid="ms-app://s-1-15-2-1-2-3"))


def to_microsoft_for_access() -> str:
    request = windows().credential("").request(NOW)
    assert isinstance(request, contract.Request)
    return requested(request)


def to_wns(fields: Mapping[str, str], **told: Any) -> str:
    channel = Secret("https://db3.notify.windows.com/?token=TOKEN-OF-THE-CHANNEL")
    return requested(
        windows().request(
            notification(**told),
            contract.Device(channel, fields=fields),
            NOW,
            contract.Sending("", Secret("ACCESS-TOKEN")),
        )
    )


# To the account.


def listed() -> str:
    """What an account is told of its own devices."""
    stage = AppStage()
    juliet = stage.client()
    node, _ = register(juliet, **{"token": "TOKEN", "device-name": "My phone"})
    asked = element(NS_COMMANDS, "command", node="list-push-registrations")
    answer = juliet.ask(f"<iq type='set' id='ID' to='example.net'>{serialize(asked).decode()}</iq>")
    said = serialize(answer).decode().replace(node, NODE)
    return re.sub(r"sessionid='[^']*'", "sessionid='SESSION'", said)


EXAMPLES: Mapping[str, Callable[[], str]] = {
    "publish with nothing told": lambda: published(
        Told(False, False, False, False), body("hi"), secret=False
    ),
    "publish by default": lambda: published(Told(), body("hi")),
    "publish with senders": lambda: published(Told(include_senders=True), body("hi")),
    "publish with bodies": lambda: published(Told(include_message_bodies=True), body("hi")),
    "publish without counts": lambda: published(Told(True, False, False, True), body("hi")),
    "publish of a request": lambda: published(Told(), presence=SUBSCRIBE),
    "publish with everything": lambda: published(EVERYTHING, body("hi"), presence=SUBSCRIBE),
    "publish of an encrypted message": lambda: published(EVERYTHING, OMEMO),
    "publish of a call": lambda: published(Told(), CALL),
    "publish of a call with details": lambda: published(Told(), CALL, wishes=JINGLE),
    "publish encrypted for the device": lambda: published(
        EVERYTHING, body("hi"), wishes=encrypt() + PRIORITY
    ),
    "message as the device reads it": lambda: read_by_the_device(body("hi")),
    "encrypted message as the device reads it": lambda: read_by_the_device(OMEMO),
    "publish of a call encrypted": lambda: published(Told(), CALL, wishes=encrypt()),
    "call as the device reads it": lambda: read_by_the_device(CALL),
    "disabled": disabled,
    "notice": lambda: serialize(notice("push.example.net", "juliet@example.net", NODE)).decode(),
    "access token": to_google_for_access,
    "FCM by default": lambda: to_fcm(message_count=1),
    "FCM with everything": lambda: to_fcm(**EVERYTHING_TOLD),
    "FCM over HTTP/1.1": lambda: to_fcm(requested_by_http11, message_count=1),
    "APNs by default": lambda: to_apns({}, message_count=1),
    "APNs with everything": lambda: to_apns({}, **EVERYTHING_TOLD),
    "APNs silently": lambda: to_apns({"silent-push": "true"}, message_count=1),
    "APNs of a call": lambda: to_apns(
        {"voip-token": "cd" * 32}, message_count=1, urgent=True, call=contract.Call()
    ),
    "Ubuntu by default": lambda: to_ubuntu(message_count=1),
    "Ubuntu with everything": lambda: to_ubuntu(**EVERYTHING_TOLD),
    "WebPush identity": to_web_push_for_identity,
    "WebPush by default": lambda: to_web_push(message_count=1),
    "WebPush with everything": lambda: to_web_push(**EVERYTHING_TOLD),
    "UnifiedPush by default": lambda: to_web_push(unifiedpush.UnifiedPush, message_count=1),
    "Webhook by default": lambda: to_webhook(message_count=1),
    "Webhook with everything": lambda: to_webhook(**EVERYTHING_TOLD),
    "WNS for access": to_microsoft_for_access,
    "WNS by default": lambda: to_wns({}, message_count=1),
    "WNS with everything": lambda: to_wns({}, **EVERYTHING_TOLD),
    "WNS aloud": lambda: to_wns({"silent-push": "false"}, **EVERYTHING_TOLD),
    "list": listed,
}


# The page.


def broken(text: str) -> str:
    """The same in lines that can be read: those that go on are indented by two."""
    lines = []
    for line in text.split("\n"):
        rest, indent = line, ""
        while len(indent + rest) > WIDTH:
            room = WIDTH - len(indent)
            places = [
                match.end() for match in re.finditer(r">(?=<)|[,{&](?=\S)|'(?= )", rest[:room])
            ]
            end = max([place for place in places if place > 10], default=room)
            lines.append(indent + rest[:end])
            rest, indent = rest[end:], "  "
        lines.append(indent + rest)
    assert joined(lines) == text, text
    return "\n".join(lines)


def joined(lines: list[str]) -> str:
    """What was broken, whole."""
    return re.sub(r"\n  ", "", "\n".join(lines))


CELL = re.compile(r"^   \* - ``(\w+)``\n     - (``.*?)\n     - ", re.M | re.DOTALL)
BLOCK = re.compile(r"^\.\. example: (.+)\n\n::\n\n((?:(?: {4}.*)?\n)+)", re.M)


def written(page: str) -> str:
    """The page with its examples as the code makes them, and the columns that storage has."""

    def block(match: re.Match[str]) -> str:
        made = broken(EXAMPLES[match[1]]())
        lines = "\n".join(f"    {line}".rstrip() for line in made.split("\n"))
        return f".. example: {match[1]}\n\n::\n\n{lines}\n\n"

    def cell(match: re.Match[str]) -> str:
        names = ", ".join(f"``{name}``" for name in columns(match[1]))
        filled = textwrap.fill(names, 90).replace("\n", "\n       ")
        return f"   * - ``{match[1]}``\n     - {filled}\n     - "

    return CELL.sub(cell, BLOCK.sub(block, page))


def columns(table: str) -> list[str]:
    """What storage keeps there."""
    rows = Hall().rows(f"SELECT name FROM pragma_table_info('{table}')")
    return [str(name) for (name,) in rows]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
