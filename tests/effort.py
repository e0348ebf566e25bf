"""How much is tried: EFFORT=10 in the environment tries ten times as many examples as usual."""

import os

EFFORT = float(os.environ.get("EFFORT", "1"))


def examples(usual: int) -> int:
    return max(1, round(usual * EFFORT))
