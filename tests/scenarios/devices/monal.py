"""Monal for iOS, which registers nowhere: its node is the token that Apple gave it.

It enables with a `pushModule` alone, and it disables without waiting for the answer. What a
push says it does not read: it fetches.
"""

from typing import Any, ClassVar

from pushd.wire.namespaces import NS_PUSH
from tests.scenarios.devices.device import Device, disabling
from tests.scenarios.house import PUSH_HOST
from tests.scenarios.reading import succeeded


class Monal(Device):
    network = "apns"
    dialect = ""  # there is no registration that would have one
    resource = "Monal-iOS.1f2e3d"
    module: ClassVar[str] = "monalProdiOS"
    environment: ClassVar[str] = "production"

    def register(self) -> None:
        self.jid, self.node = PUSH_HOST, self.token

    def unregister(self) -> None:
        self.disable()

    def enable(self) -> None:
        """`setPushEnableWithNode:onAppserver:`"""
        succeeded(
            self.ask(
                f"<iq type='set' id='{{id}}'><enable xmlns='{NS_PUSH}' jid='{self.jid}'"
                f" node='{self.node}'><x xmlns='jabber:x:data' type='submit'>"
                "<field type='hidden' var='FORM_TYPE'>"
                "<value>http://jabber.org/protocol/pubsub#publish-options</value></field>"
                f"<field var='pushModule'><value>{self.module}</value></field>"
                "</x></enable></iq>"
            )
        )

    def disable(self) -> None:
        self.phone.say(disabling(self).replace("{id}", f"disable-{self.number}"))
        self.phone.settled()

    def check_push(self, push: dict[str, Any]) -> None:
        """The service extension is started by nothing but a mutable alert."""
        assert push["environment"] == self.environment
        assert push["push_type"] == "alert"
        assert push["message"]["aps"]["mutable-content"] == 1


class MonalSandbox(Monal):
    """As its developers build it."""

    resource = "Monal-iOS.sandbox"
    module = "monalProdiOS-sandbox"
    environment = "sandbox"
