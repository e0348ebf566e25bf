"""What holds for the tests of the fuzzer: they may run in one process with any others."""

import pytest

from tests.fuzz import watch


@pytest.fixture(autouse=True)
def _own_log() -> None:
    for log in watch.LOGS:
        log.forget()
