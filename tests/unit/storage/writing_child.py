"""A process that writes numbers without end and says which ones are committed.

    python -m tests.unit.storage.writing_child PATH

Each line on standard output is a number: it and all before it were reported durable.
"""

import sys

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from pushd.storage.sqlite import Database, ThreadRunner
from tests.unit.storage.shim import SETTING


def main(path: str) -> None:
    clock = IReactorTime(reactor)
    database = Database(path, clock, ThreadRunner(reactor))  # type: ignore[arg-type]
    database.open()
    number = 0

    def burst() -> None:
        nonlocal number
        for _ in range(1 + number % 7):
            number += 1
            database.write(SETTING, (f"{number}", bytes(number % 300)))
        last = number
        database.committed().addCallback(lambda _: print(last, flush=True))

    LoopingCall(burst).start(0.0005)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1])
