"""Files, folders, sockets and secrets."""

from pathlib import Path

import pytest

from pushd.config.files import File, Folder, Hidden, Socket
from pushd.wire.secret import Secret
from tests.unit.config.support import is_refused, value_of


def test_a_file_starts_at_the_folder_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "key.pem").touch()
    assert value_of(File(), "key.pem", tmp_path) == tmp_path / "key.pem"
    assert value_of(File(), str(tmp_path / "key.pem")) == tmp_path / "key.pem"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "no.pem"
    assert value_of(File(), "no.pem", tmp_path) == (
        f"1:4: x: found '{missing}', which cannot be opened (No such file or directory);"
        " expected a file that can be read"
    )
    assert "which is not a file" in value_of(File(), ".", tmp_path)
    assert "which is not a file" in value_of(File(), "/dev/zero")
    assert is_refused(File(), "x" * 5000)
    assert is_refused(File(), "{a: b}")
    assert is_refused(File(), "''")


def test_a_file_that_may_not_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key.pem").touch()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert "key.pem', which may not be read; expected" in value_of(File(), "key.pem", tmp_path)


def test_a_file_says_what_is_wrong_with_its_content(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    kind = File(lambda path: "which is empty", "a file with something in it")
    assert value_of(kind, "a", tmp_path).endswith(
        "a', which is empty; expected a file with something in it"
    )


def test_a_folder_may_be_missing_where_one_can_be_made(tmp_path: Path) -> None:
    assert value_of(Folder(), ".", tmp_path) == tmp_path
    assert value_of(Folder(), "a/b", tmp_path) == tmp_path / "a" / "b"
    assert not (tmp_path / "a").exists()


def test_a_folder_cannot_be_made_in_a_file_or_behind_a_broken_link(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert "is not a folder" in value_of(Folder(), "file", tmp_path)
    assert "is not a folder" in value_of(Folder(), "file/below", tmp_path)
    assert "which is a link to nowhere" in value_of(Folder(), "link", tmp_path)
    assert "which cannot be opened" in value_of(Folder(), "x" * 5000, tmp_path)


def test_a_folder_that_may_not_be_written_to_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert f"where '{tmp_path}' may not be written to" in value_of(Folder(), "a", tmp_path)


def test_the_path_of_a_socket_is_short(tmp_path: Path) -> None:
    assert value_of(Socket(), "a.sock", tmp_path) == tmp_path / "a.sock"
    assert "at most 100 bytes" in value_of(Socket(), "x" * 101, tmp_path)
    assert is_refused(Socket(), "/")


def test_a_secret_is_a_text_a_file_or_a_variable(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("open sesame\n")
    assert value_of(Hidden(), "open sesame") == Secret("open sesame")
    assert value_of(Hidden(), "{file: secret}", tmp_path) == Secret("open sesame")
    environment = {"WORD": "open sesame"}
    assert value_of(Hidden(), "{env: WORD}", environment=environment) == Secret("open sesame")


@pytest.mark.parametrize(
    "yaml",
    [
        "[sesame]",
        "{sesame: }",
        "{file: a, env: sesame}",
        "{env: [sesame]}",
        "{env: }",
        "''",
        "~",
        "",
    ],
)
def test_what_is_no_secret_is_refused_without_showing_it(yaml: str) -> None:
    refusal = value_of(Hidden(), yaml)
    assert "; expected " in refusal
    assert "sesame" not in refusal


def test_a_secret_that_is_not_there_is_told_by_where_it_should_be(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "big").write_bytes(b"x" * 100_000)
    for name in ("empty", "binary", "big"):
        refusal = value_of(Hidden(), f"{{file: {name}}}", tmp_path)
        assert f"{name}', which holds no secret; expected" in refusal
    assert "which cannot be opened" in value_of(Hidden(), "{file: missing}", tmp_path)
    assert value_of(Hidden(), "{env: WORD}") == (
        "1:10: x.env: found 'WORD', which is not set; expected a set variable"
    )
    assert "an empty secret" in value_of(Hidden(), "{env: WORD}", environment={"WORD": ""})
