"""Inputs without end: written by a target's grammar, or mutated from what is known already.

Everything is drawn from one `Random`, so that a seed gives the same inputs again.
"""

from collections.abc import Callable, Sequence
from random import Random

LONGEST = 8_192  # bytes of a mutated input
POOL = 2_000  # inputs that are mutated further
PLACES = (0, 1, 9, 10, 13, 32, 34, 38, 39, 47, 58, 60, 61, 62, 64, 127, 128, 192, 224, 237, 255)

Write = Callable[[Random], bytes]


class Mutator:
    """`next` gives one input: a fresh one, a mutated one, or two of the pool in one."""

    def __init__(
        self, random: Random, pool: Sequence[bytes], tokens: Sequence[bytes], write: Write
    ) -> None:
        self._random = random
        self._pool = list(pool)
        self._tokens = tokens
        self._write = write

    def next(self) -> bytes:
        random = self._random
        if not self._pool or random.random() < 0.4:
            data = self._write(random)
            if random.random() < 0.5:
                return data
        else:
            data = random.choice(self._pool)
        for _ in range(1 + int(random.expovariate(0.7))):
            data = self._mutated(data)
        return data[:LONGEST]

    def keep(self, data: bytes) -> None:
        """This one is worth being mutated further."""
        if len(self._pool) < POOL:
            self._pool.append(data)
        else:
            self._pool[self._random.randrange(POOL)] = data

    def _mutated(self, data: bytes) -> bytes:
        random = self._random
        begin = random.randrange(len(data) + 1)
        end = min(len(data), begin + 1 + int(random.expovariate(0.1)))
        way = random.randrange(9)
        if way == 0 and begin < len(data):  # one bit
            return (
                data[:begin] + bytes((data[begin] ^ 1 << random.randrange(8),)) + data[begin + 1 :]
            )
        if way == 1:  # a byte of note
            return data[:begin] + bytes((random.choice(PLACES),)) + data[begin + 1 :]
        if way == 2:  # something is gone
            return data[:begin] + data[end:]
        if way == 3:  # something comes again
            return data[:end] + data[begin:end] * random.choice((1, 1, 2, 8)) + data[end:]
        if way == 4:  # the end is gone
            return data[:begin]
        if way == 5 and self._pool:  # the rest of another
            other = random.choice(self._pool)
            return data[:begin] + other[random.randrange(len(other) + 1) :]
        if way == 6 and self._pool:  # a part of another
            other = random.choice(self._pool)
            place = random.randrange(len(other) + 1)
            return data[:begin] + other[place : place + 64] + data[end:]
        token = random.choice(self._tokens) if self._tokens else b"\0"
        return data[:begin] + token + (data[end:] if way == 7 else data[begin:])
