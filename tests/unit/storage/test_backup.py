"""Backups: whole, of one instant, for their owner alone; and what is put back, or refused."""

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from pushd.storage import schema
from pushd.storage.backup import back_up, restore
from pushd.storage.errors import InUse, SchemaTooNew, StorageError
from pushd.storage.lock import Lock
from pushd.storage.sqlite import Database, InlineRunner
from tests.support import result_of

INSERT = "INSERT INTO settings (name, value) VALUES (?, 'x')"


class House:
    """A database that is open, as a server's is."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "data" / "pushd.db"
        self.clock = Clock()
        self.database = Database(str(self.path), self.clock, InlineRunner())
        self.database.open()

    def write(self, name: str) -> None:
        self.database.write(INSERT, (name,))
        self.clock.advance(0)
        self.clock.advance(0)

    def close(self) -> None:
        closing = self.database.close()
        self.clock.advance(0)
        self.clock.advance(0)
        result_of(closing)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


@pytest.fixture
def backup(house: House, tmp_path: Path) -> Path:
    """A backup that holds "early", of a database that by now holds "late", too, and is closed."""
    target = tmp_path / "backup.db"
    house.write("early")
    back_up(house.path, target)
    house.write("late")
    house.close()
    return target


def names(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT name FROM settings ORDER BY name").fetchall()
    connection.close()
    return [row[0] for row in rows]


def put_back(source: Path, database: Path) -> Path | None:
    with source.open("rb") as file:
        return restore(file, source, database, "now").kept


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_a_backup_has_all_that_was_committed_while_the_database_stays_in_use(
    house: House, tmp_path: Path
) -> None:
    target = tmp_path / "backup.db"
    house.write("early")

    size = back_up(house.path, target)
    house.write("late")

    assert names(target) == ["early"]
    assert names(house.path) == ["early", "late"]
    assert size == target.stat().st_size
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.db", "data"]


def test_a_backup_stands_alone(house: House, tmp_path: Path) -> None:
    target = tmp_path / "backup.db"
    back_up(house.path, target)

    connection = sqlite3.connect(f"{target.as_uri()}?mode=ro", uri=True)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()


def test_what_exists_is_not_overwritten(house: House, tmp_path: Path) -> None:
    target = tmp_path / "backup.db"
    target.write_text("precious")

    with pytest.raises(StorageError, match="exists, and is not overwritten"):
        back_up(house.path, target)

    assert target.read_text() == "precious"


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("none.db", "backup.db", "cannot open .*none.db: No such file"),
        ("other.db", "backup.db", "other.db is not a database of pushd"),
        ("text.db", "backup.db", "file is not a database"),
        ("data/pushd.db", "none/backup.db", "cannot write to .*none: No such file"),
    ],
)
def test_what_cannot_be_copied_leaves_nothing(
    house: House, tmp_path: Path, source: str, target: str, words: str
) -> None:
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("CREATE TABLE other (x)")
    connection.close()
    (tmp_path / "text.db").write_text("certainly no database " * 50)

    with pytest.raises(StorageError, match=words):
        back_up(tmp_path / source, tmp_path / target)

    assert not (tmp_path / target).exists()
    assert left_behind(tmp_path) == []


def test_a_backup_takes_the_place_of_the_database_which_is_kept(house: House, backup: Path) -> None:
    kept = put_back(backup, house.path)

    assert names(house.path) == ["early"]
    assert stat.S_IMODE(house.path.stat().st_mode) == 0o600
    assert kept == house.path.with_name("pushd.db.before-restore-now")
    assert names(kept) == ["early", "late"]
    assert left_behind(house.path.parent) == []


def test_what_a_kill_left_in_the_log_is_kept_with_its_database(
    house: House, tmp_path: Path
) -> None:
    house.write("early")
    target = tmp_path / "backup.db"
    back_up(house.path, target)
    killed = tmp_path / "killed" / "pushd.db"
    killed.parent.mkdir()
    house.write("late")
    for end in ("", "-wal"):
        Path(f"{killed}{end}").write_bytes(Path(f"{house.path}{end}").read_bytes())

    kept = put_back(target, killed)

    assert names(killed) == ["early"]
    assert kept is not None
    assert names(kept) == ["early", "late"]


def test_where_there_was_no_database_there_is_one_then(backup: Path, tmp_path: Path) -> None:
    database = tmp_path / "new" / "pushd.db"

    assert put_back(backup, database) is None

    assert names(database) == ["early"]
    assert stat.S_IMODE(database.parent.stat().st_mode) == 0o700


def test_nothing_is_restored_under_a_server(house: House, tmp_path: Path) -> None:
    target = tmp_path / "backup.db"
    house.write("early")
    back_up(house.path, target)
    house.write("late")

    with pytest.raises(InUse):
        put_back(target, house.path)

    assert names(house.path) == ["early", "late"]


@pytest.mark.parametrize(
    ("harm", "error", "words"),
    [
        ("cut", StorageError, "backup.db is damaged"),
        ("text", StorageError, "backup.db is damaged: file is not a database"),
        ("other", StorageError, "cannot use .*backup.db: it is not a database of pushd"),
        ("newer", SchemaTooNew, "start the newer release that wrote it"),
    ],
)
def test_what_is_of_no_use_is_refused_and_all_stays_as_it_was(
    house: House, backup: Path, harm: str, error: type[Exception], words: str
) -> None:
    if harm == "cut":
        backup.write_bytes(backup.read_bytes()[:-8192])
    elif harm == "text":
        backup.write_text("certainly no database " * 50)
    else:
        if harm == "other":
            backup.unlink()
        connection = sqlite3.connect(backup)
        with connection:
            if harm == "other":
                connection.execute("CREATE TABLE other (x)")
            else:
                later = len(schema.steps()) + 1
                connection.execute("INSERT INTO migrations VALUES (?, 'wings', 'x', 0)", (later,))
        connection.close()

    with pytest.raises(error, match=words):
        put_back(backup, house.path)

    assert names(house.path) == ["early", "late"]
    assert [path.name for path in house.path.parent.iterdir() if "restore" in path.name] == []
    assert left_behind(house.path.parent) == []


def test_the_steps_that_an_old_backup_lacks_are_counted(house: House, backup: Path) -> None:
    connection = sqlite3.connect(backup)
    with connection:
        connection.execute("DELETE FROM migrations WHERE number > 3")
    connection.close()

    with backup.open("rb") as file:
        done = restore(file, backup, house.path, "now")

    assert done.missing == len(schema.steps()) - 3


def test_the_lock_is_let_go(house: House, backup: Path) -> None:
    put_back(backup, house.path)

    lock = Lock(str(house.path))
    lock.take()
    lock.release()
