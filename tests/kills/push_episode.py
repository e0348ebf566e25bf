"""Push over kills: registering, enabling, publishing, telling the provider, and being forgotten.

In the end the provider is well again, and the book has to be right:

- each publish that was accepted has come to the provider, or a newer one of the same node;
- a device that is away was pushed one of the messages that it gets when it is back, with a count
  that covers them all;
- each registration that was answered is still there, unless its owner had it removed, or the
  provider has called its present token dead; the secrets that were handed out are good, up to
  those that came before one that was used;
- each enablement that was answered is still there, unless it was ended, or its registration
  was, or its secret was replaced;
- what was answered as removed does not come back, and a dead device does not stay;
- messages are as right as they are without push.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence

from tests.kills.life import Life, Tally
from tests.kills.phone import Phone, Ticket
from tests.kills.plan import Action, Round
from tests.kills.provider import MOODS, Provider
from tests.kills.push_plan import PHONES, PLACES, TARGETS
from tests.kills.server import PATIENCE, Server, Template, Zygote, address

COMES = ("register", "publish", "unregister")  # for which a device may come back
TYPES = ("fcm", "apns")
MOOD_NAMES = [name for name, weight in MOODS.items() for _ in range(weight)]


class PushEpisode(Life[Phone]):
    """Plays one plan on a new server."""

    def __init__(
        self,
        zygote: Zygote,
        template: Template,
        tally: Tally,
        say: Callable[[str], None],
        provider: Provider,
    ) -> None:
        super().__init__(Server(zygote, template), tally, say)
        provider.forget()
        self._provider = provider
        self._devices = [Phone(self._server, self._book, name, self._heard) for name in PLACES]
        for device in self._devices:
            device.prepare(provider, tally)
        self._phones = self._devices[: len(PHONES)]

    def play(self, plan: list[Round]) -> None:
        super().play(plan)
        for one in self._provider.asked:
            self._tally[f"requests to the provider: {one.verdict}"] += 1

    def _begin(self) -> None:
        super()._begin()
        for place, phone in enumerate(self._phones):
            phone.register(TYPES[place % len(TYPES)])
            phone.enable(back=0)

    def _round(self, one: Round) -> None:
        self._shots = _Countdown(1 + one.delay % 4, self._server.shoot)
        if one.end == "asked":
            self._provider.on_request = self._shots
        elif one.end == "answered":
            self._provider.on_answer = self._shots
        super()._round(one)

    def _end(self, one: Round) -> None:
        if one.end in ("asked", "answered"):
            time.sleep(one.delay / 50_000)  # up to 60 ms for the provider to be asked
        self._provider.on_request = self._provider.on_answer = _nothing
        super()._end(one)

    def _count(self, end: str) -> None:
        if self._shots.is_over and not self._server.died_at:
            self._tally[f"kill as the provider {'was asked' if end == 'asked' else end}"] += 1
        else:
            super()._count(end)

    # Actions.

    def _act(self, device: Phone, action: Action) -> None:
        what = action.what
        match action.does:
            case "mood":
                self._provider.mood = MOOD_NAMES[what % len(MOOD_NAMES)]
            case "die":
                self._let_die(device)
            case "breathe":
                time.sleep(0.005 * what)
            case "write":
                to = address(TARGETS[what % len(TARGETS)])
                writer = device if device.wire is not None else self._devices[-1]
                writer.come_back()
                for _ in range(1 + what % 3):
                    writer.write(to)
            case _ if device.wire is None:
                self._come(device, action)
            case "register" | "unregister" | "enable" | "disable" | "publish":
                if device in self._phones:
                    self._ask(device, action.does, what)
            case _:
                self._live(device, action.does, what)

    def _let_die(self, device: Phone) -> None:
        """The app is installed anew: the token that the device has is good no longer."""
        ticket = device.ticket
        for token in sorted(ticket.tokens) if ticket is not None else ():
            self._provider.bury(token)

    def _come(self, device: Phone, action: Action) -> None:
        if action.does == "anew":
            device.give_up()
            device.connect()
        elif action.does in COMES and action.what % 2:
            device.connect()
            self._act(device, action)
        elif action.does == "back":
            device.connect()

    def _ask(self, device: Phone, does: str, what: int) -> None:
        match does:
            case "register":
                device.register(("", *TYPES)[what % 3])
            case "unregister":
                device.unregister()
            case "enable":
                device.enable(back=int(what == 0))
            case "disable":
                device.disable()
            case "publish":
                device.publish(back=what if what < 3 else 0)

    def _live(self, device: Phone, does: str, what: int) -> None:
        match does:
            case "read":
                device.read(0.001 * (what % 3))
            case "acknowledge":
                device.acknowledge()
            case "told":
                device.wait(lambda: not device.unacknowledged, "acknowledgement")
            case "cut":
                device.cut()
            case "anew":
                device.give_up()
                device.connect()
            case "leave":
                device.leave()

    # The reckoning.

    def _reckon(self, plan: list[Round]) -> None:
        self._provider.mood = "well"
        self._send_away(len(plan))
        self._server.kill()  # what has to wait before it is tried again is tried at once
        self._tally["kill by the test: before the reckoning"] += 1
        for device in self._devices:
            device.cut()
        assert self._server.start(), self._server.log()
        self._wait_for_quiet()
        self._check_accepted()
        for device in self._devices:
            heard = len(self._book.arrivals[device.name])
            device.connect()
            if device in self._phones:
                device.settle()
                self._check_pushed(device, self._book.arrivals[device.name][heard:])
                self._wait_for_quiet()  # what its old session had may wait for another one now
        self._until(lambda: not self._book.missing(), "arrival of everything")
        self._until(lambda: not any(d.unacknowledged for d in self._devices), "acknowledgement")
        self._until(lambda: not self._book.asked, "answer")
        for device in self._devices:
            device.settle()
        for phone in self._phones:
            self._check_registrations(phone)
            for back in range(2):
                phone.publish(back)
        self._wait_for_quiet()
        self._check_accepted()
        self._stop()
        self._check_arrivals()
        self._check_rows()

    def _send_away(self, choice: int) -> None:
        """All that was said is acknowledged, no phone is there, and some have a message more."""
        for device in self._devices:
            if device.has_to_say:
                device.come_back()
                device.wait(lambda d=device: not d.unacknowledged, "acknowledgement")  # type: ignore[misc]
        for phone in self._phones:
            phone.cut()
        friend = self._devices[-1]
        friend.come_back()
        for place, phone in enumerate(self._phones):
            if (choice + place) % 2:
                friend.write(phone.name)
        friend.wait(lambda: not friend.unacknowledged, "acknowledgement")

    def _wait_for_quiet(self) -> None:
        """Wait until nothing is left to be pushed."""
        until = time.monotonic() + PATIENCE
        news = (
            "SELECT account, node FROM push_enablements WHERE queued_messages != pushed_messages"
            " OR queued_subscriptions != pushed_subscriptions OR queued_others != pushed_others"
        )
        while left := [*self._rows("SELECT * FROM outbox"), *self._rows(news)]:
            assert time.monotonic() < until, f"not pushed: {left}\n{self._server.log()}"
            time.sleep(0.005)

    def _check_accepted(self) -> None:
        for phone, ticket in self._living():
            taken = self._provider.taken(phone.all_tokens)
            told = [
                int(one.data.get("pending-subscription-count", "0"))
                for one in taken
                if one.data.get("node") == ticket.node
            ]
            for serial in ticket.accepted:
                assert max(told, default=0) >= serial, (
                    f"{phone.name}: publish {serial} was accepted, the provider has {told}"
                )

    def _check_pushed(self, phone: Phone, came: Sequence[str]) -> None:
        ticket = phone.ticket
        if ticket is None or not came or not phone.is_enabled(ticket):
            return
        counts = [
            int(one.data.get("message-count", "0"))
            for one in self._provider.taken(phone.all_tokens)
            if one.data.get("last-message-body") in came
        ]
        assert max(counts, default=0) >= len(came), (
            f"{phone.name} was pushed {counts}, and then got {came}"
        )
        self._tally["devices that were away, with news"] += 1

    def _check_registrations(self, phone: Phone) -> None:
        listed = phone.listed()
        for ticket in phone.tickets:
            if ticket.removal == "answered":
                assert ticket.node not in listed, f"{phone.name}: {ticket} is back"
            elif not phone.may_be_gone(ticket):
                assert ticket.node in listed, f"{phone.name}: {ticket} is lost"
                self._tally["living registrations in the end"] += 1
            elif ticket.node not in listed:
                self._tally["dead registrations in the end"] += 1

    def _check_rows(self) -> None:
        rows = self._rows("SELECT account || ' ' || node FROM push_enablements")
        found = {name for (name,) in rows}
        for phone, ticket in self._living():
            is_there = f"{phone.name.partition('/')[0]} {ticket.node}" in found
            if phone.is_enabled(ticket):
                assert is_there, (
                    f"{phone.name}: {ticket} is no longer enabled\n{self._server.log()}"
                )
                self._tally["enablements in the end"] += 1
            elif ticket.enabling == "off":
                assert not is_there, f"{phone.name}: {ticket} is enabled again"
        left = [
            *self._rows("SELECT session, stanza FROM queue"),
            *self._rows("SELECT account, stanza FROM offline"),
        ]
        ours = [row for row in left if b"<body>" in bytes(row[1])]
        assert not ours, f"left in the queues and in the offline store: {ours}"

    def _living(self) -> list[tuple[Phone, Ticket]]:
        """The registrations that were promised, and whose they are."""
        return [
            (phone, ticket)
            for phone in self._phones
            for ticket in phone.tickets
            if not phone.may_be_gone(ticket)
        ]

    def _check_arrivals(self) -> None:
        book = self._book
        for name, came in book.arrivals.items():
            for message, times in Counter(came).items():
                allowed = book.sendings[message] + book.spare[name, message]
                assert times <= allowed, f"{message} came {times} times to {name}, not {allowed}"


class _Countdown:
    """Does something once it was called so many times."""

    def __init__(self, calls: int, act: Callable[[], None]) -> None:
        self._left = calls
        self._act = act

    @property
    def is_over(self) -> bool:
        return self._left <= 0

    def __call__(self) -> None:
        self._left -= 1
        if not self._left:
            self._act()


def _nothing() -> None:
    pass
