"""What a server does again and again besides passing on messages: what each of these calls.

    python -m tests.errands                     calls and time, by errand
    python -m tests.errands --profile detached  the functions that it takes

As in `tests.way` there are no sockets, and all between a client's bytes is the server's own.
What the errand's clients do themselves is counted with it; it is little, and always the same.
"""

import base64
import cProfile
import pstats
import re
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from pushd.admin.harness import Journal
from pushd.admin.tallies import Tallies
from pushd.c2s.options import Door, DoorOptions
from pushd.routing.sessions import Session
from pushd.wire.sasl import ScramClient
from tests.hall import Hall
from tests.unit.c2s.test_stream import HEADER, PASSWORD, SASL, House
from tests.way import ASK, BODY, SM, Phone, Socket, Turns, calls

MODULES = dict.fromkeys(
    ("roster", "subscriptions", "presence", "offline", "carbons", "push", "client_state")
)
ROMEO, JULIET = "romeo@example.net", "juliet@example.net"
LOST = Failure(ConnectionLost())


class Closing(Socket):
    """A connection that can be closed."""

    def loseConnection(self) -> None:
        """It is lost when the errand says so."""

    unregisterProducer = loseConnection


def sent_to(session: Session) -> int:
    """How many stanzas it was sent."""
    assert session.queue is not None
    return session.queue.sent


class Errand(ABC):
    """Something that is done over and over, `each` at a time."""

    each = 1

    def __init__(self) -> None:
        self.hall = Hall(modules=MODULES, clock=Turns())
        self.seen = Tallies(self.hall.host.events), Journal(self.hall.clock, self.hall.host.events)
        self.hall.seen = []
        self.hall.host.events._everything.clear()
        self.hall.host.events._heard.clear()

    @abstractmethod
    def do(self) -> None:
        """Do it once more."""

    def run(self, turns: int) -> int:
        """Do it so many times over; gives how often it was done by that."""
        for _ in range(turns):
            self.do()
        return turns * self.each

    def phone(self, jid: str) -> Phone:
        """A client with stream management."""
        self.hall.add_account(jid.partition("/")[0])
        door = Door(self.hall.host, None, None, DoorOptions())  # type: ignore[arg-type]
        return Phone(self.hall, door, jid, managed=True)


class Detached(Errand):
    """Romeo writes to ten people whose connections are lost, five times to each at a time."""

    each = 50

    def __init__(self) -> None:
        super().__init__()
        self.romeo = self.phone(f"{ROMEO}/orchard")
        people = [f"guest{number}@example.net" for number in range(10)]
        for bare in people:
            guest = self.phone(f"{bare}/phone")
            guest.stream.connectionLost(LOST)
        self.letters = "".join(
            f"<message to='{bare}' type='chat' id='m-1'><body>{BODY}</body></message>"
            for bare in people * 5
        ).encode()
        self.run(2)

    def do(self) -> None:
        self.romeo.say(self.letters)
        assert self.romeo.socket.said.startswith(b"<a "), self.romeo.socket.said


class Presence(Errand):
    """Romeo's presence changes, and so twenty contacts hear of it; for each of them."""

    each = 20

    def __init__(self) -> None:
        super().__init__()
        self.romeo = self.phone(f"{ROMEO}/orchard")
        self.contacts = [self.phone(f"guest{number}@example.net/phone") for number in range(20)]
        for contact in self.contacts:
            contact.say(f"<presence type='subscribe' to='{ROMEO}'/>".encode())
        for number in range(20):
            to = f"guest{number}@example.net"
            self.romeo.say(f"<presence type='subscribed' to='{to}'/>".encode())
        self.run(2)

    def do(self) -> None:
        self.romeo.say(b"<presence><show>away</show><status>reading</status></presence>")
        for contact in self.contacts:
            assert b"reading" in contact.socket.said
            contact.hear(f"<a xmlns='{SM}' h='{sent_to(contact.session)}'/>".encode())
        self.hall.advance(0)


class Login(Errand):
    """Romeo logs in by SCRAM-SHA-1, with stream management and presence, and leaves again."""

    then = (
        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
        "<resource>phone</resource></bind></iq>",
        f"<enable xmlns='{SM}' resume='true'/>",
        "<presence/>",
    )
    rest = "</stream:stream>"

    def __init__(self) -> None:
        super().__init__()
        self.house = House(hall=self.hall)
        self.run(2)

    def do(self) -> None:
        self.open()
        for words in self.then:
            self.say(words)
        [session] = self.hall.host.sessions.of(ROMEO).values()
        assert session.is_available
        self.say(self.rest)
        self.stream.connectionLost(LOST)
        self.hall.advance(0)

    def open(self) -> None:
        """A connection, up to the features of who has logged in."""
        stream: Any = self.house.factory.buildProtocol(None)
        self.stream, self.socket = stream, Closing()
        stream.makeConnection(self.socket)
        self.say(HEADER)
        scram = ScramClient("SHA-1", "romeo", PASSWORD)
        first, auth = scram.first(), f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-1'>"
        said = self.say(f"{auth}{base64.b64encode(first).decode()}</auth>")
        final = scram.final(base64.b64decode(re.findall(rb">([^<]+)</challenge", said)[0]))
        self.say(f"<response xmlns='{SASL}'>{base64.b64encode(final).decode()}</response>")
        self.say(HEADER)

    def say(self, words: str) -> bytes:
        self.stream.dataReceived(words.encode())
        self.hall.advance(0)
        return self.socket.said


class Resumption(Login):
    """Romeo loses his connection, is written to 30 times, and comes back; for each time."""

    def __init__(self) -> None:
        Errand.__init__(self)
        self.house = House(hall=self.hall)
        self.juliet = self.phone(f"{JULIET}/balcony")
        self.open()
        for words in self.then:
            self.say(words)
        [session] = self.hall.host.sessions.of(ROMEO).values()
        self.session = session
        letter = f"<message to='{ROMEO}' type='chat' id='m-1'><body>{BODY}</body></message>"
        self.letters = (letter * 30).encode()
        self.run(2)

    def do(self) -> None:
        self.juliet.say(self.letters)
        self.stream.connectionLost(LOST)
        self.hall.advance(0)
        count = sent_to(self.session) - 30
        self.open()
        said = self.say(f"<resume xmlns='{SM}' h='{count}' previd='{self.session.token}'/>")
        assert said.count(b"<message") == 30
        assert said.endswith(ASK)
        self.say(f"<a xmlns='{SM}' h='{count + 30}'/>")


ERRANDS: dict[str, Callable[[], Errand]] = {
    "detached": Detached,
    "presence": Presence,
    "login": Login,
    "resumption": Resumption,
}


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--profile"]:
        errand = ERRANDS[arguments[1]]()
        with cProfile.Profile() as profile:
            errand.run(3_000 // errand.each)
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)
        return
    for name, make in ERRANDS.items():
        turns = 1 + 20 // make().each
        errand = make()
        called = calls(errand, turns).total() / (turns * errand.each)
        best = float("inf")
        for _ in range(15):
            began = time.process_time()
            done = errand.run(1 + 200 // errand.each)
            best = min(best, (time.process_time() - began) / done)
        print(f"{name:10} {called:7.1f} calls, {best * 1e6:7.1f} us")


if __name__ == "__main__":
    main(sys.argv[1:])
