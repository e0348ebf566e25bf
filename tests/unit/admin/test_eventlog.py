"""The event log: one flat JSON object a line, and no secret in any."""

import io
import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from pushd.admin.eventlog import EventLog, flat
from pushd.providers.contract import Accepted
from pushd.providers.reports import Attempt
from pushd.routing.events import Cause, PushDecided, PushEnabled, SessionDetached, Undelivered
from pushd.routing.sessions import Session
from pushd.wire.framer import seal
from pushd.wire.jid import parse
from pushd.wire.secret import Secret


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Outcome:
    reason: str


@dataclass(frozen=True)
class Everything:
    token: Secret
    colour: Colour
    outcome: Outcome
    places: tuple[str, ...]
    nothing: None = None


def written(*events: object) -> list[dict[str, Any]]:
    clock, file = Clock(), io.StringIO()
    clock.rightNow = 1_700_000_000.25
    log = EventLog(clock, file)
    for event in events:
        log.write(event)
    return [json.loads(line) for line in file.getvalue().splitlines()]


def traced(*data: bytes) -> list[dict[str, Any]]:
    file = io.StringIO()
    log = EventLog(Clock(), file)
    for each in data:
        log.trace("received", "127.0.0.1", each)
    return [json.loads(line) for line in file.getvalue().splitlines()]


def test_an_event_is_written_under_its_name_with_its_time() -> None:
    event = PushDecided(
        "juliet@example.net", "push.example.net", "n1", True, "detached", kind="message"
    )

    assert written(event) == [
        {
            "at": 1_700_000_000.25,
            "event": "push-decided",
            "account": "juliet@example.net",
            "service": "push.example.net",
            "node": Secret("n1").digest,
            "pushed": True,
            "reason": "detached",
            "kind": "message",
            "sender": "",
        }
    ]


def test_a_session_is_written_as_its_addresses() -> None:
    session = Session(parse("juliet@example.net/phone"), None)

    [line] = written(SessionDetached(session, "connection lost"))

    assert line["event"] == "session-detached"
    assert line["session"] == "juliet@example.net/phone"
    assert line["account"] == "juliet@example.net"


def test_a_stanza_is_written_as_its_envelope() -> None:
    stanza = seal(
        b"<message from='romeo@example.net/a' to='juliet@example.net' type='chat' id='m1'>"
        b"<body>a secret of two hearts</body></message>"
    )

    [line] = written(Undelivered("juliet@example.net", None, stanza, Cause.ABSENT, 5.0))

    assert line["stanza"] == "message"
    assert line["stanza_from"] == "romeo@example.net/a"
    assert line["stanza_to"] == "juliet@example.net"
    assert line["stanza_type"] == "chat"
    assert line["stanza_id"] == "m1"
    assert line["cause"] == "absent"
    assert line["session"] is None
    assert "told" not in line
    assert "hearts" not in json.dumps(line)


def test_values_of_other_types_become_plain_and_secrets_a_digest() -> None:
    shown = flat(Everything(Secret("t0ken"), Colour.RED, Outcome("late"), ("a", "b")))

    assert shown == {
        "token": repr(Secret("t0ken")),
        "colour": "red",
        "outcome": "outcome",
        "outcome_reason": "late",
        "places": "('a', 'b')",
        "nothing": None,
    }
    assert "t0ken" not in str(shown)


def test_text_of_any_script_stays_readable() -> None:
    file = io.StringIO()
    EventLog(Clock(), file).write(PushDecided("ю@example.net", "", "", False, "нет"))

    assert "ю@example.net" in file.getvalue()


def test_a_traced_stanza_is_its_start_tag_without_what_it_says() -> None:
    data = b"<message to='juliet@example.net' id='1'><body>wherefore</body></message>"

    assert traced(data) == [
        {
            "at": 0.0,
            "event": "stanza-received",
            "peer": "127.0.0.1",
            "tag": "<message to='juliet@example.net' id='1'>",
        }
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHJvbWVvAHBpbG90</auth>",
        b"<resume xmlns='urn:xmpp:sm:3' previd='token' h='0'/>",
        b"<handshake>0123456789abcdef</handshake>",
    ],
)
def test_of_what_may_hold_credentials_only_the_name_is_traced(data: bytes) -> None:
    name = data[1:].split()[0].split(b">")[0].decode()

    [line] = traced(data)

    assert line["tag"] == f"<{name}>"


def test_what_is_no_start_tag_is_not_traced() -> None:
    assert traced(b"</stream:stream>", b" ", b"<?xml version='1.0'?><stream:stream>") == []


def test_a_bracket_in_an_attribute_does_not_end_the_tag() -> None:
    [line] = traced(b"<iq id='a>b' type='get'><ping xmlns='urn:xmpp:ping'/></iq>")

    assert line["tag"] == "<iq id='a>b' type='get'>"


def test_what_happens_after_the_end_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(Clock(), path.open("w"))
    log.write(Outcome("early"))
    log.close()

    log.write(Outcome("late"))
    log.trace("sent", "127.0.0.1", b"<presence/>")

    assert [json.loads(line)["reason"] for line in path.read_text().splitlines()] == ["early"]


def test_after_its_file_was_moved_away_it_goes_on_in_another(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(Clock(), path.open("w"))
    log.write(Outcome("early"))
    moved = path.rename(tmp_path / "events.1")

    log.go_on_in(path.open("w"))
    log.write(Outcome("late"))

    for file, reason in ((moved, "early"), (path, "late")):
        assert [json.loads(line)["reason"] for line in file.read_text().splitlines()] == [reason]


def test_a_node_is_its_digest_in_every_event() -> None:
    attempt = Attempt("fcm", "fcm", Secret("n1").digest, 1, 200, Accepted("m1"), 0.1)
    enabled = PushEnabled("juliet@example.net", "push.example.com", "n1", "juliet@example.net/p")

    one, other = written(attempt, enabled)

    assert one["node"] == other["node"] == Secret("n1").digest
