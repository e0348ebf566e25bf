"""pushdctl, with the server down (its storage) and up (its socket); where passwords come from."""

import io
import json
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from pushd.cli import pushdctl, reaching
from pushd.storage.lock import Lock
from pushd.storage.sqlite import Database, InlineRunner
from pushd.wire.sasl import ScramKeys, verify
from tests.support import result_of

CONFIG = """\
domains: [example.net, example.org]
data: data
listen: {client: ['127.0.0.1:5222'], client_tls: []}
"""

NOBODY = 65_534
Prompt = Callable[..., None]


class Keyboard(io.StringIO):
    """A standard input that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No development server and no configuration of this machine is found."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(reaching, "DEFAULT_CONFIG", tmp_path / "none.yml")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "pushd.yml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch) -> Prompt:
    """Types these answers, one at each prompt."""

    def type(*answers: str) -> None:
        waiting = list(answers)
        monkeypatch.setattr(sys, "stdin", Keyboard())
        monkeypatch.setattr("getpass.getpass", lambda text: waiting.pop(0))

    return type


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Prompt:
    """Has this text come on standard input."""

    def write(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))

    return write


class Server(threading.Thread):
    """Takes one request on a socket, and answers with a line of the test's."""

    def __init__(self, path: Path, answer: bytes) -> None:
        super().__init__(daemon=True)
        self.asked: Any = None
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self.start()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as lines:
                line = lines.readline()
                if line:  # else it was only tried whether anybody listens
                    self.asked = json.loads(line)
                    connection.sendall(self._answer)

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join(10)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Path, bytes], Server]]:
    servers: list[Server] = []

    def start(path: Path, answer: bytes) -> Server:
        path.parent.mkdir(exist_ok=True)
        servers.append(Server(path, answer))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def run(*arguments: str | Path) -> int:
    return pushdctl.main([str(argument) for argument in arguments])


def keys_of(data: Path, jid: str) -> ScramKeys | None:
    """What storage has to check a login with SCRAM-SHA-256."""
    from twisted.internet.task import Clock

    clock = Clock()
    database = Database(str(data / "pushd.db"), clock, InlineRunner())
    database.open()
    reading = database.read(
        "SELECT salt, iterations, stored_key, server_key FROM credentials JOIN accounts "
        "ON accounts.id = credentials.account WHERE jid = ? AND hash = 'SHA-256'",
        (jid,),
    )
    clock.advance(0)
    rows: Sequence[Any] = result_of(reading)
    closing = database.close()
    clock.advance(0)
    result_of(closing)
    return ScramKeys(*rows[0]) if rows else None


def logs_in(config: Path, jid: str, password: str) -> bool:
    keys = keys_of(config.parent / "data", jid)
    return keys is not None and verify(keys, "SHA-256", password)


