"""A bare epoll loop that reads and writes for many clients."""

from __future__ import annotations  # array[float] in Python 3.11

import select
import time
from array import array
from collections.abc import Callable, Sequence

from benchmarks.clients import Client, LoadError

PATIENCE = 20.0  # seconds for what is under way to arrive
EXTRA = 0.3  # seconds to listen for what comes twice

# What is done when a client has had so many numbered stanzas.
Heard = Callable[[Client, int, float], None]


class Loop:
    """Clients and what happens on their sockets."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self.clients: list[Client] = []
        self.latencies = array("d")
        self._poll = select.epoll()
        self._by_number: dict[int, Client] = {}
        self._waiting: set[int] = set()  # for room to write
        for client in clients:
            self.add(client)

    def add(self, client: Client) -> None:
        """Read and write for this client, too; what it has read before is taken now."""
        self.clients.append(client)
        client.socket.setblocking(False)
        self._by_number[client.socket.fileno()] = client
        self._poll.register(client.socket.fileno(), select.EPOLLIN)
        client.take(time.perf_counter(), self.latencies)
        self.flush(client)

    def remove(self, client: Client) -> None:
        """Leave this client, and its socket, to the caller."""
        number = client.socket.fileno()
        self._poll.unregister(number)
        self.clients.remove(client)
        self._waiting.discard(number)
        del self._by_number[number]

    def close(self) -> None:
        self._poll.close()
        for client in self.clients:
            client.socket.close()

    def turn(
        self,
        seconds: float,
        heard: Heard | None = None,
        done: Callable[[], bool] | None = None,
        pace: Pace | None = None,
    ) -> int:
        """Let things happen for `seconds`, or until `done`; how many numbered stanzas came."""
        count = 0
        now = time.perf_counter()
        until = now + seconds
        while now < until and not (done and done()):
            wait = min(0.1, until - now) if pace is None else pace.act(now)
            for number, event in self._poll.poll(wait):
                client = self._by_number.get(number)
                if client is None:
                    continue
                if event & select.EPOLLIN:
                    now = time.perf_counter()
                    came = client.read(now, self.latencies)
                    count += came
                    if came and heard is not None:
                        heard(client, came, now)
                elif event & ~select.EPOLLOUT:
                    raise LoadError(f"{client.user}: the connection is gone")
                self.flush(client)
            now = time.perf_counter()
        return count

    def flush(self, client: Client) -> None:
        """Write now, and when there is room again."""
        number = client.socket.fileno()
        if not client.flush():
            if number not in self._waiting:
                self._waiting.add(number)
                self._poll.modify(number, select.EPOLLIN | select.EPOLLOUT)
        elif number in self._waiting:
            self._waiting.remove(number)
            self._poll.modify(number, select.EPOLLIN)

    def finish(self) -> None:
        """Wait for what is under way: all have come, and all are acknowledged."""
        self.turn(PATIENCE, done=lambda: not any(client.awaits() for client in self.clients))
        self.acknowledged()
        # What comes late may come twice: listen a little longer.
        self.turn(EXTRA)

    def acknowledged(self) -> bool:
        """Ask for acknowledgements; whether all that was sent gets one."""
        managed = [client for client in self.clients if client.managed]
        for client in managed:
            client.ask()
            self.flush(client)

        def all_are() -> bool:
            return all(client.handled == client.stanzas_sent for client in managed)

        self.turn(PATIENCE, done=all_are)
        return all_are()


class Pace:
    """An open loop: something is done `rate` times a second, whatever became of it before.

    It is given the instant at which it was due, so that a server which is late cannot hide
    it by slowing down the load (the generator waits without sleeping, on its own core).
    """

    def __init__(self, rate: float, act: Callable[[float], None]) -> None:
        self._interval = 1 / rate
        self._act = act
        self._due = time.perf_counter()

    def act(self, now: float) -> float:
        """Do what is due; how long to wait for something else to happen."""
        while self._due <= now:
            self._act(self._due)
            self._due += self._interval
        return 0.0
