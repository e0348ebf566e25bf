import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from pushd.routing.delivery import QueueLimits, stamped
from pushd.routing.events import Cause, SessionDetached, SessionEnded, Undelivered
from pushd.wire.acks import HandledCountTooHigh
from pushd.wire.framer import seal
from tests.hall import START, Client, Hall

MODULES = {"roster": None, "presence": None, "offline": None}
ROMEO, ORCHARD, PHONE = (
    "romeo@example.net",
    "romeo@example.net/orchard",
    "romeo@example.net/phone",
)
BALCONY = "juliet@example.net/balcony"

QUEUED = "FROM queue WHERE CAST(stanza AS TEXT) LIKE '%queued%'"


def message(body: str, to: str = ROMEO, type: str = "chat") -> str:
    return f"<message to='{to}' type='{type}' id='{body}'><body>{body}</body></message>"


def bodies(client: Client) -> list[str]:
    return [str(one.body) for one in client.received() if one.name == "message"]


@pytest.fixture
def hall() -> Hall:
    return Hall(modules=MODULES)


@pytest.fixture
def juliet(hall: Hall) -> Client:
    juliet = hall.login(BALCONY, sm=True)
    juliet.acknowledge()
    juliet.received()
    return juliet


def quiet(hall: Hall, address: str, *, sm: bool = True) -> Client:
    """A client that has acknowledged whatever its login brought."""
    client = hall.login(address, sm=sm)
    if sm:
        client.acknowledge()
    client.outlet.unread.clear()
    return client


# What an acknowledgement means.


def test_an_acknowledgement_is_sent_unasked_after_the_commit(hall: Hall, juliet: Client) -> None:
    handled = juliet.session.handled
    assert handled is not None
    before = handled.h

    juliet.pass_on(message("one"))
    juliet.pass_on(message("two"))
    assert (handled.h, juliet.nonzas("a")) == (before, [])
    hall.advance(0)

    assert [one["h"] for one in juliet.nonzas("a")] == [str(before + 2)]


def test_a_request_to_a_service_of_ours_is_not_acknowledged_before_its_answer(
    hall: Hall, juliet: Client
) -> None:
    handled = juliet.session.handled
    assert handled is not None
    before = handled.h
    answer: Deferred[None] = Deferred()
    hall.host.router.add_service("push.example.net")
    hall.host.requests.add("set", "urn:t", "wait", "push.example.net", lambda iq: until(answer))
    request = "<iq type='set' id='a' to='push.example.net'><wait xmlns='urn:t'/></iq>"

    juliet.send(request)
    assert handled.h == before
    answer.callback(None)
    hall.advance(0)

    assert handled.h == before + 1
    assert [one.attributes["id"] for one in juliet.received()] == ["a"]


async def until(something: "Deferred[None]") -> None:
    await something


def test_when_h_covers_a_message_it_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pushd.db"
    hall = Hall(modules=MODULES, path=path)
    quiet(hall, PHONE).cut()
    hall.add_account("nurse@example.net")
    juliet = hall.login(BALCONY, sm=True)
    found: list[tuple[int, int]] = []

    def look(data: bytes) -> None:
        if data.startswith(b"<a "):
            with closing(sqlite3.connect(path)) as rows:
                found.append(
                    (
                        rows.execute(f"SELECT count(*) {QUEUED}").fetchone()[0],
                        rows.execute("SELECT count(*) FROM offline").fetchone()[0],
                    )
                )

    monkeypatch.setattr(juliet.outlet, "send", look)
    juliet.pass_on(message("queued"))
    juliet.pass_on(message("stored", "nurse@example.net"))
    hall.advance(0)

    assert found == [(1, 1)]


