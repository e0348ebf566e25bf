"""The event log: what happened, as one flat JSON object a line, for harnesses and diagnosis.

Session, push-decision, publish, provider and registration events; secrets never. With
`trace`, every stanza too, with its text replaced.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import IO, Any

from twisted.internet.interfaces import IReactorTime

from pushd.routing.sessions import Session
from pushd.wire.secret import Secret
from pushd.wire.stanza import Stanza


class EventLog:
    """Writes each event as a line; `file` is flushed after every one."""

    def __init__(self, clock: IReactorTime, file: IO[str]) -> None:
        self._clock = clock
        self._file = file

    def write(self, event: object) -> None:
        line = {"at": round(self._clock.seconds(), 6), "event": _name(event), **flat(event)}
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _name(event: object) -> str:
    """`SessionDetached` is written `session-detached`."""
    name = type(event).__name__
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")


def flat(event: object) -> dict[str, Any]:
    """The fields of an event as plain values."""
    shown: dict[str, Any] = {}
    if is_dataclass(event):
        for field in fields(event):
            shown.update(_shown(field.name, getattr(event, field.name)))
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
    if isinstance(value, Enum):
        return {name: value.value}
    if is_dataclass(value) and not isinstance(value, type):
        return {name: type(value).__name__.lower(), **_prefixed(name, flat(value))}
    if value is None or isinstance(value, (str, int, float, bool)):
        return {name: value}
    return {name: str(value)}


def _prefixed(name: str, shown: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name}_{key}": value for key, value in shown.items()}


Listener = Callable[[object], None]
