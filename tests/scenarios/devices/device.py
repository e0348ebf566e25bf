"""What every scripted device has, and the plot that all of them play.

A device is one real client, as far as push goes: it sends the very stanzas of that client,
letter by letter, and reads from the answers what that client reads. Its subclass says
these four things, and which network wakes it:

    class Foo(Device):
        network = "fcm"

        def register(self) -> None: ...     # ask(...), and keep jid, node and secret
        def enable(self) -> None: ...
        def disable(self) -> None: ...
        def unregister(self) -> None: ...

A test plays a device in a house whose dialects are on (`opened(..., app_server=...)`):

    def test_foo(house): play(Foo(house))
"""

import itertools
from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import Any, ClassVar

from pushd.config.sections import Dialects
from pushd.wire import forms
from pushd.wire.element import Element, child
from pushd.wire.namespaces import NS_COMMANDS, NS_PUSH
from tests.scenarios.house import DOMAIN, House
from tests.scenarios.peers import until
from tests.scenarios.reading import condition, succeeded

# Dialects, with which a house is opened: `app_server={"dialects": SPOKEN}`.
SPOKEN = asdict(Dialects.every())

_numbers = itertools.count(1)


class Device(ABC):
    """A client with a session of its own, of a new account unless one is given."""

    network: ClassVar[str] = "fcm"
    dialect: ClassVar[str] = "mod_push"
    resource: ClassVar[str] = "phone"
    # What the client calls the app server in its own configuration.
    app_server: ClassVar[str] = DOMAIN

    def __init__(self, house: House, account: str = "") -> None:
        self.house = house
        self.number = next(_numbers)
        self.phone = house.phone(account, f"{self.resource}{self.number}")
        self.token = self.new_token()
        self.jid = self.node = self.secret = ""

    @property
    def account(self) -> str:
        return self.phone.account

    def new_token(self) -> str:
        """A token of the form that the network gives, and of no other device."""
        if self.network == "apns":
            return f"{self.number:064x}"
        return f"device-{self.number}:APA91bF" + "x" * 120

    # What the client says.

    @abstractmethod
    def register(self) -> None: ...

    @abstractmethod
    def enable(self) -> None: ...

    @abstractmethod
    def disable(self) -> None: ...

    @abstractmethod
    def unregister(self) -> None: ...

    def ask(self, stanza: str) -> Element:
        """Send a request, as it stands but for its `{id}`; gives the answer."""
        id = f"device-{self.number}-{next(_numbers)}"
        self.phone.say(stanza.replace("{id}", id))
        return self.phone.take(
            f"answer to {stanza}", lambda one: one.name == "iq" and one.getAttribute("id") == id
        )

    # What it can see.

    def pushes(self, count: int = 0) -> list[dict[str, Any]]:
        """What its network got for it, once there is so much."""

        def look() -> list[dict[str, Any]] | None:
            found = self.house.pushes(self.token, of=self.network)
            return found if len(found) >= count else None

        if not count:
            return self.house.pushes(self.token, of=self.network)
        came: list[dict[str, Any]] = until(look, f"push number {count} for {self.token}")
        return came

    def check_push(self, push: dict[str, Any]) -> None:
        """What the client needs of a push, as its network got it; nothing, unless it says so."""
        del push

    # What it goes through.

    def sleep(self) -> None:
        """Lose the connection, as phones do."""
        self.phone.cut()

    def hear_of(self, body: str) -> None:
        """A friend writes, whose server has it then."""
        friend = self.house.friend()
        friend.message(self.account, body)
        friend.settled()

    def decided(self) -> list[str]:
        """Why what came for the account was pushed or not, so far."""
        events = self.house.events("push-decided", account=self.account)
        return [event["reason"] for event in events]

    def registrations(self) -> list[dict[str, Any]]:
        """What an operator sees of the account."""
        told = self.house.operate("push-registrations", account=self.account)
        found: list[dict[str, Any]] = told["registrations"]
        return found


def play(device: Device) -> None:
    """The life of a device; each step as its client makes it."""
    device.register()
    if device.dialect:
        assert [one["dialect"] for one in device.registrations()] == [device.dialect]
    device.enable()
    is_woken(device)
    device.disable()
    is_left_alone(device)
    device.enable()
    device.unregister()
    assert device.registrations() == []
    is_left_alone(device)


def is_woken(device: Device) -> None:
    """It loses its connection, is woken, comes back, and has all that came meanwhile, once."""
    before = len(device.pushes())
    said = [f"{word} {device.number}-{before}" for word in ("But soft", "what light")]
    device.sleep()
    device.hear_of(said[0])
    push = device.pushes(before + 1)[-1]
    assert push["status"] == 200, push
    device.check_push(push)
    device.hear_of(said[1])
    assert device.phone.resume().name == "resumed"
    heard = device.phone.bodies()
    assert heard == said, heard


def is_left_alone(device: Device) -> None:
    """The same, but nobody wakes it: no decision to push is made, no publish is taken."""
    before, decided = len(device.pushes()), len(device.decided())
    device.sleep()
    device.hear_of(f"silence {device.number}-{before}")
    until(lambda: len(device.decided()) > decided, "decision")
    assert set(device.decided()[decided:]) <= {"not enabled"}
    assert device.phone.resume().name == "resumed"
    heard = device.phone.bodies()
    assert heard == [f"silence {device.number}-{before}"], heard
    assert len(device.pushes()) == before


# What clients have in common. They are texts, so that a device is what its client says.


def command_form(answer: Element, type: str | None = None) -> forms.Form:
    """The form of a command's answer, whatever its status."""
    found = child(succeeded(answer), NS_COMMANDS, "command")
    assert found is not None
    form = forms.find(found)
    assert form is not None
    assert type is None or form.type == type
    return form


def status(answer: Element) -> str:
    """The status of a command's answer."""
    found = child(succeeded(answer), NS_COMMANDS, "command")
    assert found is not None
    return str(found["status"])


def refused(answer: Element, wanted: str, *names: str) -> None:
    """It is an error of this condition, whose text names these fields."""
    assert condition(answer) == wanted
    said = child(answer, answer.uri or "", "error")
    text = "" if said is None else said.toXml()
    assert all(name in text for name in names), text


def enabling(device: Device) -> str:
    """XEP-0357 as most clients write it."""
    return (
        f"<iq type='set' id='{{id}}'><enable xmlns='{NS_PUSH}' jid='{device.jid}'"
        f" node='{device.node}'><x xmlns='jabber:x:data' type='submit'>"
        "<field var='FORM_TYPE' type='hidden'>"
        "<value>http://jabber.org/protocol/pubsub#publish-options</value></field>"
        f"<field var='secret'><value>{device.secret}</value></field></x></enable></iq>"
    )


def disabling(device: Device) -> str:
    return (
        f"<iq type='set' id='{{id}}'><disable xmlns='{NS_PUSH}' jid='{device.jid}'"
        f" node='{device.node}'/></iq>"
    )
