"""The promise of XEP-0198 here: whatever is cut, resumed or killed, nothing acknowledged is lost.

A sender and a receiver, both resumable, over the real hall and a database on disk. A kill
is a copy of the database's files as they are at that instant. What the receiver gets twice
must have been sent twice: because its sender was not told that it was safe.
"""

import shutil
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from pushd.routing.sessions import Session
from tests.effort import examples
from tests.hall import Client, Hall, Outlet
from tests.support import result_of

SENDER, RECEIVER = "romeo@example.net/orchard", "juliet@example.net/balcony"


class Device:
    """A client that knows only what it read off its own connection."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.token = client.session.token
        self.is_connected = True
        self.h = 0  # stanzas read
        self.got: list[str] = []
        self.unacknowledged: list[str] = []
        self.acknowledged = 0

    def read(self) -> None:
        """Take what came: stanzas are counted, and the server's count frees what it covers."""
        outlet = self.client.outlet
        for node in outlet.unread:
            if node.name == "message":
                self.h += 1
                self.got.append(str(node.getAttribute("id")))
            elif node.name == "a":
                self.covered(int(str(node.getAttribute("h"))))
        outlet.unread.clear()

    def covered(self, h: int) -> None:
        del self.unacknowledged[: h - self.acknowledged]
        self.acknowledged = h


class Promise(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.generation = 0
        self.next = 0
        self.others = 0
        self.resent: Counter[str] = Counter()

    @initialize()
    def begin(self) -> None:
        self.hall = Hall(path=self.place())
        self.sender = Device(self.hall.login(SENDER, sm=True))
        self.receiver = Device(self.hall.login(RECEIVER, sm=True))

    def place(self) -> Path:
        folder = self.folder / str(self.generation)
        folder.mkdir(exist_ok=True)
        return folder / "pushd.db"

    @precondition(lambda self: self.sender.is_connected)
    @rule()
    def send(self) -> None:
        self.next += 1
        self.say(str(self.next))

    @rule()
    def hear_from_elsewhere(self) -> None:
        """A message of a third, which is safe at once."""
        self.others += 1
        self.hall.route(
            "<message from='nurse@example.net/kitchen' to='juliet@example.net' type='chat'"
            f" id='other {self.others}'><body/></message>"
        )

    def say(self, number: str) -> None:
        self.sender.unacknowledged.append(number)
        self.sender.client.pass_on(
            f"<message to='juliet@example.net' id='{number}' type='chat'><body/></message>"
        )

    @rule()
    def commit(self) -> None:
        self.hall.advance(0)

    @rule()
    def read(self) -> None:
        for device in (self.sender, self.receiver):
            if device.is_connected:
                device.read()

    @precondition(lambda self: self.receiver.is_connected)
    @rule()
    def acknowledge(self) -> None:
        session = self.receiver.client.session
        self.hall.host.delivery.acknowledged(session, self.receiver.h)

    @precondition(lambda self: self.receiver.is_connected)
    @rule()
    def cut_receiver(self) -> None:
        self.cut(self.receiver)

    @precondition(lambda self: self.sender.is_connected)
    @rule()
    def cut_sender(self) -> None:
        self.cut(self.sender)

    def cut(self, device: Device) -> None:
        """What was on its way and not read is lost."""
        device.is_connected = False
        self.hall.host.lifecycle.detach(device.client.session, "cut")

    @precondition(lambda self: not self.receiver.is_connected)
    @rule()
    def resume_receiver(self) -> None:
        self.resume(self.receiver)

    @precondition(lambda self: not self.sender.is_connected)
    @rule()
    def resume_sender(self) -> None:
        self.resume(self.sender)
        again = list(self.sender.unacknowledged)
        self.sender.unacknowledged.clear()
        for number in again:
            self.resent[number] += 1
            self.say(number)

    def resume(self, device: Device) -> None:
        session = self.session_of(device)
        settled = self.hall.host.lifecycle.settle(session, device.h)
        self.hall.advance(0)
        result_of(settled)
        outlet = Outlet()
        device.client = Client(self.hall, session, outlet)
        device.is_connected = True
        assert session.handled is not None
        device.covered(session.handled.received)
        self.hall.host.lifecycle.resume(session, outlet, b"")

    def session_of(self, device: Device) -> Session:
        session = self.hall.host.sessions.by_token(device.token)
        assert session is not None
        return session

    @rule()
    def kill(self) -> None:
        """The process dies: what is in the files is all there is."""
        old = self.place()
        self.generation += 1
        new = self.place()
        for file in old.parent.iterdir():
            if not file.name.endswith((".lock", "-shm")):
                shutil.copy(file, new.parent / file.name)
        self.hall.cut()
        self.sender.is_connected = self.receiver.is_connected = False
        self.hall = Hall(path=new)

    def teardown(self) -> None:
        if hasattr(self, "hall"):
            self.settle_all()
            numbers = [str(number) for number in range(1, self.next + 1)]
            others = [one for one in self.receiver.got if one.startswith("other")]
            assert others == [f"other {number + 1}" for number in range(self.others)]
            got = [one for one in self.receiver.got if one not in others]
            counted = Counter(got)
            assert sorted(counted, key=int) == numbers
            assert list(dict.fromkeys(got)) == numbers, "out of order"
            for number, times in counted.items():
                assert times <= 1 + self.resent[number], f"{number} came {times} times"
        shutil.rmtree(self.folder, ignore_errors=True)

    def settle_all(self) -> None:
        if not self.sender.is_connected:
            self.resume_sender()
        if not self.receiver.is_connected:
            self.resume(self.receiver)
        self.hall.advance(0)
        self.read()


Promise.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=40)
TestPromise = Promise.TestCase