def test_a_failing_disk_acknowledges_nothing(
    hall: Hall, juliet: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet(hall, PHONE).cut()
    handled = juliet.session.handled
    assert handled is not None
    before = handled.h
    with monkeypatch.context() as broken:
        real = hall.host.database._writer.attempt
        broken.setattr(
            hall.host.database._writer,
            "attempt",
            lambda writes, reads: type(real([], []))(failure="disk full"),
        )
        juliet.send(message("queued"))
        assert handled.h == before

    hall.advance(5)

    assert handled.h == before + 1
    assert hall.rows(f"SELECT count(*) {QUEUED}") == [(1,)]


# Live receivers.


def test_what_is_acknowledged_before_the_commit_is_never_written(
    hall: Hall, juliet: Client
) -> None:
    romeo = quiet(hall, ORCHARD)
    writes = count_writes(hall)

    juliet.pass_on(message("one"))
    hall.host.delivery.acknowledged(romeo.session, romeo.outlet.handled)
    hall.advance(0)

    assert bodies(romeo) == ["one"]
    assert not [sql for sql in writes if "queue" in sql]


def count_writes(hall: Hall) -> list[str]:
    """The statements of the transactions from now on."""
    seen: list[str] = []
    database = hall.host.database
    attempt = database._writer.attempt

    def watched(writes: list[tuple[str, object]], reads: list[object]) -> object:
        seen.extend(sql for sql, _ in writes)
        return attempt(writes, reads)  # type: ignore[arg-type]

    database._writer.attempt = watched  # type: ignore[method-assign,assignment]
    return seen


def test_what_is_not_acknowledged_is_written_once_and_deleted_afterwards(
    hall: Hall, juliet: Client
) -> None:
    romeo = quiet(hall, ORCHARD)

    for number in range(3):
        juliet.send(message(str(number)))
    assert queued(hall, romeo) == ["0", "1", "2"]

    romeo.acknowledge(romeo.outlet.handled - 1)
    assert queued(hall, romeo) == ["2"]
    romeo.acknowledge()
    assert queued(hall, romeo) == []


def queued(hall: Hall, client: Client) -> list[str]:
    """The messages that storage holds for a session, in order."""
    rows = hall.rows(f"SELECT stanza FROM queue WHERE session = {client.session.row} ORDER BY id")
    stanzas = [seal(raw) for (raw,) in rows]
    return [stanza.id for stanza in stanzas if stanza.name == "message"]


def test_a_session_without_stream_management_is_just_sent_to(hall: Hall, juliet: Client) -> None:
    romeo = quiet(hall, ORCHARD, sm=False)

    juliet.send(message("one"))

    assert bodies(romeo) == ["one"]
    assert hall.rows("SELECT * FROM queue") == []


# Asking for acknowledgements.


def asked(client: Client) -> int:
    return len(client.nonzas("r"))


def test_an_acknowledgement_is_asked_for_once_until_it_comes(hall: Hall, juliet: Client) -> None:
    romeo = quiet(hall, ORCHARD)

    for number in range(3):
        juliet.pass_on(message(str(number)))
    assert asked(romeo) == 0
    hall.turn.flush()
    assert asked(romeo) == 1
    juliet.send(message("3"))
    assert asked(romeo) == 0

    romeo.acknowledge()
    hall.turn.flush()
    assert asked(romeo) == 0
    juliet.send(message("4"))
    assert asked(romeo) == 1


def test_a_part_that_is_acknowledged_has_the_rest_asked_for(hall: Hall, juliet: Client) -> None:
    romeo = quiet(hall, ORCHARD)
    juliet.send(message("0"))
    juliet.send(message("1"))
    asked(romeo)

    romeo.acknowledge(romeo.outlet.handled - 1)
    hall.turn.flush()

    assert asked(romeo) == 1


def test_a_client_whose_count_lags_is_not_asked_without_end(hall: Hall, juliet: Client) -> None:
    romeo = quiet(hall, ORCHARD)
    juliet.send(message("0"))
    assert asked(romeo) == 1

    for _ in range(3):
        romeo.acknowledge(romeo.outlet.handled - 1)
        hall.turn.flush()

    assert asked(romeo) == 0
    juliet.send(message("1"))
    assert asked(romeo) == 1


def test_more_than_was_sent_is_not_acknowledged(hall: Hall, juliet: Client) -> None:
    romeo = quiet(hall, ORCHARD)
    juliet.send(message("0"))

    with pytest.raises(HandledCountTooHigh):
        hall.host.delivery.acknowledged(romeo.session, romeo.outlet.handled + 1)

    assert queued(hall, romeo) == ["0"]


# Detached receivers.


@pytest.fixture
def phone(hall: Hall) -> Client:
    phone = quiet(hall, PHONE)
    phone.cut()
    hall.seen.clear()
    return phone


def test_what_waits_for_a_detached_session_is_stamped_and_announced(
    hall: Hall, juliet: Client, phone: Client
) -> None:
    hall.advance(60)
    juliet.send(message("one"))
    hall.advance(60)
    juliet.send(message("two"))

    phone.resume()

    stamps = [one.delay["stamp"] for one in phone.received()]
    assert stamps == ["2023-11-14T22:14:20.000Z", "2023-11-14T22:15:20.000Z"]
    first, _ = hall.events(Undelivered)
    assert (first.account, first.session, first.cause) == (ROMEO, phone.session, Cause.DETACHED)
    assert (first.at, first.stanza.id) == (START + 60, "one")


def test_a_request_that_waits_is_not_stamped(hall: Hall, juliet: Client, phone: Client) -> None:
    juliet.send(f"<iq type='get' id='q' to='{PHONE}'><query xmlns='urn:example'/></iq>")

    phone.resume()

    [one] = phone.received()
    assert [node.name for node in one.elements()] == ["query"]


@pytest.mark.parametrize(
    "limits", [QueueLimits(stanzas=2, size=10_000), QueueLimits(stanzas=100, size=500)]
)
def test_a_queue_that_is_full_ends_the_session_into_storage(limits: QueueLimits) -> None:
    hall = Hall(modules=MODULES, limits=limits)
    phone, juliet = quiet(hall, PHONE), quiet(hall, BALCONY)
    phone.cut()

    sent = 0
    while not hall.events(SessionEnded):
        sent += 1
        assert sent < 20
        juliet.send(message(f"{sent:0100}" if limits.size < 1_000 else str(sent)))

    assert not hall.host.lifecycle.is_alive(phone.session)
    assert hall.rows("SELECT count(*) FROM offline") == [(sent,)]
    assert hall.rows("SELECT count(*) FROM queue") == [(0,)]
    assert len(bodies(hall.login(ORCHARD))) == 0  # `login` has read them away
    assert hall.rows("SELECT count(*) FROM offline") == [(0,)]


@pytest.mark.parametrize(
    "limits", [QueueLimits(stanzas=2, size=10_000), QueueLimits(stanzas=100, size=500)]
)
def test_a_client_that_reads_and_never_acknowledges_has_to_come_back(limits: QueueLimits) -> None:
    hall = Hall(modules=MODULES, limits=limits)
    phone, juliet = quiet(hall, PHONE), quiet(hall, BALCONY)
    seen = phone.outlet.handled

    sent = 0
    while phone.outlet.ended is None:
        sent += 1
        assert sent < 20
        juliet.send(message(f"{sent:0100}" if limits.size < 1_000 else str(sent)))

    assert phone.outlet.ended.condition == "policy-violation"
    assert [event.session for event in hall.events(SessionDetached)] == [phone.session]
    phone.outlet.unread.clear()
    phone.resume(seen)
    assert len(bodies(phone)) == sent


# Storage for the absent.


def test_without_a_store_a_message_for_nobody_is_refused() -> None:
    hall = Hall()
    hall.add_account(ROMEO)
    juliet = hall.login(BALCONY)

    juliet.send(message("one"))

    [error] = juliet.received()
    assert error.error.firstChildElement().name == "service-unavailable"


# Stamps.


def test_a_stamp_of_ours_stays_as_it_is_and_one_of_others_does_not_count() -> None:
    raw = b"<message><body>x</body></message>"
    once = stamped(raw, seal(raw), "example.net", START)
    assert stamped(once, seal(once), "example.net", START + 60) == once

    foreign = stamped(raw, seal(raw), "muc.example.org", START)
    both = seal(stamped(foreign, seal(foreign), "example.net", START + 60))
    assert [claim for _, claim in both.claims] == ["muc.example.org", "example.net"]


def test_an_empty_stanza_can_be_stamped() -> None:
    raw = b"<presence from='a@example.net/x'/>"

    late = seal(stamped(raw, seal(raw), "example.net", START))

    assert (late.name, late.children) == ("presence", ("urn:xmpp:delay delay",))
