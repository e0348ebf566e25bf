"""Reads the tables of docs/providers/, and says what the code makes of their rows."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pushd.providers import catalogue
from pushd.providers.contract import (
    Accepted,
    Busy,
    Outcome,
    Refused,
    Response,
    Scope,
    Token,
    Unregistered,
)
from pushd.providers.credentials import read_token
from tests.unit.providers.bench import NOW

PAGES = Path(__file__).parents[3] / "docs" / "providers"

FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


class Row(NamedTuple):
    """A row of a table: an answer, as "400 BadTopic, note", and what it is said to lead to."""

    answer: str
    outcome: str

    @property
    def status(self) -> int:
        return int(self.answer[:3])

    @property
    def word(self) -> str:
        return self.answer[3:].partition(",")[0].strip()

    @property
    def note(self) -> str:
        return self.answer.partition(",")[2].strip()


def tables(text: str) -> Mapping[str, list[Row]]:
    """The tables behind a comment such as `.. answers: service`, by that word."""
    found: dict[str, list[Row]] = {}
    for part in re.split(r"^\.\. answers: ", text, flags=re.MULTILINE)[1:]:
        name, _, rest = part.partition("\n")
        found[name.strip()] = list(_rows(rest.splitlines()))
    return found


def _rows(lines: list[str]) -> Iterator[Row]:
    rulers = [number for number, line in enumerate(lines) if line.startswith("===")]
    first, second = (match.start() for match in list(re.finditer("=+", lines[rulers[0]]))[1:3])
    cells = ["", ""]
    for line in [*lines[rulers[1] + 1 : rulers[2]], "end"]:
        if not line.startswith(" ") and cells[0]:
            yield Row(*(re.sub(r"\s+", " ", cell.replace("``", "")).strip() for cell in cells))
            cells = ["", ""]
        cells[0] += f" {line[:first].strip()}"
        cells[1] += f" {line[first:second].strip()}"


def told(outcome: Outcome | Token) -> str:
    """An outcome in the words of docs/providers/index.rst."""
    match outcome:
        case Accepted() | Token():
            return "taken"
        case Unregistered(guarded=True):
            return "gone, unless many are"
        case Unregistered():
            return "gone"
        case Busy(scope=Scope.DEVICE):
            return "later, this device alone"
        case Busy(fresh=True):
            return "again, other connection"
        case Busy():
            return "later"
        case Refused(renew_credential=True, guarded=True):
            return "new token, else alarm, unless others are served"
        case Refused(renew_credential=True):
            return "new token, else alarm"
        case Refused(fresh=True):
            return "again, other connection, else alarm"
        case Refused(shrink=True):
            return "again, shorter"
        case Refused(remedy=remedy) if remedy:
            return "again, once"
        case Refused(alarm=True, guarded=True):
            return "alarm, unless others are served"
        case Refused(alarm=True):
            return "alarm"
    return "refused"


# How each service says what stands in its table.


def _apns(row: Row) -> Response:
    return _json(row.status, {"reason": row.word} if row.word else {})


def _fcm(row: Row) -> Response:
    if row.status == 200:
        return _json(200, {"name": "projects/p/messages/1"} if row.note != "no name" else {})
    text = {
        "of the token": "The registration token is not a valid FCM registration token",
        "of the size": "Message is too large",
    }.get(row.note, "Request contains an invalid argument.")
    details = [{"@type": FCM_ERROR, "errorCode": row.word}] if row.word else []
    return _json(row.status, {"error": {"message": text, "details": details}})


def _ubuntu(row: Row) -> Response:
    if row.status == 200:
        return _json(200, {"ok": True} if row.note != "no ok" else {})
    text = "Data too large" if row.note == "of the size" else "Invalid"
    return _json(row.status, {"error": row.word, "message": text} if row.word else {})


def _wns(row: Row) -> Response:
    headers = {"X-WNS-Status": row.word} if row.word else {}
    if row.note == "blocked":
        headers["X-WNS-Error-Description"] = "The domain is blocked"
    return Response(row.status, headers)


def _webpush(row: Row) -> Response:
    if row.note == "another key":
        text = "the VAPID credentials do not correspond to those used to create the subscription"
        return Response(row.status, {}, text.encode())
    if row.note == "throttled":
        return Response(row.status, {"X-WNS-Status": "appthrottled", "Retry-After": "900"})
    if row.note == "code 40301":
        return _json(row.status, {"code": 40301})
    errno = re.fullmatch(r"errno (\d+)", row.word)
    if errno is not None:
        return _json(row.status, {"errno": int(errno[1])})
    return _json(row.status, {"reason": row.word} if row.word else {})


def _webhook(row: Row) -> Response:
    return _json(row.status, {"unregistered": True} if row.word == "unregistered" else {})


def _token(row: Row) -> Response:
    if row.status == 200:
        return _json(200, {"access_token": "t", "expires_in": 3600} if not row.note else {})
    return _json(row.status, {"error": row.word} if row.word else {})


def _json(status: int, content: Any) -> Response:
    return Response(status, {}, json.dumps(content).encode())


SAYS: Mapping[str, Callable[[Row], Response]] = {
    "apns": _apns,
    "fcm": _fcm,
    "ubuntu": _ubuntu,
    "unifiedpush": _webpush,
    "webhook": _webhook,
    "webpush": _webpush,
    "wns": _wns,
}


def outcome(kind: str, table: str, row: Row) -> str:
    """What pushd does at this answer, in the words of the table."""
    if table == "token":
        return told(read_token(_token(row), NOW))
    found = catalogue.find(kind)
    assert found is not None
    # No answer's meaning depends on the options.
    provider: Any = object.__new__(found)
    return told(found.outcome(provider, SAYS[kind](row), NOW))
