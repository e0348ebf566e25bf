"""The writer's thread: work goes there and comes back, and a killed process keeps its word."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from twisted.internet.task import Clock

import pushd
from pushd.storage.sqlite import Database, InlineRunner, StatementRefused, ThreadRunner
from tests.patience import PATIENCE
from tests.unit.storage.shim import SETTING, SETTINGS, Disk, names, outcomes, put

ROOT = str(Path(pushd.__file__).parent.parent)


class Reactor:
    """What the thread sees of a reactor: calls that the test makes when it wants to."""

    def __init__(self) -> None:
        self.calls: Queue[Callable[[], Any]] = Queue()

    def callFromThread(self, function: Callable[..., Any], *args: Any) -> None:
        self.calls.put(lambda: function(*args))

    def one_call(self) -> None:
        self.calls.get(timeout=PATIENCE)()


def database_with_thread(path: Path, clock: Clock) -> tuple[Database, Reactor]:
    reactor = Reactor()
    runner = ThreadRunner(reactor)  # type: ignore[arg-type]
    return Database(str(path), clock, runner, connection=Disk), reactor


def close(database: Database, reactor: Reactor, clock: Clock) -> list[Any]:
    told = outcomes(database.close())
    clock.advance(0)
    while not told:
        reactor.one_call()
        clock.advance(0)
    return told


def writer_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "storage"]


def test_what_comes_while_the_writer_is_busy_is_the_next_group(
    tmp_path: Path, clock: Clock
) -> None:
    database, reactor = database_with_thread(tmp_path / "db", clock)
    database.open()
    Disk.said.clear()
    put(database, "a")
    first = outcomes(database.committed())
    clock.advance(0)
    also_first = outcomes(database.committed())
    put(database, "b")
    put(database, "c")
    second = outcomes(database.committed())
    clock.advance(5)  # the writer has something in hand, so no time makes it take more
    assert (first, also_first, second) == ([], [], [])
    reactor.one_call()
    assert (first, also_first, second) == ([None], [None], [])
    clock.advance(0)
    reactor.one_call()
    assert second == [None]
    assert [said.split()[0] for said in Disk.said] == [
        "BEGIN",
        "INSERT",
        "COMMIT",
        "BEGIN",
        "many",
        "COMMIT",
    ]
    assert close(database, reactor, clock) == [None]


def test_a_failure_of_the_group_in_hand_goes_before_what_came_meanwhile(
    tmp_path: Path, clock: Clock
) -> None:
    database, reactor = database_with_thread(tmp_path / "db", clock)
    database.open()
    Disk.broken = sqlite3.SQLITE_FULL
    put(database, "a")
    first = outcomes(database.committed())
    clock.advance(0)
    put(database, "b")
    seen = outcomes(database.read(SETTINGS))
    put(database, "c")
    second = outcomes(database.committed())
    reactor.one_call()
    assert len(first) == 1
    assert database.failing
    assert second == []
    Disk.broken = None
    clock.advance(0)  # what came meanwhile is reason enough to try again at once
    reactor.one_call()
    assert seen == [[("a",), ("b",)]]
    assert second == [None]
    assert not database.failing
    assert close(database, reactor, clock) == [None]


def test_a_bad_statement_that_was_kept_counts_for_who_asks_later(
    tmp_path: Path, clock: Clock
) -> None:
    database, reactor = database_with_thread(tmp_path / "db", clock)
    database.open()
    Disk.broken = sqlite3.SQLITE_FULL
    put(database, "a", "a")
    clock.advance(0)
    put(database, "b")
    told = outcomes(database.committed())
    reactor.one_call()
    Disk.broken = None
    clock.advance(0)
    reactor.one_call()
    assert isinstance(told[0], StatementRefused)
    assert close(database, reactor, clock) == [None]


def test_what_the_last_commit_causes_to_be_written_is_committed_before_the_end(
    tmp_path: Path, clock: Clock
) -> None:
    database, reactor = database_with_thread(tmp_path / "db", clock)
    database.open()
    put(database, "a")
    database.committed().addCallback(lambda _: put(database, "b"))
    assert close(database, reactor, clock) == [None]
    database.open()
    put(database, "c")
    clock.advance(0)
    put(database, "d")  # while the writer is busy
    assert close(database, reactor, clock) == [None]
    with sqlite3.connect(tmp_path / "db") as file:
        assert [row[0] for row in file.execute(SETTINGS)] == ["a", "b", "c", "d"]
    file.close()


def test_closing_with_a_failure_in_hand_makes_an_attempt_of_its_own(
    tmp_path: Path, clock: Clock
) -> None:
    database, reactor = database_with_thread(tmp_path / "db", clock)
    database.open()
    Disk.broken = sqlite3.SQLITE_FULL
    put(database, "a")
    clock.advance(0)
    failed = reactor.calls.get(timeout=PATIENCE)
    Disk.broken = None
    told = outcomes(database.close())
    failed()
    assert told == []
    clock.advance(0)
    reactor.one_call()
    reactor.one_call()
    assert told == [None]
    assert writer_threads() == []


def test_the_thread_exists_while_the_database_is_open_only(tmp_path: Path, clock: Clock) -> None:
    database, reactor = database_with_thread(tmp_path / "db", clock)
    for _ in range(2):
        assert writer_threads() == []
        database.open()
        assert len(writer_threads()) == 1
        assert close(database, reactor, clock) == [None]
    assert writer_threads() == []


@pytest.mark.parametrize("lines", [1, 40, 150])
def test_a_killed_process_has_kept_all_that_it_reported(
    tmp_path: Path, clock: Clock, lines: int
) -> None:
    path = str(tmp_path / "db")
    command = [sys.executable, "-m", "tests.unit.storage.writing_child", path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(lines)]
        os.kill(child.pid, signal.SIGKILL)
        said += child.stdout.readlines()  # what it had told before it died
    reported = [int(line) for line in said if line.endswith("\n")]
    assert len(reported) >= lines
    database = Database(path, clock, InlineRunner())
    database.open()
    found = [int(name) for name in names(database, clock)]
    assert len(found) >= reported[-1]
    assert found == list(range(1, len(found) + 1))
    database.close()
    clock.advance(0)


def test_a_second_process_is_refused_while_the_first_one_lives(
    tmp_path: Path, clock: Clock
) -> None:
    path = str(tmp_path / "db")
    database = Database(path, clock, InlineRunner())
    database.open()
    database.write(SETTING, ("a", b""))
    command = [sys.executable, "-m", "tests.unit.storage.writing_child", path]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT)
    assert refused.returncode != 0
    assert f"InUse: {path} is in use by process {os.getpid()}" in refused.stderr.replace(
        "pushd.storage.errors.", ""
    )
    assert names(database, clock) == ["a"]
    database.close()
    clock.advance(0)
