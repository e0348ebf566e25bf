"""Messages, requests and sessions over kills.

In the end every device is back, everything is acknowledged, and the book has to be right:

- what was sent has come to a device of its receiver, and to none of them more often than it was
  sent (or, where its receiver began a new session, had been read but perhaps not acknowledged);
- between two devices that are the only ones of their accounts order is kept;
- every request is answered, and what was answered is so;
- a session that was promised can be resumed, which `Device` sees to;
- push that was enabled still is, and a message that waits is in the outbox;
- nothing is left in the queues and in the offline store.
"""

import time
from collections import Counter
from collections.abc import Callable

from tests.kills.device import NS_ASKED, Device
from tests.kills.life import Life, Tally
from tests.kills.plan import DEVICES, TARGETS, Action, Round
from tests.kills.server import DOMAIN, PATIENCE, Server, Template, Zygote, address

LONELY = ("romeo", "nurse")  # accounts of one device
PING = "<ping xmlns='urn:xmpp:ping'/>"
ROSTER = "<query xmlns='jabber:iq:roster'/>"
INFO = "<query xmlns='http://jabber.org/protocol/disco#info'/>"


class Episode(Life[Device]):
    """Plays one plan on a new server."""

    def __init__(
        self, zygote: Zygote, template: Template, tally: Tally, say: Callable[[str], None]
    ) -> None:
        super().__init__(Server(zygote, template), tally, say)
        self._devices = [Device(self._server, self._book, name, self._heard) for name in DEVICES]

    # Actions.

    def _act(self, device: Device, action: Action) -> None:
        if device.wire is None:
            if action.does == "anew":
                device.give_up()
                device.connect()
            elif action.does == "back":
                device.connect()
            return
        match action.does:
            case "write":
                to = address(TARGETS[action.what % len(TARGETS)])
                for _ in range(1 + action.what % 3):
                    device.write(to)
            case "read":
                device.read(0.001 * (action.what % 3))
            case "acknowledge":
                device.acknowledge()
            case "told":
                device.wait(lambda: not device.unacknowledged, "acknowledgement")
            case "ask":
                self._ask(device, action.what)
            case "cut":
                device.cut()
            case "anew":
                device.give_up()
                device.connect()
            case "leave":
                device.leave()
            case "push" if not device.node:
                device.enable_push()

    def _ask(self, device: Device, what: int) -> None:
        if what < len(DEVICES):
            device.ask(address(DEVICES[what]), f"<query xmlns='{NS_ASKED}'/>")
        elif what < 6:
            device.ask(DOMAIN, PING)
        elif what < 8:
            device.ask(device.name.partition("/")[0], ROSTER)
        elif what < 10:
            device.ask(DOMAIN, INFO)
        else:
            device.name_a_contact()

    # The reckoning.

    def _reckon(self, plan: list[Round]) -> None:
        for device in self._devices:
            if device.wire is None:
                device.connect()
        self._until(lambda: not self._book.missing(), "arrival of everything")
        self._until(lambda: not any(d.unacknowledged for d in self._devices), "acknowledgement")
        self._until(lambda: not self._book.asked, "answer")
        for device in self._devices:
            device.check_names()
        self._check_push()
        for device in self._devices:
            device.ask(DOMAIN, PING)
        self._until(lambda: not self._book.asked, "answer")
        for device in self._devices:
            device.settle()
        self._stop()
        self._check_arrivals()
        self._check_rows()

    def _check_arrivals(self) -> None:
        book = self._book
        for name, came in book.arrivals.items():
            for message, times in Counter(came).items():
                allowed = book.sendings[message] + book.spare[name, message]
                assert times <= allowed, f"{message} came {times} times to {name}, not {allowed}"
        for device in self._devices:
            if device.user not in LONELY:
                continue
            for sender in LONELY:
                came = [
                    one for one in book.arrivals[device.name] if _user(book.senders[one]) == sender
                ]
                first = list(dict.fromkeys(came))
                assert first == sorted(first, key=lambda one: int(one[1:])), (
                    f"{device.name}: {first}"
                )

    def _check_push(self) -> None:
        """A message for a sleeping phone is in the outbox, whatever happens meanwhile."""
        phone = next((device for device in self._devices if device.node), None)
        if phone is None:
            return
        friend = next(device for device in self._devices if device.user != phone.user)
        phone.acknowledge()
        phone.ask(DOMAIN, PING)
        self._until(lambda: not self._book.asked, "answer")
        phone.cut()
        friend.write(phone.name)
        friend.wait(lambda: not friend.unacknowledged, "acknowledgement")
        self._server.kill()
        self._tally["kill by the test: before a push"] += 1
        for device in self._devices:
            device.cut()
        assert self._server.start(), self._server.log()
        until = time.monotonic() + PATIENCE
        while not self._rows("SELECT 1 FROM outbox WHERE node = ?", phone.node):
            assert time.monotonic() < until, f"no push for {phone.name}"
            time.sleep(0.005)
        for device in self._devices:
            device.connect()
        self._until(lambda: not self._book.missing(), "arrival of everything")
        self._until(lambda: not any(d.unacknowledged for d in self._devices), "acknowledgement")

    def _check_rows(self) -> None:
        for device in self._devices:
            if device.node:
                assert self._rows("SELECT 1 FROM registrations WHERE node = ?", device.node)
                assert self._rows("SELECT 1 FROM push_enablements WHERE node = ?", device.node)
        left = [
            *self._rows("SELECT session, stanza FROM queue"),
            *self._rows("SELECT account, stanza FROM offline"),
        ]
        assert not left, f"left in the queues and in the offline store: {left}"


def _user(full: str) -> str:
    return full.partition("@")[0]
