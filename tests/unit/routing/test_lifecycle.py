from pathlib import Path

import pytest

from pushd.routing import lifecycle
from pushd.routing.delivery import QueueLimits
from pushd.routing.events import (
    Cause,
    SessionBound,
    SessionDetached,
    SessionEnded,
    SessionResumed,
    Undelivered,
)
from pushd.routing.lifecycle import ANSWERING
from pushd.wire.acks import HandledCountTooHigh
from pushd.wire.element import Element
from tests.hall import START, Client, Hall, Outlet
from tests.support import result_of

MODULES = {"roster": None, "presence": None, "offline": None}
ROMEO, ORCHARD, PHONE = (
    "romeo@example.net",
    "romeo@example.net/orchard",
    "romeo@example.net/phone",
)
BALCONY = "juliet@example.net/balcony"
HOLD = 300


def message(body: str, to: str = ROMEO, type: str = "chat") -> str:
    return f"<message to='{to}' type='{type}' id='{body}'><body>{body}</body></message>"


def messages(client: Client) -> list[Element]:
    return [one for one in client.received() if one.name == "message"]


def bodies(client: Client) -> list[str]:
    return [str(one.body) for one in messages(client)]


def stamps(message: Element) -> list[str]:
    return [str(node["stamp"]) for node in message.elements() if node.name == "delay"]


def quiet(hall: Hall, address: str, *, sm: bool = True, max_hold: float | None = None) -> Client:
    """A client that has acknowledged whatever its login brought."""
    client = hall.login(address, sm=sm, max_hold=max_hold)
    if sm:
        client.acknowledge()
    client.outlet.unread.clear()
    return client


def arrive(hall: Hall, address: str, *, sm: bool = False) -> Client:
    """A client whose messages are still to be read."""
    client = hall.login(address, sm=sm, available=False)
    client.send("<presence/>")
    return client


def offline(hall: Hall) -> int:
    return int(hall.rows("SELECT count(*) FROM offline")[0][0])


@pytest.fixture
def hall() -> Hall:
    return Hall(modules=MODULES)


@pytest.fixture
def juliet(hall: Hall) -> Client:
    return quiet(hall, BALCONY)


# Binding (RFC 6120 §7).


def test_a_bound_resource_is_announced_and_found(hall: Hall) -> None:
    romeo = hall.login(ORCHARD)

    assert [event.session for event in hall.events(SessionBound)] == [romeo.session]
    assert hall.host.sessions.of(ROMEO) == {"orchard": romeo.session}
    assert hall.host.sessions.get(romeo.session.jid) is romeo.session


def test_binding_a_resource_anew_ends_its_old_session_with_a_conflict(hall: Hall) -> None:
    old = hall.login(ORCHARD)

    new = hall.login(ORCHARD)

    assert old.outlet.ended is not None
    assert old.outlet.ended.condition == "conflict"
    assert [event.session for event in hall.events(SessionEnded)] == [old.session]
    assert hall.host.sessions.of(ROMEO) == {"orchard": new.session}


def test_the_new_session_of_a_resource_gets_what_the_old_one_held(
    hall: Hall, juliet: Client
) -> None:
    old = quiet(hall, PHONE)
    old.cut()
    juliet.send(message("one"))
    undelivered = len(hall.events(Undelivered))

    new = arrive(hall, PHONE)

    [one] = messages(new)
    assert (str(one.body), stamps(one)) == ("one", ["2023-11-14T22:13:20.000Z"])
    assert len(hall.events(Undelivered)) == undelivered
    assert hall.rows("SELECT * FROM queue") == []


def test_what_the_new_session_has_no_room_for_is_refused() -> None:
    hall = Hall(modules={**MODULES, "offline": {"messages": 0}})
    juliet = quiet(hall, BALCONY)
    quiet(hall, PHONE).cut()
    juliet.send(message("one"))

    arrive(hall, PHONE)

    [error] = messages(juliet)
    assert (error["type"], error["id"]) == ("error", "one")


# Losing the stream.


