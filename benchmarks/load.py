"""Pairs of clients that chat, in a bare epoll loop which matches bytes.

A generator must cost less than the server it measures, so nothing is parsed here: a
message is known by its numbered body, the rest by counting. Both ends of every pair live
in this process, which is how each message is checked: none lost, none twice, none out of
its order, and each acknowledged where there is stream management.
"""

from __future__ import annotations  # array[float] in Python 3.11

import re
import select
import ssl
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.login import DOMAIN, Session

REQUEST = b"<r xmlns='urn:xmpp:sm:3'/>"
REQUEST_EVERY = 5  # messages; what clients do lies between each one and every tenth
READ = 1 << 16
ENDS = (b"</message>", b"/>")

NUMBERS = re.compile(rb"<body>(\d{8})")
HANDLED = re.compile(rb"<a [^>]*?h=['\"](\d+)")
BROKEN = re.compile(rb"<stream:error.*|type=['\"]error['\"].*|</stream:stream>", re.DOTALL)


class LoadError(Exception):
    """The server ended a stream or sent an error: there is nothing to measure."""


@dataclass
class Faults:
    """What must be nought."""

    lost: int = 0
    duplicated: int = 0
    disordered: int = 0
    unacknowledged: int = 0

    def __bool__(self) -> bool:
        return bool(self.lost or self.duplicated or self.disordered or self.unacknowledged)


@dataclass
class Measured:
    """What one run measured; the latencies, in seconds, are sorted."""

    messages: int
    seconds: float
    latencies: array[float]
    faults: Faults
    cost: float  # of the server, in seconds of CPU
    own_cost: float  # of the generator

    @property
    def is_limited_by_load(self) -> bool:
        """Whether the generator had hardly a pause, so that the server may have had some."""
        return self.own_cost > 0.9 * self.seconds

    def latency(self, share: float) -> float:
        """The latency that `share` of the messages stayed within, in seconds."""
        if not self.latencies:
            return float("nan")
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


