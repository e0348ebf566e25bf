"""Run targets on fresh inputs: `python -m tests.fuzz --target framer --inputs 1000000 --seed 1`.

`--all` spreads the inputs over all targets, `--jobs` over processes. What breaks a target is
written to tests/corpus/TARGET/, and one line a target tells how many inputs there were, how
fast, and what was found. `--coverage` lets atheris choose the inputs, where it is installed.
"""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.fuzz import running
from tests.fuzz.targets import SHARES, load


def main() -> int:
    asked = _arguments()
    if asked.coverage:
        from tests.fuzz import coverage

        coverage.run(asked.target, asked.seed, asked.inputs)
        return 0
    names = [asked.target] if asked.target else list(SHARES)
    whole = sum(SHARES[name] for name in names)
    parts = [
        (name, max(1, asked.inputs * SHARES[name] // whole // asked.jobs), asked.seed + job)
        for name in names
        for job in range(asked.jobs)
    ]
    began, done, found = time.monotonic(), 0, 0
    with ProcessPoolExecutor(asked.jobs, max_tasks_per_child=1) as pool:
        working = [pool.submit(running.run, *part, asked.seconds) for part in parts]
        for work in as_completed(working):
            told = work.result()
            done += told.inputs
            found += len(told.findings)
            print(told, flush=True)
    print(f"{done:,} inputs in {time.monotonic() - began:,.0f} s, {found} findings")
    return 1 if found else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--target", choices=list(SHARES))
    which.add_argument("--all", action="store_true")
    parser.add_argument("--inputs", type=int, default=100_000, help="in all")
    parser.add_argument("--seconds", type=float, default=0, help="of each target, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--coverage", action="store_true", help="let atheris choose the inputs")
    asked = parser.parse_args()
    if asked.coverage and asked.all:
        parser.error("--coverage takes one --target")
    load(asked.target or "jid")
    return asked


if __name__ == "__main__":
    sys.exit(main())