def test_an_account_is_made_before_the_server_has_ever_run(
    config: Path, prompt: Prompt, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt("pilot", "pilot")

    assert run("--config", config, "user", "add", "Romeo@example.net") == 0

    assert capsys.readouterr().out == "added romeo@example.net\n"
    assert logs_in(config, "romeo@example.net", "pilot")


def test_a_password_comes_from_standard_input_with_its_blanks(
    config: Path, pipe: Prompt, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe(" two words \r\nand no more\n")

    assert run("--config", config, "user", "add", "romeo@example.net") == 0

    assert logs_in(config, "romeo@example.net", " two words ")


def test_a_password_is_changed(config: Path, pipe: Prompt) -> None:
    pipe("pilot\n")
    assert run("-c", config, "user", "add", "romeo@example.net") == 0
    pipe("montague")

    assert run("-c", config, "user", "passwd", "romeo@example.net") == 0

    assert logs_in(config, "romeo@example.net", "montague")


def test_an_account_is_removed(config: Path, pipe: Prompt) -> None:
    pipe("pilot\n")
    assert run("-c", config, "user", "add", "romeo@example.net") == 0

    assert run("-c", config, "user", "del", "romeo@example.net") == 0

    assert keys_of(config.parent / "data", "romeo@example.net") is None


def test_accounts_are_listed_one_a_line(
    config: Path, pipe: Prompt, capsys: pytest.CaptureFixture[str]
) -> None:
    for jid in ("romeo@example.net", "juliet@example.org", "benvolio@example.net"):
        pipe("pilot\n")
        assert run("-c", config, "user", "add", jid) == 0
    capsys.readouterr()

    assert run("-c", config, "user", "list") == 0
    assert capsys.readouterr().out == (
        "benvolio@example.net\njuliet@example.org\nromeo@example.net\n"
    )
    assert run("-c", config, "user", "list", "example.org") == 0
    assert capsys.readouterr().out == "juliet@example.org\n"


def test_no_accounts_are_an_empty_answer(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-c", config, "user", "list") == 0

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("is_first", [True, False])
def test_answers_in_json_may_be_asked_for_before_and_behind_the_command(
    config: Path, pipe: Prompt, capsys: pytest.CaptureFixture[str], is_first: bool
) -> None:
    pipe("pilot\n")
    before, behind = (["--json"], []) if is_first else ([], ["--json"])

    assert run("-c", config, *before, "user", "add", "romeo@example.net", *behind) == 0
    assert json.loads(capsys.readouterr().out) == {"jid": "romeo@example.net"}

    assert run("-c", config, *before, "user", "list", *behind) == 0
    [account] = json.loads(capsys.readouterr().out)["accounts"]
    assert account["jid"] == "romeo@example.net"
    assert account["disabled"] is False
    assert account["created_at"] > 1_700_000_000


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("pilot", "pylot"), "the two passwords are not the same"),
        (("", ""), "the password is empty"),
    ],
)
def test_a_password_that_was_mistyped_changes_nothing(
    config: Path,
    prompt: Prompt,
    capsys: pytest.CaptureFixture[str],
    typed: Sequence[str],
    words: str,
) -> None:
    prompt(*typed)

    assert run("-c", config, "user", "add", "romeo@example.net") == 1

    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"pushdctl: {words}\n")
    assert not (config.parent / "data").exists()


