"""Monal as it was before fpush, and yaxim: both register by an id of the device.

Monal's id is the same for all accounts. It enables push by the node that the answer gives, but
disables by the id that it gave itself. yaxim has one account, knows one address, to register at
and to enable, whatever the answer says, and disables all of it. Neither yaxim nor Monal's oldest
releases unregister: what is here for that is what the app server takes.
"""

from typing import Any

from pushd.wire.namespaces import NS_COMMANDS, NS_PUSH
from tests.scenarios.devices.device import Device, command_form, enabling, status
from tests.scenarios.house import PUSH_HOST
from tests.scenarios.reading import succeeded

PAGE = "https://github.com/tmolitor-stud-tu/mod_push_appserver/"


class OldMonal(Device):
    """`identifier` is the same for all accounts of a phone."""

    network = "apns"
    dialect = "v1"
    resource = "Monal-iOS."

    def __init__(self, house: Any, account: str = "", identifier: str = "") -> None:
        super().__init__(house, account)
        self.identifier = identifier or f"6D92078A-8246-4BA4-AE5B-{self.number:012X}"

    def register(self) -> None:
        answer = self.ask(self.executing("register", token=self.token))
        assert status(answer) == "completed"
        fields = command_form(answer).fields
        [self.jid], [self.node], [self.secret] = fields["jid"], fields["node"], fields["secret"]

    def enable(self) -> None:
        succeeded(self.ask(enabling(self)))

    def disable(self) -> None:
        answer = self.ask(
            f"<iq id='{{id}}' type='set'><disable xmlns='{NS_PUSH}' jid='{PUSH_HOST}'"
            f" node='{self.identifier}'/></iq>"
        )
        succeeded(answer)

    def unregister(self) -> None:
        assert status(self.ask(self.executing("unregister"))) == "completed"

    def executing(self, what: str, **more: str) -> str:
        given = {"type": self.network, "node": self.identifier, **more}
        fields = "".join(
            f"<field var='{name}'><value>{value}</value></field>" for name, value in given.items()
        )
        return (
            f"<iq id='{{id}}' to='{self.app_server}' type='set'>"
            f"<command node='v1-{what}-push' action='execute' xmlns='{NS_COMMANDS}'>"
            "<x type='submit' xmlns='jabber:x:data'><field type='hidden' var='FORM_TYPE'>"
            f"<value>{PAGE}#v1-{what}-push</value></field>{fields}</x></command></iq>"
        )


class Yaxim(Device):
    """With Smack's commands, and its `PushNotificationsManager`."""

    dialect = "v1"
    resource = "yaxim."
    app_server = PUSH_HOST

    def register(self) -> None:
        fields = {"type": "fcm", "node": f"yaxim-{self.number}", "token": self.token}
        answer = self.ask(self._executing("v1-register-push", **fields))
        assert status(answer) == "completed"
        given = command_form(answer).fields
        [self.node], [self.secret] = given["node"], given["secret"]
        self.jid = self.app_server

    def enable(self) -> None:
        succeeded(self.ask(enabling(self)))

    def disable(self) -> None:
        succeeded(
            self.ask(
                f"<iq id='{{id}}' type='set'>"
                f"<disable xmlns='{NS_PUSH}' jid='{self.app_server}'/></iq>"
            )
        )

    def unregister(self) -> None:
        fields = {"type": "fcm", "node": f"yaxim-{self.number}"}
        assert status(self.ask(self._executing("v1-unregister-push", **fields))) == "completed"

    def _executing(self, command: str, **fields: str) -> str:
        form = "".join(
            f"<field var='{name}'><value>{value}</value></field>" for name, value in fields.items()
        )
        return (
            f"<iq to='{self.app_server}' id='{{id}}' type='set'>"
            f"<command xmlns='{NS_COMMANDS}' node='{command}' action='execute'>"
            f"<x xmlns='jabber:x:data' type='submit'>{form}</x></command></iq>"
        )
