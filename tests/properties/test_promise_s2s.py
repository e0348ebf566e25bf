"""The promise between two servers: what one has accepted arrives at the other, or goes back.

Two halls with their doors for each other, over connections in memory, and what the second has is
on disk. Streams are cut at any byte, servers stop and are killed. What arrives twice was under way
when a stream broke, or its acknowledgement was not on disk: it cannot be known then whether it had
arrived (XEP-0198 §4). What is lost was never committed, so that its sender was not told that it
was safe.

For longer: EFFORT=100 pytest tests/properties/test_promise_s2s.py
"""

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from twisted.python.failure import Failure

from pushd.net.srv import Target
from pushd.net.xmlprotocol import XMLStream
from pushd.s2s.outgoing import Outgoing
from pushd.s2s.pairs import Pair, Waiting
from pushd.s2s.peers import Peers
from pushd.wire.framer import Limits
from tests.effort import examples
from tests.hall import Hall, close_files
from tests.unit.s2s.house import HERE, THERE, House, Pipe

MODULES = {"roster": None, "presence": None, "offline": None}


class Line(Pipe):
    """One way of a connection: what was said and not read is not confirmed."""

    offset = _tempDataLen = 0  # as Twisted has it in its connections

    def __init__(self) -> None:
        super().__init__()
        self.under_way = b""
        self.socket = self

    def fileno(self) -> int:
        return -1  # the system holds nothing

    @property
    def dataBuffer(self) -> bytes:
        return self.under_way + bytes(self.value())  # type: ignore[no-untyped-call]


class Wire:
    """A connection in memory, and what is under way on it."""

    def __init__(self, caller: XMLStream, called: XMLStream) -> None:
        self.is_cut = False
        self._ends = (caller, called)
        self._pipes = (Line(), Line())
        for end, pipe in zip(self._ends, self._pipes, strict=True):
            end.makeConnection(pipe)  # type: ignore[no-untyped-call]

    def move(self, most: int = 1 << 20) -> None:
        """Each end reads so many bytes of what the other has written."""
        for place, pipe in enumerate(self._pipes):
            if self.is_cut:
                return
            pipe.under_way += pipe.take()
            data, pipe.under_way = pipe.under_way[:most], pipe.under_way[most:]
            reader = 1 - place
            if data:
                if self._pipes[reader].tls is not None:
                    self._ends[reader].handshakeCompleted()
                self._ends[reader].dataReceived(data)
            if pipe.ended and not pipe.under_way:
                self.cut()

    def cut(self) -> None:
        """What is under way is lost."""
        self.is_cut = True
        for end in self._ends:
            if end.transport is not None:
                end.connectionLost(Failure(ConnectionError("cut")))

    def forget(self, end: XMLStream) -> None:
        """The process of this end was killed; the other one notices."""
        self.is_cut = True
        other = self._ends[1 - self._ends.index(end)]
        if other.transport is not None:
            other.connectionLost(Failure(ConnectionError("reset")))

    def of(self, hall: Hall) -> XMLStream:
        return self._ends[0] if self._ends[0]._clock is hall.clock else self._ends[1]


class Caller:
    """The network, for whom calls."""

    def __init__(self, world: "Between", caller: str) -> None:
        self._world = world
        self._caller = caller

    async def call(
        self, peers: Peers, pair: Pair, to_verify: bool = False, tell: Any = None
    ) -> Outgoing:
        stream = XMLStream(peers.clock, peers.turn, Limits(10_000, depth=10))
        outgoing = Outgoing(peers, pair, Target("there", 5269), stream, to_verify)
        stream.receiver = outgoing
        door = self._world.houses[THERE if self._caller == HERE else HERE].door
        called = door.buildProtocol(None)
        assert called is not None
        self._world.wires.append(Wire(stream, called))
        peers.streams.add(outgoing)
        await outgoing.ready
        return outgoing


class Letters:
    """From one domain to the other: its writer is there, and the reader away until the end."""

    def __init__(self, sender: str, receiver: str) -> None:
        self.sender = sender
        self.writer = f"romeo@{sender}"
        self.reader = f"juliet@{receiver}"
        self.count = 0
        self.committed = 0  # of these
        self.back: set[str] = set()
        self.uncertain: set[str] = set()
        self.breaks: Counter[str] = Counter()  # of streams, since a message was written

    def enter(self, house: House) -> None:
        self._house = house
        self._client = house.hall.login(f"{self.writer}/orchard")

    def write(self) -> None:
        self.count += 1
        self._client.pass_on(
            f"<message to='{self.reader}' id='{self.count}' type='chat'><body/></message>"
        )

    def read(self) -> None:
        """What came back."""
        for stanza in self._client.received():
            assert stanza["type"] == "error"
            self.back.add(stanza["id"])

    def broken(self) -> None:
        self.breaks.update(str(number + 1) for number in range(self.count))

    def outstanding(self) -> set[str]:
        """What is with the writer's server and not known to be with the reader's."""
        found: list[Waiting] = []
        for route in self._house.peers.routes.values():
            found += route.queue
            sent = getattr(route.link, "_sent", None)
            if sent is not None:
                found += sent._entries
                found += [one for one, _ in sent._unsure]
        return {one.stanza.id for one in found}

    def killed(self) -> None:
        """The writer's server."""
        self.uncertain |= {id for id in self.outstanding() if int(id) > self.committed}

    def judge(self, hall: Hall) -> None:
        """The reader comes, to that hall."""
        juliet = hall.login(f"{self.reader}/balcony", available=False)
        juliet.send("<presence/>")
        got = [str(one["id"]) for one in juliet.received() if one.name == "message"]
        counted = Counter(got)
        written = {str(number + 1) for number in range(self.count)}
        assert written - set(got) <= self.back | self.uncertain, "lost"
        assert list(dict.fromkeys(got)) == sorted(counted, key=int), "out of order"
        for id, times in counted.items():
            assert times <= 1 + self.breaks[id], f"{id} came {times} times"


