"""tigase:push:away:0: woken though somebody else got it, if he is away."""

import pytest

from pushd.routing.events import PushDecided
from tests.hall import Client
from tests.unit.modules.push.stage import JULIET, Stage, ask


def scene(away: str = " away='true'") -> Stage:
    """A phone with push and without a session."""
    stage = Stage()
    phone = stage.phone(enabled=False)
    asked = f"<enable xmlns='urn:xmpp:push:0' jid='push.example.org' node='phone'{away}/>"
    assert ask(phone, asked)["type"] == "result"
    phone.close()
    return stage


def desk(stage: Stage, show: str = "", resource: str = "desk", priority: int = 0) -> Client:
    client = stage.phone(resource, enabled=False)
    said = f"<show>{show}</show>" if show else ""
    client.send(f"<presence>{said}<priority>{priority}</priority></presence>")
    client.acknowledge()
    client.received()
    return client


def reasons(stage: Stage) -> list[tuple[bool, str]]:
    decided = stage.hall.events(PushDecided)
    return [(one.pushed, one.reason) for one in decided if one.kind != "presence"]


@pytest.mark.parametrize("show", ["away", "xa"])
@pytest.mark.parametrize("to", [JULIET, f"{JULIET}/desk"])
def test_it_is_woken_beside_one_who_is_away(show: str, to: str) -> None:
    stage = scene()
    client = desk(stage, show)

    stage.write("hi", to=to)

    assert reasons(stage) == [(True, "away")]
    assert stage.service.counts == ["1"]
    assert [str(one.body) for one in client.received()] == ["hi"]


@pytest.mark.parametrize("show", ["", "chat", "dnd"])
def test_not_beside_one_who_is_there(show: str) -> None:
    stage = scene()
    desk(stage, show)

    stage.write()

    assert stage.service.publishes == []


def test_one_who_is_there_is_enough() -> None:
    stage = scene()
    desk(stage, "away")
    desk(stage, resource="sofa")

    stage.write()

    assert stage.service.publishes == []


def test_one_who_takes_no_messages_is_not_there() -> None:
    stage = scene()
    desk(stage, "away")
    desk(stage, resource="sofa", priority=-1)

    stage.write()

    assert reasons(stage) == [(True, "away")]


@pytest.mark.parametrize("away", ["", " away='false'"])
def test_not_without_the_wish(away: str) -> None:
    stage = scene(away)
    desk(stage, "away")

    stage.write()

    assert stage.service.publishes == []


@pytest.mark.parametrize("content", ["<composing xmlns='http://jabber.org/protocol/chatstates'/>"])
def test_not_for_what_wakes_nobody(content: str) -> None:
    stage = scene()
    desk(stage, "away")

    stage.write(content=content)

    assert reasons(stage) == [(False, "chat state")]
    assert stage.service.publishes == []


def test_what_is_stored_later_was_told_before() -> None:
    stage = scene()
    client = desk(stage, "away")
    stage.hall.route(
        f"<message from='romeo@example.org/o' to='{JULIET}' type='chat' id='1'>"
        "<body>hi</body></message>"
    )

    client.cut()
    stage.hall.advance(400)

    assert reasons(stage) == [(True, "away"), (False, "told before")]
    assert stage.service.counts == ["1"]


def test_a_device_with_a_session_is_woken_once() -> None:
    stage = Stage()
    phone = stage.phone(enabled=False)
    ask(phone, "<enable xmlns='urn:xmpp:push:0' jid='push.example.org' node='phone' away='1'/>")
    phone.acknowledge()
    phone.cut()
    desk(stage, "away")

    stage.write()

    assert reasons(stage) == [(True, "detached")]
    assert stage.service.counts == ["1"]


def test_after_a_kill_too(tmp_path: object) -> None:
    stage = Stage(path=f"{tmp_path}/pushd.db")
    phone = stage.phone(enabled=False)
    ask(phone, "<enable xmlns='urn:xmpp:push:0' jid='push.example.org' node='phone' away='1'/>")
    phone.close()

    hall = stage.hall.killed()

    assert JULIET in hall.host.router.attended


@pytest.mark.parametrize("type", ["groupchat", "headline", "error"])
def test_not_for_what_is_for_that_session_alone(type: str) -> None:
    stage = scene()
    client = desk(stage, "away")

    stage.hall.route(
        f"<message from='hall@rooms.example/x' to='{JULIET}/desk' type='{type}'>"
        "<body>hi</body></message>"
    )

    assert [str(one.body) for one in client.received()] == ["hi"]
    assert stage.service.publishes == []
    assert reasons(stage) == []
