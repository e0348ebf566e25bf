"""The log: its level, its form, and where twistd's own options send it."""

import io
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import Logger, LogPublisher
from twisted.python.failure import Failure

from pushd.cli.logs import observer, observing
from pushd.config.sections import Log
from pushd.wire.secret import Secret

Say = Callable[[Logger], None]


def logged(wanted: Log, *sayings: Say) -> str:
    file = io.StringIO()
    publisher = LogPublisher(observing(wanted, file))
    log = Logger("pushd.routing.delivery", observer=publisher)
    for say in sayings:
        say(log)
    return file.getvalue()


def old_style(text: str, **more: Any) -> Say:
    """As Twisted's ports and factories still log."""

    def say(log: Logger) -> None:
        legacy = Logger("log_legacy", observer=log.observer)
        legacy.info("{log_text}", log_text=text, isError=0, system="-", **more)

    return say


def test_text_has_a_line_for_each_event() -> None:
    text = logged(Log(), lambda log: log.info("detached {session}", session="juliet@example.net/p"))

    assert text.endswith("[pushd.routing.delivery#info] detached juliet@example.net/p\n")


def test_the_level_changes_while_the_log_is_written() -> None:
    file = io.StringIO()
    observed = observing(Log(), file)
    log = Logger("pushd.routing.delivery", observer=LogPublisher(observed))

    for level in ("info", "debug", "error"):
        observed.set_level(level)
        log.debug("debug at {set_to}", set_to=level)
        log.warn("warning at {set_to}", set_to=level)

    said = [line.partition("] ")[2] for line in file.getvalue().splitlines()]
    assert said == ["warning at info", "debug at debug", "warning at debug"]


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", "debug info warn error"),
        ("info", "info warn error"),
        ("warning", "warn error"),
        ("error", "error"),
    ],
)
def test_what_is_less_grave_than_the_level_is_left_out(level: Any, shown: str) -> None:
    text = logged(
        Log(level=level),
        lambda log: log.debug("debug"),
        lambda log: log.info("info"),
        lambda log: log.warn("warn"),
        lambda log: log.error("error"),
    )

    assert " ".join(line.split()[-1] for line in text.splitlines()) == shown


def test_json_has_an_object_a_line_with_the_event_s_own_fields() -> None:
    text = logged(
        Log(format="json"),
        lambda log: log.warn("{who} sent {count}", who="romeo", count=3, token=Secret("t0ken")),
    )

    [line] = map(json.loads, text.splitlines())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warn",
        "logger": "pushd.routing.delivery",
        "text": "romeo sent 3",
        "who": "romeo",
        "count": 3,
        "token": str(Secret("t0ken")),
    }


def test_a_failure_in_json_has_its_traceback_in_the_same_line() -> None:
    def say(log: Logger) -> None:
        try:
            raise KeyError("romeo")
        except KeyError:
            log.failure("lost", Failure())

    [line] = map(json.loads, logged(Log(format="json"), say).splitlines())

    assert line["text"] == "lost"
    assert "KeyError: 'romeo'" in line["traceback"]


def test_a_field_takes_the_place_of_none_that_every_line_has() -> None:
    text = logged(Log(format="json"), lambda log: log.info("x", text="y", logger="z"))

    [line] = map(json.loads, text.splitlines())
    assert (line["text"], line["logger"]) == ("x", "pushd.routing.delivery")


def test_twisted_s_talk_of_factories_is_for_debugging() -> None:
    talk = old_style("ClientFactory starting on 5222")

    assert logged(Log(), talk) == ""
    assert "starting on 5222" in logged(Log(level="debug"), talk)


def test_errors_that_twisted_logs_the_old_way_are_kept() -> None:
    def say(log: Logger) -> None:
        legacy = Logger("log_legacy", observer=log.observer)
        legacy.critical("{log_text}", log_text="Unhandled", isError=1)

    assert "Unhandled" in logged(Log(), say)


@pytest.mark.parametrize("option", ["logger", "syslog"])
def test_an_observer_of_the_operator_s_own_goes_before_ours(option: str) -> None:
    assert observer(Log(), {option: True, "nodaemon": True}) is None


@pytest.mark.parametrize("name", [None, "", "-"])
def test_in_the_foreground_the_log_goes_to_standard_output(
    name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)

    made = observer(Log(), {"logfile": name, "nodaemon": True})
    assert made is not None
    Logger("pushd", observer=LogPublisher(made)).info("hello")

    assert out.getvalue().endswith("[pushd#info] hello\n")


@pytest.mark.parametrize("is_foreground", [False, True])
def test_a_file_is_written_and_can_be_rotated(
    is_foreground: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *given: None)
    path = tmp_path / "pushd.log"

    made = observer(Log(format="json"), {"logfile": str(path), "nodaemon": is_foreground})
    assert made is not None
    Logger("pushd", observer=LogPublisher(made)).info("hello")

    assert json.loads(path.read_text())["text"] == "hello"


def test_a_daemon_without_a_log_file_has_twistd_s_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *given: None)
    monkeypatch.chdir(tmp_path)

    observer(Log(), {"logfile": None, "nodaemon": 0})

    assert (tmp_path / "twistd.log").exists()


def test_a_daemon_cannot_log_to_standard_output() -> None:
    with pytest.raises(ValueError, match="--logfile=-: a daemon has no standard output"):
        observer(Log(), {"logfile": "-", "nodaemon": 0})


@pytest.mark.parametrize(
    "value",
    [
        {"a": {"b": [1, 2]}},
        ["a", "b"],
        b"bytes",
        float("nan"),
        float("inf"),
        "two\nlines\r\u2028\x85and\x0bmore",
        "half a pair \udc80",
        Path("/a/b"),
        Secret("t0ken"),
        Log(),
    ],
    ids=["object", "list", "bytes", "nan", "inf", "lines", "surrogate", "path", "secret", "data"],
)
def test_a_json_line_is_one_flat_object_whatever_is_logged(value: object) -> None:
    text = logged(Log(format="json"), lambda log: log.info("it is {value}", value=value))

    assert text.count("\n") == 1
    text.encode("utf-8")
    line = json.loads(text, parse_constant=pytest.fail)
    assert all(isinstance(one, (str, int, float, type(None))) for one in line.values())
    assert "t0ken" not in text


def test_a_traceback_is_a_field_of_its_line() -> None:
    def break_down(log: Logger) -> None:
        try:
            raise ValueError("bad\nluck")
        except ValueError:
            log.failure("it broke")

    text = logged(Log(format="json"), break_down)

    [line] = [json.loads(one) for one in text.splitlines()]
    assert "ValueError: bad\nluck" in line["traceback"]
    assert line["traceback"].startswith("Traceback (most recent call last):\n")
    assert line["level"] == "critical"
