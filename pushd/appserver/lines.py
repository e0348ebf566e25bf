"""Whose push is next. What waits costs an entry here: no coroutine, no timer of its own."""

import heapq
from collections.abc import Callable, Iterator

from twisted.internet.interfaces import IDelayedCall, IReactorTime

WIDTH = 1000  # pushes of a line that are under way at a time; as many more if they are urgent


class _Line:
    """Those who wait for one service, the oldest first."""

    __slots__ = ("is_moving", "others", "under_way", "urgent")

    def __init__(self) -> None:
        self.urgent: dict[str, None] = {}
        self.others: dict[str, None] = {}
        self.under_way = 0
        self.is_moving = False

    def next(self) -> str | None:
        """Take out who is next, if one may go."""
        if self.urgent and self.under_way < 2 * WIDTH:
            queue = self.urgent
        elif self.others and self.under_way < WIDTH:
            queue = self.others
        else:
            return None
        node = next(iter(queue))
        del queue[node]
        return node


Key = tuple[str, str]  # a backend, and one of its lanes


class Lines:
    """A line for each service, so that a slow one delays no other.

    `begin` is called with each node whose turn has come. Who was begun is ended by `end`.
    """

    def __init__(self, begin: Callable[[str, Key], None]) -> None:
        self._begin = begin
        self._lines: dict[Key, _Line] = {}
        self._places: dict[str, Key] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._places)

    def __contains__(self, node: object) -> bool:
        return node in self._places

    def join(self, key: Key, node: str, urgent: bool) -> None:
        """Wait in a line, or go at once. Who waits elsewhere changes over."""
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line()
        if node in self._places:
            if self._places[node] == key and (node in line.urgent or not urgent):
                return  # his place is no worse
            self.leave(node)
            line = self._lines.setdefault(key, line)
        (line.urgent if urgent else line.others)[node] = None
        self._places[node] = key
        self._move(key, line)

    def leave(self, node: str) -> None:
        """Wait no more."""
        key = self._places.pop(node, None)
        if key is not None:
            line = self._lines[key]
            line.urgent.pop(node, None)
            line.others.pop(node, None)
            self._close(key, line)

    def end(self, key: Key) -> None:
        """One that was begun has come to an end."""
        line = self._lines[key]
        line.under_way -= 1
        self._move(key, line)

    def _move(self, key: Key, line: _Line) -> None:
        if line.is_moving:  # what ends while it begins: the loop below sees it
            return
        line.is_moving = True
        try:
            while (node := line.next()) is not None:
                del self._places[node]
                line.under_way += 1
                self._begin(node, key)
        finally:
            line.is_moving = False
        self._close(key, line)

    def _close(self, key: Key, line: _Line) -> None:
        if not (line.under_way or line.urgent or line.others or line.is_moving):
            self._lines.pop(key, None)


class Delays:
    """Who must wait until some instant, with one timer for all of them."""

    def __init__(self, clock: IReactorTime, ready: Callable[[str], None]) -> None:
        self._clock = clock
        self._ready = ready
        self._ends: dict[str, float] = {}
        self._order: list[tuple[float, str]] = []  # a heap; what `_ends` says otherwise is void
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._ends)

    def __contains__(self, node: object) -> bool:
        return node in self._ends

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._ends))

    def put(self, node: str, at: float) -> None:
        """Call `ready` with this node then, and not at another time that was said before."""
        if self._ends.get(node) != at:
            self._ends[node] = at
            heapq.heappush(self._order, (at, node))
            self._wind()

    def drop(self, node: str) -> None:
        """Do not call."""
        self._ends.pop(node, None)

    def close(self) -> None:
        """Call nobody any more."""
        self._ends.clear()
        self._order.clear()
        self._wind()

    def _wind(self) -> None:
        """Set the timer to the next end."""
        while self._order and self._ends.get(self._order[0][1]) != self._order[0][0]:
            heapq.heappop(self._order)
        if self._timer is not None and self._timer.active():
            if self._order and self._timer.getTime() == self._order[0][0]:
                return
            self._timer.cancel()
        if self._order:
            delay = max(0.0, self._order[0][0] - self._clock.seconds())
            self._timer = self._clock.callLater(delay, self._ring)

    def _ring(self) -> None:
        now = self._clock.seconds()
        while self._order and self._order[0][0] <= now:
            at, node = heapq.heappop(self._order)
            if self._ends.get(node) == at:
                del self._ends[node]
                self._ready(node)
        self._wind()
