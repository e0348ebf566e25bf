"""So much is handled in a turn, whoever sends it."""

from collections.abc import Callable
from typing import Any

from pushd.net.sluice import LITTLE, Sluice
from pushd.net.turn import Turn


class Reactor:
    """What is to be called next is called in the next turn, and no sooner."""

    def __init__(self) -> None:
        self.next: list[Callable[[], None]] = []

    def callLater(self, delay: float, called: Callable[[], None]) -> None:
        self.next.append(called)

    def turn(self) -> None:
        now, self.next = self.next, []
        for called in now:
            called()


class Stream:
    def __init__(self, sluice: Sluice, handled: list["Stream"]) -> None:
        self.sluice = sluice
        self.handled = handled
        self.unhandled = 0
        self.holds = 0

    def hold(self) -> None:
        self.holds += 1

    def release(self) -> None:
        self.holds -= 1
        self._handle()

    def read(self, size: int) -> None:
        self.unhandled += size
        if not self.holds and self.sluice.lets_in(self):
            self._handle()

    def _handle(self) -> None:
        self.unhandled = 0
        self.handled.append(self)


def test_so_much_is_handled_in_a_turn_and_the_others_come_in_their_order() -> None:
    reactor = Reactor()
    clock: Any = reactor
    sluice = Sluice(clock, Turn(clock), 100 * LITTLE)
    handled: list[Stream] = []
    streams = [Stream(sluice, handled) for _ in range(7)]
    for stream in streams:
        stream.read(40 * LITTLE)
    assert handled == streams[:3]
    streams[3].read(40 * LITTLE)  # more for who waits already
    streams[0].read(40 * LITTLE)  # and who had his turn waits behind all
    seen = []
    while reactor.next:
        reactor.turn()
        seen.append(len(handled))
    assert handled == [*streams, streams[0]]
    assert seen == [3, 5, 5, 8, 8]  # of 80 and 40 bytes, and of three times 40
    streams[0].read(1_000 * LITTLE)  # one is let in whole
    assert len(handled) == 9
    assert not any(stream.holds for stream in streams)


def test_who_says_little_waits_for_nobody_and_keeps_nobody_waiting() -> None:
    reactor = Reactor()
    clock: Any = reactor
    sluice = Sluice(clock, Turn(clock), 10 * LITTLE)
    handled: list[Stream] = []
    floods = [Stream(sluice, handled) for _ in range(3)]
    quiet = Stream(sluice, handled)
    for stream in floods:
        stream.read(20 * LITTLE)
    for turn in range(6):
        for _ in range(4):
            quiet.read(LITTLE // 4)
        assert handled.count(quiet) == 4 * (turn + 1)
        reactor.turn()
    assert [one for one in handled if one is not quiet] == floods


def test_little_many_times_is_much() -> None:
    reactor = Reactor()
    clock: Any = reactor
    sluice = Sluice(clock, Turn(clock), 4 * LITTLE)
    handled: list[Stream] = []
    flood = Stream(sluice, handled)
    for _ in range(50):
        flood.read(LITTLE)
    assert len(handled) == 4
    assert flood.holds
