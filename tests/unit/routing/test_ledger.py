"""The ledger of push: what it tells, how it counts, what bounds it, and what ends it."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pushd.routing.events import (
    DeviceRegistered,
    DeviceTokenForgotten,
    DeviceUnregistered,
    PublishAnswered,
    PublishReceived,
    PushDisabled,
    PushEnabled,
    PushPaused,
    PushProbed,
    PushSettled,
    PushUnpaused,
)
from pushd.routing.ledger import LINGER, MOST_KINDS, MOST_LINES, Line
from pushd.wire.secret import Secret
from tests.hall import START, Hall

JULIET = "juliet@example.net"
PHONE = "juliet@example.net/phone"
SERVICE = "push.example.net"
NODE = "a-node-of-the-phone"

ENABLED = PushEnabled(JULIET, SERVICE, NODE, PHONE)
BOUND = PushEnabled(JULIET, SERVICE, NODE, PHONE, is_new=False)
PUSHED = PublishAnswered(JULIET, SERVICE, NODE, "1", "accepted", "", 0.5)


class Kept:
    """A hall with one account, whose ledger is read."""

    def __init__(self, **options: Any) -> None:
        self.hall = Hall(**options)
        self.hall.add_account(JULIET)

    def emit(self, *events: object) -> None:
        for event in events:
            self.hall.host.events.emit(event)

    def lines(self, account: str = JULIET) -> Sequence[Line]:
        found: Sequence[Line] = self.hall.wait(self.hall.host.ledger.of(account))
        return found

    def said(self) -> list[tuple[str, str, str, int]]:
        return [(one.what, one.who, one.why, one.times) for one in self.lines()]


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.mark.parametrize(
    ("event", "side", "said"),
    [
        (ENABLED, "enablement", ("created", PHONE, "")),
        (BOUND, "enablement", ("bound", PHONE, "")),
        (PUSHED, "enablement", ("pushed", "", "")),
        (
            PublishAnswered(JULIET, SERVICE, NODE, "1", "refused", "item-not-found"),
            "enablement",
            ("refused", "", "item-not-found"),
        ),
        (
            PublishAnswered(JULIET, SERVICE, NODE, "1", "silence", ""),
            "enablement",
            ("unanswered", "", ""),
        ),
        (
            PushProbed(JULIET, SERVICE, NODE, 16),
            "enablement",
            ("put on probation", "", "16 pushes in a row came to nothing"),
        ),
        (
            PushDisabled(JULIET, SERVICE, NODE, "the service gave notice", SERVICE),
            "enablement",
            ("removed", SERVICE, "the service gave notice"),
        ),
        (
            DeviceRegistered(JULIET, SERVICE, NODE, "fcm", "phone", PHONE),
            "registration",
            ("created", PHONE, "fcm, device phone, by mod_push"),
        ),
        (
            DeviceRegistered(
                JULIET, SERVICE, NODE, "fcm", "phone", PHONE, dialect="d", room="hall@muc.example"
            ),
            "registration",
            ("created", PHONE, "for hall@muc.example, fcm, device phone, by d"),
        ),
        (
            DeviceRegistered(JULIET, SERVICE, NODE, "fcm", "phone", PHONE, is_new=False),
            "registration",
            ("renewed", PHONE, "fcm"),
        ),
        (
            DeviceUnregistered(JULIET, SERVICE, NODE, "fcm", "phone", "dead", "provider"),
            "registration",
            ("removed", "provider", "dead"),
        ),
        (
            DeviceTokenForgotten(JULIET, SERVICE, NODE, "apns", "phone", "voip-token", "410"),
            "registration",
            ("changed", "provider", "voip-token: 410"),
        ),
        (
            PublishReceived(JULIET, SERVICE, NODE, "evil.example/x", "refused", "forbidden"),
            "registration",
            ("refused", "evil.example", "forbidden"),
        ),
        (
            PushSettled(JULIET, SERVICE, NODE, "fcm/a/b", "accepted", "", 0.5),
            "registration",
            ("pushed", "", ""),
        ),
        (
            PushSettled(JULIET, SERVICE, NODE, "fcm/a/b", "expired", "busy", 86_400.0),
            "registration",
            ("expired", "", "busy"),
        ),
    ],
)
def test_each_event_is_a_line_of_its_side(
    kept: Kept, event: object, side: str, said: tuple[str, ...]
) -> None:
    kept.emit(event)

    [line] = kept.lines()
    assert (line.what, line.who, line.why) == said
    assert (line.side, line.service, line.times) == (side, SERVICE, 1)
    assert line.node == Secret(NODE).digest
    assert line.first_at == line.last_at == START


def test_a_pause_concerns_the_whole_account(kept: Kept) -> None:
    kept.emit(PushPaused(JULIET, START + 3600, PHONE), PushUnpaused(JULIET))
    kept.emit(PushPaused(JULIET, None, "operator"))

    assert [(one.side, one.node, one.what, one.who, one.why) for one in kept.lines()] == [
        ("account", "", "paused", PHONE, "for 3600 s"),
        ("account", "", "resumed", "", ""),
        ("account", "", "paused", "operator", ""),
    ]


def test_what_repeats_is_counted_in_one_line_until_the_state_changes(kept: Kept) -> None:
    kept.emit(ENABLED, PUSHED, BOUND)
    kept.hall.advance(60)
    kept.emit(PUSHED, BOUND, PUSHED)

    assert kept.said() == [
        ("created", PHONE, "", 1),
        ("pushed", "", "", 3),
        ("bound", PHONE, "", 2),
    ]
    pushed = kept.lines()[1]
    assert (pushed.first_at, pushed.last_at) == (START, START + 60)

    kept.emit(PushProbed(JULIET, SERVICE, NODE, 16), PUSHED)
    assert kept.said()[3:] == [
        ("put on probation", "", "16 pushes in a row came to nothing", 1),
        ("pushed", "", "", 1),
    ]


def test_what_is_counted_is_written_after_a_while_and_what_changes_at_once(kept: Kept) -> None:
    kept.emit(ENABLED, PUSHED)
    kept.hall.advance(0)
    assert kept.hall.rows("SELECT what FROM push_ledger") == [("created",)]

    kept.hall.advance(LINGER)
    kept.hall.advance(0)
    assert kept.hall.rows("SELECT what, times FROM push_ledger") == [("created", 1), ("pushed", 1)]
    assert kept.hall.host.ledger._call is None


def test_a_push_costs_no_write_of_its_own(kept: Kept) -> None:
    kept.emit(ENABLED)
    kept.hall.advance(0)
    before = kept.hall.host.database.commits.statements
    for _ in range(100):
        kept.emit(PUSHED)
        kept.hall.advance(0)

    assert kept.hall.host.database.commits.statements == before
    kept.hall.advance(LINGER)
    kept.hall.advance(0)
    assert kept.hall.host.database.commits.statements <= before + 2


def test_many_lines_are_written_in_portions(kept: Kept) -> None:
    for number in range(450):
        account = f"user{number}@elsewhere.example"
        kept.emit(PublishAnswered(account, SERVICE, NODE, "1", "accepted", "", 0.5))
    written = []
    for seconds in (LINGER, 0.1, 0.1):
        kept.hall.advance(seconds)
        written += kept.hall.rows("SELECT COUNT(*) FROM push_ledger")

    assert written == [(200,), (400,), (450,)]


def test_the_newest_lines_of_an_account_are_kept(kept: Kept) -> None:
    kept.emit(PushEnabled("romeo@elsewhere.example", SERVICE, NODE, PHONE))
    kept.emit(ENABLED, PUSHED)
    for _ in range(MOST_LINES):
        kept.hall.advance(LINGER)
        kept.emit(PushDisabled(JULIET, SERVICE, "other", "disabled by the client"), PUSHED)

    said = kept.said()
    assert len(said) == MOST_LINES
    assert ("pushed", "", "", 1 + MOST_LINES) in said  # it is old, but was told last
    assert ("created", PHONE, "", 1) not in said
    assert len(kept.lines("romeo@elsewhere.example")) == 1


def test_reasons_without_end_do_not_fill_memory(kept: Kept) -> None:
    for number in range(10 * MOST_KINDS):
        kept.emit(PublishAnswered(JULIET, SERVICE, NODE, "1", "refused", f"x{number}" * 200))

    assert max(len(line.why) for line in kept.lines()) == 200
    assert len(kept.lines()) == MOST_LINES
    [said] = kept.hall.host.ledger._open.values()
    assert len(said) <= MOST_KINDS


def test_a_ledger_goes_with_its_account_and_nothing_is_written_after_that(kept: Kept) -> None:
    kept.emit(ENABLED, PUSHED)
    kept.hall.wait(kept.hall.host.accounts.remove(JULIET))
    kept.emit(PushDisabled(JULIET, SERVICE, NODE, "the account was removed"), PUSHED)
    kept.hall.advance(LINGER)
    kept.hall.advance(0)

    assert kept.hall.rows("SELECT * FROM push_ledger") == []


def test_a_ledger_outlives_the_enablement_and_the_server(tmp_path: Path) -> None:
    kept = Kept(path=tmp_path / "pushd.db")
    kept.emit(ENABLED, PUSHED, PushDisabled(JULIET, SERVICE, NODE, "disabled by the client", PHONE))
    kept.emit(PUSHED)
    kept.hall.host.ledger.stop()
    kept.hall.wait(kept.hall.host.database.close())
    kept = Kept(path=tmp_path / "pushd.db")
    kept.emit(PUSHED)

    assert kept.said() == [
        ("created", PHONE, "", 1),
        ("pushed", "", "", 1),
        ("removed", PHONE, "disabled by the client", 1),
        ("pushed", "", "", 1),
        ("pushed", "", "", 1),
    ]


def test_lines_of_long_ago_go_at_the_start(tmp_path: Path) -> None:
    kept = Kept(path=tmp_path / "pushd.db")
    kept.emit(ENABLED)
    again = kept.hall.killed(after=366 * 86_400.0)

    assert again.rows("SELECT * FROM push_ledger") == []


def test_lines_of_long_ago_go_while_the_server_runs(kept: Kept) -> None:
    kept.emit(ENABLED)
    kept.hall.clock.rightNow += 366 * 86_400.0
    kept.emit(PushEnabled("romeo@elsewhere.example", SERVICE, NODE, PHONE))
    kept.hall.advance(0)

    found = kept.hall.rows("SELECT account FROM push_ledger")
    assert found == [("romeo@elsewhere.example",)]


class Full(sqlite3.Connection):
    """A disk that is full at times."""

    is_full = False

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if Full.is_full and sql.startswith("COMMIT"):
            raise sqlite3.OperationalError("database or disk is full")
        return super().execute(sql, *parameters)


def test_while_storage_fails_lines_wait_in_memory(tmp_path: Path) -> None:
    kept = Kept(path=tmp_path / "pushd.db", connection=Full)
    kept.emit(ENABLED)
    kept.hall.advance(0)
    try:
        Full.is_full = True
        kept.emit(PushDisabled(JULIET, SERVICE, NODE, "disabled by the client"))
        kept.hall.advance(0)
        assert kept.hall.host.database.failing
        waiting = kept.hall.host.database.waiting
        kept.emit(*[PushDisabled(JULIET, SERVICE, "x", "disabled by the client")] * 5, PUSHED)
        kept.hall.advance(LINGER)
        assert kept.hall.host.database.waiting == waiting
    finally:
        Full.is_full = False
    kept.hall.advance(LINGER)
    kept.hall.advance(LINGER)

    assert [one.what for one in kept.lines()] == ["created", *["removed"] * 6, "pushed"]
