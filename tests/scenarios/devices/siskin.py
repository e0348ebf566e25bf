"""Siskin and Snikket on iOS, as their library Martin speaks, and Stork for Android.

They look for the push service among the items of their server: an identity `pubsub`/`push`,
`urn:xmpp:push:0` and the name of their provider. What they enable with is what the account
announces: a client encrypts only where it can mute, filter rooms and mark priorities, and
where the push service says that it passes that on.
"""

import json
import os
from base64 import b64decode, b64encode
from typing import Any, ClassVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pushd.wire.element import Element, child, children
from pushd.wire.namespaces import NS_COMMANDS, NS_DISCO_INFO, NS_DISCO_ITEMS, NS_PUSH
from tests.scenarios.devices.device import Device, command_form, disabling, status
from tests.scenarios.house import DOMAIN, ELSEWHERE, FOREIGN
from tests.scenarios.reading import succeeded

ENCRYPT = "tigase:push:encrypt:0"


class Siskin(Device):
    """Its push service is the one that it finds; only if there is none it asks Tigase's."""

    network = "apns"
    dialect = "tigase"
    resource = "siskin-1f2e3d"
    provider: ClassVar[str] = "tigase:messenger:apns:1"

    def __init__(self, house: Any, account: str = "") -> None:
        super().__init__(house, account)
        self.ringing = f"{self.number:056x}0ca11000"  # PushKit's
        self.key = b""
        self.features: tuple[str, ...] = ()
        self.max_size = ""

    # The push service.

    def _disco(self, to: str, namespace: str) -> Element:
        answer = self.ask(f"<iq type='get' id='{{id}}' to='{to}'><query xmlns='{namespace}'/></iq>")
        found = child(succeeded(answer), namespace, "query")
        assert found is not None
        return found

    def _features(self, of: str) -> set[str]:
        return {
            one["var"] for one in children(self._disco(of, NS_DISCO_INFO)) if one.name == "feature"
        }

    def find(self) -> str:
        """`findPushComponent`: the first item that is one."""
        for item in children(self._disco(DOMAIN, NS_DISCO_ITEMS)):
            if item["jid"] in (FOREIGN, ELSEWHERE):
                continue  # what plays them answers nothing
            answer = self.ask(
                f"<iq type='get' id='{{id}}' to='{item['jid']}'>"
                f"<query xmlns='{NS_DISCO_INFO}'/></iq>"
            )
            query = child(answer, NS_DISCO_INFO, "query")
            if answer["type"] == "error" or query is None:
                continue
            told = list(children(query))
            features = {one["var"] for one in told if one.name == "feature"}
            is_push = any(
                one.name == "identity" and (one["category"], one["type"]) == ("pubsub", "push")
                for one in told
            )
            if is_push and {NS_PUSH, self.provider} <= features:
                return str(item["jid"])
        raise AssertionError("no push service is found")

    def _command(self, node: str, **fields: str) -> Element:
        given = {"provider": self.provider, "device-token": self.token} | fields
        form = "".join(
            f"<field type='text-single' var='{name}'><value>{value}</value></field>"
            for name, value in given.items()
        )
        return self.ask(
            f"<iq to='{self.jid}' id='{{id}}' type='set'>"
            f"<command xmlns='{NS_COMMANDS}' node='{node}'>"
            f"<x xmlns='jabber:x:data' type='submit'>{form}</x></command></iq>"
        )

    def register(self) -> None:
        self.jid = self.find()
        answer = self._command("register-device", **{"device-second-token": self.ringing})
        assert status(answer) == "completed"
        given = command_form(answer).fields
        [self.node] = given["node"]
        self.features = given["features"]
        [self.max_size] = given["max-payload-size"]

    def unregister(self) -> None:
        assert status(self._command("unregister-device")) == "completed"

    # Its own server.

    def extensions(self) -> tuple[str, str]:
        """`prepareExtensions`: the elements within `<enable/>`, and its attributes."""
        known = self._features(self.account)
        made = []
        if "tigase:push:filter:ignore-unknown:0" in known:
            made.append("<ignore-unknown xmlns='tigase:push:filter:ignore-unknown:0'/>")
        rooms, muted = "tigase:push:filter:groupchat:0", "tigase:push:filter:muted:0"
        if rooms in known:
            made.append(f"<groupchat xmlns='{rooms}'/>")
        if muted in known:
            made.append(f"<muted xmlns='{muted}'><item jid='bore@example.net'/></muted>")
        if {rooms, muted, "tigase:push:priority:0"} <= known:
            made.append("<priority xmlns='tigase:push:priority:0'/>")
            if {ENCRYPT, "tigase:push:encrypt:aes-128-gcm"} <= known and ENCRYPT in self.features:
                self.key = self.key or os.urandom(16)
                made.append(
                    f"<encrypt max-size='{self.max_size}' alg='aes-128-gcm' xmlns='{ENCRYPT}'>"
                    f"{b64encode(self.key).decode()}</encrypt>"
                )
        if "tigase:push:jingle:0" in known:
            made.append("<jingle xmlns='tigase:push:jingle:0'/>")
        return "".join(made), ""

    def enable(self) -> None:
        # It is somebody's whom she knows: strangers would be ignored.
        made, attributes = self.extensions()
        made = made.replace("<ignore-unknown xmlns='tigase:push:filter:ignore-unknown:0'/>", "")
        succeeded(
            self.ask(
                f"<iq type='set' id='{{id}}'><enable node='{self.node}' jid='{self.jid}'"
                f" xmlns='{NS_PUSH}'{attributes}>{made}</enable></iq>"
            )
        )

    def disable(self) -> None:
        succeeded(self.ask(disabling(self)))

    # Its notification service extension.

    def check_push(self, push: dict[str, Any]) -> None:
        payload = push["message"]
        assert payload["aps"]["mutable-content"] == 1
        assert payload["account"] == self.account
        if self.key:
            assert {"sender", "body"}.isdisjoint(payload)
            told = self.opened(payload)
            assert isinstance(told["unread"], int)
            assert told["type"] in ("chat", "groupchat", "call", "unknown")
            assert "/" not in told["sender"]

    def opened(self, payload: dict[str, Any]) -> dict[str, Any]:
        """What is encrypted in a push. Raises InvalidTag unless it is right to the last bit."""
        data, iv = b64decode(payload["encrypted"]), b64decode(payload["iv"])
        found: dict[str, Any] = json.loads(AESGCM(self.key).decrypt(iv, data, None))
        return found


class Snikket(Siskin):
    """The same under another name; its push service is configured for it, not found by all."""

    resource = "snikket-1f2e3d"
    provider: ClassVar[str] = "snikket:apns:1"


class Stork(Siskin):
    """For Android: it looks for nothing, and enables without any extension."""

    network = "fcm"
    resource = "stork-1f2e3d"
    provider: ClassVar[str] = "fcm-xmpp-api"

    def extensions(self) -> tuple[str, str]:
        return "", ""

    def check_push(self, push: dict[str, Any]) -> None:
        assert push["message"]["data"]["account"] == self.account
