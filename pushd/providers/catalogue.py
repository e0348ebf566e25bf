"""Which providers there are: the files of this package, asked by name.

No list is kept. A provider's file is called like its `type`; to find one imports that
file alone. An alias belongs to a file of another name, so that one costs looking into all.
"""

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from pushd import providers
from pushd.providers.contract import Provider


def find(name: str) -> type[Provider] | None:
    """The provider of this type or alias; None where there is none."""
    modules = _names()
    if name in modules:
        found = _provider_in(_module(name))
        if found is not None:
            return found
    return next((found for found in _all() if name in found.aliases), None)


def types() -> frozenset[str]:
    """The types of all providers, without aliases. Imports every file of the package."""
    return frozenset(found.type for found in _all())


def options(provider: type[Provider]) -> type:
    """The dataclass of what can be configured for it."""
    found: type = sys.modules[provider.__module__].Options
    return found


class AllOptions(Mapping[str, type]):
    """The same for every type there is: to ask for one imports its file, to go through them all."""

    def __getitem__(self, name: str) -> type:
        found = _provider_in(_module(name)) if name in _names() else None
        if found is None:
            raise KeyError(name)
        return options(found)

    def __iter__(self) -> Iterator[str]:
        return iter(types())

    def __len__(self) -> int:
        return len(types())


def all_options() -> Mapping[str, type]:
    """The dataclasses by type."""
    return AllOptions()


def _names() -> list[str]:
    return sorted(module.name for module in iter_modules(providers.__path__))


def _module(name: str) -> ModuleType:
    return import_module(f"{providers.__name__}.{name}")


def _all() -> Iterator[type[Provider]]:
    for name in _names():
        found = _provider_in(_module(name))
        if found is not None:
            yield found


def _provider_in(module: ModuleType) -> type[Provider] | None:
    """The provider that this file is named after; None for the package's other files."""
    name = module.__name__.rpartition(".")[2]
    for value in vars(module).values():
        if (
            isinstance(value, type)
            and issubclass(value, Provider)
            and value is not Provider
            and value.__module__ == module.__name__
            and value.type == name
        ):
            return value
    return None
