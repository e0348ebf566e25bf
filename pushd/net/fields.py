"""Header fields as treq and Twisted's agents pass them on, for exchanges by the thousand.

Twisted's own `Headers` look at every name and value again whenever they are copied, which
each agent does that treq puts around ours.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from twisted.web.http_headers import Headers


class Fields(Headers):
    """Names are in lower case. A copy shares what neither changes. Its repr names no value."""

    def __init__(self, fields: dict[bytes, list[bytes]] | None = None) -> None:
        self._fields = {} if fields is None else fields

    def __repr__(self) -> str:
        return f"<Fields {sorted(self._fields)}>"

    def __cmp__(self, other: object) -> Any:
        """What Twisted's comparisons go by: nought for equal."""
        return int(self._fields != other._fields) if isinstance(other, Fields) else NotImplemented

    def copy(self) -> "Fields":
        return Fields(self._fields.copy())

    def hasHeader(self, name: Any) -> bool:
        return lowered(name) in self._fields

    def removeHeader(self, name: Any) -> None:
        self._fields.pop(lowered(name), None)

    def setRawHeaders(self, name: str | bytes, values: Sequence[str | bytes]) -> None:
        self._fields[lowered(name)] = [_bytes(value) for value in values]

    def addRawHeader(self, name: str | bytes, value: str | bytes) -> None:
        name = lowered(name)
        self._fields[name] = [*self._fields.get(name, ()), _bytes(value)]

    def getRawHeaders(self, name: Any, default: Any = None) -> Any:
        """As texts where the name is one."""
        values = self._fields.get(lowered(name))
        if not values:
            return default
        return [value.decode("utf8") for value in values] if isinstance(name, str) else values

    def getAllRawHeaders(self) -> Iterator[tuple[bytes, Sequence[bytes]]]:
        return iter(self._fields.items())


@lru_cache(512)
def lowered(name: str | bytes) -> bytes:
    """The name of a field as it is kept."""
    return (name.encode("latin-1", "replace") if isinstance(name, str) else name).lower()


def _bytes(value: str | bytes) -> bytes:
    return value.encode("utf8") if isinstance(value, str) else value
