"""Monal as it was before fpush: it registered by the id of the device, for all its accounts.

It enables push by the node that the answer gives, but disables by the id that it gave itself.
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
