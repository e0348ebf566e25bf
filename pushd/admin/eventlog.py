"""The event log: what happened, as one flat JSON object a line, for harnesses and diagnosis.

Session, push-decision, publish, provider and registration events; secrets never. With
`trace`, the start tag of every stanza too.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import IO, Any

from twisted.internet.interfaces import IReactorTime

from pushd.providers.reports import Alarm, Attempt, Recovered
from pushd.routing.sessions import Session
from pushd.wire.secret import Secret
from pushd.wire.stanza import Stanza

_NAMES = {Attempt: "ProviderAnswered", Alarm: "ProviderAlarm", Recovered: "ProviderRecovered"}
_SHOWN = frozenset(("message", "presence", "iq", "r", "a"))
_TAG = re.compile(rb"<([^\s/>]+)(?:\s+[^\s=]+\s*=\s*(?:'[^']*'|\"[^\"]*\"))*\s*/?>")


class EventLog:
    """Writes each event as a line; `file` is flushed after every one."""

    def __init__(self, clock: IReactorTime, file: IO[str]) -> None:
        self._clock = clock
        self._file = file

    def write(self, event: object) -> None:
        self._line(name_of(type(event)), flat(event))

    def trace(self, direction: str, peer: str, data: bytes) -> None:
        """Write down what passed on a stream: its start tag, never its content."""
        found = _TAG.match(data)
        if found is not None:
            name, tag = found.group(1).decode(), found.group().decode("utf-8", "replace")
            shown = tag if name in _SHOWN else f"<{name}>"
            self._line(f"stanza-{direction}", {"peer": peer, "tag": shown})

    def _line(self, event: str, shown: Mapping[str, Any]) -> None:
        if self._file.closed:  # the server stops, and something still had an end
            return
        line = {"at": round(self._clock.seconds(), 6), "event": event, **shown}
        self._file.write(one_line(line))
        self._file.flush()

    def go_on_in(self, file: IO[str]) -> None:
        """Write to another file from now on, as after the old one was moved away."""
        self._file.close()
        self._file = file

    def close(self) -> None:
        self._file.close()


def one_line(shown: Mapping[str, Any]) -> str:
    """An object as JSON in UTF-8 on a line of its own, whatever stands in its texts.

    Half a surrogate pair, as in the name of a file that is not in UTF-8, becomes an escape.
    """
    text = json.dumps(shown, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def name_of(kind: type) -> str:
    """`SessionDetached` is written `session-detached`."""
    name = _NAMES.get(kind, kind.__name__)
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")


def flat(event: object) -> dict[str, Any]:
    """The fields of an event as plain values."""
    shown: dict[str, Any] = {}
    if is_dataclass(event):
        for field in fields(event):
            shown.update(_shown(field.name, getattr(event, field.name)))
    if "node" in shown and not isinstance(event, Attempt):  # which has a digest already
        # Where devices need not register, a node is the very token of one.
        shown["node"] = Secret(str(shown["node"])).digest
    return shown


def _shown(name: str, value: Any) -> Mapping[str, Any]:
    if isinstance(value, Session):
        return {name: value.full, "account": value.account}
    if isinstance(value, Stanza):
        known = ("type", "from", "to", "id")
        shown = {key: value.attributes[key] for key in known if key in value.attributes}
        return {name: value.name, **{f"{name}_{key}": text for key, text in shown.items()}}
    if isinstance(value, Secret):
        return {name: repr(value)}
    if value == ():
        return {}
    if isinstance(value, Enum):
        return {name: value.value}
    if is_dataclass(value) and not isinstance(value, type):
        return {name: type(value).__name__.lower(), **_prefixed(name, flat(value))}
    if value is None or isinstance(value, (str, int, float, bool)):
        return {name: value}
    return {name: str(value)}


def _prefixed(name: str, shown: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name}_{key}": value for key, value in shown.items()}
