"""The reference page: made from the code, and up to date."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import pytest

from pushd.config.backends import Backend
from pushd.config.kinds import Duration
from pushd.config.manual import helps, page
from pushd.config.reader import Section, option_kinds
from pushd.config.sections import Component, Config, VirtualHost
from pushd.wire.secret import Secret

DOCS = Path(__file__).parents[3] / "docs"


@dataclass(frozen=True, slots=True)
class Options:
    """Posts to an address of one's own."""

    url: str  # where to post; never taken from a client
    # What opens the door there,
    # and nowhere else.
    bearer: Secret
    lifetime: Duration = 86_400.0  # how long a notification stays worth showing
    silent: bool = False


@pytest.mark.mistake(17)
def test_the_page_in_docs_is_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location("options", DOCS / "options.py")
    assert spec is not None
    assert spec.loader is not None
    options = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(options)
    written = (DOCS / "configuration.rst").read_text()
    assert written == options.made(), "run: python docs/options.py"


def test_comments_above_and_beside_a_field_are_its_help() -> None:
    assert helps(Options) == {
        "url": "where to post; never taken from a client",
        "bearer": "What opens the door there,\nand nowhere else.",
        "lifetime": "how long a notification stays worth showing",
        "silent": "",
    }


def test_providers_and_modules_have_their_place_on_the_page() -> None:
    text = page({"webhook": Options}, {"ping": Options, "roster": None})
    for title in ("app_server.backends[], type: webhook", "modules.ping"):
        assert f"\n{title}\n{'-' * len(title)}\n\nPosts to an address of one's own.\n" in text
    assert (
        "``url`` : text, required\n    where to post; never taken from a client\n\n"
        "``bearer`` : secret, required\n    What opens the door there,\n    and nowhere else.\n\n"
        "``lifetime`` : duration, default ``24h``\n"
    ) in text
    assert "modules.roster" not in text
    assert "modules.push" not in page({}, {"push": Options})


def test_every_option_of_pushds_own_has_a_help() -> None:
    sections: list[type] = [Config, Backend, VirtualHost, Component]
    sections += [kind.cls for kind in option_kinds(Config).values() if isinstance(kind, Section)]
    assert len(sections) == 11
    for section in sections:
        kinds, texts = option_kinds(section), helps(section)
        assert [n for n, k in kinds.items() if not isinstance(k, Section) and not texts[n]] == []
