"""The seam that lets wokkel be imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from pushd.wire import compat

ROOT = Path(__file__).parents[3]
FRESH = """
import importlib, sys
import pushd.wire.compat
assert not any(name.startswith('wokkel') for name in sys.modules)
for name in ('wokkel.data_form', 'wokkel.disco', 'wokkel.pubsub'):
    importlib.import_module(name)
"""


def test_wokkel_imports_after_it_and_not_because_of_it() -> None:
    subprocess.run([sys.executable, "-c", FRESH], check=True, cwd=ROOT)


def test_wokkels_modules_are_had_from_it() -> None:
    from pushd.wire.compat import data_form, disco, pubsub

    assert data_form.Form("submit").formType == "submit"
    assert disco.DiscoInfo.__module__ == "wokkel.disco"
    assert pubsub.PubSubRequest.__module__ == "wokkel.pubsub"


def test_nothing_else_is_had_from_it() -> None:
    with pytest.raises(AttributeError, match="no attribute 'server'"):
        compat.server  # noqa: B018
