"""One life of a server's folder: rounds of actions and deaths, and then a reckoning."""

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from tests.kills.device import Book, Device
from tests.kills.plan import Action, Round
from tests.kills.server import PATIENCE, Server
from tests.kills.wire import Lost

D = TypeVar("D", bound=Device)


class Tally(Counter[str]):
    """What happened in all episodes: kills by their kind, messages, resumptions."""

    @property
    def kills(self) -> int:
        return sum(count for what, count in self.items() if what.startswith("kill "))


class Life(Generic[D]):
    """Plays one plan on a new server. What devices do, and what must hold, its kinds know."""

    def __init__(self, server: Server, tally: Tally, say: Callable[[str], None]) -> None:
        self._say = say
        self._tally = tally
        self._book = Book()
        self._server = server
        self._devices: Sequence[D] = ()
        self._budget = 0  # bytes that may still be read before the kill; 0 for any number

    def _act(self, device: D, action: Action) -> None:
        """Do something; `device` may have no connection. Raises Lost."""
        raise NotImplementedError

    def _reckon(self, plan: list[Round]) -> None:
        """Check that all is as it was promised."""
        raise NotImplementedError

    def play(self, plan: list[Round]) -> None:
        try:
            assert self._server.start(), self._server.log()
            self._begin()
            for one in plan:
                self._round(one)
            self._reckon(plan)
        except AssertionError as error:
            self._say("\n".join([f"{error}", f"{self._book}", *map(str, plan)]))
            raise
        finally:
            for device in self._devices:
                device.cut()
            self._server.close()
        self._tally["episodes"] += 1
        self._tally["messages"] += len(self._book.targets)
        self._tally["sendings"] += self._book.sendings.total()
        self._tally["arrivals"] += sum(map(len, self._book.arrivals.values()))

    def _begin(self) -> None:
        """What every plan begins with."""
        for device in self._devices:
            device.connect()

    # Rounds.

    def _round(self, one: Round) -> None:
        acks = sum(device.acks for device in self._devices) + 1 + one.delay % 8
        self._budget = one.delay if one.end == "bytes" else 0
        for number in sorted(one.back):
            self._try(self._devices[number], Device.come_back)
        for place, action in enumerate(one.actions):
            if place == min(one.lit, len(one.actions) - 1) and one.fuse:
                self._server.light(one.fuse)
            self._try(self._devices[action.device], lambda device, a=action: self._act(device, a))  # type: ignore[misc]
            if one.end == "acks" and sum(device.acks for device in self._devices) >= acks:
                break
            if self._server.has_ended():
                break
        self._end(one)
        self._restart(one.start)

    def _try(self, device: D, act: Callable[[D], object]) -> None:
        """Have a device do something, unless the server is dead or dies meanwhile."""
        if self._server.code is not None:
            return
        try:
            act(device)
        except Lost:
            device.cut()
            self._server.expect_end()

    def _end(self, one: Round) -> None:
        self._budget = 0
        if one.end == "stop" and not one.fuse:
            self._stop()
            self._tally["stops"] += 1
        else:
            if one.end == "soon":
                until = time.perf_counter() + one.delay / 1e6
                while time.perf_counter() < until:
                    pass
            self._server.kill()
            self._count(one.end)
        for device in self._devices:
            device.cut()

    def _stop(self) -> None:
        def listen() -> None:
            for device in self._devices:
                device.hear_out()

        self._server.stop(listen)

    def _count(self, end: str) -> None:
        point = self._server.died_at
        self._tally[f"kill at a point: {point}" if point else f"kill by the test: {end}"] += 1

    def _restart(self, points: int) -> None:
        if self._server.start(points) and (not points or self._server.light(0)):
            return
        self._server.kill()
        self._tally[f"kill at a start: {self._server.died_at}"] += 1
        assert self._server.died_at, self._server.log()
        assert self._server.start(), self._server.log()

    def _heard(self, data: bytes) -> None:
        if self._budget:
            self._budget -= len(data)
            if self._budget <= 0:
                self._budget = 0
                self._server.kill()

    # What the reckonings need.

    def _until(self, is_done: Callable[[], bool], what: str) -> None:
        """Have all read until it is done."""
        until = time.monotonic() + PATIENCE
        while not is_done():
            for device in self._devices:
                device.read(0.001)
            assert time.monotonic() < until, f"no {what}: {self._book.missing()} {self._book.asked}"

    def _rows(self, sql: str, *parameters: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self._server.database, timeout=PATIENCE)
        try:
            return connection.execute(sql, parameters).fetchall()
        finally:
            connection.close()
