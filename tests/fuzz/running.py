"""One target, many inputs: what is found, how fast it goes, and whether memory grows."""

import gc
import hashlib
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from tests.fuzz import targets, watch
from tests.fuzz.mutate import Mutator

SLOWEST = 5.0  # seconds of processor time that no input may take
LEARNING = 64  # of so many inputs, one is traced for lines that no other reached
SETTLED = 0.3  # of the inputs: by then, all that is kept for good is there
GROWTH = 48 << 20  # bytes that may be added after that


@dataclass
class Told:
    """What a run came to."""

    target: str
    seed: int
    inputs: int = 0
    seconds: float = 0.0
    lines: int = 0  # of the server, that traced inputs reached
    grown: int = 0  # bytes
    findings: dict[str, Path] = field(default_factory=dict)

    def __str__(self) -> str:
        rate = self.inputs / self.seconds if self.seconds else 0.0
        text = (
            f"{self.target:<11} {self.inputs:>10,} inputs {rate:>8,.0f}/s  seed {self.seed}  "
            f"{self.lines} lines  {self.grown >> 20:+d} MiB  {len(self.findings)} findings"
        )
        return "\n".join([text, *(f"    {what}: {where}" for what, where in self.findings.items())])


def run(name: str, inputs: int, seed: int, seconds: float = 0, keep: bool = True) -> Told:
    """Feed a target this many inputs, or for these seconds; `keep` writes what breaks it."""
    target = targets.load(name)
    random = Random(f"{name} {seed}")
    pool = [path.read_bytes() for path in targets.corpus(name)]
    mutator = Mutator(random, pool, target.TOKENS, target.write)
    told, reached, settled = Told(name, seed), set[tuple[str, int]](), 0
    for data in pool:  # what is reached by these is no news
        _traced(target, data, reached)
    began = time.monotonic()
    for number in range(inputs):
        data = mutator.next()
        learn = number % LEARNING == 0
        known = len(reached)
        error = _traced(target, data, reached) if learn else _tried(target, data)
        if len(reached) > known:
            mutator.keep(data)
        if error is not None:
            _note(told, target, data, error, keep)
        told.inputs += 1
        if number == int(inputs * SETTLED):
            gc.collect()
            settled = watch.memory()
        if seconds and time.monotonic() - began > seconds:
            break
    gc.collect()
    told.seconds = time.monotonic() - began
    told.lines = len(reached)
    told.grown = watch.memory() - settled if settled else 0
    if told.grown > GROWTH:
        told.findings["memory grows"] = Path()
    return told


def _tried(target: Any, data: bytes) -> BaseException | None:
    """What came of one input: None, or the error."""
    try:
        with watch.time_limit(SLOWEST):
            target.one(data)
    except Exception as error:  # noqa: BLE001 - whatever it is, it was found
        return error
    return None


def _traced(target: Any, data: bytes, reached: set[tuple[str, int]]) -> BaseException | None:
    """The same, noting the lines of the server that were reached."""

    def line(frame: FrameType, event: str, arg: object) -> Any:
        reached.add((frame.f_code.co_filename, frame.f_lineno))
        return line

    def call(frame: FrameType, event: str, arg: object) -> Any:
        return line if "/pushd/" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        return _tried(target, data)
    finally:
        sys.settrace(before)


def _note(told: Told, target: Any, data: bytes, error: BaseException, keep: bool) -> None:
    """Remember a finding, once for each place; tell of it, and write down what caused it."""
    frames = traceback.extract_tb(error.__traceback__)
    what = f"{type(error).__name__} in {Path(frames[-1].filename).name}:{frames[-1].lineno}"
    if isinstance(error, watch.Finding):
        what += f": {str(error).strip().splitlines()[-1][:200]}"
    if what in told.findings:
        return
    where = Path()
    if keep:
        where = targets.CORPUS / told.target / f"found-{hashlib.sha256(data).hexdigest()[:10]}"
        where.write_bytes(data)
    told.findings[what] = where
    print("".join(traceback.format_exception(error)), data[:2_000], sep="\n", file=sys.stderr)
    print(f"alone: {_alone(target, data)!r}", file=sys.stderr, flush=True)


def _alone(target: Any, data: bytes) -> BaseException | None:
    """Whether it breaks the target without what came before."""
    if hasattr(target, "renew"):
        target.renew()
    return _tried(target, data)
