"""No message overtakes those that still wait in the offline store for the same session."""

from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from pushd.routing.events import Cause, Undelivered
from tests.hall import START, Client, Hall, Outlet

MODULES = {"roster": None, "presence": None, "offline": None}
ROMEO, PHONE, BALCONY = "romeo@example.net", "romeo@example.net/phone", "juliet@example.net/balcony"


def message(body: str, to: str = ROMEO, type: str = "chat") -> str:
    return f"<message to='{to}' type='{type}' id='{body}'><body>{body}</body></message>"


def bodies(client: Client) -> list[str]:
    return [str(one.body) for one in client.received() if one.name == "message"]


@pytest.fixture
def hall(tmp_path: Path) -> Hall:
    return Hall(modules=MODULES, path=tmp_path / "pushd.db")


@pytest.fixture
def juliet(hall: Hall) -> Client:
    hall.add_account(ROMEO)
    juliet = hall.login(BALCONY, sm=True)
    for number in range(3):
        juliet.send(message(str(number)))
    return juliet


@pytest.mark.parametrize("to", [ROMEO, PHONE])
def test_a_live_message_comes_after_those_that_waited(hall: Hall, juliet: Client, to: str) -> None:
    phone = hall.login(PHONE, sm=True, available=False)

    phone.pass_on("<presence/>")
    juliet.pass_on(message("live", to))
    hall.advance(0)
    juliet.send(message("later", to))

    assert bodies(phone) == ["0", "1", "2", "live", "later"]
    assert hall.rows("SELECT * FROM offline") == []
    assert hall.host.delivery.catching_up == {}


@pytest.mark.parametrize("type", ["groupchat", "headline", "error"])
def test_what_is_not_stored_waits_for_nothing(hall: Hall, juliet: Client, type: str) -> None:
    phone = hall.login(PHONE, sm=True, available=False)
    phone.pass_on("<presence/>")

    juliet.pass_on(message("live", PHONE, type))

    assert bodies(phone) == ["live"]


def test_what_comes_while_the_session_is_detached_comes_after_them_too(
    hall: Hall, juliet: Client
) -> None:
    phone = hall.login(PHONE, sm=True, available=False)
    phone.pass_on("<presence/>")
    phone.session.stream = None
    hall.host.lifecycle.detach(phone.session, "lost")
    juliet.send(message("to a detached session"))

    [event] = hall.events(Undelivered)[-1:]
    assert (event.session, event.cause) == (phone.session, Cause.DETACHED)
    phone.resume(0)
    assert bodies(phone) == ["0", "1", "2", "to a detached session"]


def test_what_comes_after_a_kill_comes_after_them_too(hall: Hall, juliet: Client) -> None:
    phone = hall.login(PHONE, sm=True, available=False)
    phone.session.stream = None
    phone.pass_on("<presence/>")
    hall.host.lifecycle.detach(phone.session, "lost")
    hall.advance(0)

    later = hall.killed()
    later.route(message("after the kill").replace("<message", f"<message from='{BALCONY}'"))
    session = later.host.sessions.by_token(phone.session.token)
    assert session is not None
    again = Client(later, session, Outlet())
    again.resume(0)

    assert bodies(again) == ["0", "1", "2", "after the kill"]


def test_with_two_resources_the_other_one_waits_for_nothing(hall: Hall, juliet: Client) -> None:
    orchard = hall.login(f"{ROMEO}/orchard", sm=True, available=False)
    phone = hall.login(PHONE, sm=True, available=False)
    phone.pass_on("<presence/>")

    juliet.pass_on(message("live", f"{ROMEO}/orchard"))

    assert bodies(orchard) == ["live"]


def test_a_session_that_takes_no_messages_of_its_account_gets_its_own(
    hall: Hall, juliet: Client
) -> None:
    phone = hall.login(PHONE, sm=True, available=False)
    phone.pass_on("<presence/>")
    phone.pass_on("<presence><priority>-1</priority></presence>")

    juliet.pass_on(message("live", PHONE))

    assert "live" in bodies(phone)


def test_what_is_handed_out_is_said_once_it_can_come_from_one_place_only(
    hall: Hall, juliet: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash before would leave it in the offline store, and its receiver would have it twice."""
    phone = hall.login(PHONE, sm=True, available=False)
    database = hall.host.database
    waiting: list[Deferred[None]] = []
    commit = database.committed

    def committed() -> "Deferred[None]":
        waiting.append(Deferred())
        commit()
        return waiting[-1]

    monkeypatch.setattr(database, "committed", committed)
    phone.send("<presence/>")
    juliet.send(f"<iq type='get' id='q' to='{PHONE}'><query xmlns='urn:q'/></iq>")
    assert bodies(phone) == []
    assert phone.session.queue is not None
    assert len(phone.session.queue) >= 4

    for told in waiting:
        told.callback(None)
    hall.advance(0)

    came = [one for one in phone.received() if one.name in ("message", "iq")]
    assert [one.name for one in came] == ["message", "message", "message", "iq"]


def test_without_acknowledgements_what_is_handed_out_is_said_at_once(
    hall: Hall, juliet: Client
) -> None:
    phone = hall.login(PHONE, available=False)
    phone.send("<presence/>")
    assert bodies(phone) == ["0", "1", "2"]


def test_what_was_handed_out_and_not_read_goes_back_to_its_place(
    hall: Hall, juliet: Client
) -> None:
    phone = hall.login(PHONE, sm=True, available=False)
    hall.advance(10)
    juliet.send(message("between"))
    hall.advance(10)
    phone.send("<presence/>")
    queue = phone.session.queue
    assert queue is not None
    came_at = [at for data, at, _ in queue if data.startswith(b"<message")]
    assert came_at == [START, START, START, START + 10]

    phone.close()
    assert [at for (at,) in hall.rows("SELECT at FROM offline ORDER BY at, id")] == came_at
    again = hall.login(PHONE, sm=True, available=False)
    again.send("<presence/>")

    assert bodies(again) == ["0", "1", "2", "between"]
