"""Several apps of one type, and all types at one host: for each provider that there is."""

from pathlib import Path

import pytest

from pushd.providers.contract import Notification, Sending
from tests.unit.appserver.stage import PUBSUB, Stage, app, execute, outcome, result
from tests.unit.providers.bench import NOW
from tests.unit.providers.samples import SAMPLES, TYPES, made

OTHER = "push.work.example"


@pytest.fixture(params=TYPES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stage(kind: str, tmp_path: Path) -> Stage:
    """Two apps of one type, whose servers publish at different hosts."""
    return Stage(
        (
            app(f"{kind}/chat", made(kind, tmp_path), app_name="chat"),
            app(f"{kind}/work", made(kind, tmp_path), pubsub_host=OTHER, app_name="work"),
        )
    )


def test_a_device_registers_for_the_app_that_it_names(stage: Stage, kind: str) -> None:
    fields = SAMPLES[kind].fields
    for name, host in (("chat", PUBSUB), ("work", OTHER)):
        client = stage.client(f"juliet@example.net/{name}")
        given = result(execute(client, f"register-push-{kind}", {**fields, "app": name}))
        assert given["jid"] == (host,)
        kept = stage.registration(given["node"][0])
        assert (kept.type, kept.app, kept.backend) == (kind, name, f"{kind}/{name}")


@pytest.mark.parametrize("named", [{}, {"app": ""}, {"app": "Chat"}, {"app": "other"}])
def test_an_app_that_there_is_not_is_refused_with_those_that_there_are(
    stage: Stage, kind: str, named: dict[str, str]
) -> None:
    answer = execute(stage.client(), f"register-push-{kind}", {**SAMPLES[kind].fields, **named})
    assert outcome(answer).startswith("bad-request")
    assert str(answer.error.text) == "app: one of chat, work is expected"
    assert stage.nodes() == []


def test_the_form_offers_the_apps(stage: Stage, kind: str) -> None:
    offered = execute(stage.client(), f"register-push-{kind}").toXml()
    assert "var='app'" in offered
    assert "<value>chat</value>" in offered
    assert "<value>work</value>" in offered


def test_who_moves_to_another_app_is_registered_there_alone(stage: Stage, kind: str) -> None:
    fields, phone = SAMPLES[kind].fields, stage.client()
    for name in ("chat", "work"):
        execute(phone, f"register-push-{kind}", {**fields, "app": name})
    [node] = stage.nodes()
    assert stage.registration(node).app == "work"


def test_a_push_goes_to_the_backend_of_the_devices_app(stage: Stage, kind: str) -> None:
    fields, phone = SAMPLES[kind].fields, stage.client()
    given = result(execute(phone, f"register-push-{kind}", {**fields, "app": "chat"}))
    node, secret = given["node"][0], given["secret"][0]

    assert stage.publish(node, secret, summary={"message-count": "2"}) == ""

    [call] = stage.calls
    assert call.backend == f"{kind}/chat"
    note, device = call.look()
    assert (note.message_count, device.app) == (2, "chat")


def test_what_is_stored_is_what_the_provider_sends_to(
    stage: Stage, kind: str, tmp_path: Path
) -> None:
    given = result(
        execute(stage.client(), f"register-push-{kind}", {**SAMPLES[kind].fields, "app": "chat"})
    )
    node, secret = given["node"][0], given["secret"][0]
    stage.publish(node, secret, summary={"message-count": "2"})
    _, device = stage.calls[0].look()
    request = made(kind, tmp_path).request(Notification(node, 2), device, NOW, Sending())
    assert SAMPLES[kind].told(request) == {"node": node, "message-count": 2}


def test_all_types_stand_side_by_side_at_one_host(tmp_path: Path) -> None:
    stage = Stage(tuple(app(kind, made(kind, tmp_path)) for kind in TYPES))
    for kind in TYPES:
        client = stage.client(f"juliet@example.net/{kind}")
        answer = execute(client, f"register-push-{kind}", SAMPLES[kind].fields)
        assert stage.registration(result(answer)["node"][0]).backend == kind
    assert len(stage.nodes()) == len(TYPES)


def test_another_types_fields_do_not_do(tmp_path: Path) -> None:
    stage = Stage(tuple(app(kind, made(kind, tmp_path)) for kind in TYPES))
    answer = execute(stage.client(), "register-push-webpush", SAMPLES["apns"].fields)
    assert outcome(answer).startswith("bad-request")
    assert "endpoint" in str(answer.error.text)
