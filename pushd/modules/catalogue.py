"""Which modules there are: the files of this package, asked by name.

Who reads a configuration need not import what modules are made of.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

NO_MODULES = ("base", "catalogue")


class Available(Mapping[str, type[Any] | None]):
    """To ask for one imports its file."""

    def __init__(self) -> None:
        found = (one.name for one in iter_modules(import_module(__package__).__path__))
        self._names = [name for name in found if name not in NO_MODULES]

    def __getitem__(self, name: str) -> type[Any] | None:
        if name not in self._names:
            raise KeyError(name)
        from pushd.modules.base import options_of

        return options_of(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def available() -> Mapping[str, type[Any] | None]:
    """The modules there are, by name, with the dataclass of their options; None without."""
    return Available()
