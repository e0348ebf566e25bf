"""What is done a few at a time, and by turns: whoever wants much waits for himself."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

Work = Callable[[], "Deferred[Any]"]


class Turns:
    """At most `most` works are under way, `each` of one asker; what waits is taken from one asker
    after another."""

    def __init__(self, most: int, each: int) -> None:
        self._left = most
        self._each = each
        self._under_way: Counter[str] = Counter()
        self._is_choosing = False
        self._waiting: OrderedDict[str, deque[tuple[Work, Deferred[Any]]]] = OrderedDict()

    def run(self, who: str, work: Work) -> "Deferred[Any]":
        """Do it when it is `who`'s turn; fires with what it comes to."""
        done: Deferred[Any] = Deferred()
        self._waiting.setdefault(who, deque()).append((work, done))
        self._next()
        return done

    def _next(self) -> None:
        if self._is_choosing:
            return  # a work was done at once: the loop goes on with the next one
        self._is_choosing = True
        while self._left and (who := self._whose_turn()) is not None:
            queue = self._waiting.pop(who)
            work, done = queue.popleft()
            if queue:
                self._waiting[who] = queue  # behind all others
            self._left -= 1
            self._under_way[who] += 1
            work().addBoth(self._over, who).chainDeferred(done)
        self._is_choosing = False

    def _whose_turn(self) -> str | None:
        """The first one that has not as many as it may; those are few."""
        return next((who for who in self._waiting if self._under_way[who] < self._each), None)

    def _over(self, result: Any, who: str) -> Any:
        self._left += 1
        self._under_way[who] -= 1
        if not self._under_way[who]:
            del self._under_way[who]
        self._next()
        return result
