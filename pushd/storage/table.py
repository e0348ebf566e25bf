"""Tables as their users declare them: a frozen dataclass for a row, and its key.

    departures = Table(Departure, key=("account",))    # in a class: named by the attribute
    REQUESTS = Table(Request, key=("account", "jid"), name="subscription_requests")

The SQL tables themselves are made by migrations; the fields of the class are their columns.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Sequence
from copy import copy
from operator import attrgetter
from typing import Any, Generic, Protocol, TypeVar

from pushd.storage.errors import StorageError
from pushd.wire.secret import Secret

_Row = TypeVar("_Row")


class Store(Protocol):
    """What a table needs of a database."""

    def write(self, sql: str, parameters: tuple[object, ...] = ()) -> None: ...

    def read(
        self, sql: str, parameters: tuple[object, ...] = ()
    ) -> typing.Awaitable[Sequence[tuple[Any, ...]]]: ...


def _same(value: Any) -> Any:
    return value


_PLAIN = frozenset((float, bytes))  # types that a column holds as they are, as a plain text

# From a column's value to the field's, by the field's type.
_READERS: dict[type, Callable[[Any], Any]] = {
    str: _same,
    int: _same,
    float: float,
    bytes: bytes,
    bool: bool,
    Secret: Secret,
}


class Table(Generic[_Row]):
    """Typed access to one table. A declaration until `bind` gives it a database.

    `cls` is a dataclass whose fields are str, int, float, bytes, bool, Secret, or one of these
    or None. `key` names the fields of the primary key, in order. `name` is the SQL table's;
    without it, it is that of the class attribute which holds the declaration.
    """

    def __init__(
        self, cls: type[_Row], key: Sequence[str] = ("account",), *, name: str = ""
    ) -> None:
        self.name = name
        self.key = tuple(key)
        self._cls = cls
        self._store: Store | None = None
        if not dataclasses.is_dataclass(cls):
            raise TypeError(f"{cls.__name__} is not a dataclass")
        self._fields = tuple(field.name for field in dataclasses.fields(cls))
        self._values = _values(self._fields)
        hints = typing.get_type_hints(cls)
        self._readers = tuple(_reader(cls, name, hints[name]) for name in self._fields)
        if not self.key or (unknown := set(self.key) - set(self._fields)):
            raise TypeError(f"{cls.__name__} lacks the key {sorted(unknown) if self.key else ()}")
        if name:
            self._prepare()

    def __set_name__(self, owner: type, attribute: str) -> None:
        if not self.name:
            self.name = attribute
            self._prepare()

    def bind(self, store: Store) -> "Table[_Row]":
        """This table of that database: what has the methods below. The declaration stays."""
        if not self.name:
            raise TypeError(f"the table of {self._cls.__name__} has no name")
        bound = copy(self)
        bound._store = store
        return bound

    async def get(self, *key: object) -> _Row | None:
        """The row of this (whole) key, with what was put before the call. Raises StorageError."""
        if len(key) != len(self.key):
            raise TypeError(f"{self.name} is keyed by {self.key}")
        rows = await self.select(*key)
        return rows[0] if rows else None

    async def select(self, *key: object) -> list[_Row]:
        """The rows whose key begins so (all without one), in the order of the key."""
        return self.rows(await self._bound.read(*self.question(*key)))

    def question(self, *key: object) -> tuple[str, tuple[object, ...]]:
        """What `select` asks the store, for who wants to ask several things at once."""
        if len(key) > len(self.key):
            raise TypeError(f"{self.name} is keyed by {self.key}")
        return self._selects[len(key)], self._check(self.key, key)

    def rows(self, found: Sequence[tuple[Any, ...]]) -> list[_Row]:
        """The rows that the store gave as an answer to a `question`."""
        return [self._row(row) for row in found]

    def put(self, row: _Row) -> None:
        """Queue the row, in place of one with the same key.

        Raises ValueError for a value that no column can hold: an integer beyond 64 bits, a
        text that is not Unicode.
        """
        self._bound.write(self._put, self._check(self._fields, self._values(row)))

    def delete(self, *key: object) -> None:
        """Queue the removal of the rows whose key begins so; at least one part is needed."""
        if not key:
            raise TypeError(f"which rows of {self.name} to delete is missing")
        sql = f"DELETE FROM {self.name}{self._where(key)}"  # noqa: S608
        self._bound.write(sql, self._check(self.key, key))

    @property
    def fields(self) -> tuple[str, ...]:
        return self._fields

    @property
    def _bound(self) -> Store:
        if self._store is None:
            raise StorageError(f"the table {self.name} is not bound: use what bind() returns")
        return self._store

    def _prepare(self) -> None:
        columns = ", ".join(self._fields)
        marks = ", ".join("?" * len(self._fields))
        others = [name for name in self._fields if name not in self.key]
        changes = ", ".join(f"{name} = excluded.{name}" for name in others)
        action = f"UPDATE SET {changes}" if others else "NOTHING"
        # The names are those of our own classes, never a peer's text.
        select, order = f"SELECT {columns} FROM {self.name}", ", ".join(self.key)  # noqa: S608
        self._selects = [
            f"{select}{self._where(self.key[:count])} ORDER BY {order}"
            for count in range(len(self.key) + 1)
        ]
        self._put = (
            f"INSERT INTO {self.name} ({columns}) VALUES ({marks}) "  # noqa: S608
            f"ON CONFLICT ({', '.join(self.key)}) DO {action}"
        )

    def _where(self, key: Sequence[object]) -> str:
        if len(key) > len(self.key):
            raise TypeError(f"{self.name} is keyed by {self.key}")
        conditions = [f"{name} = ?" for name in self.key[: len(key)]]
        return f" WHERE {' AND '.join(conditions)}" if conditions else ""

    def _check(self, names: Sequence[str], values: Sequence[object]) -> tuple[object, ...]:
        try:
            return tuple(
                [
                    one
                    if one is None
                    or (kind := type(one)) in _PLAIN
                    or (kind is str and one.isascii())  # type: ignore[attr-defined]  # so it is
                    else _column(one)
                    for one in values
                ]
            )
        except ValueError:
            for name, value in zip(names, values, strict=False):
                try:
                    _column(value)
                except ValueError as error:
                    raise ValueError(f"{self.name}.{name}: {error}") from None
            raise

    def _row(self, columns: Sequence[Any]) -> _Row:
        values = (
            None if column is None else reader(column)
            for reader, column in zip(self._readers, columns, strict=True)
        )
        return self._cls(*values)


def _reader(cls: type, name: str, hint: Any) -> Callable[[Any], Any]:
    """How to read the field; TypeError for a type that no column holds."""
    kinds = [hint]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
    if len(kinds) != 1 or kinds[0] not in _READERS:
        raise TypeError(f"{cls.__name__}.{name} has a type that no column holds: {hint}")
    return _READERS[kinds[0]]


def _values(fields: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """What takes the fields of a row."""
    if len(fields) == 1:
        return lambda row: (getattr(row, fields[0]),)
    return attrgetter(*fields)


def _column(value: object) -> object:
    """What is stored for a field's value. Raises ValueError for what no column can hold."""
    if isinstance(value, Secret):
        value = value.reveal()
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("a text that is not Unicode") from None
    elif isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            raise ValueError("an integer beyond 64 bits")
        return int(value)
    return value
