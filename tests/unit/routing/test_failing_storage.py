"""What clients see of a disk that is full, and that all is whole when it is not any more."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, globalLogPublisher

from pushd.routing.delivery import QueueLimits
from pushd.storage.errors import StorageError
from pushd.wire.errors import ResourceConstraint
from tests.hall import Client, Hall, Outlet
from tests.unit.storage.shim import Disk, outcomes

MODULES = {"ping": None, "roster": None, "subscriptions": None, "presence": None, "offline": None}
ROMEO, JULIET = "romeo@example.net", "juliet@example.net"
ORCHARD, PHONE, BALCONY = f"{ROMEO}/orchard", f"{ROMEO}/phone", f"{JULIET}/balcony"
RETRY = 2.0
FAULTS = [
    pytest.param(sqlite3.SQLITE_FULL, "COMMIT", id="a full disk"),
    pytest.param(sqlite3.SQLITE_IOERR_FSYNC, "COMMIT", id="a failing fsync"),
    pytest.param(sqlite3.SQLITE_IOERR_WRITE, "COMMIT", id="an error at commit"),
    pytest.param(sqlite3.SQLITE_READONLY, "BEGIN IMMEDIATE", id="a read-only database"),
    pytest.param(sqlite3.SQLITE_BUSY, "BEGIN IMMEDIATE", id="another program holds it"),
]


@pytest.fixture(autouse=True)
def disk() -> Iterator[None]:
    Disk.broken, Disk.at = None, "COMMIT"
    yield
    Disk.broken, Disk.at = None, "COMMIT"


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    seen: list[LogEvent] = []
    observer: Any = seen.append
    globalLogPublisher.addObserver(observer)
    yield seen
    globalLogPublisher.removeObserver(observer)


@pytest.fixture
def hall(tmp_path: Path) -> Hall:
    return Hall(modules=MODULES, path=tmp_path / "pushd.db", connection=Disk)


@pytest.fixture
def juliet(hall: Hall) -> Client:
    return hall.login(BALCONY, sm=True)


def message(body: str, to: str = ROMEO, type: str = "chat") -> str:
    return f"<message to='{to}' type='{type}' id='{body}'><body>{body}</body></message>"


def fill(hall: Hall, code: int = sqlite3.SQLITE_FULL, at: str = "COMMIT") -> None:
    """The disk is full, and the server has noticed."""
    Disk.broken, Disk.at = code, at
    hall.host.database.write("UPDATE settings SET value = value")
    hall.advance(0)
    assert hall.host.database.failing


def heal(hall: Hall) -> None:
    Disk.broken = None
    hall.advance(RETRY)
    hall.advance(RETRY)
    assert not hall.host.database.failing


def errors(client: Client) -> list[tuple[str, str, str]]:
    """What came back: the id, the condition and the type of each error."""
    found = []
    for one in client.received():
        if one.getAttribute("type") == "error":
            error = next(node for node in one.elements() if node.name == "error")
            condition = str(error.firstChildElement().name)
            found.append((str(one.getAttribute("id")), condition, str(error["type"])))
    return found


def bodies(client: Client) -> list[str]:
    return [str(one.body) for one in client.received() if one.name == "message"]


def refused(*ids: str) -> list[tuple[str, str, str]]:
    return [(id, "resource-constraint", "wait") for id in ids]


@pytest.mark.parametrize(("code", "at"), FAULTS)
def test_what_would_have_to_be_stored_is_refused_and_what_was_accepted_is_there_later(
    hall: Hall, juliet: Client, logged: list[LogEvent], code: int, at: str
) -> None:
    phone = hall.login(PHONE, sm=True)
    phone.acknowledge()
    phone.cut()
    hall.add_account("nurse@example.net")
    juliet.send(message("before", PHONE))
    juliet.send(message("stored", "nurse@example.net"))
    juliet.received()
    logged.clear()
    fill(hall, code, at)

    juliet.send(message("to a detached session", PHONE))
    juliet.send(message("to its account", ROMEO))
    juliet.send(message("to an absent one", "nurse@example.net"))
    juliet.send(message("to no account", "nobody@example.net"))
    juliet.send(f"<iq type='get' id='request' to='{PHONE}'><q xmlns='urn:q'/></iq>")

    assert errors(juliet) == refused(
        "to a detached session", "to its account", "to an absent one", "to no account", "request"
    )
    heal(hall)
    juliet.send(message("after", PHONE))
    phone.resume()
    assert bodies(phone) == ["before", "after"]
    nurse = hall.login("nurse@example.net/kitchen", available=False)
    nurse.send("<presence/>")
    assert bodies(nurse) == ["stored"]
    assert [event["log_level"].name for event in logged] == ["error", "info"]


def test_live_traffic_goes_on_and_nothing_is_acknowledged_that_is_not_safe(
    hall: Hall, juliet: Client
) -> None:
    romeo = hall.login(ORCHARD, sm=True)
    juliet.nonzas("a")
    handled = juliet.session.handled
    assert handled is not None
    before = handled.h
    fill(hall)

    for number in range(100):
        juliet.send(message(str(number), ORCHARD))
        romeo.acknowledge()
        romeo.send(message(str(number), BALCONY))
        juliet.acknowledge()

    assert bodies(romeo) == bodies(juliet) == [str(number) for number in range(100)]
    assert juliet.nonzas("a") == []
    assert handled.h == before
    heal(hall)
    assert handled.h == before + 100
    assert [str(one["h"]) for one in juliet.nonzas("a")] == [str(handled.h)]


def test_live_traffic_piles_nothing_up_while_commits_fail(hall: Hall, juliet: Client) -> None:
    romeo = hall.login(ORCHARD, sm=True)
    romeo.acknowledge()
    fill(hall)
    piled = len(hall.host.database._next.writes)

    for number in range(200):
        juliet.send(message(str(number), ORCHARD))
        romeo.acknowledge()
        romeo.send(f"<presence><status>{number}</status></presence>")
        romeo.acknowledge()
        juliet.acknowledge()
        hall.advance(RETRY)

    assert len(hall.host.database._next.writes) - piled <= 10


def test_a_live_queue_does_not_grow_without_end_while_commits_fail(tmp_path: Path) -> None:
    hall = Hall(
        modules=MODULES, path=tmp_path / "db", connection=Disk, limits=QueueLimits(10, 10_000)
    )
    juliet, romeo = hall.login(BALCONY, sm=True), hall.login(ORCHARD, sm=True)
    fill(hall)
    for number in range(21):
        juliet.send(message(str(number), ORCHARD))

    hall.advance(RETRY)

    assert romeo.outlet.ended is not None
    assert romeo.outlet.ended.condition == "policy-violation"
    assert romeo.session.is_detached


def test_what_was_under_way_when_it_began_waits_in_memory_and_is_written_later(
    hall: Hall, juliet: Client
) -> None:
    romeo, phone = hall.login(ORCHARD, sm=True), hall.login(PHONE, sm=True)
    phone.cut()
    juliet.nonzas("a")
    Disk.broken = sqlite3.SQLITE_FULL
    juliet.pass_on(message("live", ORCHARD))
    juliet.pass_on(message("waiting", PHONE))
    hall.advance(0)
    romeo.cut()
    assert hall.host.database.failing
    assert juliet.nonzas("a") == []
    assert errors(juliet) == []

    heal(hall)

    assert len(juliet.nonzas("a")) == 1
    later = hall.killed()
    for client, expected in ((romeo, "live"), (phone, "waiting")):
        session = later.host.sessions.by_token(client.session.token)
        assert session is not None
        again = Client(later, session, Outlet())
        again.resume(0)
        assert expected in bodies(again)


def test_a_session_that_ends_meanwhile_leaves_its_messages_to_the_next(
    hall: Hall, juliet: Client
) -> None:
    """They were accepted, so they are not refused; until space is back memory has them."""
    phone = hall.login(PHONE, sm=True)
    phone.acknowledge()
    phone.cut()
    juliet.send(message("accepted", PHONE))
    fill(hall)

    hall.advance(300)

    assert hall.host.sessions.of(ROMEO) == {}
    assert errors(juliet) == []
    killed = hall.killed()
    assert [len(killed.rows(f"SELECT * FROM {table}")) for table in ("queue", "offline")][1] == 0
    assert "accepted" in str(killed.rows("SELECT stanza FROM queue"))
    heal(hall)
    romeo = hall.login(ORCHARD, available=False)
    romeo.send("<presence/>")
    assert bodies(romeo) == ["accepted"]


def test_a_message_for_two_is_refused_only_if_both_are_away(hall: Hall, juliet: Client) -> None:
    phone, orchard = hall.login(PHONE, sm=True), hall.login(ORCHARD, sm=True)
    phone.cut()
    juliet.received()
    fill(hall)
    juliet.send(message("one"))
    assert (errors(juliet), bodies(orchard)) == ([], ["one"])
    orchard.acknowledge()
    orchard.cut()

    juliet.send(message("two"))

    assert errors(juliet) == refused("two")


@pytest.mark.parametrize(
    "stanza",
    [
        f"<message to='{PHONE}' type='groupchat' id='x'><body>x</body></message>",
        f"<message to='{PHONE}' type='error' id='x'/>",
        f"<presence to='{PHONE}' id='x'/>",
        f"<iq to='{PHONE}' type='result' id='x'/>",
    ],
)
def test_what_cannot_be_refused_waits_in_memory(hall: Hall, juliet: Client, stanza: str) -> None:
    phone = hall.login(PHONE, sm=True)
    phone.acknowledge()
    phone.cut()
    juliet.received()
    fill(hall)

    juliet.send(stanza)

    assert errors(juliet) == []
    heal(hall)
    phone.resume()
    assert [one.getAttribute("id") for one in phone.received()] == ["x"]


@pytest.mark.parametrize(
    "stanza",
    [
        "<iq type='set' id='x'><query xmlns='jabber:iq:roster'>"
        "<item jid='nurse@example.net'/></query></iq>",
        "<presence type='subscribe' id='x' to='nurse@example.net'/>",
        "<presence type='unsubscribe' id='x' to='nurse@example.net'/>",
    ],
)
def test_what_changes_storage_is_refused(hall: Hall, juliet: Client, stanza: str) -> None:
    fill(hall)
    juliet.send(stanza)
    assert errors(juliet) == refused("x")
    heal(hall)
    assert hall.rows("SELECT * FROM roster") == []


def test_what_changes_nothing_is_answered(hall: Hall, juliet: Client) -> None:
    fill(hall)
    answer = juliet.ask("<iq type='get' id='x' to='example.net'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert answer["type"] == "result"


def test_a_request_under_way_when_it_began_is_refused_without_a_traceback(
    hall: Hall, juliet: Client, logged: list[LogEvent]
) -> None:
    logged.clear()
    Disk.broken = sqlite3.SQLITE_FULL
    juliet.send(
        "<iq type='set' id='x'><query xmlns='jabber:iq:roster'>"
        "<item jid='nurse@example.net'/></query></iq>"
    )
    assert errors(juliet) == refused("x")
    assert [event["log_level"].name for event in logged] == ["error"]


def test_an_account_that_could_not_be_stored_does_not_appear_later(hall: Hall) -> None:
    Disk.broken = sqlite3.SQLITE_FULL
    accounts = hall.host.accounts
    under_way = outcomes(Deferred.fromCoroutine(accounts.add("nurse@example.net", {})))
    hall.advance(0)
    assert [type(one) for one in under_way] == [StorageError]
    for change in (
        accounts.add("tybalt@example.net", {}),
        accounts.set_keys(ROMEO, {}) if accounts.exists(ROMEO) else accounts.add(ROMEO, {}),
    ):
        assert [type(one) for one in outcomes(Deferred.fromCoroutine(change))] == [
            ResourceConstraint
        ]

    heal(hall)

    assert accounts.all() == []
    assert hall.rows("SELECT jid FROM accounts") == []


def test_handing_out_goes_on_when_storage_works_again(hall: Hall, juliet: Client) -> None:
    hall.add_account(ROMEO)
    for number in range(3):
        juliet.send(message(str(number)))
    romeo = hall.login(ORCHARD, available=False)
    fill(hall, sqlite3.SQLITE_FULL, "BEGIN IMMEDIATE")
    romeo.send("<presence/>")
    hall.advance(10)
    assert bodies(romeo) == []

    heal(hall)
    hall.advance(10)

    assert bodies(romeo) == ["0", "1", "2"]
    assert hall.rows("SELECT * FROM offline") == []
