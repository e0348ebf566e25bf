"""Run a module under cProfile, between one signal and another.

    python -m benchmarks.profiled FILE MODULE ARGUMENTS

START_SIGNAL begins a profile of the main thread, STOP_SIGNAL ends it and writes it to FILE:
so what is seen is what was measured, without the start and the logins before.
"""

import cProfile
import io
import os
import pstats
import runpy
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

START_SIGNAL = signal.SIGRTMIN + 4
STOP_SIGNAL = signal.SIGRTMIN + 5
PATIENCE = 10.0  # seconds for a profile to be written


def send(pids: Sequence[int], number: int) -> None:
    """Tell the profiled process, which is the first of these."""
    os.kill(pids[0], number)


def summary(file: Path, count: int) -> str:
    """The functions that cost most, once the profile is there; it is taken away."""
    deadline = time.monotonic() + PATIENCE
    while not file.exists():
        if time.monotonic() > deadline:
            return f"no profile in {file}"
        time.sleep(0.05)
    text = io.StringIO()
    stats = pstats.Stats(str(file), stream=text)
    stats.sort_stats("tottime").print_stats(count)
    stats.sort_stats("cumulative").print_stats(count)
    file.unlink()
    return text.getvalue()


def main(arguments: Sequence[str]) -> None:
    """Profile when told to, while a module runs as the main program."""
    file, module, *rest = arguments
    profile: list[cProfile.Profile] = []

    def start(number: int, frame: FrameType | None) -> None:
        profile[:] = [cProfile.Profile(time.thread_time)]  # the core may be shared
        profile[0].enable()

    def stop(number: int, frame: FrameType | None) -> None:
        profile[0].disable()
        profile[0].dump_stats(f"{file}.part")
        os.replace(f"{file}.part", file)

    signal.signal(START_SIGNAL, start)
    signal.signal(STOP_SIGNAL, stop)
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
