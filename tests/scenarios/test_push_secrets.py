"""Push with everything logged that can be: tokens, secrets and bodies are in nothing that is said.

Four push networks and a foreign push service; registrations, good ones and bad; publishes, right
and wrong; answers of all kinds; what an operator and an account are told. The log at the level
debug, the event log with its trace, metrics, all answers on the operator's socket, the ledger,
and every error that a client or a component was sent are searched.
"""

import json
import urllib.request
from collections.abc import Iterator

import pytest

from pushd.wire import forms
from pushd.wire.element import Element, element
from pushd.wire.namespaces import FORM_PUSH_SUMMARY, NS_PUBSUB, NS_PUSH
from tests.patience import PATIENCE
from tests.scenarios.house import DOMAIN, FOREIGN, PUSH_HOST, House, opened
from tests.scenarios.peers import Phone, until
from tests.scenarios.reading import fields_of, options_form, secret_form, succeeded

FCM_TOKEN = "fcm:APA91b-living-token"
DEAD_TOKEN = "fcm:APA91b-dying-token"
BAD_TOKEN = "fcm APA91b token with spaces"
APNS_TOKEN = "c0ffee" * 10 + "beef"
UBUNTU_TOKEN = "ubuntu-token-4711=="
WNS_CHANNEL = "AgYAAAD-channel-4711"
BAD_CHANNEL = "https://wns.example/?token=AgYAAAD-channel-4712"
BAD_APNS_TOKEN = "zz" + "c0ffee" * 10
FOREIGN_NODE = "node-that-is-a-token-4711"
FOREIGN_SECRET = "publish-option-secret-4711"
BODY = "wherefore art thou in this log"
WRONG = "guessed-secret-4711"
READS = ("push-registrations", "push-enablements", "push-queue", "status", "sessions")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    yield from opened(
        tmp_path_factory,
        options=("--trace",),
        networks=("fcm", "apns", "ubuntu", "wns"),
        log={"level": "debug"},
        listen={"metrics": ["127.0.0.1:0"]},
    )


