"""What becomes one transaction, and who waits for it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from twisted.internet.defer import Deferred

from pushd.storage.errors import StorageError
from pushd.storage.writer import Read, Row, Write

AfterCommit: TypeAlias = Callable[[], None]


@dataclass(slots=True)
class Commit:
    """Somebody who waits until the first `position` writes of the group are durable."""

    position: int
    told: Deferred[None]


@dataclass(slots=True)
class Question:
    """Somebody who waits for rows as they are after the writes before `position`."""

    read: Read
    told: Deferred[list[Row]]

    @property
    def position(self) -> int:
        return self.read.position

    def answer(self, result: list[Row] | StorageError) -> None:
        if isinstance(result, StorageError):
            self.told.errback(result)
        else:
            self.told.callback(result)


@dataclass(slots=True)
class Group:
    """What becomes one transaction, and who is told of it, in the order of the calls."""

    writes: list[Write] = field(default_factory=list)
    waiting: list[Commit | Question] = field(default_factory=list)
    afters: list[tuple[int, AfterCommit]] = field(default_factory=list)  # with its position
    is_whole: bool = True  # collectors were asked

    def reads(self) -> list[Read]:
        return [one.read for one in self.waiting if isinstance(one, Question)]

    def put_before(self, later: "Group") -> None:
        """Make this group's writes the first ones of `later`."""
        kept = len(self.writes)
        for one in later.waiting:
            if isinstance(one, Question):
                one.read.position += kept
            else:
                one.position += kept
        later.writes = self.writes + later.writes
        later.afters = self.afters  # nothing is collected for a group before it is taken
