"""One life of a server's folder: rounds of actions and deaths, and then the reckoning.

In the end every device is back, everything is acknowledged, and the book has to be right:

- what was sent has come to a device of its receiver, and to none of them more often than it was
  sent (or, where its receiver began a new session, had been read but perhaps not acknowledged);
- between two devices that are the only ones of their accounts order is kept;
- every request is answered, and what was answered is so;
- a session that was promised can be resumed, which `Device` sees to;
- push that was enabled still is, and a message that waits is in the outbox;
- nothing is left in the queues and in the offline store.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.kills.device import NS_ASKED, Book, Device
from tests.kills.plan import DEVICES, TARGETS, Action, Round
from tests.kills.server import DOMAIN, PATIENCE, Server, Template, Zygote
from tests.kills.wire import Lost

LONELY = ("romeo", "nurse")  # accounts of one device
PING = "<ping xmlns='urn:xmpp:ping'/>"
ROSTER = "<query xmlns='jabber:iq:roster'/>"
INFO = "<query xmlns='http://jabber.org/protocol/disco#info'/>"


class Tally(Counter[str]):
    """What happened in all episodes: kills by their kind, messages, resumptions."""

    @property
    def kills(self) -> int:
        return sum(count for what, count in self.items() if what.startswith("kill "))


class Episode:
    """Plays one plan on a new server."""

    def __init__(
        self, zygote: Zygote, template: Template, tally: Tally, say: Callable[[str], None]
    ) -> None:
        self._say = say
        self._tally = tally
        self._book = Book()
        self._server = Server(zygote, template)
        self._devices = [Device(self._server, self._book, name, self._heard) for name in DEVICES]
        self._budget = 0  # bytes that may still be read before the kill; 0 for any number

    def play(self, plan: list[Round]) -> None:
        try:
            assert self._server.start()
            for device in self._devices:
                device.connect()
            for one in plan:
                self._round(one)
            self._reckon()
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

    def _try(self, device: Device, act: Callable[[Device], object]) -> None:
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
                to = _address(TARGETS[action.what % len(TARGETS)])
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
            device.ask(_address(DEVICES[what]), f"<query xmlns='{NS_ASKED}'/>")
        elif what < 6:
            device.ask(DOMAIN, PING)
        elif what < 8:
            device.ask(device.name.partition("/")[0], ROSTER)
        elif what < 10:
            device.ask(DOMAIN, INFO)
        else:
            device.name_a_contact()

    # The reckoning.

    def _reckon(self) -> None:
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

    def _until(self, is_done: Callable[[], bool], what: str) -> None:
        """Have all read until it is done."""
        until = time.monotonic() + PATIENCE
        while not is_done():
            for device in self._devices:
                device.read(0.001)
            assert time.monotonic() < until, f"no {what}: {self._book.missing()} {self._book.asked}"

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
        assert self._server.start()
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

    def _rows(self, sql: str, *parameters: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self._server.database, timeout=PATIENCE)
        try:
            return connection.execute(sql, parameters).fetchall()
        finally:
            connection.close()


def _address(name: str) -> str:
    user, slash, resource = name.partition("/")
    return f"{user}@{DOMAIN}{slash}{resource}"


def _user(full: str) -> str:
    return full.partition("@")[0]