class Between(RuleBasedStateMachine):
    """A Romeo here writes to a Juliet there, and one there to one here."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.houses: dict[str, House] = {}
        self.halls: list[Hall] = []  # that were killed, or run
        self.wires: list[Wire] = []
        self.letters = {HERE: Letters(HERE, THERE), THERE: Letters(THERE, HERE)}

    @initialize()
    def begin(self) -> None:
        for domain in (HERE, THERE):
            hall = Hall((domain,), MODULES, path=self.folder / f"{domain}.db")
            hall.add_account(f"juliet@{domain}")
            self.open(domain, hall)

    def open(self, domain: str, hall: Hall) -> None:
        self.halls.append(hall)
        house = House(hall)
        house.authorities.faults = {HERE: "", THERE: ""}
        house.peers.caller = Caller(self, domain)  # type: ignore[assignment]
        self.houses[domain] = house
        self.letters[domain].enter(house)

    # What happens.

    @rule(domain=st.sampled_from((HERE, HERE, THERE)), count=st.integers(1, 3))
    def write(self, domain: str, count: int) -> None:
        for _ in range(count):
            self.letters[domain].write()

    @rule(rounds=st.integers(1, 12))
    def talk(self, rounds: int) -> None:
        for _ in range(rounds):
            self.move(1 << 20)

    @rule(most=st.integers(1, 400))
    def trickle(self, most: int) -> None:
        self.move(most)

    def move(self, most: int) -> None:
        for house in self.houses.values():
            house.hall.turn.flush()
        for wire in list(self.wires):
            wire.move(most)
            if wire.is_cut:
                self.broke(wire)

    @rule(domain=st.sampled_from((HERE, THERE)))
    def commit(self, domain: str) -> None:
        self.advance(domain, 0)

    @rule(seconds=st.sampled_from((1, 5, 31)))
    def wait(self, seconds: int) -> None:
        for domain in self.houses:
            self.advance(domain, seconds)

    def advance(self, domain: str, seconds: int) -> None:
        letters = self.letters[domain]
        count = letters.count
        self.houses[domain].hall.advance(seconds)
        letters.committed = count

    @rule()
    def cut(self) -> None:
        for wire in list(self.wires):
            wire.cut()
            self.broke(wire)

    @rule(domain=st.sampled_from((HERE, THERE)), rounds=st.integers(0, 2))
    def stop(self, domain: str, rounds: int) -> None:
        """In order: with a word to everybody, who may hear it, and everything committed."""
        self.houses[domain].peers.stop()
        self.commit(domain)
        for _ in range(rounds):
            self.move(1 << 20)
        self.cut()
        self.replace(domain)

    @rule(domain=st.sampled_from((HERE, THERE)))
    def kill(self, domain: str) -> None:
        """What is in the files is all there is."""
        hall = self.houses[domain].hall
        self.letters[domain].killed()
        for wire in list(self.wires):
            wire.forget(wire.of(hall))
            self.broke(wire)
        self.replace(domain)

    def replace(self, domain: str) -> None:
        self.letters[domain].read()
        self.letters[domain].broken()
        self.open(domain, self.houses[domain].hall.killed())

    def broke(self, wire: Wire) -> None:
        self.wires.remove(wire)
        for letters in self.letters.values():
            letters.broken()

    # What is known in the end.

    def teardown(self) -> None:
        try:
            if self.houses:
                self.judge()
        finally:
            for hall in self.halls:  # or their files are open until they are collected
                hall.wait(hall.host.database.close())
            close_files()
            shutil.rmtree(self.folder, ignore_errors=True)

    def judge(self) -> None:
        for _ in range(30):  # nothing is in the way any more
            self.wait(5)
            self.talk(12)
        for domain, other in ((HERE, THERE), (THERE, HERE)):
            letters = self.letters[domain]
            letters.read()
            assert not letters.outstanding()
            letters.judge(self.houses[other].hall)


Between.TestCase.settings = settings(max_examples=examples(30), stateful_step_count=30)
TestBetween = Between.TestCase
