"""The way of a message without sockets: what it calls, what it allocates, and what it takes.

    python -m tests.way              calls, objects and time per message, by scenario
    python -m tests.way --profile w1 the functions on the way

Two clients with stream management write to each other over connections in memory; all
between their bytes is the server's own: framer, door, router, delivery, storage. Each
message is acknowledged as a client of today does it. `tests/unit/test_way.py` keeps the
counts from growing.
"""

import cProfile
import gc
import pstats
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from pushd.c2s.options import Door, DoorOptions
from pushd.c2s.stream import ClientStream
from pushd.net.xmlprotocol import XMLStream
from pushd.wire.framer import Limits
from pushd.wire.jid import parse
from tests.hall import HEADER, Hall
from tests.unit.s2s.house import THERE, House

SM = "urn:xmpp:sm:3"
MODULES = {"roster": None, "presence": None, "offline": None}
BODY = "Neither, fair saint, if either thee dislike. " * 5
COMMIT_EVERY = 10  # turns
ASK = f"<r xmlns='{SM}'/>".encode()


class Socket:
    """A transport that keeps only what the last write said."""

    disconnecting = False

    def __init__(self) -> None:
        self.said = b""
        self.writes = 0

    def write(self, data: bytes) -> None:
        self.said = data
        self.writes += 1

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Nothing here is ever slow."""

    def pauseProducing(self) -> None:
        """Nothing is read here."""

    resumeProducing = pauseProducing


class Turns(Clock):
    """A clock that makes little of what is to come in the next turn, as the reactor does."""

    def __init__(self) -> None:
        super().__init__()
        self.next: list[Callable[[], object]] = []

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> IDelayedCall:
        if delay:
            return super().callLater(delay, callable, *args, **kw)
        self.next.append(partial(callable, *args, **kw))
        return None  # type: ignore[return-value]  # nobody takes one of these back

    def advance(self, amount: float) -> None:
        self.turn()
        super().advance(amount)

    def turn(self) -> None:
        """What is to come next comes."""
        while self.next:
            now, self.next = self.next, []
            for what in now:
                what()


class Walk(Protocol):
    """A way to be gone."""

    def run(self, turns: int) -> int:
        """Go it so many turns; gives for how many."""


class Phone:
    """One client with a session, from the outside."""

    def __init__(self, hall: Hall, door: Door, jid: str, *, managed: bool) -> None:
        self.hall = hall
        self.socket = Socket()
        self.received = 0
        self.stream = XMLStream(hall.clock, hall.turn, Limits())
        client = ClientStream(door, self.stream, "en")
        self.session = client.session = hall.host.lifecycle.bind(parse(jid), client)
        self.stream.receiver = client
        self.stream.makeConnection(self.socket)  # type: ignore[no-untyped-call]
        self.hear = self.stream.dataReceived
        self.stream._framer.feed(HEADER)
        self.stream._framer.settle()
        self.say(b"<presence/>")
        if managed:
            self.say(f"<enable xmlns='{SM}' resume='true'/>".encode())
            assert b"<enabled" in self.socket.said

    def say(self, data: bytes) -> None:
        self.hear(data)
        self.hall.advance(0)


class Way:
    """Romeo and Juliet, who write `window` messages at a time to each other, `turns` times."""

    def __init__(self, window: int = 1, *, managed: bool = True) -> None:
        self.window = window
        self.managed = managed
        hall = self.hall = Hall(modules=MODULES, clock=Turns())
        door = Door(hall.host, None, None, DoorOptions())  # type: ignore[arg-type]
        people = ("romeo@example.net/orchard", "juliet@example.net/balcony")
        self.phones = [Phone(hall, door, jid, managed=managed) for jid in people]
        self.letters = [
            (
                f"<message to='{to.partition('/')[0]}' type='chat' id='m-00000001'><body>{BODY}"
                "</body><active xmlns='http://jabber.org/protocol/chatstates'/>"
                "<request xmlns='urn:xmpp:receipts'/></message>"
            ).encode()
            * window
            for to in reversed(people)
        ]
        self.run(20)
        self.counted = 0

    def run(self, turns: int) -> int:
        """Let them write; gives the number of messages."""
        for turn in range(turns):
            for number, letter in enumerate(self.letters):
                sender, receiver = self.phones[number], self.phones[1 - number]
                sender.hear(letter)
                self.hall.turn.flush()
                said = receiver.socket.said
                if sender.stream._holds:  # until what it said is committed
                    self.hall.advance(0)
                assert said.count(b"<message") == self.window, said
                receiver.received += self.window
                if self.managed:
                    assert said.endswith(ASK), said
                    receiver.hear(f"<a xmlns='{SM}' h='{receiver.received}'/>".encode())
            if not turn % COMMIT_EVERY:
                self.hall.advance(0)
        return turns * 2 * self.window


class Abroad:
    """Romeo and Juliet, each in writing with somebody of another server, one way at a time.

    One stream takes what comes, and another one what goes, with stream management.
    """

    def __init__(self, window: int, *, is_incoming: bool) -> None:
        self.window = window
        self._is_incoming = is_incoming
        hall = self.hall = Hall(modules=MODULES, clock=Turns())
        self.house = House(hall)
        door = Door(hall.host, None, None, DoorOptions())  # type: ignore[arg-type]
        people = ("romeo@example.net/orchard", "juliet@example.net/balcony")
        self.phones = [Phone(hall, door, jid, managed=False) for jid in people]
        rest = (
            f"<body>{BODY}</body><active xmlns='http://jabber.org/protocol/chatstates'/>"
            "<request xmlns='urn:xmpp:receipts'/></message>"
        )
        self.letters = [
            f"<message from='tybalt@{THERE}/x' to='{jid}' type='chat' id='m'>{rest}".encode()
            if is_incoming
            else f"<message to='tybalt@{THERE}' type='chat' id='m'>{rest}".encode()
            for jid in people
        ]
        if is_incoming:
            self.peer = self.house.external()
            self.peer.say(f"<enable xmlns='{SM}'/>")
        else:
            self.phones[0].say(self.letters[0])
            self.peer = self.house.stand(f"<sm xmlns='{SM}'/>")
            self.peer.say(f"<enabled xmlns='{SM}'/>")
            self.peer.say(f"<a xmlns='{SM}' h='1'/>")
            self.peer.heard()
        self.count = 1
        self.run(20)

    def run(self, turns: int) -> int:
        """Let them write; gives the number of messages."""
        for turn in range(turns):
            for phone, letter in zip(self.phones, self.letters, strict=True):
                hear = self.peer.protocol.dataReceived if self._is_incoming else phone.hear
                hear(letter * self.window)
                self.hall.turn.flush()
                if phone.stream._holds:  # until what it said is committed
                    self.hall.advance(0)
                said = phone.socket.said if self._is_incoming else self.peer.transport.take()
                assert said.count(b"<message") == self.window, said
                self.count += self.window
                acknowledgement = f"<a xmlns='{SM}' h='{self.count}'/>".encode()
                self.peer.protocol.dataReceived(ASK if self._is_incoming else acknowledgement)
                self.hall.turn.flush()
            if not turn % COMMIT_EVERY:
                self.hall.advance(0)
        self.peer.transport.take()
        return turns * 2 * self.window


def calls(way: Walk, turns: int = 50) -> Counter[str]:
    """How often each function of ours, and of what it is built on, is called for a message."""
    counted: Counter[str] = Counter()

    def note(frame: Any, event: str, arg: Any) -> None:
        if event == "call":
            code = frame.f_code
            counted[f"{code.co_filename.rpartition('site-packages/')[2]}:{code.co_qualname}"] += 1
        elif event == "c_call":
            counted[getattr(arg, "__qualname__", repr(arg))] += 1

    gc.collect()
    sys.setprofile(note)
    try:
        way.run(turns)
    finally:
        sys.setprofile(None)
    return counted


def allocated(way: Walk, turns: int = 50) -> float:
    """How many blocks of memory a message keeps once it is dealt with."""
    gc.collect()
    before = sys.getallocatedblocks()
    messages = way.run(turns)
    gc.collect()
    return (sys.getallocatedblocks() - before) / messages


def seconds(way: Walk, turns: int = 300, rounds: int = 15) -> float:
    """What a message takes at best."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        messages = way.run(turns)
        best = min(best, (time.process_time() - began) / messages)
    return best


SCENARIOS: dict[str, Callable[[], Way | Abroad]] = {
    "w1": lambda: Way(1),
    "w50": lambda: Way(50),
    "w1-nosm": lambda: Way(1, managed=False),
    "w50-nosm": lambda: Way(50, managed=False),
    "s2s-in": lambda: Abroad(50, is_incoming=True),
    "s2s-out": lambda: Abroad(50, is_incoming=False),
}


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--profile"]:
        way = SCENARIOS[arguments[1]]()
        with cProfile.Profile() as profile:
            way.run(3_000 // way.window)
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)
        return
    for name, make in SCENARIOS.items():
        way = make()
        turns = 100 // way.window + 4
        count = calls(make(), turns).total() / (turns * 2 * way.window)
        took = seconds(way, 300 // way.window)
        print(f"{name:9} {count:6.1f} calls, {took * 1e6:6.1f} us, {allocated(way):.2f} blocks")


if __name__ == "__main__":
    main(sys.argv[1:])