def test_without_stream_management_a_session_ends_with_its_stream(hall: Hall) -> None:
    romeo = hall.login(ORCHARD)

    romeo.cut("reset by peer")

    assert [event.reason for event in hall.events(SessionEnded)] == ["reset by peer"]
    assert hall.host.sessions.of(ROMEO) == {}


def test_without_resumption_what_is_unacknowledged_is_stored(hall: Hall, juliet: Client) -> None:
    romeo = hall.login(ORCHARD, available=False)
    hall.wait(hall.host.lifecycle.manage(romeo.session, False, None))
    hall.host.lifecycle.start_counting(romeo.session)
    romeo.outlet.handled = 0
    romeo.send("<presence/>")
    juliet.send(message("one"))
    juliet.send(message("two"))
    romeo.acknowledge(romeo.outlet.handled - 1)

    assert romeo.session.token == ""
    romeo.cut()

    assert hall.host.sessions.of(ROMEO) == {}
    assert bodies(arrive(hall, ORCHARD)) == ["two"]
    assert hall.rows("SELECT * FROM queue") == []


def test_without_a_hold_nothing_can_be_resumed() -> None:
    hall = Hall(modules=MODULES, resume_timeout=0)
    romeo = hall.login(ORCHARD, sm=True)

    assert not hall.host.lifecycle.can_resume
    assert romeo.session.token == ""


def test_a_session_is_found_by_its_token_once_it_is_on_disk(tmp_path: Path) -> None:
    hall = Hall(modules=MODULES, path=tmp_path / "pushd.db")
    romeo = hall.login(ORCHARD)

    stored = hall.host.lifecycle.manage(romeo.session, True, None)
    assert not stored.called
    hall.advance(0)

    assert stored.called
    assert hall.host.sessions.by_token(romeo.session.token) is romeo.session
    revived = hall.killed().host.sessions.by_token(romeo.session.token)
    assert revived is not None
    assert revived.full == ORCHARD


def test_what_changes_often_is_written_once_to_a_commit(hall: Hall) -> None:
    phone = quiet(hall, PHONE)
    writes: list[str] = []
    write = hall.host.database.write

    def noted(sql: str, parameters: tuple[object, ...] = ()) -> None:
        writes.append(sql)
        write(sql, parameters)

    hall.host.database.write = noted  # type: ignore[method-assign]
    for number in range(100):
        phone.pass_on(f"<presence><status>{number}</status></presence>")
        hall.host.lifecycle.note(phone.session, "a module", number)
    hall.advance(0)

    assert len([sql for sql in writes if sql.startswith("UPDATE sessions SET presence")]) == 1
    [(presence, state)] = hall.rows(f"SELECT presence, state FROM sessions WHERE jid = '{PHONE}'")
    assert b"<status>99</status>" in presence
    assert "99" in state


def test_a_lost_stream_detaches_a_session_and_leaves_it_available(hall: Hall) -> None:
    phone = quiet(hall, PHONE)

    phone.cut("reset by peer")

    assert phone.session.is_detached
    assert phone.session.is_available
    [event] = hall.events(SessionDetached)
    assert (event.session, event.reason) == (phone.session, "reset by peer")
    assert hall.rows("SELECT detached_at, hold FROM sessions") == [(START, HOLD)]


# The hold.


def is_held(hall: Hall, client: Client, seconds: float) -> bool:
    """Whether the session is alive just before, and ended just after that time."""
    hall.advance(seconds - 1)
    before = hall.host.lifecycle.is_alive(client.session)
    hall.advance(2)
    return before and not hall.host.lifecycle.is_alive(client.session)


@pytest.mark.parametrize(
    ("asked", "holds", "expected"),
    [
        (None, (), 300),
        (60, (), 60),
        (600, (), 300),
        (None, (0, 1_000, 500), 1_000),
        (60, (1_000,), 1_000),
        (60, (10,), 60),
        (0, (100,), 100),
    ],
)
def test_the_longest_hold_wins_and_the_client_shortens_only_the_common_one(
    hall: Hall, asked: float | None, holds: tuple[float, ...], expected: float
) -> None:
    for hold in holds:
        hall.host.lifecycle.hold_for(lambda session, hold=hold: hold)  # type: ignore[misc]
    phone = quiet(hall, PHONE, max_hold=asked)

    phone.cut()

    assert is_held(hall, phone, expected)


