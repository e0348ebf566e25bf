"""The ready file: written whole, for its owner alone, and found by pushdctl."""

import json
import os
import stat
from pathlib import Path

import pytest

from pushd.cli import ready

NOBODY = 4_194_304 + 7  # above the highest number a process can have on Linux


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def test_a_ready_file_is_one_line_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"

    ready.write(path, {"pid": 7})

    assert path.read_text() == '{"pid": 7}\n'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_left_of_a_file_that_could_not_be_put_in_place(tmp_path: Path) -> None:
    (tmp_path / "ready.json").mkdir()

    with pytest.raises(OSError, match="directory"):
        ready.write(tmp_path / "ready.json", {"pid": 7})

    assert [path.name for path in tmp_path.iterdir()] == ["ready.json"]


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        ready.check(tmp_path / "nowhere" / "ready.json")

    assert missing.value.filename == str(tmp_path / "nowhere")


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(NotADirectoryError) as wrong:
        ready.check(tmp_path / "file" / "ready.json")

    assert wrong.value.filename == str(tmp_path / "file")


def test_no_server_is_found_where_none_runs(folder: Path) -> None:
    assert ready.running() is None


def test_the_server_of_this_process_is_found(folder: Path) -> None:
    ready.write(ready.own(), {"pid": os.getpid(), "admin": "/run/pushd.sock"})

    assert ready.running() == {"pid": os.getpid(), "admin": "/run/pushd.sock"}


def test_of_several_servers_the_newest_is_found(folder: Path) -> None:
    ready.write(ready.own(), {"pid": os.getpid()})
    os.utime(ready.own(), (1, 1))
    newer = folder / f"pushd-dev-{os.getuid()}-{os.getppid()}.json"
    ready.write(newer, {"pid": os.getppid()})

    assert ready.running() == {"pid": os.getppid()}


def test_what_a_killed_server_left_is_cleared_away(folder: Path) -> None:
    left = folder / f"pushd-dev-{os.getuid()}-{NOBODY}.json"
    ready.write(left, {"pid": NOBODY})

    assert ready.running() is None
    assert not left.exists()


@pytest.mark.parametrize("content", ["", "[]", '{"pid": "x"}', "{}", '{"pid": null}'])
def test_a_file_that_makes_no_sense_is_passed_over(folder: Path, content: str) -> None:
    (folder / f"pushd-dev-{os.getuid()}-1.json").write_text(content)

    assert ready.running() is None


def test_a_file_of_somebody_else_is_not_believed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    path = folder / f"pushd-dev-{mine + 1}-1.json"
    path.write_text(json.dumps({"pid": os.getpid()}))

    assert ready.running() is None


def test_without_a_runtime_folder_the_one_for_temporary_files_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))

    assert ready.own().parent == tmp_path
