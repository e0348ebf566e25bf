"""How long sessions are held, and what becomes of what they hold: one row to a sentence.

The sentences are those of the project's page on push, under "Holding".
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from pushd.routing.delivery import QueueLimits
from pushd.routing.events import Undelivered
from tests.hall import START, Client, Hall, Outlet
from tests.unit.modules.push.stage import HOUR, JULIET, PHONE, Stage, condition, disable, enable

HOLD = 72 * HOUR
FRIEND = "nurse@example.net/kitchen"
STAMP = "2023-11-14T22:13:20.000Z"  # START
Row = Callable[[Path], None]
ROWS: dict[str, Row] = {}


def row(sentence: str) -> Callable[[Row], Row]:
    def note(check: Row) -> Row:
        assert sentence not in ROWS
        ROWS[sentence] = check
        return check

    return note


def is_held(hall: Hall, client: Client, seconds: float) -> bool:
    """Whether its session is there just before that time, and not just after."""
    sessions = hall.host.sessions
    hall.advance(seconds - 1)
    before = sessions.get(client.session.jid) is not None
    hall.advance(2)
    return before and sessions.get(client.session.jid) is None


def killed(stage: Stage, client: Client, after: float = 0.0) -> tuple[Hall, Client]:
    """The server after a kill, and the same client before it, detached."""
    hall = stage.hall.killed(after)
    session = hall.host.sessions.by_token(client.session.token)
    assert session is not None, "the session is lost"
    revived = Client(hall, session, Outlet())
    revived.outlet.handled = client.outlet.handled
    return hall, revived


def bodies(client: Client) -> list[str]:
    return [str(one.body) for one in client.received() if one.name == "message" and one.body]


def stamps(client: Client) -> list[str]:
    return [
        str(node["stamp"])
        for one in client.received()
        for node in one.elements()
        if node.name == "delay"
    ]


def friend_of(stage: Stage) -> Client:
    friend = stage.hall.login(FRIEND, sm=True)
    friend.acknowledge()
    friend.received()
    return friend


# How long.


@row("a session without push gets resume_timeout (300 s)")
def _(path: Path) -> None:
    stage = Stage()
    phone = stage.phone(enabled=False)
    phone.cut()
    assert is_held(stage.hall, phone, 300)


@row("0 switches resumption off, and push with it")
def _(path: Path) -> None:
    stage = Stage(resume_timeout=0)
    phone = stage.phone(enabled=False)
    assert phone.session.token == ""
    assert condition(enable(phone)) == "feature-not-implemented"
    phone.cut()
    assert stage.hall.host.sessions.of(JULIET) == {}


@row("an enabled session is held for push.hold (72 h)")
def _(path: Path) -> None:
    stage = Stage()
    assert is_held(stage.hall, stage.asleep(), HOLD)


@row("an enabled session is held for 72 h after a kill, too")
def _(path: Path) -> None:
    stage = Stage(path=path)
    hall, phone = killed(stage, stage.phone())
    assert is_held(hall, phone, HOLD)


@row("what <enabled/> said is a lower bound that is always kept")
def _(path: Path) -> None:
    stage = Stage(path=path)
    stage.phone().close()
    phone = stage.phone(enabled=False)  # of a device that is enabled: it is told 72 h
    assert phone.session.promised == HOLD
    assert disable(phone)["type"] == "result"
    phone.acknowledge()
    hall, phone = killed(stage, phone)
    assert is_held(hall, phone, HOLD)


@row("a client's own max shortens the hold of a session without push")
def _(path: Path) -> None:
    stage = Stage()
    phone = stage.hall.login(PHONE, sm=True, max_hold=60)
    phone.cut()
    assert is_held(stage.hall, phone, 60)


@row("a client's own max shortens it after a kill and a resumption, too")
def _(path: Path) -> None:
    stage = Stage(path=path)
    phone = stage.hall.login(PHONE, sm=True, max_hold=60)
    hall, phone = killed(stage, phone)
    phone.resume()
    phone.cut()
    assert is_held(hall, phone, 60)


@row("a client's own max does not shorten the hold of a session with push")
def _(path: Path) -> None:
    stage = Stage()
    phone = stage.hall.login(PHONE, sm=True, max_hold=60)
    assert enable(phone)["type"] == "result"
    phone.cut()
    assert is_held(stage.hall, phone, HOLD)


@row("a hold is an absolute end: what comes meanwhile does not lengthen it")
def _(path: Path) -> None:
    stage = Stage()
    phone = stage.asleep()
    for _ in range(71):
        stage.hall.advance(HOUR)
        stage.write()
    assert is_held(stage.hall, phone, HOUR)


@row("time in which the server was down does not count")
def _(path: Path) -> None:
    stage = Stage(path=path)
    phone = stage.asleep()
    stage.hall.advance(10 * HOUR)
    hall, phone = killed(stage, phone, after=100 * HOUR)
    assert is_held(hall, phone, 62 * HOUR)


# What is kept.


@row("a crash loses nothing, and the client resumes as if nothing had happened")
def _(path: Path) -> None:
    stage = Stage(path=path)
    phone = stage.phone()
    stage.write("live")
    phone.cut()
    stage.write("waiting")
    phone = killed(stage, phone)[1]
    phone.resume(phone.outlet.handled - 1)
    assert bodies(phone) == ["live", "waiting"]


@row("a detached queue holds 5,000 stanzas by default, or 10 MB")
def _(path: Path) -> None:
    assert QueueLimits() == QueueLimits(stanzas=5_000, size=10_000_000)


@row("a queue with one stanza too many ends the session into offline storage")
def _(path: Path) -> None:
    stage = Stage(limits=QueueLimits(stanzas=5))
    stage.asleep()
    for number in range(5):
        stage.write(str(number))
    assert len(stage.hall.host.sessions.of(JULIET)) == 1
    stage.write("5")
    assert stage.hall.host.sessions.of(JULIET) == {}
    again = stage.hall.login(PHONE, available=False)
    again.send("<presence/>")
    assert bodies(again) == ["0", "1", "2", "3", "4", "5"]


@row("a queue with one byte too many ends the session into offline storage")
def _(path: Path) -> None:
    stage = Stage(limits=QueueLimits(size=10_000))
    stage.asleep()
    stage.write("x" * 5_000)
    assert len(stage.hall.host.sessions.of(JULIET)) == 1
    stage.write("y" * 5_000)
    assert stage.hall.host.sessions.of(JULIET) == {}
    assert len(stage.hall.rows("SELECT * FROM offline")) == 2


@row("presence of one sender does not fill the queue: only the newest is kept")
def _(path: Path) -> None:
    stage = Stage(path=path, limits=QueueLimits(stanzas=5))
    phone = stage.asleep()
    stage.write("before")
    for number in range(50):
        stage.hall.route(
            f"<presence from='romeo@example.org/orchard' to='{PHONE}'"
            f"{' type=' + chr(39) + 'unavailable' + chr(39) if number % 2 else ''}>"
            f"<status>{number}</status></presence>"
        )
    stage.write("after")
    hall, phone = killed(stage, phone)
    assert len(hall.rows("SELECT * FROM queue")) == 3
    phone.resume()
    before, presence, after = phone.received()
    assert (str(before.body), str(after.body)) == ("before", "after")
    assert (presence["type"], str(presence.status)) == ("unavailable", "49")


@row("presence that may have been sent already is not replaced, and counts stay right")
def _(path: Path) -> None:
    stage = Stage()
    phone = stage.phone()
    send = "<presence from='romeo@example.org/orchard' to='{}'><status>{}</status></presence>"
    stage.hall.route(send.format(PHONE, "sent"))
    phone.cut()
    stage.hall.route(send.format(PHONE, "waits"))
    stage.hall.route(send.format(PHONE, "newest"))
    seen = phone.outlet.handled
    phone.received()
    phone.resume(seen)
    assert [str(one.status) for one in phone.received()] == ["newest"]
    phone.cut()
    stage.hall.route(send.format(PHONE, "later"))
    phone.resume(seen)
    assert [str(one.status) for one in phone.received()] == ["newest", "later"]


# Who takes over.


@row("binding the same full JID anew ends the old session and hands its queue over at once")
def _(path: Path) -> None:
    stage = Stage()
    old = stage.asleep()
    stage.write("one")
    new = stage.hall.login(PHONE, sm=True, available=False)
    assert not stage.hall.host.lifecycle.is_alive(old.session)
    new.send("<presence/>")
    assert bodies(new) == ["one"]


@row("enabling from a new session what the old one had enabled hands its queue over at once")
def _(path: Path) -> None:
    stage = Stage()
    old = stage.asleep()
    stage.write("one")
    new = stage.hall.login(f"{JULIET}/reinstalled", sm=True)
    assert enable(new, node="phone")["type"] == "result"
    assert not stage.hall.host.lifecycle.is_alive(old.session)
    assert bodies(new) == ["one"]


# When the hold ends.


@row("messages go to offline storage with their first delay stamp")
def _(path: Path) -> None:
    stage = Stage()
    stage.asleep()
    stage.write("one")
    stage.hall.advance(HOLD + 1)
    stage.hall.login(PHONE, sm=True)
    again = stage.hall.login(PHONE, available=False)
    again.send("<presence/>")
    assert stamps(again) == [STAMP]


@row("messages that another session has acknowledged go nowhere")
def _(path: Path) -> None:
    stage = Stage()
    stage.asleep()
    tablet = stage.phone("tablet")
    stage.write("one")
    tablet.acknowledge()
    stage.hall.advance(HOLD + 1)
    assert bodies(tablet) == ["one"]
    assert stage.hall.rows("SELECT * FROM offline") == []


@row("requests are answered with an error")
def _(path: Path) -> None:
    stage = Stage()
    friend = friend_of(stage)
    stage.asleep()
    friend.send(f"<iq type='get' id='x' to='{PHONE}'><query xmlns='urn:q'/></iq>")
    assert [one for one in friend.received() if one.name == "iq"] == []
    stage.hall.advance(HOLD + 1)
    [error] = [one for one in friend.received() if one.name == "iq"]
    assert (error["id"], condition(error)) == ("x", "service-unavailable")


@row("presence is dropped")
def _(path: Path) -> None:
    _ends_nowhere(f"<presence to='{PHONE}'/>")


@row("groupchat is dropped, and never bounced")
def _(path: Path) -> None:
    _ends_nowhere(f"<message type='groupchat' to='{PHONE}'><body>x</body></message>")


def _ends_nowhere(stanza: str) -> None:
    stage = Stage()
    friend = friend_of(stage)
    stage.asleep()
    friend.send(stanza)
    stage.hall.advance(HOLD + 1)
    assert stage.hall.rows("SELECT * FROM offline") == []
    assert [one for one in friend.received() if one.getAttribute("type") == "error"] == []


@row("a wake-up push goes out shortly before")
def _(path: Path) -> None:
    stage = Stage()
    stage.asleep()
    stage.hall.advance(HOLD - 200)
    assert stage.service.publishes == []
    stage.hall.advance(199)
    assert len(stage.service.publishes) == 1


@row("what goes to offline storage is not counted for the device again")
def _(path: Path) -> None:
    stage = Stage()
    stage.asleep()
    stage.write("one")
    assert stage.service.counts == ["1"]
    stage.hall.advance(HOLD + 1)
    assert [event.at for event in stage.hall.events(Undelivered)] == [START, START]
    assert set(stage.service.counts) == {"1"}


@pytest.mark.line(68, 69, 70, 71, 72, 73, 74, 77)
@pytest.mark.parametrize("sentence", list(ROWS))
def test_holding(sentence: str, tmp_path: Path) -> None:
    ROWS[sentence](tmp_path / "pushd.db")