def test_an_end_of_input_at_the_prompt_is_no_password(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def end(text: str) -> str:
        raise EOFError

    monkeypatch.setattr(sys, "stdin", Keyboard())
    monkeypatch.setattr("getpass.getpass", end)

    assert run("-c", config, "user", "add", "romeo@example.net") == 1
    assert capsys.readouterr().err == "pushdctl: no password was typed\n"


def test_standard_input_that_is_no_text_is_no_password(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\n"), "utf-8"))

    assert run("-c", config, "user", "add", "romeo@example.net") == 1
    assert capsys.readouterr().err == "pushdctl: the password is not text in UTF-8\n"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            ["add", "romeo@example.com"],
            "example.com is not served here; served: example.net, example.org",
        ),
        (["add", "example.net"], "example.net is not of the form name@domain"),
        (["passwd", "romeo@example.net"], "romeo@example.net: no such account"),
        (["del", "romeo@example.net"], "romeo@example.net: no such account"),
        (
            ["list", "example.com"],
            "example.com is not served here; served: example.net, example.org",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(
    config: Path,
    pipe: Prompt,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    words: str,
) -> None:
    pipe("pilot\n")

    assert run("-c", config, "user", *command) == 1

    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"pushdctl: {words}\n")


@pytest.mark.parametrize(
    "command",
    [
        ["sessions"],
        ["kick", "romeo@example.net"],
        ["push", "decisions", "romeo@example.net"],
        ["push", "test", "romeo@example.net"],
        ["push", "pause", "romeo@example.net", "--for", "2h"],
        ["push", "resume", "romeo@example.net"],
        ["push", "block", "example.com"],
        ["push", "unblock", "example.com"],
    ],
)
def test_what_needs_a_running_server_says_so(
    config: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert run("-c", config, *command) == 1
    assert capsys.readouterr().err == "pushdctl: the server does not run\n"


def test_push_is_told_of_from_the_storage_of_a_server_that_does_not_run(
    config: Path, pipe: Prompt, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe("pilot\n")
    assert run("-c", config, "user", "add", "romeo@example.net") == 0
    database = Database(str(config.parent / "data" / "pushd.db"), Clock(), InlineRunner())
    database.open()
    for sql in (
        "INSERT INTO push_enablements (account, service, node, session, created_at, used_at) "
        "VALUES ('romeo@example.net', 'push.example.org', 'n1', 'romeo@example.net/pad', 9, 9)",
        "INSERT INTO push_ledger VALUES (1, 'romeo@example.net', 'enablement', "
        "'push.example.org', 'abc123', 'created', 'romeo@example.net/pad', '', 1, 9, 9)",
        "INSERT INTO registrations (node, account, device, backend, type, app, token, secret_hash,"
        " registered_at, renewed_at) VALUES ('n1', 'romeo@example.net', 'pad', "
        "'fcm/example.net/any', 'fcm', 'any', 'tok', x'00', 9, 9)",
        "INSERT INTO push_pauses (account, until) VALUES ('romeo@example.net', NULL)",
        "INSERT INTO outbox (node, version, accepted_at, expires_at) VALUES ('n1', 1, 9, 99)",
    ):
        database.write(sql)
    closing = database.close()
    database._clock.advance(0)  # type: ignore[attr-defined]
    database._clock.advance(0)  # type: ignore[attr-defined]
    result_of(closing)
    capsys.readouterr()

    for words, told in (
        (["enablements"], "push.example.org  pad     -      1970-01-01"),
        (["enablements"], "0        -           paused\n"),
        (["registrations", "romeo@example.net"], "  yes\n"),
        (["registrations", "romeo@example.net"], "pad"),
        (["queue"], "fcm/example.net/any"),
        (["ledger", "romeo@example.net"], "abc123"),
        (["blocked"], "nobody is blocked"),
    ):
        assert run("-c", config, "push", *words) == 0
        assert told in capsys.readouterr().out
    assert run("-c", config, "push", "ledger", "juliet@example.net") == 1
    assert "there is no account juliet@example.net" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [("90", "90"), ("90s", "90"), ("10m", "600"), ("2h", "7200"), ("1d", "86400")],
)
def test_for_how_long_is_typed_with_a_unit(
    tmp_path: Path, serve: Callable[[Path, bytes], Server], typed: str, seconds: str
) -> None:
    server = serve(tmp_path / "s", b'{"result": {"paused": "x", "until": null}}\n')

    assert run("--socket", tmp_path / "s", "push", "pause", "x", "--for", typed) == 0
    assert server.asked["arguments"] == {"what": "x", "seconds": seconds}


@pytest.mark.parametrize("typed", ["0", "-1", "1.5", "2w", "", "h", "9999999999"])
def test_a_length_that_is_none_is_not_understood(tmp_path: Path, typed: str) -> None:
    with pytest.raises(SystemExit) as ended:
        run("--socket", tmp_path / "s", "push", "pause", "x", f"--for={typed}")
    assert ended.value.code == 2


@pytest.mark.parametrize(("arrived", "code"), [("true", 0), ("false", 3)])
def test_a_test_push_that_does_not_arrive_has_an_exit_code_of_its_own(
    tmp_path: Path,
    serve: Callable[[Path, bytes], Server],
    capsys: pytest.CaptureFixture[str],
    arrived: str,
    code: int,
) -> None:
    one = (
        f'{{"node": "abc123", "device": "pad", "service": "p", "enabled": true, "seconds": 0.5, '
        f'"arrived": {arrived}, "published": "accepted", "settled": "accepted", "reason": ""}}'
    )
    serve(tmp_path / "s", f'{{"result": {{"account": "a@b", "tests": [{one}]}}}}\n'.encode())

    assert run("--socket", tmp_path / "s", "push", "test", "a@b") == code
    assert capsys.readouterr().out == "abc123 (pad): its provider took it after 0.5 s\n"


def test_an_account_is_disabled_and_enabled_before_the_server_has_ever_run(
    config: Path, pipe: Prompt, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe("pilot\n")
    assert run("-c", config, "user", "add", "romeo@example.net") == 0
    capsys.readouterr()

    assert run("-c", config, "user", "disable", "romeo@example.net", "--reason", "banished") == 0
    assert run("-c", config, "user", "list") == 0
    assert run("-c", config, "user", "enable", "romeo@example.net") == 0
    assert run("-c", config, "user", "list") == 0

    assert capsys.readouterr().out.splitlines() == [
        "disabled romeo@example.net",
        "romeo@example.net  disabled: banished",
        "enabled romeo@example.net",
        "romeo@example.net",
    ]


def test_an_account_that_exists_keeps_its_password(
    config: Path, pipe: Prompt, capsys: pytest.CaptureFixture[str]
) -> None:
    for password in ("pilot\n", "another\n"):
        pipe(password)
        code = run("-c", config, "user", "add", "romeo@example.net")

    assert code == 1
    words = "pushdctl: romeo@example.net: the account exists already\n"
    assert capsys.readouterr().err == words
    assert logs_in(config, "romeo@example.net", "pilot")


def test_a_running_server_is_asked_over_its_socket(
    config: Path,
    pipe: Prompt,
    serve: Callable[[Path, bytes], Server],
    capsys: pytest.CaptureFixture[str],
) -> None:
    socket_path = config.parent / "data" / "pushd.sock"
    server = serve(socket_path, b'{"result": {"jid": "romeo@example.net"}}\n')
    pipe("pilot\n")

    assert run("-c", config, "user", "add", "romeo@example.net") == 0

    assert capsys.readouterr().out == "added romeo@example.net\n"
    assert server.asked == {
        "operation": "user-add",
        "arguments": {"jid": "romeo@example.net", "password": "pilot"},
    }
    assert not (config.parent / "data" / "pushd.db").exists()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b'{"error": "no such account"}\n', "no such account"),
        (b"", "the server gave no answer; its log may tell why"),
    ],
)
def test_what_the_server_refuses_is_said_in_its_words(
    tmp_path: Path,
    serve: Callable[[Path, bytes], Server],
    capsys: pytest.CaptureFixture[str],
    answer: bytes,
    words: str,
) -> None:
    serve(tmp_path / "s", answer)

    assert run("--socket", tmp_path / "s", "user", "del", "romeo@example.net") == 1
    assert capsys.readouterr().err == f"pushdctl: {words}\n"


