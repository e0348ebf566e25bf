"""How work reaches the thread that writes, and how its result comes back."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol, TypeVar

from twisted.internet.interfaces import IReactorFromThreads

T = TypeVar("T")


class Runner(Protocol):
    """Runs one piece of work after the other, in the order in which they were handed in."""

    def start(self) -> None:
        """Get ready; called when the database opens, hence after any fork."""

    def run(self, work: Callable[[], T], done: Callable[[T], None]) -> None:
        """Call `work`, which never raises, then `done(its result)` in the reactor's thread."""

    def stop(self) -> None:
        """Called in the reactor's thread when nothing is under way; a new start may follow."""


class ThreadRunner:
    """One thread of its own, which exists between `start` and `stop` only."""

    def __init__(self, reactor: IReactorFromThreads) -> None:
        self._reactor = reactor
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        # A daemon thread: a process that ends without close() must not wait for it,
        # and a transaction cut short is one that was never acknowledged.
        self._thread = threading.Thread(target=self._loop, name="storage", daemon=True)
        self._thread.start()

    def run(self, work: Callable[[], T], done: Callable[[T], None]) -> None:
        def job() -> None:
            self._reactor.callFromThread(done, work())

        self._work.put(job)

    def stop(self) -> None:
        self._work.put(None)
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _loop(self) -> None:
        while (job := self._work.get()) is not None:
            job()


class InlineRunner:
    """Everything at once in the caller's thread, for tests and for tools without a reactor.

    A group is still taken by a delayed call: with a `task.Clock`, `clock.advance(0)` commits
    what was written, answers what was read, finishes `close()`, and does the same for what
    this in turn caused.
    """

    def start(self) -> None:
        pass

    def run(self, work: Callable[[], T], done: Callable[[T], None]) -> None:
        done(work())

    def stop(self) -> None:
        pass
