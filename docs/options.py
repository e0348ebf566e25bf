"""Writes docs/configuration.rst: `python docs/options.py`.

Every provider and every module that there is adds the options that it declares.
"""

import importlib
import inspect
import pkgutil
from pathlib import Path

import pushd.modules
import pushd.providers
from pushd.config.manual import page

PAGE = Path(__file__).with_name("configuration.rst")


def provider_options() -> dict[str, type]:
    """Provider type -> its `Options`."""
    found = {}
    for info in pkgutil.iter_modules(pushd.providers.__path__):
        file = importlib.import_module(f"pushd.providers.{info.name}")
        options = getattr(file, "Options", None)
        for _, cls in inspect.getmembers(file, inspect.isclass):
            kind = getattr(cls, "type", None)
            if options is not None and cls.__module__ == file.__name__ and isinstance(kind, str):
                found[kind] = options
    return found


def module_options() -> dict[str, type | None]:
    """Module -> its `Options`, or None."""
    names = [info.name for info in pkgutil.iter_modules(pushd.modules.__path__)]
    files = {name: importlib.import_module(f"pushd.modules.{name}") for name in names}
    return {name: getattr(file, "Options", None) for name, file in files.items()}


if __name__ == "__main__":
    PAGE.write_text(page(provider_options(), module_options()), encoding="utf-8")