@pytest.mark.parametrize("kills", [0, 1, 2])
def test_a_hold_that_was_promised_is_kept_when_what_lengthened_it_is_gone(
    lasting: Hall, kills: int
) -> None:
    asked = [1_000.0]
    lasting.host.lifecycle.hold_for(lambda session: asked[0])
    phone = quiet(lasting, PHONE)
    asked[0] = 0.0

    hall = lasting
    for _ in range(kills):
        hall = hall.killed()
        phone = revive(hall, phone)
        phone.resume()
    phone.cut()

    assert is_held(hall, phone, 1_000)


@pytest.mark.parametrize("kills", [1, 2])
def test_what_a_client_asked_for_holds_after_a_kill_too(lasting: Hall, kills: int) -> None:
    phone, hall = quiet(lasting, PHONE, max_hold=60), lasting
    for _ in range(kills):
        hall = hall.killed()
        phone = revive(hall, phone)
        phone.resume()

    phone.cut()

    assert is_held(hall, phone, 60)


def test_a_hold_begins_when_the_stream_is_lost(hall: Hall) -> None:
    phone = quiet(hall, PHONE)
    hall.advance(1_000)

    phone.cut()

    assert is_held(hall, phone, HOLD)


# What a session holds at its end.


def test_at_the_end_of_a_hold_messages_are_stored_with_their_first_stamp(
    hall: Hall, juliet: Client
) -> None:
    phone = quiet(hall, PHONE)
    juliet.send(message("live"))
    hall.advance(10)
    phone.cut()
    hall.advance(10)
    juliet.send(message("waiting"))
    hall.advance(HOLD)

    stored = [event for event in hall.events(Undelivered) if event.cause is Cause.ABSENT]
    assert [(event.stanza.id, event.at) for event in stored] == [
        ("live", START),
        ("waiting", START + 20),
    ]
    assert all(event.session is phone.session for event in stored)
    assert hall.rows("SELECT * FROM queue") == []
    assert hall.rows(f"SELECT * FROM sessions WHERE jid = '{PHONE}'") == []
    live, waiting = messages(arrive(hall, ORCHARD))
    assert (str(live.body), stamps(live)) == ("live", ["2023-11-14T22:13:20.000Z"])
    assert (str(waiting.body), stamps(waiting)) == ("waiting", ["2023-11-14T22:13:40.000Z"])


@pytest.mark.parametrize(
    ("stanza", "answered"),
    [
        ("<iq type='get' id='x' to='{}'><q xmlns='urn:q'/></iq>", True),
        ("<iq type='set' id='x' to='{}'><q xmlns='urn:q'/></iq>", True),
        ("<iq type='result' id='x' to='{}'/>", False),
        ("<iq type='error' id='x' to='{}'/>", False),
        ("<presence to='{}'/>", False),
        ("<message type='groupchat' to='{}'><body>x</body></message>", False),
        ("<message type='headline' to='{}'><body>x</body></message>", False),
        ("<message type='error' to='{}'/>", False),
        (
            "<message type='chat' to='{}'><active xmlns='http://jabber.org/protocol/chatstates'/></message>",
            False,
        ),
    ],
)
def test_other_stanzas_are_answered_or_dropped(
    hall: Hall, juliet: Client, stanza: str, answered: bool
) -> None:
    quiet(hall, PHONE).cut()
    juliet.send(stanza.format(PHONE))
    juliet.received()

    hall.advance(HOLD)

    errors = [one for one in juliet.received() if one.getAttribute("type") == "error"]
    assert [(one["id"], one["from"]) for one in errors] == ([("x", PHONE)] if answered else [])
    assert offline(hall) == 0


