"""What holds for the tests of the fuzzer: they may run in one process with any others."""

import gc

import pytest

from tests.fuzz import watch


@pytest.fixture(autouse=True, scope="module")
def _nothing_left() -> None:
    """What tests before left to the garbage collector, it would log at any time."""
    gc.collect()


@pytest.fixture(autouse=True)
def _own_log() -> None:
    for log in watch.LOGS:
        log.forget()
