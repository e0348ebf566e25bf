"""Mistakes of other servers' push modules, kept out: see docs/checklist.rst."""

from pathlib import Path

import pytest

from pushd.modules.push.module import Push
from pushd.modules.push.options import Told
from pushd.modules.push.waking import LEAD
from tests.unit.modules.push.stage import (
    ALL,
    JULIET,
    SERVICE,
    Service,
    Stage,
    accepted,
    enable,
    refused,
    summary,
)

NOTHING = Told(False, False, False, False)


@pytest.mark.mistake(3)
def test_a_restart_forgives_no_errors_and_a_success_all(tmp_path: Path) -> None:
    stage = Stage(path=tmp_path / "pushd.sqlite")
    stage.asleep()
    stage.service.answer = refused("service-unavailable", "cancel")
    for _ in range(5):
        stage.write()

    hall = stage.hall.killed()

    (push,) = (module for module in hall.modules if isinstance(module, Push))
    [one] = push.enablements.of(JULIET)
    assert one.failures == 5
    Service(hall).answer = accepted
    push.publisher.open()
    hall.route(f"<message from='romeo@example.org' to='{JULIET}'><body>hi</body></message>")
    assert one.failures == 0
    assert hall.rows("SELECT failures FROM push_enablements") == [(0,)]


@pytest.mark.mistake(6)
@pytest.mark.parametrize("told", [NOTHING, ALL], ids=["nothing", "everything"])
@pytest.mark.parametrize("news", [0, 2])
def test_the_last_call_has_no_stanza_and_goes_out_all_the_same(told: Told, news: int) -> None:
    stage = Stage(told=told, hold=1000.0)
    phone = stage.phone()
    phone.cut()
    for number in range(news):
        stage.write(f"number {number}")
    before = len(stage.service.publishes)

    stage.hall.advance(1000.0 - LEAD)

    assert len(stage.service.publishes) == before + 1
    expected = {}
    if told is ALL and news:
        expected = {
            "message-count": "2",
            "last-message-sender": "romeo@example.org/orchard",
            "last-message-body": "number 1",
        }
    assert summary(stage.service.publishes[-1]) == expected


@pytest.mark.mistake(10)
@pytest.mark.parametrize(
    "type", ["chat", "normal", "groupchat", "headline", "error", "", "made up", "CHAT"]
)
@pytest.mark.parametrize("notify_on", ["messages", "all"])
def test_a_message_of_any_type_is_judged_and_tells_a_count_alone(type: str, notify_on: str) -> None:
    stage = Stage(told=Told(), notify_on=notify_on)
    stage.asleep()

    stage.hall.route(
        f"<message from='romeo@example.org/orchard' to='{JULIET}/phone' type='{type}'>"
        "<body>words of his own</body></message>"
    )

    for publish in stage.service.publishes:
        assert set(summary(publish)) <= {"message-count"}
        assert b"romeo" not in publish.raw
        assert b"words" not in publish.raw
    if type in ("chat", "normal", "groupchat", "", "made up"):
        assert stage.service.counts == ["1"]


@pytest.mark.mistake(21)
@pytest.mark.parametrize("form_type", ["urn:xmpp:push:options", "urn:xmpp:push:summary", "urn:x"])
def test_a_form_of_another_kind_is_not_republished(form_type: str) -> None:
    stage = Stage()
    phone = stage.phone(enabled=False)
    form = (
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>"
        f"<value>{form_type}</value></field><field var='include-senders'><value>1</value>"
        "</field></x>"
    )
    assert enable(phone, form, service=SERVICE)["type"] == "result"
    phone.cut()

    stage.write()

    [publish] = stage.service.publishes
    assert b"publish-options" not in publish.raw
