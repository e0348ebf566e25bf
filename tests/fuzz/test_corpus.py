"""The corpus of every target again, and some fresh inputs: seconds of what else runs for hours."""

import sys
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from tests.effort import examples
from tests.fuzz import running, targets
from tests.fuzz.mutate import Mutator
from tests.fuzz.watch import Finding, Hang, time_limit

# Inputs of a target; of any other, USUAL.
FRESH = {
    "client": 40,
    "management": 40,
    "component": 40,
    "appserver": 40,
    "config": 150,
    "servers": 40,
}
USUAL = 300
FEWEST, BIGGEST = 20, 8_192  # files of a target; bytes of one


@pytest.mark.parametrize("name", targets.SHARES)
def test_a_corpus_is_small_and_breaks_nothing(name: str) -> None:
    target, files = targets.load(name), targets.corpus(name)
    assert len(files) >= FEWEST
    for file in files:
        data = file.read_bytes()
        assert len(data) <= BIGGEST, file
        try:
            target.one(data)
        except Exception as error:
            error.add_note(str(file))
            raise


@pytest.mark.parametrize("name", targets.SHARES)
def test_fresh_inputs_find_nothing(name: str) -> None:
    inputs = examples(FRESH.get(name, USUAL))
    told = running.run(name, inputs, seed=0, keep=False)

    assert not told.findings, told
    assert told.inputs == inputs


def test_a_seed_gives_the_same_inputs_again() -> None:
    target = targets.load("framer")
    first, second = (Mutator(Random(5), [b"<a/>"], target.TOKENS, target.write) for _ in range(2))

    inputs = [first.next() for _ in range(200)]

    assert inputs == [second.next() for _ in range(200)]
    assert len(set(inputs)) > 150


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A target of a test's own, with a corpus of one file; `one` is to be set."""
    made = SimpleNamespace(TOKENS=(b"a", b"b"), write=lambda random: random.randbytes(4))
    folder = tmp_path / "fragile"
    folder.mkdir()
    (folder / "seed").write_bytes(b"ab")
    monkeypatch.setattr(targets, "CORPUS", tmp_path)
    monkeypatch.setitem(sys.modules, "tests.fuzz.fragile", made)
    return made


def test_what_breaks_a_target_is_told_once_and_written_down(fragile: Any) -> None:
    def one(data: bytes) -> None:
        if b"b" in data:
            raise KeyError("b")

    fragile.one = one

    told = running.run("fragile", 300, seed=1)

    [(what, file)] = told.findings.items()
    assert "KeyError" in what
    assert b"b" in file.read_bytes()
    assert "1 findings" in str(told)


def test_what_is_logged_as_an_error_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    from twisted.logger import Logger, LogPublisher

    from tests.fuzz import watch

    publisher = LogPublisher()  # of its own: this is no finding of any other test
    monkeypatch.setattr(watch, "globalLogPublisher", publisher)
    log, logger = watch.Log(), Logger("here", observer=publisher)
    logger.info("nothing to see")
    log.check()
    try:
        raise KeyError("swallowed")
    except KeyError:
        logger.failure("it broke")

    with pytest.raises(Finding, match="swallowed"):
        log.check()
    log.check()


def test_what_never_ends_is_a_finding() -> None:
    def spin() -> None:
        with time_limit(0.05):
            while True:
                pass

    with pytest.raises(Hang):
        spin()
