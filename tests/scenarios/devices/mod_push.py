"""A device that registers as mod_push's README has it, with the stanzas of its own tests."""

from pushd.wire.namespaces import NS_COMMANDS
from tests.scenarios.devices.device import (
    Device,
    command_form,
    disabling,
    enabling,
    status,
)
from tests.scenarios.reading import succeeded


class ModPushDevice(Device):
    """`register-push-fcm`; without a form, `unregister-push` is for the sender's resource."""

    def register(self) -> None:
        answer = self.ask(
            f"<iq type='set' id='{{id}}' to='{self.app_server}'>"
            f"<command xmlns='{NS_COMMANDS}' node='register-push-{self.network}'"
            " action='execute'>"
            "<x xmlns='jabber:x:data' type='submit'>"
            f"<field var='token'><value>{self.token}</value></field>"
            "<field var='device-name'><value>a phone</value></field></x></command></iq>"
        )
        assert status(answer) == "completed"
        given = command_form(answer, "result").fields
        [self.jid], [self.node], [self.secret] = given["jid"], given["node"], given["secret"]

    def enable(self) -> None:
        succeeded(self.ask(enabling(self)))

    def disable(self) -> None:
        succeeded(self.ask(disabling(self)))

    def unregister(self) -> None:
        answer = self.ask(
            f"<iq type='set' id='{{id}}' to='{self.app_server}'>"
            f"<command xmlns='{NS_COMMANDS}' node='unregister-push' action='execute'/></iq>"
        )
        assert status(answer) == "completed"