class Client:
    """One end of a pair."""

    def __init__(self, session: Session, size: int, *, managed: bool) -> None:
        self.socket = session.socket
        self.user = session.user
        self.peer: Client = self
        self.managed = managed
        self.stanzas_sent = session.sent
        self.stanzas_received = 0
        self.handled = 0  # the last `h` of the server
        self.sent_at = array("d")  # of each message, by its number
        self.expected = 0  # the number of the next message from the peer
        self.faults = Faults()
        self._missing: set[int] = set()  # numbers below `expected` that did not come
        self._size = size
        self._since_request = 0
        self._head = self._tail = b""
        self._in = session.rest
        self._out = bytearray()

    def pair_with(self, peer: Client) -> None:
        """Write to `peer` from now on: what a client of today adds, `size` bytes in all."""
        self.peer = peer
        self._head = f"<message to='{peer.user}@{DOMAIN}' type='chat' id='m-".encode()
        rest = (
            b"<active xmlns='http://jabber.org/protocol/chatstates'/>"
            b"<request xmlns='urn:xmpp:receipts'/></message>"
        )
        bare = len(self._head) + len(b"00000000'><body>00000000 </body>") + len(rest)
        words = b"Neither, fair saint, if either thee dislike. " * (1 + self._size // 45)
        self._tail = b" " + words[: self._size - bare] + b"</body>" + rest

    def say(self, count: int, now: float) -> None:
        """Queue the next `count` messages for the peer."""
        first = len(self.sent_at)
        for number in range(first, first + count):
            self._out += b"%b%08d'><body>%08d%b" % (self._head, number, number, self._tail)
            if self.managed:
                self._since_request += 1
                if self._since_request == REQUEST_EVERY:
                    self._since_request = 0
                    self._out += REQUEST
            self.sent_at.append(now)
        self.stanzas_sent += count

    def ask(self) -> None:
        """Ask how much the server has handled."""
        self._out += REQUEST

    def awaits(self) -> int:
        """How many of the peer's messages have not come."""
        return len(self.peer.sent_at) - self.expected + len(self._missing)

    def flush(self) -> bool:
        """Write what is queued; whether all of it went."""
        if self._out:
            try:
                sent = self.socket.send(self._out)
            except (BlockingIOError, ssl.SSLWantWriteError):
                return False
            del self._out[:sent]
        return not self._out

    def read(self, now: float, latencies: array[float]) -> int:
        """Take what has come; how many messages it held. Answers a request for `h`."""
        more = True
        while more:
            try:
                data = self.socket.recv(READ)
            except (BlockingIOError, ssl.SSLWantReadError):
                break
            if not data:
                raise LoadError(f"{self.user}: the server closed the connection")
            self._in += data
            more = isinstance(self.socket, ssl.SSLSocket)  # whose records epoll does not see
        return self.take(now, latencies)

    def take(self, now: float, latencies: array[float]) -> int:
        """Count what the buffer says, up to a place where no `<body>` is cut from its text."""
        ends = [self._in.rfind(end) + len(end) for end in ENDS if end in self._in]
        whole = max(ends, default=0)
        if not whole:
            return 0
        chunk = self._in[:whole]
        self._in = self._in[whole:]
        numbers = NUMBERS.findall(chunk)
        sent_at = self.peer.sent_at
        for text in numbers:
            number = int(text)
            if number >= self.expected:
                if number > self.expected:
                    self._missing.update(range(self.expected, number))
                self.expected = number + 1
            elif number in self._missing:
                self._missing.remove(number)
                self.faults.disordered += 1
            else:
                self.faults.duplicated += 1
                continue
            latencies.append(now - sent_at[number])
        self.stanzas_received += (
            chunk.count(b"</message>") + chunk.count(b"<presence") + chunk.count(b"<iq ")
        )
        if self.managed:
            if b"<a " in chunk:
                self.handled = int(HANDLED.findall(chunk)[-1])
            if b"<r " in chunk or b"<r/" in chunk:
                self._out += b"<a xmlns='urn:xmpp:sm:3' h='%d'/>" % self.stanzas_received
        if (b"error" in chunk or b"</stream" in chunk) and (found := BROKEN.search(chunk)):
            raise LoadError(f"{self.user}: {found.group().decode(errors='replace')[:400]}")
        return len(numbers)


@dataclass
class Load:
    """A load of `pairs` that keeps `window` messages under way in each direction."""

    clients: Sequence[Client]
    window: int
    latencies: array[float] = field(default_factory=lambda: array("d"))

    def __post_init__(self) -> None:
        self._poll = select.epoll()
        self._by_number = {client.socket.fileno(): client for client in self.clients}
        self._waiting: set[int] = set()  # for room to write
        for number, client in self._by_number.items():
            client.socket.setblocking(False)
            self._poll.register(number, select.EPOLLIN)

    def close(self) -> None:
        self._poll.close()
        for client in self.clients:
            client.socket.close()

    def run(self, warm_up: float, seconds: float, cost: Callable[[], float]) -> Measured:
        """Warm up, measure, and wait for what is still under way.

        `cost` tells the CPU seconds that the server has used.
        """
        now = time.perf_counter()
        for client in self.clients:
            client.take(now, self.latencies)
            client.say(self.window, now)
            self._flush(client)
        self._turn(now + warm_up, refill=True)
        self.latencies = array("d")
        spent, own, began = cost(), time.process_time(), time.perf_counter()
        messages = self._turn(began + seconds, refill=True)
        if not messages:
            raise LoadError("no message arrived while measuring")
        seconds = time.perf_counter() - began
        spent, own = cost() - spent, time.process_time() - own
        latencies = array("d", sorted(self.latencies))
        return Measured(messages, seconds, latencies, self._settle(), spent, own)

    def _turn(self, until: float, *, refill: bool, done: Callable[[], bool] | None = None) -> int:
        messages = 0
        while (now := time.perf_counter()) < until and not (done and done()):
            for number, event in self._poll.poll(min(0.1, until - now)):
                client = self._by_number[number]
                if event & select.EPOLLIN:
                    now = time.perf_counter()
                    count = client.read(now, self.latencies)
                    messages += count
                    if count and refill:
                        client.peer.say(count, now)
                        self._flush(client.peer)
                elif event & ~select.EPOLLOUT:
                    raise LoadError(f"{client.user}: the connection is gone")
                self._flush(client)
        return messages

    def _flush(self, client: Client) -> None:
        number = client.socket.fileno()
        if not client.flush():
            if number not in self._waiting:
                self._waiting.add(number)
                self._poll.modify(number, select.EPOLLIN | select.EPOLLOUT)
        elif number in self._waiting:
            self._waiting.remove(number)
            self._poll.modify(number, select.EPOLLIN)

    def _settle(self) -> Faults:
        """Wait for what is under way, then add up what went wrong."""

        def arrived() -> bool:
            return not any(client.awaits() for client in self.clients)

        def acknowledged() -> bool:
            return all(client.handled == client.stanzas_sent for client in self.clients)

        self._turn(time.perf_counter() + 10, refill=False, done=arrived)
        managed = [client for client in self.clients if client.managed]
        if managed:
            for client in managed:
                client.ask()
                self._flush(client)
            self._turn(time.perf_counter() + 10, refill=False, done=acknowledged)
        # What comes late may come twice: listen a little longer.
        self._turn(time.perf_counter() + 0.3, refill=False)
        faults = Faults()
        for client in self.clients:
            faults.lost += client.awaits()
            faults.duplicated += client.faults.duplicated
            faults.disordered += client.faults.disordered
            if client.managed:
                faults.unacknowledged += abs(client.stanzas_sent - client.handled)
        return faults


def connect_pairs(sessions: Sequence[Session], size: int, *, managed: bool) -> list[Client]:
    """Clients that write to one another, the first with the second and so on."""
    clients = [Client(session, size, managed=managed) for session in sessions]
    for one, other in zip(clients[::2], clients[1::2], strict=True):
        one.pair_with(other)
        other.pair_with(one)
    return clients
