"""The files that a provider was made from: are they still what was read?

Credentials are read at the start and at a reload. Who replaces one and forgets the reload is
told, and not only by the provider, when the old one is of no use any more. Authorities
(`ca_file`) are read again by themselves.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from pushd.config.checks import state_of
from pushd.wire.secret import Kept


class Sources:
    """Of the options of one provider, as they are at this moment."""

    def __init__(self, options: object) -> None:
        self._seen = {path: _look(path) for path in _paths(options)}

    def changed(self) -> list[Path]:
        """Those that are others by now; one that is gone is none."""
        looks = ((path, seen, _look(path)) for path, seen in self._seen.items())
        return [path for path, seen, now in looks if now is not None and now != seen]


def _paths(options: object) -> Iterator[Path]:
    if not is_dataclass(options):
        return
    for field in fields(options):
        if field.name == "ca_file":
            continue
        found: Any = getattr(options, field.name)
        for value in found if isinstance(found, tuple) else (found,):
            if isinstance(value, Path):
                yield value
            elif isinstance(value, Kept):
                yield value.path


def _look(path: Path) -> tuple[int, int, int] | None:
    try:
        return state_of(path)
    except OSError:
        return None
