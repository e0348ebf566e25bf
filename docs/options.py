"""Writes docs/configuration.rst: `python docs/options.py`.

Every provider and every module that there is adds the options that it declares.
"""

from pathlib import Path

from pushd.config.manual import page
from pushd.modules.catalogue import available
from pushd.providers.catalogue import all_options

PAGE = Path(__file__).with_name("configuration.rst")


def made() -> str:
    """The page as it should be."""
    return page(all_options(), available())


if __name__ == "__main__":
    PAGE.write_text(made(), encoding="utf-8")