@pytest.mark.parametrize("type", ["", "type='normal'", "type='chat'", "type='unheard-of'"])
def test_messages_to_read_are_stored_whatever_their_type_is_called(
    hall: Hall, juliet: Client, type: str
) -> None:
    quiet(hall, PHONE).cut()
    juliet.send(f"<message {type} to='{PHONE}'><body>hi</body></message>")

    hall.advance(HOLD)

    assert offline(hall) == 1


def test_a_session_that_ends_gives_its_messages_to_the_others(hall: Hall, juliet: Client) -> None:
    phone = quiet(hall, PHONE)
    phone.cut()
    juliet.send(message("one"))
    hall.advance(10)
    orchard, shy = quiet(hall, ORCHARD), hall.login(f"{ROMEO}/shy", available=False)

    hall.advance(HOLD)

    [one] = messages(orchard)
    assert (str(one.body), stamps(one)) == ("one", ["2023-11-14T22:13:20.000Z"])
    assert messages(shy) == []
    assert offline(hall) == 0


def test_a_message_that_another_resource_acknowledged_goes_no_further(
    hall: Hall, juliet: Client
) -> None:
    phone, orchard = quiet(hall, PHONE), quiet(hall, ORCHARD)
    phone.cut()
    juliet.send(message("one"))
    assert bodies(orchard) == ["one"]
    orchard.acknowledge()

    hall.advance(HOLD)
    orchard.close()

    assert messages(orchard) == []
    assert offline(hall) == 0


def test_a_message_that_another_resource_still_holds_is_not_given_to_it_again(
    hall: Hall, juliet: Client
) -> None:
    phone, tablet = quiet(hall, PHONE), quiet(hall, f"{ROMEO}/tablet")
    phone.cut()
    hall.advance(100)
    tablet.cut()
    juliet.send(message("one"))

    hall.advance(HOLD - 100)
    assert not hall.host.lifecycle.is_alive(phone.session)
    tablet.resume()

    assert bodies(tablet) == ["one"]


def test_the_last_resource_that_holds_a_message_hands_it_on(hall: Hall, juliet: Client) -> None:
    clients = [quiet(hall, f"{ROMEO}/{number}") for number in range(3)]
    for client in clients:
        client.cut()
        hall.advance(10)
    juliet.send(message("one"))

    hall.advance(HOLD)

    assert bodies(arrive(hall, ORCHARD)) == ["one"]


def test_a_message_handed_on_to_several_is_stored_once_in_the_end(
    hall: Hall, juliet: Client
) -> None:
    quiet(hall, PHONE).cut()
    juliet.send(message("one"))
    hall.advance(HOLD - 10)
    others = [quiet(hall, f"{ROMEO}/{number}") for number in range(2)]
    hall.advance(10)
    assert [bodies(client) for client in others] == [["one"], ["one"]]
    for client in others:
        client.cut()

    hall.advance(HOLD)

    assert offline(hall) == 1


# Resumption (XEP-0198 §5).


def test_a_resumed_session_gets_what_it_has_not_seen_in_order(hall: Hall, juliet: Client) -> None:
    phone = quiet(hall, PHONE)
    for body in ("seen", "lost"):
        juliet.send(message(body))
    assert bodies(phone) == ["seen", "lost"]
    phone.cut()
    for body in ("waiting", "longer"):
        juliet.send(message(body))

    phone.resume(phone.outlet.handled - 1)
    hall.turn.flush()

    assert len(phone.nonzas("r")) == 1
    assert bodies(phone) == ["lost", "waiting", "longer"]
    assert [event.session for event in hall.events(SessionResumed)] == [phone.session]
    juliet.send(message("new"))
    assert bodies(phone) == ["new"]


def test_a_resumed_session_is_not_ended_by_its_old_hold(hall: Hall) -> None:
    phone = quiet(hall, PHONE)
    phone.cut()
    hall.advance(HOLD - 1)

    phone.resume()
    hall.advance(HOLD)
    assert hall.host.lifecycle.is_alive(phone.session)
    phone.cut()

    assert is_held(hall, phone, HOLD)


