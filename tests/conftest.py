"""What holds for all tests."""

import functools
import importlib.metadata
import itertools
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

from tests.effort import EFFORT, examples

# Whoever runs the tests in the background has them ignore SIGINT, and so the servers they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--part", default="1/1", help="2/3 runs every third test, from the second on")


def pytest_configure(config: pytest.Config) -> None:
    # Workers take the files in their own order, not those with most tests first: so the scenarios,
    # some of which take a minute, come before thousands of short unit tests, which end together.
    config.option.loadscopereorder = False

    # No test is timed: a busy machine makes none of them fail. Nor does luck: properties are tried
    # with the same examples each time, unless somebody asks for others.
    explores = EFFORT > 1 or config.getoption("--hypothesis-seed") is not None
    settings.register_profile(
        "pushd",
        max_examples=examples(100),
        derandomize=not explores,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("pushd")
    if not explores:
        # Else constants of what happens to be imported by then would be among the examples.
        providers._get_local_constants = lambda: providers._local_constants


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    first, step = map(int, config.getoption("part").split("/"))
    items[:] = items[first - 1 :: step]


_folders = itertools.count()


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose path is shorter than pytest's own, which grows with the workers.

    It is shown whole in a mistake of a configuration, and has room for the path of a socket.
    """
    path = tmp_path_factory.getbasetemp() / str(next(_folders))
    path.mkdir(mode=0o700)
    return path


def pytest_runtest_teardown() -> None:
    """A process may have a thousand files open, and there are ten thousand tests."""
    from tests.hall import close_files  # not before the tests that look at what is imported

    close_files()


# pytest asks for the version of Twisted with each test, which takes longer than most of them.
importlib.metadata.version = functools.cache(importlib.metadata.version)
