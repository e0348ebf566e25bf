"""An app for Apple's devices: how they register, and what is kept of it."""

from pathlib import Path

import pytest

from pushd.providers.apns import APNs, Options
from pushd.providers.contract import Request, Response
from pushd.providers.dispatch import Dispatcher
from pushd.routing.events import DeviceTokenForgotten, DeviceUnregistered, PushSettled
from tests.hall import Hall
from tests.unit.appserver.stage import Stage, app, execute, notification, outcome, register
from tests.unit.appserver.test_outbox import killed
from tests.unit.providers.apple import signing_key
from tests.unit.providers.bench import FakeTransport

TOKEN = "r3qpHKmzZHjYKYbG7yI4fhY+DWKqFZE5ZJEM8P+lDDo="
HEX = "af7aa91ca9b36478d82986c6ef22387e163e0d62aa15913964910cf0ffa50c3a"


def apns(folder: Path, topic: str = "com.example.app") -> APNs:
    return APNs(Options(key_file=signing_key(folder), team_id="TEAM123456", topic=topic))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage((app("apns", apns(tmp_path)),))


@pytest.mark.line(94)
@pytest.mark.parametrize("text", [TOKEN, TOKEN.rstrip("="), HEX, HEX.upper()])
def test_a_token_is_kept_in_one_form_whatever_it_came_in(text: str, stage: Stage) -> None:
    node, _ = register(stage.client(), "apns", token=text, environment="development")

    kept = stage.registration(node)
    assert kept.token.reveal() == HEX
    assert kept.provider_fields() == {"environment": "sandbox"}


@pytest.mark.line(100)
@pytest.mark.parametrize("text", ["", "no base64!", "abcd"])
def test_what_is_no_token_is_refused_and_names_the_field(text: str, stage: Stage) -> None:
    answer = execute(stage.client(), "register-push-apns", {"token": text})

    assert outcome(answer).startswith("bad-request")
    assert "token" in str(answer.error.text)
    assert stage.nodes() == []


@pytest.mark.parametrize(("field", "value"), [("environment", "x"), ("silent-push", "maybe")])
def test_what_a_device_may_not_ask_for_is_named(field: str, value: str, stage: Stage) -> None:
    answer = execute(stage.client(), "register-push-apns", {"token": TOKEN, field: value})

    assert outcome(answer).startswith("bad-request")
    assert field in str(answer.error.text)


def test_another_provider_of_the_app_checks_devices_after_the_configuration_was_read_anew(
    stage: Stage, tmp_path: Path
) -> None:
    class Strict(APNs):
        register_fields = frozenset({"token"})

        def check(self, fields: object) -> None:
            raise ValueError("token: not any more")

    strict = Strict(apns(tmp_path).options)
    stage.server.renew("apns", strict)

    answer = execute(stage.client(), "register-push-apns", {"token": TOKEN})
    assert "not any more" in str(answer.error.text)


# A second token, for calls.

CALLED = "cd" * 32
RINGS = (
    "<priority xmlns='tigase:push:priority:0'>high</priority>"
    "<jingle xmlns='tigase:push:jingle:0' action='propose'/>"
)
CALL = f"<item>{notification({'message-count': '1'}, RINGS)}</item>"


class Apple:
    """An app of Apple's, and what it is asked; `dead` is answered 410."""

    def __init__(self, folder: Path, path: Path | str = ":memory:") -> None:
        self.dead: set[str] = set()
        self.asked: list[str] = []
        self.stage = Stage(
            (app("apns", provider := apns(folder)),),
            path=path,
            dispatcher=lambda hall: self._dispatcher(hall, provider),
        )

    def _dispatcher(self, hall: Hall, provider: APNs) -> Dispatcher:
        dispatcher = Dispatcher(hall.clock, FakeTransport(self._answer), hall.host.events.emit)
        dispatcher.add("apns", provider)
        return dispatcher

    def _answer(self, request: Request) -> Response:
        token = request.url.rpartition("/")[2]
        self.asked.append(token)
        if token in self.dead:
            return Response(410, body=b'{"reason": "Unregistered"}')
        return Response(200)

    def call(self, node: str, secret: str) -> None:
        assert self.stage.publish(node, secret, items=CALL) == ""
        self.stage.hall.advance(0)


def test_a_dead_token_for_calls_is_forgotten_and_its_phone_is_not(tmp_path: Path) -> None:
    path = tmp_path / "pushd.db"
    apple = Apple(tmp_path, path)
    node, secret = register(apple.stage.client(), "apns", token=HEX, voip_token=CALLED)
    apple.dead = {CALLED}

    apple.call(node, secret)

    assert apple.asked == [CALLED, HEX]
    events = apple.stage.hall.events(DeviceTokenForgotten)
    assert [(one.device, one.forgotten, one.reason) for one in events] == [
        ("phone", "voip-token", "410 Unregistered")
    ]
    assert CALLED not in repr(events)
    assert apple.stage.hall.events(DeviceUnregistered) == []
    assert [one.outcome for one in apple.stage.hall.events(PushSettled)] == ["accepted"]
    for each in (apple, Apple(tmp_path, killed(path))):
        kept = each.stage.registration(node)
        assert (kept.token.reveal(), kept.provider_fields()) == (HEX, {})


def test_a_token_for_calls_can_be_registered_again(tmp_path: Path) -> None:
    apple = Apple(tmp_path)
    phone = apple.stage.client()
    node, secret = register(phone, "apns", token=HEX, voip_token=CALLED)
    apple.dead = {CALLED}
    apple.call(node, secret)
    _, secret = register(phone, "apns", token=HEX, voip_token="ef" * 32)

    apple.call(node, secret)

    assert apple.asked[2:] == ["ef" * 32]


def test_a_dead_phone_is_unregistered_with_both_its_tokens(tmp_path: Path) -> None:
    apple = Apple(tmp_path)
    node, secret = register(apple.stage.client(), "apns", token=HEX, voip_token=CALLED)
    apple.dead = {CALLED, HEX}

    apple.call(node, secret)

    assert apple.stage.nodes() == []
