"""Ports of the loopback address for servers that will listen on them in a while.

They are below those that the system gives to the near ends of connections, lest one of these has
the port by then; and no two processes that ask here, on one machine, are given the same.
"""

import itertools
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path

FIRST = 10_000
SIZE = 200  # of the block that a process keeps to itself; it is gone through in turn


def free_port() -> int:
    """A port of the loopback address that nothing listens on."""
    for port in itertools.islice(_ports(), SIZE):
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port is free")


@cache
def _ports() -> Iterator[int]:
    start, _ = _block()
    return itertools.cycle(range(start, start + SIZE))


@cache
def _block() -> tuple[int, socket.socket]:
    """The first port of a block, and a name that nobody else has while this process lives."""
    limits = Path("/proc/sys/net/ipv4/ip_local_port_range")
    last = int(limits.read_text().split()[0]) if limits.exists() else 32_768
    for start in range(FIRST, last - SIZE, SIZE):
        held = socket.socket(socket.AF_UNIX)
        try:
            held.bind(f"\0pushd-ports-{start}")
        except OSError:
            held.close()
            continue
        return start, held
    raise OSError("every block of ports is taken")
