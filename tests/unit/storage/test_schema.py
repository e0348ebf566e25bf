"""Migrations are applied once and in order; files of others are refused and left alone."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from pushd.storage.schema import Step, migrate, steps
from pushd.storage.sqlite import (
    Database,
    InlineRunner,
    SchemaChanged,
    SchemaTooNew,
    StorageError,
)

TREE = Step(1, "tree", "-- A tree; with a note.\nCREATE TABLE tree (\n    leaf TEXT\n);\n")
BIRD = Step(
    2, "bird", "CREATE TABLE bird (name TEXT);\nINSERT INTO bird VALUES ('lark;');\n-- End.\n"
)
STONE = Step(3, "stone", "CREATE TABLE stone (weight REAL);\nINSERT INTO pebble VALUES (1);\n")


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield connection


def tables(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}


def test_only_the_missing_steps_are_applied(connection: sqlite3.Connection) -> None:
    assert migrate(connection, [TREE], 5.0) == [TREE]
    connection.execute("INSERT INTO tree VALUES ('green')")
    assert migrate(connection, [TREE, BIRD], 7.0) == [BIRD]
    assert migrate(connection, [TREE, BIRD], 9.0) == []
    assert connection.execute("SELECT * FROM tree, bird").fetchall() == [("green", "lark;")]
    ledger = connection.execute("SELECT number, name, applied_at FROM migrations").fetchall()
    assert ledger == [(1, "tree", 5.0), (2, "bird", 7.0)]


def test_a_step_that_fails_leaves_nothing_of_itself(connection: sqlite3.Connection) -> None:
    with pytest.raises(StorageError, match="0003_stone: no such table: pebble"):
        migrate(connection, [TREE, BIRD, STONE], 0.0)
    assert tables(connection) == {"migrations", "tree", "bird"}
    assert not connection.in_transaction


def test_a_step_is_taken_apart_into_its_statements() -> None:
    assert [statement.strip() for statement in BIRD.statements()] == [
        "CREATE TABLE bird (name TEXT);",
        "INSERT INTO bird VALUES ('lark;');",
    ]


def test_the_steps_of_this_release_are_numbered_without_a_gap() -> None:
    assert [step.number for step in steps()] == list(range(1, len(steps()) + 1))
    assert steps()[0].name == "initial"


@pytest.mark.line(150)
def test_with_an_account_goes_all_that_is_its_own_whoever_removes_it(
    connection: sqlite3.Connection,
) -> None:
    """`pushdctl` removes accounts of a server that does not run, too."""
    migrate(connection, steps(), 0.0)
    own = {
        table
        for table in tables(connection)
        for row in connection.execute(f"PRAGMA table_info({table})")
        if row[1] == "account"
    }
    triggers = " ".join(
        row[0] for row in connection.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger'")
    )
    assert {"roster", "offline", "registrations", "push_pauses"} <= own
    for table in own:
        assert f"DELETE FROM {table} WHERE account = OLD." in triggers, table


def test_the_queue_and_the_offline_store_are_in_the_order_of_arrival(
    connection: sqlite3.Connection,
) -> None:
    migrate(connection, steps(), 0.0)
    for table in ("queue", "offline"):
        keys = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[5]]
        assert keys == ["id"]


@pytest.mark.parametrize(
    ("ledger", "error", "says"),
    [
        (
            "INSERT INTO migrations VALUES (9999, 'flying_cars', 'x', 0)",
            SchemaTooNew,
            "number 9999 (flying_cars)",
        ),
        (
            "UPDATE migrations SET checksum = 'x' WHERE number = 1",
            SchemaChanged,
            "another migration 0001_initial",
        ),
        ("DROP TABLE migrations", StorageError, "database of another program"),
    ],
)
def test_tables_of_another_release_are_refused_and_left_alone(
    tmp_path: Path, clock: Clock, ledger: str, error: type[StorageError], says: str
) -> None:
    path = str(tmp_path / "db")
    database = Database(path, clock, InlineRunner())
    database.open()
    database.close()
    clock.advance(0)
    with sqlite3.connect(path) as connection:
        connection.execute(ledger)
    connection.close()
    with pytest.raises(StorageError) as refused:
        database.open()
    assert type(refused.value) is error
    assert says in str(refused.value)
    assert path in str(refused.value)
    with pytest.raises(error):  # and not InUse: the lock was released
        database.open()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "db"
    path.write_bytes(b"dear diary, " * 1000)
    with pytest.raises(StorageError, match="file is not a database"):
        Database(str(path), clock, InlineRunner()).open()
    assert path.read_bytes() == b"dear diary, " * 1000


def test_registrations_from_before_the_dialects_are_mod_pushs(
    connection: sqlite3.Connection,
) -> None:
    """And they go with their accounts, as before."""
    known = steps()
    migrate(connection, known[:14], 0.0)
    connection.execute(
        "INSERT INTO registrations (node, account, device, backend, type, app, token, fields, "
        "secret_hash, registered_at, renewed_at, last_push_at) VALUES "
        "('n1', 'juliet@example.net', 'phone', 'fcm', 'fcm', 'any', 'tok', '{\"a\": 1}', "
        "x'0102', 1.0, 2.0, 3.0)"
    )
    connection.execute("INSERT INTO outbox (node, version, accepted_at, expires_at) "
                       "VALUES ('n1', 1, 0, 9)")  # fmt: skip
    migrate(connection, known, 0.0)

    asked = "SELECT node, device, dialect, room, alias, token, fields, secret_hash, last_push_at"
    [row] = connection.execute(f"{asked} FROM registrations").fetchall()
    assert row == ("n1", "phone", "mod_push", "", "", "tok", '{"a": 1}', b"\x01\x02", 3.0)
    same = (
        "INSERT INTO registrations (node, account, device, dialect, room, backend, type, token, "
        "secret_hash, registered_at) "
        "VALUES ('n2', 'juliet@example.net', 'phone', ?, ?, 'fcm', 'fcm', 'tok', x'00', 1.0)"
    )
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(same, ("mod_push", ""))
    connection.execute(same, ("conversations", "hall@rooms.example"))

    connection.execute("INSERT INTO accounts (jid, created_at) VALUES ('juliet@example.net', 0)")
    connection.execute("DELETE FROM accounts")
    for table in ("registrations", "outbox"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
