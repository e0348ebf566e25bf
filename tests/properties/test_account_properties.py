"""A message for an account is somewhere at every moment, however its devices come and go.

It was read by a device, waits for one, is stored, or its sender was told (RFC 6121 §8.5,
XEP-0160, XEP-0198). A device reads when it likes, acknowledges what it likes of that, and
loses with its connection whatever it has not read.
"""

import re
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pushd.wire.stanza import Stanza
from tests.effort import examples
from tests.hall import Client, Hall

MODULES = {"roster": None, "subscriptions": None, "presence": None, "offline": None}
ROMEO, STRANGER = "romeo@example.net", "juliet@gate.example.org/balcony"
DEVICES = ("phone", "desk", "attic")
HOLD = 300.0
_id = re.compile(rb"id='(m[0-9]+)'").search

devices = st.sampled_from(DEVICES)
priorities = st.sampled_from([-1, 0, 0, 1])


@dataclass
class Device:
    client: Client
    is_resumable: bool
    read_count: int = 0  # stanzas since counting began
    acknowledged: int = 0
    got: list[str] = field(default_factory=list)

    @property
    def is_connected(self) -> bool:
        return self.client.session.stream is not None

    def read(self) -> None:
        for one in self.client.received():
            self.read_count += 1
            if one.name == "message":
                self.got.append(one["id"])


class Account(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.hall = Hall(modules=MODULES, resume_timeout=HOLD)
        self.hall.add_account(ROMEO)
        self.answers: list[Stanza] = []
        self.hall.host.router.add_host("gate.example.org", self.answers.append)
        self.devices: dict[str, Device] = {}
        self.read: set[str] = set()
        self.sent: list[str] = []

    @initialize(many=st.booleans(), sm=st.booleans())
    def begin(self, many: bool, sm: bool) -> None:
        for name in DEVICES if many else ():
            self.come(name, sm, 0)

    @rule(name=devices, sm=st.booleans(), priority=priorities)
    def come(self, name: str, sm: bool, priority: int) -> None:
        """A new session, maybe in place of an old one with what that still held."""
        self._settle()
        if name in self.devices:
            self._gone(name)
        client = self.hall.login(f"{ROMEO}/{name}", available=False, sm=sm)
        self.devices[name] = Device(client, sm)
        client.send(f"<presence><priority>{priority}</priority></presence>")

    @rule(name=devices, priority=st.one_of(st.none(), priorities))
    def show(self, name: str, priority: int | None) -> None:
        device = self._connected(name)
        if device is not None:
            content = f"<priority>{priority}</priority>"
            available = f"<presence>{content}</presence>"
            device.client.send(
                available if priority is not None else "<presence type='unavailable'/>"
            )

    @rule(to=st.sampled_from(["", "/phone", "/nowhere"]), type=st.sampled_from(["chat", "normal"]))
    def send(self, to: str, type: str) -> None:
        id = f"m{len(self.sent)}"
        self.sent.append(id)
        self.hall.route(
            f"<message from='{STRANGER}' to='{ROMEO}{to}' type='{type}' id='{id}'>"
            "<body>x</body></message>"
        )

    @rule(name=devices, all_of_it=st.booleans())
    def acknowledge(self, name: str, all_of_it: bool) -> None:
        """Of what it has read, all or one more."""
        device = self._connected(name)
        if device is not None and device.is_resumable:
            device.read()
            if device.acknowledged < device.read_count:
                more = device.read_count if all_of_it else device.acknowledged + 1
                device.acknowledged = more
                device.client.acknowledge(more)

    @rule(name=devices, reads=st.booleans())
    def cut(self, name: str, reads: bool) -> None:
        device = self._connected(name)
        if device is not None:
            if reads or not device.is_resumable:
                device.read()
            device.client.outlet.unread.clear()
            device.client.cut()
            if not device.is_resumable:
                self._gone(name)

    @rule(name=devices)
    def resume(self, name: str) -> None:
        device = self.devices.get(name)
        if device is not None and not device.is_connected:
            device.acknowledged = device.read_count
            device.client.resume(device.read_count)

    @rule(name=devices)
    def close(self, name: str) -> None:
        device = self._connected(name)
        if device is not None:
            if not device.is_resumable:
                device.read()
            device.client.close()
            self._gone(name)

    @rule()
    def wait(self) -> None:
        self.hall.advance(HOLD + 1)
        for name in [name for name, device in self.devices.items() if not device.is_connected]:
            self._gone(name)

    @invariant()
    def every_message_is_somewhere(self) -> None:
        self._settle()
        found = set(self.read)
        for device in self.devices.values():
            found.update(device.got)
            queue = device.client.session.queue
            found.update(_ids(data for data, _, _ in queue) if queue is not None else ())
        found.update(answer.id for answer in self.answers)
        found.update(_ids(raw for (raw,) in self.hall.rows("SELECT stanza FROM offline")))
        assert [id for id in self.sent if id not in found] == []

    @invariant()
    def nothing_waits_that_somebody_could_have(self) -> None:
        """In storage only while no connected device takes messages (XEP-0160 §2)."""
        able = [
            device
            for device in self.devices.values()
            if device.is_connected
            and device.client.session.is_available
            and device.client.session.priority >= 0
        ]
        if able:
            assert self.hall.rows("SELECT id FROM offline") == []

    def _settle(self) -> None:
        """Without XEP-0198 what is written counts as read."""
        for device in self.devices.values():
            if not device.is_resumable:
                device.read()

    def _gone(self, name: str) -> None:
        self.read.update(self.devices.pop(name).got)

    def _connected(self, name: str) -> Device | None:
        device = self.devices.get(name)
        return device if device is not None and device.is_connected else None


def _ids(stanzas: object) -> set[str]:
    found = (_id(raw) for raw in stanzas)  # type: ignore[attr-defined]
    return {one[1].decode() for one in found if one is not None}


Account.TestCase.settings = settings(max_examples=examples(30), stateful_step_count=40)
TestAccount = Account.TestCase
