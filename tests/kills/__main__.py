"""`python -m tests.kills --kills 2000 --seed 1`: many kills, and what became of everything."""

import argparse
import sys
import time

from tests.kills.running import run, run_push


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=2_000, help="stop after so many")
    parser.add_argument("--seed", type=int, default=1, help="for other episodes, another number")
    parser.add_argument("--push", action="store_true", help="push in place of messages")
    given = parser.parse_args()
    began = time.monotonic()

    def say(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    tally = (run_push if given.push else run)(given.kills, given.seed, say)
    say(f"{tally.kills} kills in {time.monotonic() - began:.0f} s, seed {given.seed}")
    for what, count in sorted(tally.items(), key=lambda one: (-one[1], one[0])):
        say(f"{count:8} {what}")


if __name__ == "__main__":
    main()