def test_a_session_is_resumed_while_its_old_stream_still_looks_open(
    hall: Hall, juliet: Client
) -> None:
    phone = quiet(hall, PHONE)
    old = phone.outlet
    juliet.send(message("one"))

    phone.resume(old.handled - 1)

    assert old.ended is not None
    assert old.ended.condition == "conflict"
    assert bodies(phone) == ["one"]
    assert phone.session.stream is phone.outlet
    assert hall.events(SessionDetached) == []


def test_a_resumption_that_is_not_finished_leaves_the_session_to_its_hold(hall: Hall) -> None:
    phone = quiet(hall, PHONE)

    hall.wait(hall.host.lifecycle.settle(phone.session, phone.outlet.handled))

    assert phone.session.is_detached
    assert is_held(hall, phone, HOLD)


def test_a_session_whose_resumption_is_abandoned_is_announced_as_detached_once(hall: Hall) -> None:
    lifecycle, phone = hall.host.lifecycle, quiet(hall, PHONE)
    hall.wait(lifecycle.settle(phone.session, phone.outlet.handled))

    lifecycle.abandon(phone.session, "lost")
    lifecycle.abandon(phone.session, "lost")
    assert [event.session for event in hall.events(SessionDetached)] == [phone.session]

    hall.wait(lifecycle.settle(phone.session, phone.outlet.handled))
    lifecycle.abandon(phone.session, "lost")  # it was detached all the time
    assert len(hall.events(SessionDetached)) == 1


def test_a_resumption_waits_for_requests_that_are_being_answered(hall: Hall) -> None:
    phone = quiet(hall, PHONE)
    handled = phone.session.handled
    assert handled is not None
    phone.pass_on(message("one", BALCONY))
    number = handled.received
    handled.hold(number)
    hall.advance(0)
    assert handled.h == number - 1

    settled = hall.host.lifecycle.settle(phone.session, phone.outlet.handled)
    hall.advance(1)
    assert not settled.called
    handled.release(number)
    hall.advance(0)

    assert settled.called
    assert handled.h == number


def test_a_resumption_does_not_wait_forever_for_an_answer(hall: Hall) -> None:
    phone = quiet(hall, PHONE)
    handled = phone.session.handled
    assert handled is not None
    phone.pass_on(message("one", BALCONY))
    handled.hold(handled.received)

    settled = hall.host.lifecycle.settle(phone.session, phone.outlet.handled)
    hall.advance(ANSWERING)

    assert settled.called
    assert handled.h == handled.received
    handled.release(handled.received)


def test_a_resumption_waits_until_all_that_was_handled_is_safe(hall: Hall) -> None:
    phone = quiet(hall, PHONE)
    handled = phone.session.handled
    assert handled is not None
    phone.pass_on(message("one", BALCONY))

    settled = hall.host.lifecycle.settle(phone.session, phone.outlet.handled)
    assert not settled.called
    hall.advance(0)

    assert settled.called
    assert handled.h == handled.received


def test_a_resumption_with_too_high_a_count_changes_nothing(hall: Hall, juliet: Client) -> None:
    phone = quiet(hall, PHONE)
    juliet.send(message("one"))
    seen = phone.outlet.handled

    with pytest.raises(HandledCountTooHigh):
        hall.host.lifecycle.settle(phone.session, seen + 1)

    assert phone.session.stream is phone.outlet
    phone.cut()
    phone.resume(seen - 1)
    assert bodies(phone) == ["one"]


def test_the_count_of_an_ended_session_is_remembered_for_its_account(hall: Hall) -> None:
    phone = quiet(hall, PHONE)
    phone.send(message("one", BALCONY))
    token = phone.session.token
    assert hall.host.lifecycle.last_count(token, ROMEO) is None

    phone.cut()
    hall.advance(HOLD)

    assert hall.host.lifecycle.last_count(token, ROMEO) == 2  # its presence and the message
    assert hall.host.lifecycle.last_count(token, "juliet@example.net") is None
    assert hall.host.lifecycle.last_count("nonsense", ROMEO) is None
    assert hall.host.sessions.by_token(token) is None


