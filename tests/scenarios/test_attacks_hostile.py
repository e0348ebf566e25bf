"""Rows 3, 18, 19 and 21: some hundred hostile connections of every kind, which nobody notices.

The command is that of docs/security.rst, which has the figures for ten thousand.
"""

import re

from twisted.trial.unittest import TestCase

from tests.patience import LONGEST
from tests.scenarios.process import Child


class HostileTest(TestCase):
    timeout = 2 * LONGEST

    async def test_rows_03_18_19_21_each_ends_as_it_must_and_memory_is_flat(self) -> None:
        options = ["--connections", "240", "--wave", "60", "--seconds", "120"]
        child = Child.run(self, ["-m", "benchmarks.hostile", *options])
        code = await child.ended(LONGEST)
        assert code == 0, child.text
        assert "descriptors left open: 0" in child.text
        kinds = set(re.findall(r"^ *\d+ ([a-z][a-z ]+?)  ", child.text, re.M))
        assert {"stalled reader", "half a handshake later", "tag in pieces"} < kinds, child.text