def test_a_socket_that_nobody_listens_on_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--socket", tmp_path / "s", "user", "list") == 1

    words = f"no server answers at {tmp_path}/s: No such file or directory"
    assert capsys.readouterr().err == f"pushdctl: {words}\n"


def test_storage_that_a_server_holds_is_not_touched(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (config.parent / "data").mkdir()
    lock = Lock(str(config.parent / "data" / "pushd.db"))
    lock.take()

    code = run("-c", config, "user", "list")
    lock.release()

    assert code == 1
    words = f"pushd.db is in use by process {os.getpid()}: only one may serve from it\n"
    assert capsys.readouterr().err.endswith(words)


def test_a_development_server_that_runs_is_found_by_itself(
    tmp_path: Path,
    serve: Callable[[Path, bytes], Server],
    capsys: pytest.CaptureFixture[str],
) -> None:
    from pushd.cli import ready

    serve(tmp_path / "dev", b'{"result": {"accounts": [{"jid": "romeo@localhost"}]}}\n')
    ready.write(ready.own(), {"pid": os.getpid(), "admin": str(tmp_path / "dev")})

    assert run("user", "list") == 0
    assert capsys.readouterr().out == "romeo@localhost\n"


def test_without_any_server_the_ways_to_one_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("user", "list") == 1

    assert capsys.readouterr().err == (
        f"pushdctl: you run no development server, and there is no {tmp_path}/none.yml: "
        "give --config, --data or --socket\n"
    )


def test_a_configuration_with_mistakes_is_not_used(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG + "colour: red\n")

    assert run("-c", config, "user", "list") == 1

    first, second = capsys.readouterr().err.splitlines()
    assert first == "pushdctl: the configuration cannot be used"
    assert second.startswith(f"{config}:4:1: colour: ")


def test_a_server_that_runs_is_asked_though_its_configuration_has_mistakes_by_now(
    config: Path, serve: Callable[[Path, bytes], Server], capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(CONFIG + "colour: red\n")
    server = serve(config.parent / "data" / "pushd.sock", b'{"result": {"accounts": []}}\n')

    assert run("-c", config, "user", "list") == 0

    assert server.asked["operation"] == "user-list"
    assert capsys.readouterr().err == (
        f"pushdctl: {config} has mistakes by now (twistd pushd --check-config tells them); "
        "the server that runs is asked\n"
    )


def test_a_data_folder_alone_serves_the_domains_it_has_accounts_of(
    config: Path, pipe: Prompt, capsys: pytest.CaptureFixture[str]
) -> None:
    data = config.parent / "data"
    pipe("pilot\n")
    assert run("-c", config, "user", "add", "romeo@example.net") == 0
    pipe("pilot\n")

    assert run("--data", data, "user", "add", "benvolio@example.net") == 0
    pipe("pilot\n")
    assert run("--data", data, "user", "add", "juliet@exmaple.net") == 1
    words = "pushdctl: exmaple.net is not served here; served: example.net\n"
    assert capsys.readouterr().err == words


def test_a_folder_that_is_none_of_a_server_s_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").mkdir()

    assert run("--data", tmp_path / "home", "user", "list") == 1

    words = f"pushdctl: {tmp_path}/home is not the data folder of a server\n"
    assert capsys.readouterr().err == words
    assert list((tmp_path / "home").iterdir()) == []


def test_the_folder_of_a_development_server_tells_its_domain(
    tmp_path: Path, pipe: Prompt, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"accounts": [{"jid": "romeo@localhost", "password": "x"}]}
    (tmp_path / "development.json").write_text(json.dumps(known))
    pipe("pilot\n")

    assert run("--data", tmp_path, "user", "add", "benvolio@localhost") == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_what_root_makes_belongs_to_the_owner_of_the_folder(config: Path, pipe: Prompt) -> None:
    # Not in pytest's own folder, which only root may enter.
    with tempfile.TemporaryDirectory() as made:
        data = Path(made)
        config.write_text(CONFIG.replace("data: data", f"data: {data}"))
        os.chown(data, NOBODY, NOBODY)
        pipe("pilot\n")

        assert run("-c", config, "user", "add", "romeo@example.net") == 0

        assert os.geteuid() == 0
        assert {path.stat().st_uid for path in data.iterdir()} == {NOBODY}


def test_help_shows_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run("--help")

    assert left.value.code == 0
    said = capsys.readouterr().out
    for command in ("user add JID", "user passwd JID", "user del JID", "user list", "demo"):
        assert f"  {command}" in said


@pytest.mark.parametrize("arguments", [[], ["user"], ["user", "add"], ["telepathy"]])
def test_what_is_not_understood_has_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        run(*arguments)

    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("usage: pushdctl")


def test_an_interrupt_at_the_prompt_changes_nothing(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(text: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Keyboard())
    monkeypatch.setattr("getpass.getpass", interrupt)

    assert run("-c", config, "user", "add", "romeo@example.net") == 130
    assert not (config.parent / "data").exists()
