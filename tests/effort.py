"""How much is tried: EFFORT=10 in the environment tries ten times as many examples as usual.

The usual ones are the same each time, so that what the tests say depends on the code alone. With
more effort, or with `--hypothesis-seed=7`, they are others.
"""

import os

EFFORT = float(os.environ.get("EFFORT", "1"))


def examples(usual: int) -> int:
    return max(1, round(usual * EFFORT))
