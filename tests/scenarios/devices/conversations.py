"""Conversations for Android, from 2.5 on and of today, and a client for Apple's devices by p2.

Conversations puts its fields into a form without FORM_TYPE, reads jid, node and secret from
the answer's form, and never unregisters its account: what is here for that is what p2 takes.
A room that a push is for it knows by the hash in the push, `channel`; of a room that it has
left it unregisters that hash.
"""

import hashlib
from typing import Any, ClassVar

from pushd.wire.element import Element
from pushd.wire.namespaces import NS_COMMANDS
from tests.scenarios.devices.device import (
    Device,
    command_form,
    disabling,
    enabling,
    status,
)
from tests.scenarios.house import PUSH_HOST
from tests.scenarios.reading import succeeded


def executing(to: str, command: str, action: str = "execute", **fields: str) -> str:
    """A command as Conversations' `IqGenerator` writes it."""
    form = "".join(
        f"<field var='{name.replace('_', '-')}'><value>{value}</value></field>"
        for name, value in fields.items()
        if value
    )
    return (
        f"<iq to='{to}' id='{{id}}' type='set'>"
        f"<command node='{command}' action='{action}' xmlns='{NS_COMMANDS}'>"
        f"<x xmlns='jabber:x:data' type='submit'>{form}</x></command></iq>"
    )


class Conversations(Device):
    """Of an account, and of the rooms that `register_room` names."""

    dialect = "conversations"
    resource = "Conversations.sAdA"
    action: ClassVar[str] = "execute"

    def __init__(self, house: Any, account: str = "") -> None:
        super().__init__(house, account)
        self.android_id = f"{self.number:016x}"
        self.rooms: dict[str, tuple[str, str]] = {}  # node and secret

    def register(self) -> None:
        self.jid, self.node, self.secret = self._registered("")

    def register_room(self, room: str) -> None:
        """For a room; that it should be enabled there is for the room's service to see."""
        _, *self.rooms[room] = self._registered(room)  # type: ignore[assignment]

    def _registered(self, muc: str) -> tuple[str, str, str]:
        given = {"token": self.token, "android_id": self.android_id, "muc": muc}
        command = executing(self.app_server, "register-push-fcm", self.action, **given)
        answer = self.ask(command)
        assert status(answer) == "completed"
        fields = command_form(answer).fields
        [jid], [node], [secret] = fields["jid"], fields["node"], fields["secret"]
        return jid, node, secret

    def enable(self) -> None:
        succeeded(self.ask(enabling(self)))

    def disable(self) -> None:
        succeeded(self.ask(disabling(self)))

    def unregister(self) -> None:
        answer = self.ask(
            executing(self.app_server, "unregister-push-fcm", android_id=self.android_id)
        )
        assert status(answer) == "completed"

    def unregister_channel(self, channel: str) -> Element:
        """As for a room that the app knows no more."""
        return self.ask(
            executing(
                self.app_server,
                "unregister-push-fcm",
                channel=channel,
                android_id=self.android_id,
            )
        )

    def hash_of(self, address: str) -> str:
        """As `CryptoHelper.getFingerprint` makes it."""
        return hashlib.sha1(f"{address}\0{self.android_id}".encode()).hexdigest()

    def check_push(self, push: dict[str, Any]) -> None:
        """The app compares `account` with the hash of each of its accounts."""
        data = push["message"]["data"]
        assert data == {"account": self.hash_of(self.account)}


class ConversationsOfToday(Conversations):
    """Since July 2025 (`PushNotificationManager`): it enables where it has registered.

    Its command begins with its end, and of the answer it reads node and secret alone.
    """

    resource = "Conversations.sBdB"
    app_server = PUSH_HOST
    action = "complete"

    def register(self) -> None:
        super().register()
        self.jid = self.app_server


class AppleClient(Device):
    """A client of p2 for Apple's devices: `device-id`, and otherwise the same.

    The reference has the same command with the same fields, and takes it where both are on.
    """

    network = "apns"
    dialect: ClassVar[str] = "mod_push"

    def __init__(self, house: Any, account: str = "") -> None:
        super().__init__(house, account)
        self.device_id = f"6D92078A-8246-4BA4-AE5B-{self.number:012X}"

    def register(self) -> None:
        given = {"token": self.token, "device_id": self.device_id}
        answer = self.ask(executing(self.app_server, "register-push-apns", **given))
        assert status(answer) == "completed"
        fields = command_form(answer).fields
        [self.jid], [self.node], [self.secret] = fields["jid"], fields["node"], fields["secret"]

    def enable(self) -> None:
        succeeded(self.ask(enabling(self)))

    def disable(self) -> None:
        succeeded(self.ask(disabling(self)))

    def unregister(self) -> None:
        answer = self.ask(
            executing(self.app_server, "unregister-push-apns", device_id=self.device_id)
        )
        assert status(answer) == "completed"