class Story:
    """What happens, and all that was said about it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.secrets = {
            "FCM token": FCM_TOKEN,
            "dead token": DEAD_TOKEN,
            "bad token": BAD_TOKEN,
            "APNs token": APNS_TOKEN,
            "Ubuntu token": UBUNTU_TOKEN,
            "channel for Windows": WNS_CHANNEL,
            "bad channel": BAD_CHANNEL,
            "client secret": house.stand_ins["wns"]["auth_key"],
            "APNs token in capitals": APNS_TOKEN.upper(),
            "bad APNs token": BAD_APNS_TOKEN,
            "node that is a token": FOREIGN_NODE,
            "secret of a foreign service": FOREIGN_SECRET,
            "body": BODY,
            "wrong secret": WRONG,
            "access token": "ya29.",
            "provider token": "eyJ",
            "key": "PRIVATE KEY",
        }
        self.errors: list[str] = []
        self.told: list[str] = []

    def note(self, name: str, given: dict[str, str]) -> dict[str, str]:
        self.secrets[f"secret of {name}"] = given["secret"]
        self.secrets[f"node of {name}"] = given["node"]
        return given

    def refused(self, answer: Element) -> None:
        """An error; what it repeats of the request is the sender's own, and not counted."""
        assert answer["type"] == "error", answer.toXml()
        [error] = [one for one in answer.elements() if one.name == "error"]
        self.errors.append(error.toXml())

    def enable(self, phone: Phone, service: str, node: str, secret: str) -> None:
        wanted = options_form(include_message_bodies="1", include_senders="1")
        succeeded(phone.enable(service, node, wanted, secret_form(secret)))

    def register(self, phone: Phone, type: str, token: str) -> dict[str, str]:
        fields = {"token": token, "device-name": "A phone"}
        if type == "ubuntu":
            fields["application-id"] = "app.name_app"
        form = forms.submit(None, fields)
        answer = phone.command(f"register-push-{type}", form)
        return self.note(token, fields_of(answer))

    def sleep(self, phone: Phone) -> None:
        phone.cut()
        self.house.friend().message(phone.account, BODY)

    # The chapters.

    def bad_input(self) -> None:
        phone = self.house.phone(sm=False)
        for type, token in (
            ("fcm", BAD_TOKEN),
            ("apns", BAD_APNS_TOKEN),
            ("apns", FCM_TOKEN),
            ("wns", BAD_CHANNEL),
        ):
            form = forms.submit(None, {"token": token})
            self.refused(phone.command(f"register-push-{type}", form))
        two = forms.submit(None, {"token": [FCM_TOKEN, DEAD_TOKEN]})
        self.refused(phone.command("register-push-fcm", two))
        self.refused(phone.enable("push.nowhere.example", FOREIGN_NODE, secret_form(WRONG)))
        self.refused(phone.disable(FOREIGN, FOREIGN_NODE))
        for secret, fields in (
            (WRONG, {"last-message-body": BODY}),
            (WRONG, {"message-count": BODY, "last-message-body": BODY}),
        ):
            self.refused(phone.ask(publish(FOREIGN_NODE, secret, fields), PUSH_HOST))

    def fcm(self) -> None:
        living, dying = self.house.phone(), self.house.phone()
        for phone, token in ((living, FCM_TOKEN), (dying, DEAD_TOKEN)):
            given = self.register(phone, "fcm", token)
            self.enable(phone, given["jid"], given["node"], given["secret"])
            self.refused(living.ask(publish(given["node"], WRONG, {}), PUSH_HOST))
        bad = {"message-count": BODY, "last-message-body": BODY, "last-message-sender": "@"}
        right = self.secrets[f"secret of {FCM_TOKEN}"]
        self.refused(
            living.ask(publish(self.secrets[f"node of {FCM_TOKEN}"], right, bad), PUSH_HOST)
        )
        self.house.script(DEAD_TOKEN, {"error": "UNREGISTERED"})
        self.sleep(living)
        self.sleep(dying)
        assert BODY in json.dumps(self.house.pushes(FCM_TOKEN, wait=PATIENCE))
        self.house.event("device-unregistered", account=dying.account)
        assert dying.resume().name in ("resumed", "failed")
        self.living = living

    def other(self, type: str, token: str) -> None:
        phone = self.house.phone()
        given = self.register(phone, type, token)
        self.enable(phone, given["jid"], given["node"], given["secret"])
        self.sleep(phone)
        until(lambda: self.house.pushes(token, of=type), f"push to {type}")

    def foreign(self) -> None:
        """A service where a node is the token of a device; it refuses in all ways."""
        phone, service = self.house.phone(), self.house.service()
        self.enable(phone, FOREIGN, FOREIGN_NODE, FOREIGN_SECRET)
        self.sleep(phone)
        service.refuse(service.publish(FOREIGN_NODE), "bad-request", "modify")
        self.house.friend().message(phone.account, BODY)
        service.refuse(service.publish(FOREIGN_NODE), "resource-constraint", "wait")
        succeeded(self.house.phone(phone.account, "desk").disable(FOREIGN, FOREIGN_NODE))
        again = self.house.phone(phone.account, "again")
        self.enable(again, FOREIGN, FOREIGN_NODE, FOREIGN_SECRET)
        self.sleep(again)
        service.refuse(service.publish(FOREIGN_NODE), "item-not-found")
        self.house.event("push-disabled", account=phone.account)

    def ask_for_everything(self) -> None:
        accounts = {one["account"] for one in self.house.events("push-enabled")}
        for operation in READS:
            self.told.append(json.dumps(self.house.operate(operation)))
        for account in accounts:
            for operation in ("push-decisions", "push-ledger"):
                self.told.append(json.dumps(self.house.operate(operation, account=account)))
        place = self.house.ready["metrics"]
        url = f"http://{place['host']}:{place['port']}/metrics"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            self.told.append(answer.read().decode())
        desk = self.house.phone(self.living.account, "desk", sm=False)
        for command in ("push-devices", "push-decisions", "push-ledger"):
            answered = desk.command(command, to=desk.account)
            self.told.append(answered.toXml())
        self.told.append(desk.command("list-push-registrations").toXml())


def publish(node: str, secret: str, fields: dict[str, str]) -> Element:
    note = element(NS_PUSH, "notification", forms.submit(FORM_PUSH_SUMMARY, fields))
    item = element(NS_PUBSUB, "publish", element(NS_PUBSUB, "item", note), node=node)
    options = element(NS_PUBSUB, "publish-options", secret_form(secret))
    return element(NS_PUBSUB, "pubsub", item, options)


def test_tokens_secrets_and_bodies_are_in_nothing_that_is_said(house: House) -> None:
    story = Story(house)
    story.bad_input()
    story.fcm()
    story.other("apns", APNS_TOKEN)
    story.other("ubuntu", UBUNTU_TOKEN)
    story.other("wns", f"{house.stand_ins['wns']['url']}/channel/?token={WNS_CHANNEL}")
    story.foreign()
    story.ask_for_everything()
    # An account is told its own nodes, which it needs to enable and to remove them.
    own = {value for name, value in story.secrets.items() if name.startswith("node of")}

    written = {
        "log": house.server.out + house.server.err,
        "events": house.events_file.read_text(),
        "errors": "\n".join(story.errors),
        "operator, metrics, account": "\n".join(story.told),
    }
    for place, text in written.items():
        assert len(text) > 500, place
    assert "stanza-received" in written["events"]
    found = [
        (what, place)
        for what, secret in story.secrets.items()
        for place, text in written.items()
        if secret in text and not (place.startswith("operator") and secret in own)
    ]
    assert found == []
    assert DOMAIN in written["log"]