def test_remembered_counts_are_limited(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pushd.routing.lifecycle.REMEMBERED", 2)
    tokens = []
    for number in range(3):
        client = quiet(hall, f"{ROMEO}/{number}")
        tokens.append(client.session.token)
        client.close()

    counts = [hall.host.lifecycle.last_count(token, ROMEO) for token in tokens]
    assert counts == [None, 1, 1]


# Restarts.


@pytest.fixture
def lasting(tmp_path: Path) -> Hall:
    return Hall(modules=MODULES, path=tmp_path / "pushd.db")


def revive(hall: Hall, client: Client) -> Client:
    """The same client before the next server, still to resume."""
    session = hall.host.sessions.by_token(client.session.token)
    assert session is not None
    assert session.is_detached
    revived = Client(hall, session, Outlet())
    revived.outlet.handled = client.outlet.handled
    return revived


@pytest.mark.parametrize("was_cut", [True, False])
def test_a_killed_server_brings_its_sessions_back_detached(lasting: Hall, was_cut: bool) -> None:
    phone, juliet = quiet(lasting, PHONE), quiet(lasting, BALCONY)
    if was_cut:
        phone.cut()
    juliet.send(message("one"))
    juliet.send(message("two"))
    seen = phone.outlet.handled - (0 if was_cut else 2)

    later = lasting.killed(after=5)
    detached = [event.session.full for event in later.events(SessionDetached)]
    again = revive(later, phone)
    again.resume(seen)

    assert detached == [BALCONY] if was_cut else [PHONE, BALCONY]
    assert bodies(again) == ["one", "two"]
    assert again.session.handled is not None
    assert again.session.handled.h == 1


def test_a_client_may_know_more_than_the_server_that_was_killed(lasting: Hall) -> None:
    phone, juliet = quiet(lasting, PHONE), quiet(lasting, BALCONY)
    juliet.send(message("one"))
    juliet.pass_on(message("two"))
    juliet.pass_on(message("three"))
    assert bodies(phone) == ["one", "two", "three"]

    again = revive(lasting.killed(), phone)
    again.resume()

    assert bodies(again) == []
    assert again.session.queue is not None
    assert again.session.queue.acked == phone.outlet.handled
    with pytest.raises(HandledCountTooHigh):
        again.hall.host.delivery.acknowledged(again.session, again.outlet.handled + 1)


@pytest.mark.parametrize("kills", [1, 2, 3])
def test_what_waits_since_a_kill_is_not_covered_by_what_was_read_before_it(
    lasting: Hall, kills: int
) -> None:
    phone, juliet = quiet(lasting, PHONE), quiet(lasting, BALCONY)
    for number in range(3):
        juliet.pass_on(message(f"read {number}", PHONE))  # no commit knows of it

    hall = lasting.killed()
    for number in range(kills):
        hall.route(
            message(f"since {number}", PHONE).replace("<message", f"<message from='{BALCONY}'")
        )
        if number:
            hall = hall.killed()
    again = revive(hall, phone)
    again.resume()

    assert bodies(again) == [f"since {number}" for number in range(kills)]
    again.acknowledge()
    assert hall.rows("SELECT * FROM queue") == []


def test_a_resumption_that_a_kill_cuts_short_repeats_nothing(lasting: Hall) -> None:
    phone = quiet(lasting, PHONE)
    hall = lasting.killed()
    hall.add_account("juliet@example.net")
    hall.route(message("since", PHONE).replace("<message", f"<message from='{BALCONY}'"))
    again = revive(hall, phone)
    settled = hall.host.lifecycle.settle(again.session, again.outlet.handled)
    hall.advance(0)
    result_of(settled)
    seen, again.outlet = again.outlet.handled, Outlet()
    hall.host.lifecycle.resume(again.session, again.outlet, b"")
    assert bodies(again) == ["since"]

    last = revive(hall.killed(), phone)
    last.resume(seen + 1)

    assert bodies(last) == []


def test_what_a_client_was_told_is_handled_survives_a_kill(lasting: Hall) -> None:
    phone, juliet = quiet(lasting, PHONE), quiet(lasting, BALCONY)
    phone.cut()
    for number in range(5):
        juliet.send(message(str(number)))
    told = juliet.nonzas("a")[-1]["h"]

    later = lasting.killed()
    again, sender = revive(later, phone), revive(later, juliet)
    again.resume()

    assert sender.session.handled is not None
    assert str(sender.session.handled.h) == told
    assert bodies(again) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("batch", [1, 2, 6, 1_000])
def test_queues_are_read_back_in_parts(
    lasting: Hall, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone, tablet = quiet(lasting, PHONE), quiet(lasting, "nurse@example.net/x")
    juliet = quiet(lasting, BALCONY)
    for client in (phone, tablet):
        client.cut()
    for number in "012":
        juliet.send(message(number))
        juliet.send(message(number, "nurse@example.net"))
    monkeypatch.setattr(lifecycle, "BATCH", batch)

    later = lasting.killed()

    for client in (phone, tablet):
        again = revive(later, client)
        again.resume()
        assert bodies(again) == ["0", "1", "2"]


def test_time_without_a_server_is_not_taken_from_a_hold_however_often(lasting: Hall) -> None:
    phone = quiet(lasting, PHONE)
    phone.cut()
    hall = lasting
    for _ in range(3):
        hall.advance(60)
        hall = hall.killed(after=10_000)

    assert is_held(hall, revive(hall, phone), HOLD - 180)


def test_a_hold_asked_for_since_counts_for_a_session_that_was_cut_off(
    lasting: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = quiet(lasting, PHONE)
    monkeypatch.setattr(
        "tests.hall.load", lambda host, wanted: _load_with_hold(host, wanted, 1_000)
    )

    later = lasting.killed()

    assert is_held(later, revive(later, phone), 1_000)


async def _load_with_hold(host: object, wanted: object, hold: float) -> object:
    from pushd.modules.base import load

    host.lifecycle.hold_for(lambda session: hold)  # type: ignore[attr-defined]
    return await load(host, wanted)  # type: ignore[arg-type]


def test_a_hold_that_is_over_ends_a_session_after_the_restart(lasting: Hall) -> None:
    phone, juliet = quiet(lasting, PHONE), quiet(lasting, BALCONY)
    phone.cut()
    juliet.send(message("one"))
    lasting.advance(HOLD - 1)

    later = lasting.killed()
    later.advance(2)

    assert later.host.sessions.of(ROMEO) == {}
    assert bodies(arrive(later, ORCHARD)) == ["one"]


def test_a_session_that_cannot_be_resumed_ends_into_storage(lasting: Hall) -> None:
    romeo, juliet = lasting.login(ORCHARD, available=False), quiet(lasting, BALCONY)
    lasting.wait(lasting.host.lifecycle.manage(romeo.session, False, None))
    lasting.host.lifecycle.start_counting(romeo.session)
    romeo.send("<presence/>")
    juliet.send(message("one"))

    later = lasting.killed()

    assert later.host.sessions.of(ROMEO) == {}
    assert later.rows(f"SELECT * FROM sessions WHERE jid = '{ORCHARD}'") == []
    assert later.rows("SELECT * FROM queue WHERE CAST(stanza AS TEXT) LIKE '%one%'") == []
    assert bodies(arrive(later, ORCHARD)) == ["one"]


def test_sessions_of_an_account_that_is_gone_are_forgotten(lasting: Hall) -> None:
    phone, juliet = quiet(lasting, PHONE), quiet(lasting, BALCONY)
    phone.cut()
    juliet.send(message("one"))
    lasting.host.database.write(f"DELETE FROM accounts WHERE jid = '{ROMEO}'")
    lasting.advance(0)

    later = lasting.killed()
    later.advance(0)

    assert later.host.sessions.of(ROMEO) == {}
    assert later.rows("SELECT jid FROM sessions") == [(BALCONY,)]
    assert later.rows("SELECT * FROM queue") == []
    assert later.rows("SELECT * FROM offline") == []


@pytest.mark.parametrize("kill", ["before", "after"])
def test_what_one_resource_acknowledged_is_done_for_the_others_after_a_kill(
    lasting: Hall, kill: str
) -> None:
    phone, tablet, juliet = (quiet(lasting, f"{ROMEO}/{name}") for name in ("p", "t", "j"))
    phone.cut()
    juliet.send(message("one", ROMEO, "chat"))
    assert bodies(tablet) == ["one"]
    hall = lasting
    if kill == "before":
        hall = lasting.killed()
        again = revive(hall, tablet)
        again.resume()
    else:
        tablet.acknowledge()
        hall = lasting.killed()

    hall.advance(HOLD)
    hall.advance(HOLD)

    assert offline(hall) == 0


def test_a_message_that_others_hold_after_a_kill_is_handed_on_by_the_last(lasting: Hall) -> None:
    phone, tablet, juliet = (quiet(lasting, f"{ROMEO}/{name}") for name in ("p", "t", "j"))
    phone.cut()
    lasting.advance(120)
    tablet.cut()
    juliet.close()
    lasting.route(message("one").replace("<message", f"<message from='{BALCONY}'"))

    later = lasting.killed()
    later.advance(HOLD - 110)
    assert offline(later) == 0
    assert len(later.host.sessions.of(ROMEO)) == 1
    later.advance(120)

    assert bodies(arrive(later, ORCHARD)) == ["one"]


def test_numbers_go_on_after_a_restart(lasting: Hall) -> None:
    """New sessions and queued stanzas never take a number that is in use."""
    phone, juliet = quiet(lasting, PHONE), quiet(lasting, BALCONY)
    phone.cut()
    juliet.send(message("one"))

    later = lasting.killed()
    tablet, sender = quiet(later, f"{ROMEO}/tablet"), quiet(later, "nurse@example.net/x")
    tablet.cut()
    sender.send(message("two", f"{ROMEO}/tablet"))
    last = later.killed()

    for client, expected in ((phone, ["one"]), (tablet, ["two"])):
        again = revive(last, client)
        again.resume()
        assert bodies(again) == expected


def test_a_limit_is_kept_across_a_restart(tmp_path: Path) -> None:
    hall = Hall(modules=MODULES, path=tmp_path / "x.db", limits=QueueLimits(stanzas=2))
    phone, juliet = quiet(hall, PHONE), quiet(hall, BALCONY)
    phone.cut()
    juliet.send(message("one"))
    juliet.send(message("two"))

    later = hall.killed()
    quiet(later, "nurse@example.net/x").send(message("three"))

    assert later.host.sessions.of(ROMEO) == {}
    assert bodies(arrive(later, ORCHARD)) == ["one", "two", "three"]


def test_a_server_that_stops_notes_when(lasting: Hall) -> None:
    quiet(lasting, PHONE).cut()
    lasting.advance(50)

    lasting.host.lifecycle.stop()
    lasting.wait(lasting.host.database.close())

    again = Hall(modules=MODULES, path=lasting._path, at=START + 10_000)
    [phone] = again.host.sessions.of(ROMEO).values()
    assert phone.expiry is not None
    assert phone.expiry.getTime() == START + 10_000 + HOLD - 50
    again.advance(0)
    assert result_of(again.host.database.committed()) is None


# Notes of modules.


def test_notes_outlive_a_restart_whenever_they_were_made(lasting: Hall) -> None:
    romeo = lasting.login(ORCHARD)
    note = lasting.host.lifecycle.note
    note(romeo.session, "before", ["a", 1])
    lasting.wait(lasting.host.lifecycle.manage(romeo.session, True, None))
    note(romeo.session, "after", True)
    note(romeo.session, "gone", 1)
    note(romeo.session, "gone", None)
    lasting.advance(0)

    [session] = lasting.killed().host.sessions.of(ROMEO).values()

    assert session.notes == {"before": ["a", 1], "after": True}
